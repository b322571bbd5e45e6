"""The radio of an RC-S380: what its settings and its field make of a frame, and of the answers.

The settings are those that nfcpy 1.0.4 (clf/rcs380.py) and Linux (drivers/nfc/port100.c) send; no
manual of the device is public. Upheld: a card hears only what is sent as its technology sends it,
5 ms after the field came on, and not while it thinks for a reader that gave up · the field comes on
with the first frame and goes off when told to (nfcpy never switches it on) · an answer takes as
long as on the air and as the card thinks.
"""

import enum
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from hw.sim.air import FIELD_ON_US, exchange_us
from hw.sim.card import Card
from hw.sim.crc import crc
from hw.sim.field import Asked, Field
from hw.sim.isodep import CRC_BYTES
from hw.sim.pcd import SELECT_LEVELS
from hw.sim.typea import REQA, WUPA

TECHNOLOGIES: Final = {
    bytes.fromhex("01010F01"): "212F",
    bytes.fromhex("01020F02"): "424F",
    bytes.fromhex("02030F03"): "106A",
    bytes.fromhex("03070F07"): "106B",
    bytes.fromhex("03080F08"): "212B",
    bytes.fromhex("03090F09"): "424B",
}
"""InSetRF: set and type for sending, set and type for receiving. 212A and 424A are left out."""

ADD_CRC, CHECK_CRC, ADD_PARITY, LAST_BITS, ADD_SOF, ADD_EOF = 0x01, 0x02, 0x04, 0x07, 0x09, 0x0B
"""InSetProtocol: those of its settings without which a card hears nothing."""
SETTING_MAX: Final = 0x13
FRAME_BYTES_MAX: Final = 256
"""The longest that a card may send, CRC included (ISO/IEC 14443-4:2001, table 1); what follows is
an overflow. nfcpy takes 300 bytes with all that is around them."""
WHOLE_SELECT: Final = b"\x70"  # NVB of a SELECT with all its bytes, which alone carries a CRC


class Status(enum.IntEnum):
    """How an exchange ended: the bits of InCommRF's status, as nfcpy names them."""

    FINE = 0
    PROTOCOL = 0x01
    PARITY = 0x02
    CRC = 0x04
    COLLISION = 0x08
    OVERFLOW = 0x10
    TEMPERATURE = 0x40
    RECEIVE_TIMEOUT = 0x80
    CRYPTO1 = 0x100
    RFCA = 0x200
    RF_OFF = 0x400
    TRANSMIT_TIMEOUT = 0x800
    RECEIVE_LENGTH = 0x8000_0000


class Exchange(NamedTuple):
    """An exchange that has begun: when it ends, and how, which is known only then."""

    due_s: float
    end: Callable[[], tuple[Status, bytes]]


class Radio:
    """One radio over one field; times are the monotonic clock's."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._technology = ""
        self._settings: dict[int, int] = {}
        self._on = False
        self._ready_s = 0.0
        self._thinking: tuple[Card, ...] = ()
        self._thinking_until_s = 0.0
        field.lose_power()

    def switch(self, on: bool) -> None:
        """Switch the field on or off; the cards lose their power when it goes off."""
        if on and not self._on:
            self._ready_s = time.monotonic() + FIELD_ON_US / 1e6
        elif self._on and not on:
            self._field.lose_power()
            self._thinking_until_s = 0.0
        self._on = on

    def set_technology(self, numbers: bytes) -> bool:
        """Choose bit rate and modulation; False for numbers that mean none."""
        self._technology = TECHNOLOGIES.get(numbers, "")
        return bool(self._technology)

    def set_protocol(self, pairs: bytes) -> bool:
        """Take settings, a number and a value each; False when one has no such number."""
        settings = dict(zip(pairs[::2], pairs[1::2], strict=False))
        if len(pairs) % 2 or any(number > SETTING_MAX for number in settings):
            return False
        self._settings |= settings
        return True

    def begin(self, frame: bytes, timeout_us: int) -> Exchange:
        """Send a frame (without CRC, where the settings add it) and listen for so long."""
        self.switch(True)
        sent_us = exchange_us(self._technology, len(frame), 0) if self._technology else 0
        start_s = max(time.monotonic(), self._ready_s)
        silent = Exchange(
            start_s + (sent_us + timeout_us) / 1e6, lambda: (Status.RECEIVE_TIMEOUT, b"")
        )
        if not self._is_heard(frame, start_s):
            return silent
        asked = self._field.ask(self._technology, frame)
        cpu_us = [reply.cpu_us for reply in asked.replies]
        self._thinking = asked.cards
        self._thinking_until_s = start_s + (sent_us + max(cpu_us, default=0)) / 1e6
        asked = asked._replace(replies=[one for one in asked.replies if one.cpu_us <= timeout_us])
        if not asked.replies:
            return silent
        took_us = self._took_us(frame, asked)
        return Exchange(start_s + took_us / 1e6, lambda: self._end(frame, asked))

    def _is_heard(self, frame: bytes, at_s: float) -> bool:
        if not self._technology:
            return False
        needed = _needed(self._technology, frame)
        fits = all(self._settings.get(number) == value for number, value in needed)
        at_work = self._field.cards is self._thinking and at_s < self._thinking_until_s
        return fits and not at_work

    def _took_us(self, frame: bytes, asked: Asked) -> int:
        return max(
            exchange_us(self._technology, len(frame), len(reply.data)) + reply.cpu_us
            for reply in asked.replies
        )

    def _end(self, frame: bytes, asked: Asked) -> tuple[Status, bytes]:
        if len(asked.replies) > 1:
            return (Status.COLLISION if self._technology[-1] == "A" else Status.CRC), b""
        data = self._field.hear(asked, self._technology, asked.replies[0].data)
        if not data:
            return Status.RECEIVE_TIMEOUT, b""  # it left while it thought
        carried = _carries_crc(self._technology, frame)
        if len(data) + (CRC_BYTES if carried else 0) > FRAME_BYTES_MAX:
            return Status.OVERFLOW, b""
        if self._settings.get(CHECK_CRC):
            return (Status.FINE, data) if carried else (Status.CRC, b"")
        return Status.FINE, data + (crc(self._technology, data) if carried else b"")


def _needed(technology: str, frame: bytes) -> Iterable[tuple[int, int]]:
    """The settings with which a card understands a frame."""
    yield ADD_CRC, int(_carries_crc(technology, frame))
    if technology[-1] == "A" and frame in (REQA, WUPA):
        yield LAST_BITS, 7  # a short frame (ISO/IEC 14443-3, 6.2.3.1), which ends without parity
        return
    yield LAST_BITS, 8
    if technology[-1] == "A":
        yield ADD_PARITY, 1
    if technology[-1] == "B":
        yield ADD_SOF, 1
        yield ADD_EOF, 1


def _carries_crc(technology: str, frame: bytes) -> bool:
    """Whether a frame, and the answer to it, carry a CRC: all but Type A's anticollision."""
    if technology[-1] != "A":
        return True
    anticollision = frame[:1] in SELECT_LEVELS and frame[1:2] < WHOLE_SELECT
    return not anticollision and frame not in (REQA, WUPA)
