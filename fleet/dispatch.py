"""The process `dispatch`: what readers are told, and what happens once per fleet.

Rules: exactly one works, under a lock whose loss stops it; a reader that comes online hears the
fleet's wishes at once, every reader hears them each minute; building lists, for however long, holds
up neither a status nor a wish nor an entry; what cannot be done now is tried again.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import sqlalchemy as sa
import structlog

from fleet import broker, gate_names, rosters, usage_files
from fleet.books import read_signing_key
from fleet.claim_seal import ClaimSigner
from fleet.config import Config
from fleet.dispatch_books import DispatchBooks
from fleet.grants import Role
from fleet.groups import next_group
from fleet.lag import Figure, Growth
from fleet.postgres import program
from fleet.store import open_fleet, open_persons
from fleet.work_lists import ListMaker, Made
from fleet.workers import Holding, sole_worker
from wire.clock import Clock
from wire.envelope import Signer
from wire.mqtt import Connection, Message, MqttRefused
from wire.topics import Leaf, every_reader

log: Final = structlog.get_logger("fleet.dispatch")

TWIN_EVERY_S: Final = 60.0
"""How often each reader hears the fleet's time and wishes: the limit of an offline clock's drift
that a reader must bridge, and one small message a minute and reader."""
TWINS_AT_ONCE: Final = 200
"""Wishes signed in one go, about 20 ms: what comes online meanwhile waits no longer."""
SWEEP_EVERY_S: Final = 2.0
"""Gaps are called after 60 s; two seconds more do not matter."""
TIDY_EVERY_S: Final = 60.0
"""What is forgotten has been kept for days."""
BUILD_EVERY_S: Final = 0.5
"""How soon a clerk's change is noticed: the next tap at the desk is a few seconds away."""
DESK_EVERY_S: Final = 0.5
"""How soon a reader is told that a desk waits for a card: somebody stands there with it."""
LISTS_EVERY_S: Final = 60.0
"""How soon a signed list of working days follows a change of one of them."""
MEASURE_EVERY_S: Final = 10.0
"""mosquitto renews its own counters as often (sys_interval)."""
COUNTER_S: Final = 1.0
"""How long the broker's counter is waited for: it follows the broker's answer at once, or never."""
RETRY_S: Final = 1.0
MESSAGES_MAX: Final = 24_000
"""Status and twin of the most readers of one tenant, which all come at the start (a few MB)."""
COUNTER_DIGITS_MAX: Final = 20
"""64 bits."""
BROKER_DROPPED: Final = "$SYS/broker/publish/messages/dropped"
"""mosquitto's counter (mosquitto(8), BROKER STATUS); other brokers have none."""
TOPICS: Final = tuple(every_reader(leaf) for leaf in (Leaf.STATUS, Leaf.TWIN_REPORTED))
"""Not shared: only so the retained ones come to whoever starts later."""

T = TypeVar("T")


class Dispatcher:
    """The one dispatcher with its databases: runs until cancelled, or until it must begin again."""

    def __init__(self, config: Config, clock: Clock, holding: Holding) -> None:
        """Raises StoreUnusable or ConfigRefused when it cannot begin."""
        self._config = config
        self._holding = holding
        self._books = DispatchBooks(config, clock, holding)
        self._desk = ThreadPoolExecutor(1, thread_name_prefix="dispatch")
        self._fleet = open_fleet(config.databases, Role.DISPATCH)
        self._people = open_persons(config.databases, Role.DISPATCH)
        self._clock = clock
        signer = Signer(read_signing_key(config.signing_key))
        self._claims = ClaimSigner(self._fleet, config.tenant, signer)
        self._lists = ListMaker(self._fleet, self._people, config.tenant, signer)
        self._rosters = rosters.Builder(
            self._fleet,
            self._people,
            config.state_folder,
            config.tenant,
            signer,
            clock,
        )
        self._usage = usage_files.UsageBuilder(
            self._fleet,
            self._people,
            config.tenant,
            signer,
            clock,
        )
        self._online: asyncio.Queue[set[str]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._named: dict[str, bytes] = {}
        self._dropped = Growth()

    async def run(self) -> None:
        """Serve until cancelled. Raises OperationalError or Lost when all is to begin again."""
        try:
            await broker.until_first(
                broker.attend(
                    self._config, TOPICS, self._serve, "dispatch ready", messages_max=MESSAGES_MAX
                ),
                self._build(),
                self._list_days(),
                self._every(SWEEP_EVERY_S, self._books.sweep),
                self._every(TIDY_EVERY_S, self._books.tidy),
            )
        finally:
            self._desk.shutdown(wait=True)
            self._books.close()
            self._fleet.close()
            self._people.close()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._desk, work, *arguments)

    # --- beside the broker -----------------------------------------------------------------------

    async def _build(self) -> None:
        """Build lists as members, rules and places change; in a thread of its own."""
        while True:
            try:
                changed = await asyncio.to_thread(self._build_changed)
            except (sa.exc.OperationalError, OSError) as error:
                log.error("lists not built, will try again", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if changed:
                self._changed.set()
            await asyncio.sleep(BUILD_EVERY_S)

    def _build_changed(self) -> bool:
        """Build what readers fetch, sign claims; True when readers are to hear of something new."""
        self._holding.require()
        built = [one for one in self._rosters.build_changed(_warn) if one.changed]
        for one in built:
            log.info("roster built", **one._asdict())
        fed = self._usage.build_due()
        for file in fed:
            if file.trouble:
                log.warning("usage not told", **file._asdict())
        with self._fleet.read() as connection:
            named = gate_names.wanted(connection)
        renamed, self._named = named != self._named, named
        for claim in self._claims.sign_waiting(self._clock.now_ms()):
            log.info("claim signed", claim=claim)
        return bool(built or fed or renamed)

    async def _list_days(self) -> None:
        """Sign lists of working days as they end and change; in a thread of its own."""
        while True:
            try:
                made = await asyncio.to_thread(self._make_lists)
            except sa.exc.OperationalError as error:
                log.error("days not listed, will try again", error=str(error))
                made = []
            for one in made:
                log.info("day listed", **one._asdict() | {"day": str(one.day)})
            await asyncio.sleep(LISTS_EVERY_S)

    def _make_lists(self) -> list[Made]:
        self._holding.require()
        return self._lists.make_due(self._clock.now_ms())

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            try:
                await self._in_thread(work)
            except sa.exc.OperationalError as error:
                log.error("not done, will try again", what=work.__name__, error=str(error))
            await asyncio.sleep(seconds)

    # --- at the broker ---------------------------------------------------------------------------

    async def _serve(self, connection: Connection) -> None:
        counted: asyncio.Queue[int] = asyncio.Queue()
        await broker.until_first(
            self._listen(connection, counted),
            self._wish_all(connection),
            self._wish_those_online(connection),
            self._ask_for_desks(connection),
            self._measure(connection, counted),
        )

    async def _listen(self, connection: Connection, counted: "asyncio.Queue[int]") -> None:
        """Take statuses and twins in."""
        while True:
            group = await next_group(connection.messages)
            said = [message for message in group if not message.topic.startswith("$SYS/")]
            if said:
                self._online.put_nowait(await self._in_thread(self._books.take, said))
            for message in group:
                if (count := dropped_by_broker(message)) is not None:
                    counted.put_nowait(count)
                connection.acknowledge(message)

    async def _wish_all(self, connection: Connection) -> None:
        """Say the wishes to all: at once, when something new was built, and every minute."""
        while True:
            self._changed.clear()
            await self._wish(connection, await self._in_thread(self._books.in_service))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TWIN_EVERY_S):
                    await self._changed.wait()

    async def _wish_those_online(self, connection: Connection) -> None:
        """Say the wishes to a reader that is heard, and how far the ledger has its journal."""
        while True:
            heard = await self._online.get()
            await self._wish(connection, heard)
            for some in _some_at_once(heard):
                await broker.publish(connection, await self._in_thread(self._books.marks, some))

    async def _wish(self, connection: Connection, readers: Iterable[str]) -> None:
        for some in _some_at_once(readers):
            await broker.publish(connection, await self._in_thread(self._books.twins, some))

    async def _ask_for_desks(self, connection: Connection) -> None:
        """Tell readers of the desks that wait for a card there."""
        while True:
            await broker.publish(connection, await self._in_thread(self._books.desk_requests))
            await asyncio.sleep(DESK_EVERY_S)

    async def _measure(self, connection: Connection, counted: "asyncio.Queue[int]") -> None:
        """Note how broker and database keep up.

        A subscription is a round trip, and the broker answers this one with its counter.
        """
        while True:
            began_ns = time.monotonic_ns()
            try:
                await connection.subscribe(BROKER_DROPPED)
            except MqttRefused as error:
                log.warning("the broker's counters may not be read", error=str(error))
                await connection.closed.wait()
                return
            figures = {Figure.BROKER_ROUND_TRIP_US: (time.monotonic_ns() - began_ns) // 1000}
            newly = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COUNTER_S):
                    figures[Figure.BROKER_DROPPED] = now = await counted.get()
                newly = self._dropped.to(now)
            await self._in_thread(self._books.measure, f"dispatch {program()}", figures, newly)
            await asyncio.sleep(MEASURE_EVERY_S)


def dropped_by_broker(message: Message) -> int | None:
    """Return what the broker's own counter says; None for any other message.

    Only a retained one says how it stands.
    """
    told = message.retained and message.topic == BROKER_DROPPED
    if not told or not message.payload.isdigit() or len(message.payload) > COUNTER_DIGITS_MAX:
        return None
    return int(message.payload)


def _some_at_once(readers: Iterable[str]) -> Iterator[list[str]]:
    names = list(readers)
    for start in range(0, len(names), TWINS_AT_ONCE):
        yield names[start : start + TWINS_AT_ONCE]


def _warn(programme: str, error: rosters.RosterUnbuildable) -> None:
    log.warning("roster not built", programme=programme, error=str(error))


async def serve(config: Config, clock: Clock, *, standby: bool = False) -> None:
    """Run dispatch until cancelled.

    Raises StoreUnusable when it cannot begin: another one works (unless this one is to stand by
    until that one ends), the database is empty or cannot be reached.
    """

    async def work(holding: Holding) -> None:
        await Dispatcher(config, clock, holding).run()

    lock = functools.partial(sole_worker, config.databases, Role.DISPATCH, "dispatch")
    await broker.hold(lock, work, standby=standby)
