"""A member's cards after enrolment: lost, found, replaced, and exchanged between two members.

Rules: a lost card is stopped and stays the member's, so that what it rode counts for the member
still; a card that was given belongs to one member; entries of the ledger are never touched: a ride
belongs to the card that rode, and counts for the member who has the card.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from fleet import member_steps
from fleet.enrolment import NewCard, give_card
from fleet.member_events import Kind, LifeRefused, Other, Step, row_of, take
from fleet.member_steps import Change
from fleet.member_steps import to as changes_to
from fleet.schema import card, member


def stop_cards(connection: sa.Connection, step: Step, cards: Collection[int] = ()) -> int:
    """Stop these cards of a member, none named: all. Raises LifeRefused."""
    where = [card.c.stopped_from_ms.is_(None), card.c.superseded_at_ms.is_(None)]
    ids = _cards(connection, step.member_id, *where, among=cards)
    if not ids:
        raise LifeRefused("already-stopped", "these cards are stopped already, or not this one's")
    stopped = {"stopped_from_ms": step.at_ms, "stopped_why": step.why}
    return take(connection, step, Kind.CARD_STOPPED, changes_to(connection, card, ids, stopped))


def unstop_card(connection: sa.Connection, step: Step, card_id: int) -> int:
    """Let a card that was found again be used. Raises LifeRefused."""
    ids = _cards(connection, step.member_id, card.c.stopped_from_ms.is_not(None), among=[card_id])
    if not ids:
        raise LifeRefused("not-stopped", "this card is not stopped, or belongs to somebody else")
    free = {"stopped_from_ms": None, "stopped_why": ""}
    return take(connection, step, Kind.CARD_UNSTOPPED, changes_to(connection, card, ids, free))


def replace_card(
    connection: sa.Connection, step: Step, cards: Sequence[NewCard], stopped: Collection[int] = ()
) -> int:
    """Give a member the card that was held, and stop these. Usage and history stay.

    `cards`: all that the one card is known as. Raises LifeRefused, EnrolmentRefused (`card-of`),
    SchemeRefused.
    """
    row, known = row_of(connection, step.member_id), [one.credential for one in cards]
    mine = sa.select(card.c.id).where(card.c.member_id == row.id, card.c.credential.in_(known))
    if connection.scalar(mine.limit(1)) is not None:
        raise LifeRefused("own-card", "this card is the member's already: lift its stop instead")
    changes: list[Change] = []
    where = [card.c.stopped_from_ms.is_(None), card.c.superseded_at_ms.is_(None)]
    if stopped and (ids := _cards(connection, row.id, *where, among=stopped)):
        values = {"stopped_from_ms": step.at_ms, "stopped_why": step.why}
        changes += changes_to(connection, card, ids, values)
        member_steps.apply(connection, changes, step.at_ms)
    given = give_card(connection, row.programme, row.id, cards, step.who, step.at_ms)
    changes.append(member_steps.added(given))
    return take(connection, step, Kind.CARD_REPLACED, changes)


def exchange_cards(connection: sa.Connection, step: Step, other_id: int) -> int:
    """Let two members have each other's cards from now on. Raises LifeRefused.

    Cards in use change hands, with all that they were ever known as; stopped ones stay where they
    are. What was ridden with a card counts from now on for the one who has it.
    """
    one, other = row_of(connection, step.member_id), row_of(connection, other_id)
    if one.id == other.id or one.programme != other.programme:
        raise LifeRefused("not-two", "choose another member of the same programme")
    changes = [
        Change("card", card_id, "member_id", mine.id, theirs.id)
        for mine, theirs in ((one, other), (other, one))
        for card_id in in_use(connection, mine.id)
    ]
    if not changes:
        raise LifeRefused("no-cards", "neither of the two has a card in use")
    return take(connection, step, Kind.CARDS_EXCHANGED, changes, Other(other.id))


def programme_of(connection: sa.Connection, member_id: int) -> str | None:
    """Return the programme of a member who was not erased; None: there is none."""
    found: str | None = connection.scalar(
        sa.select(member.c.programme).where(
            member.c.id == member_id, member.c.erased_at_ms.is_(None)
        )
    )
    return found


def in_use(connection: sa.Connection, member_id: int) -> list[int]:
    """Return a member's cards that are not stopped, with the rows of what they were known as."""
    rows = connection.execute(
        sa.select(
            card.c.id, card.c.successor, card.c.superseded_at_ms, card.c.stopped_from_ms
        ).where(card.c.member_id == member_id)
    ).all()
    found = {one.id for one in rows if one.superseded_at_ms is None and not one.stopped_from_ms}
    while more := {one.id for one in rows if one.successor in found} - found:
        found |= more
    return sorted(found)


def _cards(
    connection: sa.Connection,
    member_id: int,
    *where: sa.ColumnElement[bool],
    among: Collection[int] = (),
) -> list[int]:
    wanted = sa.select(card.c.id).where(card.c.member_id == member_id, *where)
    if among:
        wanted = wanted.where(card.c.id.in_(among))
    return list(connection.scalars(wanted.order_by(card.c.id)))
