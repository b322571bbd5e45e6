"""The one writer of the journal (see `journal.py` for the format).

Upheld: one synchronous write (`O_DSYNC`) per entry, nothing cached above it · a number is never
used twice: a journal is begun at every start, when a file has grown, every day and after any
write error, and its first entry names the one before · a frame that did not fit is taken back ·
only one agent writes in a folder (a lock holds that).
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edge.clock import Stamp
from edge.durable import file_mode, make_folder, synchronise_folder
from edge.journal import (
    FRAME_BYTES_MAX,
    JOURNAL_BYTES_MAX,
    JOURNAL_HOURS_MAX,
    JournalFile,
    frame_of,
    journals,
    last_entry,
)
from edge.lock import take
from wire.entries import Entry, Former, JournalId, Start, chain, encode, genesis, new_journal

LOCK: Final = "writer.lock"
_NO_SPACE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class JournalError(OSError):
    """Nothing was kept, so nothing may be shown as accepted; `hint` says what to do."""

    hint = "restart the reader; if it stays, exchange its card or disk"


class JournalFull(JournalError):
    """There is no room. The journal is whole and goes on by itself when there is."""

    hint = "make room on the reader's disk: delivered journals go after seven days by themselves"


class JournalBroken(JournalError):
    """A write failed: the disk may be dying. The next append begins a fresh journal."""


class Journal:
    """The one writer. Made at the start of the agent; `append` begins the first file.

    `now` stamps the `Start` entries. Raises InUse, or OSError when the folder cannot be
    made.
    """

    def __init__(
        self, folder: Path, reader: str, boot: str, agent: str, now: Callable[[], Stamp]
    ) -> None:
        self._folder, self._reader = folder, reader
        self._boot, self._agent, self._now = boot, agent, now
        make_folder(folder)
        self._lock = take(folder / LOCK)
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
            self._fd = os.open(path, flags, file_mode(self._folder))
            self._put(start)
            synchronise_folder(self._folder)
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
        self._write(frame_of(self.tip, body), keep=True)
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
