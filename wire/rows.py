r"""Files of a signed head and sorted rows: rosters and usage files.

    magic · header length (u32, big-endian) · signed header · rows

Each row begins with its credential (16), by which they are sorted; all rows of a file have the same
size. What stands before the rows is the *head*; it names the rows by their hash, so places that
share rows need not be hashed one by one. Looking up maps the rows and reads only those it comes by:
credentials are spread evenly, so their value tells where to look, and where that is wrong the
interval is halved as ever.
"""

import hashlib
import mmap
import os
import struct
from typing import BinaryIO, Final, NamedTuple, Self

from wire.credential import CREDENTIAL_BYTES
from wire.envelope import MessageRefused

_LENGTH: Final = struct.Struct(">I")
PIECE_BYTES: Final = 256 * 1024
"""Hashed at a time: 0.2 ms, during which other threads run."""
PROBES: Final = 3
"""Guesses before the interval is halved: among n evenly spread rows the first is off by √n/2 or
so, the next by the root of that; after three a million leave about five."""
NEAR: Final = 16
"""Rows to either side of the last guess in which nearly every search ends."""
_PREFIX: Final = struct.Struct(">Q")


class RowsRefused(MessageRefused):
    """These bytes are not the file that they should be; fetch it again."""

    reason = "rows"


class FileKind(NamedTuple):
    """What one kind of file is called, begins with, and is changed by."""

    what: str
    magic: bytes
    header_bytes_max: int
    delta_type: str
    """Content type by which the device listener says that it answers with a delta (wire.rows_delta)
    and not with the whole file."""

    def head(self, signed: bytes) -> bytes:
        """Return all that stands before the rows. Raises ValueError for too long a header."""
        if len(signed) > self.header_bytes_max:
            raise ValueError(f"the {self.what}'s header has {len(signed)} bytes")
        return self.magic + _LENGTH.pack(len(signed)) + signed

    def read_head(self, file: BinaryIO) -> bytes:
        """Return the head at a file's position, not verified. Raises RowsRefused or OSError."""
        start = file.read(len(self.magic) + _LENGTH.size)
        if not start:
            raise RowsRefused("it is empty")
        if len(start) < len(self.magic) + _LENGTH.size or not start.startswith(self.magic):
            raise RowsRefused(f"this is no {self.what} of version 1")
        (length,) = _LENGTH.unpack_from(start, len(self.magic))
        return start + file.read(min(length, self.header_bytes_max + 1))

    def signed(self, head: bytes) -> bytes:
        """Return the signed header of a head."""
        return head[len(self.magic) + _LENGTH.size :]


class Rows:
    """The rows of a file, mapped. Several files may look up in the same ones."""

    def __init__(self, data: mmap.mmap | bytes, offset: int, count: int, row_bytes: int) -> None:
        self._data = data
        self._offset = offset
        self.count: Final = count
        self.row_bytes: Final = row_bytes

    @classmethod
    def map(cls, file: BinaryIO, offset: int, row_bytes: int) -> Self:
        """Map the rows from `offset` to the end, unverified. Raises RowsRefused or OSError."""
        size = os.fstat(file.fileno()).st_size
        count, rest = divmod(size - offset, row_bytes)
        if count < 0 or rest:
            raise RowsRefused("it was cut short or has grown")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        return cls(data, offset, count, row_bytes)

    @classmethod
    def open(cls, file: BinaryIO, offset: int, count: int, sha256: bytes, row_bytes: int) -> Self:
        """Map rows of this number and hash. Raises RowsRefused or OSError.

        Each byte is read once, in pieces; other threads run meanwhile.
        """
        if os.fstat(file.fileno()).st_size != offset + count * row_bytes:
            raise RowsRefused("it was cut short or has grown")
        file.seek(offset)
        digest = hashlib.sha256()
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
        if digest.digest() != sha256:
            raise RowsRefused("it is damaged: its rows have another hash")
        return cls.map(file, offset, row_bytes)

    def at(self, index: int) -> bytes:
        """Return the credential of a row."""
        start = self._offset + index * self.row_bytes
        return self._data[start : start + CREDENTIAL_BYTES]

    def packed(self, first: int, end: int) -> bytes:
        """Return the bytes of the rows from `first` to before `end`."""
        start, size = self._offset, self.row_bytes
        return self._data[start + first * size : start + end * size]

    def find(self, wanted: bytes) -> bytes | None:
        """Return a credential's row, or None.

        Credentials that are spread evenly lie within NEAR rows of the second guess, but for one in
        some hundreds; those few, and strangers, are searched for as `lower_bound` does it.
        """
        data, start, size, count = self._data, self._offset, self.row_bytes, self.count
        share = _PREFIX.unpack_from(wanted)[0]
        guess = share * count >> 64
        for _ in range(2):
            if not 0 <= guess < count:
                break
            here = _PREFIX.unpack_from(data, start + guess * size)[0]
            guess += (share - here) * count >> 64
        low, high = max(guess - NEAR, 0), min(guess + NEAR, count)
        near = data[start + low * size : start + max(low, high) * size]
        place = near.find(wanted)
        if place < 0 or place % size:
            index = self.lower_bound(wanted)
            if index == count or self.at(index) != wanted:
                return None
            return self.packed(index, index + 1)
        return near[place : place + size]

    def lower_bound(self, wanted: bytes, low: int = 0) -> int:
        """Return the first row from `low` on whose credential is not before `wanted`.

        Every row before `low` must be before `wanted`. About 5 rows of a million are read when
        credentials are spread evenly, at most 25 however they are.
        """
        data, start, size = self._data, self._offset, self.row_bytes
        high = count = self.count
        share = _PREFIX.unpack_from(wanted)[0]
        guess = share * count >> 64
        for _ in range(PROBES):
            if not low <= guess < high:
                break
            here = _PREFIX.unpack_from(data, start + guess * size)[0]
            if here < share:
                low = guess + 1
            elif here > share:
                high = guess
            else:
                break
            guess += (share - here) * count >> 64
        for near in (guess - NEAR, guess + NEAR):
            if low <= near < high:
                if self.at(near) < wanted:
                    low = near + 1
                else:
                    high = near
        return self._halved(wanted, low, high)

    def _halved(self, wanted: bytes, low: int, high: int) -> int:
        data, start, size = self._data, self._offset, self.row_bytes
        while low < high:
            middle = (low + high) >> 1
            at = start + middle * size
            if data[at : at + CREDENTIAL_BYTES] < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def close(self) -> None:
        """Unmap the file."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()
