"""The My Number Card: all its applications, and what can be amiss with a card.

Identifiers, files, access rules and status words follow public readers of the real card (OpenSC
card-jpki.c, jpki/myna, soltia48/myna-card); what each application holds is in `jpki` and `eid`.
"""

import random
from functools import partial
from typing import Final

from hw.sim.chip import APDU_MS, Chip
from hw.sim.chipdata import ChipData, Purpose
from hw.sim.eid import NOBODYS_NUMBER, PIN_TRIES, face, input_support
from hw.sim.files import Application, Pin, PrivateKey, Records
from hw.sim.jpki import jpki
from hw.sim.typeb import TypeBCard

__all__ = (
    "CARD_MANAGER",
    "COMMON_AP",
    "CONTACT_ATR",
    "FACE_AP",
    "INPUT_SUPPORT_AP",
    "JPKI_AP",
    "NOBODYS_NUMBER",
    "REGISTER_AP",
    "ChipData",
    "MyNumberCard",
)

COMMON_AP: Final = bytes.fromhex("D3921000310001010100")
REGISTER_AP: Final = bytes.fromhex("D3921000310001010401")
JPKI_AP: Final = bytes.fromhex("D392F000260100000001")
INPUT_SUPPORT_AP: Final = bytes.fromhex("D3921000310001010408")
FACE_AP: Final = bytes.fromhex("D3921000310001010402")
CARD_MANAGER: Final = bytes.fromhex("A0000001510000")
"""GlobalPlatform's issuer security domain, which is selected when the field goes on."""

CONTACT_ATR: Final = bytes.fromhex("3BE000FF8131FE4514")
"""Of the card's contacts (OpenSC card-jpki.c); GET DATA 5F51 gives it without its first byte."""
KEY_REFERENCE: Final = b"0000030\x08\x05001" + bytes(4)
"""The same in two applications; which key it names is not known."""


class MyNumberCard(TypeBCard):
    """A My Number Card with all its applications.

    `pupi` is fixed, or drawn at each activation, or by default one of the card's own.
    `filler` bytes FF follow each certificate in its file; `common_ap` can be missing; the rest of
    the keywords are the chip's (see `cards.Chip`).
    """

    def __init__(
        self,
        data: ChipData,
        pupi: bytes | random.Random | None = None,
        *,
        filler: int = 0,
        common_ap: bool = True,
        apdu_ms: float = APDU_MS,
        wtx_ms: float | None = None,
        wrong_status: dict[int, int] | None = None,
    ) -> None:
        self.data = data
        manager = _card_manager(data)
        applications = {
            CARD_MANAGER: manager,
            JPKI_AP: jpki(data, filler=filler),
            INPUT_SUPPORT_AP: input_support(data),
            FACE_AP: face(data),
            REGISTER_AP: _register(data),
        }
        if common_ap:
            applications[COMMON_AP] = _common(data)
        chip = Chip(
            applications, manager, apdu_ms=apdu_ms, wtx_ms=wtx_ms, wrong_status=wrong_status
        )
        super().__init__(chip, pupi or (int(data.serial) % 2**32).to_bytes(4, "big"))

    @property
    def certificate(self) -> bytes:
        """DER of the user authentication certificate."""
        return self.data.certificate()


def _common(data: ChipData) -> Application:
    """共通カード: the card's own number, free to read, and a key that answers a challenge."""
    return Application(
        {
            0x0001: Records((data.common_record(),)),
            0x0002: Records((KEY_REFERENCE,)),
            0x0019: PrivateKey(partial(data.key, Purpose.COMMON), authenticates=True),
            0x001C: Pin(data.secrets.register, PIN_TRIES),
        }
    )


def _register(data: ChipData) -> Application:
    """住基: a PIN of its own; nothing that it opens has been found."""
    return Application(
        {0x0002: Records((KEY_REFERENCE,)), 0x001C: Pin(data.secrets.register, PIN_TRIES)}
    )


def _card_manager(data: ChipData) -> Application:
    """GET DATA alone: 0045 the card's number, 00F0 municipality, 00F2 expiry, 5F51 contact ATR."""
    return Application(
        objects={
            0x0045: f"{data.serial}A".encode(),
            0x00F0: data.municipality.encode(),
            0x00F2: f"{data.expires:%Y%m%d}".encode(),
            0x5F51: CONTACT_ATR[1:],
        }
    )
