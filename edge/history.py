"""What this reader booked for each card in the last seven days: the repeat window's memory.

Rebuilt from the journals at the start, so a restart opens no window. Upheld: bounded memory; the
last entry before the start may never have been shown, so it keeps a longer window
(programmes.rulebook.PERHAPS_NOT_SHOWN_WINDOW_S): nobody pays twice for a power cut.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.journal import journals, read_whole
from programmes.rulebook import Booked
from wire.codes import Outcome
from wire.entries import Entry, Tap

KEPT_MS: Final = 7 * 24 * 3_600_000
CARDS_MAX: Final = 50_000
"""Cards of a week: ten times the busiest bus; about 20 MB if it were ever reached."""
PER_CARD_MAX: Final = 100
"""Bookings of one card in a week: 14 a day."""

_Key = tuple[str, str]


class History:
    """Bookings by programme and credential, the card that was booked last at the end."""

    def __init__(self) -> None:
        self._booked: dict[_Key, deque[Booked]] = {}

    def take(self, entry: Entry, perhaps_not_shown: bool = False) -> None:
        """Remember an entry if it booked something for a card."""
        if not isinstance(entry, Tap) or entry.outcome is not Outcome.ACCEPTED:
            return
        if entry.credential is None:
            return
        key = (entry.programme, entry.credential)
        booked = self._booked.pop(key, None) or deque(maxlen=PER_CARD_MAX)
        booked.append(Booked(entry.at_ms, entry.declared, perhaps_not_shown))
        self._booked[key] = booked
        self._forget(entry.at_ms - KEPT_MS)

    def _forget(self, before_ms: int) -> None:
        """Drop the cards that were booked longest ago, while they are too old or too many."""
        while self._booked:
            oldest = next(iter(self._booked))
            if self._booked[oldest][-1].at_ms >= before_ms and len(self._booked) <= CARDS_MAX:
                return
            del self._booked[oldest]

    def of(self, programme: str, credentials: Sequence[str | None], now_ms: int) -> list[Booked]:
        """Return a card's bookings of seven days under any of its credentials, oldest first."""
        found = [
            booked
            for credential in credentials
            if credential
            for booked in self._booked.get((programme, credential), ())
            if booked.at_ms >= now_ms - KEPT_MS
        ]
        return sorted(found, key=lambda booked: booked.at_ms)


def rebuild(folder: Path, reader: str) -> History:
    """Return what the journals in a folder booked.

    The last tap of all is marked as perhaps not shown. What cannot be read is left out.
    """
    history, last = History(), None
    for file in journals(folder):
        for kept in read_whole(file, reader):
            if isinstance(kept.entry, Tap):
                if last:
                    history.take(last)
                last = kept.entry
    if last:
        history.take(last, perhaps_not_shown=True)
    return history
