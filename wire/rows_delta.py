r"""What has changed between two files of rows (wire.rows), for a reader that holds the former.

    "KAZASU-DELTA-1\n" · name of the held file (32) · number of removed credentials (u32) · number
    of rows (u32) · the new file's head, as it is · removed credentials (16 bytes each, sorted) ·
    rows, new and changed (sorted, as long as those that are held)

A roster is named by the SHA-256 of its head, a usage file by that of its rows. Merged into the file
that is held, a delta gives the new file byte for byte. It is not signed and need not be: the head
in it is, and names the rows of the *result* by their hash, so a damaged or hostile delta makes a
file that is refused. Rows are compared as bytes: where a roster's list of categories has shifted,
most rows have changed, and the whole file is the smaller answer.
"""

import heapq
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from wire.credential import CREDENTIAL_BYTES
from wire.limits import ROSTER_ROWS_MAX
from wire.rows import FileKind, Rows, RowsRefused

MAGIC: Final = b"KAZASU-DELTA-1\n"
_START: Final = struct.Struct(f">{len(MAGIC)}s32sII")
_AT_ONCE: Final = 8_192
"""Rows copied or compared at a time: 230 kB of a roster, whatever its size."""


class DeltaRefused(RowsRefused):
    """This delta does not fit the file that is held; fetch the whole."""


class Base(NamedTuple):
    """The file that is held."""

    path: Path
    name: bytes
    row_bytes: int


class Difference(NamedTuple):
    """What turns one file's rows into another's."""

    removed: bytes
    rows: bytes
    row_bytes: int

    @property
    def size(self) -> int:
        """Bytes of a delta without its head."""
        return _START.size + len(self.removed) + len(self.rows)


def difference(old: Rows, new: Rows, limit: int) -> Difference | None:
    """Return what has changed; None when that takes more than `limit` bytes.

    Rows of both are of one size.
    """
    removed, rows = bytearray(), bytearray()
    i = j = 0
    while i < old.count and j < new.count:
        same = _same_rows(old, i, new, j)
        i, j = i + same, j + same
        if i == old.count or j == new.count:
            break
        was, now = old.at(i), new.at(j)
        if was < now:
            removed += was
        else:
            rows += new.packed(j, j + 1)
        i, j = i + (was <= now), j + (was >= now)
        if len(removed) + len(rows) > limit:
            return None
    left, added = old.count - i, new.count - j
    if len(removed) + len(rows) + left * CREDENTIAL_BYTES + added * new.row_bytes > limit:
        return None
    for index in range(i, old.count):
        removed += old.at(index)
    rows += new.packed(j, new.count)
    return Difference(bytes(removed), bytes(rows), new.row_bytes)


def _same_rows(old: Rows, i: int, new: Rows, j: int) -> int:
    """Return how many rows from `i` and `j` on are the same: in growing steps, then halving."""
    most = min(old.count - i, new.count - j)
    same, step = 0, 1
    while same < most:
        step = min(step, most - same)
        if not _equal(old, i + same, new, j + same, step):
            break
        same, step = same + step, min(2 * step, _AT_ONCE)
    else:
        return most
    while step > 1:
        half = step // 2
        if _equal(old, i + same, new, j + same, half):
            same, step = same + half, step - half
        else:
            step = half
    return same


def _equal(old: Rows, i: int, new: Rows, j: int, rows: int) -> bool:
    return old.packed(i, i + rows) == new.packed(j, j + rows)


def encode_delta(held: bytes, head: bytes, change: Difference) -> bytes:
    """Return a delta from the file of this name to the one that begins with `head`."""
    removed = len(change.removed) // CREDENTIAL_BYTES
    start = _START.pack(MAGIC, held, removed, len(change.rows) // change.row_bytes)
    return start + head + change.removed + change.rows


def apply_delta(held: Base, delta: Path, into: BinaryIO, kind: FileKind) -> None:
    """Write the new file, not verified, in pieces. Raises DeltaRefused, RowsRefused or OSError.

    What is written is never longer than the held file and the delta together.
    """
    with held.path.open("rb") as held_file, delta.open("rb") as delta_file:
        old = Rows.map(held_file, len(kind.read_head(held_file)), held.row_bytes)
        try:
            start = delta_file.read(_START.size)
            if len(start) < _START.size or not start.startswith(MAGIC):
                raise DeltaRefused("this is no delta of version 1")
            _, name, removed, rows = _START.unpack(start)
            if name != held.name:
                raise DeltaRefused("it is for another file than the one that is held")
            into.write(kind.read_head(delta_file))
            _merge(old, _Changes(delta_file, removed, rows, held.row_bytes), into)
        finally:
            old.close()


class _Changes:
    """The changes of a delta, in order of their credentials."""

    def __init__(self, file: BinaryIO, removed: int, rows: int, row_bytes: int) -> None:
        offset = file.tell()
        rows_from = offset + removed * CREDENTIAL_BYTES
        if max(removed, rows) > ROSTER_ROWS_MAX:
            raise DeltaRefused("it names more rows than a file may have")
        if os.fstat(file.fileno()).st_size != rows_from + rows * row_bytes:
            raise DeltaRefused("it was cut short or has grown")
        self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._removed = range(offset, rows_from, CREDENTIAL_BYTES)
        self._rows = range(rows_from, rows_from + rows * row_bytes, row_bytes)
        self._row_bytes = row_bytes

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield a credential with its row, or with no bytes where it is removed."""
        data, size = self._data, self._row_bytes
        gone = ((data[at : at + CREDENTIAL_BYTES], b"") for at in self._removed)
        here = ((data[at : at + CREDENTIAL_BYTES], data[at : at + size]) for at in self._rows)
        return heapq.merge(gone, here)

    def close(self) -> None:
        self._data.close()


def _merge(old: Rows, changes: _Changes, into: BinaryIO) -> None:
    try:
        copied, last = 0, b""
        for credential, row in changes:
            if credential <= last:
                raise DeltaRefused("its credentials are not in order")
            last = credential
            index = old.lower_bound(credential, copied)
            _copy(old, copied, index, into)
            stands = index < old.count and old.at(index) == credential
            if not row and not stands:
                raise DeltaRefused("it removes a credential that is not there")
            into.write(row)
            copied = index + stands
        _copy(old, copied, old.count, into)
    finally:
        changes.close()


def _copy(old: Rows, first: int, end: int, into: BinaryIO) -> None:
    for start in range(first, end, _AT_ONCE):
        into.write(old.packed(start, min(start + _AT_ONCE, end)))
