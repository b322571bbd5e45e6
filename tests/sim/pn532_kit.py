"""Both hosts of a simulated PN532: a stock nfcpy 1.0.4, and one that speaks frames by hand."""

import contextlib
import random
import termios
import time
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import nfc
import nfc.clf
import nfc.clf.pn53x
import nfc.clf.pn532
import nfc.clf.transport
import serial  # type: ignore[import-untyped]  # nfcpy brings it

from hw.sim.mynumber import COMMON_AP, ChipData, MyNumberCard
from hw.sim.pn532 import PN532
from hw.sim.pn532_frames import ACK, NACK, Decoder, frame

A: Final = nfc.clf.RemoteTarget("106A")
B: Final = nfc.clf.RemoteTarget("106B")
F: Final = nfc.clf.RemoteTarget("212F", sensf_req=bytes.fromhex("0000030100"))
SELECT_COMMON_AP: Final = bytes.fromhex("00A4040C0A") + COMMON_AP
READ_RECORD: Final = bytes.fromhex("00B2010C00")
WUPB: Final = bytes.fromhex("050008")
WAKE_UP: Final = b"\x55"
GET_FIRMWARE_VERSION: Final = 0x02
WAIT_S: Final = 5.0
"""A deadline for what takes milliseconds, on a machine with other work."""
PATIENCE: Final = 10
"""nfcpy gives up after 100 ms, which a chip that shares two busy cores with others may need."""
DEVICE_FAULTS: Final = (OSError, termios.error, nfc.clf.pn53x.Chipset.Error)
"""What nfcpy raises when the device is at fault; pyserial's flush lets termios.error through."""


def my_number_card(seed: int = 1, apdu_ms: float = 10) -> MyNumberCard:
    return MyNumberCard(ChipData.drawn(random.Random(seed), date(2026, 11, 20)), apdu_ms=apdu_ms)


# Commands (UM0701-02, chapter 7), status bytes (7.1), addresses of CIU registers (7.2.6).
READ_REGISTER, WRITE_REGISTER, SET_BAUD, SAM, POWER_DOWN = 0x06, 0x08, 0x10, 0x14, 0x16
RF_CONFIGURATION, EXCHANGE, THRU, DESELECT = 0x32, 0x40, 0x42, 0x44
LIST, RELEASE, SELECT = 0x4A, 0x52, 0x54
OK, TIMEOUT, CRC_ERROR, COLLISION, NO_TARGET = b"\x00", b"\x01", b"\x02", b"\x06", b"\x27"
SYNTAX_ERROR = b"\x7f"
TX_MODE, RX_MODE, TX_CONTROL, MOD_GSP = b"\x63\x02", b"\x63\x03", b"\x63\x04", b"\x63\x19"
COMM_IRQ, ERROR, FIFO, FIFO_LEVEL = b"\x63\x34", b"\x63\x36", b"\x63\x39", b"\x63\x3a"
BIT_FRAMING = b"\x63\x3d"

ONE_B, ONE_A, TWO_A = bytes.fromhex("010300"), bytes.fromhex("0100"), bytes.fromhex("0200")
POLLING = bytes.fromhex("00FFFF00")  # and the number of further time slots


class Wire(nfc.clf.transport.TTY):  # type: ignore[misc]  # nfcpy has no types
    """nfcpy's own transport, with a list of the commands: code, bytes sent, bytes received.

    Unless `fast`, it names a device that `stty` does not find, so that nfcpy stays at 115,200 baud.
    """

    def __init__(self, path: str, fast: bool) -> None:
        self._path = path
        self._fast = fast
        self.commands: list[tuple[int, int, int]] = []
        super().__init__(path)

    @property
    def port(self) -> str:
        return self._path if self._fast else "/dev/nowhere"

    def open(self, port: str, baudrate: int = 115200) -> None:
        super().open(self._path, baudrate)

    def write(self, frame: bytes) -> None:
        for packet in Decoder().feed(bytes(frame)):
            code = -1 if packet == ACK else packet[1]
            self.commands.append((code, len(frame), 0))
        super().write(frame)

    def read(self, timeout: float) -> Any:
        received = super().read(PATIENCE * timeout)
        code, sent, before = self.commands[-1]
        self.commands[-1] = code, sent, before + len(received)
        return received


@contextlib.contextmanager
def nfcpy(chip: PN532, *, fast: bool = True) -> Iterator[nfc.clf.ContactlessFrontend]:
    """Open the chip with nfcpy's driver, at 921,600 or 115,200 baud."""
    opened = nfc.ContactlessFrontend()
    opened.device = nfc.clf.pn532.init(Wire(chip.path, fast))
    opened.device._path = chip.path
    try:
        yield opened
    finally:
        with contextlib.suppress(*DEVICE_FAULTS):
            opened.close()


def die(front_end: nfc.clf.ContactlessFrontend) -> None:
    """End as a process does that is killed: the line is closed without a goodbye."""
    front_end.device.chipset.transport.close()
    front_end.device = None


class Host:
    """A host that sends what it is told to and takes down what comes."""

    def __init__(self, path: str, baud: int = 115200) -> None:
        self._port = serial.Serial(path, baud, timeout=0.05)
        self._decoder = Decoder()

    def __enter__(self) -> "Host":
        self.send(WAKE_UP)
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()

    @property
    def baud(self) -> int:
        return int(self._port.baudrate)

    @baud.setter
    def baud(self, value: int) -> None:
        self._port.baudrate = value

    def send(self, data: bytes) -> None:
        self._port.write(data)

    def ask(self, code: int, data: bytes = b"") -> None:
        self.send(frame(bytes([0xD4, code]) + data))

    def packets(self, count: int, within_s: float = WAIT_S) -> list[bytes]:
        """Return the next packets, ACKs among them; fewer when the time is over."""
        found: list[bytes] = []
        deadline_s = time.monotonic() + within_s
        while len(found) < count and time.monotonic() < deadline_s:
            found += self._decoder.feed(self._port.read(1) + self._port.read(self._port.in_waiting))
        return found

    def command(self, code: int, data: bytes = b"") -> bytes:
        """Send a command; what follows the code of its answer, or 7F for an error frame."""
        self.ask(code, data)
        acknowledged, answer = self.packets(2)
        assert acknowledged == ACK
        if answer == b"\x7f":
            return answer
        assert answer[:2] == bytes([0xD5, code + 1])
        return answer[2:]

    def again(self) -> bytes:
        """Ask for the last answer once more."""
        self.send(frame(NACK))
        (answer,) = self.packets(1)
        return answer

    def cancel(self) -> None:
        self.send(frame(ACK))

    def lives(self) -> bool:
        """Whether the chip tells its version."""
        return self.command(GET_FIRMWARE_VERSION) == bytes.fromhex("32010607")
