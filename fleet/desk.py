"""What clerks see and do at their desk, read and written under the office's grant.

Rules: whoever looks at a person leaves a line in the audit of persons, in the same transaction as
the look, and that line names registration numbers, never people; nothing is shown across
programmes; a card is seen as its scheme and the day it was assigned, never as its credential; a
member is called usable only on days on which a reader would accept the card.
"""

import datetime
import enum
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet import audit, campaigns, terms
from fleet.members import MemberRefused, bump
from fleet.schema import card, member, person, triage
from programmes.calendar import local_day


class Standing(enum.StrEnum):
    """Whether a member or a card can be used now, in the order in which readers look at it."""

    STOPPED = "stopped"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    SCHEME_ENDED = "scheme-ended"
    """Readers know cards by its scheme no longer (fleet.terms)."""
    NO_CARD = "no-card"
    USABLE = "usable"


def standing_at(
    at_ms: int,
    stopped_ms: int | None,
    valid_from: datetime.date | None,
    valid_to: datetime.date | None,
) -> Standing:
    """Return a member's standing at an instant, by the town's day; both ends are included."""
    day = local_day(at_ms)
    if stopped_ms is not None and stopped_ms <= at_ms:
        return Standing.STOPPED
    if valid_from is not None and day < valid_from:
        return Standing.NOT_YET
    if valid_to is not None and day > valid_to:
        return Standing.EXPIRED
    return Standing.USABLE


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a member."""

    id: int
    scheme: str
    assigned_ms: int
    assigned_by: str
    stopped_ms: int | None
    stopped_why: str
    standing: Standing
    """The card's own stop, else the end of its scheme, else its member's standing."""


@dataclass(frozen=True, slots=True)
class Member:
    """All that the page of one member shows."""

    id: int
    programme: str
    registration_number: str
    name: str
    kana: str
    birth_date: datetime.date | None
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    stopped_ms: int | None
    stopped_why: str
    household: str
    ended_kind: str
    """Of fleet.member_life.Ended; empty: it has no end but the last day of its validity."""
    erased_at_ms: int | None
    standing: Standing
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Stranger:
    """An unknown card that waits for a member."""

    id: int
    programme: str
    scheme: str
    reader: str
    place: str
    journal: str
    n: int
    at_ms: int
    received_ms: int
    state: str = ""
    """What a clerk has decided of it (`fleet.triage`)."""
    note: str = ""
    decided_by: str = ""


UNSTOPPED: Final = (
    card.c.member_id == member.c.id,
    card.c.stopped_from_ms.is_(None),
    card.c.superseded_at_ms.is_(None),
)
PEOPLE: Final = member.join(person, person.c.id == member.c.person_id)


def is_good(connection: sa.Connection, programme: str, at_ms: int) -> sa.ColumnElement[bool]:
    """Return the condition for cards whose scheme readers know today."""
    of = terms.of(connection, programme).on(local_day(at_ms))
    return card.c.scheme.in_([scheme for scheme, _ in of.ends])


def see_member(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> Member | None:
    """Return one member; writes one line in the audit, so it needs a writing connection."""
    row = _member(connection, member_id)
    if row is None:
        return None
    _note(connection, at_ms, who, "member.seen", row)
    cards = connection.execute(
        sa.select(
            card.c.id,
            card.c.scheme,
            card.c.assigned_at_ms,
            card.c.assigned_by,
            card.c.stopped_from_ms,
            card.c.stopped_why,
            is_good(connection, row.programme, at_ms),
        )
        .where(card.c.member_id == member_id, card.c.superseded_at_ms.is_(None))
        .order_by(card.c.id.desc())
    )
    standing = standing_at(at_ms, row.stopped_from_ms, row.valid_from, row.valid_to)
    shown = tuple(_card(row, standing) for row in cards)
    if standing is Standing.USABLE and not any(one.standing is standing for one in shown):
        ended = any(one.standing is Standing.SCHEME_ENDED for one in shown)
        standing = Standing.SCHEME_ENDED if ended else Standing.NO_CARD
    values: tuple[Any, ...] = (*row, standing, shown)
    return Member(*values)


def _card(row: sa.Row[*tuple[Any, ...]], standing: Standing) -> Card:
    *shown, is_good = row
    if row.stopped_from_ms is not None:
        standing = Standing.STOPPED
    elif not is_good:
        standing = Standing.SCHEME_ENDED
    values: tuple[Any, ...] = (*shown, standing)
    return Card(*values)


def _member(connection: sa.Connection, member_id: int) -> sa.Row[*tuple[Any, ...]] | None:
    return connection.execute(
        sa.select(
            member.c.id,
            member.c.programme,
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            person.c.birth_date,
            member.c.category,
            member.c.valid_from,
            member.c.valid_to,
            member.c.stopped_from_ms,
            member.c.stopped_why,
            member.c.household,
            member.c.ended_kind,
            member.c.erased_at_ms,
        )
        .select_from(PEOPLE)
        .where(member.c.id == member_id)
    ).one_or_none()


def _note(
    connection: sa.Connection,
    at_ms: int,
    who: str,
    what: str,
    row: sa.Row[*tuple[Any, ...]],
    detail: str = "",
) -> None:
    subject = f"{row.programme} {row.registration_number}"
    audit.note_person(connection, at_ms, who, what, subject, detail)


def see_stranger(connection: sa.Connection, triage_id: int) -> Stranger | None:
    """Return one unknown card, None when it was assigned or erased meanwhile."""
    row = connection.execute(_STRANGERS.where(triage.c.id == triage_id)).one_or_none()
    return None if row is None else Stranger(*row)


_STRANGERS: Final = sa.select(
    triage.c.id,
    triage.c.programme,
    triage.c.scheme,
    triage.c.reader,
    triage.c.place,
    triage.c.journal,
    triage.c.n,
    triage.c.at_ms,
    triage.c.received_at_ms,
    triage.c.state,
    triage.c.note,
    triage.c.decided_by,
)


def assigned_card(
    connection: sa.Connection, programme: str, registration_number: str
) -> tuple[int, int]:
    """Return member and card of the assignment that was just made in this transaction."""
    row = connection.execute(
        sa.select(card.c.member_id, card.c.id)
        .join(member, member.c.id == card.c.member_id)
        .where(
            member.c.programme == programme,
            member.c.registration_number == registration_number,
        )
        .order_by(card.c.id.desc())
        .limit(1)
    ).one()
    return row.member_id, row.id


def take_back(
    connection: sa.Connection, card_id: int, stranger: Stranger, who: str, at_ms: int
) -> None:
    """Undo an assignment: the card is a stranger again, listed where it was held.

    Raises MemberRefused when the card has gone, was stopped, or was assigned by somebody else.
    """
    found = connection.execute(
        sa.select(card).where(
            card.c.id == card_id, card.c.assigned_by == who, card.c.stopped_from_ms.is_(None)
        )
    ).one_or_none()
    row = None if found is None else _member(connection, found.member_id)
    if found is None or row is None:
        raise MemberRefused("this assignment cannot be undone any more: stop the card instead")
    campaigns.bring_back(connection, card_id, found.assigned_at_ms)
    connection.execute(card.delete().where(card.c.id == card_id))
    connection.execute(
        triage.insert().values(
            programme=found.programme,
            credential=found.credential,
            scheme=found.scheme,
            key_epoch=found.key_epoch,
            reader=stranger.reader,
            place=stranger.place,
            journal=stranger.journal,
            n=stranger.n,
            at_ms=stranger.at_ms,
            received_at_ms=stranger.received_ms,
        )
    )
    bump(connection, found.programme)
    _note(connection, at_ms, who, "card.taken-back", row)
