"""What a site takes and what its supply gives, in W, A and seconds.

Ride-through: a capacitor of C farad gives C · (U1² - U2²) / 2 joule from U1 down to U2, the
converter behind it passes on η of that, and P watt empty it in η · C · (U1² - U2²) / (2 · P) s.
"""

from __future__ import annotations

import msgspec

from hw.plan.build import Build
from hw.plan.read import Plan
from hw.plan.rows import Load, Supercap

RAIL_V, INPUT_V = 5.0, 12.0
"""What the capacitor supply gives, and what it is fed with."""


class Budget(msgspec.Struct, frozen=True):
    """A site's sums."""

    loads: tuple[tuple[Load, int], ...]
    typical_w: float
    peak_w: float
    stopping_w: float
    rail_a: float
    converter_w: float
    """What the capacitor supply takes at the loads' peak."""
    capacitors_a: float
    """What it takes at its full power, as while the capacitors are charged."""
    supply_a: float
    """What the converter takes at its full power, at the supply's lowest voltage."""
    ride_through_s: float


def budget(plan: Plan, build: Build) -> Budget:
    """Return the sums of a site. A part that takes nothing worth counting has no load."""
    counts = build.counts()
    loads = tuple((load, counts[load.part]) for load in plan.power.loads if counts[load.part])
    stopping_w = sum(load.stopping_w * count for load, count in loads)
    peak_w = sum(load.peak_w * count for load, count in loads)
    supercap = plan.power.supercap
    converter = build.parts[build.site.converter]
    return Budget(
        loads=loads,
        typical_w=sum(load.typical_w * count for load, count in loads),
        peak_w=peak_w,
        stopping_w=stopping_w,
        rail_a=peak_w / RAIL_V,
        converter_w=peak_w / supercap.input_efficiency,
        capacitors_a=supercap.out_w / supercap.input_efficiency / INPUT_V,
        supply_a=converter.out_w / converter.efficiency / build.site.supply_v[0],
        ride_through_s=ride_through_s(supercap, stopping_w),
    )


def ride_through_s(supercap: Supercap, load_w: float) -> float:
    """Return for how many seconds full capacitors feed so many W."""
    joule = supercap.farad * (supercap.volts_full**2 - supercap.volts_empty**2) / 2
    return supercap.efficiency * joule / load_w if load_w > 0 else float("inf")
