"""A site as one thing: its parts in their places, every pin, what is joined to what, every wire."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from hw.plan.read import Plan
from hw.plan.rows import Board, HeadPin, Net, Part, Pin, Place, Site, Wire, WireKind

HEAD = "U1"
"""The place of the Pico: its GPIOs are named as in pins.toml."""


class Build(msgspec.Struct, frozen=True):
    """What a site's files and the head's make together.

    `pins` are by `place.pin`. `members` are the pins that some line puts on a net, `nets_of` the
    nets that a pin is put on: more than one is a fault that the checks find.
    """

    name: str
    site: Site
    places: dict[str, Place]
    parts: dict[str, Part]
    boards: dict[str, Board]
    pins: dict[str, Pin]
    nets: dict[str, Net]
    soldered: dict[str, tuple[str, ...]]
    wires: tuple[Wire, ...]
    kinds: dict[str, WireKind]
    members: dict[str, list[str]]
    nets_of: dict[str, list[str]]

    def counts(self) -> Counter[str]:
        """Return how many of each part are placed."""
        return Counter(place.part for place in self.places.values() if place.part)

    def limit_a(self, net: Net) -> float:
        """Return what limits a net when something is wrong, in A; 0: nothing that we know of."""
        place = net.limited_by.partition(".")[0]
        if place in self.parts and self.parts[place].fuse_a:
            return self.parts[place].fuse_a
        pin = self.pins.get(net.limited_by)
        return pin.limit_a if pin else 0.0

    def reached_from(self, net: str) -> set[str]:
        """Return the nets that a current can come from or go to through parts that carry it.

        Ground is where it ends: what else hangs there is not counted.
        """
        seen, waiting = {net}, [net]
        while waiting:
            for pin in self._members_to_follow(waiting.pop(), net):
                for other in self.through(pin):
                    for further in self.nets_of.get(other, []):
                        if further not in seen:
                            seen.add(further)
                            waiting.append(further)
        return seen

    def _members_to_follow(self, net: str, first: str) -> list[str]:
        ends = net != first and net in self.nets and self.nets[net].domain == "gnd"
        return [] if ends else self.members.get(net, [])

    def ones(self) -> Iterator[list[str]]:
        """Yield the pins, by `place.pin`, that are one inside their part."""
        for ref, board in self.boards.items():
            for group in board.ones:
                yield [f"{ref}.{pin}" for pin in group]

    def through(self, pin: str) -> Iterator[str]:
        """Yield the pins that a current at this one comes out of, on the other side of the part."""
        place, _, name = pin.partition(".")
        board = self.boards.get(place)
        for one, other in board.joins if board else ():
            if name == one:
                yield f"{place}.{other}"
            elif name == other:
                yield f"{place}.{one}"


def build(plan: Plan, name: str) -> Build:
    """Return a site, put together. A part or board that no file knows is left to the checks."""
    site = plan.sites[name]
    places = {place.ref: place for place in (*plan.head.places, *site.places)}
    known = {part.id: part for part in plan.parts.parts}
    parts = {ref: known[place.part] for ref, place in places.items() if place.part in known}
    boards = {}
    for ref, place in places.items():
        board = place.board or (parts[ref].board if ref in parts else "")
        if board in plan.boards.boards:
            boards[ref] = plan.boards.boards[board]
    pins = {f"{ref}.{pin.id}": pin for ref, board in boards.items() for pin in board.pins}
    if HEAD in boards:
        for gpio in plan.pins.pin:
            pins[f"{HEAD}.{gpio.name}"] = _pin_of(gpio, plan.boards.chip.at)
    wires = plan.head.wires + site.wires
    members, nets_of = _joined(plan.head.nets, wires)
    return Build(
        name=name,
        site=site,
        places=places,
        parts=parts,
        boards=boards,
        pins=pins,
        nets={net.name: net for net in (*plan.nets.nets, *site.nets)},
        soldered=plan.head.nets,
        wires=wires,
        kinds={kind.id: kind for kind in plan.wires.wires},
        members=members,
        nets_of=nets_of,
    )


def _joined(
    soldered: dict[str, tuple[str, ...]], wires: tuple[Wire, ...]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the pins of each net and the nets of each pin, each once, in the files' order."""
    told = [(net, pin) for net, pins in soldered.items() for pin in pins]
    told += [(wire.net, pin) for wire in wires for pin in (wire.start, wire.end)]
    members: dict[str, list[str]] = defaultdict(list)
    nets_of: dict[str, list[str]] = defaultdict(list)
    for net, pin in dict.fromkeys(told):
        members[net].append(pin)
        nets_of[pin].append(net)
    return dict(members), dict(nets_of)


def _pin_of(gpio: HeadPin, at: tuple[int, ...]) -> Pin:
    stands = str(at[gpio.gpio]) if 0 <= gpio.gpio < len(at) else ""
    return Pin(gpio.name, kind=gpio.way, volts=("3V3",), at=stands, needs=True)
