r"""The usage file: what members near a limit have used, as the ledger had counted it.

    "KAZASU-USAGE-1\n" · header length (u32, big-endian) · signed header · rows (wire.rows)

Rows are sorted by credential: credential (16), then for each period of the header times (u32) and
yen (u32). A member with several cards has the same sums under each. Who has no row is not near a
limit. Nothing says where or when anyone rode.

The header's marks say exactly what the sums contain: of each reader of the place, each journal's
numbers that the ledger had accounted for in the same snapshot. A reader adds its own accepted
taps that are not among them: never twice, never not at all. Journals that the ledger last heard
of long ago may be left out, which is then said: they stand in a reader's own order before the
oldest that is named.

All places of a programme share the rows of one snapshot; what their readers hold is known by the
hash of these rows.
"""

import hashlib
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
from wire.rows import FileKind, Rows

MAGIC: Final = b"KAZASU-USAGE-1\n"
USAGE: Final = FileKind(
    "usage file", MAGIC, USAGE_HEADER_BYTES_MAX, "application/vnd.kazasu.usage-delta"
)
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


def sign_usage(header: UsageHeader, tenant: str, by: Signer) -> bytes:
    """Return all that stands before the rows.

    Raises ValueError when the marks of so many readers do not fit into a header.
    """
    audience = usage_audience(tenant, header.programme, header.place)
    try:
        return USAGE.head(by.seal(Purpose.USAGE, audience, header))
    except ValueError as error:
        raise ValueError(f"{error}: too many readers at a place") from error


def build_usage(header: UsageHeader, packed: bytes, tenant: str, by: Signer) -> bytes:
    """Return the whole file; `rows` and `rows_sha256` of the header are filled in here."""
    header = msgspec.structs.replace(
        header,
        rows=len(packed) // row_bytes(header.periods),
        rows_sha256=hashlib.sha256(packed).digest(),
    )
    return sign_usage(header, tenant, by) + packed


class UsageFile:
    """A verified usage file, open for looking up. Close it when a newer one has taken its place."""

    def __init__(self, header: UsageHeader, rows: Rows) -> None:
        self.header: Final = header
        self._rows: Final = rows
        self._row: Final = _row(header.periods)

    @classmethod
    def open(cls, path: Path, tenant: str, programme: str, place: str, key: PublicKey) -> Self:
        """Verify one file, every byte, and map it. Raises UsageRefused or OSError."""
        try:
            with path.open("rb") as file:
                head = USAGE.read_head(file)
                header = _open_head(head, usage_audience(tenant, programme, place), key)
                if (header.programme, header.place) != (programme, place):
                    raise UsageRefused(f"it is for {header.programme} at {header.place}")
                size = row_bytes(header.periods)
                rows = Rows.open(file, len(head), header.rows, header.rows_sha256, size)
        except MessageRefused as error:
            raise UsageRefused(f"{path.name}: {error}") from error
        return cls(header, rows)

    def __len__(self) -> int:
        return self.header.rows

    def find(self, credential: Credential) -> dict[str, Used] | None:
        """Return what a card's member has used by period, or None: not near a limit."""
        found = self._rows.find(bytes.fromhex(credential))
        if found is None:
            return None
        _, *cells = self._row.unpack(found)
        pairs = zip(self.header.periods, cells[::2], cells[1::2], strict=True)
        return {period: Used(times, yen) for period, times, yen in pairs}

    def close(self) -> None:
        """Unmap the file."""
        self._rows.close()


def _open_head(head: bytes, audience: str, key: PublicKey) -> UsageHeader:
    return open_envelope(
        USAGE.signed(head),
        Purpose.USAGE,
        audience,
        key,
        UsageHeader,
        limit=USAGE_HEADER_BYTES_MAX,
    )
