"""The cards that people hold over a reader, good and bad, as `antenna.Antenna` takes them.

A card is made from plain data or drawn from a seed; the same seed gives the same card, byte for
byte. Each holds to what a reader may count on: a Type B PUPI and a phone's UID may be new at each
activation; a FeliCa IDm and a token's UID never change. The My Number Card is in `mynumber`.
"""

import random
import time
from collections import deque
from functools import reduce
from operator import xor
from typing import Protocol

from hw.sim.iso7816 import Application, FileSystem
from hw.sim.isodep import BlockProtocol, Reply, frame_bytes

TRAVEL_DOCUMENT_AP = bytes.fromhex("A0000002471001")  # ICAO Doc 9303: a passport's and many eIDs'

# Card time for one APDU. No public figure exists; the promises on tap speed name 10 and 25 ms.
APDU_MS = 10

# ATQB protocol info, by public ATR lists (pcsc-tools): B3 212 and 424 kbit/s both ways, 81 frames
# of 256 bytes and ISO/IEC 14443-4, A1 FWI 10 (309 ms) and CID; the older card has FWI 9.
MY_NUMBER_PROTOCOL = bytes.fromhex("B381A1")
OLDER_EID_PROTOCOL = bytes.fromhex("B38191")

# The first time slot of a polling answer opens 512 * 64 / fc after the command (JIS X 6319-4).
FELICA_SLOT_US = 2417


class Card(Protocol):
    """What the antenna needs of a card."""

    def reset(self) -> None:
        """Lose power and all that is not stored."""

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """Answer a frame (without CRC) sent in e.g. "106B", or stay silent."""


class Chip:
    """The processor of an ISO/IEC 14443-4 card: its files, its speed, its misbehaviour.

    `apdu_ms` is what it thinks per APDU. With `wtx_ms` it asks for more time by S(WTX) each time
    it has thought so long. `wrong_status`: see `iso7816.FileSystem`.
    """

    def __init__(
        self,
        applications: dict[bytes, Application],
        *,
        apdu_ms: float = APDU_MS,
        wtx_ms: float | None = None,
        wrong_status: dict[int, int] | None = None,
    ) -> None:
        self.files = FileSystem(applications, wrong_status)
        self._apdu_us = round(1000 * apdu_ms)
        self._wtx_us = None if wtx_ms is None else round(1000 * wtx_ms)

    def activate(self, fsd: int, cid: int) -> BlockProtocol:
        """Begin a conversation with a reader that takes frames of `fsd` bytes."""
        self.files.reset()
        return BlockProtocol(self._process, fsd=fsd, cid=cid, wtx_us=self._wtx_us)

    def _process(self, apdu: bytes) -> Reply:
        return Reply(self.files.process(apdu), self._apdu_us)


class TypeBCard:
    """A chip behind ISO/IEC 14443-3 Type B. Its PUPI is fixed, or new at each activation."""

    def __init__(
        self,
        chip: Chip,
        pupi: bytes | random.Random,
        *,
        application_data: bytes = bytes.fromhex("000005E0"),  # as in the My Number Card's ATR
        protocol: bytes = MY_NUMBER_PROTOCOL,
    ) -> None:
        self.chip = chip
        self._pupi_source = pupi
        self._atqb_tail = application_data + protocol
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

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands REQB, WUPB, ATTRIB and then blocks."""
        if not technology.endswith("B"):
            return None
        if self._blocks and not self._blocks.deselected:
            return self._blocks.receive(frame)
        if len(frame) == 3 and frame[0] == 0x05:
            wakes = frame[2] & 0x08  # a deselected card answers WUPB alone
            return None if self._blocks and not wakes else Reply(self._atqb())
        if len(frame) >= 9 and frame[0] == 0x1D and frame[1:5] == self._pupi:
            cid = frame[8] & 0x0F
            self._blocks = self.chip.activate(frame_bytes(frame[6] & 0x0F), cid)
            return Reply(bytes([cid]))  # no maximum buffer length, the CID confirmed
        return None

    def _atqb(self) -> bytes:
        return b"\x50" + self._pupi + self._atqb_tail


def foreign_eid(rng: random.Random) -> TypeBCard:
    """Draw a foreign identity card: Type B, a PUPI anew each time, none of our applications."""
    return TypeBCard(Chip({TRAVEL_DOCUMENT_AP: {}}), rng, protocol=OLDER_EID_PROTOCOL)


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
        self._active = False

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands REQA, WUPA, anticollision, and then its own commands."""
        if not technology.endswith("A"):
            return None
        if frame in (b"\x26", b"\x52"):
            self._active = False
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
        """READ of the first four pages, by which readers check presence: UID, then zeros."""
        if frame == b"\x30\x00":
            return Reply(b"".join(self._levels).removeprefix(b"\x88").ljust(16, b"\x00"))
        return None


class Phone(StaffToken):
    """A phone in card mode: a random UID 08xxxxxx at each activation, no application of ours."""

    SAK = 0x20  # UID complete, ISO/IEC 14443-4
    ATS = bytes.fromhex("0578807002")  # frames of 256 bytes, 106 kbit/s, FWI 7 (39 ms), CID

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.chip = Chip({})
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
            self._blocks = self.chip.activate(frame_bytes(frame[1] >> 4), frame[1] & 0x0F)
            return Reply(self.ATS)
        return None


class FeliCaCard:
    """A FeliCa card, of the Japanese transit systems unless told otherwise.

    Each system has an IDm of its own: the upper half of byte 0 is the system's place on the card.
    """

    def __init__(
        self,
        idm: bytes,
        pmm: bytes = bytes.fromhex("0120220427674EFF"),  # IC code 20: a card of RC-S962 kind
        systems: tuple[int, ...] = (0x0003, 0xFE00),
    ) -> None:
        if len(idm) != 8 or len(pmm) != 8:
            raise ValueError("IDm and PMm have 8 bytes each")
        self._pmm = pmm
        self._idms = {
            code: bytes([place << 4 | idm[0] & 0x0F]) + idm[1:]
            for place, code in enumerate(systems)
        }

    def reset(self) -> None:
        """See `Card`. Nothing is forgotten."""

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands Polling and Request Response (FeliCa user's manual, 4.4)."""
        if not technology.endswith("F") or not frame or frame[0] != len(frame):
            return None
        if len(frame) == 6 and frame[1] == 0x00:
            return self._poll(frame[2:4], request=frame[4])
        if frame[1:2] == b"\x04" and frame[2:] in self._idms.values():
            return Reply(b"\x0b\x05" + frame[2:] + b"\x00")  # mode 0
        return None

    def _poll(self, wanted: bytes, request: int) -> Reply | None:
        for code, idm in self._idms.items():
            system = code.to_bytes(2, "big")
            if all(want in (0xFF, have) for want, have in zip(wanted, system, strict=True)):
                answer = b"\x01" + idm + self._pmm + (system if request == 1 else b"")
                return Reply(bytes([1 + len(answer)]) + answer, FELICA_SLOT_US)
        return None


class TornAway:
    """A card that is pulled away too early: after `frames` answers, or `ms` after the first.

    An answer that would take longer than the time left is never sent. It does not come back.
    """

    def __init__(self, card: Card, *, frames: int | None = None, ms: float | None = None) -> None:
        self._card = card
        self._frames = frames
        self._ms = ms
        self._answers = 0
        self._first_s = 0.0
        self._gone = False

    def reset(self) -> None:
        """See `Card`."""
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`."""
        reply = None if self._gone else self._card.answer(technology, frame)
        if reply is None:
            return None
        now_s = time.monotonic()
        self._first_s = self._first_s or now_s
        elapsed_ms = 1000 * (now_s - self._first_s) + reply.cpu_us / 1000
        self._gone = self._answers == self._frames or (
            self._ms is not None and elapsed_ms >= self._ms
        )
        self._answers += 1
        return None if self._gone else reply
