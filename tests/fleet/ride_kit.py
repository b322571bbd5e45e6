"""A fleet with taxis, and cabs that are real but for card, screen and network.

A cab decides as `edge.tap` does, keeps what it does by the agent's own keeper, and does what its
driver asks by the agent's own `Rides`.
"""

import datetime
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.clock import ReaderClock
from edge.decide import Circumstances, decide, tap_entry
from edge.history import rebuild
from edge.identify import Identified
from edge.journal import journals, read_whole
from edge.journal_writer import Journal
from edge.keeper import Keeper
from edge.panel import (
    CancelRide,
    Fare,
    FareAnswer,
    FromTap,
    RideActed,
    RiderRef,
    TakeOff,
    TurnShift,
)
from edge.ride import Moment, Ref, Rides, Riding
from edge.roster import Holding, Match
from edge.usage import Counted, Held, OwnEntries, count
from fleet import members, usage
from fleet.books import read_signing_key
from fleet.roster_files import RosterArchive
from fleet.schema import card, member
from programmes.register import rulebook
from programmes.rulebook import Place as RulePlace
from provisioning.town import Place
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import (
    NOON_MS,
    SIGNED,
    HandClock,
    VirtualFleet,
    VirtualReader,
    bus,
    make_fleet,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential, Scheme
from wire.entries import Cancel, Entry, JournalId, Ride, Rider
from wire.messages import Batch
from wire.roster import Roster

TAXI: Final = "taxi"
TABLE: Final = "taxi/2026"
DAY, YEAR = "2026-06-03", "2026"
A, B = "ab" * 16, "cd" * 16
MakeTaxis = Callable[..., VirtualFleet]
"""The type of the fixture `make`."""


def taxi(name: str, organisation: str = "kita-taxi") -> Place:
    return msgspec.structs.replace(
        bus(name), kind="taxi", line="", programmes=[TAXI], organisation=organisation
    )


def taxi_fleet(
    folder: Path, database: str = "", names: Sequence[str] = ("taxi-1", "taxi-2"), **rules: Any
) -> VirtualFleet:
    """Return a fleet whose places are taxis, under one table."""
    fleet = make_fleet(folder, [taxi(name) for name in names], database)
    add_table(fleet, folder, TABLE, **rules)
    assert fleet.command("schemes", "state", TAXI, *Scheme, *SIGNED) == 0
    return fleet


def add_table(
    fleet: VirtualFleet, folder: Path, version: str, valid_from: str = "2026-04-01", **rules: Any
) -> None:
    file = folder / "taxi.toml"
    lines = [f"{name} = {_toml(value)}" for name, value in rules.items()]
    head = f'version = "{version}"\nvalid_from = {valid_from}\n[parameters]\n'
    file.write_text(head + "\n".join(lines), "utf-8")
    assert fleet.command("rules", "add", TAXI, str(file)) == 0


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = {one}' for name, one in value.items()) + "}"
    return f"{value}" if isinstance(value, datetime.time) else repr(value).replace("'", '"')


def add_rider(fleet: VirtualFleet, number: str, *more: str, **changes: Any) -> str:
    """Enrol one member; return the credential of his card. `more` are others that he had."""
    credential = secrets.token_hex(16)
    new = members.NewMember(number, f"山田{number}", valid_from=datetime.date(2026, 4, 1))
    with fleet.people.write() as connection:
        members.enrol(connection, TAXI, new._replace(**changes), "test", NOON_MS)
        one = member.c.registration_number == number
        found = connection.execute(member.select().where(one)).one()
        for name in (credential, *more):
            superseded = {"superseded_at_ms": NOON_MS} if name != credential else {}
            connection.execute(
                card.insert(),
                {
                    "member_id": found.id,
                    "programme": TAXI,
                    "credential": name,
                    "scheme": "common-ap",
                    "key_epoch": 1,
                    "assigned_at_ms": NOON_MS,
                    "assigned_by": "test",
                    **superseded,
                },
            )
    return credential


def roster_of(fleet: VirtualFleet, place: str, version: int = 1) -> Roster:
    key = read_signing_key(fleet.config.signing_key).public_key()
    config = fleet.config
    archive = RosterArchive(fleet.store, config.state_folder, config.tenant, key)
    found = archive.get(TAXI, place, version)
    assert found is not None
    return found


# --- entries by hand ------------------------------------------------------------------------------


def a_ride(n: int, *credentials: str, subsidy_yen: int = 500, **changes: Any) -> Ride:
    """Return a ride of these cards at noon, as no rulebook may have settled it."""
    riders = [
        Rider(Scheme.COMMON_AP, 1, credential, subsidy_yen=subsidy_yen)
        for credential in credentials or (A,)
    ]
    values: dict[str, Any] = {
        "v": 1,
        "n": n,
        "at_ms": NOON_MS + 60_000 * n,
        "mono_ms": n,
        "clock": ClockState.SYNCHRONISED,
        "programme": TAXI,
        "outcome": Outcome.ACCEPTED,
        "code": Code.OK,
        "shown": "taxi.settled",
        "riders": riders,
        "fare_yen": 1000 * len(riders),
        "boarded_at_ms": NOON_MS + 60_000 * (n - 1),
        "rule": TABLE,
    }
    return Ride(**(values | changes))


def a_cancel(n: int, journal: str, of_n: int, **changes: Any) -> Cancel:
    values: dict[str, Any] = {
        "v": 1,
        "n": n,
        "at_ms": NOON_MS + 60_000 * n,
        "mono_ms": n,
        "clock": ClockState.SYNCHRONISED,
        "programme": TAXI,
        "of_journal": journal,
        "of_n": of_n,
        "why": "wrong-fare",
        "driver": "7",
    }
    return Cancel(**(values | changes))


# --- what the ledger says -------------------------------------------------------------------------


def rides_of(fleet: VirtualFleet) -> list[tuple[Any, ...]]:
    """Return kind, number of the entry, and what the city pays, in the order of writing."""
    return fleet.rows("select kind, n, subsidy_yen from ride order by id")


def counters(fleet: VirtualFleet) -> dict[tuple[str, str], tuple[int, int]]:
    """Return times and yen by period and credential, of what is not nothing."""
    rows = fleet.rows("select period, credential, times, yen from usage")
    return {(period, card): (times, yen) for period, card, times, yen in rows if times or yen}


def differences(fleet: VirtualFleet) -> list[usage.Difference]:
    with fleet.store.read() as connection:
        return usage.check(connection)


def findings(fleet: VirtualFleet) -> list[tuple[Any, ...]]:
    """Return reader, kind of the entry, kind of the finding and its code."""
    return fleet.rows(
        "select j.reader, e.kind, f.kind, f.code from finding f "
        "join journal j on j.id = f.journal_id "
        "join entry e on e.journal_id = f.journal_id and e.n = f.n order by j.reader, f.n"
    )


# --- a cab ----------------------------------------------------------------------------------------


class Cab:
    """One taxi's reader."""

    def __init__(
        self,
        virtual: VirtualReader,
        folder: Path,
        clock: HandClock,
        roster: Roster,
        *,
        synchronised: bool = True,
    ) -> None:
        """`synchronised`: the fleet has told it the time."""
        self.virtual, self.folder, self.clock = virtual, folder, clock
        self.roster = roster
        self.held: Held | None = None
        self.synchronised = synchronised
        self.spot = ""
        self.answers: list[FromTap] = []
        self.kept: dict[Ref, Entry] = {}
        """What it has written, as `entries` reads it from the disk."""
        self.boots = 0
        self.asked = 0
        self.begin()

    def begin(self) -> None:
        """Start: everything is rebuilt from what is on the disk."""
        self.boots += 1
        self.own, self.riding = OwnEntries(), Riding()
        boot = f"b{self.boots}"
        history = rebuild(self.folder, self.virtual.name, self.own, self.riding, boot)
        self.time = ReaderClock(self.clock, 0)
        if self.synchronised:
            self.time.take_fleet_time(self.clock.now_ms())
        self.journal = Journal(self.folder, self.virtual.name, boot, "1", self.time.stamp)
        self.keeper = Keeper(
            self.journal, history, self.own, self.riding, self.time, self.clock, lambda _: None
        )
        self.keeper.begin()
        self.kept = self.entries()
        self.rides = Rides(
            self.riding,
            self._keep,
            lambda: self.journal.id,
            self.answers.append,
            lambda: [self.holding],
        )

    def _keep(self, entry: Entry) -> int:
        if n := self.keeper.keep(entry):
            self.kept[self.journal.id, n] = entry
        return n

    def end(self) -> None:
        """Be killed: what is on the disk stays."""
        self.journal.close()

    @property
    def holding(self) -> Holding:
        return Holding(rulebook(TAXI), self.roster, (), self.clock.now_ms() - 60_000)

    @property
    def now_ms(self) -> int:
        return self.time.now_ms()

    def used(self, *under: str) -> Counted:
        """Return what this reader counts for a card now."""
        book, rules = rulebook(TAXI), self.roster.header.rules
        assert book.near
        periods = book.near(self.now_ms, rules)
        used = count(periods, TAXI, [Credential(one) for one in under], self.held, self.own)
        held = self.held
        return Counted(used, max(0, self.now_ms - held.at_ms) // 1000 if held else None)

    def tap(self, credential: str, older: str | None = None) -> Code:
        """Let a card be held; `older`: its credential under the key epoch before."""
        now = Circumstances(self.time.stamp(), RulePlace("", "taxi"), "", "", "", self.spot)
        under = tuple(Credential(one) for one in (credential, older) if one)
        holding = self.holding
        row = next((row for one in under if (row := self.roster.find(one))), None)
        epoch = 2 if older else 1
        match = Match(
            holding, Scheme.COMMON_AP, epoch, under[0], under[1] if older else None, row, under
        )
        identified = Identified(Code.OK if row else Code.UNKNOWN, match)
        counted = self.used(*under) if row else Counted()
        riding = self.riding.is_aboard(under, now.stamp.at_ms)
        made = decide(identified, holding, [], counted, now, riding=riding)
        entry = tap_entry(TAXI, identified, holding, made, counted, now, riding=riding)
        assert self._keep(entry)
        return made.code

    def aboard(self) -> list[Ref]:
        return list(self.riding.aboard(self.now_ms))

    def ask(self, act: Fare | TakeOff | CancelRide | TurnShift) -> FromTap:
        """Do what the driver asks; return the answer."""
        self.answers.clear()
        self.rides.hear(act, Moment(self.time.stamp(), self.spot))
        return next(one for one in self.answers if isinstance(one, FareAnswer | RideActed))

    def _next(self) -> int:
        self.asked += 1
        return self.asked

    def fare(self, yen: int, *, keep: bool = True, discount: str = "") -> FareAnswer:
        riders = [RiderRef(journal, n) for journal, n in self.aboard()]
        answer = self.ask(Fare(self._next(), riders, yen, discount, keep))
        assert isinstance(answer, FareAnswer)
        return answer

    def take_off(self, ref: Ref) -> str:
        answer = self.ask(TakeOff(self._next(), *ref))
        assert isinstance(answer, RideActed)
        return answer.refused

    def cancel(self, ref: tuple[str, int], why: Any = "wrong-fare") -> str:
        answer = self.ask(CancelRide(self._next(), *ref, why))
        assert isinstance(answer, RideActed)
        return answer.refused

    def shift(self, driver: str, *, began: bool = True) -> str:
        answer = self.ask(TurnShift(self._next(), began, driver))
        assert isinstance(answer, RideActed)
        return answer.refused

    def ride(self, yen: int, *cards: str) -> FareAnswer:
        """Take these cards aboard and settle their ride."""
        for one in cards:
            assert self.tap(one) is Code.OK
        answer = self.fare(yen)
        assert answer.n
        return answer

    def entries(self) -> dict[Ref, Entry]:
        return {
            (file.journal, kept.n): kept.entry
            for file in journals(self.folder)
            for kept in read_whole(file, self.virtual.name)
        }

    def batches(self, since: int = 1) -> list[Batch]:
        """Return what is on the disk, a journal a batch; of the last one from `since` on."""
        found = []
        for file in journals(self.folder):
            kept = list(read_whole(file, self.virtual.name))
            some = kept[since - 1 :] if file.journal == self.journal.id else kept
            if some:
                found.append(
                    Batch(
                        v=1,
                        journal=JournalId(file.journal),
                        first=some[0].n,
                        lost=0,
                        before=some[0].before,
                        entries=[msgspec.Raw(one.body) for one in some],
                        tip=some[-1].tip,
                    )
                )
        return found


def make_cab(fleet: VirtualFleet, folder: Path, name: str = "taxi-1", at_ms: int = NOON_MS) -> Cab:
    """Return the cab of a place, with the first roster; `at_ms` 0: it does not know the time."""
    build(fleet)
    roster = roster_of(fleet, name)
    clock = HandClock(at_ms)
    return Cab(fleet.reader(name), folder / "cabs" / name, clock, roster, synchronised=at_ms > 0)
