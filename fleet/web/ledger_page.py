"""The ledger's page: what is missing, what contradicts, what was proven, how far behind it is.

Each part says what it means and what to do; what changes at any moment is live, what is counted
through whole tables is loaded again each minute.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

from fleet.lag import KEPT_MS, Figure
from fleet.ledger_state import Past, Present, read_past, read_present
from fleet.web.data import FLEET, reading
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render

KIND_OF_VERDICT: Final = {"proven": "ok", "exceptions": "warn", "broken": "bad"}
"""Which shape and colour an audit's result has."""
LAG_FRESH_MS: Final = 3 * 60_000
"""Figures are written at least once a minute; after three their process is gone or stuck."""
SLOW: Final = {
    Figure.DATABASE_COMMIT_US: 100_000,
    Figure.DATABASE_OLDEST_MS: 30_000,
    Figure.BROKER_ROUND_TRIP_US: 100_000,
    Figure.BROKER_DROPPED: 0,
    Figure.INGEST_COMMIT_P99_US: 1_000_000,
    Figure.INGEST_OLDEST_MS: 2_000,
    Figure.INGEST_ANSWER_P99_US: 1_000_000,
}
"""Above this a figure is shown as a warning: five times what a busy fleet needs, or more."""
routes = web.RouteTableDef()


async def _present(request: web.Request) -> dict[str, Any]:
    present: Present = await asyncio.to_thread(reading(request.app[FLEET], read_present))
    now_ms = request.app[CLOCK].now_ms()
    return {
        "present": present,
        "lag": [
            (one, _unit(one.name), one.value > SLOW.get(Figure(one.name), one.value))
            for one in present.lag
            if one.name in set(Figure) and now_ms - one.at_ms < KEPT_MS
        ],
        "lag_fresh_ms": LAG_FRESH_MS,
        "kind_of_verdict": KIND_OF_VERDICT,
    }


def _unit(name: str) -> str:
    """Return the unit that ends a figure's name: us, ms, or nothing."""
    unit = name.rpartition("_")[2]
    return unit if unit in ("us", "ms") else ""


async def _past(request: web.Request) -> dict[str, Any]:
    past: Past = await asyncio.to_thread(reading(request.app[FLEET], read_past))
    return {"past": past}


@routes.get("/ledger")
async def show(request: web.Request) -> web.Response:
    """The whole page."""
    state = await _present(request) | await _past(request)
    return await render(request, "ledger.html", section="/ledger", **state)


@routes.get("/ledger/now")
async def now(request: web.Request) -> web.Response:
    """Its live part."""
    return await render(request, "_ledger.html", **await _present(request))


@routes.get("/ledger/past")
async def past(request: web.Request) -> web.Response:
    """What changes slowly."""
    return await render(request, "_ledger_past.html", **await _past(request))


@routes.get("/ledger/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when the live part has changed."""
    return await stream(request, "ledger", reading(request.app[FLEET], read_present))
