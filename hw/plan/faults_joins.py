"""Faults of joints: pins that are alone, in two places, or with the wrong partner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from hw.plan.build import Build
from hw.plan.rows import Net


def faults(build: Build) -> Iterator[str]:
    """Yield each fault of a site's wires and solder joints as a sentence."""
    yield from _unknown(build)
    yield from _twice(build)
    yield from _inside(build)
    yield from _plugs(build)
    for name, pin in build.pins.items():
        if pin.needs and name not in build.nets_of:
            yield f"{build.name}: {name} must be connected and is not; wire it or solder it"
        if pin.meets and name in build.nets_of and pin.meets not in _partners(build, name):
            yield (
                f"{build.name}: {name} must meet {pin.meets}, and does not on "
                f"{build.nets_of[name][0]}; mend its wire"
            )
    for net in build.nets.values():
        yield from _pieces(build, net)


def _unknown(build: Build) -> Iterator[str]:
    for net, pins in build.members.items():
        for pin in pins:
            if pin not in build.pins:
                yield (
                    f"{build.name}: {net} names {pin}, and no part in place has such a pin; "
                    "mend the name, here or in boards.toml"
                )
            elif build.pins[pin].kind == "own":
                yield f"{build.name}: {net} takes {pin}, which the board keeps; leave it open"
        if net not in build.nets:
            yield (
                f"{build.name}: {pins[0]} is on {net}, which no file describes; "
                "mend the name, or add it to nets.toml"
            )


def _twice(build: Build) -> Iterator[str]:
    for pin, nets in build.nets_of.items():
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


def _inside(build: Build) -> Iterator[str]:
    """Pins that are one inside their part may not be on two nets."""
    for group in build.ones():
        nets = dict.fromkeys(net for pin in group for net in build.nets_of.get(pin, []))
        if len(nets) > 1:
            place = group[0].partition(".")[0]
            yield (
                f"{build.name}: {place} joins {' and '.join(nets)}, for its pins are one inside; "
                "mend the wires to it"
            )


def _plugs(build: Build) -> Iterator[str]:
    """A plug on the carrier is wired whole or not at all, and whatever is wired is soldered."""
    wired = {pin for wire in build.wires for pin in (wire.start, wire.end)}
    soldered = {pin for pins in build.soldered.values() for pin in pins}
    for ref, place in build.places.items():
        pins = [name for name in build.pins if name.startswith(f"{ref}.")]
        if place.on != "carrier" or wired.isdisjoint(pins):
            continue
        for pin in pins:
            if build.pins[pin].kind == "passive" and not (pin in wired and pin in soldered):
                done = "wired and not soldered" if pin in wired else "soldered and not wired"
                yield f"{build.name}: {pin} is {done}; join it, or free the whole of {ref}"


def _partners(build: Build, pin: str) -> set[str]:
    """Return the names of the pins that a current from here meets, through what carries it."""
    nets = {further for net in build.nets_of[pin] for further in build.reached_from(net)}
    members = (member for net in nets for member in build.members[net] if member != pin)
    return {member.partition(".")[2] for member in members}


def _pieces(build: Build, net: Net) -> Iterator[str]:
    """All pins of a net hang together by solder, wires, and what is one inside a part."""
    pins = build.members.get(net.name, [])
    links: list[Iterable[str]] = [build.soldered.get(net.name, ())]
    links += [(wire.start, wire.end) for wire in build.wires if wire.net == net.name]
    links += [[pin for pin in group if pin in pins] for group in build.ones()]
    piece = set(pins[:1])
    for _ in links:  # as often as could be needed, should each link bring in one more
        for link in links:
            if not piece.isdisjoint(link):
                piece.update(link)
    apart = [pin for pin in pins if pin not in piece]
    if apart:
        yield (
            f"{build.name}: {net.name} ({net.en}) is in pieces, {apart[0]} does not hang on "
            f"{pins[0]}; join them by a wire or a solder joint"
        )
