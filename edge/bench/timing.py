"""Times of many presentations: quantiles, a histogram to look at, and a file to take away."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge.bench.observe import Observed
from wire.messages import STAGES

STEP_MS: Final = 2
"""Width of a histogram's bar."""
BAR_CHARACTERS_MAX: Final = 40
BARS_MAX: Final = 60
"""The last bar holds what is slower."""
KINDS: Final = ("technology", "kind")


class Spread(NamedTuple):
    """How long one stage took, in ms."""

    stage: str
    times: int
    p50: float
    p95: float
    p99: float
    most: float


def spreads(observed: Sequence[Observed]) -> list[Spread]:
    """Return the spread of each stage that was timed, in the order of wire.messages.STAGES."""
    found = []
    for stage in STAGES:
        values = sorted(one.times_us[stage] / 1000 for one in observed if stage in one.times_us)
        if values:
            p50, p95, p99 = (values[math.ceil(q * len(values)) - 1] for q in (0.5, 0.95, 0.99))
            found.append(Spread(stage, len(values), p50, p95, p99, values[-1]))
    return found


def histogram(observed: Iterable[Observed], stage: str) -> list[str]:
    """Return lines of text, one for each STEP_MS between the quickest and the slowest."""
    steps = [one.times_us[stage] // (1000 * STEP_MS) for one in observed if stage in one.times_us]
    if not steps:
        return []
    first = min(steps)
    counts = [0] * min(BARS_MAX, max(steps) - first + 1)
    for step in steps:
        counts[min(step - first, len(counts) - 1)] += 1
    return [
        f"{(first + at) * STEP_MS:5} ms  {_bar(count, max(counts))}  {count}"
        for at, count in enumerate(counts)
    ]


def _bar(count: int, most: int) -> str:
    return ("█" * math.ceil(BAR_CHARACTERS_MAX * count / most)).ljust(BAR_CHARACTERS_MAX)


def write(path: Path, observed: Sequence[Observed]) -> None:
    """Write every presentation's times in µs as CSV, or as JSON by the file's ending.

    Neither card nor identifier stands in it. Raises OSError.
    """
    rows = [{"technology": one.technology, "kind": one.kind, **one.times_us} for one in observed]
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*KINDS, *STAGES])
        writer.writeheader()
        writer.writerows(rows)
