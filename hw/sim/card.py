"""What a reader's field meets: anything that answers frames."""

from typing import Protocol

from hw.sim.isodep import Reply


class Card(Protocol):
    """What an antenna, or the virtual chip of a front end, needs of a card."""

    def reset(self) -> None:
        """Lose power and all that is not stored."""

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """Answer a frame (without CRC) sent in e.g. "106B", or stay silent."""
