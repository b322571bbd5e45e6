"""What time it is for this reader, and how far it may be trusted (wire.clock.ClockState).

Upheld: before the fleet has said the time, a clock that stands before the floor is certainly
wrong, and the reader counts on from the floor instead · what the fleet says, signed, wins over
all · each jump of the reader's time is an entry in the journal (`ClockStep`).
"""

from typing import Final, NamedTuple

from wire.clock import Clock, ClockState

BUILD_MS: Final = 1_774_969_200_000
"""2026-04-01 00:00 in Japan: no reader ran this program before; moved on with each release."""
STEP_MS_MIN: Final = 2_000
"""A signed time is up to half a round trip old (2 s at most): a smaller difference is no jump."""


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
    """The reader's time; `last_entry_ms` is the time of the journal's last entry, 0 without."""

    def __init__(self, clock: Clock, last_entry_ms: int) -> None:
        self._clock = clock
        self._floor_ms = max(BUILD_MS, last_entry_ms)
        self._started_ns = clock.monotonic_ns()
        self._offset_ms = 0
        self._synchronised = False
        self._state = self.state

    @property
    def state(self) -> ClockState:
        """How far the time may be trusted at this moment."""
        return clock_state(self._synchronised, self._clock.now_ms(), self._floor_ms)

    def now_ms(self) -> int:
        """UTC, ms since 1970; with an unknown clock the floor and the time since the start."""
        return self._in_state(self.state)

    def stamp(self) -> Stamp:
        """Return this moment as entries carry it."""
        mono_ms = self._clock.monotonic_ns() // 1_000_000
        return Stamp(self.now_ms(), mono_ms, self.state)

    def take_fleet_time(self, fleet_ms: int) -> int | None:
        """Agree with the fleet's signed time; return the jump in ms, None when there was none."""
        step_ms = fleet_ms - self.now_ms()
        if not self._synchronised and self.state is ClockState.UNKNOWN:
            self._offset_ms = self.now_ms() - self._clock.now_ms()
        self._synchronised, self._state = True, ClockState.SYNCHRONISED
        if abs(step_ms) <= STEP_MS_MIN:
            return None
        self._offset_ms += step_ms
        return step_ms

    def take_machine_time(self) -> int | None:
        """See whether the machine was set right (or wrong) meanwhile; return the jump in ms."""
        former, self._state = self._state, self.state
        if former is self._state:
            return None
        return self._in_state(self._state) - self._in_state(former)

    def _in_state(self, state: ClockState) -> int:
        if state is ClockState.UNKNOWN:
            since_ns = self._clock.monotonic_ns() - self._started_ns
            return self._floor_ms + since_ns // 1_000_000
        return self._clock.now_ms() + self._offset_ms
