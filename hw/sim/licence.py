"""The Japanese driving licence with a chip, which people hold over readers by mistake.

Files and the order of commands as public readers have them (soft-studio NFC_DriversLicenseReader,
treastrain TRETJapanNFCReader), which follow the police's published specification, version 009. Two
PINs lie beside the two applications and stay verified whichever is selected.
"""

import datetime
import random
from typing import Final

from hw.sim.chip import APDU_MS, Chip
from hw.sim.chipdata import Holder
from hw.sim.files import Application, Binary, Pin
from hw.sim.tlv import tlv
from hw.sim.typeb import TypeBCard

LICENCE_AP: Final = bytes.fromhex("A0000002310100000000000000000000")
PHOTO_AP: Final = bytes.fromhex("A0000002310200000000000000000000")
APPLICATION_DATA: Final = bytes.fromhex("00000000")
PROTOCOL: Final = bytes.fromhex("9181C1")
"""Of the ATQB (pcsc-tools: 3B 88 80 01 00000000 9181C1 00 D8): 212 kbit/s at most, FWI 12, which
lets the card think for 1.24 s."""
PIN_TRIES: Final = 3
VALID: Final = datetime.timedelta(days=5 * 365)


def driving_licence(
    rng: random.Random,
    issued: datetime.date,
    holder: Holder | None = None,
    *,
    apdu_ms: float = APDU_MS,
) -> TypeBCard:
    """Draw a driving licence whose PINs are 1234 and 5678; its PUPI is new each time."""
    holder = holder or Holder()
    first, second = Pin(b"1234", PIN_TRIES), Pin(b"5678", PIN_TRIES)
    both = (first, second)
    mf = Application(
        {
            0x0001: first,
            0x0002: second,
            0x000A: Binary(bytes.fromhex("050101")),  # the holder has set PINs
            0x2F01: Binary(_common_data(issued)),
        }
    )
    licence = Application(
        {
            0x0001: Binary(_entries(holder, issued).ljust(880, b"\xff"), (first,)),
            0x0002: Binary(tlv(0x41, _jis(holder.address)).ljust(82, b"\xff"), both, all_of=True),
            0x0003: Binary(bytes.fromhex("48004900").ljust(264, b"\xff"), (first,)),
            0x0004: Binary(bytes.fromhex("500130").ljust(640, b"\xff"), (first,)),
            0x0005: Binary(b"\xff" * 663, (first,)),
            0x0006: Binary(b"\xff" * 256, both, all_of=True),
            0x0007: Binary(rng.randbytes(578), (first,)),
        }
    )
    photo = Application({0x0001: Binary(tlv(0x5F40, rng.randbytes(2000)), both, all_of=True)})
    chip = Chip({LICENCE_AP: licence, PHOTO_AP: photo}, mf, has_mf=True, apdu_ms=apdu_ms)
    return TypeBCard(chip, rng, application_data=APPLICATION_DATA, protocol=PROTOCOL)


def _common_data(issued: datetime.date) -> bytes:
    """Issuer data: version, first and last day in digits packed by two; then the chip's maker."""
    days = bytes.fromhex(f"{issued:%Y%m%d}{issued + VALID:%Y%m%d}")
    return tlv(0x45, b"009", days) + tlv(0x46, b"\x00\x00")


def _entries(holder: Holder, issued: datetime.date) -> bytes:
    """What is printed: edition of JIS X 0208, name, birthday, address, first and last day."""
    last = issued + VALID
    return b"".join(
        (
            tlv(0x11, b"\x90"),
            tlv(0x12, _jis(holder.name)),
            tlv(0x16, f"{holder.birth:%Y%m%d}".encode()),
            tlv(0x17, _jis(holder.address)),
            tlv(0x18, f"{issued:%Y%m%d}".encode()),
            tlv(0x1B, f"{last:%Y%m%d}".encode()),
        )
    )


def _jis(text: str) -> bytes:
    """Two bytes a character by JIS X 0208, without the escapes that surround them."""
    return text.encode("iso2022_jp").removeprefix(b"\x1b$B").removesuffix(b"\x1b(B")
