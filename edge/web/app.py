"""The local page: `/` for whoever holds a card, `/driver` for a bus driver, `/tablet` in a taxi.

Rules: 127.0.0.1 alone, and only under that name (a foreign page cannot reach it by pointing its own
name here) · what changes something comes from the page itself · nothing is loaded from elsewhere ·
every page is complete without a script, which adds sound, light and haste · a press is confirmed
when it is durable, never before, and needs no free page · what a kind of place has no use for, such
as a driver's page at a school, is not there.
"""

import asyncio
import contextlib
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web import RequestPayloadError

from edge.board import Board, ConditionEvent, Event, GateEvent, ShownEvent, TooManyPages
from edge.config import Config
from edge.panel import UNREADABLE, Pressed, Vehicle
from edge.web import gate
from edge.web.answers import BOARD, done, refuse, sorry
from edge.web.cab import CAB, Cab
from edge.web.guard import add_headers, guard, same_origin
from edge.web.pairing import device_routes, screen_routes
from edge.web.rendering import HERE, PAGES, environment, render
from edge.web.tablet import say_unsaved, tablet_routes
from edge.web.tablet_list import list_routes
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

CONFIG: Final = web.AppKey("config", Config)
PRESSED_S: Final = web.AppKey("pressed_s", dict[str, float])

NAMES: Final = {ShownEvent: "shown", ConditionEvent: "condition", GateEvent: "gate"}
"""Of events in the stream; what is none of these is a taxi's."""

routes = web.RouteTableDef()
vehicle_routes = web.RouteTableDef()
desk_routes = web.RouteTableDef()
KINDS: Final = {
    "bus": [vehicle_routes],
    "taxi": [vehicle_routes, tablet_routes, list_routes, device_routes, screen_routes],
    "school": [gate.gate_routes],
    "desk": [desk_routes],
    "kiosk": [],
}
"""What is there beside `routes`, by the place's kind: who has a driver, where people come and go,
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


def _page(request: web.Request, name: str, idle: str, **values: Any) -> web.Response:
    board, kind = request.app[BOARD], KINDS[request.app[CONFIG].place_kind]
    common: dict[str, Any] = {
        "board": board,
        "state": board.state(),
        "idle": idle,
        "cab": request.app.get(CAB),
    }
    return render(request, name, desk=desk_routes in kind, **common | values)


@routes.get("/")
async def passenger(request: web.Request) -> web.Response:
    """The passenger's screen, or a school's gate."""
    if gate.gate_routes in KINDS[request.app[CONFIG].place_kind]:
        return _page(request, "gate.html", "idle.school", **gate.values(request))
    return _page(request, "passenger.html", "idle.bus")


@vehicle_routes.get("/driver")
async def driver(request: web.Request) -> web.Response:
    """The driver's screen."""
    return _page(request, "driver.html", "idle.bus")


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
    """What happens, as server-sent events (HTML Living Standard, 9.2), by NAMES."""
    board = request.app[BOARD]
    try:
        page = board.subscribe()
    except TooManyPages as error:
        return refuse(503, "too-many-pages", str(error))
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
    name = NAMES.get(type(event), "ride")
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
        return sorry(429, "pressed-too-soon")
    pressed_s[button] = now_s
    with board.pressed(button) as answer, contextlib.suppress(TimeoutError):
        if board.say(Pressed(button=button)):  # type: ignore[arg-type]  # the route allows no other
            async with asyncio.timeout(CONFIRM_S):
                event = await answer
            if event.outcome is Outcome.ACCEPTED:
                return done(request, "/driver", event)
            hints = {"hint": event.ja, "hint_en": event.en}
            return web.json_response({"error": event.code, **hints}, status=503)
    return sorry(503, "no-answer")


@desk_routes.post("/desk/{request:[0-9a-f]{32}}/cancel")
async def decline(request: web.Request) -> web.StreamResponse:
    """Let the clerk who waits know that no card will be held."""
    same_origin(request)
    board, name = request.app[BOARD], request.match_info["request"]
    if not board.requests.cancel(name):
        return sorry(503, "no-answer")
    return done(request, "/", board.state())


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
        return refuse(422, "individual-number", str(error))
    except TimeoutError:
        return refuse(408, "too-slow", f"a request has {BODY_S:.0f} s to arrive")
    except (ConnectionError, RequestPayloadError, BadHttpMessage) as error:
        return refuse(400, "malformed", str(error))
    except UNREADABLE as error:
        return refuse(422, "malformed", str(error))
    if not request.app[BOARD].say(Vehicle(duty=form.duty, stop=form.stop, line=form.line)):
        return sorry(503, "no-answer")
    return web.Response(status=204)
