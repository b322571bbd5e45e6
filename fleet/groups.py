"""The process `ingest`: groups of messages in, acknowledgements out.

Rules: a message is acknowledged, to its reader and to the broker, after its commit and never
before; it is verified and decoded when it arrives, beside the commit of those before it; a group
is what has arrived meanwhile, so a lone tap waits for nobody and a flood shares its commits; any
number of workers share the subscription on PostgreSQL, one works on SQLite; while the database
cannot write no worker is at the broker, and nobody holds messages that he cannot keep; the event
loop never waits for a database.
"""

import asyncio
import functools
import gc
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from fleet import broker
from fleet.books import Books, Done, Received
from fleet.config import Config
from fleet.grants import Role
from fleet.lag import Minute
from fleet.postgres import program
from fleet.workers import Holding, one_worker
from wire.clock import Clock
from wire.mqtt import Connection
from wire.topics import Leaf, every_reader

log: Final = structlog.get_logger("fleet.ingest")

GROUP_MAX: Final = 128
"""Messages in one transaction: of lone taps so many share one commit of a few ms."""
GROUP_BYTES_MAX: Final = 1024 * 1024
"""Bytes in one transaction, but for the last message: 16 to 40 full batches."""
RECEIVE_MAXIMUM: Final = 2 * GROUP_MAX
"""One group in work and one waiting; more would only move the queue here, away from others."""
ANSWERING_MAX: Final = 4
"""Groups whose acknowledgements the broker has not confirmed; a slower one is waited for."""
READ_AT_ONCE: Final = 8
"""Messages read before the event loop may answer others: 1 ms of lone taps, 12 of full batches."""
TRIES: Final = 2
"""A transaction that lost against another one (a deadlock, a lock's limit) is tried again."""
LAG_EVERY_S: Final = 60.0
SWITCH_S: Final = 0.0001
"""How soon the thread that answers may interrupt the one that writes: Python's own 5 ms would be
the whole of what an answer may take."""
GARBAGE: Final = (100_000, 50, 100)
"""After how many new objects Python looks for circles among them: a group makes tens of thousands
that go with it and holds no circles; at Python's own 700 a fifth of all work is looking."""
LEAVES: Final = (Leaf.ENTRIES, Leaf.TELEMETRY, Leaf.TRIAGE, Leaf.COMMAND_RESULT)
TOPICS: Final = tuple(f"$share/ingest/{every_reader(leaf)}" for leaf in LEAVES)


class WithPayload(Protocol):
    """A message, read already or not."""

    @property
    def payload(self) -> bytes:
        """Its bytes."""


T = TypeVar("T")
M = TypeVar("M", bound=WithPayload)


class Worker:
    """One worker with its databases: runs until cancelled, or until the database is away."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Raises StoreUnusable or ConfigRefused when it cannot begin."""
        self._config = config
        self._clock = clock
        self._books = Books(config, clock)
        self._ledger = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._minute = Minute()

    async def run(self) -> None:
        """Serve until cancelled. Raises OperationalError when the database cannot write."""
        try:
            await broker.until_first(
                broker.attend(
                    self._config,
                    TOPICS,
                    self._consume,
                    "ingest ready",
                    receive_maximum=RECEIVE_MAXIMUM,
                ),
                self._note_lag(),
            )
        finally:
            self._ledger.shutdown(wait=True)
            self._books.close()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._ledger, work, *arguments)

    async def _consume(self, connection: Connection) -> None:
        waiting: asyncio.Queue[Received] = asyncio.Queue(GROUP_MAX)
        await broker.until_first(
            self._read(connection, waiting), self._work_off(connection, waiting)
        )

    async def _read(self, connection: Connection, waiting: "asyncio.Queue[Received]") -> None:
        """Read what arrives, up to a group ahead of the commits."""
        for count in itertools.count(1):
            message = await connection.messages.get()
            await waiting.put(self._books.read(message))
            if count % READ_AT_ONCE == 0:
                await asyncio.sleep(0)  # in a flood nothing above waits by itself

    async def _work_off(self, connection: Connection, waiting: "asyncio.Queue[Received]") -> None:
        """Take groups in; while the broker confirms the answers, the next is worked on."""
        answering: deque[asyncio.Task[None]] = deque()
        try:
            while True:
                group = await next_group(waiting)
                began_ns = time.monotonic_ns()
                done = await self._in_thread(self._take, group)
                committed_ns = time.monotonic_ns()
                answer = self._answer(connection, done, group, committed_ns)
                oldest_ns = min(one.message.arrived_ns for one in group)
                self._minute.committed(committed_ns - began_ns, committed_ns - oldest_ns)
                answering.append(asyncio.create_task(answer))
                while answering and (answering[0].done() or len(answering) >= ANSWERING_MAX):
                    await answering.popleft()
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)

    def _take(self, group: Sequence[Received]) -> Done:
        for tries in range(TRIES):
            try:
                return self._books.take(group)
            except sa.exc.OperationalError as error:
                if tries + 1 == TRIES or error.connection_invalidated:
                    raise
                log.warning("group not taken in, tried again", error=str(error))
        raise AssertionError("TRIES is positive")

    async def _answer(
        self, connection: Connection, done: Done, group: Sequence[Received], committed_ns: int
    ) -> None:
        letters = self._books.letters(done)
        sent = broker.send(connection, letters)
        for one in group:
            connection.acknowledge(one.message)
        connection.flush()
        await broker.settle(connection, letters, sent)
        self._minute.answered(time.monotonic_ns() - committed_ns)

    async def _note_lag(self) -> None:
        while True:
            await asyncio.sleep(LAG_EVERY_S)
            await self._in_thread(self._books.note_lag, f"ingest {program()}", self._minute.take())


async def next_group(waiting: asyncio.Queue[M]) -> list[M]:
    """Return what waits, up to GROUP_MAX messages and about GROUP_BYTES_MAX; wait for one."""
    first = await waiting.get()
    group, size = [first], len(first.payload)
    while len(group) < GROUP_MAX and size < GROUP_BYTES_MAX and not waiting.empty():
        group.append(waiting.get_nowait())
        size += len(group[-1].payload)
    return group


async def serve(config: Config, clock: Clock) -> None:
    """Run ingest until cancelled.

    Raises StoreUnusable when it cannot begin: another one works on this SQLite, the database is
    empty or cannot be reached.
    """

    async def work(_holding: Holding) -> None:
        await Worker(config, clock).run()

    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    await broker.hold(functools.partial(one_worker, config.databases, Role.INGEST, "ingest"), work)
