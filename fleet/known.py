"""What the fleet knows now about cards, remembered for as long as no member or card has changed.

Rules: whether something has changed is asked for each group, and what is missing is read in one
state with that answer, so nothing older than the group's beginning is believed; what is remembered
has a limit, and is dropped whole when it is reached.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import members, usage
from fleet.findings import Known
from fleet.moves import Move
from fleet.statements import together
from fleet.store import Store
from wire.roster import RosterRow, RuleTable

REMEMBERED_MAX: Final = 50_000
"""Cards; about 500 bytes each are 25 MB."""


class Facts(NamedTuple):
    """What is known of the cards that were asked for, and perhaps of others."""

    rows: Mapping[tuple[str, str], RosterRow]
    names: Mapping[str, tuple[str, ...]]
    """As `members.KnownCards` has both."""
    others: usage.Cards
    """All cards of these cards' members: `usage.cards_of_members`; empty unless asked for."""


class Cards:
    """Remembers what persons' database says of cards. Not for several threads."""

    def __init__(self) -> None:
        self._revisions: Mapping[str, int] = {}
        self._asked: set[str] = set()
        self._rows: dict[tuple[str, str], RosterRow] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._former: set[str] = set()
        self._others_asked: set[str] = set()
        self._others: dict[tuple[str, str], list[str]] = {}

    def of(self, people: Store, named: Collection[str], *, limited: bool) -> Facts:
        """Return what is known of these cards; good until the next call.

        `limited`: a programme counts what members use, so all cards of each are wanted too.
        """
        facts = Facts(self._rows, self._names, self._others)
        wanted = set(named)
        if wanted <= self._asked and (not limited or wanted <= self._others_asked):
            with people.glance() as connection:
                if members.revisions(connection) == self._revisions:
                    return facts
        with people.read() as connection, together(connection):
            self._read(connection, wanted, limited=limited)
        return facts

    def _read(self, people: sa.Connection, wanted: set[str], *, limited: bool) -> None:
        revisions = members.revisions(people)
        if revisions != self._revisions or len(self._asked) > REMEMBERED_MAX:
            self._forget(revisions)
        if new := wanted - self._asked:
            found = members.known_cards(people, new)
            self._rows.update(found.rows)
            self._names.update(found.names)
            self._former |= found.former
            self._asked |= new
        if limited and (new := wanted - self._others_asked):
            some = usage.cards_of_members(people, new)
            self._others.update({key: list(cards) for key, cards in some.items()})
            self._others_asked |= new

    def _forget(self, revisions: Mapping[str, int]) -> None:
        self._revisions = revisions
        for kept in (
            self._asked,
            self._rows,
            self._names,
            self._former,
            self._others_asked,
            self._others,
        ):
            kept.clear()

    def is_moved(self, move: Move) -> bool:
        """True when a card that was asked for last is known by the newer credential already."""
        is_present = move.newer in self._asked and move.newer not in self._former
        return is_present and move.older in self._names.get(move.newer, ())


def what_is_known(
    cards: Cards,
    people: Store,
    named: Collection[str],
    rules: Mapping[str, Sequence[RuleTable]],
    now_ms: int,
) -> Known:
    """Return what deciding again on these credentials rests on; good as long as `Cards.of`."""
    if not named:
        return Known({}, rules)
    facts = cards.of(people, named, limited=usage.is_limited(rules, now_ms))
    return Known(facts.rows, rules, facts.names, usage.Running(rules, facts.others))
