"""What a calendar shows of attendance: what somebody owes, when he is away; what waits at a school.

Rules: titles alone, without times of marks, reasons or notes, since a calendar is often kept by
another company; of a school counts and no names, so that reading it is a look at nobody; a day is
shown as it stands now, and what was done is gone with the next reading.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import (
    work_closed,
    work_contests,
    work_corrections,
    work_entries,
    work_now,
    work_objections,
    work_records,
    work_terms,
)
from fleet.ical import Event
from fleet.work_closing import month_span
from fleet.work_feeds import Feed
from fleet.work_records import Span
from programmes.calendar import holidays, start_of_day_ms
from programmes.texts import say

OWED_DAYS: Final = 31
"""How far back missing marks are shown to their owner: a month that can still be put right."""
AWAY_KINDS: Final = ("leave", "trip", "off-site")
HOLIDAY_DAYS: Final = 366
MONTHS: Final = 2
"""Months that are over and may wait to be closed: older ones are on the pages."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class _Maker(NamedTuple):
    """Makes the events of one address."""

    feed: Feed
    day_ms: int
    """When the present day began: what follows from today's state has changed then, so that a
    calendar is not told of a change at each reading."""

    def event(
        self,
        name: str,
        first: datetime.date,
        message: str,
        last: datetime.date | None = None,
        **arguments: str | int,
    ) -> Event:
        summary = say(f"web.feed.event.{message}", self.feed.language, **arguments)
        return Event(self.uid(name), summary, first, last or first, self.day_ms)

    def uid(self, name: str) -> str:
        return f"{name}.{self.feed.name}@kazasu"


def events(
    fleet: sa.Connection, people: sa.Connection, feed: Feed, at_ms: int
) -> list[Event] | None:
    """Return what an address shows now; None of a member who was erased."""
    today = work_records.today(fleet, at_ms)
    maker = _Maker(feed, start_of_day_ms(today))
    if feed.organisation:
        return list(_school(fleet, people, maker, today))
    return _own(fleet, people, maker, today)


# --- one's own days ------------------------------------------------------------------------------


def _own(
    fleet: sa.Connection, people: sa.Connection, maker: _Maker, today: datetime.date
) -> list[Event] | None:
    member_id = maker.feed.member_id
    if member_id is None:
        return None
    yesterday = today - _ONE_DAY
    span = Span(today - OWED_DAYS * _ONE_DAY, yesterday)
    record = work_records.of_member(fleet, people, member_id, span, yesterday)
    if record is None:
        return None
    found = [
        maker.event(f"missing-{one.day}", one.day, "missing") for one in record.hours if one.missing
    ]
    until = today + work_entries.AHEAD_DAYS_MAX * _ONE_DAY
    entries = work_entries.of_members(people, [member_id], span.first, until)[member_id]
    for one in entries:
        if one.counts and one.kind in AWAY_KINDS:
            title = say(f"web.own.kind.{one.kind}", maker.feed.language)
            uid = maker.uid(f"entry-{one.id}")
            found.append(Event(uid, title, one.from_ms, one.to_ms, one.at_ms, is_busy=True))
    return found


# --- a school ------------------------------------------------------------------------------------


def _school(
    fleet: sa.Connection, people: sa.Connection, maker: _Maker, today: datetime.date
) -> Iterator[Event]:
    school = maker.feed.organisation
    for day, many in sorted(_missing(fleet, people, school, today).items()):
        yield maker.event(f"missing-{day}", day, "school-missing", n=many)
    if many := len(work_corrections.waiting(people, school)):
        yield maker.event("requests", today, "requests", n=many)
    many = len(work_contests.waiting(fleet, people, school, today))
    if many := many + len(work_objections.waiting(people, school, today)):
        yield maker.event("objections", today, "objections", n=many)
    for month in _open_months(people, school, today):
        yield maker.event(f"close-{month}", today, "close", month=month)
    first = today.replace(day=1)
    for day, name in holidays(first, first + HOLIDAY_DAYS * _ONE_DAY):
        yield Event(maker.uid(f"holiday-{day}"), name, day, day, start_of_day_ms(first))


def _missing(
    fleet: sa.Connection, people: sa.Connection, school: str, today: datetime.date
) -> Mapping[datetime.date, int]:
    """Return how many people lack a mark, of each of the last days."""
    span = Span(today - work_now.ASKED_DAYS * _ONE_DAY, today - _ONE_DAY)
    records = work_records.of_school(fleet, people, school, span, span.last)
    return Counter(
        hours.day
        for one in records.values()
        for hours in one.hours
        if hours.missing and one.enrolled.organisation_on(hours.day) == school
    )


def _open_months(people: sa.Connection, school: str, today: datetime.date) -> Iterator[str]:
    """Yield the latest months that are over, in which somebody was here, and not closed."""
    closed = work_closed.closed(people, school)
    first = today.replace(day=1)
    for _ in range(MONTHS):
        first = (first - _ONE_DAY).replace(day=1)
        name = f"{first:%Y-%m}"
        if (school, name) not in closed and work_terms.of_school(
            people, school, *month_span(first)
        ):
            yield name
