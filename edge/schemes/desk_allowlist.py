"""The commands that may be sent to a card whose holder gives a PIN at a desk: these and no others.

Upheld, beside what `allowlist` says of the 12-digit number: one application is ever selected, JPKI,
which does not hold it · a PIN goes to the PIN file of the user authentication key alone, and only
while the card itself confirmed that this file is the selected one: 4 digits in another file of the
JPKI application would be a try of another secret · after an exchange that failed, nothing but the
selection of the application goes · an error never repeats a command, which may hold a PIN.
Five commands are constants; three have a part that varies, and their shapes stand here.
Sources of the bytes: OpenSC card-jpki.c and pkcs15-jpki.c, jpki/myna reader.rs.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from edge.frontends import Card, CardGone
from edge.schemes.allowlist import SELECT_JPKI_AP, CommandNotAllowed
from wire.card_proof import DIGEST_INFO

SELECT_CERTIFICATE: Final = bytes.fromhex("00A4020C02000A")
"""SELECT by file id: the user authentication certificate, free to read."""
SELECT_PIN: Final = bytes.fromhex("00A4020C020018")
"""The 4-digit PIN of the user authentication key: three tries."""
SELECT_KEY: Final = bytes.fromhex("00A4020C020017")
"""The user authentication key itself."""
ASK_TRIES: Final = bytes.fromhex("00200080")
"""VERIFY without a PIN: answers 63Cx with the tries that are left, and costs none."""

VERIFY: Final = bytes.fromhex("0020008004")
"""VERIFY; four ASCII digits follow."""
SIGN: Final = bytes.fromhex("802A008033")
"""PERFORM SECURITY OPERATION: COMPUTE DIGITAL SIGNATURE over the 51 bytes that follow, as they
stand (PKCS#1 v1.5)."""
READ: Final = bytes.fromhex("00B0")
"""READ BINARY of the selected file; offset (two bytes) and length (one) follow."""
READ_BYTES_MAX: Final = 250
"""With the status word, block and check bytes in one frame of 256."""

_FILES: Final = (SELECT_CERTIFICATE, SELECT_PIN, SELECT_KEY)
_VERIFY: Final = re.compile(re.escape(VERIFY) + rb"[0-9]{4}")
_SIGN: Final = re.compile(re.escape(SIGN + DIGEST_INFO) + rb".{32}\x00", re.DOTALL)
_READ: Final = re.compile(re.escape(READ) + rb"[\x00-\x0f].[\x01-\xfa]", re.DOTALL)
"""An offset below CARD_CERTIFICATE_BYTES_MAX. From 8000 on it would name another file instead."""

COMMAND_S_MAX: Final = 2.0
"""For one command. No figure is public; a signature of RSA-2048 takes chip cards some 0.3 to 1 s,
for which the card asks by S(WTX) where its frame waiting time (309 ms) is too short."""
OK: Final = b"\x90\x00"


class Answer(NamedTuple):
    """What a card answered: data and status word."""

    data: bytes
    status: bytes


class DeskCard:
    """A conversation with one card, until a deadline."""

    def __init__(self, card: Card, left_s: Callable[[], float]) -> None:
        self._card = card
        self._left_s = left_s
        self._selected: bytes | None = None
        """The SELECT that the card confirmed last; None: nothing that may be relied on."""

    def ask(self, command: bytes | bytearray) -> Answer:
        """Send one allowed command.

        Raises CommandNotAllowed (nothing is sent, and nothing of it repeated), CardGone or
        FrontEndFault.
        """
        if not self._is_allowed(command):
            raise CommandNotAllowed(f"{command[:4].hex()} is not allowed at this point")
        left_s = min(self._left_s(), COMMAND_S_MAX)
        if left_s <= 0:
            raise CardGone("the time for this card is over")
        before, self._selected = self._selected, None
        answer = self._card.transceive(bytes(command), left_s)
        data, status = answer[:-2], answer[-2:]
        if command != SELECT_JPKI_AP and command not in _FILES:
            self._selected = before
        elif status == OK:
            self._selected = bytes(command)
        return Answer(data, status)

    def _is_allowed(self, command: bytes | bytearray) -> bool:
        if command == SELECT_JPKI_AP:
            return True
        if command in _FILES:
            return self._selected is not None
        if command == ASK_TRIES or _VERIFY.fullmatch(command):
            return self._selected == SELECT_PIN
        if _SIGN.fullmatch(command):
            return self._selected == SELECT_KEY
        return bool(_READ.fullmatch(command)) and self._selected == SELECT_CERTIFICATE
