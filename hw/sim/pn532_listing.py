"""How the PN532's firmware finds and activates cards (InListPassiveTarget, UM0701-02, 7.3.5).

One try is one round of the technology's anticollision. What a card is told is what the firmware
sends: it selects a Type B card at once, with frames of 64 bytes and the target's number as CID, and
a Type A card that speaks ISO/IEC 14443-4 only when SetParameters says so.
"""

from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

from hw.sim import pn532_registers as ciu
from hw.sim.air import exchange_us
from hw.sim.isodep import frame_bytes
from hw.sim.pcd import FWI_DEFAULT, FWI_MAX, SAK_BLOCKS, SAK_CASCADE, SELECT_LEVELS, Activated
from hw.sim.pn532_radio import (
    COLLISION,
    REQA,
    SHORT_FRAME_BITS,
    SLOT_US,
    TIMEOUT,
    Radio,
    RadioError,
)

TECHNOLOGY: Final = {0: "106A", 1: "212F", 2: "424F", 3: "106B", 4: "106A"}
"""By BrTy; 4 is Jewel, of which there is no card here."""
JEWEL: Final = 4

# How long the firmware listens for the first answer of a round, by technology. No figure is
# published: chosen so that an empty poll of two tries, with the 5 ms of a field that comes on for
# A and B, takes what `antenna.POLL_MS` says.
LISTEN_US: Final = {"A": 2500, "B": 3500, "F": 5000}
ANSWER_US: Final = 5000  # for what a card that was found answers to, RATS and ATTRIB too

FSDI: Final = 5  # the firmware takes frames of 64 bytes
RATS: Final = 0xE0
HALT: Final = b"\x50\x00"
WHOLE_SELECT: Final = b"\x70"
FIRST_ANTICOLLISION: Final = b"\x20"
UID_PART_BYTES: Final = 5  # four of the UID or its cascade tag, and their check byte
REQB: Final = 0x05
ATQB_BYTES: Final = 12
ATTRIB: Final = 0x1D
UID_CHECK_ERROR: Final = 0x23  # status: the UID's check byte is wrong


class Found(NamedTuple):
    """A target: what the host is told of it, and how it is spoken to. `cid` None: no CID."""

    technology: str
    told: bytes
    blocks: Activated | None = None
    cid: int | None = None


def list_targets(radio: Radio, kind: int, request: bytes, most: int, *, rats: bool) -> list[Found]:
    """Look once for cards of a BrTy, `most` at most. The request is well-formed; raises nothing."""
    technology = TECHNOLOGY[kind]
    radio.get_ready()
    radio.registers.set_technology(technology)
    if kind == JEWEL:
        radio.wait_us(LISTEN_US["A"])
        return []
    if technology[-1] == "F":
        return list(_felica(radio, technology, request))[:most]
    found: list[Found] = []
    while len(found) < most:
        if technology[-1] == "A":
            target = _type_a(radio, request, rats)
        else:
            target = _type_b(radio, request, 1 + len(found))
        if target is None:
            break
        found.append(target)
        if len(found) < most and technology[-1] == "A" and target.blocks is None:
            radio.ask(technology, HALT, 0)  # or it would answer the next round too
    return found


def _felica(radio: Radio, technology: str, request: bytes) -> Iterator[Found]:
    """Poll with the host's payload: 00, system code, request code, number of further slots."""
    frame = bytes([1 + len(request)]) + request
    listen_us = LISTEN_US["F"] + request[4] * SLOT_US
    for answer in radio.ask(technology, frame, listen_us).answers:
        if len(answer) in (18, 20):
            yield Found(technology, answer)


def _type_b(radio: Radio, request: bytes, number: int) -> Found | None:
    """REQB of one slot with the host's AFI, then ATTRIB."""
    try:
        atqb = radio.exchange("106B", bytes([REQB, request[0], 0x00]), LISTEN_US["B"])
        if len(atqb) < ATQB_BYTES:
            return None
        attrib = bytes([ATTRIB]) + atqb[1:5] + bytes([0x00, FSDI, 0x01, number])
        answer = radio.exchange("106B", attrib, ANSWER_US)
    except RadioError:
        return None
    told = atqb + bytes([len(answer)]) + answer
    fsc = min(frame_bytes(atqb[10] >> 4), frame_bytes(FSDI))
    blocks = Activated("106B", atqb[1:5], None, fsc, min(atqb[11] >> 4, FWI_MAX))
    return Found("106B", told, blocks, number)


def _type_a(radio: Radio, uid: bytes, rats: bool) -> Found | None:
    """REQA, then anticollision or the selection of the UID that the host gave, then RATS."""
    radio.registers.set_technology("106A", crc=False)
    radio.registers.write(ciu.BIT_FRAMING, SHORT_FRAME_BITS)
    answers = radio.ask("106A", REQA, LISTEN_US["A"]).answers
    radio.registers.leave(REQA, 0, ciu.RECEIVED if answers else ciu.TIMER)
    if not answers:
        return None
    radio.registers.set_technology("106A")
    try:
        sak, found = _select(radio, uid)
        ats = b""
        if rats and sak & SAK_BLOCKS:
            ats = radio.exchange("106A", bytes([RATS, FSDI << 4]), ANSWER_US)
    except RadioError:
        return None
    told = answers[0][::-1] + bytes([sak, len(found)]) + found + ats
    return Found("106A", told, _with_blocks(found, ats) if ats else None)


def _select(radio: Radio, uid: bytes) -> tuple[int, bytes]:
    """Select a card level by level: its SAK and UID. Raises RadioError.

    `uid` is the host's choice with its cascade tags, or empty for whatever card there is.
    """
    found = b""
    for level, select in enumerate(SELECT_LEVELS):
        part = uid[4 * level : 4 * level + 4] or _anticollision(radio, select)
        checked = part[:4] + bytes([reduce(xor, part[:4])])
        sak = radio.exchange("106A", select + WHOLE_SELECT + checked, ANSWER_US)[0]
        found += part[1:4] if sak & SAK_CASCADE else part[:4]
        if not sak & SAK_CASCADE:
            return sak, found
    raise RadioError(COLLISION)


def _anticollision(radio: Radio, select: bytes) -> bytes:
    """Four bytes of one card's UID: where answers differ, the firmware goes on with those of 1.

    Each further card takes one more frame. Raises RadioError.
    """
    answers = radio.ask("106A", select + FIRST_ANTICOLLISION, ANSWER_US).answers
    if not answers:
        raise RadioError(TIMEOUT)
    for _ in answers[1:]:
        radio.wait_us(exchange_us("106A", 2, UID_PART_BYTES))
    chosen = max(answers, key=_low_bits_first)
    if len(chosen) != UID_PART_BYTES or reduce(xor, chosen):
        raise RadioError(UID_CHECK_ERROR)
    return chosen[:4]


def _low_bits_first(data: bytes) -> str:
    return "".join(f"{byte:08b}"[::-1] for byte in data)


def _with_blocks(uid: bytes, ats: bytes) -> Activated:
    """What an ATS says, for frames that the firmware sends: TL, T0, TA to TC as T0 announces."""
    announced = ats[1] if len(ats) > 1 else 0
    at = 2 + bool(announced & 0x10)
    fwi = ats[at] >> 4 if announced & 0x20 and len(ats) > at else FWI_DEFAULT
    fsc = min(frame_bytes(announced & 0x0F), frame_bytes(FSDI))
    return Activated("106A", uid, None, fsc, min(fwi, FWI_MAX))
