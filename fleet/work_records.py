"""What is known of members' work, and what follows: days and hours, for a whole school at once.

Rules: days and hours are the programme's (`programmes.work_day`, `work_hours`) over the ledger's
marks, corrections and entries, and are never stored but in signed lists and closed months; every
correction of a day stands in its record, also one of a mark that is not there; the rule table that
is in force on a day says how it begins, and days under two tables are derived apart. Databases are
asked a fixed number of times, however many members there are.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import rules as rule_tables
from fleet import work_entries, work_ledger, work_terms
from fleet.schema import work_correction
from fleet.work_entries import Declared
from fleet.work_ledger import Told
from fleet.work_terms import Enrolled
from programmes import attendance
from programmes.attendance import Parameters
from programmes.calendar import local_day
from programmes.rulebook import NoRuleInForce, read_parameters, rule_in_force
from programmes.work_day import Reading, WorkDay, derive_days
from programmes.work_day_rules import DayRules
from programmes.work_hours import DayHours, Given, MonthHours, hours_between
from programmes.work_marks import Correction
from wire.roster import RuleTable

DAYS_MAX: Final = 400
"""Days asked for at once: a fiscal year and a month."""
_ONE_DAY: Final = datetime.timedelta(days=1)
_AROUND: Final = datetime.timedelta(days=62)
"""How far from a day the corrections of its marks are looked for: a reader's clock was wrong by
days, and the day of a mark has moved since it was corrected."""
_TRIP: Final = datetime.timedelta(days=work_entries.TRIP_DAYS_MAX)


class Span(NamedTuple):
    """Days from one to another, both included."""

    first: datetime.date
    last: datetime.date

    @property
    def days(self) -> list[datetime.date]:
        """Return each of them."""
        return [self.first + n * _ONE_DAY for n in range((self.last - self.first).days + 1)]


class Corrected(NamedTuple):
    """One correction of the office or the person, as it was written down."""

    correction: Correction
    day: datetime.date
    request_id: int | None


class Record(NamedTuple):
    """All that is known of one member in a span of days, and what follows from it."""

    enrolled: Enrolled
    span: Span
    days: tuple[WorkDay, ...]
    """Those of which something is known, in order."""
    hours: tuple[DayHours, ...]
    """Of each day of the span that is over, as `through` says."""
    corrections: tuple[Corrected, ...]
    """Those that were made of days of the span, oldest first."""
    all_entries: tuple[Declared, ...]
    """Withdrawn ones too, and those of days around the span, such as a trip's."""
    undated: Mapping[datetime.date, tuple[Reading, ...]]
    """Marks whose day is not known, by the day of their receipt."""
    unknowing: tuple[datetime.date, ...]
    """Days of which the person answered that he does not know."""

    @property
    def entries(self) -> tuple[Declared, ...]:
        """Return the entries that begin on days of the span, withdrawn ones too."""
        span = self.span
        return tuple(one for one in self.all_entries if span.first <= one.day <= span.last)

    @property
    def member_id(self) -> int:
        """Whose it is."""
        return self.enrolled.member_id

    def is_known_on(self, day: datetime.date) -> bool:
        """True when anything is known of a day."""
        days = {one.day for one in self.days} | {one.day for one in self.entries}
        return day in days or day in self.undated or day in {one.day for one in self.corrections}

    def day(self, day: datetime.date) -> WorkDay | None:
        """Return one day; None when nothing is known of it."""
        return next((one for one in self.days if one.day == day), None)

    def month(self, first: datetime.date) -> MonthHours:
        """Return the hours of the month that begins on this day."""
        mine = (one for one in self.hours if one.day.replace(day=1) == first)
        return MonthHours(first, tuple(mine))


def records(
    fleet: sa.Connection,
    people: sa.Connection,
    enrolled: Mapping[int, Enrolled],
    span: Span,
    through: datetime.date,
) -> dict[int, Record]:
    """Return the records of these members, as `work_terms.of_school` or `of_members` returns them.

    `through`: the last day that is over, to which hours are counted.
    """
    if (span.last - span.first).days >= DAYS_MAX:
        raise ValueError(f"{span} is longer than {DAYS_MAX} days")
    wide = Span(span.first - _TRIP, span.last + _TRIP)
    entries = work_entries.of_members(people, enrolled, *wide)
    asked = _with_trips(span, entries.values())
    told = work_ledger.told(fleet, people, enrolled, *asked)
    corrections = _corrections(people, enrolled, asked)
    tables = _tables(fleet)
    return {
        one: _record(
            enrolled[one], span, told[one], corrections[one], entries[one], tables, through
        )
        for one in enrolled
    }


def of_school(
    fleet: sa.Connection,
    people: sa.Connection,
    organisation: str,
    span: Span,
    through: datetime.date,
) -> dict[int, Record]:
    """Return the records of all who were of a school on one of these days."""
    enrolled = work_terms.of_school(people, organisation, *span)
    return records(fleet, people, enrolled, span, through)


def of_member(
    fleet: sa.Connection,
    people: sa.Connection,
    member_id: int,
    span: Span,
    through: datetime.date,
) -> Record | None:
    """Return one member's record; None for one who was erased or never was."""
    enrolled = work_terms.of_members(people, [member_id])
    return records(fleet, people, enrolled, span, through).get(member_id)


# --- how days begin ------------------------------------------------------------------------------


def _tables(fleet: sa.Connection) -> list[RuleTable]:
    return rule_tables.load(fleet, attendance.NAME)


def day_rules(fleet: sa.Connection, day: datetime.date) -> DayRules:
    """Return how a day begins, by the rule in force; without one, as is customary."""
    return _rules_on(_tables(fleet), day)


def _rules_on(tables: Iterable[RuleTable], day: datetime.date) -> DayRules:
    try:
        return read_parameters(rule_in_force(list(tables), day), Parameters).days
    except NoRuleInForce:
        return Parameters().days


def today(fleet: sa.Connection, now_ms: int) -> datetime.date:
    """Return the day of work of an instant: 00:30 still belongs to the day before."""
    return day_rules(fleet, local_day(now_ms)).day_of(now_ms)


def _parts(span: Span, tables: Sequence[RuleTable]) -> Iterator[Span]:
    """Cut a span where another table comes into force."""
    starts = sorted(
        {
            span.first,
            *(one.valid_from for one in tables if span.first < one.valid_from <= span.last),
        }
    )
    for start, after in zip(starts, [*starts[1:], span.last + _ONE_DAY], strict=True):
        yield Span(start, after - _ONE_DAY)


def _with_trips(span: Span, everyone: Iterable[Sequence[Declared]]) -> Span:
    """Return a span that holds whole whatever trips join to its days."""
    trips = [trip for entries in everyone for trip in work_entries.trips(entries)]
    spans = [Span(local_day(one.from_ms) - _ONE_DAY, local_day(one.to_ms)) for one in trips]
    while True:
        near = [one for one in spans if one.first <= span.last and span.first <= one.last]
        wide = Span(
            min([span.first, *(one.first for one in near)]),
            max([span.last, *(one.last for one in near)]),
        )
        if wide == span:
            return span
        span = wide


# --- corrections ---------------------------------------------------------------------------------


def _corrections(
    people: sa.Connection, members: Collection[int], span: Span
) -> dict[int, list[Corrected]]:
    found: dict[int, list[Corrected]] = {one: [] for one in members}
    days = work_correction.c.day.between(span.first - _AROUND, span.last + _AROUND)
    for some in work_terms.store_some(members):
        rows = people.execute(
            sa.select(work_correction)
            .where(work_correction.c.member_id.in_(some), days)
            .order_by(work_correction.c.id)
        )
        for row in rows:
            found[row.member_id].append(
                Corrected(read_correction(row.body, row.id), row.day, row.request_id)
            )
    return found


_CORRECTION: Final[msgspec.json.Decoder[Correction]] = msgspec.json.Decoder(Correction)


def read_correction(body: bytes, number: int) -> Correction:
    """Return a correction as it is stored, with its number, which is its row's."""
    return msgspec.structs.replace(_CORRECTION.decode(body), number=number)


# --- one member ----------------------------------------------------------------------------------


def _record(
    enrolled: Enrolled,
    span: Span,
    told: Told,
    corrections: Sequence[Corrected],
    entries: Sequence[Declared],
    tables: Sequence[RuleTable],
    through: datetime.date,
) -> Record:
    days: list[WorkDay] = []
    hours: list[DayHours] = []
    undated: dict[datetime.date, list[Reading]] = defaultdict(list)
    given = [*(one.correction for one in corrections), *told.said]
    trips = work_entries.trips(entries)
    for part in _parts(span, tables):
        rules = msgspec.structs.replace(_rules_on(tables, part.first), trips=trips)
        known = derive_days(told.marks, given, rules)
        here = tuple(one for one in known.days if part.first <= one.day <= part.last)
        days += here
        hours += _hours(enrolled, here, part, entries, rules, through)
        for one in known.undated:
            day = rules.day_of(told.received.get(one.standing.mark.identity, 0))
            if part.first <= day <= part.last:
                undated[day].append(one)
    return Record(
        enrolled,
        span,
        tuple(days),
        tuple(hours),
        tuple(one for one in corrections if span.first <= one.day <= span.last),
        tuple(entries),
        {day: tuple(some) for day, some in undated.items()},
        tuple(day for day in told.unknowing if span.first <= day <= span.last),
    )


def _hours(
    enrolled: Enrolled,
    days: tuple[WorkDay, ...],
    part: Span,
    entries: Sequence[Declared],
    rules: DayRules,
    through: datetime.date,
) -> Iterator[DayHours]:
    if part.first > through:
        return
    over = Span(part.first, min(part.last, through))
    given = Given(
        days,
        work_entries.counted(entries),
        enrolled.pattern(over.days),
        rules,
        work_entries.breaks(entries),
    )
    yield from hours_between(over.first, over.last, given)
