"""The My Number Card: what its chip holds and what tells one card from another.

Identifiers, record layout and status words follow public readers of the real card (OpenSC
card-jpki.c, jpki/myna, soltia48/myna-card). The 12-digit number on every simulated card has a wrong
check digit, so it is nobody's; the files that hold it are there so that a test can show that
nobody asks for them.
"""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hw.sim import certificate
from hw.sim.cards import APDU_MS, Chip, TypeBCard
from hw.sim.iso7816 import Application, Binary, Pin, Records

COMMON_AP = bytes.fromhex("D3921000310001010100")
JPKI_AP = bytes.fromhex("D392F000260100000001")
INPUT_SUPPORT_AP = bytes.fromhex("D3921000310001010408")
FACE_AP = bytes.fromhex("D3921000310001010402")

NOBODYS_NUMBER = b"123456789010"  # 8 would be the check digit


@dataclass(frozen=True)
class ChipData:
    """What tells one simulated My Number Card from another.

    `serial` is 15 digits, `municipality` the 5-digit code, `expires` the card's last day;
    `certificate_serial` is 1 to 159 bits, the times are UTC.
    """

    serial: str
    municipality: str
    expires: date
    certificate_serial: int
    not_before: datetime
    not_after: datetime

    @classmethod
    def drawn(cls, rng: random.Random, today: date, municipality: str = "13221") -> "ChipData":
        """Draw a card that is valid today: ten years for the card, five for its certificate."""
        issued = today - timedelta(days=rng.randrange(1, 5 * 365))
        not_before = datetime(issued.year, issued.month, issued.day, rng.randrange(24), tzinfo=UTC)
        return cls(
            serial=f"{rng.randrange(10**15):015}",
            municipality=municipality,
            expires=issued + timedelta(days=3652),
            certificate_serial=rng.randrange(1 << 24, 1 << 31),  # four bytes, as the CA's own
            not_before=not_before,
            not_after=not_before + timedelta(days=1826),
        )

    def common_record(self) -> bytes:
        """Record 1 of the common AP: 01 1C, serial, municipality, expiry YYYYMMDD (30 bytes)."""
        text = f"{self.serial}{self.municipality}{self.expires:%Y%m%d}"
        return b"\x01" + bytes([len(text)]) + text.encode()

    def certificate(self) -> bytes:
        """DER of the user authentication certificate; its name carries the municipality."""
        name = f"{self.serial[:12]}{self.municipality}{self.serial[12:]}A"
        return certificate.authentication_certificate(
            self.certificate_serial, name, self.not_before, self.not_after
        )


class MyNumberCard(TypeBCard):
    """A My Number Card: common AP, JPKI, and the two APs that guard the 12-digit number.

    `pupi` is fixed, or drawn at each activation, or by default one of the card's own.
    `filler` bytes FF follow the certificate in its file; `common_ap` can be missing; the rest of
    the keywords are the chip's (see `cards.Chip`).
    """

    def __init__(
        self,
        data: ChipData,
        pupi: bytes | random.Random | None = None,
        *,
        filler: int = 0,
        common_ap: bool = True,
        apdu_ms: float = APDU_MS,
        wtx_ms: float | None = None,
        wrong_status: dict[int, int] | None = None,
    ) -> None:
        self.data = data
        self.certificate = data.certificate()
        applications: dict[bytes, Application] = {
            JPKI_AP: _jpki(self.certificate, filler),
            INPUT_SUPPORT_AP: _input_support(),
            FACE_AP: _face(),
        }
        if common_ap:
            applications[COMMON_AP] = {0x0001: Records((data.common_record(),))}
        chip = Chip(applications, apdu_ms=apdu_ms, wtx_ms=wtx_ms, wrong_status=wrong_status)
        super().__init__(chip, pupi or (int(data.serial) % 2**32).to_bytes(4, "big"))


def _jpki(holder: bytes, filler: int) -> Application:
    """000A certificate, 000B its CA, 0001 signing certificate; 0006 token name; PINs of both."""
    return {
        0x000A: Binary(holder + b"\xff" * filler),
        0x000B: Binary(certificate.ca_certificate()),
        0x0001: Binary(holder, pins=(0x001B,)),
        0x0006: Binary(b"JPKIAPICCTOKEN2".ljust(160)),
        0x0018: Pin(b"1234", tries=3),
        0x001B: Pin(b"ABC123", tries=5),
    }


def _input_support() -> Application:
    """0001 the number behind the PIN 0011 or 0014, which is the number itself (照合番号A)."""
    number = bytes.fromhex("FF100C") + NOBODYS_NUMBER + b"\xff\xff"
    return {
        0x0001: Binary(number, pins=(0x0011, 0x0014)),
        0x0011: Pin(b"1234", tries=3),
        0x0014: Pin(NOBODYS_NUMBER, tries=10),
    }


def _face() -> Application:
    """0005 the picture of the number behind 0013, the number itself."""
    return {
        0x0005: Binary(b"\x89PNG" + NOBODYS_NUMBER, pins=(0x0013,)),
        0x0013: Pin(NOBODYS_NUMBER, tries=10),
    }
