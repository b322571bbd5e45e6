"""Cards behind ISO/IEC 14443-3 Type A: plain tokens, and phones in card mode."""

import random
from functools import reduce
from operator import xor
from typing import Final

from hw.sim.chip import Chip
from hw.sim.isodep import BlockProtocol, Reply, frame_bytes

ATS: Final = bytes.fromhex("0578807002")
"""A phone's answer to RATS: frames of 256 bytes, 106 kbit/s, FWI 7 (39 ms), CID."""
ATS_FWI: Final = 7

REQA: Final = b"\x26"
WUPA: Final = b"\x52"
HLTA: Final = b"\x50\x00"


class StaffToken:
    """A plain NFC token (NFC Forum Type 2) with a fixed UID of 4 or 7 bytes.

    Anticollision is ISO/IEC 14443-3 Type A, 6.5; two cascade levels carry a UID of 7 bytes.
    """

    SAK = 0x00  # UID complete, no ISO/IEC 14443-4
    CASCADE = 0x04

    def __init__(self, uid: bytes) -> None:
        if len(uid) not in (4, 7):
            raise ValueError(f"a UID has 4 or 7 bytes, not {len(uid)}")
        self.uid = uid
        self.reset()

    def reset(self) -> None:
        """See `Card`."""
        parts = [self.uid] if len(self.uid) == 4 else [b"\x88" + self.uid[:3], self.uid[3:]]
        self._levels = [part + bytes([reduce(xor, part)]) for part in parts]
        self._active = self._halted = False

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands REQA, WUPA, anticollision, and then its own commands.

        A halted token answers WUPA alone.
        """
        if not technology.endswith("A") or (self._halted and frame != WUPA):
            return None
        if frame in (REQA, WUPA):
            self._active = self._halted = False
            return Reply(bytes([0x44 if len(self._levels) == 2 else 0x04, 0x00]))
        if self._active:
            return self._command(frame)
        for select, level in zip((b"\x93", b"\x95"), self._levels, strict=False):
            if frame == select + b"\x20":
                return Reply(level)
            if frame == select + b"\x70" + level:
                self._active = level is self._levels[-1]
                return Reply(bytes([self.SAK if self._active else self.CASCADE]))
        return None

    def _command(self, frame: bytes) -> Reply | None:
        """HLTA; READ of the first four pages, by which readers check presence: UID, then zeros."""
        if frame == HLTA:
            self._active, self._halted = False, True
        if frame == b"\x30\x00":
            return Reply(b"".join(self._levels).removeprefix(b"\x88").ljust(16, b"\x00"))
        return None


class Phone(StaffToken):
    """A phone in card mode: a random UID 08xxxxxx at each activation; by default an empty chip."""

    SAK = 0x20  # UID complete, ISO/IEC 14443-4

    def __init__(self, rng: random.Random, chip: Chip | None = None) -> None:
        self._rng = rng
        self.chip = chip or Chip({})
        super().__init__(b"\x08\x00\x00\x00")

    def reset(self) -> None:
        """See `Card`."""
        self.uid = b"\x08" + self._rng.randbytes(3)
        self._blocks: BlockProtocol | None = None
        super().reset()

    def _command(self, frame: bytes) -> Reply | None:
        if self._blocks:
            return self._blocks.receive(frame)
        if len(frame) == 2 and frame[0] == 0xE0:  # RATS: frame size and CID
            fsd, cid = frame_bytes(frame[1] >> 4), frame[1] & 0x0F
            self._blocks = self.chip.activate(fsd, cid, ATS_FWI)
            return Reply(ATS)
        return None
