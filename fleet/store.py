"""Opening the databases: one role, one set of pragmas, transactions that begin as what they are.

Rules: WAL with synchronous FULL, so a commit is on the disk before it is acknowledged; foreign
keys on; a write begins IMMEDIATE, so two writers queue at the start and never meet half-way; the
role's grants are put on each connection before anything else may use it. What differs between
SQLite and PostgreSQL stands here and in `grants` alone.
"""

import contextlib
import fcntl
import functools
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy.dialects import postgresql, sqlite

from fleet import grants
from fleet.grants import Database, Role

BUSY_TIMEOUT_S: Final = 20.0
"""How long a writer waits for another: the longest is an import of 100,000 members, about 10 s."""
STATEMENTS_CACHED: Final = 256
"""Prepared statements a connection keeps; ingest uses about 60."""
IN_MAX: Final = 5_000
"""Values in one IN list; SQLite takes 32,766 parameters (SQLITE_MAX_VARIABLE_NUMBER)."""
AnyRow = sa.Row[*tuple[Any, ...]]
"""A row of whatever columns were asked for."""
_WRITE: Final = {"kazasu_write": True}
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class StoreUnusable(RuntimeError):
    """The database is missing, or held by another worker; the sentence says what to do."""


class Store:
    """One database as one role may use it. `close` when done; safe to use from several threads."""

    def __init__(self, path: Path, database: Database, role: Role) -> None:
        """Open an existing database file; raises StoreUnusable when `kazasu-fleet init` is due."""
        if not path.exists():
            raise StoreUnusable(f"{path} does not exist: run `kazasu-fleet init` first")
        self.path: Final = path
        self.database: Final = database
        self.role: Final = role
        self._engine = _engine(path, database, role)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection on one consistent state; nothing is written."""
        with self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that commits at the end, or leaves nothing."""
        with self._engine.connect().execution_options(**_WRITE) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_fleet(state: Path, role: Role) -> Store:
    """Open the database without persons."""
    return Store(state / "fleet.db", "fleet", role)


def open_persons(state: Path, role: Role) -> Store:
    """Open the database of persons; a role without a grant is refused at its first statement."""
    return Store(state / "persons.db", "persons", role)


def _engine(path: Path, database: Database, role: Role) -> sa.Engine:
    mode = "rw" if grants.may_write(role, database) else "ro"
    uri = f"{path.resolve().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        if role is not Role.OWNER:
            connection.set_authorizer(grants.authorizer(role, database))
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("kazasu_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def migrate(state: Path) -> None:
    """Create both databases in `state`, or bring them to this version. Idempotent."""
    state.mkdir(parents=True, exist_ok=True)
    for database in ("fleet", "persons"):
        path = state / f"{database}.db"
        if not path.exists():
            path.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(path)) as plain:
            plain.execute("PRAGMA journal_mode = WAL")
        store = Store(path, database, Role.OWNER)
        try:
            with store.write() as connection:
                command.upgrade(_alembic(database, connection), "head")
        finally:
            store.close()


def _alembic(database: Database, connection: sa.Connection) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_MIGRATIONS / database).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, database=database)
    return config


def _insert(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@functools.cache
def _insert_missing(dialect: str, table: sa.Table) -> Any:
    return _insert(dialect, table).on_conflict_do_nothing()


@functools.cache
def _upsert(
    dialect: str,
    table: sa.Table,
    key: tuple[str, ...],
    add: tuple[str, ...],
    replace: tuple[str, ...],
) -> Any:
    """Return the statement, made once: making one costs as much as running it."""
    insert = _insert(dialect, table)
    changes: dict[str, Any] = {name: table.c[name] + insert.excluded[name] for name in add}
    changes |= {name: insert.excluded[name] for name in replace}
    return insert.on_conflict_do_update(index_elements=list(key), set_=changes)


def insert_missing(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert the rows whose key is not there yet, in one statement."""
    if rows:
        connection.execute(_insert_missing(connection.dialect.name, table), rows)


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    add: Sequence[str] = (),
    replace: Sequence[str] = (),
) -> None:
    """Insert rows; where `key` exists, add to the columns `add` and overwrite `replace`."""
    if rows:
        statement = _upsert(connection.dialect.name, table, tuple(key), tuple(add), tuple(replace))
        connection.execute(statement, list(rows))


def new_id(added: sa.CursorResult[Any]) -> int:
    """Return the number that the database gave the row just inserted."""
    key = added.inserted_primary_key
    if not key:
        raise RuntimeError("nothing was inserted")
    return int(key[0])


@contextlib.contextmanager
def sole_worker(state: Path, what: str) -> Iterator[None]:
    """Hold the state folder's lock for this kind of worker, until left or the process ends.

    On SQLite there is exactly one ingest. Raises StoreUnusable, naming the process that has it.
    """
    path = state / f"{what}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            raise StoreUnusable(
                f"another {what} (process {holder}) already works on {state}: "
                f"stop it first, or use another state folder"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
