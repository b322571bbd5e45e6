"""Statements to PostgreSQL in one round trip: libpq's pipeline, with nothing around it.

Rules: what is queued goes to the server together and in order, and every answer has come before
`ask` returns; the first error is raised then, and of what followed it nothing was done; a
transaction begins as psycopg would begin it. A statement costs psycopg's cursor 100 to 150 us of
Python and libpq's own calls 20; a group of messages has nine
(https://www.postgresql.org/docs/15/libpq-pipeline-mode.html).
"""

import functools
import itertools
import select
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

Rows = list[tuple[Any, ...]]


def array(values: Sequence[Any]) -> str:
    """Return an array as PostgreSQL writes it (https://www.postgresql.org/docs/15/arrays.html)."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return f"{{{','.join(map(str, values))}}}"
    if kinds == {str}:
        inside = "".join(values)
        if '"' not in inside and "\\" not in inside:
            quoted = '","'.join(values)
            return f'{{"{quoted}"}}'
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    text = _text(value)
    if text is None:
        return "NULL"
    quoted = text.decode().replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _text(value: Any) -> bytes | None:
    """Return a parameter as PostgreSQL reads it; a text's U+0000 is replaced (`postgres._Text`)."""
    match value:
        case None:
            return None
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"%d" % value
        case bytes():
            return b"\\x" + value.hex().encode()
        case list():
            return array(value).encode()
    raise TypeError(f"{type(value).__name__} is not sent to PostgreSQL in this way")


@functools.cache
def _numbered(statement: str) -> bytes:
    """Return a statement with $1, $2 in the place of its %s."""
    parts = statement.split("%s")
    numbered = (f"${n}{part}" for n, part in enumerate(parts[1:], 1))
    return "".join([parts[0], *numbered]).encode()


class Exchange:
    """What one connection says to the server. Belongs to whoever has the connection."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self.is_open = False
        """Statements are queued and not sent at once."""
        self._driver = driver
        self._pgconn = driver.pgconn
        self._named = itertools.count()
        self._names: dict[str, bytes] = {}
        """Statements that the server has prepared. Where psycopg prepares too it forgets all of
        them at a rollback (DEALLOCATE ALL), so there nothing is prepared here."""
        self._prepares = driver.prepare_threshold is None
        self._new: list[str] = []
        """Statements that are prepared with what is queued."""
        self._queued: list[Callable[[], None]] = []
        self._loading = Transformer(driver)

    def add(self, statement: str, parameters: Sequence[Any]) -> None:
        """Queue a statement for the next `ask`. Raises TypeError, and queues nothing."""
        values = [_text(value) for value in parameters]
        pgconn, queue = self._pgconn, self._queued.append
        begun = self._queued or pgconn.transaction_status != TransactionStatus.IDLE
        if not begun and not self._driver.autocommit:
            queue(functools.partial(pgconn.send_query_params, self._begin(), None))
        if not self._prepares:
            queue(functools.partial(pgconn.send_query_params, _numbered(statement), values))
            return
        name = self._names.get(statement)
        if name is None:
            name = self._names[statement] = b"kazasu_%d" % next(self._named)
            self._new.append(statement)
            queue(functools.partial(pgconn.send_prepare, name, _numbered(statement)))
        queue(functools.partial(pgconn.send_query_prepared, name, values))

    def _begin(self) -> bytes:
        """Return what begins a transaction of this connection."""
        level, read_only = self._driver.isolation_level, self._driver.read_only
        isolation = f" ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else ""
        return f"BEGIN{isolation}{' READ ONLY' if read_only else ''}".encode()

    def forget(self) -> None:
        """Drop what is queued, and the names of what it was to prepare."""
        self._queued.clear()
        for statement in self._new:
            self._names.pop(statement, None)
        self._new.clear()

    def ask(self) -> Rows:
        """Send what is queued; return the rows of the last statement. Raises psycopg.Error."""
        if not self._queued:
            return []
        try:
            results = self._results()
        except BaseException:
            self._driver.close()  # nobody knows what the server has still to say
            raise
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                self.forget()  # which of them are prepared is not known: they get other names
                raise error_from_result(result, "utf-8")
        self._queued.clear()
        self._new.clear()
        self._loading.set_pgresult(results[-1])
        return self._loading.load_rows(0, results[-1].ntuples, tuple)

    def _results(self) -> list[PGresult]:
        """Send what is queued and return the server's answers, one each."""
        pgconn, poll = self._pgconn, select.poll()
        pgconn.enter_pipeline_mode()
        for send in self._queued:
            send()
        pgconn.pipeline_sync()
        results: list[PGresult] = []
        while True:
            unsent = pgconn.flush()
            poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            poll.poll()
            pgconn.consume_input()
            ended = False
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:  # ends each answer; a second one says that no more has come
                    if ended:
                        break
                    ended = True
                elif result.status == ExecStatus.PIPELINE_SYNC:
                    pgconn.exit_pipeline_mode()
                    return results
                else:
                    results.append(result)
                    ended = False
