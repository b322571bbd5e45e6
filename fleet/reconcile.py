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

from fleet.findings import Basis, Finding, Kind, Known, Names, decide
from fleet.opening import Deciding
from fleet.registry import Place
from fleet.ride_findings import judge_ride, over_caps
from fleet.roster_files import RosterArchive
from programmes.bookings import Booking, bookings
from programmes.register import RULEBOOKS
from programmes.rulebook import Booked, Decision, Facts, Rulebook
from programmes.rulebook import Place as RulePlace
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Ride, Tap

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
Ask = Callable[[], bool]
"""A question to the database that is rarely asked."""
PlaceKind = Literal["bus", "taxi", "school", "desk", "kiosk"]


class Last(NamedTuple):
    """A card's last booking at this reader before the batch."""

    journal: str
    booked: Booked


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
    settled: dict[tuple[str, str, int], Ride | None]
    """Rides of this group by reader, journal and number, which may be taken back in it; None for
    what it has taken back."""


def judge_all(
    entries: Sequence[Deciding],
    place: Place,
    judging: Judging,
    history: History,
    *,
    in_order: bool = True,
) -> tuple[list[Finding], int]:
    """Decide the taps and rides of one batch again, in order.

    Not `in_order`: what the reader had booked before is not known, so taps are not decided; a ride
    says all that it rests on. Return the findings, and how many could not be replayed.
    """
    found: list[Finding] = []
    unreplayed = 0
    basis: Basis | None = None
    for one in entries:
        if isinstance(one, Tap) and not in_order:
            unreplayed += 1
        elif _is_undone(one, judging, history):
            pass
        elif isinstance(one, Ride) or (isinstance(one, Tap) and _is_decided(one)):
            if basis is None or not basis.is_of(one):
                basis = _basis(one, place, judging)
            if basis is None:
                unreplayed += 1
                found += over_caps(one, judging.known) if isinstance(one, Ride) else ()
            elif isinstance(one, Ride):
                found += judge_ride(one, basis, judging.known)
            else:
                found += _judge(one, place, basis, judging.known, history)
        if isinstance(one, Tap):
            history.book(one)
        book(one, judging, history)
    return found, unreplayed


def book(one: Deciding, judging: Judging, history: History) -> None:
    """Count what an entry books for those that are judged after it, in its group."""
    judging.known.usage.book(_booked(one, judging.settled, history))


def _booked(
    one: Deciding, settled: dict[tuple[str, str, int], Ride | None], history: History
) -> Iterable[Booking]:
    if isinstance(one, Tap):
        return bookings(one)
    if isinstance(one, Ride):
        here = (history.reader, history.journal, one.n)
        is_taken_back = here in settled
        settled[here] = None if is_taken_back else one
        return () if is_taken_back else bookings(one)
    of = (history.reader, one.of_journal, one.of_n)
    if of in settled or history.ride is None:
        ride = settled.get(of)
    else:
        ride = history.ride(one.of_journal, one.of_n)
    settled[of] = None
    return [booking.taken_back() for booking in bookings(ride)] if ride else []


def _is_undone(one: Deciding, judging: Judging, history: History) -> bool:
    """True for a ride that was taken back before it came: it is worth nothing, whatever it says."""
    here = (history.reader, history.journal, one.n)
    return isinstance(one, Ride) and here in judging.settled


def _is_decided(tap: Tap) -> bool:
    """True when a rulebook decided, on a card that a roster knows."""
    return tap.credential is not None and tap.roster != 0 and tap.code not in NOT_DECIDED


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
    row = basis.row(tap.credential or "", tap.older_credential)
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


def _replay(
    tap: Tap, book: Rulebook, facts: Facts, last: Last | None, history: History
) -> Sequence[Finding]:
    decision = decide(book, facts)
    if decision is None or _same(tap, decision):
        return ()
    for other in _also_possible(tap, facts, last, history):
        if (again := decide(book, other)) is not None and _same(tap, again):
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
    return _finding(tap, "roster-lag", decide(basis.book, now))


def _allowance(tap: Tap, book: Rulebook, facts: Facts, known: Known) -> Sequence[Finding]:
    """Decide with what the ledger had counted before this tap, where that could matter.

    Who was let onto a ride has used nothing by that: the ride is what is found over the allowance.
    """
    used = known.usage.of(tap)
    rides_on = book.rides is not None and tap.outcome is Outcome.ACCEPTED
    if used is None or rides_on or tap.outcome is Outcome.REPEAT:
        return ()
    decision = decide(book, replace(facts, used=used, usage_age_s=0))
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


def _same(tap: Tap, decision: Decision) -> bool:
    return (
        tap.outcome is decision.outcome
        and tap.code is decision.code
        and tap.rule == decision.rule
        and tap.rider_pays_yen == decision.rider_pays_yen
    )
