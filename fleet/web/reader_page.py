"""The page of one reader: how it is, what it holds, how quick it is, what is missing."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet.attention import tasks_of_reader
from fleet.overview import Alarm, Gap, Minute, read_alarms, read_gaps, read_minutes
from fleet.readers import ReaderRow, find_reader
from fleet.schema import journal
from fleet.telemetry import BUCKETS, Tally
from fleet.timings import Record, Timings, read_record, timings
from fleet.web.charts import charts, recent
from fleet.web.data import FLEET, reading
from fleet.web.first_screen import KIND_OF_STATE
from fleet.web.live import stream
from fleet.web.pages import CLOCK, render
from fleet.web.words import milliseconds
from wire.messages import HISTOGRAM_EDGES_US

GAPS_SHOWN: Final = 100
"""Of one reader, the open ones first."""
QUANTILES: Final = (0.5, 0.95, 0.99)
TENANT: Final = web.AppKey("tenant", str)
routes = web.RouteTableDef()

Found = tuple[ReaderRow, Record, tuple[Gap, ...], tuple[Alarm, ...], tuple[Minute, ...]]


def read_reader(connection: sa.Connection, name: str, now_ms: int) -> Found | None:
    """Return all that the page shows, None when there is no such reader."""
    row = find_reader(connection, name, now_ms)
    if row is None:
        return None
    return (
        row,
        read_record(connection, name),
        read_gaps(connection, journal.c.reader == name, limit=GAPS_SHOWN, closed=True),
        read_alarms(connection, name),
        read_minutes(connection, now_ms, name),
    )


def _ask(request: web.Request) -> Callable[[], Found | None]:
    name = f"{request.app[TENANT]}/{request.match_info['name']}"
    clock, ask = request.app[CLOCK], reading(request.app[FLEET], read_reader)
    return lambda: ask(name, clock.now_ms())


async def _state(request: web.Request) -> dict[str, Any]:
    found = await asyncio.to_thread(_ask(request))
    if found is None:
        raise web.HTTPNotFound
    row, record, gaps, alarms, minutes = found
    present = [one for one in record.journals if one.journal == row.journal]
    return {
        "row": row,
        "record": record,
        "gaps": gaps,
        "minutes": minutes,
        "sounding": {alarm.kind for alarm in alarms},
        "tip_n": max([row.n, *(one.claimed for one in present)]),
        "mark_n": max((one.through for one in present), default=0),
        "tasks": tasks_of_reader(row, gaps, alarms, request.app[CLOCK].now_ms()),
        "kind_of_state": KIND_OF_STATE,
    }


async def _measured(request: web.Request, row: ReaderRow) -> dict[str, Any]:
    """Return what the reader reported, beside the live part; all empty when nothing can be read."""
    found = await recent(request, row)
    measured = timings(found) if found else None
    return {
        "row": row,
        "measured": measured,
        "timings": [_timing(*stage) for stage in measured.stages] if measured else [],
        "buckets": _buckets(measured) if measured else [],
        "page": f"/readers/{row.short}",
        **await charts(request, row.name),
    }


def _timing(name: str, tally: Tally) -> tuple[str, int, float, list[float | None]]:
    """Return a stage's name, count, mean and p50, p95, p99 in µs."""
    mean_us = tally.sum_us / tally.count if tally.count else 0.0
    return name, tally.count, mean_us, [tally.quantile_us(share) for share in QUANTILES]


def _buckets(measured: Timings) -> list[tuple[str, list[int]]]:
    """Return the histograms as one table: a row a bucket, a column a stage; empty ends cut off."""
    labels = [f"{milliseconds(edge)} ms" for edge in HISTOGRAM_EDGES_US]
    labels.append(f"> {labels[-1]}")
    rows = [
        (labels[index], [tally.counts[index] for _, tally in measured.stages])
        for index in range(BUCKETS)
    ]
    used = [index for index, (_, counts) in enumerate(rows) if any(counts)]
    return rows[used[0] : used[-1] + 1] if used else []


@routes.get("/readers/{name}")
async def show(request: web.Request) -> web.Response:
    """The whole page."""
    state = await _state(request)
    measured = await _measured(request, state["row"])
    return await render(request, "reader.html", section="/readers", **state | measured)


@routes.get("/readers/{name}/now")
async def now(request: web.Request) -> web.Response:
    """Its live part."""
    return await render(request, "_reader.html", **await _state(request))


@routes.get("/readers/{name}/charts")
async def show_charts(request: web.Request) -> web.Response:
    """What it reported, drawn."""
    row = (await _state(request))["row"]
    return await render(request, "_measured.html", **await _measured(request, row))


@routes.get("/readers/{name}/live")
async def live(request: web.Request) -> web.StreamResponse:
    """Say when the live part has changed."""
    ask = _ask(request)
    if await asyncio.to_thread(ask) is None:
        raise web.HTTPNotFound
    return await stream(request, request.path, ask)
