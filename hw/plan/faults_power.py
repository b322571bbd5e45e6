"""Faults of a site's supply: too weak, of another voltage, or gone before Linux is at rest."""

from __future__ import annotations

from collections.abc import Iterator

from hw.plan.build import Build
from hw.plan.drop import drop_v
from hw.plan.power import RAIL_V, budget
from hw.plan.read import Plan
from hw.plan.rows import Part

CAPACITORS = "S1"
"""The place of the supply with capacitors."""
SECOND = ("U1.VBUS",)
"""A part's other supply: the Pico lives on VSYS in normal use."""


def faults(plan: Plan, build: Build) -> Iterator[str]:
    """Yield each fault of a site's supply as a sentence."""
    if build.site.converter not in build.parts:
        yield f"{build.name}: no part stands at {build.site.converter}; place a converter there"
        return
    sums = budget(plan, build)
    supercap, required = plan.power.supercap, plan.power.required
    converter = build.parts[build.site.converter]
    margin = 1 + required.margin_share
    if sums.ride_through_s < required.ride_through_s:
        yield (
            f"{build.name}: the capacitors last {sums.ride_through_s:.1f} s at "
            f"{sums.stopping_w:.1f} W, and a shutdown needs {required.ride_through_s:.0f} s; "
            "take larger ones or switch off more while stopping"
        )
    if sums.peak_w * margin > supercap.out_w:
        yield (
            f"{build.name}: the loads' peak is {sums.peak_w:.1f} W, with margin more than the "
            f"{supercap.out_w:.0f} W of {supercap.part}; take a larger one"
        )
    if sums.stopping_w > supercap.alone_w:
        yield (
            f"{build.name}: while stopping {sums.stopping_w:.1f} W are taken, and the capacitors "
            f"give {supercap.alone_w:.0f} W; switch something off first"
        )
    if sums.converter_w * margin > converter.out_w:
        yield (
            f"{build.name}: {build.site.converter} ({converter.number}) gives "
            f"{converter.out_w:.0f} W, and {sums.converter_w:.1f} W with margin are asked; "
            "take a larger one"
        )
    lost_v = drop_v(build)
    if lost_v > required.drop_v_max:
        yield (
            f"{build.name}: the wires to the Pi lose {lost_v:.2f} V of 5 V, and may lose "
            f"{required.drop_v_max} V; take thicker or shorter ones"
        )
    yield from _voltage(build, converter)
    yield from _amps(plan, build)


def _voltage(build: Build, converter: Part) -> Iterator[str]:
    low, high = converter.input_v
    if build.site.supply_v[0] < low:
        yield (
            f"{build.name}: the supply falls to {build.site.supply_v[0]:g} V, and "
            f"{converter.number} begins at {low:g} V; take one that begins lower"
        )
    if max(build.site.surge_v, build.site.supply_v[1]) > high:
        yield (
            f"{build.name}: a surge reaches {build.site.surge_v:g} V, and {converter.number} bears "
            f"{high:g} V; take one that bears more"
        )


def _amps(plan: Plan, build: Build) -> Iterator[str]:
    """What the nets claim must not be less than what hangs on them."""
    for name, reckoned in _asked(plan, build).items():
        net = build.nets.get(name)
        if net and net.amps_max < reckoned:
            yield (
                f"{build.name}: {name} says {net.amps_max} A at most, and the loads add up to "
                f"{reckoned:.2f} A; write that, and look at its fuse and wires"
            )


def _asked(plan: Plan, build: Build) -> dict[str, float]:
    """Return what is taken at most from each supply, in A: by parts that hang on it themselves."""
    sums = budget(plan, build)
    asked: dict[str, float] = {}
    for end, amps in (
        (f"{CAPACITORS}.5V OUT", sums.rail_a),
        (f"{CAPACITORS}.VIN", sums.capacitors_a),
        (f"{build.site.converter}.VIN+", sums.supply_a),
    ):
        asked |= dict.fromkeys(build.nets_of.get(end, []), amps)
    whole = set(asked)
    peaks = {load.part: load.peak_w / RAIL_V for load in plan.power.loads}
    for ref, part in build.parts.items():
        for pin in build.boards[ref].pins if ref in build.boards else ():
            where = f"{ref}.{pin.id}"
            if pin.kind == "power-in" and "5V" in pin.volts and where not in SECOND:
                for net in build.nets_of.get(where, []):
                    if net not in whole:
                        asked[net] = asked.get(net, 0.0) + peaks.get(part.id, 0.0)
    return asked
