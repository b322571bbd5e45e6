"""The commands that may be sent to a card: these exact bytes and no others.

Upheld: no command that could reach the 12-digit individual number is ever sent. The number lies in
two applications (D392…0408 input support, D392…0402 face) behind a PIN or behind itself; neither
application is selected here, there is no VERIFY, and a SELECT by name cannot be put together at
run time: schemes pick from constants, and what is not on the list is refused before the card.
Sources of the bytes: OpenSC card-jpki.c, jpki/myna reader.rs, soltia48/myna-card common.rs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.frontends import Card, CardGone, Technology
from wire.credential import Scheme

SELECT_COMMON_AP: Final = bytes.fromhex("00A4040C0AD3921000310001010100")
"""SELECT by name, no answer data: the common card application (共通カードAP)."""
READ_COMMON_RECORD: Final = bytes.fromhex("00B2010C00")
"""READ RECORD 1 of the file with short id 1: serial, municipality, expiry; free to read."""
SELECT_JPKI_AP: Final = bytes.fromhex("00A4040C0AD392F000260100000001")
"""SELECT by name: the application of the public personal authentication (JPKI)."""
READ_AUTH_CERTIFICATE: Final = bytes.fromhex("00B08A00FA")
"""READ BINARY of the file 000A by its short id, 250 bytes from 0: the user authentication
certificate's beginning, free to read. 250 and the status word fit one frame of 256."""

ALLOWED: Final = frozenset(
    (SELECT_COMMON_AP, READ_COMMON_RECORD, SELECT_JPKI_AP, READ_AUTH_CERTIFICATE)
)
OK: Final = b"\x90\x00"


class CommandNotAllowed(RuntimeError):
    """A scheme asked for a command that is not on the list: a programmer's mistake."""


class NoIdentifier(ValueError):
    """This scheme gives no identifier for this card; another scheme may."""


class Reading:
    """One scheme's conversation with one card, until a deadline."""

    def __init__(self, card: Card, commands: frozenset[bytes], left_s: Callable[[], float]) -> None:
        self._card = card
        self._commands = commands & ALLOWED
        self._left_s = left_s

    @property
    def sensed_id(self) -> bytes:
        """What the card was found by (see edge.frontends.Card)."""
        return self._card.sensed_id

    def ask(self, command: bytes) -> bytes:
        """Send one allowed command; return the answer without its status word 9000.

        Raises CommandNotAllowed (nothing is sent), NoIdentifier for any other status word,
        CardGone or FrontEndFault.
        """
        if command not in self._commands:
            raise CommandNotAllowed(f"{command.hex()} is not on the list of allowed commands")
        left_s = self._left_s()
        if left_s <= 0:
            raise CardGone("the time for this card is over")
        answer = self._card.transceive(command, left_s)
        if answer[-2:] != OK:
            raise NoIdentifier(f"status word {answer[-2:].hex()}")
        return answer[:-2]


@dataclass(frozen=True, slots=True)
class CardScheme:
    """One scheme: which cards it fits, all that it may send, and how it reads."""

    name: Scheme
    technology: Technology
    commands: frozenset[bytes]
    read: Callable[[Reading], bytearray]
    """Returns the identifier's bytes as wire.credential.Scheme says. Raises NoIdentifier, CardGone
    or FrontEndFault."""
