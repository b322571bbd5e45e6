"""乗車データ: the rides of a month as open data (fleet.tides), to download; without persons."""

import asyncio
import datetime
from typing import Final

from aiohttp import web
from babel.dates import format_date

from fleet import report_rows, reports, tides
from fleet.tides import NoRides
from fleet.web.api_programme import csv_answer, write_month
from fleet.web.data import FLEET, read
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programmes_of, require
from fleet.web.session import account_of
from fleet.web.words import language_of
from programmes.calendar import fiscal_year, local_day

PATH: Final = "/rides"
_MONTHS: Final = {"ja": "y年M月", "en": "MMMM y"}
routes = web.RouteTableDef()


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """The months of a fiscal year, each a file."""
    mine = [name for name in programmes_of(request) if name in tides.programmes()]
    wish = request.query.get("programme", "")
    now_ms = request.app[CLOCK].now_ms()
    today = local_day(now_ms)
    first = await read(request.app[FLEET], report_rows.first_year, now_ms)
    years = range(fiscal_year(today), first - 1, -1)
    asked = request.query.get("year", "")
    year = int(asked) if asked in map(str, years) else years[0]
    language = language_of(request)
    months = [
        (reports.name_of(month), format_date(month, _MONTHS[language], locale=language), month)
        for month in reversed(reports.months_of(year))
        if month <= today
    ]
    return await render(
        request,
        "rides.html",
        section=PATH,
        programmes=mine,
        programme=wish if wish in mine else next(iter(mine), ""),
        years=years,
        year=year,
        months=months,
        this_month=today.replace(day=1),
    )


@routes.get(rf"{PATH}/{{programme}}/{{month:\d{{4}}-\d\d}}.csv")
async def download(request: web.Request) -> web.StreamResponse:
    """One month's file."""
    programme = require(request, request.match_info["programme"])
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        month: datetime.date = tides.month_of(request.match_info["month"])
        file = await asyncio.to_thread(
            write_month, request.app[FLEET], programme, month, who, now_ms
        )
    except NoRides:
        raise web.HTTPNotFound from None
    return csv_answer(file, tides.file_name(month))
