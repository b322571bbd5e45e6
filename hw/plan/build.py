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

    `pins` are by `place.pin`; `soldered` and `wires` say which net a pin is on, as often as the
    files say it: more than one net for a pin is a fault that the checks find.
    """

    name: str
    site: Site
    places: dict[str, Place]
    parts: dict[str, Part]
    boards: dict[str, Board]
    pins: dict[str, Pin]
    nets: dict[str, Net]
    soldered: tuple[tuple[str, str], ...]
    wires: tuple[Wire, ...]
    kinds: dict[str, WireKind]

    def told(self) -> Iterator[tuple[str, str]]:
        """Yield each net and a pin that some line puts on it."""
        yield from self.soldered
        for wire in self.wires:
            yield wire.net, wire.start
            yield wire.net, wire.end

    def members(self) -> dict[str, list[str]]:
        """Return the pins of each net, each once, in the files' order."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for net, pin in self.told():
            found[net][pin] = None
        return {net: list(pins) for net, pins in found.items()}

    def nets_of(self) -> dict[str, list[str]]:
        """Return the nets that each pin is put on: more than one is a fault."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for net, pin in self.told():
            found[pin][net] = None
        return {pin: list(nets) for pin, nets in found.items()}

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
        """Return the nets that a current can come from or go to through parts that carry it."""
        nets_of = self.nets_of()
        seen, waiting = {net}, [net]
        members = self.members()
        while waiting:
            for pin in members.get(waiting.pop(), []):
                for other in self.through(pin):
                    for further in nets_of.get(other, []):
                        if further not in seen:
                            seen.add(further)
                            waiting.append(further)
        return seen

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
    return Build(
        name=name,
        site=site,
        places=places,
        parts=parts,
        boards=boards,
        pins=pins,
        nets={net.name: net for net in (*plan.nets.nets, *site.nets)},
        soldered=tuple((net, pin) for net, pins in plan.head.nets.items() for pin in pins),
        wires=plan.head.wires + site.wires,
        kinds={kind.id: kind for kind in plan.wires.wires},
    )


def _pin_of(gpio: HeadPin, at: tuple[int, ...]) -> Pin:
    stands = str(at[gpio.gpio]) if 0 <= gpio.gpio < len(at) else ""
    return Pin(gpio.name, kind=gpio.way, volts=("3V3",), at=stands, needs=True)
