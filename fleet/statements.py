"""Statements in the driver's own words, for what ingest does with each group.

Rules: they belong to the connection's transaction; errors have SQLAlchemy's names, as everywhere;
what is between `together` is one round trip on PostgreSQL. Part of the store's layer.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from fleet import postgres
from fleet.exchange import Exchange

OF_DRIVERS: Final = (sqlite3.Error, psycopg.Error)


def run(connection: sa.Connection, statement: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement in the driver's own words, in the connection's transaction.

    For what ingest does with each group: SQLAlchemy's own work around a statement costs 20 to 60 us
    and a group has ten. Errors have SQLAlchemy's names, as everywhere.
    """
    try:
        if connection.dialect.name == "postgresql":
            exchange = _exchange(connection)
            exchange.add(statement, parameters)
            if not exchange.is_open:
                exchange.ask()
        else:
            driver: Any = connection.connection.driver_connection
            driver.execute(statement, parameters)
    except OF_DRIVERS as error:
        raise named(connection, statement, error) from error


def _exchange(connection: sa.Connection) -> Exchange:
    kept: dict[str, Exchange] = connection.info
    found = kept.get("exchange")
    if found is None:
        driver: Any = connection.connection.driver_connection
        found = kept["exchange"] = Exchange(driver)
    return found


def select(
    connection: sa.Connection, statement: str, parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT in the driver's own words, as `run` runs it."""
    try:
        if connection.dialect.name == "postgresql":
            exchange = _exchange(connection)
            exchange.add(statement, parameters)
            return exchange.ask()
        driver: Any = connection.connection.driver_connection
        rows: list[tuple[Any, ...]] = driver.execute(statement, parameters).fetchall()
    except OF_DRIVERS as error:
        raise named(connection, statement, error) from error
    return rows


@contextlib.contextmanager
def together(connection: sa.Connection) -> Iterator[None]:
    """Let statements follow each other without waiting: on PostgreSQL all are one round trip.

    In here only `run` and `select` are used. The server does one after the other as always; the
    error of a `run` may come up at the next `select` or at the end.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    exchange = _exchange(connection)
    exchange.is_open = True
    try:
        yield
        exchange.ask()
    except psycopg.Error as error:
        raise named(connection, "several statements", error) from error
    finally:
        exchange.is_open = False
        exchange.forget()


def named(connection: sa.Connection, statement: str, error: Exception) -> sa.exc.DBAPIError:
    """Return a driver's error under SQLAlchemy's name; forget the connection when it is lost.

    The names are those of PEP 249 on both sides.
    """
    postgres.without_values(error)
    kind: type[sa.exc.DBAPIError] = sa.exc.DatabaseError
    for cls in type(error).__mro__:
        found = getattr(sa.exc, cls.__name__, None)
        if found is not None and issubclass(found, sa.exc.DBAPIError):
            kind = found
            break
    driver: Any = connection.connection.driver_connection
    lost = isinstance(error, psycopg.Error) and bool(driver.closed)
    if lost:
        connection.invalidate(error)
    return postgres.operational(
        kind(statement, None, error, connection_invalidated=lost), lost=lost
    )
