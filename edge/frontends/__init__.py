"""What the agent needs of a front end, and nothing else: find a card, talk to it, come back.

Behind it stand PN532 modules on a serial line (`pn532.py`), PC/SC readers (`pcsc.py`) and what else
nfcpy drives (`nfcpy.py`: RC-S380, the simulator); `opening.py` opens the one that a path names.
Upheld by each: no call waits longer than its caller allows · what a card does wrong is `CardGone`
or a plain answer, what the front end does wrong is `FrontEndFault`, and beside `Crowded` nothing
else is raised.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import edge.frontends.lean  # noqa: F401  # before nfcpy, of which it leaves a part out

Technology = Literal["106B", "212F", "106A"]
"""ISO/IEC 14443 Type B and Type A, and FeliCa, each at the speed at which cards are found."""


class CardGone(ConnectionError):
    """The card left, or cannot be understood: hold it again."""


class FrontEndFault(OSError):
    """The front end itself does not work: sense again, restart it, then open it again."""


class Crowded(Exception):
    """Something answered that no single card would say: two cards at once, or noise."""


class Card(Protocol):
    """A card that was found in the field. Valid until the next `sense`."""

    technology: Technology
    sensed_id: bytes
    """What it was found by: PUPI (Type B), UID (Type A) or IDm (FeliCa). The first two may be
    random; none is an identity by itself."""
    about: str
    """What it said of its kind when it was found, in hex and without its id: application data and
    protocol info (Type B), PMm (FeliCa), the ATR behind a PC/SC reader; empty when nothing."""
    speaks_apdu: bool
    """It says that it follows ISO/IEC 14443-4 and the front end can talk to it."""
    times_us: dict[str, int]
    """What was timed of this card, by the names in wire.messages.STAGES: `detect` (the poll that
    found it) and `activate` are the front end's, what the card was asked is its caller's."""

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """Return the card's answer with its status word. Raises CardGone or FrontEndFault."""


class FrontEnd(Protocol):
    """One open front end; used by one thread alone."""

    waited_ns: int
    """Time spent waiting for the front end and its cards, since it was opened."""

    def sense(self, technologies: Sequence[Technology]) -> Card | None:
        """Look for a card of each technology, in order; the first one found ends the round.

        So of a wallet with two cards it is the place's order that decides. Whatever lay in the
        field loses its power meanwhile. Raises Crowded or FrontEndFault.
        """

    def restart(self) -> None:
        """Bring the device into the state in which opening left it, and so test that it works.

        Takes up to half a second. Raises FrontEndFault.
        """

    def close(self) -> None:
        """Switch the field off and let the device go; never raises."""
