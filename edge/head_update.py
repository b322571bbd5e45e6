"""How a firmware gets into the head's other slot, is tried, and stays: three steps of its caller's.

What is sent and how the head keeps its way back: docs/reader-head.md. Upheld: what is no bundle is
never begun · a head that is busy is asked again, for so long · a firmware is kept only when it has
come up and its chip answers; else the head goes back to the former by itself · at any error nothing
is worse than before.
"""

import hashlib
import time
from collections.abc import Iterator
from typing import Any, Final

from edge.head import Head, HeadGone, HeadRefused
from wire import headbundle, headlink
from wire.headlink import Op

PIECE_BYTES: Final = 256
"""A page of the flash."""
FLASH_S: Final = 5.0
"""BEGIN empties a folder, END reads one: two seconds at most on the board."""
BUSY_S: Final = 15.0
"""A door's pulse lasts ten, a command of the chip one."""
RESTART_S: Final = 20.0
"""Gone and back on the USB within two; a slot that hangs is left after 8.4 s."""
PAUSE_S: Final = 0.1
FELL_BACK: Final = 1 << headlink.FAULTS.index("fell-back")


def sent(head: Head, bundle: bytes) -> Iterator[int]:
    """Send a bundle (wire/headbundle.py) and let the head restart into it; yield bytes sent.

    Raises ValueError for what is no bundle, HeadGone, and HeadRefused: an update that was begun is
    then to be begun again.
    """
    headbundle.unpack(bundle)
    _ask(head, headlink.UPDATE_BEGIN, len(bundle), hashlib.sha256(bundle).digest())
    for offset in range(0, len(bundle), PIECE_BYTES):
        piece = bundle[offset : offset + PIECE_BYTES]
        _ask(head, headlink.UPDATE_DATA, offset, tail=piece)
        yield offset + len(piece)
    _ask(head, headlink.UPDATE_END)


def begun(head: Head) -> bool:
    """Wait until the head has restarted; True if it runs what was sent just now."""
    openings, until_s = head.openings, time.monotonic() + RESTART_S
    while time.monotonic() < until_s:
        try:
            faults = head.ask(headlink.SENSE)[4]
            if head.openings > openings:
                return not faults & FELL_BACK  # which is told once
        except HeadGone:
            pass  # it is restarting
        time.sleep(PAUSE_S)
    return False


def keep(head: Head) -> None:
    """Keep what runs, if its chip answers. Raises HeadGone and HeadRefused."""
    _ask(head, headlink.NFC_RESET, min(headlink.NFC_SPEEDS))
    _ask(head, headlink.HEALTHY)


def _ask(head: Head, op: Op, *values: object, tail: bytes = b"") -> tuple[Any, ...]:
    """Ask until the head is free for it."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            return head.ask(op, *values, tail=tail, within_s=FLASH_S)
        except HeadRefused as refused:
            if refused.errno != headlink.NOT_NOW or time.monotonic() >= until_s:
                raise
        time.sleep(PAUSE_S)
