"""タクシー助成の実績: what a programme's rides came to, what to look at twice, the seed's figures.

For the city: clerks, approvers and auditors. Each figure is the ledger's at this moment; the file
holds the very tables that the page shows.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import web

from fleet import anomalies, reports, ride_figures, rides, scoreboard
from fleet.months import next_month
from fleet.report_rows import first_year
from fleet.reports import Period
from fleet.ride_figures import MEDIA, Sums
from fleet.tables import Cell
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.exports import download
from fleet.web.forms import Form, empty_form
from fleet.web.organisations import whole_name
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programmes_of, require
from fleet.web.report_file import Spending
from fleet.web.report_words import Words, words_of
from fleet.web.reports_page import READERS, period_of
from fleet.web.session import account_of
from fleet.web.spending import shown, spending_of, take_budget
from fleet.web.words import language_of
from programmes.calendar import fiscal_year, local_day
from programmes.register import RULEBOOKS
from programmes.texts import Language, say

PATH: Final = "/taxi"
COLUMNS: Final = ("rides", "uses", "users", "card", "paper", "none", "share", "fare", "subsidy")
routes = web.RouteTableDef()


class Line(NamedTuple):
    """One month or company."""

    key: str
    sums: Sums
    running: bool = False


class Found(NamedTuple):
    """All that stands on the page."""

    period: Period
    years: range
    total: Sums
    months: Sequence[Line]
    companies: Sequence[Line]
    spending: Spending
    enrolled: int
    holders: int
    is_past: bool
    """Some of the year's rides were dropped, past retention."""


def _programmes(request: web.Request) -> list[str]:
    """Return the programmes in reach that settle rides. Raises HTTPNotFound without any."""
    found = [name for name in programmes_of(request, *READERS) if RULEBOOKS[name].rides]
    if not found:
        raise web.HTTPNotFound
    return found


def _programme(request: web.Request) -> str:
    found, wish = _programmes(request), request.query.get("programme", "")
    return wish if wish in found else found[0]


async def _found(request: web.Request, programme: str) -> Found:
    fleet, people = request.app[FLEET], request.app[PERSONS]
    now_ms = request.app[CLOCK].now_ms()
    today = local_day(now_ms)
    first = await read(fleet, first_year, now_ms)
    of = period_of(request, today, first)

    def count() -> Mapping[tuple[datetime.date, str], Sums]:
        with fleet.read() as connection, people.read() as persons:
            months = [*reports.months_of(of.year - 1), *reports.months_of(of.year)]
            return ride_figures.count(connection, persons, programme, months)

    counted = await asyncio.to_thread(count)
    begun = [month for month in reports.months_of(of.year) if month <= today]
    lines = [_line(month, counted, running=next_month(month) > today) for month in begun]
    former = [_line(month, counted) for month in reports.months_of(of.year - 1)]
    chosen = [line for line in lines if of.month in ("", line.key)]
    names = sorted({company for month, company in counted if month in begun})
    companies = [
        Line(name, _of(counted, name, [line.key for line in chosen])) for name in names if name
    ]
    spending = await spending_of(
        request,
        programme,
        of.year,
        [line.sums.subsidy_yen for line in lines],
        sum(not line.running for line in lines),
        [line.sums.subsidy_yen for line in former],
    )
    enrolled, holders = await read(people, ride_figures.enrolled, programme, today)
    total = ride_figures.together(line.sums for line in chosen)
    years = range(first, fiscal_year(today) + 1)
    is_past = f"{of.year}-04" <= await read(fleet, rides.gone_through)
    return Found(of, years, total, lines, companies, spending, enrolled, holders, is_past)


def _line(
    month: datetime.date,
    counted: Mapping[tuple[datetime.date, str], Sums],
    *,
    running: bool = False,
) -> Line:
    sums = ride_figures.together(one for (of, _), one in counted.items() if of == month)
    return Line(reports.name_of(month), sums, running)


def _of(
    counted: Mapping[tuple[datetime.date, str], Sums], company: str, months: Sequence[str]
) -> Sums:
    here = (
        one
        for (month, name), one in counted.items()
        if name == company and reports.name_of(month) in months
    )
    return ride_figures.together(here)


def cell(sums: Sums, column: str) -> int | None:
    """Return a figure; None: there is none, or too few people stand behind it."""
    if column in MEDIA:
        return sums.riders[column]
    if column == "share":
        return sums.card_permille
    if column in ("fare", "subsidy"):
        return int(getattr(sums, f"{column}_yen"))
    value: int | None = getattr(sums, column)
    return value


def written(value: int | None, column: str, words: Words, language: Language) -> str:
    """Return a figure as it is shown."""
    if value is None:
        return say("web.report.none" if column == "share" else "web.report.few", language)
    return f"{value / 10:.1f}%" if column == "share" else words.number(value)


async def _page(
    request: web.Request, programme: str, form: Form, status: int = 200
) -> web.Response:
    found = await _found(request, programme)
    words, language = await words_of(request), language_of(request)
    form.values.setdefault("fiscal_year", str(found.period.year))
    today = local_day(request.app[CLOCK].now_ms())
    of = found.period
    return await render(
        request,
        "taxi.html",
        status,
        section=PATH,
        programmes=_programmes(request),
        programme=programme,
        columns=COLUMNS,
        words=words,
        month_choices=[reports.name_of(one) for one in reports.months_of(of.year) if one <= today],
        cell=cell,
        written=lambda value, column: written(value, column, words, language),
        saved_minutes=scoreboard.saved_minutes(found.total),
        saved_postage=scoreboard.saved_postage_yen(found.holders),
        form=form,
        **found._asdict(),
        **shown(
            request,
            programme,
            found.spending,
            found.years,
            words,
            f"{PATH}/{programme}/budget?year={of.year}&month={of.month}",
        ),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """The figures of a fiscal year or a month of it."""
    return await _page(request, _programme(request), empty_form(request))


@routes.get(f"{PATH}/export")
async def export(request: web.Request) -> web.StreamResponse:
    """Both tables of the page, one below the other, as the page shows them."""
    programme, language = _programme(request), language_of(request)
    found, words = await _found(request, programme), await words_of(request)
    names = [say(f"web.taxi.column.{name}", language) for name in COLUMNS]

    def rows() -> list[list[Cell]]:
        months = [
            [words.month(one.key), *_cells(one.sums, words, language)] for one in found.months
        ]
        companies = [
            [whole_name(one.key, words.companies), *_cells(one.sums, words, language)]
            for one in found.companies
        ]
        total = [words.period(found.period), *_cells(found.total, words, language)]
        heads: list[Cell] = [say("web.taxi.company", language), *names]
        past: list[list[Cell]] = [[say("web.taxi.past", language)]] if found.is_past else []
        return [*past, total, [], *months, [], heads, *companies]

    name = f"taxi-{programme}-{found.period.month or found.period.year}"
    return await download(request, name, [say("web.report.head.months", language), *names], rows())


def _cells(sums: Sums, words: Words, language: Language) -> list[Cell]:
    return [
        written(cell(sums, name), name, words, language)
        if name == "share" or cell(sums, name) is None
        else cell(sums, name)
        for name in COLUMNS
    ]


@routes.post(PATH + "/{programme}/budget")
async def set_budget(request: web.Request) -> web.Response:
    """Let a new amount hold for a fiscal year."""
    programme = require(request, request.match_info["programme"])
    if programme not in _programmes(request):
        raise web.HTTPNotFound
    now_ms = request.app[CLOCK].now_ms()
    first = await read(request.app[FLEET], first_year, now_ms)
    years = range(first, fiscal_year(local_day(now_ms)) + 1)
    form = await take_budget(request, programme, years, await words_of(request))
    if form.errors:
        return await _page(request, programme, form, 422)
    raise web.HTTPSeeOther(f"{PATH}?programme={programme}&year={request.query.get('year', '')}")


@routes.get(f"{PATH}/anomalies")
async def look_twice(request: web.Request) -> web.Response:
    """Rides of a month that a clerk looks at twice."""
    programme = _programme(request)
    now_ms, who = request.app[CLOCK].now_ms(), account_of(request).name
    months = anomalies.months_to_choose(now_ms)
    wish = request.query.get("month", "")
    month = next((one for one in months if reports.name_of(one) == wish), months[0])
    found = await read(request.app[FLEET], anomalies.find, programme, month)
    named = await change(request.app[PERSONS], anomalies.name, programme, found, who, now_ms)
    return await render(
        request,
        "taxi_anomalies.html",
        section=PATH,
        programmes=_programmes(request),
        programme=programme,
        months=[reports.name_of(one) for one in months],
        month=reports.name_of(month),
        kinds={kind: [one for one in named if one.one.kind == kind] for kind in anomalies.KINDS},
        limits={"kmh": anomalies.KMH_MAX, "many": anomalies.MANY_IN_A_MONTH},
        words=await words_of(request),
    )


@routes.get(f"{PATH}/score")
async def score(request: web.Request) -> web.Response:
    """The published figures of the first city beside ours."""
    programme = _programme(request)
    now_ms = request.app[CLOCK].now_ms()
    month = ride_figures.last_whole_month(now_ms)
    fleet, people = request.app[FLEET], request.app[PERSONS]

    def count() -> Sums:
        with fleet.read() as connection, people.read() as persons:
            figures = ride_figures.count(connection, persons, programme, [month])
            return ride_figures.together(figures.values())

    sums = await asyncio.to_thread(count)
    enrolled, holders = await read(people, ride_figures.enrolled, programme, local_day(now_ms))
    return await render(
        request,
        "taxi_score.html",
        section=PATH,
        programmes=_programmes(request),
        programme=programme,
        month=reports.name_of(month),
        scores=scoreboard.scores(sums, enrolled, holders),
        words=await words_of(request),
    )
