"""`staff-token`: the fixed UID of a Type A token, which came with the anticollision.

A UID of 4 bytes that begins with 08 is drawn anew at each presentation (ISO/IEC 14443-3, 6.5.4: a
phone, or a card that guards its holder), so it is never an identifier.
"""

from typing import Final

from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading
from wire.credential import Scheme

UID_BYTES: Final = (4, 7)
RANDOM_UID: Final = 0x08


def read(card: Reading) -> bytearray:
    """Return the 4 or 7 bytes. Raises NoIdentifier for a random UID; sends nothing."""
    uid = card.sensed_id
    if len(uid) not in UID_BYTES or (len(uid) == 4 and uid[0] == RANDOM_UID):
        raise NoIdentifier("not a fixed UID")
    return bytearray(uid)


SCHEME: Final = CardScheme(Scheme.STAFF_TOKEN, "106A", frozenset(), read)
