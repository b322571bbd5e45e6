"""利用実績: what a programme came to, in figures, charts and tables, with its budget.

Clerks, approvers and auditors see the same page; each figure opens the entries that it is the sum
of (`report_rows_page`). The file holds the very tables that the page shows, cell by cell.
"""

import asyncio
import datetime
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from fleet import report_rows, reports
from fleet.months import next_month
from fleet.report_counts import Counting, Counts
from fleet.reports import Line, Period, Report, Table
from fleet.rights import OfficeRole
from fleet.web.data import FLEET, PERSONS, read
from fleet.web.exports import download
from fleet.web.forms import Form, empty_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.report_file import Shown, Spending, compared, rows_of
from fleet.web.report_words import words_of
from fleet.web.spending import shown, spending_of, take_budget
from fleet.web.triage_page import place_labels
from fleet.web.words import language_of
from programmes.calendar import fiscal_year, local_day
from programmes.register import rulebook
from programmes.texts import say

READERS: Final = (OfficeRole.CLERK, OfficeRole.APPROVER, OfficeRole.AUDITOR)
"""Who may read reports."""
COUNTS: Final = web.AppKey("counts", Counts)
AGAIN_S: Final = 1
"""After so long a browser asks again while entries are still being counted."""
WHAT: Final[Mapping[str, str]] = {
    "users": "card",
    "card": "card",
    "without": "without",
    "share": "used",
    "refused": "refused",
    "uses": "used",
    "rider_yen": "used",
    "city_yen": "used",
}
"""Which entries a column opens."""
routes = web.RouteTableDef()


# --- the report -----------------------------------------------------------------------------------


def period_of(request: web.Request, today: datetime.date, first: int) -> Period:
    """Return the period in the address; what is none, or has not begun, is the present year."""
    now = fiscal_year(today)
    wish, month = request.query.get("year", ""), request.query.get("month", "")
    year = int(wish) if wish in map(str, range(first, now + 1)) else now
    begun = [reports.name_of(one) for one in reports.months_of(year) if one <= today]
    return Period(year, month if month in begun else "")


async def period(request: web.Request) -> tuple[Period, range]:
    """Return the period that is asked for, and the fiscal years that may be."""
    now_ms = request.app[CLOCK].now_ms()
    today = local_day(now_ms)
    first = await read(request.app[FLEET], report_rows.first_year, now_ms)
    return period_of(request, today, first), range(first, fiscal_year(today) + 1)


async def report_of(request: web.Request, programme: str, of: Period) -> Report:
    """Return a report; the counting is done in a thread. Raises Counting while there is more."""
    return await asyncio.to_thread(_build, request.app, programme, of)


def _build(app: web.Application, programme: str, of: Period) -> Report:
    counts, now_ms = app[COUNTS], app[CLOCK].now_ms()
    with counts.held:
        now, before = counts.pair(of.year, now_ms)
        return reports.build(now, before, programme, of, local_day(now_ms))


async def still_counting(request: web.Request, error: Counting) -> web.Response:
    """Return the page that says how far the counting is, and asks again by itself."""
    response = await render(
        request, "report_counting.html", 202, section="/reports", percent=error.percent
    )
    response.headers["Refresh"] = str(AGAIN_S)
    return response


def rows_link(programme: str, of: Period, table: Table, line: Line, column: str) -> str:
    """Return the address of the entries behind a cell; empty for one that has none to show."""
    if not line.values.get(column):
        return ""
    month = line.key if table.name == "months" else of.month
    query = {"programme": programme, "year": str(of.year), "month": month, "what": WHAT[column]}
    if table.name not in ("months", "total"):
        query[table.name if table.name != "press" else "code"] = line.key
    if table.name == "code":
        query["what"] = "refused"
    kept = {name: value for name, value in query.items() if value or name == "category"}
    return f"/reports/rows?{urlencode(kept)}"


async def _shown(request: web.Request, programme: str, of: Period) -> Shown:
    """Return what the page and the file show. Raises Counting."""
    report = await report_of(request, programme, of)
    spending = await _spending(request, programme, of.year)
    today = local_day(request.app[CLOCK].now_ms())
    last_day = min(today, next_month(of.months[-1]) - datetime.timedelta(days=1))
    enrolled = await read(request.app[PERSONS], report_rows.enrolled, programme, last_day)
    return Shown(report, enrolled, spending)


async def _page(
    request: web.Request, programme: str, form: Form, status: int = 200
) -> web.Response:
    of, years = await period(request)
    try:
        report, enrolled, spending = await _shown(request, programme, of)
    except Counting as error:
        return await still_counting(request, error)
    today = local_day(request.app[CLOCK].now_ms())
    words = await words_of(request)
    form.values.setdefault("fiscal_year", str(of.year))
    return await render(
        request,
        "report.html",
        status,
        section="/reports",
        programmes=programmes_of(request, *READERS),
        programme=programme,
        report=report,
        as_of_day=local_day(report.as_of_ms),
        years=years,
        months=[reports.name_of(one) for one in reports.months_of(of.year) if one <= today],
        words=words,
        total=Table("total", report.months.columns, (report.total,)),
        compared=lambda column: compared(report.compared, column, form.language, words),
        link=lambda table, line, column: rows_link(programme, of, table, line, column),
        enrolled=enrolled,
        unsent=await read(request.app[FLEET], report_rows.unsent, programme),
        places=await place_labels(request),
        form=form,
        **shown(
            request,
            programme,
            spending,
            years,
            words,
            f"/reports/{programme}/budget?year={of.year}&month={of.month}",
        ),
    )


@routes.get("/reports")
async def show(request: web.Request) -> web.Response:
    """The report of one programme and period; what settles rides has a page of its own."""
    programme = programme_of(request, *READERS)
    if rulebook(programme).rides is not None:
        raise web.HTTPSeeOther(URL("/taxi").with_query(programme=programme))
    return await _page(request, programme, empty_form(request))


@routes.get("/reports/export")
async def export(request: web.Request) -> web.StreamResponse:
    """Every table of the page, one below the other, as the page shows them."""
    programme = programme_of(request, *READERS)
    of, _ = await period(request)
    try:
        found = await _shown(request, programme, of)
    except Counting as error:
        return await still_counting(request, error)
    words, language = await words_of(request), language_of(request)
    about = [f"web.programme.{programme}", "web.report.title", "web.report.as-of"]
    name, title, as_of = (say(one, language) for one in about)
    heads = [f"{name} {title}", words.period(of)]
    heads.append(f"{as_of} {words.instant(found.report.as_of_ms)}")
    rows = rows_of(found, words, language)
    return await download(request, f"report-{programme}-{of.month or of.year}", heads, rows)


# --- the budget -----------------------------------------------------------------------------------


async def _spending(request: web.Request, programme: str, year: int) -> Spending:
    """Return what the page says of the budget; nothing where the city pays nobody."""
    if "city_yen" not in reports.columns_of(programme):
        return Spending()
    whole = await report_of(request, programme, Period(year))
    begun = [line for line in whole.months.lines if line.values]
    spent = [line.values["city_yen"] or 0 for line in begun]
    over = sum(not line.running for line in begun)
    before = [line.values["city_yen"] or 0 for line in whole.before]
    return await spending_of(request, programme, year, spent, over, before)


@routes.post("/reports/{programme}/budget")
async def set_budget(request: web.Request) -> web.Response:
    """Let a new amount hold for a fiscal year."""
    programme = require(request, request.match_info["programme"])
    if "city_yen" not in reports.columns_of(programme):
        raise web.HTTPNotFound
    _, years = await period(request)
    form = await take_budget(request, programme, years, await words_of(request))
    if form.errors:
        return await _page(request, programme, form, 422)
    raise web.HTTPSeeOther(f"/reports?programme={programme}&year={request.query.get('year', '')}")
