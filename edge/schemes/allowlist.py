"""The commands that may be sent to a card: these exact bytes and no others.

Upheld: no command that could reach the 12-digit individual number is ever sent. The number lies in
two applications (D392…0408 input support, D392…0402 face) behind a PIN or behind itself; neither
application is selected here, there is no VERIFY, and a SELECT by name cannot be put together at
run time: schemes pick from constants, and what is not on the list is refused before the card. The
one name that a tenant configures (`card-ap`) can be neither of the two nor that of JPKI, which has
a scheme and a legal basis of its own, nor a beginning of theirs, by which a card would select the
first application that fits.
Sources of the bytes: OpenSC card-jpki.c, jpki/myna reader.rs, soltia48/myna-card common.rs.
"""

import time
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
READ_AUTH_CERTIFICATE: Final = bytes.fromhex("00B08A00D0")
"""READ BINARY of the file 000A by its short id, 208 bytes from 0: the user authentication
certificate's beginning, free to read. See edge.schemes.jpki_auth for how many it takes."""

ALLOWED: Final = frozenset(
    (SELECT_COMMON_AP, READ_COMMON_RECORD, SELECT_JPKI_AP, READ_AUTH_CERTIFICATE)
)
SELECT: Final = bytes.fromhex("00A4040C")
"""SELECT by name, no answer data (ISO/IEC 7816-4, 11.2.2)."""
READ_BINARY_BY_SHORT_ID: Final = bytes.fromhex("00B0")
SHORT_ID: Final = 0x80
SHORT_ID_MAX: Final = 30
"""ISO/IEC 7816-4, 7.3.1: 1 to 30."""
CLOSED_APPLICATIONS: Final = (
    bytes.fromhex("D3921000310001010408"),
    bytes.fromhex("D3921000310001010402"),
    SELECT_JPKI_AP[5:],
)
"""What no tenant may name: input support (券面事項入力補助AP) and face (券面事項確認AP), where the
number lies, and JPKI."""
NAME_BYTES: Final = (5, 16)
"""ISO/IEC 7816-4, 8.2.1.2."""
OK: Final = b"\x90\x00"


class CommandNotAllowed(RuntimeError):
    """A scheme asked for a command that is not on the list: a programmer's mistake."""


class NoIdentifier(ValueError):
    """This scheme gives no identifier for this card; another scheme may."""


class OwnCommands(frozenset[bytes]):
    """The two commands of a tenant's own card application; only `own_application` makes them."""


def own_application(name: bytes, short_id: int, offset: int, length: int) -> OwnCommands:
    """Return SELECT and READ BINARY for a card application that a tenant configures.

    `name` is its AID, `short_id` its file's, `offset` 0 to 255 and `length` 1 to 250 bytes: one
    frame. Raises ValueError for a name that could select a closed application, and for what does
    not fit a command.
    """
    if not NAME_BYTES[0] <= len(name) <= NAME_BYTES[1]:
        raise ValueError("an application's name has 5 to 16 bytes")
    if any(one.startswith(name) or name.startswith(one) for one in CLOSED_APPLICATIONS):
        raise ValueError("this name could select an application that is closed to tenants")
    if not 1 <= short_id <= SHORT_ID_MAX or not 0 <= offset <= 0xFF or not 1 <= length <= 250:
        raise ValueError("short id 1 to 30, offset 0 to 255, length 1 to 250")
    read = READ_BINARY_BY_SHORT_ID + bytes([SHORT_ID | short_id, offset, length])
    return OwnCommands((SELECT + bytes([len(name)]) + name, read))


class Reading:
    """One scheme's conversation with one card, until a deadline."""

    def __init__(self, card: Card, commands: frozenset[bytes], left_s: Callable[[], float]) -> None:
        self._card = card
        self._commands = commands if isinstance(commands, OwnCommands) else commands & ALLOWED
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
        started_ns = time.monotonic_ns()
        answer = self._card.transceive(command, left_s)
        self._time(command, time.monotonic_ns() - started_ns)
        if answer[-2:] != OK:
            raise NoIdentifier(f"status word {answer[-2:].hex()}")
        return answer[:-2]

    def _time(self, command: bytes, took_ns: int) -> None:
        """Keep how long the card took; its activation, which the first command waits for, apart."""
        times_us = self._card.times_us
        first = not times_us.keys() & {"select", "read"}
        activation_us = times_us.get("activate", 0) if first else 0
        stage = "select" if command[1] == SELECT[1] else "read"
        times_us[stage] = max(0, took_ns // 1000 - activation_us)


@dataclass(frozen=True, slots=True)
class CardScheme:
    """One scheme: which cards it fits, all that it may send, and how it reads."""

    name: Scheme
    technology: Technology
    commands: frozenset[bytes]
    read: Callable[[Reading], bytearray]
    """Returns the identifier's bytes as wire.credential.Scheme says. Raises NoIdentifier, CardGone
    or FrontEndFault."""
