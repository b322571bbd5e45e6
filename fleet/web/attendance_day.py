"""今日の出退勤: times and declared directions of one day; what is missing is said to be missing."""

import datetime

from aiohttp import web

from fleet import work_records, workday
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.pages import CLOCK, render
from fleet.web.reach import require
from fleet.web.session import account_of
from fleet.web.triage_page import place_labels
from programmes import attendance

routes = web.RouteTableDef()


@routes.get("/attendance")
async def show(request: web.Request) -> web.Response:
    """One day of everyone, today unless another day is asked for."""
    require(request, attendance.NAME)
    now_ms = request.app[CLOCK].now_ms()
    today = await read(request.app[FLEET], work_records.today, now_ms)
    day = _day(request.query.get("day", ""), today)
    who, ledger = account_of(request).name, request.app[FLEET]
    days = await change(request.app[PERSONS], workday.see_days, ledger, day, who, now_ms)
    came = [one for one in days if one.times]
    only_came = request.query.get("present", "") == "yes"
    return await render(
        request,
        "attendance.html",
        section="/attendance",
        date=day,
        today=today,
        before=day - datetime.timedelta(days=1),
        after=day + datetime.timedelta(days=1),
        days=came if only_came else days,
        everyone=len(days),
        came=len(came),
        only_came=only_came,
        missing_out=sum(one.open_end for one in days),
        places=await place_labels(request),
    )


def _day(wish: str, today: datetime.date) -> datetime.date:
    """Return the day in the address; one that is none, or still to come, becomes today."""
    try:
        day = datetime.date.fromisoformat(wish)
    except ValueError:
        return today
    return day if datetime.date(2000, 1, 2) <= day <= today else today
