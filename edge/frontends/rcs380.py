"""An RC-S380 on USB: nfcpy's driver for it, held to what a front end promises.

nfcpy 1.0.4 (clf/rcs380.py) waits without end for a device that hangs; takes the answer to another
command for a success, so that a reader which is one answer late finds no card any more and says
that all is well; tells a device that is too hot to send from an empty field by nothing; and lets
the interface go only when its own goodbye was answered, so that it cannot be opened again at once.

Upheld: each answer is the one to its command · nobody waits for one longer than for the card and
ANSWER_MS · what keeps the device from sending is an OSError, like all that USB does wrong · a
device that was closed can be opened again, whatever state it was in.
"""

import errno
import logging
from typing import Any, Final

import nfc
import nfc.clf.rcs380
import nfc.clf.transport

RCS380: Final = ((0x054C, 0x06C1), (0x054C, 0x06C3))
"""Vendor and product of RC-S380/S and RC-S380/P (Linux, drivers/nfc/port100.c)."""
ACK: Final = bytes.fromhex("0000FF00FF00")
CODE_AT: Final = 9
"""In a frame, after 00 00 FF FF FF, the length, its check sum and D6 (or D7) stands a command's
code, which an answer has plus one; its data follow, of which each answer here has some."""
ENDING_BYTES: Final = 2
"""Check sum and 00 (port100.c)."""
ANSWER: Final = 0xD7
COMMUNICATE: Final = 0x04
"""InCommRF. Its data begin with the time that a card has, in 0.1 ms and little endian (port100.c
sends ten times its milliseconds), and those of the answer with four bytes of status."""
STATUS_AT: Final = slice(CODE_AT + 1, CODE_AT + 5)
NOT_SENT: Final = {
    0x040: "the device is too hot",
    0x200: "another reader's field is on",
    0x400: "its field is off",
    0x800: "its transmitter did not finish",
}
"""Status bits that say nothing of a card (names: nfcpy 1.0.4, clf/rcs380.py)."""
ANSWER_MS: Final = 300
"""A command without the air takes some ms; the rest is for a busy machine."""

_log: Final = logging.getLogger("nfc.clf.rcs380")


class Line:
    """nfcpy's USB transport as nfcpy's driver uses it. Raises OSError in all methods."""

    def __init__(self, usb: Any) -> None:
        """`usb`: an open nfc.clf.transport.USB."""
        self._usb = usb
        self._code = COMMUNICATE
        self._acknowledged = False
        self._card_ms = 0

    def write(self, frame: bytes | bytearray) -> None:
        """Send a command, or an ACK, which ends the one that still runs."""
        if len(frame) > len(ACK):
            self._code, self._acknowledged = frame[CODE_AT], False
            time = frame[CODE_AT + 1 : CODE_AT + 3] if self._code == COMMUNICATE else b""
            self._card_ms = int.from_bytes(time, "little") // 10 + 1
        self._usb.write(frame, ANSWER_MS)

    def read(self, timeout: int = 0) -> bytearray:
        """Return the frame that comes next: the ACK of the latest command, then its answer.

        With a `timeout` in ms, whatever comes: nfcpy clears what a former program has left.
        """
        frame: bytearray = self._usb.read(timeout or ANSWER_MS + self._card_ms)
        if not timeout:
            self._check(frame)
        return frame

    def _check(self, frame: bytearray) -> None:
        if not self._acknowledged:
            self._acknowledged = True
            if frame != ACK:
                raise OSError(errno.EIO, "the RC-S380 has not acknowledged its command")
            return
        on_air = self._code == COMMUNICATE
        whole = len(frame) >= (STATUS_AT.stop if on_air else STATUS_AT.start + 1) + ENDING_BYTES
        if frame[CODE_AT - 1 : CODE_AT + 1] != bytes([ANSWER, self._code + 1]) or not whole:
            raise OSError(errno.EIO, "the RC-S380 does not answer what it was asked")
        status = int.from_bytes(frame[STATUS_AT], "little") if on_air else 0
        for bit, reason in NOT_SENT.items():
            if status & bit:
                raise OSError(errno.EIO, f"the RC-S380 cannot send: {reason}")

    def close(self) -> None:
        """Let the device go; harmless more than once."""
        self._usb.close()


class _Device(nfc.clf.rcs380.Device):  # type: ignore[misc]  # nfcpy has no types
    """nfcpy's device, which lets the interface go also when it cannot say goodbye."""

    def close(self) -> None:
        line: Line = self.chipset.transport
        try:
            super().close()
        finally:
            line.close()


def open_rcs380(path: str) -> Any:
    """Open the first RC-S380 of nfcpy's path `usb[:vendor[:product]]` or `usb:bus:device`.

    Returns an nfc.ContactlessFrontend. Raises OSError, usb1.USBError, nfc.clf.rcs380.StatusError,
    and IndexError when the device states half a version.
    """
    for vendor, product, bus, address in nfc.clf.transport.USB.find(path) or ():
        if (vendor, product) in RCS380:
            line = Line(nfc.clf.transport.USB(bus, address))
            try:
                device = _Device(nfc.clf.rcs380.Chipset(line, logger=_log), logger=_log)
            except BaseException:
                line.close()
                raise
            device._path = path
            front_end = nfc.ContactlessFrontend()
            front_end.device = device
            return front_end
    raise OSError(errno.ENODEV, "there is no RC-S380")
