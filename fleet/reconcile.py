"""Deciding again: once with what the reader had, once with what the fleet knows.

Rules: the same function from `programmes` decides here and on the reader. From what the entry
names (roster version, line, clock, declared direction) and the card's last booking at this reader
the same decision must follow; another one is a fault (`replay`). With what the fleet knows about
the instant a decision may be another (`roster-lag`): the reader's stands and the city bears it.
Decisions that rest on no card, or on a roster that is no longer kept, are not judged.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

from fleet.registry import Place
from fleet.rosters import roster_path
from programmes.register import RULEBOOKS
from programmes.rulebook import Booked, Decision, Facts, Rulebook, RuleTableRefused
from programmes.rulebook import Place as RulePlace
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Tap
from wire.envelope import MessageRefused, PublicKey
from wire.roster import Roster, RosterRow, RuleTable

ROSTERS_OPEN_MAX: Final = 64
"""Mapped at once; each is a file and a little memory."""
NOT_DECIDED: Final = frozenset(
    {
        Code.HOLD_AGAIN,
        Code.TWO_CARDS,
        Code.CARD_NOT_USABLE,
        Code.UNKNOWN,
        Code.JOURNAL_FULL,
        Code.DEVICE_FAULT,
    }
)
"""Refusals of the reader itself: no rulebook was asked, or the entry keeps no credential."""
PlaceKind = Literal["bus", "taxi", "school", "desk", "kiosk"]


class Finding(NamedTuple):
    """A decision that the ledger would have made differently, and what it would have been."""

    n: int
    kind: Literal["replay", "roster-lag"]
    decision: Decision


class Last(NamedTuple):
    """A card's last booking at this reader before the batch."""

    journal_id: int
    booked: Booked


@dataclass(frozen=True, slots=True)
class Known:
    """What the fleet knows now about the cards of one batch."""

    cards: Mapping[tuple[str, str], RosterRow]
    rules: Mapping[str, Sequence[RuleTable]]


@dataclass(slots=True)
class History:
    """The cards' last bookings, carried along the batch."""

    journal_id: int
    last: dict[str, Last]
    is_whole: Callable[[], bool]
    """Whether the ledger has what came before this journal as the reader remembers it."""

    def of(self, tap: Tap) -> Last | None:
        """Return the card's last booking, under whichever key epoch it was made."""
        found = [
            self.last[credential]
            for credential in (tap.credential, tap.older_credential)
            if credential in self.last
        ]
        return max(found, key=lambda last: last.booked.at_ms, default=None)

    def book(self, tap: Tap) -> None:
        """Remember what this tap booked; a clock that went back does not hide a later booking."""
        if tap.credential is None or tap.outcome is not Outcome.ACCEPTED:
            return
        last = self.last.get(tap.credential)
        if last is None or last.booked.at_ms <= tap.at_ms:
            booked = Booked(tap.at_ms, tap.declared)
            self.last[tap.credential] = Last(self.journal_id, booked)


class RosterArchive:
    """The rosters that were built, opened when asked for."""

    def __init__(self, state: Path, tenant: str, key: PublicKey) -> None:
        self._state = state
        self._tenant = tenant
        self._key = key
        self._open: OrderedDict[tuple[str, str, int], Roster] = OrderedDict()

    def get(self, programme: str, place: str, version: int) -> Roster | None:
        """Return a roster; None when it is no longer kept, or is damaged."""
        name = (programme, place, version)
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        path = roster_path(self._state, programme, place, version)
        try:
            found = Roster.open(path, self._tenant, programme, place, self._key)
        except (OSError, ValueError, MessageRefused):
            return None
        self._open[name] = found
        if len(self._open) > ROSTERS_OPEN_MAX:
            self._open.popitem(last=False)[1].close()
        return found

    def close(self) -> None:
        """Unmap everything."""
        while self._open:
            self._open.popitem()[1].close()


def judge(
    tap: Tap, place: Place, archive: RosterArchive, known: Known, history: History
) -> list[Finding] | None:
    """Return what the ledger finds about one tap; None when it cannot be replayed."""
    if tap.code in NOT_DECIDED or tap.credential is None or tap.roster == 0:
        return []
    book = RULEBOOKS.get(tap.programme)
    held = archive.get(tap.programme, place.name, tap.roster)
    if book is None or held is None:
        return None
    row = held.find(Credential(tap.credential))
    if row is None and tap.older_credential:
        row = held.find(Credential(tap.older_credential))
    last = history.of(tap)
    facts = _facts(tap, place, row, held.header.rules, tap.roster_age_s, last)
    findings = _replay(tap, book, facts, last, history)
    return findings + _lag(tap, book, facts, known)


def _facts(
    tap: Tap,
    place: Place,
    row: RosterRow | None,
    rules: Sequence[RuleTable],
    age_s: int,
    last: Last | None,
) -> Facts:
    return Facts(
        at_ms=tap.at_ms,
        place=RulePlace(place.name, cast(PlaceKind, place.kind), tap.line or place.line),
        member=row,
        rules=rules,
        roster_age_s=age_s,
        clock_known=tap.clock is not ClockState.UNKNOWN,
        declared=tap.declared,
        booked=(last.booked,) if last else (),
    )


def _replay(
    tap: Tap, book: Rulebook, facts: Facts, last: Last | None, history: History
) -> list[Finding]:
    decision = _decide(book, facts)
    if decision is None or _same(tap, decision):
        return []
    for other in _also_possible(facts, last, history):
        if (again := _decide(book, other)) is not None and _same(tap, again):
            return []
    return [Finding(tap.n, "replay", decision)]


def _also_possible(facts: Facts, last: Last | None, history: History) -> list[Facts]:
    """Return what else the reader may have gone by.

    The entry before a power cut was perhaps never shown; an exchanged disk remembers nothing.
    """
    if last is None or last.journal_id == history.journal_id:
        return []
    shaken = Booked(last.booked.at_ms, last.booked.declared, perhaps_not_shown=True)
    others = [replace(facts, booked=(shaken,))]
    if not history.is_whole():
        others.append(replace(facts, booked=()))
    return others


def _lag(tap: Tap, book: Rulebook, facts: Facts, known: Known) -> list[Finding]:
    """Decide with what the fleet knows, only where it knows something else."""
    row = known.cards.get((tap.programme, tap.credential or ""))
    if row is None and tap.older_credential:
        row = known.cards.get((tap.programme, tap.older_credential))
    tables = known.rules[tap.programme]
    if row == facts.member and list(tables) == list(facts.rules) and tap.code is not Code.STALE:
        return []
    decision = _decide(book, replace(facts, member=row, rules=tables, roster_age_s=0))
    if decision is None or (tap.outcome, tap.code, tap.rider_pays_yen) == (
        decision.outcome,
        decision.code,
        decision.rider_pays_yen,
    ):
        return []
    return [Finding(tap.n, "roster-lag", decision)]


def _decide(book: Rulebook, facts: Facts) -> Decision | None:
    try:
        return book.decide(facts)
    except RuleTableRefused:
        return None


def _same(tap: Tap, decision: Decision) -> bool:
    return (tap.outcome, tap.code, tap.rule, tap.rider_pays_yen) == (
        decision.outcome,
        decision.code,
        decision.rule,
        decision.rider_pays_yen,
    )
