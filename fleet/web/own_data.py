"""What a member's own pages read: of the member whose account is signed in, and of nobody else.

Rules: whose page it is comes from the account alone, never from an address or a form; hours are of
days that are over, marks also of today; a look at oneself is no look at a person.
"""

import asyncio
import datetime
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    work_closed,
    work_corrections,
    work_limits_report,
    work_records,
    work_retention,
    work_special,
    work_terms,
)
from fleet.web.data import FLEET, PERSONS
from fleet.web.pages import CLOCK
from fleet.web.session import account_of
from fleet.work_closing import month_span
from fleet.work_corrections import Request
from fleet.work_entries import AHEAD_DAYS_MAX, Declared
from fleet.work_ledger import BY_THE_PERSON
from fleet.work_limits_report import PersonYear
from fleet.work_records import Corrected, Record, Span
from programmes.calendar import fiscal_year
from programmes.work_day import Reading
from programmes.work_hours import DayHours
from programmes.work_marks import Contest

PATH: Final = "/own"
ONE_DAY: Final = datetime.timedelta(days=1)
Found = TypeVar("Found")


class OwnDay(NamedTuple):
    """One day, as the calendar and the day's page show it."""

    day: datetime.date
    today: datetime.date
    record: Record
    hours: DayHours | None
    """None of today and of days to come."""
    readings: tuple[Reading, ...]
    """Every mark of the day; those whose day is not known come last."""
    corrections: tuple[Corrected, ...]
    """Oldest first, those that the person made at the gate too."""
    entries: tuple[Declared, ...]
    requests: tuple[Request, ...]

    @property
    def counted(self) -> tuple[Declared, ...]:
        """Return the entries that count."""
        return tuple(one for one in self.entries if one.counts)

    @property
    def is_by_hand(self) -> bool:
        """True when no card made some of the marks that count."""
        found = (one.standing.mark for one in self.readings if one.became != "voided")
        return any(mark.is_by_hand for mark in found)

    @property
    def is_there(self) -> bool:
        """True when the last that is known of the day is a presence, or being out."""
        work = self.record.day(self.day)
        return work is not None and work.ends != "absent"

    @property
    def waiting(self) -> tuple[Request, ...]:
        """Return what somebody of the school still has to decide."""
        return tuple(one for one in self.requests if one.state == "asked")

    @property
    def contested(self) -> frozenset[int]:
        """Return the numbers of the corrections that the person objects to."""
        found = (one.correction for one in self.corrections)
        return frozenset(one.correction for one in found if isinstance(one, Contest))

    def by_others(self, who: str) -> tuple[Corrected, ...]:
        """Return the corrections that others made and this account did not ask for."""
        asked = {one.id for one in self.requests if one.asked_by == who}
        return tuple(
            one for one in self.corrections if one.request_id not in asked and can_contest(one, who)
        )


class Month(NamedTuple):
    """A month and its year."""

    first: datetime.date
    today: datetime.date
    oldest: datetime.date
    """Of what was before it nothing is kept."""
    record: Record
    days: tuple[OwnDay, ...]
    year: PersonYear | None
    """None on the first day of a fiscal year: no day of it is over."""
    is_closed: bool
    is_special: bool
    """A special case (特例) was declared."""

    @property
    def fiscal_year(self) -> int:
        """The year that the month is of."""
        return fiscal_year(self.first)


def can_contest(one: Corrected, who: str) -> bool:
    """True for a correction that somebody else made, as `work_corrections.contest` has it."""
    return not isinstance(one.correction, Contest) and one.correction.who not in (
        who,
        BY_THE_PERSON,
    )


def own_member(request: web.Request) -> int:
    """Return whose own pages these are. Raises HTTPForbidden."""
    member_id = account_of(request).member_id
    if member_id is None:
        raise web.HTTPForbidden(reason="right")
    return member_id


async def month_of(request: web.Request, wish: str) -> Month:
    """Return the month of an address such as 2026-06; another text is the present one's."""
    member_id, now_ms = own_member(request), request.app[CLOCK].now_ms()
    stores = request.app[FLEET], request.app[PERSONS]

    def look() -> Month | None:
        with stores[0].read() as fleet, stores[1].read() as people:
            return _month(fleet, people, member_id, wish, now_ms)

    return _found(await asyncio.to_thread(look))


async def day_of(request: web.Request, wish: str) -> OwnDay:
    """Return the day of an address. Raises HTTPNotFound for one of which nothing can be known."""
    member_id, now_ms = own_member(request), request.app[CLOCK].now_ms()
    stores = request.app[FLEET], request.app[PERSONS]
    try:
        day = datetime.date.fromisoformat(wish)
    except ValueError:
        raise web.HTTPNotFound from None

    def look() -> OwnDay | None:
        with stores[0].read() as fleet, stores[1].read() as people:
            today = work_records.today(fleet, now_ms)
            oldest = work_retention.oldest_kept(people, now_ms)
            if not oldest <= day <= today + AHEAD_DAYS_MAX * ONE_DAY:
                raise web.HTTPNotFound
            span, through = Span(day, day), today - ONE_DAY
            record = work_records.of_member(fleet, people, member_id, span, through)
            return record and _day(record, _requests(people, member_id), day, today)

    return _found(await asyncio.to_thread(look))


def _found(found: Found | None) -> Found:
    if found is None:  # the member was erased
        raise web.HTTPForbidden(reason="right")
    return found


# --- in one state of both databases --------------------------------------------------------------


def _month(
    fleet: sa.Connection, people: sa.Connection, member_id: int, wish: str, now_ms: int
) -> Month | None:
    today = work_records.today(fleet, now_ms)
    oldest = work_retention.oldest_kept(people, now_ms)
    first = _first(wish, oldest.replace(day=1), today.replace(day=1))
    span = month_span(first)
    enrolled = work_terms.of_members(people, [member_id])
    found = work_records.records(fleet, people, enrolled, span, today - ONE_DAY)
    record = found.get(member_id)
    if record is None:
        return None
    requests = _requests(people, member_id)
    years = work_limits_report.person_years(fleet, people, enrolled, fiscal_year(first), now_ms)
    school, name = record.enrolled.organisation_on(min(span.last, today)), f"{first:%Y-%m}"
    return Month(
        first,
        today,
        oldest,
        record,
        tuple(_day(record, requests, day, today) for day in span.days),
        years.get(member_id),
        (school, name) in work_closed.closed(people, school),
        name in work_special.of_members(people, [member_id])[member_id],
    )


def _first(wish: str, oldest: datetime.date, present: datetime.date) -> datetime.date:
    try:
        first = datetime.date.fromisoformat(f"{wish}-01")
    except ValueError:
        return present
    return first if oldest <= first <= present else present


def _requests(people: sa.Connection, member_id: int) -> list[Request]:
    return work_corrections.of_members(people, [member_id])


def _day(
    record: Record, requests: Iterable[Request], day: datetime.date, today: datetime.date
) -> OwnDay:
    work = record.day(day)
    readings = (*(work.readings if work else ()), *record.undated.get(day, ()))
    made = {one.correction.number: one for one in record.corrections if one.day == day}
    for reading in readings:
        for one in reading.standing.corrections:
            made.setdefault(one.number, Corrected(one, day, None))
    return OwnDay(
        day,
        today,
        record,
        next((one for one in record.hours if one.day == day), None),
        readings,
        tuple(made[number] for number in sorted(made)),
        tuple(one for one in record.entries if one.day == day),
        tuple(one for one in requests if one.day == day),
    )
