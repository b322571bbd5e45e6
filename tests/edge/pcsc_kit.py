"""A virtual PC/SC reader at the real pcscd, for tests of what reads with it."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.frontends import Card, Technology
from edge.frontends.pcsc import Pcsc
from hw.sim.isodep import Reply
from hw.sim.mynumber import MyNumberCard
from hw.sim.vicc import VirtualReader
from tests.real_pcsc import Pcscd

ALL: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
NAME: Final = "Kazasu Contactless"
WAIT_S: Final = 5.0
"""A deadline for what takes some 20 ms, or pcscd's 0.4 s when it slept just then."""


class Leaving:
    """A Type B card that is pulled away after so many answered blocks, however often it was found
    before: pcscd powers up a card that it sees, and perhaps again for whoever wants it.
    """

    def __init__(self, card: MyNumberCard, blocks: int) -> None:
        self._card = card
        self._left = blocks + 1

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        if reply and frame[0] not in (0x05, 0x1D):  # WUPB, ATTRIB
            self._left -= 1
        return reply if self._left > 0 else None


@dataclass
class Desk:
    """pcscd, one of its readers, and what lies there."""

    pcscd: Pcscd
    reader: VirtualReader

    def held(self, front_end: Pcsc, card: Any) -> Card:
        """Put a card down and return what the front end finds."""
        self.reader.place(card)
        return self.found(front_end)

    @staticmethod
    def found(front_end: Pcsc) -> Card:
        """Return the card that comes."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if card := front_end.sense(ALL):
                return card
        raise AssertionError("the front end finds no card")

    def lifted(self, front_end: Pcsc) -> None:
        """Take the card away; return when the front end has noticed."""
        self.reader.remove()
        deadline = time.monotonic() + WAIT_S
        while front_end.sense(ALL) is not None:
            assert time.monotonic() < deadline, "the front end finds a card that is gone"


@contextlib.contextmanager
def desk(folder: Path, **more: Any) -> Iterator[Desk]:
    """Start pcscd with one reader; `more` is the reader's."""
    with Pcscd(folder, NAME) as pcscd:
        pcscd.start()
        with VirtualReader(pcscd.port, interrupt=pcscd.look, **more) as reader:
            yield Desk(pcscd, reader)


@contextlib.contextmanager
def opened(path: str = "pcsc", felica_system: str = "0003") -> Iterator[Pcsc]:
    """Open a front end, and close it in the end."""
    front_end = Pcsc(path, felica_system)
    try:
        yield front_end
    finally:
        front_end.close()
