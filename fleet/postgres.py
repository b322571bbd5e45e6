"""PostgreSQL as one role uses it: its own user, its own schema, limits, and quick reconnection.

Rules: each process logs in as `kazasu_<role>`, and what that user may do is the server's to
decide; a commit is on the server's disk before it is believed; nothing waits for ever: connecting,
waiting for a lock, a forgotten transaction and a silent network each have a limit; whatever ends a
connection reaches the caller as one `sqlalchemy.exc.OperationalError`, and the next transaction
has a new connection.
"""

import os
import select
import socket
from typing import Any, Final

import psycopg
import psycopg.types.string
import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from fleet.grants import Database, Role, user_of

CONNECT_TIMEOUT_S: Final = 5
"""A server that is there answers within ms; a restarting one refuses at once."""
LOCK_TIMEOUT_S: Final = 20
"""How long a writer waits for another: the longest is an import of 100,000 members, about 10 s."""
IDLE_TIMEOUT_S: Final = 60
"""After which a transaction that does nothing is ended: a stopped process must hold no lock."""
STATEMENT_TIMEOUT_S: Final = 30
"""Longest statement of a page or a reader's request; 100 times what they take."""
SILENCE_S: Final = 15
"""Unanswered bytes for so long mean that the server or the way to it is gone."""
CONNECTIONS: Final = 5
"""Kept open a store; a process has at most two stores, so 8 processes stay below the server's
customary 100 connections."""
CONNECTIONS_MORE: Final = 10
"""Opened beyond those in a rush, and closed again."""
STATEMENTS_CACHED: Final = 256
"""Prepared statements that psycopg keeps for a connection (ingest: `fleet.exchange`)."""
_PATIENT: Final = frozenset({Role.OWNER})
"""A person at the command line may export for hours."""
_PAGES: Final = frozenset({Role.CONSOLE, Role.OFFICE, Role.DEVICES})
_BY_KEY: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": 0,
}
"""For who asks for some rows by their keys, thousands of times the same: without these a table that
has just been filled, and of which the server has no statistics yet, is read from end to end for
each group, 20 ms of its 30; and a month's index of receipt is joined to that of the cards, 15 ms
over 200,000 entries; and over ten million two helpers are called for one card's rows, 12 ms
(planner: https://www.postgresql.org/docs/15/runtime-config-query.html).
"""


def program() -> str:
    """Return how this process is named in the server's list of connections."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


def login(url: str, role: Role) -> sa.URL:
    """Return the URL with which a role connects."""
    return sa.make_url(url).set(drivername="postgresql+psycopg", username=user_of(role))


def arguments(role: Role, what: str, settings: dict[str, object]) -> dict[str, Any]:
    """Return libpq's arguments beside the URL: limits, and settings of the session.

    Keepalives: https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-KEEPALIVES.
    """
    given = {"synchronous_commit": "on", "timezone": "UTC", "client_encoding": "UTF8", **settings}
    return {
        "application_name": f"kazasu-{role} {what} {program()}"[:63],
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": SILENCE_S,
        "keepalives_interval": SILENCE_S // 3,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_S * 1000,
        "options": " ".join(f"-c {name}={value}" for name, value in given.items()),
    }


def engine(url: str, database: Database, role: Role) -> sa.Engine:
    """Return a role's engine on one schema; connects when first used."""
    settings: dict[str, object] = {
        "search_path": f"{database},pg_temp",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
        "idle_in_transaction_session_timeout": 0 if role in _PATIENT else f"{IDLE_TIMEOUT_S}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S}s" if role in _PAGES else 0,
        **(_BY_KEY if role is Role.INGEST else {}),
    }
    made = sa.create_engine(
        login(url, role),
        connect_args={
            **arguments(role, database, settings),
            "prepare_threshold": None if role is Role.INGEST else 3,
        },
        hide_parameters=True,  # an error's text gets into the log, and values are people
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS_MORE,
    )
    sa.event.listen(made, "connect", _prepare)
    sa.event.listen(made, "checkout", _refuse_dead)
    sa.event.listen(made, "handle_error", _heard)
    return made


def _prepare(connection: psycopg.Connection, _record: object) -> None:
    connection.prepared_max = STATEMENTS_CACHED
    connection.adapters.register_loader("numeric", _WholeNumber)
    connection.adapters.register_dumper(str, _Text)


class _Text(psycopg.types.string.StrDumperUnknown):
    """PostgreSQL keeps no U+0000: where someone typed or sent one, another character stands.

    Entries never hold one (wire.entries.decode), so no reader's words are changed.
    """

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


class _WholeNumber(Loader):
    """The sum of bigints is a numeric, and a whole number; no table has any other numeric."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def silent(handle: int) -> bool:
    """True when nothing has come on a connection that nobody asked anything.

    A server that ends a session says so, and its socket closes: bytes that nobody asked for. This
    costs a microsecond where asking the server would cost a round trip for each transaction.
    """
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return not poll.poll(0)


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Let the pool open another connection in the place of one that the server has ended."""
    if connection.closed or not silent(connection.pgconn.socket):
        raise sa.exc.InvalidatePoolError


def operational(error: sa.exc.DBAPIError, *, lost: bool) -> sa.exc.DBAPIError:
    """Whatever way the server cannot: callers know one error for it, and try again.

    Lost connections have several names; an InternalError is a server that may only read (class 25,
    as after a failover) or has damaged files (class XX). Any other error is returned as it is.
    """
    cannot = lost or isinstance(error, sa.exc.InternalError)
    if not cannot or isinstance(error, sa.exc.OperationalError):
        return error
    return sa.exc.OperationalError(
        error.statement, None, error.orig or error, connection_invalidated=lost
    )


def without_values(error: BaseException) -> None:
    """Cut what a server's error tells of rows: its text gets into the log, and values are people.

    DETAIL and CONTEXT («Failing row contains …») are dropped; of a data exception (class 22), whose
    first line repeats a value, only its SQLSTATE is left, unless a trigger of ours has raised it.
    https://www.postgresql.org/docs/15/protocol-error-fields.html
    """
    if not isinstance(error, psycopg.Error) or not (state := error.diag.sqlstate):
        return  # of the driver or the network: it names no row
    first = error.diag.message_primary or ""
    if state.startswith("22") and error.diag.source_function != "exec_stmt_raise":
        first = "the server could not use a value"
    error.args = (f"{first} (SQLSTATE {state})",)


def _heard(context: sa.engine.ExceptionContext) -> None:
    error, orig = context.sqlalchemy_exception, context.original_exception
    without_values(orig)
    if isinstance(error, sa.exc.DBAPIError):
        error.args = (f"({type(orig).__module__}.{type(orig).__name__}) {orig}",)
        named = operational(error, lost=context.is_disconnect)
        if named is not error:
            raise named from context.original_exception
