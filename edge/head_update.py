"""Another firmware for the reader head, over its link: `kazasu-edge head PATH --update BUNDLE`.

What is sent and how the head keeps its way back: docs/reader-head.md. Upheld: what is no bundle is
never begun · a head that is busy is asked again, for so long · firmware is kept only when it has
come up and its chip answers; else the head goes back to the former by itself · at any error nothing
is worse than before.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final

from edge.head import Head, HeadGone, HeadRefused
from wire import headbundle, headlink
from wire.headlink import Op

PIECE: Final = 256
FLASH_S: Final = 3.0
"""BEGIN empties a folder, END reads one: two seconds at most on the board."""
BUSY_S: Final = 15.0
"""A door's pulse lasts ten, a command of the chip one."""
PAUSE_S: Final = 0.2
RESTART_S: Final = 20.0
"""Gone and back on the USB within two; a slot that hangs is left after 8.4 s."""
CHIP_S: Final = 1.0
FELL_BACK: Final = 1 << headlink.FAULTS.index("fell-back")


class UpdateFailed(Exception):
    """The head runs what it ran before, or will after its next start; the text says what to do."""


def update(head: Head, bundle: bytes, said: Callable[[str], None]) -> None:
    """Bring the head to this firmware, and tell `said` each step. Raises UpdateFailed, HeadGone."""
    try:
        modules = headbundle.unpack(bundle)
    except ValueError as error:
        raise UpdateFailed(f"this is no firmware for a head: {error}") from error
    said(f"sending {len(modules)} modules, {len(bundle)} bytes")
    _ask(head, headlink.UPDATE_BEGIN, len(bundle), hashlib.sha256(bundle).digest())
    for offset in range(0, len(bundle), PIECE):
        _ask(head, headlink.UPDATE_DATA, offset, tail=bundle[offset : offset + PIECE])
    _ask(head, headlink.UPDATE_END)
    said("on trial: the head restarts")
    _come_back(head, head.openings)
    if tell(head, said) & FELL_BACK:
        raise UpdateFailed("it could not begin, and the head went back to its former firmware")
    try:
        _ask(head, headlink.NFC_RESET, headlink.NFC_SPEEDS[0], within_s=CHIP_S)
    except UpdateFailed as error:
        raise UpdateFailed(
            f"on trial its chip is silent; in five minutes it goes back: {error}"
        ) from error
    _ask(head, headlink.HEALTHY)
    said("its chip answers: this firmware stays")


def tell(head: Head, said: Callable[[str], None]) -> int:
    """Tell `said` what the head is, and return its faults. Raises HeadGone, UpdateFailed.

    What the head had kept until it was told, as an opened lid, is told here, and not to the agent.
    """
    ignition, opened, tenths, mv, faults = _ask(head, headlink.SENSE)
    hello = head.hello
    if hello is None:
        raise HeadGone("it was unplugged")
    raised = [name for bit, name in enumerate(headlink.FAULTS) if faults >> bit & 1]
    said(
        f"head {hello.unique_id}, board {hello.board}, "
        f"firmware {'.'.join(map(str, hello.firmware))}, "
        f"ignition {'on' if ignition else 'off'}, lid {'opened' if opened else 'closed'}, "
        f"{tenths / 10} °C, {mv / 1000} V" + "".join(f", {name}" for name in raised)
    )
    return int(faults)


def _ask(
    head: Head, op: Op, *values: object, tail: bytes = b"", within_s: float = FLASH_S
) -> tuple[Any, ...]:
    """Ask until the head is free for it. Raises UpdateFailed when it is not, or does not do it."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            return head.ask(op, *values, tail=tail, within_s=within_s)
        except HeadRefused as refused:
            if refused.errno != headlink.NOT_NOW or time.monotonic() >= until_s:
                raise UpdateFailed(f"{refused} (error {refused.errno})") from refused
        time.sleep(PAUSE_S)


def _come_back(head: Head, openings: int) -> None:
    """Wait for the head to be greeted anew."""
    until_s = time.monotonic() + RESTART_S
    while time.monotonic() < until_s:
        try:
            head.ask(headlink.PING)
        except HeadGone:
            time.sleep(PAUSE_S)
            continue
        if head.openings > openings:
            return
        time.sleep(PAUSE_S)
    raise UpdateFailed("it does not come back: unplug it and plug it in, and look what it says")
