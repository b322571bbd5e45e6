"""Taking a file of members in: all of its lines in one transaction, or none.

Rules: members are recognised by programme and registration number, cards by their credential; a
card of another member is refused, and a new one whose scheme the programme does not use; taking the
same file in again changes nothing; members and cards that are not in the file stay, but for those
whose place a card of the scheme that members move to takes.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, campaigns, terms, webhook_events
from fleet.members import bump
from fleet.members_csv import ERRORS_SHOWN_MAX, FileRefused, Line, LineError, Progress
from fleet.schema import card, member, person
from fleet.terms import SchemeRefused
from programmes.calendar import local_day
from wire.credential import Scheme

ROWS_AT_ONCE: Final = 5_000
"""Rows in one statement, and between two steps of the progress bar: about 0.1 s."""


class Counted(NamedTuple):
    """What an import does, or would do."""

    lines: int
    added: int
    changed: int
    unchanged: int
    cards_added: int


def take_in(
    connection: sa.Connection,
    programme: str,
    lines: Sequence[Line],
    who: str,
    at_ms: int,
    progress: Progress = lambda _: None,
) -> Counted:
    """Write all lines, inside the caller's transaction. Raises FileRefused before any is written.

    A dry run is this, rolled back.
    """
    known = _known_members(connection, programme)
    owners = _owners(connection, programme)
    errors = [
        LineError(one.line, "credential", f"this card belongs to number {owners[one.credential]}")
        for one in lines
        if one.credential
        and owners.get(one.credential, one.registration_number) != one.registration_number
    ]
    cards = [one for one in lines if one.credential and one.credential not in owners]
    errors += _not_in_use(connection, programme, cards, at_ms)
    if errors:
        raise FileRefused(errors[:ERRORS_SHOWN_MAX])
    first = {one.registration_number: one for one in reversed(lines)}
    added = [one for number, one in first.items() if number not in known]
    changed = [
        one
        for number, one in first.items()
        if number in known and known[number].about != one.about_member
    ]
    _add_members(connection, programme, added, at_ms)
    _change_members(connection, changed, known, at_ms)
    ids = {number: row.member_id for number, row in _known_members(connection, programme).items()}
    _add_cards(connection, programme, cards, ids, who, at_ms, progress)
    new = [ids[one.registration_number] for one in cards]
    campaigns.replace_cards(connection, programme, new, who, at_ms)
    if added or changed or cards:
        bump(connection, programme)
        detail = f"{len(added)} added, {len(changed)} changed, {len(cards)} cards"
        audit.note_person(connection, at_ms, who, "members.imported", programme, detail)
        for kind, some in (
            (webhook_events.Kind.ENROLLED, added),
            (webhook_events.Kind.CHANGED, changed),
            (webhook_events.Kind.CARD_ADDED, cards),
        ):
            numbers = [one.registration_number for one in some]
            webhook_events.write_all(connection, at_ms, kind, programme, numbers)
    unchanged = len(first) - len(added) - len(changed)
    return Counted(len(lines), len(added), len(changed), unchanged, len(cards))


def _not_in_use(
    connection: sa.Connection, programme: str, cards: Sequence[Line], at_ms: int
) -> list[LineError]:
    """Return the first line of each scheme by which no card may be taken in."""
    stated, day = terms.of(connection, programme), local_day(at_ms)
    first = {one.scheme: one for one in reversed(cards)}
    errors = []
    for one in first.values():
        try:
            terms.require_enrolling(stated, programme, Scheme(one.scheme), day)
        except SchemeRefused as error:
            errors.append(LineError(one.line, "scheme", str(error)))
    return errors


class _Known(NamedTuple):
    member_id: int
    person_id: int
    about: tuple[object, ...]


def _known_members(connection: sa.Connection, programme: str) -> dict[str, _Known]:
    rows = connection.execute(
        sa.select(
            member.c.registration_number,
            member.c.id,
            person.c.id,
            person.c.name,
            person.c.kana,
            person.c.birth_date,
            member.c.category,
            member.c.valid_from,
            member.c.valid_to,
        )
        .join(person, member.c.person_id == person.c.id)
        .where(member.c.programme == programme)
    )
    return {row[0]: _Known(row[1], row[2], tuple(row[3:])) for row in rows}


def _owners(connection: sa.Connection, programme: str) -> dict[str, str]:
    rows = connection.execute(
        sa.select(card.c.credential, member.c.registration_number)
        .join(member, card.c.member_id == member.c.id)
        .where(card.c.programme == programme)
    )
    return {row.credential: row.registration_number for row in rows}


def _add_members(
    connection: sa.Connection, programme: str, lines: Sequence[Line], at_ms: int
) -> None:
    for start in range(0, len(lines), ROWS_AT_ONCE):
        some = lines[start : start + ROWS_AT_ONCE]
        ids = connection.scalars(
            person.insert().returning(person.c.id, sort_by_parameter_order=True),
            [
                {
                    "name": one.name,
                    "kana": one.kana,
                    "birth_date": one.birth_date,
                    "updated_at_ms": at_ms,
                }
                for one in some
            ],
        ).all()
        connection.execute(
            member.insert(),
            [
                {
                    "person_id": person_id,
                    "programme": programme,
                    "registration_number": one.registration_number,
                    "category": one.category,
                    "valid_from": one.valid_from,
                    "valid_to": one.valid_to,
                    "updated_at_ms": at_ms,
                }
                for one, person_id in zip(some, ids, strict=True)
            ],
        )


def _change_members(
    connection: sa.Connection, lines: Sequence[Line], known: Mapping[str, _Known], at_ms: int
) -> None:
    for one in lines:
        here = known[one.registration_number]
        connection.execute(
            person.update().where(person.c.id == here.person_id),
            {
                "name": one.name,
                "kana": one.kana,
                "birth_date": one.birth_date,
                "updated_at_ms": at_ms,
            },
        )
        connection.execute(
            member.update().where(member.c.id == here.member_id),
            {
                "category": one.category,
                "valid_from": one.valid_from,
                "valid_to": one.valid_to,
                "updated_at_ms": at_ms,
            },
        )


def _add_cards(
    connection: sa.Connection,
    programme: str,
    lines: Sequence[Line],
    members: Mapping[str, int],
    who: str,
    at_ms: int,
    progress: Progress,
) -> None:
    for start in range(0, len(lines), ROWS_AT_ONCE):
        some = lines[start : start + ROWS_AT_ONCE]
        connection.execute(
            card.insert(),
            [
                {
                    "member_id": members[one.registration_number],
                    "programme": programme,
                    "credential": one.credential,
                    "scheme": one.scheme,
                    "key_epoch": one.key_epoch,
                    "assigned_at_ms": at_ms,
                    "assigned_by": who,
                }
                for one in some
            ],
        )
        progress(len(some))
