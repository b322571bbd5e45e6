"""Virtual readers at a real broker, each sending its journal batch by batch as a real one does."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from hw.sim.services import leashed
from tests.fleet.virtual import Journal, VirtualReader, pinned_key, reader_of
from tests.real import Broker, RealTown
from wire.envelope import Purpose, open_envelope
from wire.messages import Ack
from wire.mqtt import Connection
from wire.topics import Leaf, parse_reader, topic

DEADLINE_S: Final = 40.0
RESEND_S: Final = 1.0
"""A real reader waits ten seconds for an answer; a test has less time."""
BATCH_MAX: Final = 12
START: Final = "import sys; from fleet.cli import main; sys.exit(main())"
ROOT: Final = Path(__file__).parents[2]


@dataclass
class Site:
    """A town, its broker, its fleet's configuration and where its database is."""

    town: RealTown
    config: Path
    broker: Broker
    database: str = ""
    """PostgreSQL's URL; empty: SQLite."""

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Read rows beside the running fleet."""
        if self.database:
            with psycopg.connect(self.database, user="postgres") as connection:
                connection.execute("SET search_path TO fleet")
                return connection.execute(sql).fetchall()
        file = self.config.parent / "state" / "fleet.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
            return list(opened.execute(sql))

    def ledger(self) -> dict[tuple[str, int], bytes]:
        """Return every entry's bytes by journal and number."""
        rows = self.ask(
            "select j.journal, e.n, e.body from entry e join journal j on j.id = e.journal_id"
        )
        return {(journal, n): bytes(body) for journal, n, body in rows}

    def command(self, what: str, *options: str, log: str = "") -> "subprocess.Popen[bytes]":
        """Start a process of the fleet, which ends with the test run."""
        command = [sys.executable, "-c", START, "--config", str(self.config), what, *options]
        with (self.config.parent / f"{log or what}.log").open("ab") as output:
            return subprocess.Popen(
                leashed(command), stdin=subprocess.DEVNULL, stderr=output, cwd=ROOT
            )

    def log(self, name: str) -> str:
        """All that the processes of this log have written."""
        path = self.config.parent / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @contextmanager
    def running(self, what: str, log: str = "") -> Iterator["subprocess.Popen[bytes]"]:
        """Run `ingest` or `dispatch` until left; it listens when the block begins."""
        name = log or what
        before = self.log(name).count(f"{what} ready")
        process = self.command(what, log=name)
        try:
            until(lambda: self.log(name).count(f"{what} ready") > before, process, self, name)
            yield process
        finally:
            process.terminate()
            process.wait(20)


def until(ready: Any, process: "subprocess.Popen[bytes] | None", site: Site, name: str) -> None:
    """Wait for a condition while a process lives; its log is what a failure shows."""
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert process is None or process.poll() is None, site.log(name)
        assert time.monotonic() < deadline, site.log(name)
        time.sleep(0.02)


@dataclass
class Sender:
    """One reader: one batch under way at a time, sent again until it is answered."""

    site: Site
    reader: VirtualReader
    journal: Journal
    dice: random.Random
    progress: asyncio.Event
    answered: int = 0
    resent: int = 0
    pause_s: float = 0.0

    async def run(self) -> None:
        """Send the whole journal; return when all of it is acknowledged."""
        name = parse_reader(self.reader.name)
        connection = self.site.town.reader(name.reader, self.site.broker)
        await connection.open()
        try:
            await connection.subscribe(topic(name, Leaf.ACK))
            while self.answered < len(self.journal.entries):
                last = min(
                    self.answered + self.dice.randint(1, BATCH_MAX), len(self.journal.entries)
                )
                payload = self.reader.sign(self.journal.batch(self.answered + 1, last))
                await self._until_answered(connection, topic(name, Leaf.ENTRIES), payload, last)
                await asyncio.sleep(self.dice.uniform(0, self.pause_s))
        finally:
            await connection.close()

    async def _until_answered(
        self, connection: Connection, to: str, payload: bytes, last: int
    ) -> None:
        await connection.publish(to, payload)
        while self.answered < last:
            try:
                async with asyncio.timeout(RESEND_S):
                    await self._hear(connection, last)
            except TimeoutError:
                self.resent += 1
                await connection.publish(to, payload)

    async def _hear(self, connection: Connection, last: int) -> None:
        message = await connection.messages.get()
        connection.acknowledge(message)
        key = pinned_key(self.site.town)
        ack = open_envelope(message.payload, Purpose.ACK, self.reader.name, key, Ack)
        if ack.journal == self.journal.id:
            assert ack.through <= last, "more was acknowledged than was ever sent"
            self.answered = max(self.answered, ack.through)
            self.progress.set()


@dataclass
class Swarm:
    """All readers of a site, and what they have been promised."""

    senders: list[Sender] = field(default_factory=list)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def written(self) -> dict[tuple[str, int], bytes]:
        """Every entry's bytes by journal and number, as the readers have them."""
        return {
            (sender.journal.id, one.n): one.body
            for sender in self.senders
            for one in sender.journal.entries
        }

    @property
    def promised(self) -> set[tuple[str, int]]:
        """What has been acknowledged by now."""
        return {
            (sender.journal.id, n) for sender in self.senders for n in range(1, sender.answered + 1)
        }

    @property
    def share_done(self) -> float:
        """How much of it all has been acknowledged, 0 to 1."""
        return sum(one.answered for one in self.senders) / len(self.written)

    async def until_done(self, share: float) -> None:
        """Wait until so much has been acknowledged."""
        async with asyncio.timeout(DEADLINE_S):
            while self.share_done < share:
                self.progress.clear()
                await self.progress.wait()


@asynccontextmanager
async def swarming(site: Site, seed: int, taps: int, pause_s: float = 0.0) -> AsyncIterator[Swarm]:
    """Let every reader of the town send a journal; on leaving, wait until all is acknowledged."""
    dice = random.Random(seed)
    swarm = Swarm()
    for place in site.town.town.place:
        reader = reader_of(site.town, place.name)
        journal = reader.journal().taps(taps)
        mine = random.Random(dice.random())
        swarm.senders.append(Sender(site, reader, journal, mine, swarm.progress, pause_s=pause_s))
    tasks = [asyncio.create_task(one.run()) for one in swarm.senders]
    try:
        yield swarm
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*tasks, return_exceptions=True)
