"""What a past month would have come to under another rule table.

Rules: the programme's own function decides each entry of the ledger again, in the order of commit,
with what the ledger knows: each member's rides are counted anew from the beginning of the period
(over all cards that a member had), as if the table had been in force since then. What no table
changes stays: whose card was unknown, stopped, expired or not read is refused again. What a reader
did not know without a network is not played again, so the tables of that time are replayed beside
it, and how often that differs from the ledger is said.
"""

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

import sqlalchemy as sa
from msgspec.structs import replace as changed

from fleet.ledger_months import first_position
from fleet.months import bounds_ms
from fleet.reconcile import NOT_DECIDED, PlaceKind
from fleet.schema import card, entry, journal, place, reader
from programmes.calendar import fiscal_year, local_day, start_of_day_ms
from programmes.rulebook import Booked, Decision, Facts, Place, Rulebook, RuleTableRefused
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Press, Tap, Used, decode
from wire.roster import RosterRow, RuleTable

ENTRIES_MAX: Final = 3_000_000
"""Entries that are decided again: a fiscal year of 250,000 rides a month, some three minutes."""
ROWS_AT_ONCE: Final = 2_000
BREATH_ENTRIES: Final = 100
BREATH_S: Final = 0.001
"""After so many entries (4 ms or so) the other threads have the interpreter for a moment: pages go
on being answered while a year is replayed."""
STAYS: Final = NOT_DECIDED | {Code.STOP_LISTED, Code.NOT_YET, Code.EXPIRED, Code.NOT_ELIGIBLE}
"""What was decided about the card or the member, under any table."""
ALWAYS: Final = datetime.date(1, 1, 1)
_EVERY_MS: Final = 24 * 3_600_000
"""A reader's clock may have been ahead by a day: so much earlier is looked for entries."""
Progress = Callable[[float], None]
"""Hears the share that is done, 0 to 1; an exception of it ends the replay."""
Members = Mapping[str, int]
"""The member behind each credential; one that is not named stands for itself."""


class TooMuch(ValueError):
    """More than ENTRIES_MAX entries since the period began: a month earlier in it has fewer."""


@dataclass(slots=True)
class Sums:
    """What a month came to."""

    accepted: int = 0
    refused: int = 0
    rider_yen: int = 0
    city_yen: int = 0

    def add(self, outcome: Outcome, rider_yen: int, city_yen: int) -> None:
        """Count one decision; a repeat is none."""
        if outcome is Outcome.ACCEPTED:
            self.accepted += 1
            self.rider_yen += rider_yen
            self.city_yen += city_yen
        elif outcome is Outcome.REFUSED:
            self.refused += 1


class Replayed(NamedTuple):
    """A month as it was, and as it would have been."""

    was: Sums
    would_be: Sums
    members: int
    """Members with at least one entry in the month."""
    affected: int
    """Those of them with an entry whose outcome or amount is another."""
    unlike: int
    """Entries that the tables of that time, replayed, decide otherwise than the readers did."""


def members_of(people: sa.Connection, programme: str) -> Members:
    """Return the member behind each credential of a programme, of former cards too."""
    wanted = sa.select(card.c.credential, card.c.member_id).where(card.c.programme == programme)
    return {row.credential: row.member_id for row in people.execute(wanted)}


def replay(
    connection: sa.Connection,
    book: Rulebook,
    month: datetime.date,
    table: RuleTable,
    tables: Sequence[RuleTable],
    members: Members,
    progress: Progress,
) -> Replayed:
    """Decide a month again under a table. `month`: its first day; `tables`: those that stand.

    Raises TooMuch, RuleTableRefused when a table does not fit the programme.
    """
    begin_ms, end_ms = bounds_ms(month)
    would_be = _Run(book, (changed(table, valid_from=ALWAYS),))
    again = _Run(book, tables)
    since_ms = _since_ms(book, begin_ms, (*tables, would_be.rules[0]))
    paid = {one.version: book.city_pays(one) for one in tables} if book.city_pays else {}
    found = Replayed(Sums(), would_be.sums, 0, 0, 0)
    seen, affected, unlike = set[object](), set[object](), 0
    for told, at in _entries(connection, book.name, since_ms, end_ms, progress):
        if isinstance(told, Press):
            if told.at_ms >= begin_ms:
                found.was.add(Outcome.ACCEPTED, told.rider_pays_yen or 0, paid.get(told.rule, 0))
                would_be.press()
            continue
        is_counted = told.at_ms >= begin_ms
        who = members.get(told.credential or "", told.credential)
        new = would_be.decide(told, at, who, is_counted=is_counted)
        old = again.decide(told, at, who, is_counted=is_counted)
        if not is_counted:
            continue
        was = told.outcome, told.rider_pays_yen or 0
        found.was.add(*was, paid.get(told.rule, 0))
        unlike += old != was
        if who is not None:
            seen.add(who)
            if new != was:
                affected.add(who)
    return found._replace(members=len(seen), affected=len(affected), unlike=unlike)


def _since_ms(book: Rulebook, begin_ms: int, tables: Sequence[RuleTable]) -> int:
    """Return from when on entries matter: from the period's begin where a table limits it."""
    look_back_ms = begin_ms - 1000 * book.looks_back_s
    if book.near is None:
        return look_back_ms
    try:
        is_limited = any(book.near(begin_ms, (changed(one, valid_from=ALWAYS),)) for one in tables)
    except RuleTableRefused:
        is_limited = True
    if not is_limited:
        return look_back_ms
    year = fiscal_year(local_day(begin_ms))
    return min(look_back_ms, start_of_day_ms(datetime.date(year, 4, 1)))


class _At(NamedTuple):
    """Where an entry was made: the reader, and its place as a rule sees it."""

    reader: str
    name: str
    kind: PlaceKind
    line: str


def _places(connection: sa.Connection) -> dict[int, _At]:
    """Return where each journal was written."""
    wanted = (
        sa.select(journal.c.id, journal.c.reader, place.c.name, place.c.kind, place.c.line)
        .join(reader, reader.c.name == journal.c.reader)
        .join(place, place.c.name == reader.c.place)
    )
    return {
        row.id: _At(row.reader, row.name, cast(PlaceKind, row.kind), row.line)
        for row in connection.execute(wanted)
    }


def _entries(
    connection: sa.Connection, programme: str, since_ms: int, end_ms: int, progress: Progress
) -> Iterator[tuple[Tap | Press, _At]]:
    """Yield a programme's taps and presses of a time in the order of commit."""
    places = _places(connection)
    last = connection.scalar(sa.select(sa.func.max(entry.c.position))) or 0
    first = first_position(connection, since_ms - _EVERY_MS, last + 1)
    wanted = (
        sa.select(entry.c.position, entry.c.journal_id, entry.c.body)
        .where(
            entry.c.position.between(first, last),
            entry.c.programme == programme,
            entry.c.kind.in_(("tap", "press")),
            entry.c.at_ms >= since_ms,
            entry.c.at_ms < end_ms,
        )
        .order_by(entry.c.position)
    )
    with connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
        for number, row in enumerate(rows, 1):
            if number > ENTRIES_MAX:
                raise TooMuch(f"more than {ENTRIES_MAX} entries")
            if number % BREATH_ENTRIES == 0:
                progress((row.position - first) / (last + 1 - first))
                time.sleep(BREATH_S)
            told = decode(row.body)
            if isinstance(told, Tap | Press):
                yield told, places[row.journal_id]


@dataclass(slots=True)
class _Run:
    """One table, or those of then, over all entries: what it has counted and booked so far."""

    book: Rulebook
    rules: Sequence[RuleTable]
    sums: Sums = field(default_factory=Sums)
    _used: dict[object, dict[str, Used]] = field(default_factory=dict)
    _booked: dict[tuple[str, object], Booked] = field(default_factory=dict)
    _city: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.book.city_pays is not None:
            self._city = {one.version: self.book.city_pays(one) for one in self.rules}

    def press(self) -> None:
        """Count somebody who was let on without a tap; only one table is replayed so."""
        table = self.rules[0]
        fare = self.book.fare(table) if self.book.fare else 0
        self.sums.add(Outcome.ACCEPTED, fare, self._city.get(table.version, 0))

    def decide(self, tap: Tap, at: _At, who: object, *, is_counted: bool) -> tuple[Outcome, int]:
        """Decide a tap, book it, and return its outcome and what the rider pays."""
        made = None if tap.code in STAYS or who is None else self._decide(tap, at, who)
        if made is None:
            outcome, yen, version = tap.outcome, tap.rider_pays_yen or 0, tap.rule
        else:
            outcome, yen, version = made.outcome, made.rider_pays_yen or 0, made.rule
        if outcome is Outcome.ACCEPTED and who is not None:
            self._book(tap, at, who, yen)
        if is_counted:
            self.sums.add(outcome, yen, self._city.get(version, 0))
        return outcome, yen

    def _decide(self, tap: Tap, at: _At, who: object) -> Decision | None:
        booked = self._booked.get((at.reader, who))
        facts = Facts(
            tap.at_ms,
            Place(at.name, at.kind, tap.line or at.line),
            RosterRow(Credential(tap.credential or ""), tap.category, None, None, None),
            self.rules,
            tap.roster_age_s,
            tap.clock is not ClockState.UNKNOWN,
            tap.declared,
            (booked,) if booked else (),
            self._used.get(who, {}),
            0,
        )
        try:
            return self.book.decide(facts)
        except RuleTableRefused:  # a day before the first table, by a clock that was wrong
            return None

    def _book(self, tap: Tap, at: _At, who: object, yen: int) -> None:
        self._booked[at.reader, who] = Booked(tap.at_ms, tap.declared)
        if self.book.periods is None:
            return
        mine = self._used.setdefault(who, {})
        for period in self.book.periods(tap.at_ms):
            had = mine.get(period, Used())
            mine[period] = Used(had.times + 1, had.yen + yen)
