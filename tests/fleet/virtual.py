"""A fleet with real files and keys, and readers that sign real batches, without a network."""

import atexit
import datetime
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from fleet import cli, members, terms
from fleet.books import Books, Done
from fleet.config import Config, Databases, read_config
from fleet.dispatch_books import DispatchBooks
from fleet.grants import Role
from fleet.schema import card, member
from fleet.store import Store, open_fleet, open_persons
from fleet.terms import Terms
from fleet.workers import Holding
from programmes.calendar import local_day
from provisioning.town import Place
from tests.real import RealTown, make_town
from tests.real_postgres import copy_database, renamed
from tests.real_sqlite import migrated
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Entry, Former, JournalId, Start, Tap, chain, encode, genesis, new_journal
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import Ack, Batch
from wire.mqtt import Message
from wire.roster import RosterRow
from wire.topics import Leaf, parse_reader, topic

NOON_MS = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
RULES = """
version = "senior-pass/2026-04"
valid_from = 2026-04-01
[parameters]
rider_pays_yen = 50
"""

SIGNED = [
    *("--signed-by", "福祉部長 高橋", "--office", "高齢福祉課"),
    *("--ground", "敬老乗車証条例（令和8年条例第3号）", "--dated", "2026-03-01"),
    *("--from", "2026-03-01"),
]
"""A statement of `kazasu-fleet schemes state`, of before all that is tried here."""


@dataclass
class HandClock:
    """A clock that is set by hand."""

    at_ms: int = NOON_MS
    at_ns: int = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ns(self) -> int:
        return self.at_ns

    def pass_s(self, seconds: float) -> None:
        self.at_ms += round(seconds * 1000)
        self.at_ns += round(seconds * 1e9)


def bus(name: str) -> Place:
    return Place(
        name=name,
        kind="bus",
        line="1",
        programmes=["senior-pass"],
        label_ja=f"{name}号車",
        label_en=f"Bus {name}",
        front_end="udp:127.0.0.1:54321",
        technologies=["106B"],
        page_port=8001,
    )


def desk(name: str = "desk-1") -> Place:
    return msgspec.structs.replace(
        bus(name), kind="desk", line="", triage_programmes=["senior-pass"]
    )


@dataclass
class Chained:
    """One entry of a virtual reader's journal."""

    n: int
    before: bytes
    tip: bytes
    body: bytes


@dataclass
class Journal:
    """One journal of a virtual reader, kept in memory."""

    reader: str
    id: JournalId
    entries: list[Chained] = field(default_factory=list)

    @property
    def tip(self) -> bytes:
        return self.entries[-1].tip if self.entries else genesis(self.reader, self.id)

    @property
    def former(self) -> Former:
        return Former(self.id, len(self.entries), self.tip)

    def write(self, entry: Entry) -> None:
        self.write_bytes(encode(entry))

    def write_bytes(self, body: bytes) -> None:
        before = self.tip
        n = len(self.entries) + 1
        self.entries.append(Chained(n, before, chain(before, body), body))

    def start(self, former: Former | None = None, at_ms: int = NOON_MS) -> None:
        n = len(self.entries) + 1
        clock = ClockState.SYNCHRONISED
        self.write(
            Start(v=1, n=n, at_ms=at_ms, mono_ms=0, clock=clock, boot="b", agent="1", former=former)
        )

    def tap(self, **changes: Any) -> None:
        self.write(make_tap(len(self.entries) + 1, **changes))

    def taps(self, count: int) -> "Journal":
        for _ in range(count):
            self.tap(at_ms=NOON_MS + 200_000 * len(self.entries))
        return self

    def batch(self, first: int, last: int, lost: int = 0) -> Batch:
        some = self.entries[first - 1 + lost : last]
        before = some[0].before if some else self.tip
        return Batch(
            v=1,
            journal=self.id,
            first=first,
            lost=lost,
            before=before,
            entries=[msgspec.Raw(one.body) for one in some],
            tip=some[-1].tip if some else before,
        )

    def all(self) -> Batch:
        return self.batch(1, len(self.entries))


def make_tap(n: int, **changes: Any) -> Tap:
    """Return a tap that no rulebook was asked about, or what `changes` make of it."""
    code = changes.get("code", Code.HOLD_AGAIN)
    accepted = code is Code.OK
    values: dict[str, Any] = {
        "v": 1,
        "n": n,
        "at_ms": NOON_MS,
        "mono_ms": n,
        "clock": ClockState.SYNCHRONISED,
        "programme": "senior-pass",
        "outcome": Outcome.ACCEPTED if accepted else Outcome.REFUSED,
        "code": code,
        "shown": "senior-pass.accepted" if accepted else f"refused.{code}",
    }
    return Tap(**(values | changes))


@dataclass
class VirtualReader:
    """A reader as far as the fleet can tell."""

    name: str
    key: ec.EllipticCurvePrivateKey

    def journal(self, former: Former | None = None, at_ms: int = NOON_MS) -> Journal:
        made = Journal(self.name, new_journal())
        made.start(former, at_ms)
        return made

    def sign(self, batch: Batch) -> bytes:
        return Signer(self.key).seal(Purpose.BATCH, self.name, batch)

    def message(self, batch: Batch) -> Message:
        return self.raw(self.sign(batch))

    def raw(self, payload: bytes, leaf: Leaf = Leaf.ENTRIES) -> Message:
        return Message(topic(parse_reader(self.name), leaf), payload, 1, False)

    def say(self, purpose: Purpose, body: msgspec.Struct, leaf: Leaf) -> Message:
        return self.raw(Signer(self.key).seal(purpose, self.name, body), leaf)


def reader_of(town: RealTown, name: str) -> VirtualReader:
    pem = (town.folder / "readers" / name / "reader.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return VirtualReader(f"{town.town.tenant}/{name}", key)


def pinned_key(town: RealTown) -> ed25519.Ed25519PublicKey:
    key = load_pem_public_key((town.folder / "fleet" / "signing.pub").read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    return key


def take_in(books: Books, messages: Iterable[Message]) -> Done:
    """Let a worker take a group in, as `fleet.groups` does it."""
    return books.take([books.read(message) for message in messages])


@dataclass
class VirtualFleet:
    """A fleet on disk: databases, keys, registry, one rule table."""

    town: RealTown
    clock: HandClock
    config: Config
    books: Books
    dispatch: DispatchBooks
    store: Store
    people: Store

    @property
    def config_path(self) -> Path:
        return self.town.folder / "fleet" / "fleet.toml"

    def reader(self, name: str) -> VirtualReader:
        return reader_of(self.town, name)

    def command(self, *argv: str) -> int:
        return cli.run(["--config", str(self.config_path), *argv], self.clock)

    def take(self, *messages: Message) -> Done:
        return take_in(self.books, messages)

    def hear(self, *messages: Message) -> set[str]:
        """Take statuses and twins in; return the readers that are online."""
        return self.dispatch.take(messages)

    def acks(self, done: Done) -> list[Ack]:
        """Return the acknowledgements, each verified with the key that readers have pinned."""
        opened = []
        for letter in self.books.letters(done):
            name = "/".join(letter.topic.split("/")[2:4])
            key = pinned_key(self.town)
            opened.append(open_envelope(letter.payload, Purpose.ACK, name, key, Ack))
        return opened

    def through(self, *batches: tuple[VirtualReader, Batch]) -> list[int]:
        """Take batches in as one group; return what was acknowledged."""
        done = self.take(*(reader.message(batch) for reader, batch in batches))
        return [ack.through for ack in self.acks(done)]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the fleet's database with plain SQL, as its owner."""
        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    def alarms(self) -> set[str]:
        return {kind for (kind,) in self.rows("select kind from alarm where cleared_at_ms is null")}

    def stored(self) -> dict[tuple[str, int], bytes]:
        """Return the ledger: bytes by journal and number."""
        rows = self.rows(
            "select j.journal, e.n, e.body from entry e join journal j on j.id = e.journal_id"
        )
        return {(journal, n): body for journal, n, body in rows}

    def close(self) -> None:
        self.books.close()
        self.dispatch.close()
        self.store.close()
        self.people.close()


def begin(folder: Path, places: Sequence[Place], database: str = "") -> tuple[RealTown, Path]:
    """Provision a town and initialise its fleet by command; return its configuration too.

    `database` is the URL of an empty or migrated one of PostgreSQL; without, it has files of
    SQLite. What the commands have made is kept: the next with such places begins from a copy, under
    ports of its own.
    """
    plain = [msgspec.structs.replace(place, front_end="", page_port=1) for place in places]
    what = (msgspec.json.encode(plain), renamed(database, ""))
    if kept := _KEPT.get(what):
        shutil.copytree(kept[0], folder / "town")
        if database:
            copy_database(of=kept[1], to=database)
    town = make_town(folder / "town", *places)
    home = town.folder / "fleet"
    written = (home / "fleet.toml").read_text("utf-8")
    (home / "fleet.toml").write_text(f'database = "{database}"\n{written}', "utf-8")
    if not kept:
        _initialise(folder, home, database)
        _KEPT[what] = _keep(town, database)
    return town, home / "fleet.toml"


_KEPT: Final[dict[tuple[bytes, str], tuple[Path, str]]] = {}
"""By places and server: a town's folder and its database as the fleet's commands left them."""


def _initialise(folder: Path, home: Path, database: str) -> None:
    table = folder / "rules.toml"
    table.write_text(RULES, "utf-8")
    clock = HandClock()
    migrated(Databases(home / "state", database))
    for argv in (
        ["init"],
        ["readers", "import", str(home / "registry.json")],
        ["rules", "add", "senior-pass", str(table)],
        ["schemes", "state", "senior-pass", *Scheme, *SIGNED],
    ):
        assert cli.run(["--config", str(home / "fleet.toml"), *argv], clock) == 0


def _keep(town: RealTown, database: str) -> tuple[Path, str]:
    folder = Path(tempfile.mkdtemp(prefix="kz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(town.folder, folder, dirs_exist_ok=True)
    if not database:
        return folder, ""
    copy = renamed(database, f"kazasu_kept_{len(_KEPT)}")
    copy_database(of=database, to=copy)
    return folder, copy


def make_fleet(
    folder: Path, places: Iterable[Place] = (bus("bus-1"), bus("bus-2")), database: str = ""
) -> VirtualFleet:
    town, path = begin(folder, list(places), database)
    config = read_config(path)
    clock = HandClock()
    return VirtualFleet(
        town,
        clock,
        config,
        Books(config, clock),
        DispatchBooks(config, clock, Holding()),
        open_fleet(config.databases, Role.OWNER),
        open_persons(config.databases, Role.OWNER),
    )


def terms_of(fleet: VirtualFleet, at_ms: int = NOON_MS) -> Terms:
    """Return what holds for the senior pass at an instant."""
    with fleet.people.read() as connection:
        return terms.of(connection, "senior-pass").on(local_day(at_ms))


def on_rosters(fleet: VirtualFleet, at_ms: int = NOON_MS) -> list[RosterRow]:
    """Return the rows that rosters built at an instant have."""
    with fleet.people.read() as connection:
        of = terms_of(fleet, at_ms)
        return list(members.roster_rows(connection, "senior-pass", of))


def add_member(fleet: VirtualFleet, number: str, **changes: Any) -> str:
    """Enrol one member with one card; return the credential."""
    credential = secrets.token_hex(16)
    new = members.NewMember(number, f"山田{number}", valid_from=datetime.date(2026, 4, 1))
    new = new._replace(**changes)
    with fleet.people.write() as connection:
        members.enrol(connection, "senior-pass", new, "test", NOON_MS)
        found = connection.execute(
            member.select().where(member.c.registration_number == number)
        ).one()
        connection.execute(
            card.insert(),
            {
                "member_id": found.id,
                "programme": "senior-pass",
                "credential": credential,
                "scheme": "common-ap",
                "key_epoch": 1,
                "assigned_at_ms": NOON_MS,
                "assigned_by": "test",
            },
        )
    return credential
