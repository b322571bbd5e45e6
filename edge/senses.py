"""What the reader head senses, made into what the agent acts on: counts, and the end of a journey.

Upheld: each thing that operators can act upon is counted when it begins, and kept until somebody
hears it · a stalled engine ends nothing; a vehicle whose ignition stays off does, and only a
vehicle's · pure: what is sensed comes in with the time.
"""

from collections.abc import Callable, Iterator
from typing import Final

from wire.headlink import FAULTS

IN_VEHICLES: Final = frozenset({"bus", "taxi"})
"""Kinds of places that have an ignition and a battery."""
LEAVE_MS: Final = 3_000
"""From «ignition off», which the head believes after 3 s, to an orderly stop: who stalls turns the
key again at once. Where the ignition is the only supply, the capacitor's 10 s leave 4 to end."""
UNWIRED_MV: Final = 1_000
EMPTY_MV: Final = ((UNWIRED_MV, 11_000), (17_000, 22_000))
"""From and below: a lead-acid battery of 12 V and one of 24 V with nothing left for the starter;
no alternator of a 12 V system gives 17 V."""


class Senses:
    """Takes in what SENSE answers. `in_vehicle`: ignition and battery mean something here."""

    def __init__(self, *, in_vehicle: bool) -> None:
        self._in_vehicle = in_vehicle
        self._present: frozenset[str] = frozenset()
        self._uncounted: set[str] = set()
        self._off_since_ns: int | None = None

    def take(
        self, now_ns: int, ignition: int, opened: int, _tenths: int, mv: int, faults: int
    ) -> None:
        """Take in SENSE's values (see wire.headlink)."""
        present = frozenset(self._names(opened, mv, faults))
        self._uncounted |= present - self._present
        self._present = present
        if ignition or not self._in_vehicle:
            self._off_since_ns = None
        elif self._off_since_ns is None:
            self._off_since_ns = now_ns

    def leaves(self, now_ns: int) -> bool:
        """True when the journey is over: stop, and let the machine be switched off."""
        since_ns = self._off_since_ns
        return since_ns is not None and now_ns - since_ns >= LEAVE_MS * 1_000_000

    def tell(self, counted: Callable[[str], None]) -> None:
        """Count what began since the last time."""
        while self._uncounted:
            counted(self._uncounted.pop())

    def _names(self, opened: int, mv: int, faults: int) -> Iterator[str]:
        if opened:
            yield "head.opened"
        if self._in_vehicle and any(low <= mv < high for low, high in EMPTY_MV):
            yield "head.supply-low"
        yield from (f"head.{name}" for bit, name in enumerate(FAULTS) if faults >> bit & 1)
