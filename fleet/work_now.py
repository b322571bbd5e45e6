"""A school at this moment: who is in, who opened it, what is missing today, whom to call in a fire.

Rules: who is in is what today's marks say so far; whoever is on a trip over night is away; a list
of people is a look at all of them and stands in their audit; the list names everybody of the school
with the last thing known of each, so that it does on paper, without a network, in a fire.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, work_entries, work_records, work_terms, work_visitors
from fleet.schema import member, person, person_audit
from fleet.work_closing import COUNTED
from fleet.work_records import Record, Span
from fleet.work_visitors import Visitor
from programmes import attendance
from programmes.calendar import start_of_day_ms
from programmes.work_day import Reading, State
from programmes.work_hours import Lack

LISTED: Final = "work.listed"
"""What the audit says of a look at a school's people."""
LOOK_MS: Final = 3_600_000
"""A page that lies open asks again whenever somebody holds a card: some 300 times a day."""
ASKED_DAYS: Final = 7
"""How far back missing marks are listed beside today's."""
_ONE_DAY: Final = datetime.timedelta(days=1)
_MINUTE_MS: Final = 60_000


class Named(NamedTuple):
    """Who a member is."""

    member_id: int
    registration_number: str
    name: str
    kana: str


class PersonNow(NamedTuple):
    """One member of a school at this moment."""

    who: Named
    state: State
    """By today's marks; `away` on a trip."""
    since_ms: int | None
    """When the mark was that says so; None when there is none today."""
    place: str
    """Of that mark."""
    first_ms: int | None
    """The first mark of today."""
    is_late: bool
    """Was to begin by now, and there is neither a mark nor leave."""
    is_contradictory: bool
    """Something of today waits for somebody who looks at it."""


class LackingDay(NamedTuple):
    """A day of one member of which something is missing."""

    who: Named
    day: datetime.date
    missing: tuple[Lack, ...]
    unknowing: bool
    """Asked at the gate, the person did not know."""


class SchoolNow(NamedTuple):
    """A school at a moment."""

    at_ms: int
    today: datetime.date
    people: tuple[PersonNow, ...]
    """By reading (kana)."""
    opened: PersonNow | None
    """Whose first mark is the day's first."""
    last: PersonNow | None
    """Who left last, once nobody is in; None before."""
    lacking: tuple[LackingDay, ...]
    """Of the days before today, the latest first."""
    visitors: tuple[Visitor, ...] = ()
    """Who is in and no member, in the order in which they came."""

    @property
    def present(self) -> tuple[PersonNow, ...]:
        """Return who is in."""
        return tuple(one for one in self.people if one.state == "present")

    @property
    def late(self) -> tuple[PersonNow, ...]:
        """Return whose mark is missing today."""
        return tuple(one for one in self.people if one.is_late)


def named(people: sa.Connection, members: Iterable[int]) -> dict[int, Named]:
    """Return who members are, by reading; the caller notes the look."""
    found: dict[int, Named] = {}
    for some in work_terms.store_some(set(members)):
        rows: Iterable[Any] = people.execute(
            sa.select(member.c.id, member.c.registration_number, person.c.name, person.c.kana)
            .join(person, person.c.id == member.c.person_id)
            .where(member.c.id.in_(some))
        )
        found |= {row.id: Named(*row) for row in rows}
    return dict(sorted(found.items(), key=lambda one: (one[1].kana, one[1].registration_number)))


def note_listed(people: sa.Connection, who: str, at_ms: int, count: int, of: str) -> None:
    """Write down that somebody looked at a list of people; the same within LOOK_MS is one look."""
    if not count:
        return
    detail = f"{of} {count} members".strip()
    line = person_audit.c
    lately = line.at_ms.between(at_ms - LOOK_MS + 1, at_ms)  # no line of a clock in the future
    mine = (lately, line.who == who, line.what == LISTED)
    looking = sa.select(line.id).where(*mine, line.detail == detail).limit(1)
    if people.scalar(looking) is None:
        audit.note_person(people, at_ms, who, LISTED, attendance.NAME, detail)


def school_now(
    fleet: sa.Connection, people: sa.Connection, organisation: str, who: str, at_ms: int
) -> SchoolNow:
    """Return a school at a moment; `people` is a writing connection, since it is a look."""
    today = work_records.today(fleet, at_ms)
    span = Span(today - ASKED_DAYS * _ONE_DAY, today)
    records = work_records.of_school(fleet, people, organisation, span, today)
    names = named(people, records)
    note_listed(people, who, at_ms, len(records), organisation)
    here = [
        _person(names[one], records[one], today, at_ms)
        for one in names
        if records[one].enrolled.is_enrolled(today)
        and records[one].enrolled.organisation_on(today) == organisation
    ]
    marked = [one for one in here if one.first_ms is not None]
    opened = min(marked, key=lambda one: one.first_ms or 0, default=None)
    last = max(marked, key=lambda one: one.since_ms or 0, default=None)
    lacking = _lacking(names, records, today)
    visitors = work_visitors.now(people, organisation, at_ms)
    is_empty = not visitors and all(one.state != "present" for one in here)
    left = last if is_empty else None
    return SchoolNow(at_ms, today, tuple(here), opened, left, lacking, visitors)


def _person(who: Named, record: Record, today: datetime.date, at_ms: int) -> PersonNow:
    here = record.day(today)
    readings = here.readings if here else ()
    seen = [one for one in readings if one.became in COUNTED and _at_ms(one) <= at_ms]
    trips = work_entries.trips(record.all_entries)
    on_trip = any(one.from_ms <= at_ms < one.to_ms for one in trips)
    state: State = _state(seen[-1]) if seen else "absent"
    return PersonNow(
        who,
        "away" if on_trip else state,
        _at_ms(seen[-1]) if seen else None,
        seen[-1].standing.mark.place if seen else "",
        _at_ms(seen[0]) if seen else None,
        not seen and not on_trip and _was_to_begin(record, today, at_ms),
        bool(here and here.contradictory) or today in record.undated,
    )


def _at_ms(one: Reading) -> int:
    return one.standing.mark.at_ms


def _state(last: Reading) -> State:
    if last.became in ("in", "back"):
        return "present"
    return "away" if last.became == "away" else "absent"


def _was_to_begin(record: Record, today: datetime.date, at_ms: int) -> bool:
    """True when scheduled hours have begun that no leave and no duty elsewhere covers."""
    minute = (at_ms - start_of_day_ms(today)) // _MINUTE_MS
    hours = record.enrolled.shift_on(today).hours
    begun_ms = [
        start_of_day_ms(today) + first * _MINUTE_MS for first, end in hours if first <= minute < end
    ]
    excused = [
        (one.from_ms, one.to_ms)
        for one in record.all_entries
        if one.counts and one.kind in ("leave", "off-site", "home")
    ]
    return any(
        not any(first <= ms < end or first <= at_ms < end for first, end in excused)
        for ms in begun_ms
    )


def _lacking(
    names: Mapping[int, Named], records: Mapping[int, Record], today: datetime.date
) -> tuple[LackingDay, ...]:
    found = [
        LackingDay(who, hours.day, hours.missing, hours.day in records[one].unknowing)
        for one, who in names.items()
        for hours in records[one].hours
        if hours.missing and hours.day < today
    ]
    return tuple(sorted(found, key=lambda one: one.day, reverse=True))
