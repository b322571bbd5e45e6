"""The local page: `/` for whoever holds a card, `/driver` for a bus driver, `/tablet` in a taxi.

Rules: 127.0.0.1 alone, and only under that name (a foreign page cannot reach it by pointing its own
name here) · what changes something comes from the page itself · nothing is loaded from elsewhere ·
every page is complete without a script, which adds sound, light and haste · a press is confirmed
when it is durable, never before, and needs no free page · what a kind of place has no use for, such
as a driver's page at a school, is not there.
"""

import asyncio
import contextlib
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web import RequestPayloadError

from edge.board import Board, ConditionEvent, Event, ShownEvent, TooManyPages
from edge.config import Config
from edge.panel import DECLARED_FOR_S, UNREADABLE, Declared, Pressed, Vehicle
from edge.web.cab import CAB, Cab
from edge.web.guard import add_headers, guard, same_origin
from edge.web.pairing import device_routes, screen_routes
from edge.web.rendering import HERE, PAGES, environment, render
from edge.web.tablet import say_unsaved, tablet_routes
from edge.web.tablet_list import list_routes
from programmes.texts import say
from wire import door
from wire.codes import Outcome
from wire.individual_number import IndividualNumberRefused, refuse_individual_number
from wire.messages import Plain

HOST: Final = "127.0.0.1"
CONNECTIONS_MAX: Final = 64
"""Eight pages with six connections each, as browsers open them, and the vehicle's equipment."""
SHUTDOWN_S: Final = 1.0
BODY_BYTES_MAX: Final = 4096
"""Of any request: duty, stop and line."""
BODY_S: Final = 5.0
"""For it to arrive, from this same machine or vehicle."""
PRESS_PAUSE_S: Final = 1.0
"""A second press of the same button within this is a finger that trembled, not a second person."""
CONFIRM_S: Final = 3.0
"""For `tap` to keep a press: its worst disk sync is far below."""
PING_S: Final = 10.0
"""A stream says this often that it lives, so that a page notices a dead reader."""

BOARD: Final = web.AppKey("board", Board)
CONFIG: Final = web.AppKey("config", Config)
PRESSED_S: Final = web.AppKey("pressed_s", dict[str, float])

routes = web.RouteTableDef()
vehicle_routes = web.RouteTableDef()
direction_routes = web.RouteTableDef()
desk_routes = web.RouteTableDef()
KINDS: Final = {
    "bus": [vehicle_routes],
    "taxi": [vehicle_routes, tablet_routes, list_routes, device_routes, screen_routes],
    "school": [direction_routes],
    "desk": [desk_routes],
    "kiosk": [],
}
"""What is there beside `routes`, by the place's kind: who has a driver, who declares directions,
who can decline to hold a card for a clerk."""


class _VehicleForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    duty: Plain = ""
    stop: Plain = ""
    line: Plain = ""


def make_app(board: Board, config: Config, cab: Cab | None = None) -> web.Application:
    """Return the page of one reader; its only address is `page_port` of the configuration.

    `cab` is what it shares with a listener for tablets.
    """
    middlewares = [guard(config.page_port), say_unsaved]
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=middlewares)
    app[BOARD], app[CONFIG], app[PRESSED_S] = board, config, {}
    app[PAGES] = environment()
    if cab := cab or Cab.of(board, config):
        app[CAB] = cab
    app.on_response_prepare.append(add_headers)
    for table in (routes, *KINDS[config.place_kind]):
        app.add_routes(table)
    app.router.add_static("/static", HERE / "static")
    return app


async def serve(board: Board, config: Config, cab: Cab | None = None) -> None:
    """Serve the page until cancelled. Raises OSError when the port is taken."""
    runner = door.runner(make_app(board, config, cab), SHUTDOWN_S)
    await runner.setup()
    try:
        await door.Door(runner, HOST, config.page_port, CONNECTIONS_MAX).start()
        await asyncio.Event().wait()
    finally:
        board.close()
        await runner.cleanup()


def _page(request: web.Request, name: str) -> web.Response:
    board, config = request.app[BOARD], request.app[CONFIG]
    kind = KINDS[config.place_kind]
    directions = direction_routes in kind
    return render(
        request,
        name,
        board=board,
        state=board.state(),
        directions=directions,
        desk=desk_routes in kind,
        cab=request.app.get(CAB),
        idle="idle.school" if directions else "idle.bus",
        declared_for_s=DECLARED_FOR_S,
    )


@routes.get("/")
async def passenger(request: web.Request) -> web.Response:
    """The passenger's or the teacher's screen."""
    return _page(request, "passenger.html")


@vehicle_routes.get("/driver")
async def driver(request: web.Request) -> web.Response:
    """The driver's screen."""
    return _page(request, "driver.html")


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """For whoever supervises this reader: 503 when the card half is not there."""
    board = request.app[BOARD]
    state = {
        "tap": board.condition is not None,
        "ready": board.ready,
        "online": board.online,
        "waiting": board.waiting,
    }
    return web.json_response(state, status=200 if state["tap"] else 503)


@routes.get("/events")
async def events(request: web.Request) -> web.StreamResponse:
    """What happens, as server-sent events (HTML Living Standard, 9.2): `shown`, `condition`."""
    board = request.app[BOARD]
    try:
        page = board.subscribe()
    except TooManyPages as error:
        return _refuse(503, "too-many-pages", str(error))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        await response.prepare(request)
        await _write(response, board.state())
        while event := await _next(page):
            await _write(response, event)
    except ConnectionError:
        pass  # the page was closed
    finally:
        board.unsubscribe(page)
    return response


async def _next(page: asyncio.Queue[Event | None]) -> Event | str | None:
    try:
        async with asyncio.timeout(PING_S):
            return await page.get()
    except TimeoutError:
        return "ping"


async def _write(response: web.StreamResponse, event: Event | str) -> None:
    if isinstance(event, str):
        await response.write(f": {event}\n\n".encode())
        return
    name = {ShownEvent: "shown", ConditionEvent: "condition"}.get(type(event), "ride")
    await response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event)))


@vehicle_routes.post("/press/{button:present-only|device-fault}")
async def press(request: web.Request) -> web.StreamResponse:
    """Count one person who was let on without a tap; answers when the entry is on the disk.

    503 with the reason when `tap` refuses it, or says nothing.
    """
    same_origin(request)
    board, pressed_s = request.app[BOARD], request.app[PRESSED_S]
    button = request.match_info["button"]
    now_s = asyncio.get_running_loop().time()
    if now_s - pressed_s.get(button, -PRESS_PAUSE_S) < PRESS_PAUSE_S:
        return _sorry(429, "pressed-too-soon")
    pressed_s[button] = now_s
    with board.pressed(button) as answer, contextlib.suppress(TimeoutError):
        if board.say(Pressed(button=button)):  # type: ignore[arg-type]  # the route allows no other
            async with asyncio.timeout(CONFIRM_S):
                event = await answer
            if event.outcome is Outcome.ACCEPTED:
                return _done(request, "/driver", event)
            hints = {"hint": event.ja, "hint_en": event.en}
            return web.json_response({"error": event.code, **hints}, status=503)
    return _sorry(503, "no-answer")


@direction_routes.post("/declare/{direction:in|out}")
async def declare(request: web.Request) -> web.StreamResponse:
    """Choose the direction of the next tap."""
    same_origin(request)
    direction = request.match_info["direction"]
    if not request.app[BOARD].say(Declared(direction=direction)):  # type: ignore[arg-type]
        return _sorry(503, "no-answer")
    return _done(request, "/", {"direction": direction, "for_s": DECLARED_FOR_S})


@desk_routes.post("/desk/{request:[0-9a-f]{32}}/cancel")
async def decline(request: web.Request) -> web.StreamResponse:
    """Let the clerk who waits know that no card will be held."""
    same_origin(request)
    board, name = request.app[BOARD], request.match_info["request"]
    if not board.requests.cancel(name):
        return _sorry(503, "no-answer")
    return _done(request, "/", board.state())


@vehicle_routes.post("/vehicle")
async def vehicle(request: web.Request) -> web.StreamResponse:
    """Take in what the vehicle's equipment says: JSON of duty, stop and line."""
    same_origin(request, needed=False)
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
        form = msgspec.json.decode(body, type=_VehicleForm)
        for name in form.__struct_fields__:
            refuse_individual_number(name, getattr(form, name))
    except IndividualNumberRefused as error:
        return _refuse(422, "individual-number", str(error))
    except TimeoutError:
        return _refuse(408, "too-slow", f"a request has {BODY_S:.0f} s to arrive")
    except (ConnectionError, RequestPayloadError, BadHttpMessage) as error:
        return _refuse(400, "malformed", str(error))
    except UNREADABLE as error:
        return _refuse(422, "malformed", str(error))
    if not request.app[BOARD].say(Vehicle(duty=form.duty, stop=form.stop, line=form.line)):
        return _sorry(503, "no-answer")
    return web.Response(status=204)


def _done(request: web.Request, back: str, result: object) -> web.Response:
    """Answer a script with JSON, a bare form by going back to its page."""
    if "application/json" in request.headers.get("Accept", ""):
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")
    return web.Response(status=303, headers={"Location": back})


def _refuse(status: int, code: str, hint: str) -> web.Response:
    return web.json_response({"error": code, "hint": hint}, status=status)


def _sorry(status: int, code: str) -> web.Response:
    """Refuse with a sentence for people, in both languages."""
    hint, english = say(f"page.{code}"), say(f"page.{code}", "en")
    return web.json_response({"error": code, "hint": hint, "hint_en": english}, status=status)
