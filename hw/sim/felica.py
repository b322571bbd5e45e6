"""FeliCa cards as a reader without keys meets them (JIS X 6319-4; FeliCa card user's manual, 4.4).

Each system of a card has an IDm of its own: the upper half of byte 0 is the system's place on the
card. FeliCa Lite-S has one IDm for all. A phone in peer-to-peer mode shows a random one.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from hw.sim.isodep import Reply

TRANSIT: Final = (0x0003, 0xFE00)
"""System codes of a Japanese transit card: its own, and the common area."""
TRANSIT_PMM: Final = bytes.fromhex("0120220427674EFF")  # IC code 20: a card of RC-S962 kind
HISTORY: Final = 0x090F
"""The transit cards' open service: the last 20 journeys, newest first, a block each."""
LITE_S: Final = (0x88B4, 0x12FC)
"""FeliCa Lite-S, and what it answers to as an NDEF tag."""
LITE_S_PMM: Final = bytes.fromhex("00F1000000014300")  # IC code F1
LITE_S_READ: Final = 0x000B
PEER_TO_PEER: Final = b"\x01\xfe"
"""First bytes of the number of a device that offers peer-to-peer (NFC Forum Digital, NFCID2)."""

SLOT_US: Final = 2417
"""The first time slot of a polling answer opens 512 * 64 / fc after the command (JIS X 6319-4)."""
BLOCK_BYTES: Final = 16
BLOCKS_MAX: Final = 15  # in one answer: 15 * 16 + 13 bytes fit a frame of 255
WILDCARD: Final = 0xFFFF

# Status flags of Read Without Encryption (user's manual, 4.5): fine, or what is wrong.
READ_OK: Final = b"\x00\x00"
TOO_MANY_BLOCKS: Final = b"\xff\xa2"
NO_SUCH_SERVICE: Final = b"\xff\xa6"
NO_SUCH_BLOCK: Final = b"\xff\xa8"


class FeliCaCard:
    """A FeliCa card, of the Japanese transit systems unless told otherwise.

    `services` are those that open without a key, by service code: their blocks of 16 bytes.
    """

    def __init__(
        self,
        idm: bytes,
        pmm: bytes = TRANSIT_PMM,
        systems: Sequence[int] = TRANSIT,
        services: Mapping[int, Mapping[int, bytes]] | None = None,
    ) -> None:
        if len(idm) != 8 or len(pmm) != 8:
            raise ValueError("IDm and PMm have 8 bytes each")
        self._pmm = pmm
        self._idms = {code: _numbered(idm, place) for place, code in enumerate(systems)}
        self._services = services or {HISTORY: dict.fromkeys(range(20), bytes(BLOCK_BYTES))}
        self._blocks_max = BLOCKS_MAX
        self._commands = {
            0x02: self._request_service,
            0x04: lambda _: b"\x00",  # Request Response: mode 0
            0x06: self._read,
            0x0C: self._request_system_code,
        }

    def reset(self) -> None:
        """See `Card`. Nothing is forgotten."""

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands Polling, and for its own IDm what is asked without a key."""
        if not technology.endswith("F") or not frame or frame[0] != len(frame):
            return None
        if len(frame) == 6 and frame[1] == 0x00:
            return self._poll(int.from_bytes(frame[2:4], "big"), request=frame[4])
        code, idm, parameters = frame[1:2], frame[2:10], frame[10:]
        command = self._commands.get(code[0]) if code else None
        if command is None or idm not in self._idms.values():
            return None
        result = command(parameters)
        return None if result is None else _framed(bytes([code[0] + 1]) + idm + result)

    def _poll(self, wanted: int, request: int) -> Reply | None:
        for code, idm in self._idms.items():
            if _matches(wanted, code):
                system = code.to_bytes(2, "big") if request == 1 else b""
                return _framed(b"\x01" + idm + self._pmm + system, SLOT_US)
        return None

    def _request_service(self, parameters: bytes) -> bytes | None:
        """The key version of each service asked for: 0000, or FFFF for one that there is not."""
        codes = _codes(parameters[1:])
        if parameters[:1] != bytes([len(codes)]):
            return None
        found = (b"\x00\x00" if code in self._services else b"\xff\xff" for code in codes)
        return parameters[:1] + b"".join(found)

    def _request_system_code(self, parameters: bytes) -> bytes | None:
        if parameters:
            return None
        codes = b"".join(code.to_bytes(2, "big") for code in self._idms)
        return bytes([len(self._idms)]) + codes

    def _read(self, parameters: bytes) -> bytes | None:
        """Read Without Encryption of one service, blocks named by two bytes each."""
        if len(parameters) < 4 or parameters[0] != 1 or len(parameters) != 4 + 2 * parameters[3]:
            return None
        service = self._services.get(_codes(parameters[1:3])[0])
        numbers = parameters[5::2]
        if service is None:
            return NO_SUCH_SERVICE
        if not 1 <= len(numbers) <= self._blocks_max:
            return TOO_MANY_BLOCKS
        if not all(number in service for number in numbers):
            return NO_SUCH_BLOCK
        return READ_OK + bytes([len(numbers)]) + b"".join(service[number] for number in numbers)


class LiteS(FeliCaCard):
    """A FeliCa Lite-S tag with empty memory: one IDm for both of its systems."""

    def __init__(self, idm: bytes) -> None:
        blocks = dict.fromkeys([*range(0x0F), 0x84, 0x88], bytes(BLOCK_BYTES))
        blocks[0x82] = idm + bytes(8)  # ID
        blocks[0x83] = idm + LITE_S_PMM  # D_ID
        blocks[0x85] = b"\x88\xb4" + bytes(14)  # SYS_C
        super().__init__(idm, LITE_S_PMM, LITE_S, {LITE_S_READ: blocks})
        self._idms = dict.fromkeys(LITE_S, idm)
        self._blocks_max = 4
        self._commands = {0x06: self._read}


class PeerPhone:
    """A phone that offers peer-to-peer: another IDm 01FE… each time, and no system of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """See `Card`."""
        self._card = FeliCaCard(PEER_TO_PEER + self._rng.randbytes(6), b"\xff" * 8, [WILDCARD], {})

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`. Understands Polling for any system alone."""
        if frame[1:4] != b"\x00\xff\xff":
            return None
        return self._card.answer(technology, frame)


def _numbered(idm: bytes, place: int) -> bytes:
    return bytes([place << 4 | idm[0] & 0x0F]) + idm[1:]


def _matches(wanted: int, code: int) -> bool:
    """Each byte FF of a wanted system code stands for any."""
    pairs = zip(wanted.to_bytes(2, "big"), code.to_bytes(2, "big"), strict=True)
    return all(want in (0xFF, have) for want, have in pairs)


def _codes(data: bytes) -> list[int]:
    """Service codes, which go with their low byte first."""
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


def _framed(data: bytes, cpu_us: int = 0) -> Reply:
    return Reply(bytes([1 + len(data)]) + data, cpu_us)
