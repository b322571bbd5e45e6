"""What tells one simulated My Number Card from another: plain data, and the keys they stand for."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from hw.sim import certificate
from hw.sim.certificate import Authority, Subject
from hw.sim.keys import Key, key

_ERAS: Final = (
    (5, date(2019, 5, 1)),
    (4, date(1989, 1, 8)),
    (3, date(1926, 12, 25)),
    (2, date(1912, 7, 30)),
    (1, date(1868, 1, 25)),
)
"""Reiwa to Meiji by the digit that certificates give them, and each one's first day."""


class Purpose(StrEnum):
    """What a card has a key for."""

    AUTHENTICATION = "user authentication"
    SIGNATURE = "digital signature"
    INPUT_SUPPORT = "input support"
    FACE = "face"
    COMMON = "common"
    SESSION = "session"


@dataclass(frozen=True)
class Holder:
    """Whom the card was issued to; `sex` is 1 male, 2 female, 9 not said (JIS X 0303)."""

    name: str = "見本　花子"
    address: str = "見本県見本市見本町１丁目２番３号"
    birth: date = date(1950, 2, 17)
    sex: str = "2"


@dataclass(frozen=True)
class Secrets:
    """What the holder chose; `register` serves the resident register, in two applications."""

    authentication: bytes = b"1234"
    signature: bytes = b"ABC123"
    input_support: bytes = b"1234"
    register: bytes = b"1234"


@dataclass(frozen=True)
class ChipData:
    """What tells one simulated My Number Card from another.

    `serial` is 15 digits, `municipality` the 5-digit code, `expires` the card's last day;
    `certificate_serial` is 1 to 159 bits, the times are UTC. `generation` 1 or 2 tells which of
    two authorities of the same name issued the certificates (see `certificate.Authority`);
    `security_code` is the four digits printed on the face.
    """

    serial: str
    municipality: str
    expires: date
    certificate_serial: int
    not_before: datetime
    not_after: datetime
    generation: int = 2
    holder: Holder = Holder()
    secrets: Secrets = Secrets()
    security_code: str = "2285"

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
            generation=certificate.generation_at(not_before),
        )

    def common_record(self) -> bytes:
        """Record 1 of the common AP: 01 1C, serial, municipality, expiry YYYYMMDD (30 bytes)."""
        text = f"{self.serial}{self.municipality}{self.expires:%Y%m%d}"
        return b"\x01" + bytes([len(text)]) + text.encode()

    def key(self, purpose: Purpose) -> Key:
        """The card's key for a purpose; a new certificate comes with a new one."""
        certified = purpose in (Purpose.AUTHENTICATION, Purpose.SIGNATURE)
        return key(purpose, f"{self.serial}/{self.certificate_serial if certified else ''}")

    def authority(self, purpose: Purpose) -> Authority:
        """Who issued the certificate for AUTHENTICATION or SIGNATURE."""
        return Authority(purpose, self.generation)

    def certificate(self) -> bytes:
        """DER of the user authentication certificate; its name carries the municipality."""
        name = f"{self.serial[:12]}{self.municipality}{self.serial[12:]}A"
        return certificate.authentication_certificate(self._subject(Purpose.AUTHENTICATION, name))

    def signature_certificate(self) -> bytes:
        """DER of the digital signature certificate; it says who the holder is."""
        name = f"{self.not_before:%Y%m%d%H%M%S}{self.serial[-10:]}"
        code, _ = era(self.holder.birth)
        return certificate.signature_certificate(
            self._subject(Purpose.SIGNATURE, name),
            self.holder.name,
            self.holder.sex,
            f"{code}{self.holder.birth:%Y%m%d}",
            self.holder.address,
        )

    def _subject(self, purpose: Purpose, common_name: str) -> Subject:
        return Subject(
            issuer=self.authority(purpose),
            serial=self.certificate_serial,
            common_name=common_name,
            not_before=self.not_before,
            not_after=self.not_after,
            key=self.key(purpose),
        )

    @property
    def birth_code(self) -> bytes:
        """The birthday as the face AP asks for it: YYMMDD with the year of the era."""
        _, year = era(self.holder.birth)
        return f"{year:02}{self.holder.birth:%m%d}".encode()

    @property
    def code_b(self) -> bytes:
        """照合番号B: birthday, year of expiry and security code, all printed on the face (14)."""
        return self.birth_code + f"{self.expires.year}{self.security_code}".encode()


def era(day: date) -> tuple[int, int]:
    """The era's digit and the year in it; raises StopIteration for a day before Meiji."""
    code, first = next((code, first) for code, first in _ERAS if day >= first)
    return code, day.year - first.year + 1
