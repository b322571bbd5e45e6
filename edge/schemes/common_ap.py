"""`common-ap`: the serial of a My Number Card's common card application, in two commands.

Record 1 is `01 1C` and 28 ASCII digits: 15 of the card's serial, 5 of the municipality, 8 of the
last day (soltia48/myna-card common.rs; jpki/myna unknown.rs). The identifier is the 15 digits: they
change only when the physical card does. The rest is left in the card's answer and forgotten.
"""

from typing import Final

from edge.schemes.allowlist import (
    READ_COMMON_RECORD,
    SELECT_COMMON_AP,
    CardScheme,
    NoIdentifier,
    Reading,
)
from wire.credential import Scheme

TAG_AND_LENGTH: Final = b"\x01\x1c"
RECORD_BYTES: Final = 30
SERIAL_DIGITS: Final = 15


def read(card: Reading) -> bytearray:
    """Return the 15 digits. Raises NoIdentifier when the record has another shape."""
    card.ask(SELECT_COMMON_AP)
    return serial(card.ask(READ_COMMON_RECORD))


def serial(record: bytes) -> bytearray:
    """Return the serial of a record. Raises NoIdentifier."""
    digits = record[2 : 2 + SERIAL_DIGITS]
    if len(record) != RECORD_BYTES or record[:2] != TAG_AND_LENGTH or not digits.isdigit():
        raise NoIdentifier("record 1 of the common application has another shape")
    return bytearray(digits)


SCHEME: Final = CardScheme(
    Scheme.COMMON_AP, "106B", frozenset((SELECT_COMMON_AP, READ_COMMON_RECORD)), read
)
