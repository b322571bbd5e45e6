"""The day's list behind the staff's number: what was ridden, what to hand in, and taking back.

Rules: nothing of it is shown, and nothing taken back, before the number was right, and that holds
for five minutes on the one screen · a ride that was taken back stays on the list.
"""

import asyncio
from pathlib import Path
from typing import Final, get_args

from aiohttp import web

from edge.journal import FOLDER
from edge.panel import CancelRide
from edge.pin import Tried
from edge.rides_today import RidesToday, rides_today
from edge.web.cab import CAB, device
from edge.web.guard import same_origin
from edge.web.tablet import act, read_ref, show, text_of

LIST: Final = "/tablet/list"
TABLETS: Final = "/tablets"
OPENS: Final = (LIST, TABLETS)
"""What the staff's number leads to."""
REASONS: Final[tuple[str, ...]] = get_args(CancelRide.__annotations__["why"])
TRIED: Final = {Tried.WRONG: "tablet.pin-wrong", Tried.PAUSED: "tablet.pin-paused"}

list_routes = web.RouteTableDef()


def is_open(request: web.Request) -> bool:
    """True while this screen may see what the number protects."""
    return request.app[CAB].pin.is_open(device(request))


def ask_pin(request: web.Request, leads_to: str, said: str = "") -> web.Response:
    """Ask for the staff's number."""
    is_set = request.app[CAB].pin.is_set
    return show(request, "pin", "pin", is_set=is_set, leads_to=leads_to, said=said)


@list_routes.post("/tablet/pin")
async def enter_pin(request: web.Request) -> web.StreamResponse:
    """Try the staff's number."""
    same_origin(request)
    form = await request.post()
    leads_to = text_of(form, "to") if text_of(form, "to") in OPENS else LIST
    tried = await request.app[CAB].try_pin(text_of(form, "pin")[:8], device(request))
    if tried is not Tried.OPEN:
        return ask_pin(request, leads_to, TRIED[tried])
    return web.Response(status=303, headers={"Location": leads_to})


@list_routes.get(LIST)
async def list_rides(request: web.Request) -> web.Response:
    """Today's rides, and what they come to."""
    if not is_open(request):
        return ask_pin(request, LIST)
    return show(request, "list", "list", today=await _today(request))


@list_routes.post("/tablet/lock")
async def lock(request: web.Request) -> web.StreamResponse:
    """Close the list again."""
    same_origin(request)
    request.app[CAB].pin.close(device(request))
    return web.Response(status=303, headers={"Location": "/tablet"})


@list_routes.get("/tablet/cancel")
async def ask_cancel(request: web.Request) -> web.Response:
    """Ask why a ride is taken back."""
    if not is_open(request):
        return ask_pin(request, LIST)
    of = read_ref(request.query.get("ride", ""))
    found = [
        row for row in (await _today(request)).rows if (row.journal, row.n) == (of.journal, of.n)
    ]
    if not found or found[0].taken_back:
        return show(request, "list", "list", today=await _today(request), said="tablet.no-ride")
    return show(request, "cancel", "cancel", row=found[0], reasons=REASONS)


@list_routes.post("/tablet/cancel")
async def cancel(request: web.Request) -> web.StreamResponse:
    """Take a ride back."""
    same_origin(request)
    if not is_open(request):
        return ask_pin(request, LIST)
    form = await request.post()
    of, why = read_ref(text_of(form, "ride")), text_of(form, "why")
    if why not in REASONS:
        raise web.HTTPBadRequest
    refused = await act(request, CancelRide(0, of.journal, of.n, why))  # type: ignore[arg-type]
    said = "tablet.no-ride" if refused == "tablet.changed" else refused
    if not said:
        return web.Response(status=303, headers={"Location": LIST})
    return show(request, "list", "list", today=await _today(request), said=said)


async def _today(request: web.Request) -> RidesToday:
    """Read today's rides beside the loop."""
    config, now_ms = request.app[CAB].config, request.app[CAB].board.now_ms()
    folder = Path(config.state) / FOLDER
    return await asyncio.to_thread(rides_today, folder, config.reader, now_ms)
