"""`felica-idm`: the IDm of the configured system, which came with the answer to the poll.

A card has an IDm per system, so the system code is part of a reader's configuration and the front
end polls it alone. An id that begins with 01 FE belongs to a phone in peer-to-peer mode and is
random (NFC Forum Digital Protocol, NFCID2): it is never an identifier.
"""

from typing import Final

from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading
from wire.credential import Scheme

IDM_BYTES: Final = 8
PEER_TO_PEER: Final = b"\x01\xfe"


def read(card: Reading) -> bytearray:
    """Return the 8 bytes. Raises NoIdentifier for a random id; sends nothing."""
    idm = card.sensed_id
    if len(idm) != IDM_BYTES or idm.startswith(PEER_TO_PEER):
        raise NoIdentifier("not the IDm of a card")
    return bytearray(idm)


SCHEME: Final = CardScheme(Scheme.FELICA_IDM, "212F", frozenset(), read)
