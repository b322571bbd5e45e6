"""The PN532 itself: woken at whatever speed it has, tested, set up, and its registers learnt.

By nfcpy's chip class, which speaks to it in frames (user manual: NXP UM0701-02).
"""

import errno
import logging
import time
from typing import Final

from nfc.clf import pn532

from edge.frontends.serial_line import ACK, SerialLine

WAKE_UP: Final = b"\x55\x55" + bytes(14)
"""Out of power-down over HSU; the chip needs some bytes' time (UM0701-02, 7.2.11)."""
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

_log = logging.getLogger("nfc.clf.pn532")


class Chip(pn532.Chipset):  # type: ignore[misc]  # nfcpy has no types
    """nfcpy's chip, with more time for an acknowledgement."""

    def read_frame(self, timeout: float) -> bytearray:
        """Wait so many ms for a frame."""
        line: SerialLine = self.transport
        return line.read(ACK_MS if timeout == NFCPY_ACK_MS else timeout)


def started(line: SerialLine) -> Chip:
    """Return the chip behind a line with everything set, after a test of the line.

    Raises OSError, or what nfcpy raises for a chip that answers nonsense.
    """
    line.write(ACK)  # ends a command that still runs
    chip = Chip(line, logger=_log)
    chip.sam_configuration("normal")
    pn532.Device(chip, logger=_log)  # tests the line, writes its settings
    for item, data in OWN_PARAMETERS.items():
        chip.rf_configuration(item, data)
    return chip


def registers_of_type_b(chip: Chip, felica: bytes) -> list[tuple[str, int]]:
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
    Chip(line, logger=_log).set_serial_baudrate(baudrate)
    line.baudrate = baudrate
    time.sleep(0.001)
