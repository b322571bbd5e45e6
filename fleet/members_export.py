"""Members as a file: whom a search has found, as the list shows them or as an import reads them.

Rules: who is written into a file is named in the audit, every one of them, before the first line
leaves; the lines are of one state of the database; a credential is never written.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, member_search
from fleet.desk import PEOPLE
from fleet.member_search import Found
from fleet.members_csv import ABOUT, HEADINGS
from fleet.members_import import note_numbers
from fleet.schema import member, person
from fleet.store import Store
from fleet.tables import Cell
from programmes.texts import Language, say

ROWS_AT_ONCE: Final = 1_000
"""Members read at a time: 20 ms, and one piece of the file."""
COLUMNS: Final = ("registration_number", *ABOUT)
"""What an import reads, without cards."""
_ALL: Final = tuple(
    (person if name in ("name", "kana", "birth_date") else member).c[name] for name in COLUMNS
)
_SHOWN: Final = {
    "name": "web.members.name",
    "kana": "web.field.kana",
    "registration_number": "web.members.number",
    "birth_date": "web.member.born",
    "valid_from": "web.field.valid_from",
    "valid_to": "web.field.valid_to",
    "ended_kind": "web.members.ended-kind",
    "cards": "web.members.cards",
    "standing": "web.column.state",
}
"""What the list shows, by the heading's sentence."""


class Wish(NamedTuple):
    """Whom a file is to name, and what of them."""

    programme: str
    search: str
    before_epoch: int = 0
    ended: bool = False
    whole: bool = False
    """All columns that an import reads; else those of the list."""


def heads(wish: Wish, language: Language) -> list[str]:
    """Return the headings; those of a whole list are read again by an import."""
    if not wish.whole:
        return [say(message, language) for message in _SHOWN.values()]
    japanese = {name: heading for heading, name in HEADINGS.items()}
    return [japanese[name] if language == "ja" else name for name in COLUMNS]


def rows(
    store: Store, wish: Wish, language: Language, who: str, at_ms: int
) -> Iterator[Sequence[Cell]]:
    """Yield one line a member; who is named is written down before the first."""
    with store.read() as reading:
        wanted = member_search.matching(
            reading, wish.programme, wish.search, at_ms, wish.before_epoch, ended=wish.ended
        )
        found = reading.execute(wanted).all()
        with store.write() as writing:
            kind = "whole" if wish.whole else "as listed"
            what = f"{len(found)} members, {kind}"
            audit.note_person(writing, at_ms, who, "members.exported", wish.programme, what)
            numbers = [row.registration_number for row in found]
            note_numbers(writing, wish.programme, "members.exported", numbers, who, at_ms)
        for start in range(0, len(found), ROWS_AT_ONCE):
            ids = [row.id for row in found[start : start + ROWS_AT_ONCE]]
            if wish.whole:
                yield from _whole(reading, ids)
            else:
                some = member_search.lines(reading, wish.programme, ids, at_ms)
                yield from (_shown(one, language) for one in some)


def _whole(connection: sa.Connection, ids: Sequence[int]) -> Iterator[Sequence[Cell]]:
    wanted = sa.select(*_ALL).select_from(PEOPLE).where(member.c.id.in_(ids))
    ordered = wanted.order_by(person.c.kana, member.c.registration_number)
    yield from (tuple(row) for row in connection.execute(ordered))


def _shown(one: Found, language: Language) -> Sequence[Cell]:
    ended = say(f"web.ended.{one.ended_kind}", language) if one.ended_kind else ""
    state = say(f"web.members.{one.standing.value}", language)
    return (
        one.name,
        one.kana,
        one.registration_number,
        one.birth_date,
        one.valid_from,
        one.valid_to,
        ended,
        one.cards,
        state,
    )
