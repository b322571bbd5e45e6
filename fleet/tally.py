"""What taking a group in came to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from fleet.moves import Move
from programmes.bookings import Booking, bookings
from wire.entries import Entry, Tap


class Taken(NamedTuple):
    """What may be acknowledged after the commit."""

    reader: str
    journal: str
    through: int


@dataclass(slots=True)
class Tally:
    """What a group came to; what it names happens only after the commit."""

    taken: list[Taken] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    """Cards that were found under a former credential; they are moved after the commit."""
    booked: list[Booking] = field(default_factory=list)
    """What the new entries count for members."""
    created: int = 0
    exists: int = 0
    conflicts: int = 0
    quarantined: int = 0

    def note_new(self, entries: Iterable[Entry]) -> None:
        """Count entries that the ledger has got now; rides book by `fleet.rides`."""
        for one in entries:
            self.created += 1
            if isinstance(one, Tap):
                self.booked += bookings(one)
                if one.credential and one.older_credential:
                    names = (one.programme, one.older_credential, one.credential)
                    self.moves.append(Move(*names, one.scheme or "", one.key_epoch))
