"""What deciding again rests on, and what it may find.

Rules: a finding changes nothing of what a reader decided: it stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from fleet.usage import Running
from programmes.rulebook import Decision, Facts, Rulebook, RuleTableRefused
from wire.credential import Credential
from wire.entries import Ride, Tap
from wire.roster import Roster, RosterRow, RuleTable

Names = Mapping[str, tuple[str, ...]]
"""Other credentials of a card by each of them: former ones, or the present one."""
Tables = Sequence[RuleTable]
Kind = Literal["replay", "roster-lag", "allowance"]


class Finding(NamedTuple):
    """A decision that the ledger would have made differently, and what it would have been."""

    n: int
    kind: Kind
    decision: Decision


@dataclass(frozen=True, slots=True)
class Known:
    """What the fleet knows now about the cards of one batch."""

    cards: Mapping[tuple[str, str], RosterRow]
    rules: Mapping[str, Sequence[RuleTable]]
    names: Names = field(default_factory=dict)
    """What else cards are or were known as."""
    usage: Running = field(default_factory=lambda: Running({}, {}))
    """What members have used, at each tap's place in the order of commit."""


class Basis(NamedTuple):
    """What a reader's taps under one roster have in common."""

    programme: str
    book: Rulebook
    roster: Roster
    tables: Tables
    """The programme's tables of now."""
    are_held: bool
    """The roster holds the same ones."""

    def is_of(self, tap: Tap | Ride) -> bool:
        """True for an entry that rests on the same."""
        return tap.roster == self.roster.header.version and tap.programme == self.programme

    def row(self, card: str, older: str | None) -> RosterRow | None:
        """Return the row of a card in the roster that a reader went by."""
        row = self.roster.find(Credential(card))
        return self.roster.find(Credential(older)) if row is None and older else row


def decide(book: Rulebook, facts: Facts) -> Decision | None:
    """Return what a rulebook decides; None for a table that does not fit."""
    try:
        return book.decide(facts)
    except RuleTableRefused:
        return None
