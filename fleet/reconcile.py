"""Deciding again: once with what the reader had, once with what the fleet knows.

Rules: the same function from `programmes` decides here and on the reader. From what the entry
names (roster version, line, clock, declared direction) and the card's last booking at this reader
the same decision must follow; another one is a fault (`replay`). With what the fleet knows about
the instant a decision may be another, because the reader's list was older (`roster-lag`) or
because others spent the allowance (`allowance`): the reader's stands and the city bears it.
Decisions that rest on no card, or on a roster that is no longer kept, are not judged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, cast

from msgspec.structs import replace

from fleet.opening import Deciding
from fleet.registry import Place
from fleet.roster_files import RosterArchive
from fleet.usage import Boarded, Running
from programmes.bookings import Booking, bookings
from programmes.register import RULEBOOKS
from programmes.rides import RideFacts, RiderFacts, Settlement
from programmes.rulebook import Booked, Decision, Facts, Rulebook, RuleTableRefused
from programmes.rulebook import Place as RulePlace
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Cancel, Ride, Tap
from wire.roster import Roster, RosterRow, RuleTable

NOT_DECIDED: Final = frozenset(
    {
        Code.HOLD_AGAIN,
        Code.TWO_CARDS,
        Code.CARD_NOT_USABLE,
        Code.UNKNOWN,
        Code.DESK,
        Code.JOURNAL_FULL,
        Code.DEVICE_FAULT,
    }
)
"""The reader's own answers: no rulebook was asked, or the entry keeps no credential."""
BOOKED_KEPT_MS: Final = 7 * 24 * 3_600_000
"""How far back a reader looks for a card's own bookings (programmes.rulebook.Facts.booked)."""
_LOOKS_BACK_MS: Final = {name: 1000 * book.looks_back_s for name, book in RULEBOOKS.items()}
LookUp = Callable[[Tap], Mapping[str, "Last"]]
Names = Mapping[str, tuple[str, ...]]
"""Other credentials of a card by each of them: former ones, or the present one."""
Ask = Callable[[], bool]
"""A question to the database that is rarely asked."""
Tables = Sequence[RuleTable]
Kind = Literal["replay", "roster-lag", "allowance"]
PlaceKind = Literal["bus", "taxi", "school", "desk", "kiosk"]


class Finding(NamedTuple):
    """A decision that the ledger would have made differently, and what it would have been."""

    n: int
    kind: Kind
    decision: Decision


class Last(NamedTuple):
    """A card's last booking at this reader before the batch."""

    journal: str
    booked: Booked


@dataclass(frozen=True, slots=True)
class Known:
    """What the fleet knows now about the cards of one batch."""

    cards: Mapping[tuple[str, str], RosterRow]
    rules: Mapping[str, Sequence[RuleTable]]
    names: Names = field(default_factory=dict)
    """What else cards are or were known as."""
    usage: Running = field(default_factory=lambda: Running({}, {}))
    """What members have used, at each tap's place in the order of commit."""


@dataclass(slots=True)
class History:
    """The cards' last bookings at one reader, carried along its batches."""

    journal: str
    last: dict[str, Last]
    is_whole: Ask
    """Whether the ledger has what came before this journal as the reader remembers it."""
    is_stepped: Callable[[str], bool]
    """Whether the reader's clock jumped in a journal: what it had booked moved with it."""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """As `Known.names`; grows with the cards that move in these batches."""
    look_up: LookUp | None = None
    """Asks the ledger for all bookings of a tap's cards, where `last` may lack some."""
    reader: str = ""
    ride: Callable[[str, int], Ride | None] | None = None
    """Asks the ledger for a ride of this reader that has not been taken back."""

    def of(self, tap: Tap) -> Last | None:
        """Return the card's last booking, whatever it was known as when it was made."""
        return self._last(tap, names_of(tap, self.names))

    def as_written(self, tap: Tap) -> Last | None:
        """Return the last booking under what the entry itself calls the card.

        A reader that never read both of a card's credentials together does not know more.
        """
        return self._last(tap, names_of(tap, {}))

    def _last(self, tap: Tap, names: Iterable[str]) -> Last | None:
        found: Last | None = None
        for name in names:
            other = self.last.get(name)
            if other and (found is None or other.booked.at_ms > found.booked.at_ms):
                found = other
        if found is None or found.booked.at_ms < tap.at_ms - BOOKED_KEPT_MS:
            return None
        return found

    def looks_again(self, tap: Tap) -> bool:
        """Ask for what this tap may have rested on; True when there is something else now."""
        if self.look_up is None:
            return False
        before = self.of(tap)
        for card, told in self.look_up(tap).items():
            held = self.last.get(card)
            if held is None or held.booked.at_ms < told.booked.at_ms:
                self.last[card] = told
        return self.of(tap) != before

    def book(self, tap: Tap) -> None:
        """Remember what this tap booked; a clock that went back does not hide a later booking."""
        if tap.credential and tap.older_credential:
            every = names_of(tap, self.names)
            for name in every:
                self.names[name] = tuple(other for other in every if other != name)
        if tap.credential is None or tap.outcome is not Outcome.ACCEPTED:
            return
        last = self.last.get(tap.credential)
        if last is None or last.booked.at_ms <= tap.at_ms:
            booked = Booked(tap.at_ms, tap.declared)
            self.last[tap.credential] = Last(self.journal, booked)


def names_of(tap: Tap, names: Names) -> tuple[str, ...]:
    """Return what a tap's card is known as: by the entry, and by what else is known."""
    told = [one for one in (tap.credential, tap.older_credential) if one]
    return tuple(dict.fromkeys(name for one in told for name in (one, *names.get(one, ()))))


def looks_back_ms(tap: Tap) -> int:
    """Return how long before a tap a booking of its card may change what is decided."""
    return _LOOKS_BACK_MS.get(tap.programme, BOOKED_KEPT_MS)


class Judging(NamedTuple):
    """What deciding again needs of the fleet; one a group."""

    archive: RosterArchive
    known: Known
    settled: dict[tuple[str, str, int], Ride]
    """Rides of this group by reader, journal and number: they may be taken back in it."""


def judge_all(
    entries: Sequence[Deciding], place: Place, judging: Judging, history: History
) -> tuple[list[Finding], int]:
    """Decide the taps and rides of one batch again, in order.

    Return the findings, and how many of them could not be replayed.
    """
    found: list[Finding] = []
    unreplayed = 0
    basis: Basis | None = None
    for one in entries:
        if isinstance(one, Ride) or (isinstance(one, Tap) and _is_decided(one)):
            if basis is None or not basis.is_of(one):
                basis = _basis(one, place, judging)
            if basis is None:
                unreplayed += 1
            elif isinstance(one, Ride):
                found += judge_ride(one, basis, judging.known)
            else:
                found += _judge(one, place, basis, judging.known, history)
        if isinstance(one, Tap):
            history.book(one)
        judging.known.usage.book(_booked(one, judging, history))
    return found, unreplayed


def _booked(one: Deciding, judging: Judging, history: History) -> Iterable[Booking]:
    """Return what an entry books for those after it."""
    if isinstance(one, Ride):
        judging.settled[history.reader, history.journal, one.n] = one
    if not isinstance(one, Cancel):
        return bookings(one)
    ride = judging.settled.pop((history.reader, one.of_journal, one.of_n), None)
    if ride is None and history.ride is not None:
        ride = history.ride(one.of_journal, one.of_n)
    return [booking.taken_back() for booking in bookings(ride)] if ride else []


def _is_decided(tap: Tap) -> bool:
    """True when a rulebook decided, on a card that a roster knows."""
    return tap.credential is not None and tap.roster != 0 and tap.code not in NOT_DECIDED


class Basis(NamedTuple):
    """What a reader's taps under one roster have in common."""

    programme: str
    book: Rulebook
    roster: Roster
    tables: Tables
    """The programme's tables of now."""
    are_held: bool
    """The roster holds the same ones."""

    def is_of(self, tap: Tap | Ride) -> bool:
        """True for an entry that rests on the same."""
        return tap.roster == self.roster.header.version and tap.programme == self.programme


def _basis(tap: Tap | Ride, place: Place, judging: Judging) -> Basis | None:
    """Return what a tap rests on; None when it cannot be replayed."""
    book = RULEBOOKS.get(tap.programme)
    held = judging.archive.get(tap.programme, place.name, tap.roster)
    if book is None or held is None:
        return None
    tables = judging.known.rules[tap.programme]
    return Basis(tap.programme, book, held, tables, list(tables) == list(held.header.rules))


def _judge(
    tap: Tap, place: Place, basis: Basis, known: Known, history: History
) -> Sequence[Finding]:
    """Return what the ledger finds about one tap."""
    row = _row(basis, tap.credential or "", tap.older_credential)
    last = history.of(tap)
    facts = Facts(
        tap.at_ms,
        RulePlace(place.name, cast(PlaceKind, place.kind), tap.line or place.line),
        row,
        basis.roster.header.rules,
        tap.roster_age_s,
        tap.clock is not ClockState.UNKNOWN,
        tap.declared,
        (last.booked,) if last else (),
        tap.used,
        tap.usage_age_s,
        tap.riding,
    )
    findings = _replay(tap, basis.book, facts, last, history)
    if findings and history.looks_again(tap):
        last = history.of(tap)
        facts = replace(facts, booked=(last.booked,) if last else ())
        findings = _replay(tap, basis.book, facts, last, history)
    return (*findings, *_lag(tap, basis, facts, known), *_allowance(tap, basis.book, facts, known))


def _row(basis: Basis, card: str, older: str | None) -> RosterRow | None:
    """Return the row of a card in the roster that a reader went by."""
    row = basis.roster.find(Credential(card))
    return basis.roster.find(Credential(older)) if row is None and older else row


def judge_ride(one: Ride, basis: Basis, known: Known) -> Sequence[Finding]:
    """Return what the ledger finds about a ride: settled otherwise, or over an allowance."""
    rides = basis.book.rides
    if rides is None:
        return ()
    riders = [
        RiderFacts(_row(basis, each.credential, each.older_credential), each.used, each.usage_age_s)
        for each in one.riders
    ]
    facts = RideFacts(
        one.at_ms,
        one.boarded_at_ms,
        riders,
        one.fare_yen,
        basis.roster.header.rules,
        one.roster_age_s,
        one.clock is not ClockState.UNKNOWN,
        one.discount,
        one.on,
        one.off,
    )
    try:
        settlement = rides.settle(facts)
    except RuleTableRefused:
        return ()
    if not _same_ride(one, settlement):
        return (_ride_finding(one, "replay", settlement),)
    return _over(one, basis, known, facts)


def _over(one: Ride, basis: Basis, known: Known, facts: RideFacts) -> Sequence[Finding]:
    """Say so when a rider had nothing left by what the ledger had counted before this ride."""
    if one.outcome is not Outcome.ACCEPTED or not facts.clock_known:
        return ()
    riders = []
    for each, rider in zip(one.riders, facts.riders, strict=True):
        boarded = Boarded(one.programme, one.boarded_at_ms, each.credential, each.older_credential)
        used = known.usage.of(boarded)
        if used is None:
            riders.append(rider)
            continue
        riders.append(replace(rider, used=used, usage_age_s=0))
        tap = Facts(
            one.boarded_at_ms,
            RulePlace("", "taxi"),
            rider.member,
            facts.rules,
            0,
            used=used,
            usage_age_s=0,
        )
        decision = _decide(basis.book, tap)
        if decision is not None and decision.code is Code.USED_UP:
            return (Finding(one.n, "allowance", decision),)
    again = basis.book.rides.settle(replace(facts, riders=riders)) if basis.book.rides else None
    if again is None or again.subsidy_yen >= one.subsidy_yen:
        return ()
    return (_ride_finding(one, "allowance", again),)


def _ride_finding(one: Ride, kind: Kind, made: Settlement) -> Finding:
    decision = Decision(made.outcome, made.code, made.shown, made.rule, made.riders_pay_yen)
    return Finding(one.n, kind, decision)


def _same_ride(one: Ride, made: Settlement) -> bool:
    subsidies = tuple(rider.subsidy_yen for rider in one.riders)
    return (one.outcome, one.code, one.rule, subsidies, one.discount_yen) == (
        made.outcome,
        made.code,
        made.rule,
        made.subsidies_yen,
        made.discount_yen,
    )


def _replay(
    tap: Tap, book: Rulebook, facts: Facts, last: Last | None, history: History
) -> Sequence[Finding]:
    decision = _decide(book, facts)
    if decision is None or _same(tap, decision):
        return ()
    for other in _also_possible(tap, facts, last, history):
        if (again := _decide(book, other)) is not None and _same(tap, again):
            return ()
    return (Finding(tap.n, "replay", decision),)


def _also_possible(tap: Tap, facts: Facts, last: Last | None, history: History) -> list[Facts]:
    """Return what else the reader may have gone by.

    The entry before a power cut was perhaps never shown; an exchanged disk remembers nothing; a
    card that it knows by another name has booked nothing there; and where the clock was set, what
    had been booked moved with it, into the window or out of it.
    """
    if last is None:
        return []
    moved: list[Facts] = []
    written = history.as_written(tap)
    if written != last:
        moved.append(replace(facts, booked=(written.booked,) if written else ()))
    if any(history.is_stepped(name) for name in {last.journal, history.journal}):
        within = Booked(facts.at_ms, last.booked.declared)
        moved += [replace(facts, booked=(within,)), replace(facts, booked=())]
    if last.journal == history.journal:
        return moved
    shaken = Booked(last.booked.at_ms, last.booked.declared, perhaps_not_shown=True)
    others = [*moved, replace(facts, booked=(shaken,))]
    if not history.is_whole():
        others.append(replace(facts, booked=()))
    return others


def _lag(tap: Tap, basis: Basis, facts: Facts, known: Known) -> Sequence[Finding]:
    """Decide with what the fleet knows, only where it knows something else."""
    row = known.cards.get((tap.programme, tap.credential or ""))
    if row is None and tap.older_credential:
        row = known.cards.get((tap.programme, tap.older_credential))
    if basis.are_held and row == facts.member and tap.code is not Code.STALE:
        return ()
    now = replace(facts, member=row, rules=basis.tables, roster_age_s=0)
    return _finding(tap, "roster-lag", _decide(basis.book, now))


def _allowance(tap: Tap, book: Rulebook, facts: Facts, known: Known) -> Sequence[Finding]:
    """Decide with what the ledger had counted before this tap, where that could matter."""
    used = known.usage.of(tap)
    if used is None or tap.outcome is Outcome.REPEAT:
        return ()
    decision = _decide(book, replace(facts, used=used, usage_age_s=0))
    return _finding(tap, "allowance", decision)


def _finding(tap: Tap, kind: Kind, decision: Decision | None) -> Sequence[Finding]:
    """Say so when the fleet's own decision is another one; the table's version may differ."""
    if decision is None or (tap.outcome, tap.code, tap.rider_pays_yen) == (
        decision.outcome,
        decision.code,
        decision.rider_pays_yen,
    ):
        return ()
    return (Finding(tap.n, kind, decision),)


def _decide(book: Rulebook, facts: Facts) -> Decision | None:
    try:
        return book.decide(facts)
    except RuleTableRefused:
        return None


def _same(tap: Tap, decision: Decision) -> bool:
    return (
        tap.outcome is decision.outcome
        and tap.code is decision.code
        and tap.rule == decision.rule
        and tap.rider_pays_yen == decision.rider_pays_yen
    )
