"""A reader head for tests: the firmware under MicroPython between the agent's link and a chip."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.frontends.pn532 import Pn532
from edge.frontends.pn532_chip import BehindHead
from edge.head import Head
from hw.sim import head as sim
from hw.sim.pn532 import PN532


@dataclass
class Headed:
    """All of it, from the chip to the agent's end."""

    chip: PN532
    board: sim.Head
    head: Head


@contextlib.contextmanager
def headed(folder: Path, *, paced: bool = True) -> Iterator[Headed]:
    """Plug a head in, at a path that stays its own, with its flash in `folder`."""
    link = folder / "head"
    with PN532(paced=paced) as chip, sim.Head(chip, folder / "flash", link=link) as board:
        head = Head(str(link))
        yield Headed(chip, board, head)
        head.close()


def front_end(headed: Headed, baudrate: int = 115_200) -> Pn532:
    """Open the chip behind the head."""
    return Pn532(BehindHead(headed.head, baudrate), "0003")


class Noise:
    """What goes wrong on the USB: in one of `every` transfers, by `seed`, both ways."""

    def __init__(self, kind: str, seed: int, every: int = 8) -> None:
        self._rng = random.Random(seed)
        self._kind, self._every = kind, every
        self._late = {True: b"", False: b""}
        self.done = 0

    def __call__(self, data: bytes, to_head: bool) -> bytes:
        """Damage some bytes on their way; see sim.Head."""
        data, self._late[to_head] = self._late[to_head] + data, b""
        if self._rng.randrange(self._every):
            return data
        self.done += 1
        at = self._rng.randrange(len(data))
        if self._kind == SPLIT:
            data, self._late[to_head] = data[:at], data[at:]
            return data
        return NOISES[self._kind](data[:at], data[at:], self._rng)


SPLIT: Final = "split"
"""The rest comes with what comes next."""
NOISES: Final[dict[str, Callable[[bytes, bytes, random.Random], bytes]]] = {
    "byte lost": lambda before, after, _: before + after[1:],
    "byte doubled": lambda before, after, _: before + after[:1] + after,
    "byte changed": lambda before, after, rng: (
        before + bytes([after[0] ^ rng.randrange(1, 256)]) + after[1:]
    ),
    "frame doubled": lambda before, after, _: 2 * (before + after),
    "frame lost": lambda _before, _after, _: b"",
    "noise": lambda before, after, rng: before + rng.randbytes(20) + after,
}
