"""A town's schools with their gates and teachers, and a ledger without a network."""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleet import ledger, members, months, rules, schema, store, work_records, work_terms
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import Store
from fleet.work_acts import Act
from fleet.work_lists import ListMaker
from fleet.work_records import Record, Span
from fleet.work_terms import NewTerm
from programmes import attendance
from programmes.calendar import start_of_day_ms
from programmes.work_day_rules import DayRules
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Answer, ClockStep, Entry, Redirect, Start, Tap, encode
from wire.envelope import Signer
from wire.roster import RuleTable

SCHOOL = attendance.NAME
TENANT = "kazasu-shi"
NORTH, SOUTH = "kita-sho", "minami-chu"
GATES = (("north-front", NORTH), ("north-back", NORTH), ("south-front", SOUTH))
JUNE = datetime.date(2026, 6, 1)
JUNE_SPAN = Span(JUNE, datetime.date(2026, 6, 30))
NOW_MS = start_of_day_ms(datetime.date(2026, 7, 3), 9)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
RULES = DayRules()


def card_of(number: str) -> str:
    return sha256(f"card {number}".encode()).hexdigest()[:32]


def at(day: int, text: str, month: int = 6) -> int:
    """Return the instant of a time of day such as 07:45."""
    hours, minutes = (int(part) for part in text.split(":"))
    return start_of_day_ms(datetime.date(2026, month, day)) + hours * HOUR_MS + minutes * MINUTE_MS


@dataclass
class Gate:
    """One reader at a gate: it writes its journal, and the ledger gets it when it is sent."""

    town: "Schools"
    place: str
    journals: list[tuple[str, int]] = field(default_factory=list)
    waiting: list[tuple[int, Entry]] = field(default_factory=list)
    n: int = 0

    @property
    def reader(self) -> str:
        return f"{TENANT}/{self.place}"

    @property
    def journal(self) -> tuple[str, int]:
        return self.journals[-1]

    def begin(self, at_ms: int, clock: ClockState = ClockState.SYNCHRONISED) -> None:
        """Begin another journal, as each start of the agent does."""
        name = sha256(f"{self.reader} {len(self.journals)}".encode()).hexdigest()[:32]
        with self.town.fleet.write() as connection:
            row = {"reader": self.reader, "journal": name, "received_at_ms": at_ms, "spans": []}
            added = connection.execute(schema.journal.insert().values(row))
        self.journals.append((name, store.new_id(added)))
        self.n = 0
        self.write(Start, at_ms, clock, boot="b", agent="1")

    def write(
        self, kind: Any, at_ms: int, clock: ClockState = ClockState.SYNCHRONISED, **more: Any
    ) -> str:
        """Write an entry of the journal; return its identity."""
        self.n += 1
        one = kind(v=1, n=self.n, at_ms=at_ms, mono_ms=self.n, clock=clock, **more)
        self.waiting.append((self.journal[1], one))
        return f"{self.reader}/{self.journal[0]}/{self.n}"

    def tap(self, number: str, at_ms: int, declared: str = "", **more: Any) -> str:
        values: dict[str, Any] = {"outcome": Outcome.ACCEPTED, "code": Code.OK}
        values |= {"credential": card_of(number), "scheme": Scheme.STAFF_TOKEN, "key_epoch": 1}
        values |= {"programme": SCHOOL, "shown": "attendance.in", "declared": declared}
        return self.write(Tap, at_ms, **(values | more))

    def redirect(
        self,
        number: str,
        of: str,
        declared: str,
        at_ms: int,
        clock: ClockState = ClockState.SYNCHRONISED,
    ) -> str:
        _, journal, n = of.rsplit("/", 2)
        return self.write(
            Redirect,
            at_ms,
            clock,
            programme=SCHOOL,
            of_journal=journal,
            of_n=int(n),
            declared=declared,
            scheme=Scheme.STAFF_TOKEN,
            key_epoch=1,
            credential=card_of(number),
        )

    def answer(
        self,
        number: str,
        missing: str,
        day: datetime.date,
        claimed_ms: int | None,
        at_ms: int,
    ) -> str:
        return self.write(
            Answer,
            at_ms,
            programme=SCHOOL,
            missing=missing,
            day=day,
            claimed_at_ms=claimed_ms,
            scheme=Scheme.STAFF_TOKEN,
            key_epoch=1,
            credential=card_of(number),
        )

    def step(self, at_ms: int, step_ms: int) -> None:
        """Let the clock jump: what was written before in this journal is off by that."""
        self.write(ClockStep, at_ms, step_ms=step_ms)

    def send(self, received_at_ms: int | None = None) -> None:
        """Let all that waits arrive in the ledger; at once, unless a time is given."""
        with self.town.fleet.write() as connection:
            for journal_id, one in self.waiting:
                received_ms = one.at_ms if received_at_ms is None else received_at_ms
                months.ensure(connection, received_ms)
                row = {"journal_id": journal_id, "n": one.n, "hash": b"", "body": encode(one)}
                row |= {"received_at_ms": received_ms, **ledger.columns(one)}
                connection.execute(schema.entry.insert().values(row))
        self.waiting.clear()


@dataclass
class Schools:
    """Both databases, as the owner, the office and dispatch may use them."""

    databases: Databases
    fleet: Store
    people: Store
    office_fleet: Store
    office: Store
    maker: ListMaker
    gates: dict[str, Gate]
    now_ms: int = NOW_MS
    members: dict[str, int] = field(default_factory=dict)

    def teacher(self, number: str, term: NewTerm | None = None, **more: Any) -> int:
        """Enrol somebody with one card and, unless told otherwise, terms at the northern school."""
        new = members.NewMember(number, f"教員 {number}", "キョウイン", **more)
        terms = NewTerm(datetime.date(2026, 4, 1), NORTH) if term is None else term
        with self.office.write() as connection:
            member_id = members.enrol(connection, SCHOOL, new, "hana", 1)
            row = {"member_id": member_id, "programme": SCHOOL, "credential": card_of(number)}
            row |= {"scheme": "staff-token", "key_epoch": 1, "assigned_at_ms": 1}
            connection.execute(schema.card.insert().values(row | {"assigned_by": "hana"}))
            act = Act(member_id, "hana", start_of_day_ms(datetime.date(2026, 4, 1)))
            work_terms.add(connection, act, terms)
        self.members[number] = member_id
        return member_id

    def act(self, member_id: int, why: str = "カードを忘れた", who: str = "kyoto") -> Act:
        return Act(member_id, who, self.now_ms, why)

    def records(self, span: Span = JUNE_SPAN) -> dict[int, Record]:
        """Return everybody's records, as the office may read them."""
        with self.office_fleet.read() as fleet, self.office.read() as people:
            enrolled = work_terms.of_members(people, work_terms.everyone(people))
            return work_records.records(fleet, people, enrolled, span, span.last)

    def record(self, member_id: int, span: Span = JUNE_SPAN) -> Record:
        return self.records(span)[member_id]

    def ask(self, statement: sa.Executable) -> list[Any]:
        with self.people.read() as connection:
            return list(connection.execute(statement))

    def audited(self, what: str) -> list[tuple[str, str]]:
        lines = schema.person_audit.select().where(schema.person_audit.c.what == what)
        return [(row.subject, row.detail) for row in self.ask(lines)]


@contextlib.contextmanager
def open_schools(databases: Databases, *, found: bool = True) -> Iterator[Schools]:
    """Open a town with three gates of two schools and one rule table; found it, unless it is."""
    if not databases.url:
        store.migrate(databases)
    with contextlib.ExitStack() as stack:

        def opened(which: Any, role: Role) -> Store:
            one: Store = which(databases, role)
            stack.callback(one.close)
            return one

        fleet = opened(store.open_fleet, Role.OWNER)
        people = opened(store.open_persons, Role.OWNER)
        if found:
            _found(fleet)
        maker = ListMaker(
            opened(store.open_fleet, Role.DISPATCH),
            opened(store.open_persons, Role.DISPATCH),
            TENANT,
            Signer(KEY),
        )
        town = Schools(
            databases,
            fleet,
            people,
            opened(store.open_fleet, Role.OFFICE),
            opened(store.open_persons, Role.OFFICE),
            maker,
            {},
        )
        for place, _ in GATES:
            town.gates[place] = Gate(town, place)
            if found:
                town.gates[place].begin(at(1, "06:00"))
        yield town


def _found(fleet: Store) -> None:
    table = RuleTable("attendance/2026", datetime.date(2026, 4, 1), {})
    with fleet.write() as connection:
        ledger.begin_epoch(connection, "test", "first", 1)
        rules.add(connection, SCHOOL, table, "test", 1)
        for name, organisation in GATES:
            row: dict[str, Any] = {
                "name": name,
                "kind": "school",
                "programmes": [SCHOOL],
                "triage_programmes": [],
            }
            row |= {"label_ja": name, "label_en": name, "organisation": organisation}
            connection.execute(schema.place.insert().values(row))
            known: dict[str, Any] = {"name": f"{TENANT}/{name}", "place": name, "public_key": ""}
            known |= {"enrolled_at_ms": 1, "sealing_public_key": ""}
            known |= {"fingerprint": sha256(name.encode()).hexdigest()}
            connection.execute(schema.reader.insert().values(known))
