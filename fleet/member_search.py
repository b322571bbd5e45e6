"""Members found by what a clerk has: a name, its reading, a day of birth, a number, a household.

Rules: nobody is shown across programmes; whoever is shown is named in the audit by registration
number, in the same transaction; who was erased is found no more. A search reads the people of a
programme once, from end to end: 30 to 70 ms of 100,000 (docs/benchmarks.md), which no index on
parts of names would beat on both databases.
"""

import datetime
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet import audit
from fleet.desk import PEOPLE, UNSTOPPED, Standing, is_good, standing_at
from fleet.members import whole
from fleet.schema import card, member, person
from programmes.calendar import read_day

MEMBERS_SHOWN: Final = 100
"""Found members on one page; more asks for a longer search."""


@dataclass(frozen=True, slots=True)
class Found:
    """A line in the list of members."""

    id: int
    registration_number: str
    name: str
    kana: str
    birth_date: datetime.date | None
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    ended_kind: str
    standing: Standing
    cards: int
    """Cards that can be used now."""


def folded(text: str) -> str:
    """Return a search as names are kept: NFKC, without blanks, hiragana as katakana."""
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    return "".join(chr(ord(one) + 0x60) if "ぁ" <= one <= "ゖ" else one for one in plain)


def find_members(
    connection: sa.Connection,
    programme: str,
    search: str,
    who: str,
    at_ms: int,
    before_epoch: int = 0,
    *,
    ended: bool = False,
) -> tuple[int, list[Found]]:
    """Return how many members match, and the first MEMBERS_SHOWN of them by reading.

    `search`: a part of name or kana, the beginning of a registration number, a day of birth in any
    form that `read_day` knows, or a household; empty: everybody. `before_epoch`: only those with a
    card that is still known by an older key epoch; 0: all. `ended`: only those with a card whose
    scheme readers know no longer.

    Writes one line in the audit when anyone is shown; needs a writing connection.
    """
    wanted = matching(connection, programme, search, at_ms, before_epoch, ended=ended)
    total = sa.func.count().over().label("total")
    ids = connection.execute(wanted.add_columns(total).limit(MEMBERS_SHOWN)).all()
    found = lines(connection, programme, [row.id for row in ids], at_ms)
    if found:
        numbers = " ".join(one.registration_number for one in found)
        audit.note_person(connection, at_ms, who, "members.listed", programme, numbers)
    return (ids[0].total if ids else 0), found


def matching(
    connection: sa.Connection,
    programme: str,
    search: str,
    at_ms: int,
    before_epoch: int = 0,
    *,
    ended: bool = False,
) -> sa.Select[Any]:
    """Return what selects id and registration number of all who match, by reading.

    Whoever shows them writes the look down.
    """
    where = [whole(member, programme), member.c.erased_at_ms.is_(None), *_matches(search)]
    if before_epoch:
        older = (card.c.superseded_at_ms.is_(None), card.c.key_epoch < before_epoch)
        where.append(sa.exists().where(card.c.member_id == member.c.id, *older))
    if ended:
        good = is_good(connection, programme, at_ms)
        where.append(sa.exists().where(*UNSTOPPED, ~good))
    return (
        sa.select(member.c.id, member.c.registration_number)
        .select_from(PEOPLE)
        .where(*where)
        .order_by(person.c.kana, member.c.registration_number)
    )


def _matches(search: str) -> list[sa.ColumnElement[bool]]:
    wish = "".join(unicodedata.normalize("NFKC", search).split())
    if not wish:
        return []
    ways: list[sa.ColumnElement[bool]] = [
        member.c.registration_number.startswith(form, autoescape=True)
        for form in {wish, wish.upper(), wish.lower()}
    ]
    ways.append(member.c.household == wish)
    try:
        ways.append(person.c.birth_date == read_day(wish))
    except ValueError:
        ways += [_holds(person.c.name, wish), _holds(person.c.kana, folded(wish))]
    return [sa.or_(*ways)]


def _holds(column: sa.Column[Any], wish: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column, without its blanks, contains this.

    The letters with anything between them are looked for first: taking the blanks out of 100,000
    names costs three times as much. Small and capital letters are one, where there are any: on
    PostgreSQL that alone doubles the time.
    """
    letters = "%".join(f"/{one}" if one in "%_/" else one for one in wish)
    bare = sa.func.replace(sa.func.replace(column, " ", ""), "　", "")
    if wish.lower() == wish.upper():
        nearly = column.like(f"%{letters}%", escape="/")
        return sa.and_(nearly, bare.contains(wish, autoescape=True))
    nearly = column.ilike(f"%{letters}%", escape="/")
    return sa.and_(nearly, bare.icontains(wish, autoescape=True))


def lines(connection: sa.Connection, programme: str, ids: Sequence[int], at_ms: int) -> list[Found]:
    """Return these members as a list shows them, by reading; a few thousand at a time."""
    good = is_good(connection, programme, at_ms)
    rows = connection.execute(
        sa.select(
            member.c.id,
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            person.c.birth_date,
            member.c.category,
            member.c.valid_from,
            member.c.valid_to,
            member.c.ended_kind,
            member.c.stopped_from_ms,
            _cards(~good),
            _cards(good),
        )
        .select_from(PEOPLE)
        .where(member.c.id.in_(ids))
        .order_by(person.c.kana, member.c.registration_number)
    )
    return [_found(row, at_ms) for row in rows]


def _cards(is_so: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """Return how many unstopped cards of a member are so."""
    return sa.select(sa.func.count(card.c.id)).where(*UNSTOPPED, is_so).scalar_subquery()


def _found(row: sa.Row[*tuple[Any, ...]], at_ms: int) -> Found:
    *shown, stopped_ms, ended, cards = row
    standing = standing_at(at_ms, stopped_ms, row.valid_from, row.valid_to)
    if standing is not Standing.USABLE:
        cards = 0
    elif not cards:
        standing = Standing.SCHEME_ENDED if ended else Standing.NO_CARD
    values: tuple[Any, ...] = (*shown, standing, cards)
    return Found(*values)
