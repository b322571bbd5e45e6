"""The operators' first screen: can riders tap, are entries safe, and what needs a person."""

import asyncio
from typing import Any, Final

from aiohttp import web

from fleet.attention import Answer, can_tap, entries_safe, tasks
from fleet.overview import Overview, read_overview
from fleet.readers import ReaderState
from fleet.web.charts import charts
from fleet.web.data import FLEET, reading
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render

KIND_OF_ANSWER: Final = {
    Answer.YES: "ok",
    Answer.PROBABLY: "warn",
    Answer.PARTLY: "warn",
    Answer.CHECK: "warn",
    Answer.NO: "bad",
}
"""Which shape and colour an answer has."""
KIND_OF_STATE: Final = {
    ReaderState.READY: "ok",
    ReaderState.NOT_READY: "bad",
    ReaderState.OFFLINE: "warn",
    ReaderState.NEVER: "off",
    ReaderState.REVOKED: "off",
}
routes = web.RouteTableDef()


async def _state(request: web.Request) -> dict[str, Any]:
    """Return all that the screen's live part shows."""
    now_ms = request.app[CLOCK].now_ms()
    overview = await asyncio.to_thread(reading(request.app[FLEET], read_overview), now_ms)
    return {
        "overview": overview,
        "answers": [("tap", can_tap(overview)), ("safe", entries_safe(overview))],
        "tasks": tasks(overview, now_ms),
        "states": list(ReaderState),
        "kind_of_answer": KIND_OF_ANSWER,
        "kind_of_state": KIND_OF_STATE,
    }


@routes.get("/")
async def show(request: web.Request) -> web.Response:
    """The whole page."""
    state = await _state(request)
    drawn = await charts(request)
    return await render(request, "first_screen.html", section="/", page="/", **state, **drawn)


@routes.get("/charts")
async def show_charts(request: web.Request) -> web.Response:
    """What all readers reported, drawn."""
    return await render(request, "_charts.html", page="/", **await charts(request))


@routes.get("/now")
async def now(request: web.Request) -> web.Response:
    """Its live part."""
    return await render(request, "_now.html", **await _state(request))


@routes.get("/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when the live part has changed."""
    clock, ask = request.app[CLOCK], reading(request.app[FLEET], read_overview)

    def read() -> Overview:
        return ask(clock.now_ms())

    return await stream(request, "first-screen", read)
