"""A journal for tests: begun, written and read back."""

import time
from collections.abc import Callable
from pathlib import Path

from edge.clock import Stamp
from edge.journal import Follower, Kept, journals
from edge.journal_writer import Journal
from wire.clock import ClockState
from wire.entries import ClockStep

READER = "kazasu-shi/bus-1"
HOUR_MS = 3_600_000


def now() -> Stamp:
    return Stamp(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000, ClockState.HOLDOVER)


def step(number: int) -> ClockStep:
    return ClockStep(v=1, n=1, step_ms=number, **now()._asdict())


def begin(folder: Path, stamp: Callable[[], Stamp] = now) -> Journal:
    return Journal(folder, READER, boot="boot", agent="0", now=stamp)


def read_all(folder: Path) -> list[list[Kept]]:
    read = []
    for file in journals(folder):
        with Follower(file, READER) as follower:
            read.append(list(follower))
    return read
