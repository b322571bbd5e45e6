"""Kills of the fleet's processes and of the broker while many readers send.

Whatever dies is started again at once. Readers behave as real ones: one batch in flight, the same
numbers again until they are answered, another connection when one breaks, a new journal at each
restart. At any kill all that was acknowledged is in the ledger; at the end the ledger is the
journals, entry by entry, and usage its sum. Used by tests (60 kills) and by `scripts/soak`.
"""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fleet import usage
from fleet.config import read_config
from fleet.grants import Role
from fleet.store import open_fleet
from tests.faults.fleet_zygote import FleetZygote
from tests.faults.writer_kills import Tally
from tests.fleet.swarm import Site
from tests.fleet.virtual import Journal, VirtualReader, begin, bus, pinned_key, reader_of
from tests.real import start_mosquitto
from tests.real_postgres import Postgres, start_postgres
from wire.codes import Code
from wire.envelope import Purpose, open_envelope
from wire.messages import Ack, Status
from wire.mqtt import Connection, MqttError
from wire.topics import Leaf, parse_reader, topic

READERS: Final = 6
DEADLINE_S: Final = 40.0
RESEND_S: Final = 0.25
"""A real reader waits ten seconds for an answer; a test has less time."""
RECONNECT_S: Final = 0.05
BATCH_MAX: Final = 12
RESTART_ODDS: Final = 0.03
"""Of a reader, at each batch."""
CARDS: Final = [f"{n:032x}" for n in range(1, 21)]
KILL_WITHIN_S: Final = 0.12
"""After an answer or a start; a group takes some 5 ms, a start some 100."""
AT_START_ODDS: Final = 0.25
"""Of the kills, those that fall into the start of what was killed before."""
BACKED_OFF: Final = 3
"""Broker kills after which the fleet's processes are killed too: their pauses grow with each."""
KILLS_MAX: Final = 200
"""Kills of one town before a fresh one."""
TABLES: Final = ("conflict", "quarantine", "gap", "alarm")
"""Where nothing may stand when readers are honest."""


@dataclass
class Reader:
    """One reader, whose journals grow for as long as `riding`."""

    site: Site
    virtual: VirtualReader
    dice: random.Random
    told: asyncio.Event
    journals: list[Journal] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    riding: bool = True
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Ride, and send until no more is ridden and all is acknowledged."""
        self._restart()
        while self.riding or self._waiting():
            with contextlib.suppress(MqttError):
                async with self._connected() as connection:
                    await self._send(connection)
            await asyncio.sleep(RECONNECT_S)

    def _restart(self) -> None:
        former = self.journals[-1].former if self.journals else None
        at_ms = len(self.journals) + 1_780_455_600_000
        self.journals.append(self.virtual.journal(former, at_ms))

    def _ride(self) -> None:
        if self.dice.random() < RESTART_ODDS:
            self._restart()
        journal = self.journals[-1]
        for _ in range(self.dice.randint(0, BATCH_MAX)):
            at_ms = 1_780_455_600_000 + 200_000 * len(journal.entries)
            card = self.dice.choice(CARDS)
            journal.tap(code=Code.OK, credential=card, rider_pays_yen=50, at_ms=at_ms)

    def _waiting(self) -> Journal | None:
        """Return the oldest journal that is not acknowledged whole."""
        for journal in self.journals:
            if self.marks.get(journal.id, 0) < len(journal.entries):
                return journal
        return None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        name = parse_reader(self.virtual.name)
        connection = self.site.town.reader(name.reader, self.site.broker)
        try:
            await connection.open()
            await connection.subscribe(topic(name, Leaf.ACK))
            last = self.journals[-1]
            status = Status(
                v=1,
                online=True,
                at_ms=1,
                agent="1",
                ready=True,
                journal=last.id,
                n=len(last.entries),
            )
            said = self.virtual.say(Purpose.STATUS, status, Leaf.STATUS)
            await connection.publish(said.topic, said.payload, retain=True)
            yield connection
        finally:
            await connection.close()

    async def _send(self, connection: Connection) -> None:
        to = topic(parse_reader(self.virtual.name), Leaf.ENTRIES)
        while True:
            if self.riding:
                self._ride()
            journal = self._waiting()
            if journal is None:
                if not self.riding:
                    return
                await asyncio.sleep(RECONNECT_S)
                continue
            first = self.marks.get(journal.id, 0) + 1
            last = min(first + self.dice.randrange(BATCH_MAX), len(journal.entries))
            payload = self.virtual.sign(journal.batch(first, last))
            while self.marks.get(journal.id, 0) < last:
                await connection.publish(to, payload)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RESEND_S):
                        while self.marks.get(journal.id, 0) < last:
                            await self._hear(connection)

    async def _hear(self, connection: Connection) -> None:
        hearing = asyncio.ensure_future(connection.messages.get())
        closing = asyncio.ensure_future(connection.closed.wait())
        try:
            await asyncio.wait({hearing, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                raise MqttError(connection.why_closed)
            message = hearing.result()
        finally:
            hearing.cancel()
            closing.cancel()
        connection.acknowledge(message)
        key = pinned_key(self.site.town)
        ack = open_envelope(message.payload, Purpose.ACK, self.virtual.name, key, Ack)
        (journal,) = [one for one in self.journals if one.id == ack.journal]
        if ack.through > len(journal.entries):
            self.wrong.append(f"{journal.id}: {ack.through} acknowledged, which was never written")
        self.marks[ack.journal] = max(ack.through, self.marks.get(ack.journal, 0))
        self.told.set()


class Fleet:
    """The fleet's processes of one town, and its broker."""

    def __init__(self, site: Site, zygote: FleetZygote, workers: int) -> None:
        self._site, self._zygote = site, zygote
        self._pids = {name: self._start(name) for name in self._names(workers)}

    @staticmethod
    def _names(workers: int) -> list[str]:
        return [*(f"ingest {n}" for n in range(workers)), "dispatch"]

    def _start(self, name: str) -> int:
        log = self._site.config.parent / f"{name}.log"
        return self._zygote.start(log, "--config", str(self._site.config), name.partition(" ")[0])

    def kill(self, name: str) -> None:
        """Kill a process; it is gone when this returns."""
        status = self._zygote.end(self._pids[name])
        assert status == -signal.SIGKILL, (name, status, self._site.log(name)[-2000:])

    def revive(self, name: str) -> None:
        """Start it again."""
        self._pids[name] = self._start(name)

    def names(self) -> list[str]:
        """Return what there is to kill."""
        return list(self._pids)

    def end(self) -> None:
        """Let all of them end as a supervisor does."""
        for pid in self._pids.values():
            self._zygote.end(pid, signal.SIGTERM)


def kill(kills: int, seed: int, tally: Tally, broker: bool = False) -> Iterator[Tally]:
    """Kill in towns on SQLite and on PostgreSQL in turn; yield the tally after each town.

    `broker`: mosquitto, else ingest and dispatch in turn.
    """
    rng = random.Random(seed)
    with FleetZygote() as zygote, start_postgres(fsync=False) as server:
        left, turn = kills, 0
        while left > 0:
            some = min(left, max(1, min(KILLS_MAX, kills // 2)))
            town(zygote, server if turn % 2 else None, some, rng.random(), tally, broker)
            left, turn = left - some, turn + 1
            yield tally


def town(
    zygote: FleetZygote,
    server: Postgres | None,
    kills: int,
    seed: float,
    tally: Tally,
    broker: bool = False,
) -> None:
    """Kill in one fresh town, and add what came of it."""
    url = server.url(server.empty()) if server else ""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kz-")))
        names = [f"bus-{n}" for n in range(1, READERS + 1)]
        made, config = begin(folder, [bus(name) for name in names], url)
        site = Site(made, config, start_mosquitto(made.folder / "broker"), url)
        stack.callback(lambda: site.broker.stop())  # noqa: PLW0108  it is another one by then
        fleet = Fleet(site, zygote, workers=2 if url else 1)
        stack.callback(fleet.end)
        asyncio.run(_Town(site, fleet, random.Random(seed), tally, names).live(kills, broker))


class _Town:
    def __init__(
        self, site: Site, fleet: Fleet, rng: random.Random, tally: Tally, names: list[str]
    ) -> None:
        self._site, self._fleet, self._rng, self._tally = site, fleet, rng, tally
        self._told = asyncio.Event()
        self._readers = [
            Reader(site, reader_of(site.town, name), random.Random(rng.random()), self._told)
            for name in names
        ]

    async def live(self, kills: int, broker: bool) -> None:
        """Kill so often while readers ride; then let them finish, and judge."""
        tasks = [asyncio.create_task(one.run()) for one in self._readers]
        try:
            for turn in range(kills):
                await self._moment()
                if broker:
                    await asyncio.to_thread(self._kill_broker)
                    if turn % BACKED_OFF == BACKED_OFF - 1:
                        for name in self._fleet.names():
                            await self._kill(name)
                else:
                    names = self._fleet.names()
                    await self._kill(names[turn % len(names)])
                self._tally.kills += 1
            for one in self._readers:
                one.riding = False
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._judge()

    async def _moment(self) -> None:
        """Wait until somebody is answered, mostly, and then for an instant."""
        if self._rng.random() > AT_START_ODDS:
            self._told.clear()
            async with asyncio.timeout(DEADLINE_S):
                await self._told.wait()
        await asyncio.sleep(self._rng.uniform(0, KILL_WITHIN_S))

    async def _kill(self, name: str) -> None:
        await asyncio.to_thread(self._fleet.kill, name)
        promised = self._promised()
        there = set(await asyncio.to_thread(self._site.ledger))
        await asyncio.to_thread(self._fleet.revive, name)
        if missing := promised - there:
            self._tally.wrong.append(f"{name}: acknowledged and not there: {sorted(missing)[:5]}")

    def _kill_broker(self) -> None:
        os.kill(self._site.broker.process.pid, signal.SIGKILL)
        self._site.broker.process.wait()
        self._site.broker = start_mosquitto(self._site.broker.folder)

    def _promised(self) -> set[tuple[str, int]]:
        return {
            (journal, n)
            for one in self._readers
            for journal, through in one.marks.items()
            for n in range(1, through + 1)
        }

    def _judge(self) -> None:
        site, wrong = self._site, self._tally.wrong
        for one in self._readers:
            wrong += one.wrong
        written = {
            (journal.id, kept.n): kept.body
            for one in self._readers
            for journal in one.journals
            for kept in journal.entries
        }
        there = site.ledger()
        if there != written:
            wrong.append(
                f"the ledger is not the journals: {len(written.keys() - there.keys())} missing, "
                f"{len(there.keys() - written.keys())} too many, of {len(written)}"
            )
        for table in TABLES:
            if rows := site.ask(f"select * from {table}"):
                wrong.append(f"{table}: {rows[:3]}")
        ((count,),) = site.ask("select sum(count) from entry_minute")
        if count != len(written):
            wrong.append(f"{count} entries are counted by the minute, {len(written)} written")
        store = open_fleet(read_config(site.config).databases, Role.OWNER)
        try:
            with store.read() as connection:
                wrong += [f"usage: {one}" for one in usage.check(connection)]
        finally:
            store.close()
        self._tally.entries += len(written)
        self._tally.taps += len(written) - sum(len(one.journals) for one in self._readers)
        self._tally.shown += len(self._promised())
