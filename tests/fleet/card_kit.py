"""Cards for the fleet's tests: their certificates, and what their keys sign. No air between."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from cryptography import x509

from hw.sim.chipdata import ChipData, Purpose

NOT_BEFORE = datetime(2025, 10, 27, 3, 4, 5, tzinfo=UTC)
NOT_AFTER = datetime(2030, 2, 17, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Holder:
    """One card, told apart by a small number."""

    number: int
    generation: int = 2

    @property
    def data(self) -> ChipData:
        return ChipData(
            serial=f"{self.number:015}",
            municipality="13221",
            expires=date(2030, 2, 17),
            certificate_serial=self.serial,
            not_before=NOT_BEFORE,
            not_after=NOT_AFTER,
            generation=self.generation,
        )

    @property
    def serial(self) -> int:
        return 0x10000000 + self.number

    @property
    def der(self) -> bytes:
        return self.data.certificate()

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    def sign(self, message: bytes) -> bytes:
        return self.data.key(Purpose.AUTHENTICATION).sign(message)
