"""車載機が壊れたとき: what a vehicle's reader never sent, and the ways to get it or do without."""

from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import vehicles_lost
from fleet.gaps import GapRefused
from fleet.vehicles_lost import ByHand, Lost
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number
from fleet.web.session import Flash, account_of, flash
from fleet.web.vehicles_page import PATH
from fleet.web.vehicles_reach import Vehicle, vehicle_in_reach

WHY_MAX: Final = 200
DAY_MS: Final = 24 * 3_600_000
routes = web.RouteTableDef()


def _ask(connection: sa.Connection, vehicle: str) -> tuple[list[Lost], list[ByHand], int | None]:
    heard_ms = vehicles_lost.heard_ms(connection, vehicle)
    lost = vehicles_lost.find(connection, vehicle)
    since_ms = min((one.received_at_ms for one in lost), default=heard_ms or 0) - DAY_MS
    return lost, vehicles_lost.by_hand(connection, vehicle, since_ms), heard_ms


async def _page(
    request: web.Request, vehicle: Vehicle, form: Form, status: int = 200, tried: int = 0
) -> web.Response:
    lost, by_hand, heard_ms = await read(request.app[FLEET], _ask, vehicle.name)
    now_ms = request.app[CLOCK].now_ms()
    return await render(
        request,
        "vehicles_lost.html",
        status,
        section=PATH,
        vehicle=vehicle,
        lost=lost,
        by_hand=by_hand,
        heard_ms=heard_ms,
        is_quiet=heard_ms is None or now_ms - heard_ms >= vehicles_lost.QUIET_MS,
        form=form,
        tried=tried,
    )


@routes.get(r"/vehicles/{vehicle:[a-z0-9-]{1,32}}/lost")
async def show(request: web.Request) -> web.Response:
    """What is missing, and what can be done."""
    return await _page(request, await vehicle_in_reach(request), empty_form(request))


@routes.post(r"/vehicles/{vehicle:[a-z0-9-]{1,32}}/lost/{lost:\d+}/write-off")
async def write_off(request: web.Request) -> web.Response:
    """Write off what one journal lacks: the city's clerk alone."""
    vehicle, journal_id = await vehicle_in_reach(request), number(request, "lost")
    if not vehicle.is_clerk:
        raise web.HTTPForbidden(reason="right")
    form = await read_form(request, {"why": WHY_MAX})
    form.require("why")
    if form.errors:
        return await _page(request, vehicle, form, 422, journal_id)
    told = (vehicle.name, journal_id, account_of(request).name, form["why"])
    try:
        closed = await change(
            request.app[FLEET], vehicles_lost.write_off, *told, request.app[CLOCK].now_ms()
        )
    except GapRefused:
        form.refuse("why", "web.lost.refused")
        return await _page(request, vehicle, form, 409, journal_id)
    await flash(request, Flash("ok", "web.lost.written-off", {"n": str(closed)}))
    raise web.HTTPSeeOther(f"/vehicles/{vehicle.name}/lost")
