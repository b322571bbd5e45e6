"""What the fleet knows now about cards, remembered for as long as no member or card has changed.

Rules: whether something has changed is asked for each group, in the transaction that also reads
what is missing, so nothing older than the group's beginning is believed; what is remembered has a
limit, and is dropped whole when it is reached.
"""

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from fleet import members, usage
from wire.roster import RosterRow

REMEMBERED_MAX: Final = 50_000
"""Cards; about 500 bytes each are 25 MB."""


class Cards:
    """Remembers what persons' database says of cards. Not for several threads."""

    def __init__(self) -> None:
        self._revisions: Mapping[str, int] = {}
        self._asked: set[str] = set()
        self._rows: dict[tuple[str, str], RosterRow] = {}
        self._others_asked: set[str] = set()
        self._others: dict[tuple[str, str], list[str]] = {}
        self._former_asked: set[str] = set()
        self._former: dict[str, str] = {}

    def rows(
        self, people: sa.Connection, named: Collection[str]
    ) -> Mapping[tuple[str, str], RosterRow]:
        """Return what is known of these cards, and perhaps of others: `members.known_cards`.

        The mapping is good until the next call.
        """
        revisions = members.revisions(people)
        if revisions != self._revisions or len(self._asked) > REMEMBERED_MAX:
            self._forget(revisions)
        if new := set(named) - self._asked:
            self._rows.update(members.known_cards(people, new))
            self._asked |= new
        return self._rows

    def of_same_member(self, people: sa.Connection, named: Collection[str]) -> usage.Cards:
        """Return all cards of these cards' members: `usage.cards_of_members`. Call `rows` first."""
        if new := set(named) - self._others_asked:
            found = usage.cards_of_members(people, new)
            self._others.update({key: list(cards) for key, cards in found.items()})
            self._others_asked |= new
        return self._others

    def former(self, people: sa.Connection, named: Collection[str]) -> Mapping[str, str]:
        """Return what re-keyed cards were: `members.former_credentials`. Call `rows` first."""
        if new := set(named) - self._former_asked:
            self._former.update(members.former_credentials(people, new))
            self._former_asked |= new
        return self._former

    def _forget(self, revisions: Mapping[str, int]) -> None:
        self._revisions = revisions
        for kept in (self._asked, self._rows, self._others_asked, self._others):
            kept.clear()
        self._former_asked.clear()
        self._former.clear()
