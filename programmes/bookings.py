"""What an entry counts on its members' allowances: one function for reader and ledger.

Where a programme settles rides, an accepted ride counts for each of its riders, on the day on which
it began, and a tap alone counts nothing; elsewhere an accepted tap does. A ride that is taken back
counts as much below zero.
"""

from collections.abc import Iterator
from typing import NamedTuple

from programmes.register import RULEBOOKS
from programmes.rulebook import counted
from wire.codes import Outcome
from wire.entries import Entry, Ride, Tap, Used


class Booking(NamedTuple):
    """What one entry counts for one card."""

    programme: str
    credential: str
    periods: tuple[str, ...]
    used: Used

    def taken_back(self) -> "Booking":
        """Return what undoes it."""
        return self._replace(used=Used(-self.used.times, -self.used.yen))


def bookings(entry: Entry) -> Iterator[Booking]:
    """Yield what an entry counts; nothing for a programme that counts nothing."""
    if not isinstance(entry, Tap | Ride) or entry.outcome is not Outcome.ACCEPTED:
        return
    book = RULEBOOKS.get(entry.programme)
    if book is None or book.periods is None or (book.rides is None) != isinstance(entry, Tap):
        return
    if isinstance(entry, Tap):
        if entry.credential is not None:
            periods = book.periods(entry.at_ms)
            yield Booking(entry.programme, entry.credential, periods, counted(entry))
        return
    periods = book.periods(entry.boarded_at_ms)
    for rider in entry.riders:
        yield Booking(entry.programme, rider.credential, periods, counted(rider))
