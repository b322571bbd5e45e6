"""A place's reader head with its chip, where people hold their cards: all of the real path.

card → PN532 → UART → firmware under MicroPython → USB → the agent
"""

import asyncio
from pathlib import Path

from hw.sim.cards import Card
from hw.sim.head import Head
from hw.sim.pn532 import PN532


class HeadHolder:
    """See hw.sim.antenna.Holder; the head's flash and its device are in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._link = folder / "tty"
        self._chip = PN532()
        self.head = Head(self._chip, folder / "flash", link=self._link)
        self.turn = asyncio.Lock()

    @property
    def device(self) -> str:
        """The front end's path for the reader's configuration."""
        return f"head:{self._link}"

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others."""
        self._chip.place(*cards)

    def remove(self) -> None:
        """Take away what is held there."""
        self._chip.remove()

    def close(self) -> None:
        """Take the device away. Raises RuntimeError when chip or firmware had died."""
        self.head.close()
        self._chip.close()
