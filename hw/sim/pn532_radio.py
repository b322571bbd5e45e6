"""The PN532's radio: what its registers and its field make of a frame, and of the cards' answers.

Upheld: a card hears only what is sent as its technology sends it, CRC and odd bits included, 5 ms
after the field came on, and not while it is at work for a reader that gave up · an answer takes as
long as on the air and as the card thinks · a time-out really waits, from the end of the frame to
the start of the answer · answers that overlap are heard as the chip hears them.
"""

import random
from collections.abc import Callable
from typing import Final, NamedTuple

from hw.sim import pn532_registers as ciu
from hw.sim.air import FIELD_ON_US, TECHNOLOGIES, exchange_us
from hw.sim.card import Card
from hw.sim.crc import crc
from hw.sim.field import Field
from hw.sim.isodep import CRC_BYTES, Reply
from hw.sim.pcd import SELECT_LEVELS
from hw.sim.pn532_registers import Registers

# Status bytes (UM0701-02, 7.1).
TIMEOUT: Final = 0x01
CRC_ERROR: Final = 0x02
COLLISION: Final = 0x06

REQA: Final = b"\x26"
WHOLE_SELECT: Final = 0x70  # NVB of a SELECT with all its bytes, which alone carries a CRC
SHORT_FRAME_BITS: Final = 7  # REQA and WUPA (6.2.3.1)

POLLING_BYTES: Final = 6
SLOT_US: Final = 1208  # each time slot after the first: 256 * 64 / fc (JIS X 6319-4)

# CIU_Error after an exchange, by status (PN512 data sheet, ErrorReg).
_ERROR_BITS: Final = {CRC_ERROR: 0x04, COLLISION: 0x08}


class RadioError(Exception):
    """An exchange that failed, by its status byte."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:02X}")
        self.status = status


class Heard(NamedTuple):
    """The answers to a frame. `collided`: some overlapped; of Type A all are told, bit by bit."""

    answers: list[bytes]
    collided: bool = False


class Radio:
    """One radio over one field. `wait_us` passes time, and may raise to end whatever goes on.

    `now_us` is the clock that `wait_us` moves. FeliCa cards draw their time slots from `rng`. With
    `paced=False` cards are awake and have thought at once. With `type_b_mod_gsp_min` the module's
    antenna is one on which CIU_ModGsP must be at least so much for a Type B card to hear it.
    """

    def __init__(
        self,
        field: Field,
        wait_us: Callable[[float], None],
        now_us: Callable[[], float],
        rng: random.Random,
        *,
        paced: bool = True,
        type_b_mod_gsp_min: int = 0,
    ) -> None:
        self.registers = Registers()
        self._field = field
        self.wait_us = wait_us
        self._now_us = now_us
        self._rng = rng
        self._paced = paced
        self._type_b_mod_gsp_min = type_b_mod_gsp_min
        self._on = False
        self._ready_us = 0.0
        self._thinking: tuple[Card, ...] = ()
        self._thinking_until_us = 0.0
        field.lose_power()

    def switch(self, on: bool) -> None:
        """Switch the field on or off; the cards lose their power when it goes off."""
        control = self.registers.read(ciu.TX_CONTROL)
        bits = ciu.TRANSMITTERS if on else 0
        self.registers.write(ciu.TX_CONTROL, control & ~ciu.TRANSMITTERS | bits)
        self.follow_registers()

    def follow_registers(self) -> None:
        """Do what CIU_TxControl says of the field."""
        on = bool(self.registers.read(ciu.TX_CONTROL) & ciu.TRANSMITTERS)
        if on and not self._on:
            self._ready_us = self._now_us() + (FIELD_ON_US if self._paced else 0)
        elif self._on and not on:
            self._field.lose_power()
            self._thinking_until_us = 0.0
        self._on = on

    def get_ready(self) -> None:
        """Have the field on, long enough for every card to be awake."""
        self.switch(True)
        self.wait_us(max(0.0, self._ready_us - self._now_us()))

    def communicate(self, data: bytes, timeout_us: float) -> bytes:
        """Exchange bytes just as the registers say. Raises RadioError."""
        technology = self.registers.technology
        bits = self.registers.read(ciu.BIT_FRAMING) & ciu.LAST_BITS
        checked = _carries_crc(technology, data, bits)
        frame = self._sent(technology, data, bits, checked)
        heard = (
            self._nobody(timeout_us) if frame is None else self.ask(technology, frame, timeout_us)
        )
        answer = self._result(data, heard, technology)
        if not self.registers.read(ciu.RX_MODE) & ciu.CRC:
            return answer + (crc(technology, answer) if checked else b"")
        if not checked:
            raise self._failure(data, CRC_ERROR)
        return answer

    def exchange(self, technology: str, frame: bytes, timeout_us: float) -> bytes:
        """Exchange a frame (without CRC) as the firmware does it. Raises RadioError."""
        return self._result(frame, self.ask(technology, frame, timeout_us), technology)

    def ask(self, technology: str, frame: bytes, timeout_us: float) -> Heard:
        """Send a frame (without CRC) and hear who answers it in time."""
        if not self._is_heard(technology):
            return self._nobody(timeout_us)
        asked = self._field.ask(technology, frame)
        replies = self._slotted(frame, asked.replies) if technology[-1] == "F" else asked.replies
        sent_us = exchange_us(technology, len(frame), 0)
        self._think(asked.cards, sent_us, replies)
        replies = [reply for reply in replies if reply.cpu_us <= timeout_us]
        if not replies:
            return self._nobody(sent_us + timeout_us)
        took_us = [exchange_us(technology, len(frame), len(r.data)) + r.cpu_us for r in replies]
        self.wait_us(max(took_us))
        apart = _apart(technology, replies)
        answers = [self._field.hear(asked, technology, reply.data) for reply in apart]
        if apart and not any(answers):
            return self._nobody(timeout_us)  # they left while they thought
        return Heard(answers, collided=len(apart) < len(replies) or len(apart) > 1)

    def _is_heard(self, technology: str) -> bool:
        """Whether cards of a technology are awake, not at work, and strong enough addressed."""
        now_us = self._now_us()
        at_work = self._field.cards is self._thinking and now_us < self._thinking_until_us
        if technology not in TECHNOLOGIES or not self._on or now_us < self._ready_us or at_work:
            return False
        weak = self.registers.read(ciu.MOD_GSP) < self._type_b_mod_gsp_min
        return not (weak and technology[-1] == "B")

    def _think(self, cards: tuple[Card, ...], sent_us: float, replies: list[Reply]) -> None:
        """Remember until when cards are deaf, should nobody wait for their answers."""
        longest_us = max((reply.cpu_us for reply in replies), default=0)
        until_us = self._now_us() + sent_us + longest_us if self._paced else 0.0
        self._thinking, self._thinking_until_us = cards, until_us

    def _nobody(self, timeout_us: float) -> Heard:
        self.wait_us(timeout_us)
        return Heard([])

    def _sent(self, technology: str, data: bytes, bits: int, checked: bool) -> bytes | None:
        """What a card hears of bytes that are sent as the registers say; None: nothing whole."""
        if bits and not _is_short(technology, data, bits):
            return None
        if self.registers.read(ciu.TX_MODE) & ciu.CRC:
            return data if checked else None
        if not checked:
            return data
        body, given = data[:-CRC_BYTES], data[-CRC_BYTES:]
        return body if given == crc(technology, body) else None

    def _slotted(self, frame: bytes, replies: list[Reply]) -> list[Reply]:
        """Let FeliCa cards that answer a Polling draw their time slots."""
        if len(frame) != POLLING_BYTES or frame[1] != 0x00:
            return replies
        slots = [self._rng.randint(0, frame[5]) * SLOT_US for _ in replies]
        return [
            reply._replace(cpu_us=reply.cpu_us + slot_us)
            for reply, slot_us in sorted(zip(replies, slots, strict=True), key=lambda pair: pair[1])
        ]

    def _result(self, sent: bytes, heard: Heard, technology: str) -> bytes:
        """The one answer that an exchange has. Raises RadioError when there is none."""
        if heard.collided and technology[-1] == "A":
            raise self._failure(sent, COLLISION)
        if not heard.answers:
            raise self._failure(sent, CRC_ERROR if heard.collided else TIMEOUT)
        self.registers.leave(sent, 0, ciu.RECEIVED)
        return heard.answers[0]

    def _failure(self, sent: bytes, status: int) -> RadioError:
        events = ciu.TIMER if status == TIMEOUT else ciu.RECEIVED | ciu.FAILED
        self.registers.leave(sent, _ERROR_BITS.get(status, 0), events)
        return RadioError(status)


def _apart(technology: str, replies: list[Reply]) -> list[Reply]:
    """The answers that a reader can tell apart: Type A's bit by bit, FeliCa's by their slots."""
    if technology[-1] == "A" or len(replies) == 1:
        return replies
    at_us = [reply.cpu_us for reply in replies]
    slotted = technology[-1] == "F"
    return [reply for reply in replies if slotted and at_us.count(reply.cpu_us) == 1]


def _is_short(technology: str, data: bytes, bits: int) -> bool:
    return technology[-1] == "A" and len(data) == 1 and bits == SHORT_FRAME_BITS


def _carries_crc(technology: str, data: bytes, bits: int) -> bool:
    """Whether a frame, and the answer to it, carry a CRC: all but Type A's anticollision."""
    if technology[-1] != "A":
        return True
    anticollision = data[:1] in SELECT_LEVELS and data[1:2] < bytes([WHOLE_SELECT])
    return not anticollision and not _is_short(technology, data, bits)
