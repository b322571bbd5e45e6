"""Members and their cards: what a decision needs of them, and what clerks do to them.

Rules: a card is known only as its programme's credential; one credential belongs to one member,
for ever: what a card was known as before stays the member's (`fleet.moves`); a card is good as long
as its scheme is (`fleet.terms`); every change counts the programme's revision up, so that its
rosters are built again; every change by a person leaves a line in the audit, which names
registration numbers, never people.
"""

import datetime
import heapq
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, bulk, lent_cards, statements, store, terms
from fleet.lent_cards import LentCard
from fleet.schema import card, member, person, programme_revision
from fleet.terms import OPEN_END, Terms
from programmes import attendance
from wire.credential import Credential, Scheme
from wire.individual_number import refuse_individual_number
from wire.roster import RosterRow

TRIAGE_KEPT_MS: Final = 7 * 24 * 3_600_000
"""Unknown cards are erased after seven days, by design (a week's absence of the one clerk)."""
TRIAGE_MAX: Final = 10_000
"""Unknown cards kept at once, all programmes together; when full, new ones are not listed."""
ROWS_AT_ONCE: Final = 10_000
"""Rows fetched at a time while a roster is built: about 3 MB."""


class MemberRefused(ValueError):
    """This cannot be done to this member or card; nothing was changed. The sentence says why."""


class NewMember(NamedTuple):
    """A person to be enrolled."""

    registration_number: str
    name: str
    kana: str = ""
    birth_date: datetime.date | None = None
    category: str = ""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    household: str = ""


class MemberRow(NamedTuple):
    """A line in a list of members."""

    registration_number: str
    name: str
    kana: str
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    stopped_from_ms: int | None
    cards: int


class Waiting(NamedTuple):
    """A card that no roster knew, held at a reader just now or in the last seven days."""

    id: int
    programme: str
    scheme: str
    reader: str
    place: str
    journal: str
    n: int
    at_ms: int
    received_at_ms: int
    state: str
    """Empty; `asked`: somebody finds out whose it is; `ignored`: it is nobody's to be given."""
    note: str
    decided_by: str


class RosterFacts(NamedTuple):
    """What a programme's rosters say beside their rows."""

    key_epoch: int
    schemes: list[Scheme]
    categories: list[str]


# --- what decisions need -------------------------------------------------------------------------

_DECIDES: Final = (
    card.c.credential,
    card.c.scheme,
    member.c.category,
    member.c.valid_from,
    member.c.valid_to,
    member.c.stopped_from_ms.label("member_stopped_ms"),
)
_CARDS: Final = card.join(member, card.c.member_id == member.c.id)
_NOW: Final = card.alias("now")
"""What a card is known as now."""


def _roster_row(
    end: datetime.date,
    credential: str,
    category: str,
    valid_from: datetime.date | str | None,
    valid_to: datetime.date | str | None,
    member_stopped_ms: int | None,
    card_stopped_ms: int | None,
) -> RosterRow:
    """`end` is the last day of the card's scheme: no card is good for longer."""
    stopped_ms = member_stopped_ms
    if card_stopped_ms is not None:
        stopped_ms = card_stopped_ms if stopped_ms is None else min(stopped_ms, card_stopped_ms)
    stopped_from_s = None if stopped_ms is None else stopped_ms // 1000
    last = _date(valid_to)
    if end is not OPEN_END:
        last = end if last is None else min(last, end)
    return RosterRow(Credential(credential), category, _date(valid_from), last, stopped_from_s)


def _date(value: datetime.date | str | None) -> datetime.date | None:
    """Return a date as the driver gave it: SQLite has none and keeps its text."""
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


PRESENT: Final = card.c.superseded_at_ms.is_(None)
"""A card under the credential that it has now."""


def whole(table: sa.FromClause, programme: str) -> sa.ColumnElement[bool]:
    """Return the condition for nearly all of a table, which is then read from end to end.

    Through the index of credentials SQLite reads rows all over the file: four times as long.
    """
    return sa.func.coalesce(table.c.programme, "") == programme


def _good(programme: str, of: Terms) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for cards that stand on rosters; `_NOW` is joined when some have left.

    A credential under the scheme that members leave is good beside its card's new one.
    """
    good: sa.ColumnElement[bool] = PRESENT & card.c.scheme.in_([scheme for scheme, _ in of.ends])
    if of.left:
        good |= (card.c.scheme == of.left[0]) & (_NOW.c.scheme != card.c.scheme)
    return [whole(card, programme), good]


def _from(of: Terms) -> sa.FromClause:
    if of.left:
        return _CARDS.outerjoin(_NOW, _NOW.c.id == card.c.successor)
    return _CARDS


def roster_rows(connection: sa.Connection, programme: str, of: Terms) -> Iterator[RosterRow]:
    """Return what every card of a programme may, as rosters carry it, by credential."""
    ends = dict(of.ends)
    lent = [
        _lent_row(ends[Scheme(one.scheme)], one)
        for one in lent_cards.of_programme(connection, programme)
        if one.scheme in ends
    ]
    own = _own_rows(connection, programme, of)
    return heapq.merge(own, lent, key=lambda row: row.credential) if lent else own


def _lent_row(end: datetime.date, one: LentCard) -> RosterRow:
    about = (one.category, one.valid_from, one.valid_to, one.member_stopped_ms)
    return _roster_row(end, one.credential, *about, one.ended_ms)


def _own_rows(connection: sa.Connection, programme: str, of: Terms) -> Iterator[RosterRow]:
    stopped: sa.ColumnElement[Any] = card.c.stopped_from_ms
    if of.left:
        stopped = sa.case((PRESENT, card.c.stopped_from_ms), else_=_NOW.c.stopped_from_ms)
    wanted = (
        sa.select(*_DECIDES, stopped, PRESENT)
        .select_from(_from(of))
        .where(*_good(programme, of))
        .order_by(card.c.credential)
    )
    ends = dict(of.ends)
    left_end = of.left[1] if of.left else OPEN_END
    rows = connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE})
    for some in rows.partitions():
        for credential, scheme, *about, is_present in some:
            end = ends[scheme] if is_present else left_end
            yield _roster_row(end, credential, *about)


def roster_facts(connection: sa.Connection, programme: str, of: Terms) -> RosterFacts:
    """Return key epoch, schemes in use and categories, sorted.

    Schemes stand in the order of `Scheme`, but the one that members leave before the one they join:
    whoever has not moved is found at the first reading.
    """
    rows = connection.execute(
        sa.select(card.c.scheme, sa.func.max(card.c.key_epoch).label("epoch"))
        .select_from(_from(of))
        .where(*_good(programme, of))
        .group_by(card.c.scheme)
    )
    epochs = {row.scheme: row.epoch for row in rows}
    lent = [
        one for one in lent_cards.of_programme(connection, programme) if one.scheme in dict(of.ends)
    ]
    for one in lent:
        epochs[one.scheme] = max(epochs.get(one.scheme, 1), one.key_epoch)
    known = sa.select(member.c.category).where(whole(member, programme)).distinct()
    categories = {*connection.scalars(known), *(one.category for one in lent)}
    return RosterFacts(
        max(epochs.values(), default=1),
        in_order([one for one in Scheme if one in epochs], of),
        sorted(categories),
    )


def in_order(schemes: Collection[Scheme], of: Terms) -> list[Scheme]:
    """Return schemes in the order in which readers try them."""
    found = [one for one in Scheme if one in schemes]
    if of.moving and {of.moving.from_scheme, of.moving.to_scheme} <= set(found):
        found.remove(of.moving.from_scheme)
        found.insert(found.index(of.moving.to_scheme), of.moving.from_scheme)
    return found


class KnownCards(NamedTuple):
    """What is known now of some cards."""

    rows: dict[tuple[str, str], RosterRow]
    """By programme and credential, former credentials too."""
    names: dict[str, tuple[str, ...]]
    """Under which other credentials a card is or was known, by credential."""
    former: set[str]
    """Those under which a card is known no more."""


_KNOWN: Final = """
SELECT card.programme, card.credential, card.scheme, member.category, member.valid_from,
    member.valid_to, member.stopped_from_ms, now.stopped_from_ms, now.scheme, now.credential,
    former.credential
FROM card JOIN member ON member.id = card.member_id
JOIN card AS now ON now.id = coalesce(card.successor, card.id)
LEFT JOIN card AS former ON former.successor = now.id
WHERE card.credential IN ?
"""
"""A former credential may what the card may now; offline readers still find it on their lists."""


def known_cards(connection: sa.Connection, credentials: Collection[str]) -> KnownCards:
    """Return what is known now of these credentials."""
    found = KnownCards({}, {}, set())
    stated = terms.load(connection)
    for row in bulk.select_in(connection, _KNOWN, sorted(credentials)):
        programme, credential, scheme, *about, now_scheme, now, former = row
        of = stated.get(programme, terms.NOTHING)
        end = of.end(Scheme(scheme), left=scheme != now_scheme)
        if end is not None:
            found.rows[programme, credential] = _roster_row(end, credential, *about)
        if credential != now:
            found.former.add(credential)
        names = (*found.names.get(credential, ()), now, former)
        others = {one for one in names if one is not None and one != credential}
        if others:
            found.names[credential] = tuple(sorted(others))
    for one in lent_cards.among(connection, sorted(credentials)):
        end = stated.get(attendance.NAME, terms.NOTHING).end(Scheme(one.scheme), left=False)
        if end is not None:
            found.rows[attendance.NAME, one.credential] = _lent_row(end, one)
    return found


def revisions(connection: sa.Connection) -> dict[str, int]:
    """Return how often each programme's members or cards have changed."""
    return dict(statements.select(connection, "SELECT programme, revision FROM programme_revision"))


def bump(connection: sa.Connection, programme: str) -> None:
    """Let those who build rosters know that this programme's members have changed."""
    row = {"programme": programme, "revision": 1}
    store.upsert(connection, programme_revision, [row], key=["programme"], add=["revision"])


# --- what clerks do ------------------------------------------------------------------------------


def find(
    connection: sa.Connection, programme: str, search: str = "", limit: int = 100
) -> list[MemberRow]:
    """Return members whose number, name or kana contains `search`, by registration number."""
    pattern = f"%{search.replace('%', '').replace('_', '')}%"
    cards = (
        sa.select(sa.func.count()).where(card.c.member_id == member.c.id, PRESENT).scalar_subquery()
    )
    wanted = (
        sa.select(
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            member.c.category,
            member.c.valid_from,
            member.c.valid_to,
            member.c.stopped_from_ms,
            cards,
        )
        .select_from(member.join(person, member.c.person_id == person.c.id))
        .where(
            member.c.programme == programme,
            sa.or_(
                member.c.registration_number.ilike(pattern),
                person.c.name.ilike(pattern),
                person.c.kana.ilike(pattern),
            ),
        )
        .order_by(member.c.registration_number)
        .limit(limit)
    )
    return [MemberRow(*row) for row in connection.execute(wanted)]


def stop(
    connection: sa.Connection,
    programme: str,
    registration_number: str,
    why: str,
    who: str,
    at_ms: int,
) -> None:
    """Stop all cards of a member from `at_ms` on. Raises MemberRefused, or as `enrol` for `why`."""
    if not why.strip():
        raise MemberRefused("a member is stopped with a reason: say why, in one sentence")
    refuse_individual_number("why", why)
    done = connection.execute(
        member.update()
        .where(*_is(programme, registration_number), member.c.stopped_from_ms.is_(None))
        .values(stopped_from_ms=at_ms, stopped_why=why, updated_at_ms=at_ms)
    )
    if not done.rowcount:
        raise MemberRefused(
            f"no member of {programme} that is not stopped has the number {registration_number!r}"
        )
    bump(connection, programme)
    audit.note_person(
        connection, at_ms, who, "member.stopped", f"{programme} {registration_number}"
    )


def unstop(
    connection: sa.Connection, programme: str, registration_number: str, who: str, at_ms: int
) -> None:
    """Let a stopped member's cards be used again. Raises MemberRefused."""
    done = connection.execute(
        member.update()
        .where(*_is(programme, registration_number), member.c.stopped_from_ms.is_not(None))
        .values(stopped_from_ms=None, stopped_why="", updated_at_ms=at_ms)
    )
    if not done.rowcount:
        raise MemberRefused(f"no stopped member of {programme} has {registration_number!r}")
    bump(connection, programme)
    audit.note_person(
        connection, at_ms, who, "member.unstopped", f"{programme} {registration_number}"
    )


def _is(programme: str, registration_number: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        member.c.programme == programme,
        member.c.registration_number == registration_number,
    )


def enrol(connection: sa.Connection, programme: str, new: NewMember, who: str, at_ms: int) -> int:
    """Enrol one person and return the member's row number.

    Consent and conditions are fleet.enrolment's. Raises MemberRefused, or IndividualNumberRefused
    naming the field.
    """
    for field in ("registration_number", "name", "kana", "category", "household"):
        refuse_individual_number(field, getattr(new, field))
    if not new.registration_number or not new.name:
        raise MemberRefused("a member has a registration number and a name")
    if connection.scalar(sa.select(member.c.id).where(*_is(programme, new.registration_number))):
        raise MemberRefused(f"{new.registration_number!r} is enrolled in {programme} already")
    added = connection.execute(
        person.insert().values(
            name=new.name, kana=new.kana, birth_date=new.birth_date, updated_at_ms=at_ms
        )
    )
    enrolled = connection.execute(
        member.insert().values(
            person_id=store.new_id(added),
            programme=programme,
            registration_number=new.registration_number,
            category=new.category,
            valid_from=new.valid_from,
            valid_to=new.valid_to,
            household=new.household,
            updated_at_ms=at_ms,
        )
    )
    bump(connection, programme)
    audit.note_person(
        connection, at_ms, who, "member.enrolled", f"{programme} {new.registration_number}"
    )
    return store.new_id(enrolled)
