"""The PN532 itself: woken at whatever speed it has, tested, set up, and its registers learnt.

By nfcpy's chip class, which speaks to it in frames (user manual: NXP UM0701-02) on a serial line of
ours, or in commands through the reader head, which owns frames, speed and reset.
"""

import contextlib
import errno
import logging
import time
from typing import Any, Final, Protocol

from nfc.clf import pn53x, pn532

from edge.frontends import FrontEndFault
from edge.frontends.serial_line import ACK, SPEEDS, SerialLine
from edge.head import Head, HeadRefused
from wire import headlink

WAKE_UP: Final = b"\x55\x55" + bytes(14)
"""Out of power-down over HSU; the chip needs some bytes' time (UM0701-02, 7.2.11)."""
SYNTAX_ERROR: Final = 0x7F
FAULTS: Final = (OSError, pn53x.Chipset.Error, IndexError, ValueError, AssertionError)
"""What nfcpy raises for what the chip or the line did wrong."""
GET_FIRMWARE_VERSION: Final = bytes.fromhex("0000FF02FED4022A00")
FIRMWARE_OF_PN532: Final = bytes.fromhex("D50332")
ACK_MS: Final = 300
"""The chip acknowledges within 15 ms; the rest is for a busy machine."""
NFCPY_ACK_MS: Final = 100
"""What nfcpy waits for an acknowledgement, and for commands without the air."""
FIND_MS: Final = 150
TRIED: Final = (115_200, 115_200, 921_600, 460_800, 230_400)
"""Speeds in turn, twice that of power-on, when the first command may only wake the chip. With
nothing there the agent waits 0.75 s, ever less often."""

OWN_PARAMETERS: Final = {
    0x05: b"\x01\x00\x00",  # retries: a poll is tried once, the next round comes anyway
    0x0C: bytes.fromhex("FF1785"),  # Type B analog: NXP's default; nfcpy's FF0485 finds no card
}  # on some modules (nfcpy pull request 248). By RFConfiguration item (UM0701-02, 7.3.1)

TYPE_A: Final = 0
FELICA_212: Final = 1
TYPE_B: Final = 3
"""BrTy of InListPassiveTarget (UM0701-02, 7.3.5)."""
KEPT: Final = (
    *("CIU_Mode", "CIU_TxMode", "CIU_RxMode", "CIU_TxControl", "CIU_TxAuto", "CIU_TxSel"),
    *("CIU_RxSel", "CIU_RxThreshold", "CIU_Demod", "CIU_FelNFC1", "CIU_FelNFC2", "CIU_MifNFC"),
    *("CIU_ManualRCV", "CIU_TypeB", "CIU_GsNOff", "CIU_ModWidth", "CIU_TxBitPhase", "CIU_RFCfg"),
    *("CIU_GsNOn", "CIU_CWGsP", "CIU_ModGsP", "CIU_BitFraming"),
)
"""Registers that may tell one technology from another (UM0701-02 and PN512 data sheet)."""

FIELD_OFF: Final = (0x01, b"\x00")
"""Item and value of RFConfiguration (7.3.1)."""
RESET_S: Final = 0.5
"""For the head to reset the chip and to change its speed: 50 ms, or until it is given up."""

_log = logging.getLogger("nfc.clf.pn532")


class Module(Protocol):
    """Where a PN532 is."""

    def open(self) -> None:
        """Reach the chip, and have it at its speed. Raises FrontEndFault."""

    def start(self) -> Any:
        """Return it as nfcpy's Chipset, with everything set, after a test of the line.

        Raises what stands in FAULTS.
        """

    def close(self) -> None:
        """Field off, and let it go; never raises."""


class OnLine:
    """On a serial line such as `/dev/ttyAMA0`."""

    def __init__(self, port: str, baudrate: int = min(SPEEDS)) -> None:
        self._port, self._baudrate = port, baudrate
        self._line: SerialLine

    def open(self) -> None:
        """See Module."""
        try:
            line = SerialLine(self._port)
        except OSError as error:
            raise FrontEndFault(f"{self._port} cannot be opened: {error}") from error
        try:
            find(line)
            change_speed(line, self._baudrate)
        except FAULTS as error:
            line.close()
            what = f"no PN532 answers at {self._port} (wiring? switched to HSU?)"
            raise FrontEndFault(f"{what}: {error}") from error
        self._line = line

    def start(self) -> Any:
        """See Module."""
        self._line.write(ACK)  # ends a command that still runs
        chip = LineChip(self._line, logger=_log)
        chip.sam_configuration("normal")
        return set_up(chip)

    def close(self) -> None:
        """See Module; the speed is that at which the next open begins."""
        with contextlib.suppress(*FAULTS):  # unplugged: the next open looks at every speed
            self._line.write(ACK)
            LineChip(self._line, logger=_log).rf_configuration(*FIELD_OFF)
            change_speed(self._line, min(SPEEDS))
        self._line.close()


class LineChip(pn532.Chipset):  # type: ignore[misc]  # nfcpy has no types
    """nfcpy's chip on a line, with more time for an acknowledgement."""

    def read_frame(self, timeout: float) -> bytearray:
        """Wait so many ms for a frame."""
        line: SerialLine = self.transport
        return line.read(ACK_MS if timeout == NFCPY_ACK_MS else timeout)


class BehindHead:
    """Behind the reader head, which stays open when the chip is let go."""

    def __init__(self, head: Head, baudrate: int = min(SPEEDS)) -> None:
        self._head, self._baudrate = head, baudrate

    def open(self) -> None:
        """See Module; the chip is reset in `start`, whatever state a crash has left it in."""

    def start(self) -> Any:
        """See Module."""
        self._head.ask(headlink.NFC_RESET, self._baudrate, within_s=RESET_S)
        return set_up(HeadChip(self._head, logger=_log))

    def close(self) -> None:
        """See Module."""
        if self._head.is_open:
            with contextlib.suppress(*FAULTS):
                HeadChip(self._head, logger=_log).rf_configuration(*FIELD_OFF)


class HeadChip(pn532.Chipset):  # type: ignore[misc]  # nfcpy has no types
    """nfcpy's chip behind the head: a command goes there without a frame."""

    def command(self, cmd_code: int, cmd_data: bytes | None, timeout: float) -> bytearray:
        """Return the data of the chip's answer within so many seconds.

        Raises OSError (ETIMEDOUT when the chip is silent), or nfcpy's Chipset.Error.
        """
        head: Head = self.transport
        command = bytes([cmd_code]) + bytes(cmd_data or b"")
        within_ms = min(int(1000 * timeout), 0xFFFF)
        try:
            (answer,) = head.ask(headlink.NFC, within_ms, tail=command, within_s=timeout)
        except HeadRefused as refused:
            if refused.errno == headlink.SILENT:
                raise OSError(errno.ETIMEDOUT, "the chip does not answer") from refused
            if refused.errno == headlink.NO_COMMAND:
                self.chipset_error(SYNTAX_ERROR)
            raise OSError(errno.EIO, "the chip's answer is damaged") from refused
        return bytearray(answer)


def set_up(chip: Any) -> Any:
    """Test a chip's line, write its settings, and return it."""
    pn532.Device(chip, logger=_log)
    for item, data in OWN_PARAMETERS.items():
        chip.rf_configuration(item, data)
    return chip


def registers_of_type_b(chip: Any, felica: bytes) -> list[tuple[str, int]]:
    """Return the registers, and their values, that differ when Type B has been loaded.

    `felica` is a Polling command. What lies in the field meanwhile is disturbed.
    """
    found = []
    for kind, request in ((TYPE_A, b""), (FELICA_212, felica), (TYPE_B, b"\0")):
        chip.in_list_passive_target(1, kind, request)
        found.append(chip.read_register(*KEPT))
    type_a, of_felica, type_b = found
    return [
        (name, value)
        for name, value, *others in zip(KEPT, type_b, type_a, of_felica, strict=True)
        if any(other != value for other in others)
    ]


def find(line: SerialLine) -> None:
    """Wake the chip, at whatever speed a crash has left it. Raises OSError."""
    for line.baudrate in TRIED:
        line.write(WAKE_UP + GET_FIRMWARE_VERSION)
        try:
            answer = line.read(FIND_MS)
            if answer == ACK:
                answer = line.read(FIND_MS)
        except TimeoutError:
            continue
        if answer[5:8] == FIRMWARE_OF_PN532:
            return
    raise OSError(errno.ENODEV, "nothing answers")


def change_speed(line: SerialLine, baudrate: int) -> None:
    """Move chip and line to another speed: it takes effect after our ACK (UM0701-02, 7.2.9)."""
    if line.baudrate == baudrate:
        return
    LineChip(line, logger=_log).set_serial_baudrate(baudrate)
    line.baudrate = baudrate
    time.sleep(0.001)
