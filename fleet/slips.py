"""The slip that a member takes home: what was enrolled, on what ground, until when, whom to call.

It names the kind of card and never what it is known as; whoever prints one has looked at a person,
which is on record.
"""

import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, consent
from fleet.members import PRESENT
from fleet.schema import card, member, person
from programmes.calendar import local_day

TEMPLATE: Final = "slip.html"
CARDS_MAX: Final = 5
"""On one slip; who has more reads of the newest."""


class Slip(NamedTuple):
    """All that stands on a slip, and on the page that says who was enrolled."""

    member_id: int
    programme: str
    registration_number: str
    name: str
    kana: str
    birth_date: datetime.date | None
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    schemes: tuple[str, ...]
    """By which schemes the member's cards in use are known."""
    consent: consent.Consent | None
    """The newest that was given and not withdrawn."""
    consented_on: datetime.date | None
    issued_on: datetime.date


def slip(
    connection: sa.Connection, member_id: int, who: str, at_ms: int, what: str = "slip.printed"
) -> Slip | None:
    """Return a member's slip, None for one who is not there or was erased.

    Writes one line in the audit, by the word `what`; needs a writing connection.
    """
    row = connection.execute(
        sa.select(
            member.c.programme,
            member.c.registration_number,
            person.c.name,
            person.c.kana,
            person.c.birth_date,
            member.c.category,
            member.c.valid_from,
            member.c.valid_to,
        )
        .select_from(member.join(person, person.c.id == member.c.person_id))
        .where(member.c.id == member_id, member.c.erased_at_ms.is_(None))
    ).one_or_none()
    if row is None:
        return None
    subject = f"{row.programme} {row.registration_number}"
    audit.note_person(connection, at_ms, who, what, subject)
    newest = next(iter(consent.of_member(connection, member_id)), None)
    given = newest if newest and newest.kind == "given" else None
    return Slip(
        member_id,
        *row,
        schemes=_schemes(connection, member_id),
        consent=given,
        consented_on=local_day(given.at_ms) if given else None,
        issued_on=local_day(at_ms),
    )


def _schemes(connection: sa.Connection, member_id: int) -> tuple[str, ...]:
    in_use = (card.c.member_id == member_id, card.c.stopped_from_ms.is_(None), PRESENT)
    newest = sa.select(card.c.scheme).where(*in_use).order_by(card.c.id.desc()).limit(CARDS_MAX)
    return tuple(dict.fromkeys(connection.scalars(newest)))
