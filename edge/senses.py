"""What the reader head senses, made into what the agent acts on: counts, and the end of its supply.

Upheld: each thing that operators can act upon is counted when it begins, and kept until somebody
hears it · a stalled engine ends nothing, nor does a flicker of the mains; an ignition that stays
off does, where something is wired to it · pure: what is sensed comes in with the time.
"""

from collections.abc import Callable, Iterator
from typing import Final

from wire.headlink import FAULTS

WIRED: Final = frozenset({"bus", "taxi", "school"})
"""Kinds of places with a harness (hw/data): the ignition's wire says that the supply stays, which
in a school are the mains."""
IN_VEHICLES: Final = frozenset({"bus", "taxi"})
"""Kinds of places that have a battery."""
LEAVE_MS: Final = 3_000
"""From «ignition off», which the head believes after 3 s, to an orderly stop: who stalls turns the
key again at once, and most failures of mains are shorter. Where the ignition is the only supply,
the capacitor carries 20 s (hw/data/power.toml), of which the machine's end takes 10."""
UNWIRED_MV: Final = 1_000
EMPTY_MV: Final = ((UNWIRED_MV, 11_000), (17_000, 22_000))
"""From and below: a lead-acid battery of 12 V and one of 24 V with nothing left for the starter;
no alternator of a 12 V system gives 17 V."""


class Senses:
    """Takes in what SENSE answers, in a place of this kind (see edge.config)."""

    def __init__(self, place_kind: str) -> None:
        self._wired = place_kind in WIRED
        self._has_battery = place_kind in IN_VEHICLES
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
        if ignition or not self._wired:
            self._off_since_ns = None
        elif self._off_since_ns is None:
            self._off_since_ns = now_ns

    def leaves(self, now_ns: int) -> bool:
        """True when the journey is over, or the mains are: stop, and let the machine be off."""
        since_ns = self._off_since_ns
        return since_ns is not None and now_ns - since_ns >= LEAVE_MS * 1_000_000

    def tell(self, counted: Callable[[str], None]) -> None:
        """Count what began since the last time."""
        while self._uncounted:
            counted(self._uncounted.pop())

    def _names(self, opened: int, mv: int, faults: int) -> Iterator[str]:
        if opened:
            yield "head.opened"
        if self._has_battery and any(low <= mv < high for low, high in EMPTY_MV):
            yield "head.supply-low"
        yield from (f"head.{name}" for bit, name in enumerate(FAULTS) if faults >> bit & 1)
