"""What an ATR tells of a card in a PC/SC reader.

Contact cards send one (ISO/IEC 7816-3). For contactless cards the reader makes one up (PC/SC part
3, 3.1.3.2.3): `3B 8n 80 01`, n historical bytes, which are what the card said of itself, and a
check sum. For cards without APDUs these bytes name the standard and the kind of card.
"""

from typing import Final

from edge.frontends import Technology

CONTACTLESS: Final = bytes.fromhex("8001")
"""TD1 and TD2; before them T0 is 80 plus the number of historical bytes."""
TYPE_B_HISTORICAL_BYTES: Final = 8
"""Application data and protocol info of the ATQB, and MBLI (PC/SC part 3, 3.1.3.2.3.1). A card of
Type A may have as many, and an id of four bytes besides: then it is asked as one of Type B."""
PUPI_BYTES: Final = 4
STORAGE_CARD: Final = bytes.fromhex("804F0CA000000306")
"""RID of the PC/SC workgroup; one byte for the standard, two for the name and four zeros follow
(PC/SC part 3, supplemental document)."""
STORAGE_HISTORICAL_BYTES: Final = 15
TYPE_A_STANDARDS: Final = (0x01, 0x02, 0x03)
"""ISO/IEC 14443 A, parts 1 to 3."""
FELICA_STANDARD: Final = 0x11
FELICA_NAMES: Final = (b"\x00\x3b", b"\xf0\x11", b"\xf0\x12")
"""003B: FeliCa, as the document has it. F011 and F012: FeliCa at 212 and 424 kbit/s, which ACR122
readers say beside the standard of Type A (ACR122U API, 3.1)."""


def technology_of(atr: bytes, sensed_id: bytes) -> tuple[Technology | None, bool]:
    """Say what a card is and whether it takes APDUs; None for no card of ours.

    `sensed_id`: what the reader gave as the card's id, empty when it gave none. A contact card
    counts as 106B: a My Number Card in a contact reader is asked the same and answers the same.
    """
    historical = atr[4:-1]
    if historical.startswith(STORAGE_CARD) and len(historical) == STORAGE_HISTORICAL_BYTES:
        return _storage_technology(historical[8], historical[9:11]), False
    made_up = atr[2:4] == CONTACTLESS and atr[1:2] == bytes([0x80 | len(historical)])
    type_b = len(historical) == TYPE_B_HISTORICAL_BYTES and len(sensed_id) == PUPI_BYTES
    return ("106A" if made_up and not type_b else "106B"), True


def _storage_technology(standard: int, name: bytes) -> Technology | None:
    if standard == FELICA_STANDARD or name in FELICA_NAMES:
        return "212F"
    return "106A" if standard in TYPE_A_STANDARDS else None
