r"""The roster file: a programme's complete list of credentials with what a decision needs.

    "KAZASU-ROSTER-1\n" · header length (u32, big-endian) · signed header · rows

Rows are sorted by credential, each 28 bytes: credential (16) · category (u16, an index into the
header's list) · valid from, valid to (u16, days since 2000-01-01, both days included; 0 and
65535: open) · zero (u16) · stopped from (u32, seconds since 2000-01-01 UTC; 0: not stopped).
The same data give the same bytes. Looking up maps the file and halves the interval: no row is
read before it is asked for, so a million members open as fast as ten.
"""

import bisect
import datetime
import hashlib
import itertools
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta

from wire.credential import CREDENTIAL_BYTES, Credential, Scheme
from wire.entries import AtMs, Hash, Name, RuleVersion, Short
from wire.envelope import MessageRefused, PublicKey, Purpose, Signer, open_envelope
from wire.limits import ROSTER_HEADER_BYTES_MAX, ROSTER_ROWS_MAX
from wire.messages import Count

MAGIC: Final = b"KAZASU-ROSTER-1\n"
ROW: Final = struct.Struct(">16sHHHHI")
EPOCH_DAY: Final = datetime.date(2000, 1, 1)
EPOCH_S: Final = 946_684_800
"""2000-01-01T00:00:00Z in seconds since 1970."""
OPEN_END: Final = 0xFFFF


class RosterRefused(MessageRefused):
    """This file is not the roster that it should be; fetch it again."""

    reason = "roster"


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A programme's parameters from a day on; the programme's own module knows their types."""

    version: RuleVersion
    valid_from: datetime.date
    parameters: dict[str, Any]


class RosterHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: the rows by their hash, and what a decision needs beside them.

    `schemes` are those that members in the rows still use, in the programme's order of
    preference: a reader tries the next one only while it is named here. `rules` are sorted by
    `valid_from`; `categories` are opaque to readers and operators alike.
    """

    v: Literal[1]
    programme: Name
    place: Name
    version: Count
    at_ms: AtMs
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    schemes: list[Scheme]
    categories: list[Short]
    rules: list[RuleTable]
    triage: bool
    """The reader reports cards that no roster knows (wire.messages.Triage), for a clerk."""
    rows: Annotated[int, Meta(ge=0, le=ROSTER_ROWS_MAX)]
    rows_sha256: Hash


class RosterRow(NamedTuple):
    """One member's card. `stopped_from_s` is in seconds since 1970 UTC, None when not stopped."""

    credential: Credential
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    stopped_from_s: int | None


def _days(day: datetime.date | None, absent: int) -> int:
    if day is None:
        return absent
    number = (day - EPOCH_DAY).days
    if not 0 < number < OPEN_END:
        raise ValueError(f"{day} cannot stand in a roster: use 2000-01-02 to 2179-06-05")
    return number


def _seconds(stopped_from_s: int | None) -> int:
    """Return a stop as it stands in a row; one of before 2000 has begun at the epoch."""
    if stopped_from_s is None:
        return 0
    number = max(1, stopped_from_s - EPOCH_S)
    if number > 0xFFFF_FFFF:
        raise ValueError(f"a stop from {stopped_from_s} s on cannot stand in a roster: it is late")
    return number


def pack_rows(rows: Iterable[RosterRow], categories: Sequence[str]) -> bytes:
    """Return the rows' bytes, sorted. Raises ValueError for a credential that stands twice."""
    index = {category: number for number, category in enumerate(categories)}
    packed = sorted(
        ROW.pack(
            bytes.fromhex(row.credential),
            index[row.category],
            _days(row.valid_from, 0),
            _days(row.valid_to, OPEN_END),
            0,
            _seconds(row.stopped_from_s),
        )
        for row in rows
    )
    for one, next_one in itertools.pairwise(packed):
        if one[:CREDENTIAL_BYTES] == next_one[:CREDENTIAL_BYTES]:
            raise ValueError(f"credential {one[:CREDENTIAL_BYTES].hex()} stands twice")
    return b"".join(packed)


def roster_audience(tenant: str, header: RosterHeader) -> str:
    """Return what a roster's signature is for."""
    return f"{tenant}/{header.programme}/{header.place}"


def build_roster(header: RosterHeader, rows: Iterable[RosterRow], tenant: str, by: Signer) -> bytes:
    """Return the whole file; `rows` and `rows_sha256` of the header are filled in here."""
    packed = pack_rows(rows, header.categories)
    header = msgspec.structs.replace(
        header, rows=len(packed) // ROW.size, rows_sha256=hashlib.sha256(packed).digest()
    )
    signed = by.seal(Purpose.ROSTER, roster_audience(tenant, header), header)
    if len(signed) > ROSTER_HEADER_BYTES_MAX:
        raise ValueError(f"the roster's header has {len(signed)} bytes: shorten the rule tables")
    return MAGIC + struct.pack(">I", len(signed)) + signed + packed


class Roster:
    """A verified roster, open for looking up. Close it when a newer one has taken its place."""

    def __init__(self, header: RosterHeader, data: mmap.mmap, offset: int) -> None:
        self.header: Final = header
        self._data = data
        self._offset = offset

    @classmethod
    def open(cls, path: Path, tenant: str, programme: str, place: str, key: PublicKey) -> Self:
        """Map and verify one file. Raises RosterRefused or OSError; hashes every byte once."""
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                raise RosterRefused(f"{path.name} is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            header, offset = cls._verified(data, f"{tenant}/{programme}/{place}", key)
            if (header.programme, header.place) != (programme, place):
                raise RosterRefused(f"it is for {header.programme} at {header.place}")
        except MessageRefused as error:
            data.close()
            raise RosterRefused(f"{path.name}: {error}") from error
        return cls(header, data, offset)

    @staticmethod
    def _verified(data: mmap.mmap, audience: str, key: PublicKey) -> tuple[RosterHeader, int]:
        """Return the header and where the rows begin. Raises MessageRefused."""
        start = len(MAGIC) + 4
        if len(data) < start or data[: len(MAGIC)] != MAGIC:
            raise RosterRefused("this is no roster of version 1")
        length = struct.unpack(">I", data[len(MAGIC) : start])[0]
        header = open_envelope(
            data[start : start + min(length, ROSTER_HEADER_BYTES_MAX + 1)],
            Purpose.ROSTER,
            audience,
            key,
            RosterHeader,
            limit=ROSTER_HEADER_BYTES_MAX,
        )
        offset = start + length
        with memoryview(data) as view, view[offset:] as rows:
            if rows.nbytes != header.rows * ROW.size:
                raise RosterRefused("it was cut short or has grown")
            if hashlib.sha256(rows).digest() != header.rows_sha256:
                raise RosterRefused("it is damaged: its rows have another hash")
        return header, offset

    def __len__(self) -> int:
        return self.header.rows

    def find(self, credential: Credential) -> RosterRow | None:
        """Return the row of a credential, or None: about 20 steps among a million."""
        wanted, data, offset = bytes.fromhex(credential), self._data, self._offset
        size = ROW.size

        def at(index: int) -> bytes:
            start = offset + index * size
            return data[start : start + CREDENTIAL_BYTES]

        index = bisect.bisect_left(range(self.header.rows), wanted, key=at)
        if index == self.header.rows or at(index) != wanted:
            return None
        return self._row(credential, index)

    def _row(self, credential: Credential, index: int) -> RosterRow:
        _, category, first, last, _, stopped = ROW.unpack_from(
            self._data, self._offset + index * ROW.size
        )
        return RosterRow(
            credential,
            self.header.categories[category],
            EPOCH_DAY + datetime.timedelta(days=first) if first else None,
            EPOCH_DAY + datetime.timedelta(days=last) if last != OPEN_END else None,
            stopped + EPOCH_S if stopped else None,
        )

    def close(self) -> None:
        """Unmap the file."""
        self._data.close()
