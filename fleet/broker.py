"""Between the broker and the books: groups of messages in, acknowledgements and wishes out.

Rules: a message is acknowledged to the broker after its commit and never before; a group is what
has arrived while the one before was committed, so a lone tap waits for nobody and a flood shares
its commits; no session, so a restart begins with what readers send again; the event loop never
waits for a database.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import sqlalchemy as sa
import structlog

from fleet import rosters
from fleet.books import Books, Letter, read_signing_key
from fleet.config import Config
from fleet.grants import Role
from fleet.store import open_fleet, open_persons
from fleet.workers import one_worker
from wire.clock import Clock
from wire.envelope import Signer
from wire.mqtt import Connection, Endpoint, Message, MqttError, MqttRefused, client_tls
from wire.topics import Leaf, every_reader

log: Final = structlog.get_logger("fleet.broker")

GROUP_MAX: Final = 32
"""Messages in one transaction: 32 full batches are 6,400 entries, about 0.3 s."""
RECEIVE_MAXIMUM: Final = 3 * GROUP_MAX
"""One group in work, one being answered, one waiting; more would only move the queue here."""
PUBLISH_AT_ONCE: Final = 64
"""Publishes waiting for the broker's answer at one time."""
TWIN_EVERY_S: Final = 60.0
"""How often each reader hears the fleet's time and wishes: the limit of an offline clock's drift
that a reader must bridge, and one small message a minute and reader."""
SWEEP_EVERY_S: Final = 2.0
"""Gaps are called after 60 s; two seconds more do not matter."""
ROSTERS_EVERY_S: Final = 0.5
"""How soon a clerk's change is noticed: the next tap at the desk is a few seconds away."""
RETRY_S: Final = 1.0
"""Pause after the database could not write; readers keep everything meanwhile."""
BACKOFF_S_MAX: Final = 15.0
SHARED: Final = "$share/ingest/"
"""Workers share these leaves; status and twin go to each, since only so retained ones come."""

T = TypeVar("T")


class Worker:
    """The ingest process: runs until cancelled."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Raises StoreUnusable or ConfigRefused when it cannot begin."""
        self._config = config
        self._books = Books(config, clock)
        self._ledger = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._builder = rosters.Builder(
            open_fleet(config.databases, Role.INGEST),
            open_persons(config.databases, Role.INGEST),
            config.state_folder,
            config.tenant,
            Signer(read_signing_key(config.signing_key)),
            clock,
        )
        self._wishes: asyncio.Queue[set[str] | None] = asyncio.Queue()

    async def run(self) -> None:
        """Serve until cancelled; a lost broker is tried again, with growing pauses."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._serve())
                tasks.create_task(self._build())
                tasks.create_task(self._sweep())
        finally:
            self._ledger.shutdown(wait=True)
            self._books.close()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._ledger, work, *arguments)

    async def _build(self) -> None:
        """Build rosters as members, rules and places change; in a thread of its own."""
        while True:
            try:
                built = await asyncio.to_thread(self._builder.build_changed, _warn)
            except (sa.exc.OperationalError, OSError) as error:
                log.error("rosters not built, will try again", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            changed = [one for one in built if one.changed]
            for one in changed:
                log.info("roster built", **one._asdict())
            if changed:
                self._wishes.put_nowait(None)
            await asyncio.sleep(ROSTERS_EVERY_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self._in_thread(self._books.sweep)
            except sa.exc.OperationalError as error:
                log.error("sweep not done, will try again", error=str(error))

    async def _serve(self) -> None:
        pause_s = 0.5
        while True:
            connection = self._connect()
            try:
                await connection.open()
                await _subscribe(connection)
                log.info("ingest ready", port=self._config.broker_port)
                pause_s = 0.5
                await self._until_closed(connection)
            except MqttError as error:
                log.warning("broker", error=str(error), pause_s=pause_s)
            finally:
                await connection.close()
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311  jitter
            pause_s = min(2 * pause_s, BACKOFF_S_MAX)

    def _connect(self) -> Connection:
        config = self._config
        tls = client_tls(config.authority, config.certificate, config.key)
        endpoint = Endpoint(config.broker_host, config.broker_port, tls)
        return Connection(endpoint, receive_maximum=RECEIVE_MAXIMUM)

    async def _until_closed(self, connection: Connection) -> None:
        tasks = [
            asyncio.create_task(self._consume(connection)),
            asyncio.create_task(self._wish(connection)),
            asyncio.create_task(connection.closed.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise MqttError(connection.why_closed)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, MqttError):
                    await task

    async def _consume(self, connection: Connection) -> None:
        """Take groups in; while one is answered, the next is already worked on."""
        answering: asyncio.Task[None] | None = None
        try:
            while True:
                group = [await connection.messages.get()]
                while len(group) < GROUP_MAX and not connection.messages.empty():
                    group.append(connection.messages.get_nowait())
                done = await self._in_thread(self._books.take, group)
                if done.came_online:
                    self._wishes.put_nowait(done.came_online)
                if answering:
                    await answering
                answering = asyncio.create_task(_answer(connection, done.acks, group))
        except sa.exc.OperationalError as error:
            log.error("the ledger cannot write; readers keep their entries", error=str(error))
            await asyncio.sleep(RETRY_S)
            raise MqttError("left the broker; readers will send again") from error
        finally:
            if answering:
                answering.cancel()

    async def _wish(self, connection: Connection) -> None:
        """Say the wishes to all at once and every minute, and to a reader when it comes online."""
        only: set[str] | None = None
        while True:
            letters = await self._in_thread(self._books.twins, only)
            await _publish(connection, letters)
            try:
                async with asyncio.timeout(TWIN_EVERY_S):
                    only = await self._wishes.get()
            except TimeoutError:
                only = None


async def _subscribe(connection: Connection) -> None:
    shared = (Leaf.ENTRIES, Leaf.TELEMETRY, Leaf.TRIAGE)
    each = (Leaf.STATUS, Leaf.TWIN_REPORTED)
    await connection.subscribe(
        *(SHARED + every_reader(leaf) for leaf in shared), *(every_reader(leaf) for leaf in each)
    )


async def _answer(connection: Connection, acks: Sequence[Letter], group: Sequence[Message]) -> None:
    await _publish(connection, acks)
    for message in group:
        connection.acknowledge(message)


async def _publish(connection: Connection, letters: Sequence[Letter]) -> None:
    """Publish, some at a time; what the broker's rules deny for one reader stops no other."""
    for start in range(0, len(letters), PUBLISH_AT_ONCE):
        some = letters[start : start + PUBLISH_AT_ONCE]
        results = await asyncio.gather(
            *(connection.publish(one.topic, one.payload, retain=one.retain) for one in some),
            return_exceptions=True,
        )
        for one, result in zip(some, results, strict=True):
            if isinstance(result, MqttRefused):
                log.error("publish refused", topic=one.topic, error=str(result))
            elif isinstance(result, BaseException):
                raise result


def _warn(programme: str, error: rosters.RosterUnbuildable) -> None:
    log.warning("roster not built", programme=programme, error=str(error))


async def serve(config: Config, clock: Clock) -> None:
    """Run ingest until cancelled. Raises StoreUnusable when another one works on this state."""
    with one_worker(config.databases, Role.INGEST, "ingest"):
        await Worker(config, clock).run()
