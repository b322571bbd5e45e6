"""An RC-S380 (NFC Port-100) on USB: its two bulk endpoints, with cards in its field.

Frames and commands are those that nfcpy 1.0.4 (clf/rcs380.py, and its tests) and Linux
(drivers/nfc/port100.c) send and understand, and that logs of real devices show; no manual is
public. Upheld: a frame comes out when its command is done, and not before · what is not fetched
stays there, in front of what comes later · an ACK from the host ends the command that still runs.
How long the device itself takes is not known: here it takes no time.
"""

import enum
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import Final, NamedTuple

from hw.sim.card import Card
from hw.sim.field import Field, Frame
from hw.sim.rcs380_radio import Radio, Status

VENDOR: Final = 0x054C
PRODUCT: Final = 0x06C3
NAMES: Final = ("SONY", "RC-S380/P")
"""As the device says them of itself (a log of nfcpy in marioninc/webusb-felica, demo.html)."""
VERSION: Final = b"\x11\x01"
DATA_VERSION: Final = b"\x00\x01"
"""Firmware 1.11, package data format 1.00: what the devices say in both logs."""
COMMAND_TYPES: Final = (b"\x00", b"\x01")

ACK: Final = bytes.fromhex("0000FF00FF00")
START: Final = bytes.fromhex("0000FFFFFF")
COMMAND, ANSWER = 0xD6, 0xD7
TIMEOUT_STEP_US: Final = 100
"""InCommRF's timeout: nfcpy and port100.c send ten times their milliseconds."""
FINE, WRONG_PARAMETER = b"\x00", b"\x01"
WHOLE_BYTES: Final = b"\x08"
"""How many bits of an answer's last byte are valid; stands before the answer's data."""
COMMANDS_MAX: Final = 10_000
"""How many commands are remembered."""
LOOK_S: Final = 0.05


class Command(enum.IntEnum):
    """What a reader of cards needs; the device can also be a card (Tg…) and be updated."""

    IN_SET_RF = 0x00
    IN_SET_PROTOCOL = 0x02
    IN_COMM_RF = 0x04
    SWITCH_RF = 0x06
    GET_FIRMWARE_VERSION = 0x20
    GET_DATA_VERSION = 0x22
    SET_COMMAND_TYPE = 0x2A


class Fault(enum.Enum):
    """What can go wrong with one command."""

    TRANSFER_FAILS = "the transfer of the command fails on the bus"
    COMMAND_LOST = "the command is neither acknowledged nor answered"
    HANGS = "it is acknowledged, and the device hangs until it is plugged in again"
    ANSWERED_TWICE = "it is answered twice, and so all that come later are answered too late"
    REFUSED = "a setting is refused as a wrong parameter"
    NO_DATA = "its answer has no data"


class Unplugged(ConnectionError):
    """The device is not on the bus any more."""


class Stalled(ConnectionError):
    """A transfer failed."""


class _Ready(NamedTuple):
    """What the host will fetch, and when it is there."""

    due_s: float
    frame: Callable[[], bytes]


class RCS380:
    """One device. `write` and `read` are the host's; all else may be called from any thread.

    `transcript` is called with each `Frame` on the air, in the host's thread. `commands` holds what
    the host has asked: each command's code and data.
    """

    def __init__(self, transcript: Callable[[Frame], None] | None = None) -> None:
        self.address = 1
        """Its number on the bus, another one at each plug."""
        self.commands: deque[bytes] = deque(maxlen=COMMANDS_MAX)
        self._field = Field(transcript)
        self._faults: deque[Fault | None] = deque()
        self._statuses: deque[Status] = deque()
        self._gone = Event()
        self._power_on()

    def _power_on(self) -> None:
        self._radio = Radio(self._field)
        self._ready: deque[_Ready] = deque()
        self._hangs = False

    @property
    def is_there(self) -> bool:
        """Whether it is on the bus."""
        return not self._gone.is_set()

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others, over the device."""
        self._field.place(*cards)

    def remove(self) -> None:
        """Take away what is held there. An answer that is still on its way is lost."""
        self._field.place()

    def fail_next(self, *faults: Fault | None) -> None:
        """Let the next commands go wrong, one fault each, in this order; None: it goes well."""
        self._faults.extend(faults)

    def end_next(self, *statuses: Status) -> None:
        """Let the next exchanges with cards end so, whatever the cards say."""
        self._statuses.extend(statuses)

    def unplug(self) -> None:
        """Take the device off the bus, also from a host that waits for it; it loses its power."""
        self._gone.set()
        self._field.lose_power()

    def plug(self) -> None:
        """Put the device on the bus again."""
        self._power_on()
        self.address += 1
        self._gone.clear()

    # --- the host's side -------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Take a frame. Raises Unplugged or Stalled."""
        if self._gone.is_set():
            raise Unplugged
        if data == ACK:
            now_s = time.monotonic()
            self._ready = deque(ready for ready in self._ready if ready.due_s <= now_s)
            return
        command = _command(data)
        if command is None or self._hangs:
            return
        self.commands.append(command)
        self._obey(command[0], command[1:], self._faults.popleft() if self._faults else None)

    def read(self, timeout_ms: int) -> bytes:
        """Return the next frame; wait for ever with 0. Raises Unplugged or TimeoutError."""
        now_s = time.monotonic()
        end_s = now_s + timeout_ms / 1000 if timeout_ms else math.inf
        while not self._gone.is_set():
            due_s = self._ready[0].due_s if self._ready else math.inf
            if due_s <= now_s:
                return self._ready.popleft().frame()
            if now_s >= end_s:
                raise TimeoutError
            self._gone.wait(min(due_s, end_s, now_s + LOOK_S) - now_s)
            now_s = time.monotonic()
        raise Unplugged

    def _obey(self, code: int, data: bytes, fault: Fault | None) -> None:
        if fault is Fault.TRANSFER_FAILS:
            raise Stalled
        if fault is Fault.COMMAND_LOST:
            return
        self._ready.append(_Ready(0.0, lambda: ACK))
        if fault is Fault.HANGS:
            self._hangs = True
            return
        on_air = code == Command.IN_COMM_RF
        answer = self._communicate(data) if on_air else _at_once(self._set(code, data))
        if fault in (Fault.REFUSED, Fault.NO_DATA):
            answer = _at_once(WRONG_PARAMETER if fault is Fault.REFUSED else b"")
        ready = _Ready(answer.due_s, lambda: frame(bytes([ANSWER, code + 1]) + answer.frame()))
        self._ready.extend([ready] * (2 if fault is Fault.ANSWERED_TWICE else 1))

    def _set(self, code: int, data: bytes) -> bytes:
        """Carry out a command without the air, and return its answer's data."""
        match code:
            case Command.GET_FIRMWARE_VERSION:
                return VERSION
            case Command.GET_DATA_VERSION:
                return DATA_VERSION
            case Command.IN_SET_RF:
                done = self._radio.set_technology(data)
            case Command.IN_SET_PROTOCOL:
                done = self._radio.set_protocol(data)
            case Command.SWITCH_RF:
                done = data in (b"\x00", b"\x01")
                self._radio.switch(data == b"\x01")
            case Command.SET_COMMAND_TYPE:
                done = data in COMMAND_TYPES
            case _:
                raise NotImplementedError(f"nobody has said what an RC-S380 does at {code:02X}")
        return FINE if done else WRONG_PARAMETER

    def _communicate(self, data: bytes) -> _Ready:
        timeout_us = TIMEOUT_STEP_US * int.from_bytes(data[:2], "little")
        exchange = self._radio.begin(data[2:], timeout_us)

        def answer() -> bytes:
            status, heard = exchange.end()
            if self._statuses:
                status = self._statuses.popleft()
            return status.to_bytes(4, "little") + (b"" if status else WHOLE_BYTES + heard)

        return _Ready(exchange.due_s, answer)


def _at_once(data: bytes) -> _Ready:
    return _Ready(0.0, lambda: data)


def frame(payload: bytes) -> bytes:
    """Frame D6 or D7, code and data: with their length, and the check sums of both (port100.c)."""
    length = len(payload).to_bytes(2, "little")
    sums = bytes([-sum(length) & 0xFF]), bytes([-sum(payload) & 0xFF])
    return START + length + sums[0] + payload + sums[1] + b"\x00"


def _command(data: bytes) -> bytes | None:
    """Return the code and data of a command; None when its frame is not whole."""
    size = int.from_bytes(data[5:7], "little")
    payload = data[8 : 8 + size]
    whole = size >= 2 and data == frame(payload)
    return payload[1:] if whole and payload[0] == COMMAND else None
