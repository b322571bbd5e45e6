"""What noise, a broken chip or a hostile one makes of good bytes. All is drawn from a seed."""

import random
from collections.abc import Callable, Sequence
from typing import Final

LIES: Final = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0xFE, 0xFF)
"""Where parsers of lengths go wrong: none, one, and DER's short and long forms (X.690, 8.1.3)."""
CHANGES_MAX: Final = 3
"""More would leave nothing of what a parser first looks at."""
BYTES_MAX: Final = 300
"""Longer than a frame of any front end (PN532: 275)."""


def mutated(good: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return bytes after one to three changes, BYTES_MAX at most; `others` come in their place."""
    data = good
    for _ in range(rng.randint(1, CHANGES_MAX)):
        data = rng.choice(CHANGES)(data, rng, others)
    return data[:BYTES_MAX]


def _at(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _flipped(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    at = _at(data, rng)
    return (
        data[:at]
        + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        + (data[at + 1 :])
    )


def _cut(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return data[: _at(data, rng)]


def _with_a_hole(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at + rng.randint(1, 8) :]


def _extended(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    at = rng.choice((len(data), _at(data, rng)))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 20))) + data[at:]


def _swapped(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Exchange two bytes: sums over them stay as they were."""
    changed = bytearray(data)
    if changed:
        one, other = rng.randrange(len(data)), rng.randrange(len(data))
        changed[one], changed[other] = data[other], data[one]
    return bytes(changed)


def _lying(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Say another length: some byte becomes a lie, or one more or less than it was."""
    at = _at(data, rng)
    lies = [rng.choice((*LIES, byte + 1 & 0xFF, byte - 1 & 0xFF)) for byte in data[at : at + 1]]
    return data[:at] + bytes(lies) + data[at + 1 :]


def _repeated(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = sorted((_at(data, rng), _at(data, rng)))
    return data[:end] + data[start:]


def _replaced(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return rng.choice(others) if others else data


def _mixed(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The beginning of one and the end of another, or the bytes of both in turn."""
    if not others:
        return data
    other = rng.choice(others)
    if rng.random() < 0.5:
        return data[: _at(data, rng)] + other[_at(other, rng) :]
    return bytes(byte for pair in zip(data, other, strict=False) for byte in pair)


Change = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
CHANGES: Final[tuple[Change, ...]] = (
    _flipped,
    _cut,
    _with_a_hole,
    _extended,
    _swapped,
    _lying,
    _repeated,
    _replaced,
    _mixed,
)
