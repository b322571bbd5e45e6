"""Readers, a broker that does its worst, and a fleet, in one process: for the state machine.

The readers are real but for their card: the agent's own journal on a disk, shelf, uplink, history
and usage, and the real rulebook. The fleet is real but for its processes: its books on a real
database, its commands for backup and restore. The broker is a list of messages.
"""

import abc
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from edge.backoff import Backoff
from edge.clock import Stamp
from edge.history import rebuild
from edge.journal import journals, read_whole
from edge.journal_writer import Journal
from edge.shelf import Shelf
from edge.uplink import ACK_TIMEOUT_S, Marks, Phase, Uplink
from edge.usage import Held, OwnEntries, count
from fleet import evidence_db, usage
from fleet.books import Books, Letter, read_signing_key
from fleet.config import read_config
from fleet.dispatch_books import DispatchBooks
from fleet.evidence_db import Scope
from fleet.grants import Role
from fleet.proof import prove
from fleet.roster_files import RosterArchive
from fleet.store import open_fleet, open_persons
from fleet.usage_files import UsageBuilder
from fleet.usage_rows import file_of
from fleet.workers import Holding
from programmes.register import rulebook
from programmes.rulebook import Facts, Place
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import (
    NOON_MS,
    HandClock,
    VirtualFleet,
    VirtualReader,
    add_member,
    bus,
    make_fleet,
    make_tap,
    pinned_key,
    take_in,
)
from tests.real import RealTown
from tests.real_postgres import Postgres
from wire.clock import ClockState
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import Ack, Status
from wire.mqtt import Message
from wire.roster import Roster
from wire.topics import Leaf
from wire.usage import UsageFile

PASS: Final = "senior-pass"
NAMES: Final = ("bus-1", "bus-2", "bus-3")
LIMIT: Final = 3
"""Rides a year, so that allowances are soon used up."""
ROUNDS_MAX: Final = 300
"""Of draining; each sends one batch of each reader."""
HOUR_S: Final = 3600
MEMORY: Final = Path("/dev/shm")
"""Where a write that waits for the disk costs nothing; elsewhere it only takes longer."""


def folder_in_memory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="kz-", dir=MEMORY if MEMORY.is_dir() else None)


@dataclass
class Template:
    """A town with members, a limit and rosters, to be copied for each run."""

    folder: Path
    tenant_town: RealTown
    cards: list[str]
    server: Postgres | None
    database: str

    @classmethod
    def make(cls, folder: Path, server: Postgres | None) -> "Template":
        database = server.empty() if server else ""
        url = server.url(database) if server else ""
        fleet = make_fleet(folder, [bus(name) for name in NAMES], url)
        table = folder / "limit.toml"
        table.write_text(
            'version = "senior-pass/2026-04.limit"\nvalid_from = 2026-04-01\n[parameters]\n'
            f"rider_pays_yen = 50\nrides_per_year = {LIMIT}\n",
            "utf-8",
        )
        assert fleet.command("rules", "add", PASS, str(table)) == 0
        cards = [add_member(fleet, number) for number in ("1", "2", "3")]
        build(fleet)
        fleet.close()
        return cls(folder, fleet.town, cards, server, database)

    @contextmanager
    def world(self) -> Iterator["World"]:
        """Copy it, and remove the copy."""
        with folder_in_memory() as name:
            folder = Path(name)
            shutil.copytree(self.folder / "town", folder / "town")
            url = self._copy_database(folder) if self.server else ""
            world = self.open(folder, 2 if url else 1)
            try:
                yield world
            finally:
                world.close()
                if self.server:
                    self.server.drop(world.fleet.config.databases)

    def open(self, folder: Path, workers: int) -> "World":
        """Return what stands in a copy."""
        return World(folder, self, workers)

    def _copy_database(self, folder: Path) -> str:
        assert self.server
        url = self.server.url(self.server._create(self.database))
        file = folder / "town" / "fleet" / "fleet.toml"
        file.write_text(
            file.read_text("utf-8").replace(self.server.url(self.database), url), "utf-8"
        )
        return url


class Sending(abc.ABC):
    """What a reader sends and hears."""

    virtual: VirtualReader
    folder: Path
    clock: HandClock
    journal: Journal
    held: Held | None = None
    now_s: float = 0.0
    kept_marks = Marks()

    def connect(self) -> None:
        """Be online, with the marks that were written last."""
        self.shelf = Shelf(self.folder, self.virtual.name)
        self.uplink = Uplink(self.kept_marks, Backoff(draw=lambda: 0.0))
        self.uplink.connected()

    @abc.abstractmethod
    def begin(self) -> None:
        """Start, with what is on the disk."""

    def end(self) -> None:
        """Be killed: what is on the disk stays."""
        self.journal.close()
        self.shelf.close()

    @abc.abstractmethod
    def tap(self, card: str) -> object:
        """Let a card be held."""

    def send(self) -> Message | None:
        """Return the batch to be sent now."""
        batch = self.uplink.take(self.shelf.views(), self.now_s)
        return None if batch is None else self.virtual.message(batch)

    def give_up_waiting(self) -> None:
        """Let so much time pass that the batch in flight may be sent again."""
        self.now_s += ACK_TIMEOUT_S + 1
        self.uplink.tick(self.now_s)
        self.uplink.tick(self.now_s)
        assert self.uplink.phase is Phase.IDLE

    def hear(self, ack: Ack) -> None:
        self.uplink.hear(ack, self.shelf.known(), self.now_s)

    def status(self) -> Message:
        now_ms = self.clock.now_ms()
        body = Status(
            v=1,
            online=True,
            at_ms=now_ms,
            agent="1",
            ready=True,
            journal=self.journal.id,
            n=self.journal.n,
        )
        return self.virtual.say(Purpose.STATUS, body, Leaf.STATUS)

    def written(self) -> dict[tuple[str, int], bytes]:
        """Return all entries on its disk."""
        return {
            (file.journal, kept.n): kept.body
            for file in journals(self.folder)
            for kept in read_whole(file, self.virtual.name)
        }

    def waits(self) -> bool:
        """True while the ledger has not acknowledged all of it."""
        return self.shelf.waiting(self.uplink.marks) > 0


@dataclass
class Rider(Sending):
    """One reader: real but for card, screen and network."""

    virtual: VirtualReader
    folder: Path
    clock: HandClock
    roster: Roster
    boots: int = 0

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start, with the marks that were written last."""
        self.boots += 1
        self.own = OwnEntries()
        self.history = rebuild(self.folder, self.virtual.name, self.own)
        boot = f"b{self.boots}"
        self.journal = Journal(self.folder, self.virtual.name, boot, "1", self.stamp)
        self.journal.begin_if_due()
        self.connect()

    def stamp(self) -> Stamp:
        now_ms = self.clock.now_ms()
        return Stamp(now_ms, now_ms - NOON_MS, ClockState.SYNCHRONISED)

    def tap(self, card: str) -> None:
        """Decide as `edge.tap` does, and keep it."""
        at_ms, rules = self.clock.now_ms(), self.roster.header.rules
        book = rulebook(PASS)
        assert book.near
        periods = book.near(at_ms, rules)
        used: dict[str, Used] = count(periods, PASS, [card], self.held, self.own)
        age_s = max(0, at_ms - self.held.at_ms) // 1000 if self.held else None
        facts = Facts(
            at_ms,
            Place(self.virtual.name.partition("/")[2], "bus", "1"),
            self.roster.find(Credential(card)),
            rules,
            60,
            booked=self.history.of(PASS, [card], at_ms),
            used=used,
            usage_age_s=age_s,
        )
        made = book.decide(facts)
        entry = make_tap(
            1,
            **self.stamp()._asdict(),
            outcome=made.outcome,
            code=made.code,
            shown=made.shown,
            rule=made.rule,
            rider_pays_yen=made.rider_pays_yen,
            credential=card,
            roster=self.roster.header.version,
            roster_age_s=60,
            used=used,
            usage_age_s=age_s,
        )
        n, _ = self.journal.append(entry)
        self.history.take(entry)
        self.own.take(self.journal.id, n, entry)


class World:
    """All of it."""

    programme: ClassVar = PASS
    names: ClassVar[Sequence[str]] = NAMES

    def __init__(self, folder: Path, template: Template, workers: int) -> None:
        self._template, self._workers = template, workers
        self._shelf = folder / "backups"
        self._shelf.mkdir()
        town = RealTown(folder / "town", template.tenant_town.town)
        config = read_config(folder / "town" / "fleet" / "fleet.toml")
        self.clock = HandClock()
        self._config, self._town = config, town
        self.books: list[Books] = []
        self._open(HandClock())
        self.up: list[Message] = []
        self.down: list[Letter] = []
        self.backup: Path | None = None
        self.latest_ms = NOON_MS
        self.stepped = False
        self.riders = [self._reader(name, folder / "readers" / name) for name in self.names]

    # --- the fleet -------------------------------------------------------------------------------

    def _open(self, clock: HandClock) -> None:
        self.books = [Books(self._config, clock) for _ in range(self._workers)]
        databases = self._config.databases
        self.fleet = VirtualFleet(
            self._town,
            clock,
            self._config,
            self.books[0],
            DispatchBooks(self._config, clock, Holding()),
            open_fleet(databases, Role.OWNER),
            open_persons(databases, Role.OWNER),
        )
        by = Signer(read_signing_key(self._config.signing_key))
        self._usage = UsageBuilder(
            self.fleet.store, self.fleet.people, self._config.tenant, by, clock
        )

    def _close_fleet(self) -> None:
        for books in self.books[1:]:
            books.close()
        self.fleet.close()

    def _reader(self, name: str, folder: Path) -> Sending:
        return Rider(self.fleet.reader(name), folder, self.clock, self._roster(name))

    def _roster(self, name: str, version: int = 1) -> Roster:
        key = read_signing_key(self._config.signing_key).public_key()
        tenant, state = self._config.tenant, self._config.state_folder
        archive = RosterArchive(self.fleet.store, state, tenant, key)
        found = archive.get(self.programme, name, version)
        assert found is not None
        return found

    def restart_fleet(self) -> None:
        """Kill all workers between two groups, and start them again."""
        self._close_fleet()
        self._open(self.fleet.clock)

    def take(self, worker: int, group: list[Message]) -> None:
        """Let a worker take a group in; what it promises must be in the ledger."""
        books = self.books[worker % len(self.books)]
        self.promise(books.letters(take_in(books, group)))

    def fail(self, worker: int, group: list[Message]) -> None:
        """Let the commit fail; the worker goes on and remembers nothing of it."""
        books = self.books[worker % len(self.books)]

        def refuse(_connection: sa.Connection) -> None:
            raise sa.exc.OperationalError("COMMIT", None, OSError("no room"))

        engine = books._fleet._engine
        sa.event.listen(engine, "commit", refuse)
        try:
            take_in(books, group)
        except sa.exc.OperationalError:
            pass
        else:
            raise AssertionError("the commit that failed was taken for one")
        finally:
            sa.event.remove(engine, "commit", refuse)

    def promise(self, letters: list[Letter]) -> None:
        """Hand acknowledgements to the broker, each of which must be true by now."""
        for letter in letters:
            ack = self.opened(letter)[1]
            with self.fleet.store.read() as connection:
                there = connection.scalar(
                    sa.text(
                        "select count(*) from entry e join journal j on j.id = e.journal_id "
                        "where j.journal = :journal and e.n <= :through"
                    ),
                    {"journal": ack.journal, "through": ack.through},
                )
            assert there == ack.through, "acknowledged and not in the ledger"
        self.down += letters

    def opened(self, letter: Letter) -> tuple[Sending, Ack]:
        """Return whom a letter is for, and what it says, verified."""
        name = "/".join(letter.topic.split("/")[2:4])
        (rider,) = [one for one in self.riders if one.virtual.name == name]
        key = pinned_key(self._town)
        return rider, open_envelope(letter.payload, Purpose.ACK, name, key, Ack)

    def report(self, rider: Sending) -> None:
        """Take a status in; say what a reader is told that comes online."""
        heard = self.fleet.hear(rider.status())
        self.promise(self.fleet.dispatch.marks(heard))

    def feed(self) -> None:
        """Make usage files when they are due, and bring them to the readers."""
        self._usage.build_due()
        for rider in self.riders:
            at = rider.virtual.name.partition("/")[2]
            with self.fleet.store.read() as connection:
                file = file_of(connection, self.programme, at)
            if file is None:
                continue
            path = rider.folder.parent / f"{at}.usage"
            path.write_bytes(file)
            key = pinned_key(self._town)
            opened = UsageFile.open(path, self._config.tenant, self.programme, at, key)
            if rider.held is None or opened.header.at_ms > rider.held.at_ms:
                rider.held = Held(opened, rider.virtual.name)

    def back_up(self) -> None:
        shutil.rmtree(self._shelf)
        self._shelf.mkdir()
        assert self.fleet.command("backup", str(self._shelf)) == 0
        (self.backup,) = self._shelf.glob("kazasu-*")

    def restore(self) -> None:
        """Put the backup back, on a machine whose clock is right."""
        assert self.backup
        self._close_fleet()
        self._set_right()
        self.fleet.clock.pass_s(1)
        done = self.fleet.command("restore", str(self.backup), "--reason", "a test")
        assert done == 0
        self._open(self.fleet.clock)

    def step(self, seconds: int) -> None:
        """Let the fleet's clock jump."""
        self.latest_ms = max(self.latest_ms, self.fleet.clock.at_ms)
        self.fleet.clock.at_ms += seconds * 1000
        self.stepped = self.stepped or seconds != 0

    def _set_right(self) -> None:
        """Let the fleet's clock show no time that it has shown before."""
        self.step(0)
        self.fleet.clock.at_ms = self.latest_ms

    def pass_s(self, seconds: int) -> None:
        for clock in (self.clock, self.fleet.clock):
            clock.pass_s(seconds)

    # --- the end ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let everything arrive: a broker that loses nothing, and a clock that is right."""
        self._set_right()
        self.pass_s(1)
        for _ in range(ROUNDS_MAX):
            for rider in self.riders:
                self.report(rider)
                rider.give_up_waiting()
                if message := rider.send():
                    self.up.append(message)
            group, self.up = self.up, []
            if group:
                self.take(0, group)
            letters, self.down = self.down, []
            for rider, ack in map(self.opened, letters):
                rider.hear(ack)
            self.pass_s(1)
            if not group and not any(rider.waits() for rider in self.riders):
                return
        raise AssertionError("it never came to an end")

    def judge(self) -> None:
        """The ledger is the journals, once, whole, proven; and usage is its sum."""
        written: dict[tuple[str, int], bytes] = {}
        for rider in self.riders:
            written |= rider.written()
        assert self.fleet.stored() == written, "the ledger is not the journals"
        count = [(len(written),)]
        self._expect("select count(*) from entry", count)
        self._expect("select sum(count) from entry_minute", count)
        for table in ("conflict", "quarantine", "gap where closed_at_ms is null"):
            self._expect(f"select * from {table}", [])
        alarms = "select kind, detail from alarm where cleared_at_ms is null"
        if self.stepped:  # which journal is older is told by clocks where the reader cannot
            alarms += " and kind <> 'history-lost'"
        self._expect(alarms, [])
        self._expect("select kind, n, code from finding where kind <> 'allowance'", [])
        with self.fleet.store.read() as connection:
            assert usage.check(connection) == [], "usage is not the sum of the entries"
            facts = evidence_db.facts(connection, self._config.tenant, Scope())
            proof = prove(facts, pinned_key(self._town))
        assert proof.faults == {}, proof.faults_listed
        assert proof.entries == len(written)

    def _expect(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        found = self.fleet.rows(sql)
        assert found == rows, (sql, found)

    def close(self) -> None:
        for rider in self.riders:
            rider.end()
        self._close_fleet()
