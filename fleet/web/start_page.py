"""窓口: where a clerk's day begins. Find a member, enrol one, what waits, the cards held just now.

Whoever has another role sees what waits for that role; who works for a company or a school, or has
no right yet, sees what he can do and whom he asks; who has his own days alone is led to them.
"""

from typing import Any

from aiohttp import web

from fleet import office_tasks
from fleet.office_tasks import OfficeTask
from fleet.rights import ALONE, OfficeRole, Rights
from fleet.web.data import FLEET, PERSONS, read
from fleet.web.forms import empty_form
from fleet.web.pages import CLOCK, render
from fleet.web.session import account_of
from fleet.web.triage_page import waiting_cards
from fleet.web.vehicles_reach import BY_RIDE
from programmes import attendance

routes = web.RouteTableDef()


@routes.get("/")
async def show(request: web.Request) -> web.Response:
    """The first page of the office, for every role."""
    if account_of(request).is_own_only:
        raise web.HTTPSeeOther("/own")
    roles = account_of(request).rights.roles
    is_clerk = OfficeRole.CLERK in roles
    cards: dict[str, Any] = await waiting_cards(request) if is_clerk else {}
    return await render(
        request,
        "start.html",
        section="/",
        is_clerk=is_clerk,
        guest="" if roles - ALONE else _guest(account_of(request).rights),
        tasks=await _tasks(request),
        form=empty_form(request),
        **cards,
    )


def _guest(rights: Rights) -> str:
    """Return what somebody is told who neither works for the city nor audits."""
    if any(rights.may(name, OfficeRole.COMPANY) for name in BY_RIDE):
        return "company"
    if rights.may(attendance.NAME, OfficeRole.SCHOOL):
        return "school"
    return "outside" if rights else "no-right"


async def _tasks(request: web.Request) -> list[OfficeTask]:
    account, now_ms = account_of(request), request.app[CLOCK].now_ms()
    of_fleet = await read(request.app[FLEET], office_tasks.of_fleet, account)
    of_persons = await read(request.app[PERSONS], office_tasks.of_persons, account, now_ms)
    order = {"bad": 0, "warn": 1, "info": 2}
    return sorted([*of_fleet, *of_persons], key=lambda task: order[task.mark])
