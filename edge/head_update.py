"""How a firmware gets into the head's other slot: piece by piece, and begun once.

What goes on from there is its caller's: a head that comes back is to be tried, and told HEALTHY;
without that the former firmware comes back by itself (firmware/update.py).
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from edge.head import Head
from wire import headbundle, headlink

PIECE_BYTES: Final = 256
"""A page of the flash."""
FLASH_S: Final = 5.0
"""BEGIN and END take up to two seconds (docs/reader-head.md): the slot is emptied, and hashed."""


def sent(head: Head, bundle: bytes) -> Iterator[int]:
    """Send a bundle (wire/headbundle.py) and let the head restart into it; yield bytes sent.

    Raises ValueError for what is no bundle, HeadGone, and HeadRefused: an update that was begun is
    then to be begun again.
    """
    headbundle.unpack(bundle)
    head.ask(
        headlink.UPDATE_BEGIN, len(bundle), hashlib.sha256(bundle).digest(), within_s=FLASH_S
    )
    for offset in range(0, len(bundle), PIECE_BYTES):
        piece = bundle[offset : offset + PIECE_BYTES]
        head.ask(headlink.UPDATE_DATA, offset, tail=piece, within_s=FLASH_S)
        yield offset + len(piece)
    head.ask(headlink.UPDATE_END, within_s=FLASH_S)
