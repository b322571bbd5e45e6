"""Faults of wires and fuses: what would grow hot, or blow when nothing is wrong.

A wire is safe when what limits its net (a fuse, or a source that shuts itself down) limits it to
what the wire bears; a fuse lasts when it carries no more than its share for hours.
"""

from __future__ import annotations

from collections.abc import Iterator

from hw.plan.build import Build
from hw.plan.rows import FuseRules, Net, Part, Wire

SIGNAL_A_MAX = 0.1
"""Up to here nothing need limit a net: a pin of a chip gives 12 mA, and shorted some 50."""


def faults(build: Build, rules: FuseRules) -> Iterator[str]:
    """Yield each fault of a site's wires and fuses as a sentence."""
    for wire in build.wires:
        yield from _wire(build, wire)
    for net in build.nets.values():
        if net.name in build.members:
            yield from _limit(build, net)
    for ref, part in build.parts.items():
        if part.fuse_a:
            yield from _fuse(build, ref, part, rules)


def _wire(build: Build, wire: Wire) -> Iterator[str]:
    where = f"{build.name}: the wire {wire.start} to {wire.end}"
    carried = build.nets.get(wire.returns or wire.net)
    if wire.type not in build.kinds:
        yield f"{where} is of no kind that wires.toml knows, {wire.type!r}; name one of them"
        return
    is_ground = wire.net in build.nets and build.nets[wire.net].domain == "gnd"
    if carried is None or (is_ground and not wire.returns):
        yield f"{where} does not say whose current it brings back; name a net in `returns`"
        return
    kind = build.kinds[wire.type]
    size = f"{kind.mm2} mm² bears {kind.limit_a} A"
    if carried.amps_max > kind.limit_a:
        yield f"{where} is too thin: {carried.amps_max} A flow, {size}; take a thicker one"
    limit = build.limit_a(carried)
    if limit > kind.limit_a:
        if "." in carried.limited_by:
            yield (
                f"{where} is too thin for a fault: {carried.limited_by} gives up to {limit} A, "
                f"{size}; take a thicker one or a fuse before it"
            )
        else:
            yield (
                f"{where} is thinner than its fuse: {carried.limited_by} blows at {limit} A, "
                f"{size}; take a smaller fuse or a thicker wire"
            )


def _limit(build: Build, net: Net) -> Iterator[str]:
    where = f"{build.name}: {net.name} ({net.en})"
    if not net.limited_by:
        if net.amps_max > SIGNAL_A_MAX and net.domain not in ("gnd", "dry"):
            yield f"{where} carries {net.amps_max} A and nothing limits it; add a fuse"
        return
    limit = build.limit_a(net)
    if not limit:
        yield f"{where} is limited by {net.limited_by}, which is no fuse or source; mend it"
        return
    if net.amps_max > limit:
        yield (
            f"{where} carries {net.amps_max} A, and {net.limited_by} gives {limit} A; "
            "take a larger one"
        )
    place = net.limited_by.partition(".")[0]
    reached = {pin for name in build.reached_from(net.name) for pin in build.members[name]}
    if not any(pin.partition(".")[0] == place for pin in reached):
        yield f"{where} is limited by {place}, which it does not hang on; put {place} in its way"


def _before(build: Build, ref: str, net: Net) -> Iterator[str]:
    """What feeds a fuse must be able to carry what the net behind it takes."""
    for end in ("1", "2"):
        for name in build.nets_of.get(f"{ref}.{end}", []):
            if name in build.nets and build.nets[name].amps_max < net.amps_max:
                yield (
                    f"{build.name}: {net.name} takes {net.amps_max} A through {ref} from {name}, "
                    f"which is for {build.nets[name].amps_max} A; mend the wire to {ref}"
                )


def _fuse(build: Build, ref: str, part: Part, rules: FuseRules) -> Iterator[str]:
    where = f"{build.name}: fuse {ref} ({part.fuse_a} A)"
    if not part.holds_a and part.fuse_a not in rules.ratings_a:
        sold = ", ".join(f"{rating:g}" for rating in rules.ratings_a)
        yield f"{where} is not made; blade fuses have {sold} A"
    for net in build.nets.values():
        if net.limited_by == ref and f"{ref}.1" in build.nets_of:
            yield from _before(build, ref, net)
    bears = rules.load_share_max * (part.holds_a or part.fuse_a)
    for net in build.nets.values():
        if net.limited_by == ref and net.amps_max > bears:
            yield (
                f"{where} is too small for {net.name}: {net.amps_max} A for hours, and it bears "
                f"{bears:.2f} A; take the next larger one, and look at its wires"
            )
