"""The journal as the story of a tap needs it: keep an entry, or know at once that it cannot be.

Upheld: an entry that could not be written has no number and nothing is accepted for it · a full
disk or a failed write is tried again by itself · a jump of the clock stands in the journal before
the first entry that was stamped after it · what was delivered goes after a week.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.clock import ReaderClock
from edge.history import KEPT_MS, History
from edge.journal_writer import Journal, JournalError, prune
from edge.ride import Riding
from edge.usage import OwnEntries
from wire.clock import Clock, ClockState
from wire.entries import ClockStep, Entry, JournalId

PROBE_S: Final = 2
"""How often a full or broken journal is tried again; the next card tries it too."""
PRUNE_S: Final = 600
"""How often old journals are looked for."""

log = logging.getLogger("kazasu.tap")


class Keeper:
    """Keeps entries in the journal; tells history, `own` and `riding` what they say."""

    def __init__(
        self,
        journal: Journal,
        history: History,
        own: OwnEntries,
        riding: Riding,
        time: ReaderClock,
        clock: Clock,
        counted: Callable[[str], None],
    ) -> None:
        self.journal: Final = journal
        self.history: Final = history
        self.own: Final = own
        self._riding = riding
        self._time, self._clock, self._counted = time, clock, counted
        self._unwritten_step_ms = 0
        self.works = True
        """False while nothing can be kept."""
        self._not_before_ns = 0
        self._prune_ns = 0

    def keep(self, entry: Entry) -> int:
        """Put an entry on the disk; return its number, 0 when it could not be kept."""
        try:
            self._write_step()
            n, _ = self.journal.append(entry)
        except JournalError as error:
            self._failed(error)
            return 0
        self.works = True
        self.history.take(entry, (self.journal.id, n))
        self.own.take(self.journal.id, n, entry)
        self._riding.take(self.journal.id, n, entry)
        return n

    def stepped(self, step_ms: int) -> None:
        """Write down that the clock jumped; if that fails, before the next entry."""
        self._unwritten_step_ms += step_ms
        try:
            self._write_step()
        except JournalError as error:
            self._failed(error)

    def mend(self) -> bool:
        """Try a journal that does not work, now and then; say whether it works again."""
        if self.works or self._clock.monotonic_ns() < self._not_before_ns:
            return False
        return self.begin()

    def begin(self) -> bool:
        """Open the journal, or see whether there is room in it; say whether it works."""
        try:
            self.journal.probe()
        except JournalError as error:
            self._failed(error)
            return False
        self.works = True
        return True

    def prune(self, folder: Path, acknowledged: JournalId) -> None:
        """Remove delivered journals after a week, when the time is certain. Raises OSError."""
        now_ns = self._clock.monotonic_ns()
        if self._time.state is ClockState.SYNCHRONISED and now_ns >= self._prune_ns:
            self._prune_ns = now_ns + PRUNE_S * 1_000_000_000
            removed = prune(folder, acknowledged, self._time.now_ms() - KEPT_MS)
            gone = {file.journal for file in removed}
            self.own.forget(gone)
            self._riding.forget(gone)

    def _write_step(self) -> None:
        if self._unwritten_step_ms:
            stamp = self._time.stamp()
            step = ClockStep(v=1, n=1, step_ms=self._unwritten_step_ms, **stamp._asdict())
            n, _ = self.journal.append(step)
            self.history.take(step)
            self._riding.take(self.journal.id, n, step)
            self._unwritten_step_ms = 0

    def _failed(self, error: JournalError) -> None:
        if self.works:
            log.error("%s: %s", error, error.hint)
            self._counted("journal.failed")
        self.works = False
        self._not_before_ns = self._clock.monotonic_ns() + PROBE_S * 1_000_000_000
