"""What time it is, and how far that may be trusted.

Time on the wire is UTC in whole milliseconds (`at_ms`). A reader has no battery behind its clock,
so every entry says in what state the clock was.
"""

import enum
import time
from typing import Protocol, runtime_checkable


class ClockState(enum.StrEnum):
    """How far a reader trusts its clock."""

    SYNCHRONISED = "synchronised"
    """Agreed with a signed time of the fleet since the agent started."""
    HOLDOVER = "holdover"
    """Plausible (not before the floor), but not checked since the start."""
    UNKNOWN = "unknown"
    """Before the floor (build date or last entry): certainly wrong."""


class Clock(Protocol):
    """The two clocks a process may look at; passed in, so that tests and the town set their own."""

    def now_ms(self) -> int:
        """UTC, ms since 1970; may jump."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an unspecified start; never jumps."""


@runtime_checkable
class Leaping(Protocol):
    """A clock that runs fast by leaping, such as a town's: its leaps are no jumps but its run."""

    @property
    def leap_ms(self) -> int:
        """How far it leaps at once."""

    def leapt_ms(self) -> int:
        """How far it has leapt in all."""


def patience_ms(clock: Clock) -> int:
    """Return UTC without a clock's leaps, ms: by it people's waiting is measured.

    For a clock that does not leap it is the time; in a town it is the same in every process, and a
    minute of it is a minute.
    """
    if not isinstance(clock, Leaping):
        return clock.now_ms()
    while True:
        leapt_ms, now_ms = clock.leapt_ms(), clock.now_ms()
        if clock.leapt_ms() == leapt_ms:  # else it leapt in between
            return now_ms - leapt_ms


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """See Clock."""
        return time.time_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        """See Clock."""
        return time.monotonic_ns()
