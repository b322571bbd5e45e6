"""Faults between the bill of material and what is placed, and of files that name each other."""

from __future__ import annotations

from collections.abc import Iterator

from hw.plan.build import Build
from hw.plan.read import Plan
from wire.headlink import MEANINGS


def faults(plan: Plan, build: Build) -> Iterator[str]:
    """Yield each fault of a site's bill of material as a sentence."""
    known = {part.id for part in plan.parts.parts}
    refs = [place.ref for place in (*plan.head.places, *build.site.places)]
    for ref in sorted({ref for ref in refs if refs.count(ref) > 1}):
        yield f"{build.name}: two parts stand at {ref}; give one another place"
    for ref, place in build.places.items():
        if place.part and place.part not in known:
            yield f"{build.name}: {ref} is a {place.part!r}, which parts.toml has not; add it there"
        board = place.board or (build.parts[ref].board if ref in build.parts else "")
        if board and board not in plan.boards.boards:
            yield f"{build.name}: {ref} is on board {board!r}, which boards.toml has not; add it"
    counts = build.counts()
    for part in plan.parts.parts:
        bought = part.quantity.get(build.name, 0)
        if bought > counts[part.id]:
            yield (
                f"{build.name}: parts.toml buys {bought} of {part.id}, and {counts[part.id]} are "
                "placed; place it or buy less"
            )
        elif bought < counts[part.id]:
            yield (
                f"{build.name}: {counts[part.id]} of {part.id} are placed, and parts.toml buys "
                f"{bought}; write it in the bill of material"
            )


def faults_of_plan(plan: Plan) -> Iterator[str]:
    """Yield each fault between files that are the same for every site."""
    meanings = [meaning.name for meaning in plan.lamp.meanings]
    if meanings != list(MEANINGS):
        yield f"lamp.toml: its meanings are not wire/headlink.py's; they are {', '.join(MEANINGS)}"
    gpio = f"P1.GPIO{plan.overlay.poweroff.pi_gpio}"
    net = plan.overlay.poweroff.net
    if not any(wire.net == net and gpio in (wire.start, wire.end) for wire in plan.head.wires):
        yield f"overlay.toml: {gpio} is not wired to {net} in head.toml; name the pin that is"
    loads = {load.part for load in plan.power.loads}
    for name in sorted(loads - {part.id for part in plan.parts.parts}):
        yield f"power.toml: a load {name!r} is no part; mend the name"
