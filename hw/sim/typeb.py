"""A chip card behind ISO/IEC 14443-3 Type B."""

import random
from collections import deque
from typing import Final

from hw.sim.chip import Chip
from hw.sim.isodep import BlockProtocol, Reply, frame_bytes

MY_NUMBER_DATA: Final = bytes.fromhex("000005E0")
MY_NUMBER_PROTOCOL: Final = bytes.fromhex("B381A1")
"""Application data and protocol info of the ATQB, as the ATR of a published list ends with them
(pcsc-tools: 3B 88 80 01 000005E0 B381A1 00 7F). B3: 212 and 424 kbit/s both ways; 81: frames of 256
bytes and ISO/IEC 14443-4; A1: FWI 10 (309 ms) and CID (ISO/IEC 14443-3, 7.9.4)."""

REQB: Final = 0x05
WAKE_UP: Final = 0x08  # in REQB's last byte: WUPB
ATTRIB: Final = 0x1D
HLTB: Final = 0x50


class TypeBCard:
    """A chip whose PUPI is fixed, or new at each activation."""

    def __init__(
        self,
        chip: Chip,
        pupi: bytes | random.Random,
        *,
        application_data: bytes = MY_NUMBER_DATA,
        protocol: bytes = MY_NUMBER_PROTOCOL,
    ) -> None:
        self.chip = chip
        self.atqb_tail = application_data + protocol
        """Application data (4 bytes) and protocol info (3), which follow the PUPI in the ATQB."""
        self._afi = application_data[0]
        self._fwi = protocol[2] >> 4
        self._pupi_source = pupi
        self._draws = random.Random(pupi if isinstance(pupi, bytes) else 0)
        self.reset()

    @property
    def apdus(self) -> deque[tuple[bytes, bytes]]:
        """The latest (command, answer) pairs, `iso7816.LOG_MAX` at most, oldest first."""
        return self.chip.files.log

    def reset(self) -> None:
        """See `Card`."""
        source = self._pupi_source
        self._pupi = source.randbytes(4) if isinstance(source, random.Random) else source
        self._blocks: BlockProtocol | None = None
        self._halted = False
        self._slot = 0

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands REQB, WUPB, slot markers, HLTB, ATTRIB and then blocks."""
        if not technology.endswith("B"):
            return None
        if self._blocks:
            reply = self._blocks.receive(frame)
            if self._blocks.deselected:
                self._blocks, self._halted = None, True
            return reply
        if len(frame) == 3 and frame[0] == REQB:
            return self._requested(frame[1], 1 << (frame[2] & 0x07), bool(frame[2] & WAKE_UP))
        if len(frame) == 1 and frame[0] & 0x0F == REQB:
            return self._in_slot(1 + (frame[0] >> 4))
        called = not self._halted and frame[1:5] == self._pupi
        return self._called(frame) if called else None

    def _called(self, frame: bytes) -> Reply | None:
        if len(frame) >= 9 and frame[0] == ATTRIB:
            return self._selected(frame)
        if len(frame) == 5 and frame[0] == HLTB:
            self._halted = True
            return Reply(b"\x00")
        return None

    def _requested(self, afi: int, slots: int, wakes: bool) -> Reply | None:
        """A halted card answers WUPB alone, and any card only the family that it belongs to.

        Of several time slots it draws one, and answers at once if that is the first.
        """
        if afi not in (0, self._afi) or (self._halted and not wakes):
            return None
        self._halted = False
        self._slot = 1 + self._draws.randrange(slots)
        return self._in_slot(1)

    def _in_slot(self, slot: int) -> Reply | None:
        """Answer when the drawn time slot comes (ISO/IEC 14443-3, 7.6), once."""
        if slot != self._slot:
            return None
        self._slot = 0
        return Reply(b"\x50" + self._pupi + self.atqb_tail)

    def _selected(self, frame: bytes) -> Reply:
        cid = frame[8] & 0x0F
        self._blocks = self.chip.activate(frame_bytes(frame[6] & 0x0F), cid, self._fwi)
        return Reply(bytes([cid]))  # no maximum buffer length, the CID confirmed
