"""What time it is for this reader, and how far it may be trusted (wire.clock.ClockState).

Upheld: before the fleet has said the time, a clock that stands before the floor is certainly
wrong, and the reader counts on from the floor instead · what the fleet says, signed, wins over
all, and from then on the machine's clock may jump as it likes · each jump of the reader's time is
an entry in the journal (`ClockStep`) between the last entry before it and the first one after it.
"""

from pathlib import Path
from typing import Final, NamedTuple

from wire.clock import Clock, ClockState, Leaping

BUILD_MS: Final = 1_774_969_200_000
"""2026-04-01 00:00 in Japan: no reader ran this program before; moved on with each release."""
STEP_MS_MIN: Final = 2_000
"""A signed time is up to half a round trip old (2 s at most): a smaller difference is no jump."""
LEAPS_ON_THE_WAY: Final = 2
"""Of a clock that leaps each second: what was said up to 2 s ago stands so many leaps before."""


class Stamp(NamedTuple):
    """When something happened, by both clocks of the reader (see wire.entries)."""

    at_ms: int
    mono_ms: int
    clock: ClockState


def clock_state(synchronised: bool, machine_ms: int, floor_ms: int) -> ClockState:
    """Return how far a clock may be trusted that shows `machine_ms`."""
    if synchronised:
        return ClockState.SYNCHRONISED
    return ClockState.UNKNOWN if machine_ms < floor_ms else ClockState.HOLDOVER


class ReaderClock:
    """The reader's time; `last_entry_ms` is the time of the journal's last entry, 0 without.

    It runs as the monotonic clock does and jumps only in `take_fleet_time` and `take_machine_time`,
    which say so: between two of these calls no stamp can be from before and after a jump.
    """

    def __init__(self, clock: Clock, last_entry_ms: int) -> None:
        self._clock = clock
        self._floor_ms = max(BUILD_MS, last_entry_ms)
        leap_ms = clock.leap_ms if isinstance(clock, Leaping) else 0
        self._step_ms_min = STEP_MS_MIN + LEAPS_ON_THE_WAY * leap_ms
        self._floor_offset_ms = self._floor_ms - self._run_ms()
        self._synchronised = False
        self._offset_ms = self._measure()

    @property
    def state(self) -> ClockState:
        """How far the time may be trusted at this moment."""
        return clock_state(self._synchronised, self._clock.now_ms(), self._floor_ms)

    def machine_is_plausible(self) -> bool:
        """False while the machine's own clock, which TLS goes by, is certainly wrong."""
        return self._clock.now_ms() >= self._floor_ms

    def now_ms(self) -> int:
        """UTC, ms since 1970; with an unknown clock the floor and the time since the start."""
        return self._run_ms() + self._offset_ms

    def patience_ms(self) -> int:
        """See wire.clock.patience_ms."""
        return self._clock.monotonic_ns() // 1_000_000 + self._offset_ms

    def monotonic_ns(self) -> int:
        """See wire.clock.Clock."""
        return self._clock.monotonic_ns()

    def stamp(self) -> Stamp:
        """Return this moment as entries carry it."""
        mono_ms = self._clock.monotonic_ns() // 1_000_000
        return Stamp(self.now_ms(), mono_ms, self.state)

    def take_fleet_time(self, fleet_ms: int) -> int | None:
        """Agree with the fleet's signed time; return the jump in ms, None when there was none.

        From here on the machine's clock is not looked at: who sets it changes nothing.
        """
        self._synchronised = True
        return self._jump(fleet_ms - self.now_ms())

    def take_machine_time(self) -> int | None:
        """See whether the machine was set right (or wrong) meanwhile; return the jump in ms."""
        if self._synchronised:
            return None
        drift_ms = self._measure() - self._offset_ms
        jump_ms = self._jump(drift_ms)
        if jump_ms is None:
            self._offset_ms += drift_ms  # a machine that is being set right gently
        return jump_ms

    def _jump(self, step_ms: int) -> int | None:
        if abs(step_ms) <= self._step_ms_min:
            return None
        self._offset_ms += step_ms
        return step_ms

    def _measure(self) -> int:
        """Return how far the time stands before the monotonic one, while nobody has told."""
        if self.state is ClockState.UNKNOWN:
            return self._floor_offset_ms
        while True:
            run_ms, machine_ms = self._run_ms(), self._clock.now_ms()
            if self._run_ms() - run_ms < STEP_MS_MIN:  # else it leapt in between
                return machine_ms - run_ms

    def _run_ms(self) -> int:
        leapt_ms = self._clock.leapt_ms() if isinstance(self._clock, Leaping) else 0
        return self._clock.monotonic_ns() // 1_000_000 + leapt_ms


def boot_id() -> str:
    """Return the kernel's random id of this boot (random(4)): monotonic time is counted from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
