"""Closing a school's month: what it came to is kept, and nothing changes it until it is reopened.

Rules: a month is closed when it is over and no request of it waits; what each member's month came
to is written down with the closing, for payroll and for tables of years to come, and names nobody;
what arrives afterwards from a reader that was without a network is in the record at once and shown
beside the closed figure; a month is reopened with a reason, and both steps stay.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, store, work_corrections, work_records, work_terms
from fleet.months import next_month
from fleet.schema import work_close, work_month
from fleet.work_acts import BACK_DAYS_MAX, WorkRefused, require_text
from fleet.work_closed import Kind, closed
from fleet.work_records import Record, Span
from programmes import attendance
from programmes.work_limits import Staff

COUNTED: Final = frozenset({"in", "out", "away", "back"})
"""What became of a mark that counts."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class Figure(NamedTuple):
    """What one member's month comes to, in minutes."""

    member_id: int
    month: str
    staff: Staff
    engaged: str
    worked_min: int
    outside_min: int
    rest_day_min: int
    is_incomplete: bool
    marks: int
    by_hand: int
    """Of the marks that count, those that no card made."""


class Drift(NamedTuple):
    """A member whose month is another one by now than when it was closed."""

    member_id: int
    closed: Figure | None
    now: Figure | None


def month_span(month: datetime.date) -> Span:
    """Return the days of a month, by its first."""
    return Span(month, next_month(month) - _ONE_DAY)


def figure(record: Record, month: datetime.date) -> Figure:
    """Return what a member's month comes to; terms are those of its last day."""
    hours = record.month(month)
    span = month_span(month)
    term = record.enrolled.on(span.last)
    marks = [
        one.standing.mark
        for day in record.days
        if span.first <= day.day <= span.last
        for one in day.readings
        if one.became in COUNTED
    ]
    return Figure(
        record.member_id,
        f"{month:%Y-%m}",
        term.staff if term else "teacher",
        term.engaged if term else "full-time",
        hours.worked_min,
        hours.outside_min,
        hours.rest_day_min,
        bool(hours.incomplete) or any(span.first <= day <= span.last for day in record.undated),
        len(marks),
        sum(one.is_by_hand for one in marks),
    )


def close(
    fleet: sa.Connection,
    people: sa.Connection,
    organisation: str,
    month: datetime.date,
    who: str,
    at_ms: int,
) -> list[Figure]:
    """Close a month and return what it came to. Raises WorkRefused."""
    span = month_span(month)
    today = work_records.today(fleet, at_ms)
    if span.last >= today:
        raise WorkRefused("not-over", month=f"{month:%Y-%m}")
    if (today - span.first).days > BACK_DAYS_MAX:
        raise WorkRefused("long-ago", month=f"{month:%Y-%m}")
    if (organisation, f"{month:%Y-%m}") in closed(people, organisation):
        raise WorkRefused("closed", month=f"{month:%Y-%m}")
    asked = work_corrections.waiting(people, organisation)
    if many := sum(span.first <= one.day <= span.last for one in asked):
        raise WorkRefused("requests", n=many)
    found = figures(fleet, people, organisation, month)
    close_id = _write(people, organisation, month, "closed", who, at_ms, "")
    rows = [{"close_id": close_id, **one._asdict()} for one in found]
    if rows:
        people.execute(work_month.insert(), rows)
    return found


def reopen(
    people: sa.Connection,
    organisation: str,
    month: datetime.date,
    why: str,
    who: str,
    at_ms: int,
) -> None:
    """Open a closed month again. Raises WorkRefused, IndividualNumberRefused."""
    reason = require_text(why)
    if (organisation, f"{month:%Y-%m}") not in closed(people, organisation):
        raise WorkRefused("open", month=f"{month:%Y-%m}")
    _write(people, organisation, month, "reopened", who, at_ms, reason)


def _write(
    people: sa.Connection,
    organisation: str,
    month: datetime.date,
    kind: Kind,
    who: str,
    at_ms: int,
    why: str,
) -> int:
    values: dict[str, object] = {"organisation": organisation, "month": f"{month:%Y-%m}"}
    values |= {"kind": kind, "why": why, "who": who, "at_ms": at_ms}
    added = people.execute(work_close.insert().values(values))
    detail = f"{organisation} {month:%Y-%m}"
    audit.note_person(people, at_ms, who, f"work.month-{kind}", attendance.NAME, detail)
    return store.new_id(added)


# --- what a month comes to -----------------------------------------------------------------------


def figures(
    fleet: sa.Connection, people: sa.Connection, organisation: str, month: datetime.date
) -> list[Figure]:
    """Return what a month that is over comes to as all is known now, by member.

    A member stands with the school of the month's last day, or of his own last one in it.
    """
    span = month_span(month)
    records = work_records.of_school(fleet, people, organisation, span, span.last)
    return [
        figure(one, month)
        for one in records.values()
        if school_of(one.enrolled, span) == organisation
    ]


def school_of(enrolled: work_terms.Enrolled, span: Span) -> str | None:
    """Return where a member's month is counted; None for one who was not enrolled in it."""
    if not enrolled.is_enrolled_between(*span):
        return None
    last = span.last if enrolled.valid_to is None else min(span.last, enrolled.valid_to)
    return enrolled.organisation_on(last)


def kept(
    people: sa.Connection, organisation: str | None, months: Iterable[str]
) -> dict[tuple[str, str], list[Figure]]:
    """Return the figures of months as they were closed, by school and month; open ones lack."""
    wanted = set(months)
    standing = {
        name: one for name, one in closed(people, organisation).items() if name[1] in wanted
    }
    by_close: dict[int, list[Figure]] = {one.id: [] for one in standing.values()}
    for some in work_terms.store_some(by_close):
        rows = people.execute(
            sa.select(work_month)
            .where(work_month.c.close_id.in_(some))
            .order_by(work_month.c.member_id)
        )
        for row in rows:
            by_close[row.close_id].append(Figure(*row[1:]))
    return {name: by_close[one.id] for name, one in standing.items()}


def drift(
    fleet: sa.Connection, people: sa.Connection, organisation: str, month: datetime.date
) -> list[Drift]:
    """Return whose month is another one by now than when it was closed; none while it is open."""
    name = f"{month:%Y-%m}"
    was = kept(people, organisation, [name]).get((organisation, name))
    if was is None:
        return []
    now = _by_member(figures(fleet, people, organisation, month))
    before = _by_member(was)
    gone = before.keys() - now.keys()
    alive = work_terms.of_members(people, gone).keys()  # the hours of who was erased stay
    return [
        Drift(one, before.get(one), now.get(one))
        for one in sorted(before.keys() | now.keys())
        if before.get(one) != now.get(one) and (one in now or one in alive)
    ]


def _by_member(some: Iterable[Figure]) -> Mapping[int, Figure]:
    return {one.member_id: one for one in some}
