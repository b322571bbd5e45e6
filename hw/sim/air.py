"""How long a card conversation takes on the air: pure arithmetic, no clock.

The model is the fastest exchange that ISO/IEC 14443 (Type A, Type B) and JIS X 6319-4 (Type F)
allow between a reader and a card that thinks in no time; what a card thinks comes on top as its
own figure. It serves the antenna, which delays answers by it, and benchmarks, which compare ways
to identify a card without any hardware. Checked against the conversations of a stock nfcpy 1.0.4:
SELECT + READ RECORD of the common AP 12.2 ms, a certificate of 1244 bytes by short APDUs 144 ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

CARRIER_MHZ = 13.56
ETU_US = 128 / CARRIER_MHZ  # one bit at 106 kbit/s: 9.44 us (ISO/IEC 14443-2)
CRC_BYTES = 2

# A reader keeps its field on for 5 ms before the first command (ISO/IEC 14443-3, 5.2).
FIELD_ON_US = 5000

# Largest block that fits a frame of 256 bytes: less the prologue byte and the CRC.
BLOCK_BYTES = 256 - 1 - CRC_BYTES


class Exchange(NamedTuple):
    """One frame to the card and the frame it answered with, in bytes without CRC."""

    technology: str
    to_card: int
    from_card: int


@dataclass(frozen=True)
class _Timing:
    byte_us: float
    frame_us: float  # start and end of one frame
    turnaround_us: float  # silence between the frames of an exchange, both ways together


def _type_a(multiple: int) -> _Timing:
    """8 data bits and parity; start and end 1 etu each; frame delay 1172/fc both ways."""
    etu_us = ETU_US / multiple
    return _Timing(9 * etu_us, 2 * etu_us, 2 * 1172 / CARRIER_MHZ)


def _type_b(multiple: int) -> _Timing:
    """Start, 8 data and stop bit; SOF 12 and EOF 10 etu; the least TR0, TR1 and TR2.

    TR0 64/fs and TR1 80/fs with fs = fc/16, TR2 14 etu at 106 kbit/s (ISO/IEC 14443-3, 7.1).
    """
    etu_us = ETU_US / multiple
    return _Timing(10 * etu_us, 22 * etu_us, (64 + 80) * 16 / CARRIER_MHZ + 14 * ETU_US)


def _type_f(multiple: int) -> _Timing:
    """8 bits a byte; preamble of 6 and sync code of 2 bytes (JIS X 6319-4, 6.3).

    The turnaround belongs to the card: a polling answer waits for its time slot.
    """
    byte_us = 8 * ETU_US / multiple
    return _Timing(byte_us, 8 * byte_us, 0)


_TIMING = {
    "106A": _type_a(1),
    "106B": _type_b(1),
    "212B": _type_b(2),
    "424B": _type_b(4),
    "212F": _type_f(2),
    "424F": _type_f(4),
}
TECHNOLOGIES = frozenset(_TIMING)


def exchange_us(technology: str, to_card: int, from_card: int) -> int:
    """Microseconds that an exchange of so many bytes (without CRC) fills the air.

    Raises KeyError for a technology outside TECHNOLOGIES.
    """
    timing = _TIMING[technology]
    data_bytes = to_card + from_card + 2 * CRC_BYTES
    return round(data_bytes * timing.byte_us + 2 * timing.frame_us + timing.turnaround_us)


def air_us(exchanges: Iterable[Exchange]) -> int:
    """Microseconds on the air of a whole conversation, one exchange after the other."""
    return sum(exchange_us(*exchange) for exchange in exchanges)


def type_b_conversation(
    apdus: Iterable[tuple[int, int]], technology: str = "106B"
) -> list[Exchange]:
    """List the exchanges in which a Type B reader sends APDUs of given (command, answer) lengths.

    Activation (REQB, ATTRIB) is included and is always at 106 kbit/s; answers count their status
    word. Long ones are chained over frames of 256 bytes (ISO/IEC 14443-4, 7.5.2).
    """
    exchanges = [Exchange("106B", 3, 12), Exchange("106B", 9, 1)]
    for command, answer in apdus:
        *chained, last = _blocks(command)
        first, *more = _blocks(answer)
        exchanges += [Exchange(technology, block, 1) for block in chained]
        exchanges += [Exchange(technology, last, first)]
        exchanges += [Exchange(technology, 1, block) for block in more]
    return exchanges


def _blocks(length: int) -> list[int]:
    """Sizes of the blocks that carry so many bytes, each with its prologue byte."""
    return [1 + min(BLOCK_BYTES, length - at) for at in range(0, max(length, 1), BLOCK_BYTES)]
