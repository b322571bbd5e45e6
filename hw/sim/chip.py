"""The processor of an ISO/IEC 14443-4 card: its files, its speed, its misbehaviour."""

from collections.abc import Mapping
from typing import Final

from hw.sim.files import Application
from hw.sim.iso7816 import FileSystem
from hw.sim.isodep import BlockProtocol, Reply

APDU_MS: Final = 10
"""Card time for one APDU. No public figure exists; the promises on tap speed name 10 and 25 ms."""
FWT_0_US: Final = 4096 / 13.56
"""Frame waiting time for FWI 0; each further step doubles it (ISO/IEC 14443-4, 7.2)."""
FWT_SHARE: Final = 0.75
"""Of its frame waiting time a card thinks in silence; the rest is for its answer's way."""


class Chip:
    """The files of a card behind ISO/IEC 14443-4.

    `apdu_ms` is what it thinks per APDU. It asks for more time by S(WTX) before the frame waiting
    time that it announced is over; with `wtx_ms` each time it has thought so long, and with
    `math.inf` never, as no card should. For the rest see `iso7816.FileSystem`.
    """

    def __init__(
        self,
        applications: Mapping[bytes, Application],
        at_power_on: Application | None = None,
        *,
        has_mf: bool = False,
        apdu_ms: float = APDU_MS,
        wtx_ms: float | None = None,
        wrong_status: Mapping[int, int] | None = None,
    ) -> None:
        self.files = FileSystem(applications, at_power_on, has_mf=has_mf, wrong_status=wrong_status)
        self._apdu_us = round(1000 * apdu_ms)
        self._wtx_ms = wtx_ms

    def activate(self, fsd: int, cid: int, fwi: int) -> BlockProtocol:
        """Begin a conversation with a reader that takes frames of `fsd` bytes; it knows the FWI."""
        self.files.reset()
        wtx_us = FWT_SHARE * FWT_0_US * 2**fwi if self._wtx_ms is None else 1000 * self._wtx_ms
        return BlockProtocol(self._process, fsd=fsd, cid=cid, wtx_us=wtx_us)

    def _process(self, apdu: bytes) -> Reply:
        return Reply(self.files.process(apdu), self._apdu_us)
