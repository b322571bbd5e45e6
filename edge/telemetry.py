"""What a minute of this reader was like, for whoever runs it: counts and histograms.

Rules: no person, no credential and no single tap · everything is bounded: names beyond the limit
are counted together, minutes that cannot be sent are dropped from the oldest, and how many were
dropped is told.
"""

import bisect
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from edge.panel import Shown
from wire.messages import HISTOGRAM_EDGES_US, STAGES, Histogram, Telemetry

EVERY_S: Final = 60.0
"""One message a minute: 1,440 a day and reader, of about 1 kB."""
COUNTERS_MAX: Final = 64
"""Names in one message (wire.messages.Telemetry)."""
OVERFLOW: Final = "telemetry.other"
"""Counts whatever had a name too many."""
DROPPED: Final = "telemetry.dropped"
QUEUE_MAX: Final = 120
"""Minutes kept while there is no connection: two hours tell what happened, 120 kB are no burden."""


@dataclass
class _Tally:
    counts: list[int] = field(default_factory=lambda: [0] * (len(HISTOGRAM_EDGES_US) + 1))
    sum_us: int = 0

    def add(self, us: int) -> None:
        self.counts[bisect.bisect_left(HISTOGRAM_EDGES_US, us)] += 1
        self.sum_us += us


@dataclass
class Meter:
    """Collects the present minute, and keeps the minutes that are not yet sent."""

    from_ms: int
    waiting: deque[Telemetry] = field(default_factory=deque)
    _stages: dict[str, _Tally] = field(default_factory=dict)
    _counters: Counter[str] = field(default_factory=Counter)

    def shown(self, shown: Shown) -> None:
        """Count one presentation or press, with how long its stages took."""
        kind = "tap" if shown.stages_us else "press"
        self.count(f"{kind}.{shown.code}")
        for stage, us in shown.stages_us.items():
            if stage in STAGES:
                self._stages.setdefault(stage, _Tally()).add(max(0, us))

    def count(self, name: str, times: int = 1) -> None:
        """Count something that happened; a name has at most 40 characters."""
        room = len(self._counters) < COUNTERS_MAX - 2  # beside OVERFLOW and DROPPED
        known = name in self._counters or name in (OVERFLOW, DROPPED)
        self._counters[name if known or room else OVERFLOW] += times

    def cut(self, now_ms: int) -> None:
        """End the present minute; the oldest one gives way when too many wait."""
        stages = {
            name: Histogram(counts=tally.counts, sum_us=tally.sum_us)
            for name, tally in self._stages.items()
        }
        counters = dict(self._counters)
        self._stages, self._counters = {}, Counter()
        self.waiting.append(
            Telemetry(v=1, from_ms=self.from_ms, to_ms=now_ms, stages=stages, counters=counters)
        )
        self.from_ms = now_ms
        if len(self.waiting) > QUEUE_MAX:
            self.waiting.popleft()
            self.count(DROPPED)
