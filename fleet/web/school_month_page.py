"""学校の月: each person's sums and what lacks, whom to ask to a talk; closed, and opened again.

Rules: a closed month shows what it was closed with, and what has arrived since beside it; every
step of closing stays on the page with who, when and why; nobody's figure is shown without the look
being written down.
"""

import datetime
from collections.abc import Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from fleet import (
    work_closed,
    work_closing,
    work_export,
    work_limits_report,
    work_now,
    work_records,
    work_special,
)
from fleet.months import next_month
from fleet.rights import OfficeRole
from fleet.tables import Cell
from fleet.web.data import PERSONS, change
from fleet.web.exports import download
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.report_words import words_of
from fleet.web.school_page import PATH as SCHOOL_PATH
from fleet.web.school_reach import School, derive, look, school_of, school_to_write
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from fleet.work_acts import WHY_MAX, WorkRefused
from fleet.work_closed import Close
from fleet.work_closing import Drift, Figure, month_span
from fleet.work_closing import school_of as school_of_month
from fleet.work_limits_report import HandRate, PersonYear
from fleet.work_now import Named
from fleet.work_records import Record
from programmes import attendance
from programmes.calendar import fiscal_year, local_day
from programmes.work_hours import DayHours
from programmes.work_limits import LIMITS, Standing, limits_in_force, standing
from wire.individual_number import IndividualNumberRefused

PATH: Final = f"{SCHOOL_PATH}/month"
FIRST_MONTH: Final = min(one.valid_from for one in LIMITS)
"""Before it there are no limits to hold a month against."""
MARKS: Final[Mapping[Standing, str]] = {
    "within-30": "ok",
    "within-45": "info",
    "over-45": "warn",
    "over-80": "bad",
    "from-100": "bad",
}
"""The shape beside each step (fleet/web/templates/_marks.html)."""
_ONE_DAY: Final = datetime.timedelta(days=1)
routes = web.RouteTableDef()


class Row(NamedTuple):
    """One person's month."""

    who: Named
    figure: Figure
    standing: Standing
    missing: tuple[DayHours, ...]
    """Days of which something lacks."""
    is_special: bool
    """A special case (特例) was declared."""


class Month(NamedTuple):
    """All that stands on the page."""

    month: datetime.date
    is_over: bool
    rows: tuple[Row, ...]
    hand: HandRate
    closed: Close | None
    history: tuple[Close, ...]
    drift: tuple[Drift, ...]
    talks: tuple[PersonYear, ...]
    over: tuple[PersonYear, ...]
    names: Mapping[int, Named]


def month_of(text: str, today: datetime.date) -> datetime.date:
    """Return the month in an address; one that is none, or to come, becomes yesterday's."""
    latest = (today - _ONE_DAY).replace(day=1)
    try:
        month = datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        return latest
    return month if FIRST_MONTH <= month <= latest else latest


def _ask(
    fleet: sa.Connection,
    people: sa.Connection,
    school: str,
    wish: str,
    at_ms: int,
) -> Month:
    today = work_records.today(fleet, at_ms)
    month = month_of(wish, today)
    span, name = month_span(month), f"{month:%Y-%m}"
    through = min(span.last, today - _ONE_DAY)
    records = work_records.of_school(fleet, people, school, span, through)
    here = {
        one: record
        for one, record in records.items()
        if school_of_month(record.enrolled, span) == school
    }
    kept = work_closing.kept(people, school, [name]).get((school, name), [])
    closed = {one.member_id: one for one in kept}
    names = work_now.named(people, here)
    special = work_special.of_members(people, here)
    rows = tuple(
        _row(
            who,
            here[one],
            closed.get(one) or work_closing.figure(here[one], month),
            month,
            special[one],
        )
        for one, who in names.items()
    )
    enrolled = {one: record.enrolled for one, record in here.items()}
    years = work_limits_report.person_years(fleet, people, enrolled, fiscal_year(month), at_ms)
    (hand,) = work_limits_report.hand_rates({school: [one.figure for one in rows]})
    return Month(
        month,
        span.last < today,
        rows,
        hand,
        work_closed.closed(people, school).get((school, name)),
        tuple(work_closed.history(people, school, name)),
        tuple(work_closing.drift(fleet, people, school, month)),
        tuple(work_limits_report.for_talks(years.values())),
        tuple(work_limits_report.over_limits(years.values())),
        names,
    )


def _row(
    who: Named, record: Record, figure: Figure, month: datetime.date, special: frozenset[str]
) -> Row:
    limits = limits_in_force(figure.staff, month)
    reached = standing(figure.outside_min, limits)
    is_special = f"{month:%Y-%m}" in special
    return Row(who, figure, reached, record.month(month).incomplete, is_special)


async def _page(
    request: web.Request, school: School, form: Form, wish: str, status: int = 200
) -> web.Response:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    found = await derive(request, _ask, school.organisation, wish, now_ms)
    told = f"{school.organisation} {found.month:%Y-%m}".strip()
    await change(request.app[PERSONS], work_now.note_listed, who, now_ms, len(found.rows), told)
    return await render(
        request,
        "school_month.html",
        status,
        section=PATH,
        school=school,
        form=form,
        marks=MARKS,
        words=await words_of(request),
        before=(found.month - _ONE_DAY).replace(day=1),
        after=next_month(found.month),
        keeps_terms=account_of(request).rights.may(attendance.NAME, OfficeRole.CLERK),
        **found._asdict(),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """A month of a school's people."""
    school = await school_of(request)
    return await _page(request, school, empty_form(request), request.query.get("month", ""))


@routes.get(f"{PATH}/export")
async def export(request: web.Request) -> web.StreamResponse:
    """The month as payroll takes it, a line a person; with `?days=yes` a line a person and day."""
    school, language = await school_of(request), language_of(request)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()

    def ask(fleet: sa.Connection, people: sa.Connection) -> tuple[list[str], list[list[Cell]], str]:
        month = month_of(request.query.get("month", ""), work_records.today(fleet, now_ms))
        days = request.query.get("days") == "yes"
        wish = work_export.Wish(school.organisation, month, days)
        rows = [list(one) for one in work_export.rows(fleet, people, wish, who, now_ms, language)]
        return work_export.heads(wish, language), rows, f"work-{month:%Y-%m}"

    heads, rows, name = await look(request, ask)
    return await download(request, name, heads, rows)


# --- closing -------------------------------------------------------------------------------------


@routes.post(f"{PATH}/close")
async def close(request: web.Request) -> web.Response:
    """Close a month."""
    form = await read_form(request, {"month": 7})
    school, month, now_ms = await _to_write(request, form)
    who = account_of(request).name
    try:
        await look(request, work_closing.close, school.organisation, month, who, now_ms)
    except WorkRefused as error:
        form.refuse("close", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, form, form["month"], 409)
    return await _done(request, school, month, "closed")


@routes.post(f"{PATH}/reopen")
async def reopen(request: web.Request) -> web.Response:
    """Open a closed month again, with a reason."""
    form = await read_form(request, {"month": 7, "why": WHY_MAX})
    school, month, now_ms = await _to_write(request, form)
    form.require("why")
    if form.errors:
        return await _page(request, school, form, form["month"], 422)
    step = (school.organisation, month, form["why"], account_of(request).name, now_ms)
    try:
        await change(request.app[PERSONS], work_closing.reopen, *step)
    except WorkRefused as error:
        form.refuse("why", f"work.refused.{error.reason}", **error.arguments)
        return await _page(request, school, form, form["month"], 409)
    except IndividualNumberRefused:
        form.refuse("why", "refused.individual-number")
        return await _page(request, school, form, form["month"], 422)
    return await _done(request, school, month, "reopened")


async def _to_write(request: web.Request, form: Form) -> tuple[School, datetime.date, int]:
    """Return the school and month of a form. Raises HTTPNotFound when one is none."""
    school = await school_to_write(request)
    try:
        month = datetime.date.fromisoformat(f"{form['month']}-01")
    except ValueError as error:
        raise web.HTTPNotFound from error
    now_ms = request.app[CLOCK].now_ms()
    if not school.organisation or not FIRST_MONTH <= month <= local_day(now_ms):
        raise web.HTTPNotFound
    return school, month, now_ms


async def _done(
    request: web.Request, school: School, month: datetime.date, step: str
) -> web.Response:
    await flash(request, Flash("ok", f"web.school.month.done.{step}"))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}&month={month:%Y-%m}")
