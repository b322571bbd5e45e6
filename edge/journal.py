"""The journal: what this reader did, on the disk before anyone sees a yes.

One file per journal, `journal/{started at, ms, 13 digits}-{journal id}.kzj` in the state folder,
only ever appended to. A frame is

    F5 4B 5A 4A · length (u16) · CRC-32 (u32) · hash before the entry (32) · the entry's bytes

big-endian; the CRC covers length, hash and entry. A frame carries the hash *before* its entry, so
that an entry behind a damaged one can still be sent with its place in the chain.

Upheld: one synchronous write (`O_DSYNC`) per entry, nothing cached above it · a number is never
used twice: a journal is begun at every start, when a file has grown, every day and after any
write error, and its first entry names the one before · damage is skipped to the next good frame,
never repaired, and shows as missing numbers · only `tap` writes (a lock holds that), anyone reads.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from wire.clock import ClockState
from wire.entries import (
    Entry,
    EntryRefused,
    Former,
    JournalId,
    Start,
    chain,
    decode,
    encode,
    genesis,
    new_journal,
)
from wire.limits import ENTRY_BYTES_MAX

FOLDER: Final = "journal"
"""In the reader's state folder."""
LOCK: Final = "writer.lock"
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

_FILE: Final = re.compile(r"([0-9]{13})-([0-9a-f]{32})\.kzj\Z")
_NO_SPACE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class JournalError(OSError):
    """Nothing was kept, so nothing may be shown as accepted; `hint` says what to do."""

    hint = "restart the reader; if it stays, exchange its card or disk"


class JournalFull(JournalError):
    """There is no room. The journal is whole and goes on by itself when there is."""

    hint = "make room on the reader's disk: delivered journals go after seven days by themselves"


class JournalBroken(JournalError):
    """A write failed: the disk may be dying. The next append begins a fresh journal."""


class JournalInUse(JournalError):
    """Another agent writes in this folder."""

    hint = "stop the other agent that uses this state folder"


class Stamp(NamedTuple):
    """When something happened, by both clocks of the reader (see wire.entries)."""

    at_ms: int
    mono_ms: int
    clock: ClockState


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


# --- reading -------------------------------------------------------------------------------------


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


def last_entry(folder: Path, reader: str) -> tuple[JournalId, Kept] | None:
    """Return the last readable entry of the latest journal that has one. Raises OSError."""
    for file in reversed(journals(folder)):
        with Follower(file, reader) as follower:
            latest = deque(follower, maxlen=1)
        if latest:
            return file.journal, latest[0]
    return None


# --- writing -------------------------------------------------------------------------------------


class Journal:
    """The one writer. Made at the start of the agent; `append` begins the first file.

    `now` stamps the `Start` entries. Raises JournalInUse, or OSError when the folder cannot be
    made.
    """

    def __init__(
        self, folder: Path, reader: str, boot: str, agent: str, now: Callable[[], Stamp]
    ) -> None:
        self._folder, self._reader = folder, reader
        self._boot, self._agent, self._now = boot, agent, now
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(folder / LOCK)
        self._fd: int | None = None
        self._bytes = 0
        self._began_mono_ms = 0
        self._former = self._find_former()
        self.id = new_journal()
        self.n = 0
        """The last number that is on the disk; 0 before the first."""
        self.tip = genesis(reader, self.id)

    def _find_former(self) -> Former | None:
        if (found := last_entry(self._folder, self._reader)) is None:
            return None
        journal, last = found
        return Former(journal=journal, n=last.n, tip=last.tip)

    def append(self, entry: Entry) -> tuple[int, bytes]:
        """Put an entry on the disk; return the number that it got, and the tip.

        The entry's own `n` does not matter. Raises JournalFull or JournalBroken: then nothing
        was kept, and the next append tries by itself to go on.
        """
        self.begin_if_due()
        self._put(entry)
        return self.n, self.tip

    def begin_if_due(self) -> bool:
        """Begin a journal when none is open or this one is long or old; say whether it was.

        Raises JournalFull or JournalBroken.
        """
        if self._fd is not None and self._bytes < JOURNAL_BYTES_MAX and not self._is_old():
            return False
        self._begin()
        return True

    def probe(self) -> None:
        """Try whether there is room for an entry. Raises JournalFull or JournalBroken."""
        if not self.begin_if_due():
            self._write(bytes(FRAME_BYTES_MAX), keep=False)

    def close(self) -> None:
        """Close the file and let another agent write."""
        self._close_file()
        os.close(self._lock)

    def _is_old(self) -> bool:
        return self._now().mono_ms - self._began_mono_ms > JOURNAL_HOURS_MAX * 3_600_000

    def _begin(self) -> None:
        """Leave the journal that is open and write the first entry of a fresh one."""
        if self.n:
            self._former = Former(journal=self.id, n=self.n, tip=self.tip)
        self._close_file()
        self.id, self.n, self._bytes = new_journal(), 0, 0
        self.tip = genesis(self._reader, self.id)
        stamp = self._now()
        self._began_mono_ms = stamp.mono_ms
        path = self._folder / f"{self._free_start(stamp.at_ms):013d}-{self.id}.kzj"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_DSYNC | os.O_CLOEXEC
        start = Start(
            v=1, n=1, boot=self._boot, agent=self._agent, former=self._former, **stamp._asdict()
        )
        try:
            self._fd = os.open(path, flags, 0o600)
            self._put(start)
            _sync_folder(self._folder)
        except OSError as error:
            self._close_file()
            self.n = 0  # `_former` stays what it was: nobody was told of this one
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise _trouble(error) from error

    def _free_start(self, at_ms: int) -> int:
        """Return a start later than every journal's: file names keep the order of writing."""
        files = journals(self._folder)
        return max(at_ms, files[-1].started_ms + 1 if files else 0)

    def _put(self, entry: Entry) -> None:
        body = encode(msgspec.structs.replace(entry, n=self.n + 1))
        head = _HEAD.pack(MAGIC, len(body), _crc(self.tip, body), self.tip)
        self._write(head + body, keep=True)
        self.n, self.tip = self.n + 1, chain(self.tip, body)

    def _write(self, data: bytes, keep: bool) -> None:
        """Write all of `data` at the end, or nothing."""
        assert self._fd is not None, "begin_if_due comes first"  # noqa: S101
        fd, rest = self._fd, data
        try:
            while rest:  # a disk that becomes full in the middle says so at the second write
                rest = rest[os.write(fd, rest) :]
            if not keep:
                os.ftruncate(fd, self._bytes)
        except OSError as error:
            self._take_back(fd, len(data), error)
            raise _trouble(error) from error
        if keep:
            self._bytes += len(data)

    def _take_back(self, fd: int, wanted: int, error: OSError) -> None:
        """Remove a torn frame.

        After anything but a lack of room, or when `link` could already read the whole frame, this
        journal is over: nobody can say whether its next number is free.
        """
        over = True
        with contextlib.suppress(OSError):
            size = os.fstat(fd).st_size
            os.ftruncate(fd, self._bytes)
            over = error.errno not in _NO_SPACE or size >= self._bytes + wanted
        if over:
            self._close_file()

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None


def _trouble(error: OSError) -> JournalError:
    if isinstance(error, JournalError):
        return error
    kind = JournalFull if error.errno in _NO_SPACE else JournalBroken
    return kind(f"the journal cannot be written: {error.strerror}")


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise JournalInUse(f"{path.parent} is in use by another agent") from error
    return fd


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a file's own sync does not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def prune(folder: Path, acknowledged: JournalId, before_ms: int) -> list[JournalFile]:
    """Remove journals that stand before an acknowledged one and ended before `before_ms`.

    A journal ends when the next begins. Returns the removed ones; raises OSError.
    """
    files = journals(folder)
    known = [number for number, file in enumerate(files) if file.journal == acknowledged]
    done = files[: known[0]] if known else []
    over = [
        file for file, later in zip(done, files[1:], strict=False) if later.started_ms < before_ms
    ]
    for file in over:
        file.path.unlink(missing_ok=True)
    return over
