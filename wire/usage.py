r"""The usage file: what members near a limit have used, as the ledger had counted it.

    "KAZASU-USAGE-1\n" · header length (u32, big-endian) · signed header · rows

Rows are sorted by credential: credential (16), then for each period of the header times (u32) and
yen (u32). A member with several cards has the same sums under each. Who has no row is not near a
limit. Nothing says where or when anyone rode.

The header's marks say exactly what the sums contain: of each reader of the place, each journal's
numbers that the ledger had accounted for in the same snapshot. A reader adds its own accepted
taps that are not among them: never twice, never not at all. Journals that the ledger last heard
of long ago may be left out, which is then said: they stand in a reader's own order before the
oldest that is named.
"""

import bisect
import hashlib
import mmap
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta

from wire.credential import CREDENTIAL_BYTES, Credential
from wire.entries import AtMs, Hash, Hex128, Name, Period, Used
from wire.envelope import MessageRefused, PublicKey, Purpose, Signer, open_envelope
from wire.limits import (
    PERIODS_MAX,
    ROSTER_ROWS_MAX,
    USAGE_HEADER_BYTES_MAX,
    USAGE_JOURNALS_MAX,
)
from wire.messages import Count

MAGIC: Final = b"KAZASU-USAGE-1\n"
_LENGTH: Final = struct.Struct(">I")
CELL_MAX: Final = 0xFFFF_FFFF
USAGE_BYTES_MAX: Final = (
    USAGE_HEADER_BYTES_MAX + ROSTER_ROWS_MAX * (CREDENTIAL_BYTES + 8 * PERIODS_MAX) + 64
)
"""192 MB: every member of the largest roster, in four periods."""
Span = tuple[Count, Count]
"""First and last number, both included."""


class UsageRefused(MessageRefused):
    """This file is not the usage that it should be; fetch it again."""

    reason = "usage"


class Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of one reader the sums contain: by journal, its numbers as sorted, disjoint spans."""

    journals: Annotated[dict[Hex128, list[Span]], Meta(max_length=USAGE_JOURNALS_MAX)]
    left_out: bool = False
    """The ledger has older journals, whole and contained, that are not named."""


class UsageHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: the rows by their hash, and what they contain."""

    v: Literal[1]
    programme: Name
    place: Name
    at_ms: AtMs
    """The fleet's time of the snapshot: a reader takes no file older than the one it holds."""
    periods: Annotated[list[Period], Meta(max_length=PERIODS_MAX)]
    marks: dict[str, Marks]
    """By reader (`tenant/reader`), of all readers of the place that the ledger has heard of."""
    rows: Annotated[int, Meta(ge=0, le=ROSTER_ROWS_MAX)]
    rows_sha256: Hash


class UsageRow(NamedTuple):
    """What one card's member has used; a period that is not named has seen nothing."""

    credential: Credential
    used: Mapping[str, Used]


def _row(periods: Sequence[str]) -> struct.Struct:
    return struct.Struct(f">{CREDENTIAL_BYTES}s{2 * len(periods)}I")


def row_bytes(periods: Sequence[str]) -> int:
    """Return how long one row is."""
    return _row(periods).size


def pack_usage(rows: Iterable[UsageRow], periods: Sequence[str]) -> bytes:
    """Return the rows' bytes, sorted; a sum that is too large stands as the largest there is."""
    row, nothing = _row(periods), Used()

    def cells(used: Mapping[str, Used]) -> Iterable[int]:
        for period in periods:
            one = used.get(period, nothing)
            yield from (min(one.times, CELL_MAX), min(one.yen, CELL_MAX))

    return b"".join(
        sorted(row.pack(bytes.fromhex(one.credential), *cells(one.used)) for one in rows)
    )


def usage_audience(tenant: str, programme: str, place: str) -> str:
    """Return what a usage file's signature is for."""
    return f"{tenant}/{programme}/{place}"


def build_usage(header: UsageHeader, packed: bytes, tenant: str, by: Signer) -> bytes:
    """Return the whole file; `rows` and `rows_sha256` of the header are filled in here.

    Raises ValueError when the marks of so many readers do not fit into a header.
    """
    size = row_bytes(header.periods)
    header = msgspec.structs.replace(
        header, rows=len(packed) // size, rows_sha256=hashlib.sha256(packed).digest()
    )
    audience = usage_audience(tenant, header.programme, header.place)
    signed = by.seal(Purpose.USAGE, audience, header)
    if len(signed) > USAGE_HEADER_BYTES_MAX:
        raise ValueError(f"the usage's header has {len(signed)} bytes: too many readers at a place")
    return MAGIC + _LENGTH.pack(len(signed)) + signed + packed


class UsageFile:
    """A verified usage file, open for looking up. Close it when a newer one has taken its place."""

    def __init__(self, header: UsageHeader, data: mmap.mmap, offset: int) -> None:
        self.header: Final = header
        self._data = data
        self._offset = offset
        self._row: Final = _row(header.periods)

    @classmethod
    def open(cls, path: Path, tenant: str, programme: str, place: str, key: PublicKey) -> Self:
        """Map and verify one file. Raises UsageRefused or OSError; hashes every byte once."""
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                raise UsageRefused(f"{path.name} is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            header, offset = _verified(data, usage_audience(tenant, programme, place), key)
            if (header.programme, header.place) != (programme, place):
                raise UsageRefused(f"it is for {header.programme} at {header.place}")
        except MessageRefused as error:
            data.close()
            raise UsageRefused(f"{path.name}: {error}") from error
        return cls(header, data, offset)

    def __len__(self) -> int:
        return self.header.rows

    def find(self, credential: Credential) -> dict[str, Used] | None:
        """Return what a card's member has used by period, or None: not near a limit."""
        wanted, data, offset, size = (
            bytes.fromhex(credential),
            self._data,
            self._offset,
            self._row.size,
        )

        def at(index: int) -> bytes:
            start = offset + index * size
            return data[start : start + CREDENTIAL_BYTES]

        index = bisect.bisect_left(range(self.header.rows), wanted, key=at)
        if index == self.header.rows or at(index) != wanted:
            return None
        _, *cells = self._row.unpack_from(data, offset + index * size)
        pairs = zip(self.header.periods, cells[::2], cells[1::2], strict=True)
        return {period: Used(times, yen) for period, times, yen in pairs}

    def close(self) -> None:
        """Unmap the file."""
        self._data.close()


def _verified(data: mmap.mmap, audience: str, key: PublicKey) -> tuple[UsageHeader, int]:
    """Return the header and where the rows begin. Raises MessageRefused."""
    start = len(MAGIC) + _LENGTH.size
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        raise UsageRefused("this is no usage file of version 1")
    (length,) = _LENGTH.unpack(data[len(MAGIC) : start])
    header = open_envelope(
        data[start : start + min(length, USAGE_HEADER_BYTES_MAX + 1)],
        Purpose.USAGE,
        audience,
        key,
        UsageHeader,
        limit=USAGE_HEADER_BYTES_MAX,
    )
    offset = start + length
    with memoryview(data) as view, view[offset:] as rows:
        if rows.nbytes != header.rows * _row(header.periods).size:
            raise UsageRefused("it was cut short or has grown")
        if hashlib.sha256(rows).digest() != header.rows_sha256:
            raise UsageRefused("it is damaged: its rows have another hash")
    return header, offset
