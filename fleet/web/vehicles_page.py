"""車両: the day board of a transport company, live; to be printed as it stands."""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import vehicles
from fleet.vehicles import Mark, Today, Vehicle
from fleet.web.data import FLEET, read, reading
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render
from fleet.web.vehicles_reach import Company, company_of
from fleet.web.words import language_of
from programmes.calendar import local_day

PATH: Final = "/vehicles"
routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Line:
    """A vehicle with its name in the page's language and what asks for attention."""

    vehicle: Vehicle
    label: str
    marks: tuple[Mark, ...]


async def _board(request: web.Request, company: Company) -> dict[str, Any]:
    now_ms, index = request.app[CLOCK].now_ms(), language_of(request)
    found, newest = await read(request.app[FLEET], _ask, company, now_ms)
    lines = [
        Line(
            one,
            one.label_en if index == "en" else one.label_ja,
            tuple(vehicles.marks(one, newest, now_ms)),
        )
        for one in found
    ]
    sums = zip(*(one.today for one in found), strict=True)
    return {
        "company": company,
        "today": local_day(now_ms),
        "lines": lines,
        "online": sum(one.online for one in found),
        "waiting": sum(one.waiting for one in found),
        "total": Today(*(sum(some) for some in sums)) if found else Today(),
        "marked": sum(any(each.mark in ("bad", "warn") for each in one.marks) for one in lines),
    }


def _ask(connection: sa.Connection, company: Company, now_ms: int) -> tuple[list[Vehicle], str]:
    found = vehicles.board(connection, company.programme, company.organisation, now_ms)
    return found, vehicles.newest_agent(connection)


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """All vehicles of a company."""
    board = await _board(request, await company_of(request))
    return await render(request, "vehicles.html", section=PATH, **board)


@routes.get(f"{PATH}/now")
async def now(request: web.Request) -> web.Response:
    """The board alone, as the page shows it."""
    return await render(
        request, "_vehicles.html", **await _board(request, await company_of(request))
    )


@routes.get(f"{PATH}/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when something on the board has changed."""
    company = await company_of(request)
    clock, ask = request.app[CLOCK], reading(request.app[FLEET], vehicles.board)

    def look() -> list[Vehicle]:
        return ask(company.programme, company.organisation, clock.now_ms())

    return await stream(request, f"vehicles {company.programme} {company.organisation}", look)
