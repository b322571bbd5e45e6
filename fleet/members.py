"""Members and their cards: what a decision needs of them, and what clerks do to them.

Rules: a card is known only as its programme's credential; one credential belongs to one member,
for ever: what a card was known as before stays the member's, and leaves the roster; every change
counts the programme's revision up, so that its rosters are built again; every change
by a person leaves a line in the audit, which names registration numbers, never people.
"""

import datetime
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, bulk, statements, store
from fleet.schema import card, member, person, programme_revision
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


class RosterFacts(NamedTuple):
    """What a programme's rosters say beside their rows."""

    key_epoch: int
    schemes: list[Scheme]
    categories: list[str]


# --- what decisions need -------------------------------------------------------------------------

_DECIDES: Final = (
    card.c.programme,
    card.c.credential,
    member.c.category,
    member.c.valid_from,
    member.c.valid_to,
    member.c.stopped_from_ms.label("member_stopped_ms"),
    card.c.stopped_from_ms.label("card_stopped_ms"),
)
_CARDS: Final = card.join(member, card.c.member_id == member.c.id)


def _roster_row(row: Sequence[Any]) -> RosterRow:
    _, credential, category, valid_from, valid_to, member_stopped_ms, card_stopped_ms = row
    stopped_ms = member_stopped_ms
    if card_stopped_ms is not None:
        stopped_ms = card_stopped_ms if stopped_ms is None else min(stopped_ms, card_stopped_ms)
    stopped_from_s = None if stopped_ms is None else stopped_ms // 1000
    dates = _date(valid_from), _date(valid_to)
    return RosterRow(Credential(credential), category, *dates, stopped_from_s)


def _date(value: datetime.date | str | None) -> datetime.date | None:
    """Return a date as the driver gave it: SQLite has none and keeps its text."""
    return datetime.date.fromisoformat(value) if isinstance(value, str) else value


_PRESENT: Final = card.c.superseded_at_ms.is_(None)
"""A card under the credential that it has now."""


def _whole(table: sa.Table, programme: str) -> sa.ColumnElement[bool]:
    """Return the condition for nearly all of a table, which is then read from end to end.

    Through the index of credentials SQLite reads rows all over the file: four times as long.
    """
    return sa.func.coalesce(table.c.programme, "") == programme


def roster_rows(connection: sa.Connection, programme: str) -> Iterator[RosterRow]:
    """Yield what every card of a programme may, as rosters carry it, by credential."""
    wanted = (
        sa.select(*_DECIDES)
        .select_from(_CARDS)
        .where(_whole(card, programme), _PRESENT)
        .order_by(card.c.credential)
    )
    rows = connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE})
    for some in rows.partitions():
        yield from map(_roster_row, some)


def roster_facts(connection: sa.Connection, programme: str) -> RosterFacts:
    """Return key epoch, schemes in use (in the order of `Scheme`) and categories, sorted."""
    rows = connection.execute(
        sa.select(card.c.scheme, sa.func.max(card.c.key_epoch).label("epoch"))
        .where(_whole(card, programme), _PRESENT)
        .group_by(card.c.scheme)
    )
    epochs = {row.scheme: row.epoch for row in rows}
    categories = connection.scalars(
        sa.select(member.c.category).where(_whole(member, programme)).distinct()
    )
    return RosterFacts(
        max(epochs.values(), default=1),
        [one for one in Scheme if one in epochs],
        sorted(categories),
    )


class KnownCards(NamedTuple):
    """What is known now of some cards."""

    rows: dict[tuple[str, str], RosterRow]
    """By programme and credential, former credentials too."""
    former: dict[str, str]
    """What re-keyed cards were known as under the key epoch before, by credential."""


_KNOWN: Final = """
SELECT card.programme, card.credential, member.category, member.valid_from, member.valid_to,
    member.stopped_from_ms, now.stopped_from_ms, before.credential
FROM card JOIN member ON member.id = card.member_id
JOIN card AS now ON now.id = coalesce(card.successor, card.id)
LEFT JOIN card AS before ON before.successor = card.id
WHERE card.credential IN ? ORDER BY before.key_epoch
"""
"""A former credential may what the card may now; offline readers still find it on their lists."""


def known_cards(connection: sa.Connection, credentials: Collection[str]) -> KnownCards:
    """Return what is known now of these credentials."""
    found = KnownCards({}, {})
    for *row, former in bulk.select_in(connection, _KNOWN, sorted(credentials)):
        programme, credential = row[:2]
        found.rows[programme, credential] = _roster_row(row)
        if former is not None:
            found.former[credential] = former
    return found


def revisions(connection: sa.Connection) -> dict[str, int]:
    """Return how often each programme's members or cards have changed."""
    return dict(statements.select(connection, "SELECT programme, revision FROM programme_revision"))


def bump(connection: sa.Connection, programme: str) -> None:
    """Let those who build rosters know that this programme's members have changed."""
    row = {"programme": programme, "revision": 1}
    store.upsert(connection, programme_revision, [row], key=["programme"], add=["revision"])


def move_card(
    connection: sa.Connection, programme: str, older: str, newer: str, key_epoch: int, at_ms: int
) -> bool:
    """Re-key a card that was found under the key epoch before; False when that was done already.

    The card's row takes the new credential; the old one stays beside it, superseded.
    """
    both = connection.execute(
        sa.select(*_MOVED, card.c.id, card.c.credential, card.c.superseded_at_ms).where(
            card.c.programme == programme, card.c.credential.in_([older, newer])
        )
    )
    found = {row.credential: row for row in both}
    was = found.get(older)
    if newer in found or was is None or was.superseded_at_ms is not None:
        return False
    connection.execute(
        card.update().where(card.c.id == was.id).values(credential=newer, key_epoch=key_epoch)
    )
    former = {column.name: was._mapping[column.name] for column in _MOVED}
    connection.execute(
        card.insert(),
        {
            **former,
            "programme": programme,
            "credential": older,
            "superseded_at_ms": at_ms,
            "successor": was.id,
        },
    )
    bump(connection, programme)
    audit.note_person(connection, at_ms, "ingest", "card.re-keyed", programme, str(key_epoch))
    return True


_MOVED: Final = (
    card.c.member_id,
    card.c.scheme,
    card.c.key_epoch,
    card.c.stopped_from_ms,
    card.c.assigned_at_ms,
    card.c.assigned_by,
)


class Unmoved(NamedTuple):
    """A member with a card that is still known by an older key epoch."""

    registration_number: str
    name: str
    kana: str
    key_epoch: int
    lost: bool
    """No reader finds the card any more: it is to be assigned anew at a desk."""


def _unmoved(programme: str, present: int) -> sa.Select[Any]:
    return (
        sa.select(
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            sa.func.min(card.c.key_epoch).label("key_epoch"),
        )
        .select_from(_CARDS.join(person, member.c.person_id == person.c.id))
        .where(card.c.programme == programme, _PRESENT, card.c.key_epoch < present)
        .group_by(member.c.id, member.c.registration_number, person.c.name, person.c.kana)
        .order_by(member.c.registration_number)
    )


def unmoved(connection: sa.Connection, programme: str, present: int) -> Iterator[Unmoved]:
    """Yield members not seen since the programme's present key epoch began, by number.

    Readers hold the present epoch and the one before; cards of still older ones are lost to them.
    """
    listed = _unmoved(programme, present)
    rows = connection.execute(listed, execution_options={"yield_per": ROWS_AT_ONCE})
    for row in rows:
        lost = row.key_epoch < present - 1
        yield Unmoved(row.registration_number, row.name, row.kana, row.key_epoch, lost)


def count_unmoved(connection: sa.Connection, programme: str, present: int) -> int:
    """Return how many members `unmoved` would name."""
    listed = _unmoved(programme, present).order_by(None).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(listed)) or 0


# --- what clerks do ------------------------------------------------------------------------------


def find(
    connection: sa.Connection, programme: str, search: str = "", limit: int = 100
) -> list[MemberRow]:
    """Return members whose number, name or kana contains `search`, by registration number."""
    pattern = f"%{search.replace('%', '').replace('_', '')}%"
    cards = (
        sa.select(sa.func.count())
        .where(card.c.member_id == member.c.id, _PRESENT)
        .scalar_subquery()
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
        connection, at_ms, who, "member.stopped", f"{programme} {registration_number}", why
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


def enrol(connection: sa.Connection, programme: str, new: NewMember, who: str, at_ms: int) -> None:
    """Enrol one person. Raises MemberRefused, or IndividualNumberRefused naming the field."""
    for field in ("registration_number", "name", "kana", "category"):
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
    connection.execute(
        member.insert().values(
            person_id=store.new_id(added),
            programme=programme,
            registration_number=new.registration_number,
            category=new.category,
            valid_from=new.valid_from,
            valid_to=new.valid_to,
            updated_at_ms=at_ms,
        )
    )
    bump(connection, programme)
    audit.note_person(
        connection, at_ms, who, "member.enrolled", f"{programme} {new.registration_number}"
    )
