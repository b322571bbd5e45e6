"""Opening the databases: one role, one set of pragmas, transactions that begin as what they are.

Rules: a commit is on the disk before it is acknowledged (SQLite: WAL with synchronous FULL);
foreign keys on; writers queue at the start of their transactions and never meet half-way (SQLite:
all, by BEGIN IMMEDIATE; PostgreSQL: all but ingest, which locks what it writes by name); reading
is on one consistent state; the role's grants hold on each connection before anything else may use
it. What differs between SQLite and PostgreSQL stands here, in `postgres`, `workers` and `grants`.
"""

import contextlib
import functools
import hashlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite

from fleet import grants, postgres
from fleet.config import Databases
from fleet.grants import Database, Role
from fleet.statements import run

BUSY_TIMEOUT_S: Final = 20.0
"""How long a writer waits for another: the longest is an import of 100,000 members, about 10 s."""
SETTLE_TIMEOUT_S: Final = 5.0
"""How long it waits for others: the longest page takes about a second."""
STATEMENTS_CACHED: Final = 256
"""Prepared statements a connection keeps; ingest uses about 60."""
IN_MAX: Final = 5_000
"""Values in one IN list; SQLite takes 32,766 parameters (SQLITE_MAX_VARIABLE_NUMBER)."""
AnyRow = sa.Row[*tuple[Any, ...]]
"""A row of whatever columns were asked for."""
RESTORING: Final = "restoring"
"""In the state folder while a restore counts already and is not finished: nothing may be opened."""
_OF_DATABASES: Final = (sa.exc.DBAPIError, psycopg.Error, MemoryError)
_BY_CONTENT: Final = (
    sa.exc.DataError,
    sa.exc.IntegrityError,
    psycopg.DataError,
    psycopg.IntegrityError,
)
_LATER: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
UNSETTLED: Final = ".unsettled"
"""Ends the name of an empty file in the state folder while a database owes `Store.settle`."""
_WRITE: Final = {"kazasu_write": True}
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def not_by_content(error: Exception) -> bool:
    """True for an error that other bytes would have met as well: it is the database's own.

    Whoever sets bytes aside asks this first, or a grant that is missing would set aside, and
    acknowledge, all that comes. What a row's content brings about is a DataError or an
    IntegrityError.
    """
    return isinstance(error, _OF_DATABASES) and not isinstance(error, _BY_CONTENT)


def is_full(error: sa.exc.DBAPIError) -> bool:
    """True when there was no room on the database's disk; the transaction has left nothing."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or isinstance(error.orig, psycopg.errors.DiskFull)


class StoreUnusable(RuntimeError):
    """The database is missing, or held by another worker; the sentence says what to do."""


class StoreUnready(StoreUnusable):
    """Waiting does not help: a person must run `kazasu-fleet init`, or mend a user's rights."""


class Store:
    """One database as one role may use it. `close` when done; safe to use from several threads."""

    def __init__(
        self, databases: Databases, database: Database, role: Role, *, empty_too: bool = False
    ) -> None:
        """Open an existing database; with `empty_too` one that is to be made.

        Raises StoreUnready when `kazasu-fleet init` is due or this role's user may more than its
        grants say, StoreUnusable while a restore is unfinished, OperationalError when the server
        cannot be reached.
        """
        self.database: Final = database
        self.role: Final = role
        self._engine = _engine(databases, database, role)
        self._file = None if databases.url else databases.state / f"{database}.db"
        self._owing = databases.state / f"{database}{UNSETTLED}"
        self._reading = self._glancing = self._engine
        if databases.url:
            self._glancing = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            self._reading = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            try:
                self._require_ready(databases, empty_too=empty_too)
            except BaseException:
                self.close()
                raise

    def _require_ready(self, databases: Databases, *, empty_too: bool) -> None:
        with self.read() as connection:
            _require_no_more_than_granted(connection, [self.role])
            made = connection.scalar(
                sa.text("select 1 from pg_namespace where nspname = :name"),
                {"name": self.database},
            )
        if made is None and not empty_too:
            raise StoreUnready(f"{databases.name} is empty: run `kazasu-fleet init` first")

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection on one consistent state; nothing is written."""
        with self._reading.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def glance(self) -> Iterator[sa.Connection]:
        """Yield a connection for one SELECT, on PostgreSQL without a transaction around it.

        That is one round trip in the place of three.
        """
        with self._glancing.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that commits at the end, or leaves nothing.

        Nobody else writes meanwhile, but for ingest on PostgreSQL: whoever writes what it writes
        takes the same locks (`lock`).
        """
        with self._engine.connect().execution_options(**_WRITE) as connection, connection.begin():
            if self.database == "persons" or self.role is not Role.INGEST:
                lock(connection, "writer", [self.database])
            yield connection

    def owe(self) -> None:
        """Write down, before something is removed, that `settle` is due, whatever comes between."""
        if self._file is not None:
            self._owing.touch(mode=0o600)

    @property
    def owes(self) -> bool:
        """True from `owe` until `settle` has come to its end."""
        return self._owing.exists()

    def settle(self) -> bool:
        """Write a file anew without what was removed, and empty its write-ahead log.

        `secure_delete` overwrites rows where they stand; copies that were left when pages were
        split, and older pages in the log, go only so (0.4 s for 100,000 members, 37 MB). False
        when others kept it busy, or the disk is full: do it again. On PostgreSQL that is the
        administrator's (`VACUUM FULL`), and this is True.
        """
        if self._file is None:
            return True
        with contextlib.closing(sqlite3.connect(self._file, timeout=SETTLE_TIMEOUT_S)) as plain:
            try:
                plain.execute("VACUUM")
                (busy, _, _) = plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in _LATER:
                    raise
                return False
        if not busy:
            self._owing.unlink(missing_ok=True)
        return not busy

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_fleet(databases: Databases, role: Role) -> Store:
    """Open the database without persons."""
    return Store(databases, "fleet", role)


def open_persons(databases: Databases, role: Role) -> Store:
    """Open the database of persons; a role without a grant is refused at its first statement."""
    return Store(databases, "persons", role)


def _engine(databases: Databases, database: Database, role: Role) -> sa.Engine:
    if databases.url:
        return postgres.engine(databases.url, database, role)
    path = databases.state / f"{database}.db"
    _require_settled(databases.state)
    if not path.exists():
        raise StoreUnready(f"{path} does not exist: run `kazasu-fleet init` first")
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
        connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
        if role is not Role.OWNER:
            connection.set_authorizer(grants.authorizer(role, database))
        return connection

    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.pool.QueuePool,
        hide_parameters=True,  # an error's text gets into the log, and values are people
    )
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("kazasu_write", False)
    run(connection, "BEGIN IMMEDIATE" if write else "BEGIN")


def _require_settled(state: Path) -> None:
    if (state / RESTORING).exists():
        raise StoreUnusable(
            f"a restore into {state} was cut short: run the same `kazasu-fleet restore` again"
        )


def migrate(databases: Databases) -> None:
    """Create both databases, or bring them to this version. Idempotent."""
    _require_settled(databases.state)
    databases.state.mkdir(parents=True, exist_ok=True)
    for database in ("fleet", "persons"):
        if not databases.url:
            _make_file(databases.state / f"{database}.db")
        store = Store(databases, database, Role.OWNER, empty_too=True)
        try:
            with store.write() as connection:
                bring_up(connection, database)
        finally:
            store.close()


def bring_up(connection: sa.Connection, database: Database) -> None:
    """Create one database's tables, or bring them to this version, in the caller's transaction."""
    _require_users(connection)
    grants.make_schema(connection, database)
    command.upgrade(_alembic(database, connection), "head")
    grants.grant(connection, database)


def revisions(database: Database) -> frozenset[str]:
    """Return the names of all versions of a database that this program can bring up."""
    script = ScriptDirectory.from_config(_alembic(database, None))
    return frozenset(one.revision for one in script.walk_revisions())


def _require_users(connection: sa.Connection) -> None:
    if missing := grants.missing_users(connection):
        wanted = " ".join(f"CREATE ROLE {name} LOGIN;" for name in missing)
        raise StoreUnusable(f"users are missing: as PostgreSQL's administrator type: {wanted}")
    _require_no_more_than_granted(connection, list(Role))


def _require_no_more_than_granted(connection: sa.Connection, roles: Collection[Role]) -> None:
    if found := grants.excesses(connection, roles):
        names = ", ".join(found)
        wanted = " ".join(one for statements in found.values() for one in statements)
        raise StoreUnready(
            f"{names} may more on the server than the fleet grants: "
            f"as PostgreSQL's administrator type: {wanted}"
        )


def _make_file(path: Path) -> None:
    if not path.exists():
        path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA journal_mode = WAL")


def _alembic(database: Database, connection: sa.Connection | None) -> AlembicConfig:
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


def insert_once(
    connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], number: sa.Column[Any]
) -> int | None:
    """Insert one row and return its number; None where its key is there already."""
    statement = _insert_missing(connection.dialect.name, table).values(row).returning(number)
    found = connection.scalar(statement)
    return None if found is None else int(found)


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


_LOCK: Final = "SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k"


def lock_key(kind: str, name: str) -> int:
    """Return the number by which PostgreSQL knows a lock: 64 bits of a hash, signed."""
    digest = hashlib.sha256(f"{kind}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def lock(connection: sa.Connection, kind: str, names: Collection[str]) -> None:
    """Wait until this transaction alone holds these locks; they end with it.

    Locks of one kind are taken in one call, in an order that is the same for all, and the kinds
    in this order: `writer` (`Store.write` does it), `reader`, `programme`. So nobody waits in a
    ring. On SQLite a writer is alone already. Raises OperationalError after 20 s of waiting.
    """
    if names and connection.dialect.name == "postgresql":
        keys = sorted({lock_key(kind, name) for name in names})
        run(connection, _LOCK, ["{" + ",".join(map(str, keys)) + "}"])
