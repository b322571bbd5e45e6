"""The listener for tablets, on the vehicle's own Wi-Fi.

Rules: under its own name alone · who is not paired gets one page that says how to be · what a
paired tablet may do is the driver's pages, not the reader's own (`/`, pairing, the vehicle).
"""

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from edge.web.answers import BOARD
from edge.web.app import BODY_BYTES_MAX, SHUTDOWN_S, events
from edge.web.cab import CAB, DEVICE, Cab
from edge.web.guard import add_headers, guard
from edge.web.pairing import COOKIE, device_routes, pair_routes, stranger
from edge.web.rendering import HERE, PAGES, environment
from edge.web.tablet import HOME, say_unsaved, tablet_routes
from edge.web.tablet_list import list_routes
from wire import door

CONNECTIONS_MAX: Final = 32
"""Four tablets with six connections each, as browsers open them, and one that is to be paired."""
FREE: Final = ("/pair/", "/static/")
"""For devices that are not paired."""


def make_tablet_app(cab: Cab) -> web.Application:
    """Return the pages for tablets; their only address is `tablet_host` and `tablet_port`."""
    config = cab.config
    app = web.Application(
        client_max_size=BODY_BYTES_MAX,
        middlewares=[guard(config.tablet_port, config.tablet_host), _paired_alone, say_unsaved],
    )
    app[CAB], app[BOARD], app[PAGES] = cab, cab.board, environment()
    app.on_response_prepare.append(add_headers)
    for table in (tablet_routes, list_routes, device_routes, pair_routes):
        app.add_routes(table)
    app.router.add_get("/", _home)
    app.router.add_get("/events", events)
    app.router.add_static("/static", HERE / "static")
    return app


async def serve_tablets(cab: Cab) -> None:
    """Serve tablets until cancelled. Raises OSError when the address cannot be had."""
    runner = door.runner(make_tablet_app(cab), SHUTDOWN_S)
    await runner.setup()
    try:
        address = cab.config.tablet_host, cab.config.tablet_port
        await door.Door(runner, *address, CONNECTIONS_MAX).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _paired_alone(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(FREE):
        return await handler(request)
    paired = request.app[CAB].tablets.known(request.cookies.get(COOKIE, ""))
    if paired is None:
        return stranger(request, 403)
    request[DEVICE] = paired.number
    return await handler(request)


async def _home(_request: web.Request) -> web.Response:
    return web.Response(status=303, headers={"Location": HOME})
