"""A school's month as a table for payroll: a line a person, or a line a person and day.

Rules: figures are whole minutes, as pages show them, and each sum stands beside its terms; a closed
month's sums are those that were kept, with who closed it and when, its terms are as known now, and
`changed_min` says by how much outside hours are others since; the look at people is in their audit.
Columns (docs/operator.md says what each is): COLUMNS for months, DAY_COLUMNS for days.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, work_closing, work_records
from fleet.tables import Cell
from fleet.work_closed import closed
from fleet.work_closing import Figure, month_span, school_of
from fleet.work_now import Named, named
from fleet.work_records import Record
from programmes import attendance
from programmes.calendar import local
from programmes.texts import Language, say
from programmes.work_hours import Term

COLUMNS: Final = (
    *("number", "name", "school", "month", "staff", "engaged", "worked_min", "outside_min"),
    *("rest_day_min", "presence_min", "off_site_min", "home_min", "break_min", "study_min"),
    *("scheduled_min", "leave_min", "short_min", "days_worked", "days_incomplete", "marks"),
    *("by_hand", "changed_min", "closed_at", "closed_by"),
)
DAY_COLUMNS: Final = (
    *("number", "name", "school", "day", "first", "last", "worked_min", "outside_min"),
    *("presence_min", "off_site_min", "home_min", "break_min", "study_min", "scheduled_min"),
    *("leave_min", "short_min", "missing", "corrections"),
)


class Wish(NamedTuple):
    """What is exported."""

    organisation: str
    month: datetime.date
    days: bool = False
    """A line a day in the place of a line a month."""


def heads(wish: Wish, language: Language) -> list[str]:
    """Return what stands above the columns."""
    names = DAY_COLUMNS if wish.days else COLUMNS
    return [say(f"work.export.{name}", language) for name in names]


def rows(
    fleet: sa.Connection,
    people: sa.Connection,
    wish: Wish,
    who: str,
    at_ms: int,
    language: Language = "ja",
) -> list[tuple[Cell, ...]]:
    """Return the lines, by reading (kana). `people` is a writing connection, since it is a look."""
    span = month_span(wish.month)
    yesterday = work_records.today(fleet, at_ms) - datetime.timedelta(days=1)
    through = min(span.last, yesterday)
    found = work_records.of_school(fleet, people, wish.organisation, span, through)
    mine = {
        one: of for one, of in found.items() if school_of(of.enrolled, span) == wish.organisation
    }
    names = named(people, mine)
    detail = f"{wish.organisation} {wish.month:%Y-%m} {len(names)} members"
    audit.note_person(people, at_ms, who, "work.exported", attendance.NAME, detail)
    if wish.days:
        return [row for one in names for row in _days(names[one], mine[one], wish)]
    name = (wish.organisation, f"{wish.month:%Y-%m}")
    step = closed(people, wish.organisation).get(name)
    figures = work_closing.kept(people, wish.organisation, [name[1]]).get(name, [])
    kept = {one.member_id: one for one in figures}
    told: tuple[Cell, ...] = (None, None)
    if step is not None:
        told = (f"{local(step.at_ms):%Y-%m-%d %H:%M}", step.who)
    return [(*_month(names[one], mine[one], kept.get(one), wish, language), *told) for one in names]


def _month(
    who: Named, record: Record, kept: Figure | None, wish: Wish, language: Language
) -> Iterator[Cell]:
    """Yield one person's month; a closed one's sums are those that were kept."""
    hours = record.month(wish.month)
    figure = kept or work_closing.figure(record, wish.month)
    yield who.registration_number
    yield who.name
    yield wish.organisation
    yield figure.month
    yield say(f"work.staff.{figure.staff}", language)
    yield say(f"work.engaged.{figure.engaged}", language)
    yield figure.worked_min
    yield figure.outside_min
    yield figure.rest_day_min
    yield from _terms(hours.worked, hours.outside)
    yield sum(day.worked_min > 0 for day in hours.days)
    yield len(hours.incomplete)
    yield figure.marks
    yield figure.by_hand
    yield hours.outside_min - figure.outside_min


def _terms(worked: Sequence[Term], outside: Sequence[Term]) -> Iterator[Cell]:
    """Yield the terms of a sum with their signs: the first five are those of the hours worked."""
    found = {one.name: one.minutes for one in (*worked, *outside)}
    for name in ("presence", "off-site", "home", "break", "study", "scheduled", "leave", "short"):
        yield found.get(name, 0)


def _days(who: Named, record: Record, wish: Wish) -> Iterator[tuple[Cell, ...]]:
    for hours in record.hours:
        here = record.day(hours.day)
        spans = here.intervals if here else ()
        ends = [one.to_ms for one in spans if one.to_ms is not None]
        yield (
            who.registration_number,
            who.name,
            wish.organisation,
            hours.day,
            _clock(spans[0].from_ms if spans else None),
            _clock(max(ends, default=None)),
            hours.worked_min,
            hours.outside_min,
            *_terms(hours.worked, hours.outside),
            " ".join(hours.missing),
            sum(one.day == hours.day for one in record.corrections),
        )


def _clock(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{local(at_ms):%H:%M}"
