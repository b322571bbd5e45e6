"""What the agent needs of a front end, and nothing else: find a card, talk to it, come back.

Behind it stand nfcpy (PN532, RC-S380, the simulator) and later others. Upheld by each: no call
waits longer than its caller allows · what a card does wrong is `CardGone` or a plain answer, what
the front end does wrong is `FrontEndFault`, and nothing else is raised.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import edge.frontends.lean  # noqa: F401  # before nfcpy, of which it leaves a part out

Technology = Literal["106B", "212F", "106A"]
"""ISO/IEC 14443 Type B and Type A, and FeliCa, each at the speed at which cards are found."""


class CardGone(ConnectionError):
    """The card left, or cannot be understood: hold it again."""


class FrontEndFault(OSError):
    """The front end itself does not work: sense again, then open it again."""


class Card(Protocol):
    """A card that was found in the field. Valid until the next `sense`."""

    technology: Technology
    sensed_id: bytes
    """What it was found by: PUPI (Type B), UID (Type A) or IDm (FeliCa). The first two may be
    random; none is an identity by itself."""
    speaks_apdu: bool
    """It says that it follows ISO/IEC 14443-4 and the front end can talk to it."""
    detect_ns: int
    """How long the sense call took that found it."""

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """Return the card's answer with its status word. Raises CardGone or FrontEndFault."""


class FrontEnd(Protocol):
    """One open front end; used by one thread alone."""

    waited_ns: int
    """Time spent waiting for the front end and its cards, since it was opened."""

    def sense(self, technologies: Sequence[Technology]) -> Card | None:
        """Look for a card once per technology, in order; the first one found ends the round.

        So of a wallet with two cards it is the place's order that decides. Whatever lay in the
        field loses its power meanwhile. Raises FrontEndFault.
        """

    def close(self) -> None:
        """Switch the field off and let the device go; never raises."""
