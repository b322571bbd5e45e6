"""The journals on the disk as the network half sees them: read in order, counted, never written.

Rules: at most two files are open, however many journals there are · a journal's end is what the
next one's first entry says, so what was damaged at the end is known to be missing · entries that
the ledger has are not kept in memory.
"""

import contextlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.journal import Follower, JournalFile, Kept, journals
from edge.uplink import Marks
from wire.entries import Former, JournalId, Start
from wire.limits import BATCH_ENTRIES_MAX


@dataclass(frozen=True)
class JournalView:
    """See edge.uplink.View."""

    journal: JournalId
    end: Former | None
    file: JournalFile
    shelf: "Shelf"

    def after(self, n: int) -> Sequence[Kept]:
        """Return up to a batch of entries behind `n`. Raises OSError."""
        return self.shelf.entries(self.file, n)


@dataclass
class _Reading:
    """One journal being sent: where it was read to, and what was read and is not yet known."""

    follower: Follower
    asked: int = 0
    ahead: deque[Kept] = field(default_factory=deque)

    def after(self, n: int) -> Sequence[Kept]:
        self.asked = n
        while self.ahead and self.ahead[0].n <= n:
            self.ahead.popleft()
        while len(self.ahead) < BATCH_ENTRIES_MAX:
            kept = self.follower.read(BATCH_ENTRIES_MAX)
            if not kept:
                break
            self.ahead += [one for one in kept if one.n > n]
        return list(self.ahead)[:BATCH_ENTRIES_MAX]


class Shelf:
    """All journals of one reader; close it at the end."""

    def __init__(self, folder: Path, reader: str) -> None:
        """`reader` is the full name `tenant/reader`; the folder need not exist yet."""
        self._folder, self._reader = folder, reader
        self._reading: _Reading | None = None
        self._newest: Follower | None = None
        self._last: Kept | None = None
        self._formers: dict[JournalId, Former | None] = {}

    def views(self) -> list[JournalView]:
        """Return all journals, oldest first."""
        files = journals(self._folder)
        self._formers = {
            file.journal: self._formers[file.journal]
            for file in files
            if file.journal in self._formers
        }
        ends = {
            former.journal: former for file in files if (former := self._former(file)) is not None
        }
        return [JournalView(file.journal, ends.get(file.journal), file, self) for file in files]

    def known(self) -> Collection[str]:
        """Return the journals that exist."""
        return {file.journal for file in journals(self._folder)}

    def last(self) -> tuple[JournalId, Kept] | None:
        """Return the last readable entry of the newest journal; None before the first.

        Only what is new since the last question is read. Raises OSError.
        """
        files = journals(self._folder)
        if not files:
            return None
        if self._newest is None or self._newest.file != files[-1]:
            self._stop_following()
            self._newest = Follower(files[-1], self._reader)
        while kept := self._newest.read(BATCH_ENTRIES_MAX):
            self._last = kept[-1]
        return (files[-1].journal, self._last) if self._last else None

    def entries(self, file: JournalFile, n: int) -> Sequence[Kept]:
        """Return up to a batch of entries of one journal behind `n`. Raises OSError."""
        reading = self._reading
        if reading is None or reading.follower.file != file or n < reading.asked:
            self._stop_reading()
            reading = self._reading = _Reading(Follower(file, self._reader))
        return reading.after(n)

    def waiting(self, marks: Marks) -> int:
        """Return how many entries the ledger has not acknowledged, those lost among them.

        Raises OSError.
        """
        ends = {view.journal: view.end.n for view in self.views() if view.end}
        if last := self.last():
            ends[last[0]] = last[1].n
        return sum(max(0, n - marks.of(journal)) for journal, n in ends.items())

    def close(self) -> None:
        """Close the files."""
        self._stop_reading()
        self._stop_following()

    def _former(self, file: JournalFile) -> Former | None:
        """Return what the first entry of a journal says of the one before, once it is there."""
        if file.journal not in self._formers:
            # A file that cannot be read is counted when it is to be sent.
            with contextlib.suppress(OSError), Follower(file, self._reader) as follower:
                for first in follower.read(1):
                    entry = first.entry
                    self._formers[file.journal] = entry.former if isinstance(entry, Start) else None
        return self._formers.get(file.journal)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading.follower.close()
            self._reading = None

    def _stop_following(self) -> None:
        if self._newest:
            self._newest.close()
        self._newest = self._last = None
