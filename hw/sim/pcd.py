"""A reader's side of a conversation with a card, for readers that hold it themselves (PC/SC).

The card is found and activated by the frames of ISO/IEC 14443-3 or JIS X 6319-4, and APDUs go over
the block protocol of ISO/IEC 14443-4. Errors are not repaired: the simulated air loses nothing, so
a card that is silent has left.
"""

from collections.abc import Callable
from typing import NamedTuple

from hw.sim.air import CARRIER_MHZ
from hw.sim.isodep import ACK_BLOCK, CHAINING, CRC_BYTES, WTX, frame_bytes

Exchange = Callable[[str, bytes], bytes]
"""Sends a frame (without CRC) in a technology such as "106B", returns the card's; or NoAnswer."""

WUPB = bytes.fromhex("050008")  # all application families, one slot, sleeping cards too (7.7)
FSDI = 8  # this reader takes frames of 256 bytes
POLLING = bytes.fromhex("0600FFFF0000")  # any system, no request, one time slot
SELECT_LEVELS = (b"\x93", b"\x95", b"\x97")  # ISO/IEC 14443-3, 6.5.3.2
RATS = bytes([0xE0, FSDI << 4])  # CID 0
SAK_CASCADE = 0x04
SAK_BLOCKS = 0x20  # ISO/IEC 14443-4 (ISO/IEC 14443-3, 6.5.3.4)
FWI_DEFAULT = 4  # for an ATS without TB(1) (ISO/IEC 14443-4, 5.2.5)
FWI_MAX = 14

# By bit rate: technology, the rate's bits in ATQB's protocol info, ATTRIB's bits for both ways
# (ISO/IEC 14443-3, 7.9.4.4 and 7.10.3.2). The fastest last.
RATES = ((212, "212B", 0x11, 0x50), (424, "424B", 0x22, 0xA0))


class NoAnswer(Exception):
    """The card is silent, or says what no card says."""


class Activated(NamedTuple):
    """A card that was found. `historical` is what its ATR tells of it; None: it takes no APDUs."""

    technology: str
    id: bytes
    historical: bytes | None
    fsc: int = 0
    fwi: int = FWI_DEFAULT


def frame_waiting_us(fwi: int) -> int:
    """How long a reader waits for a card's answer (ISO/IEC 14443-4, 7.2)."""
    return round((4096 << fwi) / CARRIER_MHZ)


def find(exchange: Exchange, kbit_s_max: int = 424) -> Activated | None:
    """Look for a card of Type B, FeliCa and Type A in turn, and activate it."""
    for activate in (lambda e: _type_b(e, kbit_s_max), _felica, _type_a):
        try:
            return activate(exchange)
        except (NoAnswer, IndexError):
            continue
    return None


def _type_b(exchange: Exchange, kbit_s_max: int) -> Activated:
    atqb = exchange("106B", WUPB)
    pupi, protocol = atqb[1:5], atqb[9:12]
    technology, divisors = "106B", 0
    for kbit_s, name, bits, ours in RATES:
        if kbit_s <= kbit_s_max and protocol[0] & bits == bits:
            technology, divisors = name, ours
    attrib = b"\x1d" + pupi + bytes([0x00, divisors | FSDI, 0x01, 0x00])
    answer = exchange("106B", attrib)
    historical = atqb[5:12] + bytes([answer[0] & 0xF0])  # PC/SC part 3, 3.1.3.2.3.1
    return Activated(
        technology, pupi, historical, frame_bytes(protocol[1] >> 4), min(protocol[2] >> 4, FWI_MAX)
    )


def _felica(exchange: Exchange) -> Activated:
    answer = exchange("212F", POLLING)
    return Activated("212F", answer[2:10], None)


def _type_a(exchange: Exchange) -> Activated:
    exchange("106A", b"\x26")
    uid = b""
    for level in SELECT_LEVELS:
        part = exchange("106A", level + b"\x20")
        sak = exchange("106A", level + b"\x70" + part)[0]
        uid += part[1:4] if sak & SAK_CASCADE else part[:4]
        if not sak & SAK_CASCADE:
            return _with_blocks(exchange, uid) if sak & SAK_BLOCKS else Activated("106A", uid, None)
    raise NoAnswer("a UID without an end")


def _with_blocks(exchange: Exchange, uid: bytes) -> Activated:
    """Ask for the ATS: TL, T0, the interface bytes that T0 announces, historical bytes."""
    ats = exchange("106A", RATS)
    announced = ats[1] if ats[0] > 1 else 0
    at, fwi = 2, FWI_DEFAULT
    for bit in (0x10, 0x20, 0x40):  # TA(1), TB(1), TC(1)
        if announced & bit:
            fwi = min(ats[at] >> 4, FWI_MAX) if bit == 0x20 else fwi
            at += 1
    return Activated("106A", uid, ats[at : ats[0]], frame_bytes(announced & 0x0F), fwi)


class Blocks:
    """The reader's half of the block protocol, without CID; valid for one activation."""

    def __init__(self, exchange: Exchange, card: Activated) -> None:
        self._exchange = exchange
        self._card = card
        self._number = 0  # rule A: the reader starts with 0

    def transceive(self, apdu: bytes) -> bytes:
        """Send an APDU, return the answer. Raises NoAnswer."""
        room = self._card.fsc - CRC_BYTES - 1
        parts = [apdu[at : at + room] for at in range(0, max(len(apdu), 1), room)]
        for part in parts[:-1]:
            block = self._block(bytes([0x02 | CHAINING | self._number]) + part)
            if block[0] & ~1 != ACK_BLOCK:
                raise NoAnswer("a chained block was not acknowledged")
        block = self._information(bytes([0x02 | self._number]) + parts[-1])
        answer = block[1:]
        while block[0] & CHAINING:
            block = self._information(bytes([ACK_BLOCK | self._number]))
            answer += block[1:]
        return answer

    def _information(self, frame: bytes) -> bytes:
        block = self._block(frame)
        if block[0] & ~1 & ~CHAINING != 0x02:
            raise NoAnswer("not a block of information")
        return block

    def _block(self, frame: bytes) -> bytes:
        """Exchange a block; grant the card all the time it asks for."""
        answer = self._exchange(self._card.technology, frame)
        while answer[:1] == bytes([WTX]) and len(answer) == 2:
            granted = bytes([WTX, answer[1] & 0x3F])
            answer = self._exchange(self._card.technology, granted)
        if not answer or answer[0] & 1 != self._number:
            raise NoAnswer("not the block that was awaited")
        self._number ^= 1  # rule B
        return answer
