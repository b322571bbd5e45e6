"""Enrolling somebody at a counter: person, consent, card and audit in one transaction, and undo.

Rules: nobody is enrolled without a consent that names the basis in force; a card that a programme
knows belongs to one member and is not given to another; a member gets one credential of a card, by
the first scheme that the programme enrols by; for ten minutes the clerk who enrolled takes it all
back, as a mistake: the person's data are cut off, the number and the card are free again, and what
is append-only says given and withdrawn.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final, Literal, NamedTuple

import sqlalchemy as sa

from fleet import applicants, audit, campaigns, consent, erasure, lent_cards, terms
from fleet.member_life import Ended
from fleet.members import MemberRefused, NewMember, bump
from fleet.members import enrol as add_member
from fleet.schema import card, member, person, triage
from fleet.schema import consent as consent_table
from programmes.calendar import local_day
from wire.credential import Scheme

UNDO_MS: Final = 10 * 60_000
"""Time to see on the slip that something is wrong; afterwards it is ended on the member's page."""

Reason = Literal["number-used", "card-of", "card-not-usable", "gone", "household", "undo"]


class EnrolmentRefused(MemberRefused):
    """Nobody was enrolled, or nothing taken back; nothing was changed.

    `reason` is a stable word; of `card-of` and `number-used`, `number` is the registration number.
    """

    def __init__(self, reason: Reason, what: str, number: str = "") -> None:
        super().__init__(what)
        self.reason: Final = reason
        self.number: Final = number


class NewCard(NamedTuple):
    """A card as a programme is to know it."""

    scheme: Scheme
    key_epoch: int
    credential: str


class Given(NamedTuple):
    """A consent as it was given at the counter."""

    basis_id: int
    medium: consent.Medium


# --- enrolling -----------------------------------------------------------------------------------


def enrol(
    connection: sa.Connection,
    programme: str,
    new: NewMember,
    given: Given,
    cards: Sequence[NewCard],
    who: str,
    at_ms: int,
    *,
    lives_with: str = "",
    next_free: bool = False,
    by_ground: bool = False,
) -> int:
    """Enrol somebody who has consented, with the card that was held; return the member's number.

    `cards`: all that the card is known as, none for a member without a card. `lives_with`: the
    registration number of somebody of the same household. `next_free`: the number was proposed, so
    that the next free one will do when another desk took it meanwhile. `by_ground`: another ground
    than age let him in; that it was seen is noted, never what it was.

    Raises EnrolmentRefused, MemberRefused, SchemeRefused, ConsentRefused or
    IndividualNumberRefused.
    """
    if applicants.is_taken(connection, programme, new.registration_number):
        number = applicants.propose_number(connection, programme) if next_free else ""
        if not number:
            raise EnrolmentRefused(
                "number-used",
                f"{new.registration_number!r} is enrolled in {programme} already",
                new.registration_number,
            )
        new = new._replace(registration_number=number)
    member_id = add_member(connection, programme, new, who, at_ms)
    if lives_with:
        _join(connection, programme, member_id, lives_with, who, at_ms)
    if by_ground:
        subject = f"{programme} {new.registration_number}"
        audit.note_person(connection, at_ms, who, "member.ground-seen", subject)
    consent.give(connection, programme, member_id, given.basis_id, given.medium, who, at_ms)
    if cards:
        give_card(connection, programme, member_id, cards, who, at_ms)
    return member_id


def _join(
    connection: sa.Connection,
    programme: str,
    member_id: int,
    with_number: str,
    who: str,
    at_ms: int,
) -> None:
    """Put a new member into the household of another, which is begun if there is none."""
    other = connection.execute(
        sa.select(member.c.id, member.c.household).where(
            member.c.programme == programme,
            member.c.registration_number == with_number,
            member.c.id != member_id,
            member.c.erased_at_ms.is_(None),
        )
    ).one_or_none()
    if other is None:
        raise EnrolmentRefused("household", f"no member of {programme} has {with_number!r}")
    household = other.household or f"h{member_id}"
    both = member.c.id.in_([member_id, other.id])
    connection.execute(member.update().where(both).values(household=household))
    subject = f"{programme} {with_number}"
    audit.note_person(connection, at_ms, who, "member.household", subject, household)


def give_card(
    connection: sa.Connection,
    programme: str,
    member_id: int,
    cards: Sequence[NewCard],
    who: str,
    at_ms: int,
) -> int:
    """Let a card be a member's, by the first scheme that the programme enrols by; return its row.

    `cards`: all that the one card is known as. While members move to its scheme, it takes the place
    of the member's former ones. Raises EnrolmentRefused when it belongs to somebody (`card-of`) or
    there is nothing to know it by, SchemeRefused when no card may be enrolled by its scheme.
    """
    _require_nobodys(connection, programme, cards)
    chosen = _usable(connection, programme, cards, local_day(at_ms))
    number = connection.scalar(
        sa.select(member.c.registration_number).where(
            member.c.id == member_id,
            member.c.programme == programme,
            member.c.erased_at_ms.is_(None),
        )
    )
    if number is None:
        raise MemberRefused(f"{programme} has no such member")
    card_id = connection.execute(
        card.insert()
        .values(
            member_id=member_id,
            programme=programme,
            credential=chosen.credential,
            scheme=chosen.scheme.value,
            key_epoch=chosen.key_epoch,
            assigned_at_ms=at_ms,
            assigned_by=who,
        )
        .returning(card.c.id)
    ).scalar_one()
    campaigns.replace_cards(connection, programme, [member_id], who, at_ms)
    connection.execute(triage.delete().where(*_are(triage, programme, cards)))
    bump(connection, programme)
    audit.note_person(connection, at_ms, who, "card.assigned", f"{programme} {number}")
    return int(card_id)


def _are(
    table: sa.Table, programme: str, cards: Sequence[NewCard]
) -> tuple[sa.ColumnElement[bool], ...]:
    credentials = [one.credential for one in cards]
    return table.c.programme == programme, table.c.credential.in_(credentials)


def _require_nobodys(connection: sa.Connection, programme: str, cards: Sequence[NewCard]) -> None:
    owner = connection.scalar(
        sa.select(member.c.registration_number)
        .join(card, card.c.member_id == member.c.id)
        .where(*_are(card, programme, cards))
        .limit(1)
    )
    if owner is not None:
        raise EnrolmentRefused("card-of", f"this card is {owner}'s in {programme} already", owner)
    if lent_cards.is_spare(connection, programme, [one.credential for one in cards]):
        raise EnrolmentRefused("card-not-usable", "this is a school's spare card: it is lent there")


def _usable(
    connection: sa.Connection, programme: str, cards: Sequence[NewCard], day: date
) -> NewCard:
    """Return what a card is to be known as: under the present keys, by the first scheme in use."""
    if not cards:
        raise EnrolmentRefused("card-not-usable", "there is nothing to know this card by")
    stated = terms.of(connection, programme)
    present = max(one.key_epoch for one in cards)
    now = sorted(
        (one for one in cards if one.key_epoch == present),
        key=lambda one: list(Scheme).index(one.scheme),
    )
    enrolling = stated.on(day).enrolling
    for one in now:
        if one.scheme in enrolling:
            return one
    terms.require_enrolling(stated, programme, now[0].scheme, day)
    return now[0]


def stranger(connection: sa.Connection, programme: str, triage_id: int) -> list[NewCard]:
    """Return an unknown card of the list as one to be given. Raises EnrolmentRefused (`gone`)."""
    found = connection.execute(
        sa.select(triage.c.scheme, triage.c.key_epoch, triage.c.credential).where(
            triage.c.id == triage_id, triage.c.programme == programme
        )
    ).one_or_none()
    if found is None:
        raise EnrolmentRefused("gone", "this card is no longer listed: hold it to the reader again")
    return [NewCard(Scheme(found.scheme), found.key_epoch, found.credential)]


# --- taking it back ------------------------------------------------------------------------------


def _enrolled_at(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> int | None:
    """Return when this account enrolled a member who is still just so; None: too late."""
    first = (
        sa.select(consent_table.c.at_ms, consent_table.c.who)
        .where(consent_table.c.member_id == member_id)
        .order_by(consent_table.c.id)
        .limit(1)
    )
    given = connection.execute(first).one_or_none()
    if given is None or given.who != who or not 0 <= at_ms - given.at_ms <= UNDO_MS:
        return None
    then: int = given.at_ms
    untouched = sa.select(member.c.id).where(
        member.c.id == member_id,
        member.c.updated_at_ms == then,
        member.c.stopped_from_ms.is_(None),
        member.c.ended_kind == "",
        member.c.erased_at_ms.is_(None),
    )
    later = sa.select(card.c.id).where(
        card.c.member_id == member_id,
        (card.c.assigned_at_ms != then) | card.c.stopped_from_ms.is_not(None),
    )
    if connection.scalar(untouched) is None or connection.scalar(later.limit(1)) is not None:
        return None
    return then


def may_undo(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> bool:
    """True while `undo` would take this enrolment back."""
    return _enrolled_at(connection, member_id, who, at_ms) is not None


def undo(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> NewMember:
    """Take an enrolment back as a mistake, and return what was typed, to be typed right.

    Raises EnrolmentRefused (`undo`) after UNDO_MS, for another clerk, and once anything has been
    changed or a card was added: then it is ended on the member's page.
    """
    if _enrolled_at(connection, member_id, who, at_ms) is None:
        raise EnrolmentRefused("undo", "this cannot be undone here: end it on the member's page")
    row = connection.execute(
        sa.select(member, person.c.name, person.c.kana, person.c.birth_date)
        .join(person, person.c.id == member.c.person_id)
        .where(member.c.id == member_id)
    ).one()
    typed = NewMember(*(getattr(row, name) for name in NewMember._fields))
    told = (row.programme, member_id, Ended.WRONG.value, who, at_ms)
    consent.withdraw(connection, *told)
    erasure.erase(connection, member_id, row.registration_number, who, at_ms, files=False)
    wrong = {"ended_kind": Ended.WRONG.value, "stopped_from_ms": at_ms}
    connection.execute(member.update().where(member.c.id == member_id).values(wrong))
    began = member.c.household == f"h{member_id}"  # called after the one who began it
    connection.execute(member.update().where(began).values(household=""))
    return typed
