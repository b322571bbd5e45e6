"""What an entry counts on its members' allowances: one function for reader and ledger.

Where a programme settles rides, an accepted ride counts for each of its riders, on the day on which
it began, and a tap alone counts nothing; elsewhere an accepted tap does. A ride that is taken back
counts as much below zero.
"""

from collections.abc import Sequence
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


def bookings(entry: Entry) -> Sequence[Booking]:
    """Return what an entry counts; nothing for a programme that counts nothing."""
    if isinstance(entry, Tap):
        return _of_tap(entry)
    return _of_ride(entry) if isinstance(entry, Ride) else ()


def _of_tap(tap: Tap) -> Sequence[Booking]:
    if tap.outcome is not Outcome.ACCEPTED or tap.credential is None:
        return ()
    book = RULEBOOKS.get(tap.programme)
    if book is None or book.periods is None or book.rides is not None:
        return ()
    return (Booking(tap.programme, tap.credential, book.periods(tap.at_ms), counted(tap)),)


def _of_ride(ride: Ride) -> Sequence[Booking]:
    book = RULEBOOKS.get(ride.programme)
    if ride.outcome is not Outcome.ACCEPTED or book is None:
        return ()
    if book.periods is None or book.rides is None:
        return ()
    periods = book.periods(ride.boarded_at_ms)
    return [
        Booking(ride.programme, rider.credential, periods, counted(rider)) for rider in ride.riders
    ]
