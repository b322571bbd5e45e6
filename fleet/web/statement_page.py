"""利用のお知らせ: one member's year as a sheet of paper, for the counter.

The member's page links here: `/members/{member}/statement?year=2026`; without a year the present
fiscal year.
"""

from aiohttp import web

from fleet import remaining, report_rows, statement
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.pages import CLOCK
from fleet.web.reach import member_in_reach
from fleet.web.report_words import Words
from fleet.web.session import account_of
from fleet.web.sheets import sheet
from fleet.web.words import language_of, number
from programmes.calendar import fiscal_year_of

routes = web.RouteTableDef()


@routes.get(r"/members/{member:\d+}/statement")
async def show(request: web.Request) -> web.Response:
    """The sheet of one fiscal year; one that is not in the ledger is the present one."""
    member_id, now_ms = await member_in_reach(request), request.app[CLOCK].now_ms()
    fleet, language = request.app[FLEET], language_of(request)
    who = account_of(request).name
    found = await change(request.app[PERSONS], statement.see, member_id, who, now_ms)
    if found is None:
        raise web.HTTPNotFound
    whose, cards = found
    first, present = await read(fleet, report_rows.first_year, now_ms), fiscal_year_of(now_ms)
    wish = request.query.get("year", "")
    year = int(wish) if wish in map(str, range(first, present)) else present
    return await sheet(
        request,
        "report_statement.html",
        f"statement-{member_id}-{year}.pdf",
        whose=whose,
        of=await read(fleet, statement.of_year, whose.programme, cards, year, now_ms),
        left=await read(fleet, remaining.of_member, whose.programme, cards, now_ms)
        if year == present
        else [],
        words=Words(language, {}),
        number=lambda value: number(value, language),
    )
