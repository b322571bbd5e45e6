"""What the driver sees of today: how many were counted by hand, and the last results.

Rules: no person and no credential is taken out of an entry · it is read again from the journal
after a restart, so a count never starts from nothing in the middle of a day.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from edge.journal import JOURNAL_HOURS_MAX, Follower, Kept, journals
from edge.panel import Shown
from programmes.calendar import local_day, start_of_day_ms
from wire.codes import Code, Outcome
from wire.entries import Press, Tap

RESULTS_MAX: Final = 10
"""Fit on a driver's screen without scrolling."""
PRESS: Final = "press."
"""How the message ids of counted presses begin."""


class Result(NamedTuple):
    """One presentation, without who it was."""

    at_ms: int
    outcome: Outcome
    code: Code


@dataclass
class Today:
    """Counts and last results of the local day of the latest of them."""

    pressed: Counter[str] = field(default_factory=Counter)
    """By button."""
    results: deque[Result] = field(default_factory=lambda: deque(maxlen=RESULTS_MAX))
    """The latest first."""
    _day_ms: int = 0
    _read: dict[str, int] = field(default_factory=dict)

    def read(self, folder: Path, reader: str, now_ms: int) -> int:
        """Take in what the journals hold of today; return how many of them cannot be read."""
        self._turn(now_ms)
        unreadable = 0
        earliest_ms = self._day_ms - JOURNAL_HOURS_MAX * 3_600_000
        for file in journals(folder):
            if file.started_ms < earliest_ms:
                continue
            try:
                with Follower(file, reader) as follower:
                    for kept in follower:
                        self._take_kept(file.journal, kept)
            except OSError:
                unreadable += 1
        return unreadable

    def take(self, shown: Shown) -> None:
        """Take in what was just shown, unless it was read from the journal."""
        if 0 < shown.n <= self._read.get(shown.journal, 0):
            return
        self._turn(shown.at_ms)
        if not shown.message.startswith(PRESS):
            self._result(shown.at_ms, shown.outcome, shown.code)
        elif shown.outcome is Outcome.ACCEPTED:
            self._press(shown.at_ms, shown.message.removeprefix(PRESS))

    def _take_kept(self, journal: str, kept: Kept) -> None:
        self._read[journal] = kept.n
        if isinstance(kept.entry, Press):
            self._press(kept.entry.at_ms, kept.entry.button)
        elif isinstance(kept.entry, Tap):
            self._result(kept.entry.at_ms, kept.entry.outcome, kept.entry.code)

    def _turn(self, at_ms: int) -> None:
        """Begin a new day when it is one."""
        day_ms = start_of_day_ms(local_day(at_ms))
        if day_ms > self._day_ms:
            self._day_ms = day_ms
            self.pressed.clear()
            self.results.clear()

    def _press(self, at_ms: int, button: str) -> None:
        if at_ms >= self._day_ms:
            self.pressed[button] += 1

    def _result(self, at_ms: int, outcome: Outcome, code: Code) -> None:
        if at_ms >= self._day_ms:
            self.results.appendleft(Result(at_ms, outcome, code))
