"""A USB bus as libusb shows it to usb1, and usb1 to nfcpy, with one RC-S380 or a recording on it.

What is replaced is usb1's view of the bus alone: nfcpy's transport, its driver and all above are
the real ones.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Protocol

import pytest
import usb1  # type: ignore[import-untyped]

from edge.frontends import Card, Technology
from edge.frontends.nfcpy import Nfcpy
from edge.schemes import REGISTER
from edge.schemes.allowlist import Reading
from hw.sim.cards import Chip, FeliCaCard, StaffToken, TypeBCard
from hw.sim.rcs380 import NAMES, PRODUCT, RCS380, VENDOR, Stalled, Unplugged
from wire.credential import Scheme

ALL: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
PATH: Final = "usb:054c:06c3"
OUT, IN = 0x02, 0x81
"""The device's two bulk endpoints (demo.html in marioninc/webusb-felica)."""
PACKET_BYTES: Final = 64
"""Of a bulk endpoint at full speed (USB 2.0, 5.8.3)."""
LOGGED: Final = FeliCaCard(bytes.fromhex("0114D5A2B3C4E503"))
LITE_S: Final = FeliCaCard(
    bytes.fromhex("01010701260CCA02"), bytes.fromhex("0F0D23042F7783FF"), systems=(0x12FC,)
)
TYPE_B: Final = TypeBCard(
    Chip({}),
    bytes.fromhex("E8253EEC"),
    application_data=bytes.fromhex("00000011"),
    protocol=bytes.fromhex("008185"),
)
RECORDINGS: Final[list[tuple[str, Technology, Any]]] = [
    ("type-b", "106B", TYPE_B),
    ("type-b-nobody", "106B", None),
    ("felica-of-a-log", "212F", LOGGED),
    ("felica", "212F", LITE_S),
    ("felica-nobody", "212F", None),
    ("type-a", "106A", StaffToken(bytes.fromhex("04093B7F"))),
    ("type-a-nobody", "106A", None),
]
"""Names of recordings, what was looked for, and a card that says what theirs said."""
RECORDED: Final = Path(__file__).with_name("rcs380_recorded.txt")


class Device(Protocol):
    """What can be on the bus."""

    address: int

    @property
    def is_there(self) -> bool: ...

    def write(self, frame: bytes, /) -> None: ...

    def read(self, timeout_ms: int, /) -> bytes: ...


class Recording:
    """A device that says what one has said, as long as it is asked what that one was asked."""

    def __init__(self, *sections: str) -> None:
        self.address = 1
        self.is_there = True
        everything = recorded()
        self.left = [line for section in sections for line in everything[section]]

    def write(self, frame: bytes) -> None:
        if not self.left:
            raise Unplugged
        assert f"> {frame.hex()}" == self.left.pop(0)

    def read(self, timeout_ms: int) -> bytes:
        if not self.left:
            raise Unplugged
        if self.left[0].startswith(">"):
            raise TimeoutError
        return bytes.fromhex(self.left.pop(0)[2:])


def recorded() -> dict[str, list[str]]:
    """Return the recorded exchanges by name: lines `> hex` to the device, `< hex` from it."""
    sections: dict[str, list[str]] = {}
    for line in RECORDED.read_text("ascii").splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            sections[list(sections)[-1]].append(line)
    return sections


class _Handle:
    """One opening of the device: of several, one can hold its interface."""

    def __init__(self, bus: "Bus") -> None:
        self._bus, self.address, self._written = bus, bus.device.address, b""
        if bus.refusal:
            raise bus.refusal

    def claim(self, _: int) -> None:
        holder = self._bus.claimed_by
        if holder and holder.address == self._bus.device.address:
            raise usb1.USBErrorBusy
        self._bus.claimed_by = self

    @contextlib.contextmanager
    def _transfer(self) -> Iterator[Device]:
        try:
            if self._bus.device.address != self.address:
                raise Unplugged
            yield self._bus.device
        except TimeoutError as error:
            raise usb1.USBErrorTimeout from error
        except Unplugged as error:
            raise usb1.USBErrorNoDevice from error
        except Stalled as error:
            raise usb1.USBErrorPipe from error

    def write(self, endpoint: int, data: bytes, timeout_ms: int) -> int:
        """Send packets; what they carry is whole when one of them is not full."""
        assert endpoint == OUT
        assert timeout_ms > 0
        self._written += data
        if len(data) % PACKET_BYTES or not data:
            whole, self._written = self._written, b""
            with self._transfer() as device:
                device.write(whole)
        return len(data)

    def read(self, endpoint: int, size: int, timeout_ms: int) -> bytes:
        assert endpoint == IN
        assert timeout_ms > 0
        with self._transfer() as device:
            frame = device.read(timeout_ms)
        assert len(frame) <= size
        return frame

    def close(self) -> None:
        if self._bus.claimed_by is self:
            self._bus.claimed_by = None


class Bus:
    """The bus. `refusal` is what opening the device raises, `claimed_by` who has its interface."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.refusal: usb1.USBError | None = None
        self.claimed_by: _Handle | None = None

    def devices(self, **_: bool) -> list[Any]:
        if not self.device.is_there:
            return []
        endpoints = [_endpoint(OUT), _endpoint(IN)]
        setting = SimpleNamespace(iterEndpoints=lambda: endpoints)
        return [
            SimpleNamespace(
                getVendorID=lambda: VENDOR,
                getProductID=lambda: PRODUCT,
                getBusNumber=lambda: 1,
                getDeviceAddress=lambda: self.device.address,
                getManufacturer=lambda: NAMES[0],
                getProduct=lambda: NAMES[1],
                iterSettings=lambda: iter([setting]),
                open=self._open,
            )
        ]

    def _open(self) -> Any:
        handle = _Handle(self)
        return SimpleNamespace(
            claimInterface=handle.claim,
            bulkWrite=handle.write,
            bulkRead=handle.read,
            close=handle.close,
        )


class _Context(SimpleNamespace):
    """What usb1.USBContext() gives."""

    def __enter__(self) -> "_Context":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _endpoint(address: int) -> Any:
    return SimpleNamespace(
        getAddress=lambda: address,
        getAttributes=lambda: usb1.TRANSFER_TYPE_BULK,
        getMaxPacketSize=lambda: PACKET_BYTES,
    )


@contextlib.contextmanager
def on_bus(device: Device) -> Iterator[Bus]:
    """Let usb1 see a bus with this device alone."""
    bus = Bus(device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usb1, "USBContext", lambda: _Context(getDeviceList=bus.devices, exit=int))
        yield bus


@contextlib.contextmanager
def plugged_in(**more: Any) -> Iterator[RCS380]:
    """Plug a device in; `more` is its own."""
    device = RCS380(**more)
    with on_bus(device):
        yield device


def found(front_end: Nfcpy, technologies: tuple[Technology, ...] = ALL) -> Card:
    card = front_end.sense(technologies)
    assert card
    return card


def read(card: Card, scheme: Scheme) -> bytearray:
    end_s = time.monotonic() + 2
    one = REGISTER[scheme]
    return one.read(Reading(card, one.commands, lambda: end_s - time.monotonic()))
