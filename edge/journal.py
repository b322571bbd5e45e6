"""The journal: what this reader did, on the disk before anyone sees a yes.

One file per journal, `journal/{started at, ms, 13 digits}-{journal id}.kzj` in the state folder,
only ever appended to. A frame is

    F5 4B 5A 4A · length (u16) · CRC-32 (u32) · hash before the entry (32) · the entry's bytes

big-endian; the CRC covers length, hash and entry. A frame carries the hash *before* its entry, so
that an entry behind a damaged one can still be sent with its place in the chain.

Here are the format and the reading half, for `link` and for the start of `tap`; the one writer is
in `journal_writer.py`. Upheld: damage is skipped to the next good frame, never repaired, and shows
as missing numbers · what is no undamaged frame with a known entry is never returned.
"""

import logging
import os
import re
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

from wire.entries import Entry, EntryRefused, JournalId, chain, decode, genesis
from wire.limits import ENTRY_BYTES_MAX

FOLDER: Final = "journal"
"""In the reader's state folder."""
MAGIC: Final = b"\xf5KZJ"
"""F5 never stands in UTF-8 (RFC 3629), so no entry's JSON can look like the start of a frame."""
_HEAD: Final = struct.Struct(">4sHI32s")
FRAME_BYTES_MAX: Final = _HEAD.size + ENTRY_BYTES_MAX
READ_BYTES: Final = 256 * 1024
"""Read at once: about 800 entries, so 5 MB of journal are followed in 20 reads."""
JOURNAL_BYTES_MAX: Final = 4 * 1024 * 1024
"""A file is closed behind it: about 10,000 taps, 16 busy days of a bus."""
JOURNAL_HOURS_MAX: Final = 24
"""A file is closed behind it, so that whole files can be removed a week after."""

log = logging.getLogger("kazasu.journal")

_FILE: Final = re.compile(r"([0-9]{13})-([0-9a-f]{32})\.kzj\Z")


class JournalFile(NamedTuple):
    """One journal on the disk. `started_ms` orders them: each is later than the one before."""

    path: Path
    started_ms: int
    journal: JournalId


class Kept(NamedTuple):
    """One entry as it lies in the journal, with its place in the chain."""

    n: int
    before: bytes
    """The hash before this entry."""
    tip: bytes
    """The hash after it."""
    body: bytes
    entry: Entry
    contradicts: bool
    """The entry before is readable and has another hash: not an accident, the file was changed."""


def journals(folder: Path) -> list[JournalFile]:
    """Return the journals in a folder, oldest first; other files are not looked at."""
    found = ((path, _FILE.match(path.name)) for path in folder.glob("*.kzj"))
    files = [
        JournalFile(path, int(match[1]), JournalId(match[2])) for path, match in found if match
    ]
    return sorted(files, key=lambda file: (file.started_ms, file.journal))


class _Frame(NamedTuple):
    end: int
    before: bytes
    body: bytes
    entry: Entry


def next_frame(data: bytes, at: int = 0) -> _Frame | None:
    """Return the first whole, undamaged frame that begins at or behind `at`; None without one."""
    while (at := data.find(MAGIC, at)) >= 0:
        if frame := _frame_at(data, at):
            return frame
        at += 1
    return None


def _frame_at(data: bytes, at: int) -> _Frame | None:
    if len(data) - at < _HEAD.size:
        return None
    _, length, crc, before = _HEAD.unpack_from(data, at)
    start, end = at + _HEAD.size, at + _HEAD.size + length
    if length > ENTRY_BYTES_MAX or end > len(data) or crc != _crc(before, data[start:end]):
        return None
    body = data[start:end]
    try:
        return _Frame(end, before, body, decode(body))
    except EntryRefused:
        return None


def frame_of(before: bytes, body: bytes) -> bytes:
    """Return the frame of an entry's bytes that follow the hash `before`."""
    return _HEAD.pack(MAGIC, len(body), _crc(before, body), before) + body


def _crc(before: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(before, zlib.crc32(struct.pack(">H", len(body)))))


class Follower:
    """Reads one journal in order, also while it is being written; never writes.

    Numbers that `read` skips over are lost: their frames are damaged. The end of a journal that
    is no longer written may be torn; what was torn there was never shown to anyone.
    """

    def __init__(self, file: JournalFile, reader: str) -> None:
        """`reader` is the full name `tenant/reader`. Raises OSError."""
        self.file: Final = file
        self._fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        self._n = 0
        self._tip = genesis(reader, file.journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def read(self, limit: int) -> list[Kept]:
        """Return up to `limit` next entries; empty when there are none yet. Raises OSError."""
        kept: list[Kept] = []
        while not kept:
            data = os.pread(self._fd, READ_BYTES, self._offset)
            at = 0
            while len(kept) < limit and (frame := next_frame(data, at)):
                at = frame.end
                kept += self._take(frame)
            if not at and len(data) == READ_BYTES:
                at = READ_BYTES - FRAME_BYTES_MAX  # all damaged; a whole frame may begin behind
            self._offset += at
            if not at:
                break
        return kept

    def __iter__(self) -> Iterator[Kept]:
        """Yield every entry from here to the present end."""
        while kept := self.read(limit=200):
            yield from kept

    def _take(self, frame: _Frame) -> list[Kept]:
        """Return the entry in its place; nothing for a number that was read before."""
        n = frame.entry.n
        if n <= self._n:
            return []
        contradicts = n == self._n + 1 and frame.before != self._tip
        self._n, self._tip = n, chain(frame.before, frame.body)
        return [Kept(n, frame.before, self._tip, frame.body, frame.entry, contradicts)]


def read_whole(file: JournalFile, reader: str) -> Iterator[Kept]:
    """Yield every entry of a journal; a disk that cannot read on ends it, and the log says so."""
    try:
        with Follower(file, reader) as follower:
            yield from follower
    except OSError as error:
        log.error("%s cannot be read to its end: %s", file.path, error)


def last_entry(folder: Path, reader: str) -> tuple[JournalId, Kept] | None:
    """Return the last readable entry of the latest journal that has one."""
    for file in reversed(journals(folder)):
        if latest := deque(read_whole(file, reader), maxlen=1):
            return file.journal, latest[0]
    return None
