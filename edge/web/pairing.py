"""Pairing a tablet with this reader, and letting it be a stranger again.

Rules: the code is shown on the reader's own screen alone, to whoever knows the staff's number; who
pairs the first tablet chooses it · holding the camera to it changes nothing: the tablet's own press
does, so nothing that looks at addresses beforehand uses a code up · the token lies in a cookie that
no script reads and no other site sends.
"""

import re
from typing import Final

import segno
from aiohttp import web
from markupsafe import Markup

from edge.pin import FORM
from edge.tablets import OFFER_S, TABLETS_MAX, NotPaired
from edge.web.cab import CAB, OWN_SCREEN, device
from edge.web.guard import same_origin
from edge.web.rendering import render
from edge.web.tablet import show, text_of
from edge.web.tablet_list import TABLETS, ask_pin, is_open

COOKIE: Final = "kazasu-tablet"
COOKIE_S: Final = 400 * 24 * 3600
"""As long as browsers keep one; a tablet that is used is paired again once a year."""
NOT_PAIRED: Final = {
    "code": "tablet.code-over",
    "full": "tablet.full",
    "unsaved": "tablet.unsaved",
}

screen_routes = web.RouteTableDef()
"""On the reader's own screen alone."""
device_routes = web.RouteTableDef()
"""On every screen of the driver's."""
pair_routes = web.RouteTableDef()
"""For tablets that are not paired yet."""


@device_routes.get(TABLETS)
async def devices(request: web.Request) -> web.Response:
    """Which tablets are paired."""
    cab = request.app[CAB]
    if device(request) == OWN_SCREEN and not cab.pin.is_set:
        return show(request, "choose", "choose")
    if not is_open(request):
        return ask_pin(request, TABLETS)
    return _devices(request)


@device_routes.post("/tablets/revoke")
async def revoke(request: web.Request) -> web.StreamResponse:
    """Let a tablet be a stranger again."""
    same_origin(request)
    if not is_open(request):
        return ask_pin(request, TABLETS)
    number = text_of(await request.post(), "number")
    if number in map(str, range(1, TABLETS_MAX + 1)):
        request.app[CAB].revoke(int(number))
    return web.Response(status=303, headers={"Location": TABLETS})


@screen_routes.post("/tablets/choose")
async def choose(request: web.Request) -> web.StreamResponse:
    """Choose the staff's number; who changes it must have given it."""
    same_origin(request)
    cab = request.app[CAB]
    if cab.pin.is_set and not is_open(request):
        return ask_pin(request, TABLETS)
    form = await request.post()
    pin = text_of(form, "pin")
    if not re.fullmatch(FORM, pin, re.ASCII):
        return show(request, "choose", "choose", said="tablet.pin-form")
    if pin != text_of(form, "again"):
        return show(request, "choose", "choose", said="tablet.pin-differs")
    await cab.choose_pin(pin)
    cab.pin.open(OWN_SCREEN)
    return web.Response(status=303, headers={"Location": TABLETS})


@screen_routes.get("/tablets/choose")
async def ask_choose(request: web.Request) -> web.Response:
    """Ask for another number."""
    if request.app[CAB].pin.is_set and not is_open(request):
        return ask_pin(request, TABLETS)
    return show(request, "choose", "choose")


@screen_routes.post("/tablets/offer")
async def offer(request: web.Request) -> web.StreamResponse:
    """Show a code that pairs one tablet."""
    same_origin(request)
    cab = request.app[CAB]
    if not is_open(request):
        return ask_pin(request, TABLETS)
    try:
        code = cab.tablets.offer()
    except NotPaired as error:
        return _devices(request, NOT_PAIRED[error.reason])
    address = f"http://{cab.config.tablet_host}:{cab.config.tablet_port}/pair/{code}"
    picture = Markup(segno.make(address, error="m").svg_inline(border=4, omitsize=True))  # noqa: S704
    minutes = int(OFFER_S // 60)
    return show(request, "offer", "offer", address=address, picture=picture, minutes=minutes)


@pair_routes.get("/pair/{code}")
async def ask_pair(request: web.Request) -> web.Response:
    """Ask whether this tablet is to be paired; looking at it uses nothing up."""
    code = request.match_info["code"]
    is_good = request.app[CAB].tablets.offers(code)
    return stranger(request, 200, code) if is_good else stranger(request, 403, said="code")


@pair_routes.post("/pair/{code}")
async def pair(request: web.Request) -> web.StreamResponse:
    """Pair this tablet."""
    same_origin(request)
    try:
        token = request.app[CAB].tablets.pair(request.match_info["code"])
    except NotPaired as error:
        return stranger(request, 403, said=error.reason)
    except OSError:
        return stranger(request, 503, said="unsaved")
    answer = web.Response(status=303, headers={"Location": "/tablet"})
    answer.set_cookie(COOKIE, token, max_age=COOKIE_S, httponly=True, samesite="Strict")
    return answer


def stranger(request: web.Request, status: int, code: str = "", said: str = "") -> web.Response:
    """Return the one page for a device that is not paired."""
    return render(request, "tablet_stranger.html", status, code=code, said=NOT_PAIRED.get(said, ""))


def _devices(request: web.Request, said: str = "") -> web.Response:
    cab = request.app[CAB]
    offers = device(request) == OWN_SCREEN and bool(cab.config.tablet_host)
    return show(
        request,
        "devices",
        "devices",
        paired=cab.tablets.paired,
        offers=offers,
        is_full=len(cab.tablets.paired) >= TABLETS_MAX,
        this=device(request),
        said=said,
    )
