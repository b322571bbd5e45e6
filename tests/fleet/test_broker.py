"""The processes `ingest` and `dispatch` against a real mosquitto, with real certificates."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet.virtual import VirtualReader, begin, bus, pinned_key, reader_of
from tests.real import Broker, RealTown, start_mosquitto
from wire.clock import SystemClock
from wire.envelope import Purpose, open_envelope
from wire.messages import Ack, Batch, Status, TwinDesired
from wire.mqtt import Connection
from wire.topics import DOWN, Leaf, parse_reader, topic

DEADLINE_S = 20.0
START = "import sys; from fleet.cli import main; sys.exit(main())"


@dataclass
class Site:
    town: RealTown
    config: Path
    broker: Broker

    @property
    def database(self) -> Path:
        return self.config.parent / "state" / "fleet.db"

    def counted(self, table: str) -> int:
        with closing(sqlite3.connect(self.database)) as connection:
            (count,) = connection.execute(f"select count(*) from {table}").fetchone()
        return int(count)

    def aside(self) -> list[tuple[str, int, int, str]]:
        """What was set aside instead of taken in: its numbers are answered too."""
        with closing(sqlite3.connect(self.database)) as connection:
            return list(connection.execute("select reason, first, last, detail from quarantine"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    town, config = begin(tmp_path, [bus("bus-1"), bus("bus-2")])
    with start_mosquitto(town.folder / "broker") as broker:
        yield Site(town, config, broker)


def start_process(site: Site, what: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", START, "--config", str(site.config), what],
            stderr=file,
            cwd=Path(__file__).parents[2],
        )


@contextmanager
def running(site: Site, what: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ingest or dispatch until left; return when it listens."""
    log = site.config.parent / f"{what}.log"
    before = log.read_text().count(f"{what} ready") if log.exists() else 0
    process = start_process(site, what, log)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while log.read_text().count(f"{what} ready") == before:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def ingesting(site: Site) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return running(site, "ingest")


@dataclass
class Link:
    """A virtual reader at the broker: sends a batch and waits for the fleet's answer."""

    site: Site
    reader: VirtualReader
    connection: Connection

    async def send(self, batch: Batch) -> Ack:
        """Send a batch; return the answer to it, not one to an earlier batch that came late."""
        here = topic(parse_reader(self.reader.name), Leaf.ENTRIES)
        await self.connection.publish(here, self.reader.sign(batch))
        ack = await self.answer()
        while ack.through < batch.last:
            ack = await self.answer()
        return ack

    async def answer(self) -> Ack:
        key = pinned_key(self.site.town)
        payload = await self.heard(Leaf.ACK)
        return open_envelope(payload, Purpose.ACK, self.reader.name, key, Ack)

    async def wish(self) -> TwinDesired:
        key = pinned_key(self.site.town)
        payload = await self.heard(Leaf.TWIN_DESIRED)
        return open_envelope(payload, Purpose.TWIN_DESIRED, self.reader.name, key, TwinDesired)

    async def heard(self, leaf: Leaf) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.connection.messages.get()
                self.connection.acknowledge(message)
                if message.topic.endswith(f"/{leaf}"):
                    return message.payload


@asynccontextmanager
async def linked(site: Site, name: str) -> AsyncIterator[Link]:
    reader = reader_of(site.town, name)
    connection = site.town.reader(name, site.broker)
    try:
        await connection.open()
        full = parse_reader(reader.name)
        await connection.subscribe(*(topic(full, leaf) for leaf in DOWN))
        yield Link(site, reader, connection)
    finally:
        await connection.close()


async def test_a_batch_travels_and_is_answered_after_its_commit(site: Site) -> None:
    with ingesting(site):
        async with linked(site, "bus-1") as link:
            journal = link.reader.journal().taps(40)
            ack = await link.send(journal.all())
            assert site.counted("entry") == 41
            assert (ack.journal, ack.through) == (journal.id, 41)


async def test_killed_right_after_the_commit_the_resend_changes_nothing(site: Site) -> None:
    async with linked(site, "bus-1") as link:
        journal = link.reader.journal().taps(40)
        with ingesting(site) as process:
            # It dies as soon as the commit can be seen, before or while it answers.
            here = topic(parse_reader(link.reader.name), Leaf.ENTRIES)
            await link.connection.publish(here, link.reader.sign(journal.all()))
            deadline = time.monotonic() + DEADLINE_S
            while site.counted("entry") < 41:
                assert time.monotonic() < deadline
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        with ingesting(site):
            ack = await link.send(journal.all())
            assert ack.through == 41
        assert site.counted("entry") == 41
        assert site.counted("conflict") == site.counted("quarantine") == 0
        assert site.counted("alarm") == 0
        with closing(sqlite3.connect(site.database)) as connection:
            (counted,) = connection.execute("select sum(count) from entry_minute").fetchone()
        assert counted == 41


async def test_killed_at_any_moment_nothing_answered_is_lost(site: Site) -> None:
    async with linked(site, "bus-1") as link:
        journal = link.reader.journal().taps(199)
        answered = 0
        for round_ in range(4):
            with ingesting(site) as process:
                first = answered + 1
                last = first + 30
                ack = await link.send(journal.batch(first, last))
                answered = ack.through
                here = topic(parse_reader(link.reader.name), Leaf.ENTRIES)
                batch = journal.batch(answered + 1, answered + 5)
                await link.connection.publish(here, link.reader.sign(batch))
                await asyncio.sleep(0.002 * round_)
                os.kill(process.pid, signal.SIGKILL)
                process.wait(10)
            assert site.counted("entry") >= answered, site.aside()
        with ingesting(site):
            ack = await link.send(journal.all())
        assert ack.through == 200
        assert site.counted("entry") == 200


async def test_a_second_ingest_says_that_there_is_one_already(site: Site) -> None:
    with ingesting(site) as first:
        log = site.config.parent / "second.log"
        second = start_process(site, "ingest", log)
        assert second.wait(DEADLINE_S) == 1
        assert f"another ingest (process {first.pid})" in log.read_text()
        async with linked(site, "bus-1") as link:
            assert (await link.send(link.reader.journal().all())).through == 1


async def test_readers_hear_what_they_are_to_hold_and_the_time(site: Site) -> None:
    with running(site, "dispatch"):
        async with linked(site, "bus-1") as link:
            wish = await link.wish()
            while not wish.rosters:
                wish = await link.wish()
            assert [(one.programme, one.version) for one in wish.rosters] == [("senior-pass", 1)]
            assert wish.keys is not None
            before = SystemClock().now_ms()
            status = Status(v=1, online=True, at_ms=before, agent="a", ready=True)
            message = link.reader.say(Purpose.STATUS, status, Leaf.STATUS)
            await link.connection.publish(message.topic, message.payload, retain=True)
            while wish.at_ms < before:
                wish = await link.wish()
            deadline = time.monotonic() + DEADLINE_S
            while site.counted("reader_state where online and ready") == 0:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)


async def test_how_broker_and_database_keep_up_is_written_down(site: Site) -> None:
    with running(site, "dispatch"), closing(sqlite3.connect(site.database)) as connection:
        deadline = time.monotonic() + DEADLINE_S
        known: dict[str, int] = {}
        while len(known) < 2:
            assert time.monotonic() < deadline, known
            known = dict(connection.execute("select name, value from lag"))
            await asyncio.sleep(0.02)
    assert known["broker.dropped"] == 0
    assert 0 < known["broker.round_trip_us"] < DEADLINE_S * 1e6


async def test_garbage_from_one_reader_holds_up_no_other(site: Site) -> None:
    with ingesting(site):
        async with linked(site, "bus-1") as bad, linked(site, "bus-2") as good:
            here = topic(parse_reader(bad.reader.name), Leaf.ENTRIES)
            for n in range(30):
                await bad.connection.publish(here, b"garbage %d" % n)
            journal = good.reader.journal().taps(20)
            assert (await good.send(journal.all())).through == 21
            assert (await bad.send(bad.reader.journal().all())).through == 1
            assert site.counted("quarantine") == 30


async def test_a_broker_that_comes_back_is_found_again(site: Site) -> None:
    with ingesting(site):
        site.broker.stop()
        site.broker = start_mosquitto(site.town.folder / "broker")
        try:
            deadline = time.monotonic() + DEADLINE_S
            log = site.config.parent / "ingest.log"
            while log.read_text().count("ingest ready") < 2:
                assert time.monotonic() < deadline, log.read_text()
                await asyncio.sleep(0.05)
            async with linked(site, "bus-1") as link:
                assert (await link.send(link.reader.journal().all())).through == 1
        finally:
            site.broker.stop()
