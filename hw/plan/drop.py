"""What 5 V lose in the wires between the capacitor supply and the Pi, there and back."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator

from hw.plan.build import Build

WAYS = (("S1.5V OUT", "P1.USB-C 5V"), ("S1.GND OUT", "P1.GND"))
NET = "V5_PI"
"""Its largest current is what flows."""


def drop_v(build: Build) -> float:
    """Return volts at the largest current; infinite where no wires lead to the Pi."""
    milliohm = sum(_milliohm(build, start, end) for start, end in WAYS)
    return build.nets[NET].amps_max * milliohm / 1000 if NET in build.nets else 0.0


def _milliohm(build: Build, start: str, end: str) -> float:
    """Return the least resistance between two pins over wires and through connectors (Dijkstra)."""
    steps = _steps(build)
    done: set[str] = set()
    waiting = [(0.0, start)]
    while waiting:
        so_far, pin = heapq.heappop(waiting)
        if pin == end:
            return so_far
        if pin not in done:
            done.add(pin)
            for other, more in steps[pin]:
                heapq.heappush(waiting, (so_far + more, other))
    return float("inf")


def _steps(build: Build) -> dict[str, list[tuple[str, float]]]:
    steps: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for wire in build.wires:
        kind = build.kinds.get(wire.type)
        if kind:
            resists = kind.milliohm_per_m * wire.length_m
            steps[wire.start].append((wire.end, resists))
            steps[wire.end].append((wire.start, resists))
    for pin, other in _inside(build):
        steps[pin].append((other, 0.0))
    return steps


def _inside(build: Build) -> Iterator[tuple[str, str]]:
    """Yield pins of one part between which nothing resists: one inside, or joined by it."""
    for group in build.ones():
        yield from ((pin, other) for pin in group for other in group)
    for pin in build.pins:
        yield from ((pin, other) for other in build.through(pin))
