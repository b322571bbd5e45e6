"""How long people waited at the readers, and whether that meets the goal.

Pure. Upheld: who is asked to hold the card again is counted apart, for that sentence comes only
after the time that a card may take; the goal informs and never judges a demo.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from hw.sim.report import Sighting
from wire.codes import Code
from wire.messages import STAGES

ANSWERED: Final = "held → seen, answered"
AGAIN: Final = "held → seen, asked to hold again"
GOALS_P95_MS: Final = ((10.0, 120.0), (25.0, 200.0))
"""C1 of the design: a card's time per command, and the p95 that is promised up to it."""
GOAL_P99_MS: Final = 500.0


class Latency(NamedTuple):
    """How long one stage took, in ms."""

    stage: str
    times: int
    p50: float
    p95: float
    p99: float


def latencies(sightings: Sequence[Sighting]) -> list[Latency]:
    """The people's own waiting first, then the agents' stages of those answered, in their order."""
    again = [seen for seen in sightings if seen.code is Code.HOLD_AGAIN]
    answered = [seen for seen in sightings if seen.code is not Code.HOLD_AGAIN]
    found = [_latency(ANSWERED, _waited(answered)), _latency(AGAIN, _waited(again))]
    for stage in STAGES:
        times = [seen.stages_us[stage] / 1000 for seen in answered if stage in seen.stages_us]
        found.append(_latency(stage, times))
    return [latency for latency in found if latency.times]


def goal_lines(found: Sequence[Latency], card_ms: float) -> list[str]:
    """Return what to say of C1 for cards that think `card_ms` per command; for information.

    Stricter than C1: to the sentence on the page, and with the town's few slow cards.
    """
    answered = next((row for row in found if row.stage == ANSWERED), None)
    p95_ms = next((goal for most, goal in GOALS_P95_MS if card_ms <= most), None)
    if answered is None:
        return []
    if p95_ms is None:
        return [f"C1 states no goal for cards of {card_ms:g} ms per command"]
    pairs = (("p95", answered.p95, p95_ms), ("p99", answered.p99, GOAL_P99_MS))
    return [
        f"C1 at {card_ms:g} ms per command, as seen (slow cards included): {name} < {goal:g} ms "
        f"{'met' if value < goal else 'not met'} ({value:.1f} ms)"
        for name, value, goal in pairs
    ]


def _waited(sightings: Iterable[Sighting]) -> list[float]:
    return [seen.waited_ms for seen in sightings if seen.waited_ms is not None]


def _latency(stage: str, values_ms: Iterable[float]) -> Latency:
    values = sorted(values_ms)
    return Latency(stage, len(values), *(quantile(values, q) for q in (0.5, 0.95, 0.99)))


def quantile(values: Sequence[float], q: float) -> float:
    """Return the smallest of sorted `values` that a share `q` does not exceed; 0 without any."""
    return values[max(0, math.ceil(q * len(values)) - 1)] if values else 0.0
