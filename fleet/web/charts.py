"""The parts of pages that are drawn from telemetry: they load beside the live part, not in it.

A telemetry server may be slow or away: what it said is kept for a while, also that it said
nothing, so that however many pages are open it is asked a few times a minute; and the rest of a
page never waits for it twice.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet.charts import SPANS, Charts, read_charts
from fleet.readers import ReaderRow
from fleet.store import Store
from fleet.telemetry import Recent, TelemetryStore, TelemetryUnavailable
from fleet.web.pages import CLOCK

KEPT_S: Final = 20.0
"""How long an answer is shown again; what is drawn changes once an hour."""
ANSWERS_MAX: Final = 500
"""Answers kept, about 5 kB each: more pages than listeners that are allowed."""
T = TypeVar("T")
log: Final = structlog.get_logger("fleet.console")


class Telemetry:
    """The telemetry store of one process, and its last answers."""

    def __init__(self, store: TelemetryStore, fleet: Store) -> None:
        self.store: Final = store
        self._fleet = fleet
        self._answers: dict[tuple[str, ...], tuple[float, object]] = {}
        self._asking = asyncio.Lock()
        self._away_until = 0.0

    async def ask(self, key: tuple[str, ...], ask: Callable[[sa.Connection], T]) -> T | None:
        """Return an answer of at most KEPT_S ago; None when the store does not answer."""
        async with self._asking:
            now = time.monotonic()
            if now < self._away_until:
                return None
            if key not in self._answers or self._answers[key][0] < now:
                answer = await asyncio.to_thread(self._read, ask)
                if len(self._answers) >= ANSWERS_MAX:
                    self._answers.clear()
                self._answers[key] = time.monotonic() + KEPT_S, answer
            found: Any = self._answers[key][1]
            return found  # type: ignore[no-any-return]

    def _read(self, ask: Callable[[sa.Connection], T]) -> T | None:
        try:
            with self._fleet.read() as connection:
                return ask(connection)
        except TelemetryUnavailable as error:
            self._away_until = time.monotonic() + KEPT_S
            log.warning("telemetry cannot be read", error=str(error))
            return None


TELEMETRY: Final = web.AppKey("telemetry", Telemetry)


def span_of(request: web.Request) -> str:
    """Return the stretch of time that the address asks for."""
    asked = request.query.get("span", "")
    return asked if asked in SPANS else SPANS[0]


async def charts(request: web.Request, reader: str | None = None) -> dict[str, Any]:
    """Return what `_charts.html` shows, of one reader or of all."""
    telemetry, span, now_ms = request.app[TELEMETRY], span_of(request), request.app[CLOCK].now_ms()

    def ask(connection: sa.Connection) -> Charts:
        return read_charts(connection, telemetry.store, span, reader, now_ms)

    found = await telemetry.ask(("charts", span, reader or "", str(now_ms // 60_000)), ask)
    return {"charts": found, "span_shown": span, "spans": SPANS}


async def recent(request: web.Request, row: ReaderRow) -> Recent | None:
    """Return a reader's last reports; None when the store does not answer."""
    telemetry, now_ms = request.app[TELEMETRY], request.app[CLOCK].now_ms()

    def ask(connection: sa.Connection) -> Recent:
        return telemetry.store.recent(connection, row.name, row.by_hour, now_ms)

    return await telemetry.ask(("recent", row.name, str(now_ms // 60_000)), ask)
