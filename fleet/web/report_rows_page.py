"""The entries behind one figure of a report: when, where, what became of it, for how much.

A clerk of the programme may ask for registration numbers, and that look is in persons' audit. Who
may not see members sees days without place or reason, and only of figures that the page shows:
else counting lines would tell what is withheld.
"""

import asyncio
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from fleet import report_rows, reports
from fleet.report_counts import Counting
from fleet.report_rows import ROWS_SHOWN, Asked, Holder, Row
from fleet.reports import Period
from fleet.rights import OfficeRole
from fleet.web.data import FLEET, PERSONS, change
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of
from fleet.web.report_words import words_of
from fleet.web.reports_page import COUNTS, READERS, WHAT, period, report_of, still_counting
from fleet.web.session import account_of
from programmes.calendar import local_day

SKIP_MAX: Final = 1_000_000
"""Entries passed over on the way to a page; a month of the largest city has fewer."""
TEXT_MAX: Final = 40
"""Characters of a place, category or code in the address: as long as wire.entries lets them be."""
_DIGITS: Final = "0123456789"
routes = web.RouteTableDef()


def _asked(request: web.Request, programme: str, of: Period) -> Asked:
    """Return what the address asks for; a word that nothing has finds nothing."""
    query = request.query
    texts = {
        name: query[name][:TEXT_MAX] for name in ("place", "category", "code") if name in query
    }
    hour = query.get("hour", "")
    if hour in {f"{one:02}" for one in range(24)}:
        texts["hour"] = hour
    what = query.get("what", "")
    today = local_day(request.app[CLOCK].now_ms())
    months = reports.apart_of(of, today) if texts else tuple(map(reports.name_of, of.months))
    return Asked(programme, months, what if what in report_rows.WHAT else "used", **texts)


def _skip(request: web.Request) -> int:
    wish = request.query.get("skip", "")
    return min(int(wish), SKIP_MAX) if wish and len(wish) < 8 and set(wish) <= set(_DIGITS) else 0


def _chosen(asked: Asked) -> dict[str, str]:
    """Return by which lines of which tables the entries are chosen."""
    of_code = "press" if asked.what == "without" else "code"
    named = {"place": asked.place, "hour": asked.hour, of_code: asked.code}
    category = {} if asked.category is None else {"category": asked.category}
    return {by: key for by, key in named.items() if key} | category


async def _tells(request: web.Request, of: Period, asked: Asked) -> bool:
    """True when the page shows this figure to everybody."""
    report = await report_of(request, asked.programme, of)
    columns = [column for column, what in WHAT.items() if what == asked.what]
    return report.tells(columns, **_chosen(asked))


def _find(app: web.Application, of: Period, asked: Asked, skip: int) -> list[Row]:
    """Return the entries, one more than is shown."""
    counts, fleet = app[COUNTS], app[FLEET]
    with counts.held, fleet.read() as connection:
        year = counts.year(of.year, app[CLOCK].now_ms())
        return report_rows.rows(connection, year, asked, skip)


@routes.get("/reports/rows")
async def show(request: web.Request) -> web.Response:
    """One page of entries, those that came last first."""
    programme = programme_of(request, *READERS)
    of, _ = await period(request)
    asked, skip = _asked(request, programme, of), _skip(request)
    may_see = account_of(request).rights.may(programme, OfficeRole.CLERK)
    try:
        few = not may_see and not await _tells(request, of, asked)
        found = [] if few else await asyncio.to_thread(_find, request.app, of, asked, skip)
    except Counting as error:
        return await still_counting(request, error)
    rows = found[:ROWS_SHOWN]
    numbers = may_see and "numbers" in request.query
    query = {"programme": programme, "year": str(of.year), "month": of.month}
    return await render(
        request,
        "report_rows.html",
        section="/reports",
        asked=asked,
        period=of,
        chosen=_chosen(asked),
        rows=rows,
        few=few,
        more=len(found) > ROWS_SHOWN,
        skip=skip,
        older=str(skip + ROWS_SHOWN),
        newer=str(max(0, skip - ROWS_SHOWN) or ""),
        may_see=may_see,
        numbers=numbers,
        holders=await _holders(request, programme, rows) if numbers else {},
        with_yen="rider_yen" in reports.columns_of(programme),
        words=await words_of(request),
        back=f"/reports?{urlencode({name: value for name, value in query.items() if value})}",
    )


async def _holders(request: web.Request, programme: str, rows: list[Row]) -> dict[str, Holder]:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    return await change(request.app[PERSONS], report_rows.see_holders, programme, rows, who, now_ms)
