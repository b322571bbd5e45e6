"""Faults of what stands on a net: its voltage, and who drives it."""

from __future__ import annotations

from collections.abc import Iterator

from hw.plan.build import Build
from hw.plan.rows import Net

DRIVES = ("power-out", "out", "both", "ground")
"""Kinds of pins that say what a net's voltage is."""
FEEDS = ("power-out", "ground")
"""Kinds of pins that a part can live on."""


def faults(build: Build) -> Iterator[str]:
    """Yield each fault of a site's nets as a sentence."""
    for name, pins in build.members.items():
        if name in build.nets:
            known = [pin for pin in pins if pin in build.pins]
            yield from _volts(build, build.nets[name], known)
            yield from _outputs(build, name, known)
            yield from _driver(build, build.nets[name], known)
    yield from _across_fuses(build)


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


def _driver(build: Build, net: Net, pins: list[str]) -> Iterator[str]:
    if net.domain == "dry":
        return
    driving = [pin for reached in build.reached_from(net.name) for pin in build.members[reached]]
    kinds = {build.pins[pin].kind for pin in driving if _is_driver(build, pin)}
    if not kinds.intersection(DRIVES):
        yield f"{build.name}: nothing drives {net.name} ({net.en}); join it to what does"
    elif not kinds.intersection(FEEDS):
        for pin in pins:
            if build.pins[pin].kind == "power-in":
                yield (
                    f"{build.name}: {pin} lives on {net.name} ({net.en}), which is a signal; "
                    "join it to a supply"
                )


def _is_driver(build: Build, pin: str) -> bool:
    """Say whether a voltage begins here; a switch only hands on what it is given."""
    hands_on = any(True for _ in build.through(pin))
    return pin in build.pins and build.pins[pin].kind in DRIVES and not hands_on


def _across_fuses(build: Build) -> Iterator[str]:
    """A fuse has the same voltage before and behind it."""
    for ref, part in build.parts.items():
        sides = [build.nets_of.get(f"{ref}.{end}", [""])[0] for end in ("1", "2")]
        if part.fuse_a and all(side in build.nets for side in sides):
            before, behind = (build.nets[side].domain for side in sides)
            if before != behind:
                yield (
                    f"{build.name}: fuse {ref} has {before} on {sides[0]} and {behind} on "
                    f"{sides[1]}; mend the wire to it"
                )
