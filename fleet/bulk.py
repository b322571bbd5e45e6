"""Many rows in one statement: what a group of batches costs must not grow with its batches.

Rules: one call is one statement (SQLite: one prepared statement for all rows), in the driver's own
words (`fleet.statements`). Part of the store's layer:
here too SQLite and PostgreSQL differ, and nothing above needs to know.
"""

import contextlib
import functools
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from fleet.exchange import array
from fleet.statements import named, run, select, together
from fleet.store import IN_MAX

FEW: Final = 64
"""Rows that are sent as one statement's arrays; more go by COPY, which is quicker for each row, and
three round trips."""
_TYPES: Final[dict[type[Any], str]] = {
    sa.BigInteger: "int8",
    sa.Integer: "int4",
    sa.Text: "text",
    sa.LargeBinary: "bytea",
    sa.Boolean: "bool",
    sa.JSON: "json",
    sa.Date: "date",
}
"""PostgreSQL's names of the types in `fleet.schema`."""


def _type(column: sa.Column[Any]) -> str:
    return _TYPES[type(column.type)]


def _columns(table: sa.Table, names: Sequence[str]) -> list[sa.Column[Any]]:
    return [table.c[name] for name in names]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _turned(rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """Return the rows as one array a column, as `unnest` takes them."""
    return tuple(map(array, zip(*rows, strict=True)))


@functools.cache
def _unnest(table: sa.Table, names: tuple[str, ...]) -> str:
    casts = (f"%s::{_type(column)}[]" for column in _columns(table, names))
    return f"unnest({', '.join(casts)})"


def few(
    connection: sa.Connection, rows: Sequence[object]
) -> contextlib.AbstractContextManager[None]:
    """Let what is written in here be one round trip, as long as no row goes by COPY."""
    return contextlib.nullcontext() if len(rows) > FEW else together(connection)


# --- adding --------------------------------------------------------------------------------------


def append(
    connection: sa.Connection,
    table: sa.Table,
    names: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Add rows that are known to be new; `names` are their columns, in order."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        if len(rows) > FEW:
            _copy(connection, table, names, rows)
        else:
            statement = f"INSERT INTO {table.name} ({_quoted(names)}) SELECT * FROM "  # noqa: S608
            run(connection, statement + _unnest(table, names), _turned(_plain(table, names, rows)))
    else:
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({_quoted(names)}) VALUES ({marks})"  # noqa: S608
        _run_many(connection, statement, _plain(table, names, rows))


def _plain(
    table: sa.Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> Sequence[tuple[Any, ...]]:
    """Return the rows with days as both databases read them: their text."""
    days = [place for place, one in enumerate(_columns(table, names)) if type(one.type) is sa.Date]
    if not days:
        return rows
    turned = [list(column) for column in zip(*rows, strict=True)]
    for place in days:
        turned[place] = [day and day.isoformat() for day in turned[place]]
    return list(zip(*turned, strict=True))


def new_ids(connection: sa.Connection, table: sa.Table, count: int) -> Sequence[int]:
    """Return numbers for so many rows of a table, none of which another writer gets.

    On SQLite the caller's transaction writes, and so nobody else does.
    """
    if connection.dialect.name == "postgresql":
        asked = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
        return [row[0] for row in select(connection, asked, (table.name, count))]
    ((last,),) = select(connection, f"SELECT coalesce(max(id), 0) FROM {table.name}")  # noqa: S608
    return range(last + 1, last + 1 + count)


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    names: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Send rows as COPY does: the server's quickest way in."""
    statement = f"COPY {table.name} ({_quoted(names)}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type(column) for column in _columns(table, names)])
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise named(connection, statement, error) from error


def _run_many(connection: sa.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement of SQLite for each row."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.executemany(statement, rows)
    except sqlite3.Error as error:
        raise named(connection, statement, error) from error


def count_up(
    connection: sa.Connection,
    table: sa.Table,
    key: tuple[str, ...],
    added: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Add to `added` of the rows with these keys; each key stands once, missing ones begin."""
    if not rows:
        return
    names = (*key, *added)
    head = f"INSERT INTO {table.name} ({_quoted(names)})"
    grow = ", ".join(f'"{name}" = {table.name}."{name}" + excluded."{name}"' for name in added)
    tail = f"ON CONFLICT ({_quoted(key)}) DO UPDATE SET {grow}"
    if connection.dialect.name == "postgresql":
        statement = f"{head} SELECT * FROM {_unnest(table, names)} {tail}"  # noqa: S608
        run(connection, statement, _turned(rows))
    else:
        marks = ", ".join("?" * len(names))
        _run_many(connection, f"{head} VALUES ({marks}) {tail}", rows)


# --- changing ------------------------------------------------------------------------------------


@functools.cache
def _update(dialect: str, table: sa.Table, names: tuple[str, ...], keep: frozenset[str]) -> str:
    """Return the statement that sets `names` but the first, which says which row."""
    postgresql = dialect == "postgresql"
    sets = []
    for name in names[1:]:
        value = f'v."{name}"' if postgresql else "?"
        old = f'{table.name}."{name}"'
        sets.append(f'"{name}" = ' + (f"COALESCE({value}, {old})" if name in keep else value))
    head = f"UPDATE {table.name} SET {', '.join(sets)}"  # noqa: S608  names of our own schema
    if postgresql:
        values = f"{_unnest(table, names)} AS v({_quoted(names)})"
        return f'{head} FROM {values} WHERE {table.name}."{names[0]}" = v."{names[0]}"'
    return f'{head} WHERE "{names[0]}" = ?'


def update(
    connection: sa.Connection,
    table: sa.Table,
    names: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    keep: frozenset[str] = frozenset(),
) -> None:
    """Set the columns `names` of the rows that the first of them names.

    A None in a column of `keep` leaves what stands there.
    """
    if not rows:
        return
    statement = _update(connection.dialect.name, table, names, keep)
    if connection.dialect.name == "postgresql":
        run(connection, statement, _turned(rows))
    else:
        _run_many(connection, statement, [(*row[1:], row[0]) for row in rows])


# --- asking --------------------------------------------------------------------------------------


def select_in(
    connection: sa.Connection, statement: str, values: Sequence[str], *others: Any
) -> list[tuple[Any, ...]]:
    """Run a SELECT whose first `IN ?` stands for these texts; its other `?` follow in order.

    A list among the others is for an `IN ?` too. On PostgreSQL a list is one parameter.
    """
    if connection.dialect.name == "postgresql":
        return select(connection, of_postgresql(statement), (list(values), *others))
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(values), IN_MAX):
        asked: list[Any] = []
        text = statement
        for one in (list(values[start : start + IN_MAX]), *others):
            if isinstance(one, list):
                text = text.replace("IN ?", f"IN ({', '.join('?' * len(one))})", 1)
                asked += one
            else:
                asked.append(one)
        found += select(connection, text, asked)
    return found


@functools.cache
def of_postgresql(statement: str) -> str:
    """Return a statement for `select_in` in PostgreSQL's words: a list is one parameter."""
    return statement.replace("IN ?", "= ANY(%s::text[])").replace("?", "%s")
