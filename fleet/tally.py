"""What taking a group in came to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from wire.entries import Entry, Tap


class Taken(NamedTuple):
    """What may be acknowledged after the commit."""

    reader: str
    journal: str
    through: int


class Move(NamedTuple):
    """A card that was found under the key epoch before; re-keyed after the commit."""

    programme: str
    older: str
    newer: str
    key_epoch: int


@dataclass(slots=True)
class Tally:
    """What a group came to; what it names happens only after the commit."""

    taken: list[Taken] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)
    """The new ones, to be counted."""
    created: int = 0
    exists: int = 0
    conflicts: int = 0
    quarantined: int = 0

    def note_new(self, entries: Iterable[Entry]) -> None:
        """Count entries that the ledger has got now."""
        for one in entries:
            self.created += 1
            if isinstance(one, Tap):
                self.taps.append(one)
                if one.credential and one.older_credential:
                    move = Move(one.programme, one.older_credential, one.credential, one.key_epoch)
                    self.moves.append(move)
