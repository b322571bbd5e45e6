"""Which process does what happens once: a lock that ends with the process that holds it.

Rules: a second one is refused at its start, with the name of the first; on SQLite the lock is a
file's (flock), on PostgreSQL the server's (a session's advisory lock on a connection of its own);
who lost that connection has lost the lock, can find out, and must stop.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from fleet import postgres
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import StoreUnusable, lock_key

ASK_TIMEOUT_S: Final = 5
"""How long the server may take to say that a holder still holds."""


class Held(StoreUnusable):
    """Another process is the only one, or means to be; who stands by tries again."""


class Lost(RuntimeError):
    """The lock is no longer ours: another process may be the only one by now."""


class Holding:
    """A lock that is held; on SQLite until the process ends."""

    def lost(self) -> bool:
        """True once another process may hold it: stop. Asks the server: not for the event loop."""
        return False

    def require(self) -> None:
        """Raise Lost once another process may hold it. Asks the server: not for the event loop."""
        if self.lost():
            raise Lost("the lock that only one process may hold was lost")


class _Session(Holding):
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def lost(self) -> bool:
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return True
        return False


@contextlib.contextmanager
def sole_worker(databases: Databases, role: Role, what: str) -> Iterator[Holding]:
    """Be the only worker of this kind, until left or the process ends.

    Raises Held, naming the process that is one already; StoreUnusable without a server.
    """
    with _held(databases, role, what, alone=True) as holding:
        yield holding


@contextlib.contextmanager
def one_worker(databases: Databases, role: Role, what: str) -> Iterator[Holding]:
    """Be one of the workers of this kind: of several on PostgreSQL, the only one on SQLite.

    Raises Held, naming the process that is the only one, or means to be; StoreUnusable without a
    server.
    """
    with _held(databases, role, what, alone=False) as holding:
        yield holding


@contextlib.contextmanager
def _held(databases: Databases, role: Role, what: str, *, alone: bool) -> Iterator[Holding]:
    if databases.url:
        with _session(databases, role, what, alone=alone) as connection:
            yield _Session(connection)
        return
    with only_one(databases.state / f"{what}.lock", what):
        yield Holding()


@contextlib.contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold a file's lock, as the only one who does `what` in its folder. Raises Held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            raise Held(
                f"another {what} (process {holder}) already works on {path.parent}: "
                f"stop it first, or use another folder"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


_HOLDER: Final = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""
"""A key of 64 bits stands in pg_locks as two halves (documentation, 54.12 pg_locks)."""


@contextlib.contextmanager
def _session(
    databases: Databases, role: Role, what: str, *, alone: bool
) -> Iterator[psycopg.Connection]:
    """Hold the lock on a connection that does nothing else.

    The server's own keepalives are short here, so that a holder whose machine is gone holds up
    its successor for seconds and not for hours.
    """
    third = postgres.SILENCE_S // 3
    settings: dict[str, object] = {
        "tcp_keepalives_idle": third,
        "tcp_keepalives_interval": third,
        "tcp_keepalives_count": 2,
        "statement_timeout": f"{ASK_TIMEOUT_S}s",
    }
    url = postgres.login(databases.url, role).set(drivername="postgresql")
    info = url.render_as_string(hide_password=False)
    try:
        connection = psycopg.connect(
            info, autocommit=True, **postgres.arguments(role, f"only {what}", settings)
        )
    except psycopg.OperationalError as error:
        raise StoreUnusable(f"{databases.name} cannot be reached: {error}") from error
    key = lock_key("worker", what)
    verb = "pg_try_advisory_lock" if alone else "pg_try_advisory_lock_shared"
    with contextlib.closing(connection):
        held = connection.execute(f"SELECT {verb}(%s)", (key,)).fetchone()
        if held != (True,):
            rows = connection.execute(_HOLDER, (key,)).fetchall()
            holders = ", ".join(name for (name,) in rows) or "unknown"
            raise Held(
                f"another {what} ({holders}) already works on {databases.name}: stop it first"
            )
        yield connection
