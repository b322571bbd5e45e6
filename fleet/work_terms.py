"""What a member has agreed to: school, whose limits hold, when to work; each from a day on.

Rules: on a day holds the row with the latest first day not after it, and of rows of one day the
newest; before the first row, and without any, nothing is known: of no school, as a teacher, with
the customary week; outside the days of the enrolment nobody is to work. A change that reaches into
a closed month is refused.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import sqlalchemy as sa

from fleet import store
from fleet.schema import member, work_term
from fleet.work_acts import Act, WorkRefused, member_of, note, require_day, require_text, touch
from fleet.work_closed import require_open
from programmes import attendance
from programmes.calendar import local_day
from programmes.work_hours import DAY_OFF, Pattern, Shift
from programmes.work_limits import Staff
from wire.topics import parse_name

Engaged = Literal["full-time", "reappointed", "part-time", "substitute", "visitor"]
"""常勤, 再任用, 非常勤, 代替, 臨時の来訪者: by it figures are parted, beside the school."""
AHEAD_DAYS_MAX: Final = 400
"""How far ahead terms may begin: those of next April are known in spring."""
SHIFTS_MAX: Final = 800
"""Single days of one pattern: two years of shifts."""
SPANS_MAX: Final = 8
"""Spans of hours or breaks in one shift."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class NewTerm(NamedTuple):
    """What is agreed from a day on."""

    valid_from: datetime.date
    organisation: str = ""
    staff: Staff = "teacher"
    engaged: Engaged = "full-time"
    pattern: Pattern = Pattern()


class Term(NamedTuple):
    """One row, as it was written down."""

    id: int
    member_id: int
    valid_from: datetime.date
    organisation: str
    staff: Staff
    engaged: Engaged
    pattern: Pattern
    at_ms: int
    who: str
    why: str

    def again(self, valid_from: datetime.date) -> NewTerm:
        """Return the same to hold from a day on."""
        return NewTerm(valid_from, self.organisation, self.staff, self.engaged, self.pattern)


class Enrolled(NamedTuple):
    """A member's days, and terms in the order in which they begin to hold."""

    member_id: int
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    terms: tuple[Term, ...]

    def on(self, day: datetime.date) -> Term | None:
        """Return the terms of a day; None before the first."""
        found = [one for one in self.terms if one.valid_from <= day]
        return found[-1] if found else None

    def has(self, new: NewTerm) -> bool:
        """True when just this holds from that day on already."""
        term = self.on(new.valid_from)
        return term is not None and term.again(term.valid_from) == new

    def organisation_on(self, day: datetime.date) -> str:
        """Return the school of a day; empty when none is known."""
        term = self.on(day)
        return term.organisation if term else ""

    def is_enrolled(self, day: datetime.date) -> bool:
        """True on a day of the enrolment."""
        return self.is_enrolled_between(day, day)

    def is_enrolled_between(self, first: datetime.date, last: datetime.date) -> bool:
        """True when one of these days is of the enrolment."""
        return (self.valid_from is None or self.valid_from <= last) and (
            self.valid_to is None or first <= self.valid_to
        )

    def shift_on(self, day: datetime.date) -> Shift:
        """Return the scheduled hours of a day."""
        if not self.is_enrolled(day):
            return DAY_OFF
        term = self.on(day)
        return (term.pattern if term else _CUSTOMARY).on(day)

    def pattern(self, days: Iterable[datetime.date]) -> Pattern:
        """Return one pattern that says of each of these days what holds on it."""
        return Pattern(on_days={day: self.shift_on(day) for day in days})

    def organisations(
        self, first: datetime.date, last: datetime.date
    ) -> dict[str, list[tuple[datetime.date, datetime.date]]]:
        """Return which school the member was of, with the days from and to."""
        found: dict[str, list[tuple[datetime.date, datetime.date]]] = defaultdict(list)
        starts = {first, *(one.valid_from for one in self.terms if first < one.valid_from <= last)}
        ordered = sorted(starts)
        for start, after in zip(ordered, [*ordered[1:], last + _ONE_DAY], strict=True):
            found[self.organisation_on(start)].append((start, after - _ONE_DAY))
        return found


_CUSTOMARY: Final = Pattern()


def add(connection: sa.Connection, act: Act, new: NewTerm) -> int:
    """Write terms down and return their number. Raises WorkRefused, IndividualNumberRefused."""
    row = member_of(connection, act.member_id)
    why = require_text(act.why, needed=False)
    check(new, act.at_ms)
    until = max(new.valid_from, local_day(act.at_ms))
    had = of_members(connection, [act.member_id])[act.member_id]
    spans = had.organisations(new.valid_from, until)
    spans.setdefault(new.organisation, []).append((new.valid_from, until))
    require_open(connection, spans)
    added = connection.execute(
        work_term.insert().values(
            member_id=act.member_id,
            valid_from=new.valid_from,
            organisation=new.organisation,
            staff=new.staff,
            engaged=new.engaged,
            pattern=msgspec.to_builtins(new.pattern, str_keys=True),
            at_ms=act.at_ms,
            who=act.who,
            why=why,
        )
    )
    touch(connection, new.valid_from, until)
    note(connection, act, row.registration_number, "work.terms-added", str(new.valid_from))
    return store.new_id(added)


def add_until(connection: sa.Connection, act: Act, new: NewTerm, last: datetime.date) -> None:
    """Write terms down for the days until `last`; then what would have held without them holds.

    Raises WorkRefused, IndividualNumberRefused; the caller's transaction then must not stand.
    """
    member_of(connection, act.member_id)
    require_day(last, act.at_ms, ahead=AHEAD_DAYS_MAX)
    if last < new.valid_from:
        raise WorkRefused("terms-until")
    enrolled = of_members(connection, [act.member_id])[act.member_id]
    after = last + _ONE_DAY
    then = enrolled.on(after)
    if then is None:
        raise WorkRefused("terms-nothing-then")
    if any(new.valid_from < one.valid_from <= last for one in enrolled.terms):
        raise WorkRefused("terms-between")
    add(connection, act, new)
    if then.valid_from != after:
        add(connection, act, then.again(after))


def check(new: NewTerm, at_ms: int) -> None:
    """Raise WorkRefused when nobody can have these terms."""
    require_day(new.valid_from, at_ms, ahead=AHEAD_DAYS_MAX)
    if new.staff not in get_args(Staff) or new.engaged not in get_args(Engaged):
        raise WorkRefused("staff")
    if new.organisation:
        try:
            parse_name(new.organisation)
        except ValueError as error:
            raise WorkRefused("organisation") from error
    if len(new.pattern.on_days) > SHIFTS_MAX:
        raise WorkRefused("shifts", limit=SHIFTS_MAX)
    for shift in (*new.pattern.week, *new.pattern.on_days.values()):
        _check_shift(shift)


def _check_shift(shift: Shift) -> None:
    for spans in (shift.hours, shift.breaks):
        if len(spans) > SPANS_MAX:
            raise WorkRefused("spans", limit=SPANS_MAX)
        ends = [one for span in spans for one in span]
        if any(first >= end for first, end in spans) or ends != sorted(ends):
            raise WorkRefused("hours")


# --- reading -------------------------------------------------------------------------------------


def of_members(connection: sa.Connection, members: Collection[int]) -> dict[int, Enrolled]:
    """Return the days and terms of members who were not erased, by member; two questions."""
    terms: dict[int, list[Term]] = defaultdict(list)
    enrolled: list[Enrolled] = []
    for some in store_some(members):
        rows = connection.execute(
            sa.select(work_term)
            .where(work_term.c.member_id.in_(some))
            .order_by(work_term.c.valid_from, work_term.c.id)
        )
        for row in rows:
            values = {
                **row._mapping,
                "pattern": msgspec.convert(row.pattern, Pattern, strict=False),
            }
            terms[row.member_id].append(Term(**values))
        days = connection.execute(
            sa.select(member.c.id, member.c.valid_from, member.c.valid_to)
            .where(member.c.id.in_(some), member.c.erased_at_ms.is_(None))
            .order_by(member.c.id)
        )
        enrolled += [Enrolled(one.id, one.valid_from, one.valid_to, ()) for one in days]
    return {one.member_id: one._replace(terms=tuple(terms[one.member_id])) for one in enrolled}


def store_some(numbers: Collection[int]) -> Iterable[Sequence[int]]:
    """Yield numbers in pieces that one question can name."""
    ordered = sorted(numbers)
    for start in range(0, len(ordered), store.IN_MAX):
        yield ordered[start : start + store.IN_MAX]


def everyone(connection: sa.Connection) -> list[int]:
    """Return all members of attendance who were not erased."""
    wanted = sa.select(member.c.id).where(
        member.c.programme == attendance.NAME, member.c.erased_at_ms.is_(None)
    )
    return list(connection.scalars(wanted.order_by(member.c.id)))


def of_school(
    connection: sa.Connection,
    organisation: str,
    first: datetime.date,
    last: datetime.date,
) -> dict[int, Enrolled]:
    """Return who was of a school on one of these days ('': of none), with all their terms."""
    if organisation:
        wanted = sa.select(work_term.c.member_id).where(work_term.c.organisation == organisation)
        found = of_members(connection, set(connection.scalars(wanted.distinct())))
    else:
        found = of_members(connection, everyone(connection))
    return {
        member_id: one
        for member_id, one in found.items()
        if any(
            one.is_enrolled_between(day, end)
            for day, end in one.organisations(first, last).get(organisation, ())
        )
    }


def schools(connection: sa.Connection) -> list[str]:
    """Return all schools that anybody's terms name."""
    return sorted(set(connection.scalars(sa.select(work_term.c.organisation).distinct())) - {""})


def by_school(enrolled: Mapping[int, Enrolled], day: datetime.date) -> dict[str, list[int]]:
    """Return the members of each school on a day."""
    found: dict[str, list[int]] = defaultdict(list)
    for member_id, one in enrolled.items():
        if one.is_enrolled(day):
            found[one.organisation_on(day)].append(member_id)
    return dict(found)
