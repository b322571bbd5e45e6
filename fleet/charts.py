"""What the console draws of telemetry: taps, decision time, readers online, what was dropped.

Pure judgement over `fleet.telemetry.TelemetryStore`, whichever back end it is; each chart's values
stand in one table, so a step is one row of it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet.telemetry import Online, Steps, Sums, TelemetryStore, last_days, last_hours
from fleet.telemetry_sql import read_losses
from wire.codes import Code

HOURS: Final = 24
DAYS: Final = 31
SPANS: Final = ("day", "month")
"""What may be asked for: a day by the hour, or a month by the day."""
DECISION: Final = "total"
"""The stage that people wait for: from the card in the field to the answer (wire.messages)."""
_ACCEPTED: Final = frozenset({f"tap.{Code.OK}", f"press.{Code.OK}"})
_REPEAT: Final = f"tap.{Code.REPEAT}"
_DESK: Final = f"tap.{Code.DESK}"
"""Held for a clerk: neither a ride nor a refusal."""
_DROPPED: Final = "telemetry.dropped"
"""A reader counts a minute under this name that it had to drop itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One hour or day. None: nothing was measured, or it was slower than the last bucket."""

    at_ms: int
    accepted: int
    refused: int
    repeats: int
    p50_us: float | None
    p95_us: float | None
    fewest: int | None
    most: int | None
    dropped_by_readers: int
    dropped_by_fleet: int


@dataclass(frozen=True, slots=True)
class Charts:
    """One stretch of time, oldest step first, and why the fleet dropped what it dropped."""

    by_day: bool
    steps: tuple[Step, ...]
    losses: tuple[tuple[str, int], ...]


def steps_of(span: str, now_ms: int) -> Steps:
    """Return the steps of one of SPANS, up to the last hour that is over."""
    return last_days(DAYS, now_ms) if span == "month" else last_hours(HOURS, now_ms)


def read_charts(
    connection: sa.Connection, store: TelemetryStore, span: str, reader: str | None, now_ms: int
) -> Charts:
    """Return what one reader, or all, reported. Raises TelemetryUnavailable.

    Which readers are online and what the fleet dropped is known of all together alone.
    """
    steps = steps_of(span, now_ms)
    sums = store.read(connection, steps, reader)
    online = store.online(connection, steps) if reader is None else {}
    lost = read_losses(connection, steps) if reader is None else {}
    reasons = sum(lost.values(), Counter[str]())
    return Charts(
        by_day=span == "month",
        steps=tuple(_step(at, sums, online, lost) for at in steps.starts),
        losses=tuple(sorted(reasons.items())),
    )


def _step(
    at_ms: int,
    sums: Mapping[int, Sums],
    online: Mapping[int, Online],
    lost: Mapping[int, Counter[str]],
) -> Step:
    here = sums.get(at_ms, Sums())
    taps = {name: n for name, n in here.counters.items() if name.startswith(("tap.", "press."))}
    taps.pop(_DESK, None)
    accepted = sum(n for name, n in taps.items() if name in _ACCEPTED)
    repeats = taps.get(_REPEAT, 0)
    timed = here.stages.get(DECISION)
    at_once = online.get(at_ms)
    return Step(
        at_ms=at_ms,
        accepted=accepted,
        refused=sum(taps.values()) - accepted - repeats,
        repeats=repeats,
        p50_us=timed.quantile_us(0.5) if timed else None,
        p95_us=timed.quantile_us(0.95) if timed else None,
        fewest=at_once.fewest if at_once else None,
        most=at_once.most if at_once else None,
        dropped_by_readers=here.counters.get(_DROPPED, 0),
        dropped_by_fleet=lost.get(at_ms, Counter[str]()).total(),
    )
