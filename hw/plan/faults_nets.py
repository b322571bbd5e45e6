"""Faults of what is joined: voltages, drivers, pins that are alone or in two places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hw.plan.build import Build
from hw.plan.rows import Net

DRIVES = ("power-out", "out", "both", "ground")
"""Kinds of pins that say what a net's voltage is."""


def faults(build: Build) -> Iterator[str]:
    """Yield each fault of a site's nets as a sentence."""
    yield from _unknown(build)
    yield from _twice(build)
    yield from _alone(build)
    for name, pins in build.members().items():
        if name in build.nets:
            known = [pin for pin in pins if pin in build.pins]
            yield from _volts(build, build.nets[name], known)
            yield from _outputs(build, name, known)
            yield from _driver(build, build.nets[name])


def _unknown(build: Build) -> Iterator[str]:
    for net, pin in dict.fromkeys(build.told()):
        if pin not in build.pins:
            yield (
                f"{build.name}: {net} names {pin}, and no part in place has such a pin; "
                "mend the name, here or in boards.toml"
            )
        elif build.pins[pin].kind == "own":
            yield f"{build.name}: {net} takes {pin}, which the board keeps to itself; leave it open"
        if net not in build.nets:
            yield f"{build.name}: {pin} is on {net}, which no file describes; add it to nets.toml"


def _twice(build: Build) -> Iterator[str]:
    for pin, nets in build.nets_of().items():
        if len(nets) > 1:
            joined = " and ".join(nets)
            yield f"{build.name}: {pin} is used twice, on {joined}, and joins them; take one away"
    ends = Counter(pin for wire in build.wires for pin in (wire.start, wire.end))
    for pin, count in ends.items():
        if count > 1:
            yield (
                f"{build.name}: {count} wires end on {pin}, which has room for one; "
                "branch them at a lever connector"
            )


def _alone(build: Build) -> Iterator[str]:
    joined = {pin for _, pin in build.told()}
    for name, pin in build.pins.items():
        if pin.needs and name not in joined:
            yield f"{build.name}: {name} must be connected and is not; wire it or solder it"


def _volts(build: Build, net: Net, pins: list[str]) -> Iterator[str]:
    for name in pins:
        takes = build.pins[name].volts
        if "any" not in takes and net.domain not in takes:
            yield (
                f"{build.name}: {name} is for {' or '.join(takes)} and is on {net.name}, which is "
                f"{net.domain}; put a converter between or mend the wire"
            )


def _outputs(build: Build, net: str, pins: list[str]) -> Iterator[str]:
    driving = [pin for pin in pins if build.pins[pin].kind in ("out", "power-out")]
    if len(driving) > 1:
        yield (
            f"{build.name}: {net} joins outputs that drive each other, {' and '.join(driving)}; "
            "take all but one away"
        )


def _driver(build: Build, net: Net) -> Iterator[str]:
    if net.domain == "dry":
        return
    members = build.members()
    for reached in build.reached_from(net.name):
        if any(_is_driver(build, pin) for pin in members[reached]):
            return
    yield f"{build.name}: nothing drives {net.name} ({net.en}); join it to an output or a supply"


def _is_driver(build: Build, pin: str) -> bool:
    """Say whether a voltage begins here; a switch only hands on what it is given."""
    hands_on = any(True for _ in build.through(pin))
    return pin in build.pins and build.pins[pin].kind in DRIVES and not hands_on
