"""Disclosure (開示): all that one programme holds about one person, and who has looked at it.

Rules: of one programme only; a card is told by its scheme and its days, never by its credential;
every line of the audit that names the person's number since the enrolment is told, as are looks at
lists of everybody; the disclosure is itself a look, and in the audit. Uses are the entries of the
member's cards as the ledger holds them, with time, place and amount: of the person who asks nothing
is made coarser.
"""

import datetime
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, consent, member_events, member_life, store, work_disclosure
from fleet.consent import Consent
from fleet.member_events import Event
from fleet.schema import (
    card,
    entry,
    journal,
    person_audit,
    place,
    reader,
    ride,
    ride_share,
)
from fleet.store import AnyRow
from fleet.work_disclosure import WorkLine

USES_MAX: Final = 10_000
"""Entries told: five years of 730 rides and their refusals; the newest. More is said to be more."""
LOOKS_MAX: Final = 5_000
"""Lines of the audit, the newest: a member is looked at some ten times a year."""
OF_EVERYBODY: Final = ("attendance.listed", "work.listed", "work.exported")
"""Words of the audit for lists of all members, which name no number."""


class HeldCard(NamedTuple):
    """A card that the member has or had, without what it is known as."""

    scheme: str
    assigned_ms: int
    assigned_by: str
    stopped_ms: int | None
    stopped_why: str
    superseded_ms: int | None


class Look(NamedTuple):
    """One line of the audit about this person."""

    at_ms: int
    who: str
    what: str


class Use(NamedTuple):
    """One presentation of one of the member's cards."""

    at_ms: int
    place_ja: str
    place_en: str
    outcome: str
    code: str
    declared: str
    yen: int | None
    subsidy_yen: int | None = None
    """Of a ride: what the city paid for this member; below zero where it was taken back."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the database of persons holds about one member of one programme."""

    member_id: int
    programme: str
    registration_number: str
    name: str
    kana: str
    birth_date: datetime.date | None
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    ended_kind: str
    household: str
    household_numbers: tuple[str, ...]
    stopped_ms: int | None
    stopped_why: str
    cards: tuple[HeldCard, ...]
    consents: tuple[Consent, ...]
    events: tuple[Event, ...]
    looks: tuple[Look, ...]
    work: tuple[WorkLine, ...]


def disclose(connection: sa.Connection, member_id: int, who: str, at_ms: int) -> Disclosure:
    """Return all that is held of a member, and note that it was told. Raises LifeRefused.

    Needs a writing connection. The uses stand in the other database: `uses`.
    """
    row = member_events.row_of(connection, member_id)
    looks = _looks(connection, row.programme, row.registration_number)
    subject = f"{row.programme} {row.registration_number}"
    audit.note_person(connection, at_ms, who, "person.disclosed", subject)
    return Disclosure(
        member_id=row.id,
        programme=row.programme,
        registration_number=row.registration_number,
        name=row.name,
        kana=row.kana,
        birth_date=row.birth_date,
        category=row.category,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        ended_kind=row.ended_kind,
        household=row.household,
        household_numbers=tuple(_household(connection, row)),
        stopped_ms=row.stopped_from_ms,
        stopped_why=row.stopped_why,
        cards=tuple(_cards(connection, member_id)),
        consents=tuple(consent.of_member(connection, member_id)),
        events=tuple(member_events.history(connection, member_id, at_ms)),
        looks=tuple(looks),
        work=work_disclosure.of_member(connection, row.id),
    )


def _household(connection: sa.Connection, row: AnyRow) -> list[str]:
    """Return the numbers of the others: their names are theirs."""
    return [
        one.registration_number
        for one in member_life.household_of(connection, row.programme, row.household)
        if one.id != row.id
    ]


def _cards(connection: sa.Connection, member_id: int) -> Iterator[HeldCard]:
    rows = connection.execute(
        sa.select(
            card.c.scheme,
            card.c.assigned_at_ms,
            card.c.assigned_by,
            card.c.stopped_from_ms,
            card.c.stopped_why,
            card.c.superseded_at_ms,
        )
        .where(card.c.member_id == member_id)
        .order_by(card.c.assigned_at_ms.desc(), card.c.id.desc())
    )
    return (HeldCard(*row) for row in rows)


# --- who looked ----------------------------------------------------------------------------------


def _looks(connection: sa.Connection, programme: str, number: str) -> Iterator[Look]:
    """Yield what the audit says of a number, the newest first, since the enrolment."""
    since = _erased_before(connection, f"{programme} {number}")
    about = person_audit.c.subject == f"{programme} {number}"
    lists = sa.and_(
        person_audit.c.subject == programme,
        sa.or_(
            person_audit.c.detail.contains(number, autoescape=True),
            person_audit.c.what.in_(OF_EVERYBODY),
        ),
    )
    rows = connection.execute(
        sa.select(
            person_audit.c.at_ms, person_audit.c.who, person_audit.c.what, person_audit.c.detail,
            person_audit.c.subject,
        )
        .where(person_audit.c.id > since, sa.or_(about, lists))
        .order_by(person_audit.c.id.desc())
        .limit(LOOKS_MAX)
    )  # fmt: skip
    for row in rows:
        named = row.subject != programme or row.what in OF_EVERYBODY
        if named or number in row.detail.split():
            yield Look(row.at_ms, row.who, row.what)


def _erased_before(connection: sa.Connection, subject: str) -> int:
    """Return the number of the line after which this subject is the present member."""
    return (
        connection.scalar(
            sa.select(sa.func.max(person_audit.c.id)).where(
                person_audit.c.what == "member.erased", person_audit.c.subject == subject
            )
        )
        or 0
    )


# --- what was used -------------------------------------------------------------------------------


def uses(
    fleet: sa.Connection, programme: str, credentials: Collection[str], limit: int = USES_MAX
) -> list[Use]:
    """Return the presentations of these cards, the newest first; one more than `limit` if more."""
    if not credentials:
        return []
    columns = (entry.c.at_ms, place.c.label_ja, place.c.label_en, place.c.name)
    said = (entry.c.outcome, entry.c.code, entry.c.declared, entry.c.rider_pays_yen)
    rows = fleet.execute(
        sa.select(*columns, *said)
        .join(journal, journal.c.id == entry.c.journal_id)
        .join(reader, reader.c.name == journal.c.reader)
        .join(place, place.c.name == reader.c.place)
        .where(
            entry.c.credential.in_(sorted(credentials)[: store.IN_MAX]),
            entry.c.programme == programme,
            entry.c.kind == "tap",
        )
        .order_by(entry.c.at_ms.desc(), entry.c.position.desc())
        .limit(limit + 1)
    )
    found = [
        Use(at_ms, ja or name, en or name, outcome or "", code or "", declared or "", yen)
        for at_ms, ja, en, name, outcome, code, declared, yen in rows
    ]
    found += _rides(fleet, programme, credentials, limit)
    return sorted(found, key=lambda use: use.at_ms, reverse=True)[: limit + 1]


def _rides(
    fleet: sa.Connection, programme: str, credentials: Collection[str], limit: int
) -> Iterator[Use]:
    """Yield the rides of these cards, also those that were taken back, with what the city paid."""
    rows = fleet.execute(
        sa.select(
            ride.c.boarded_at_ms,
            place.c.label_ja,
            place.c.label_en,
            ride.c.place,
            ride.c.outcome,
            ride.c.code,
            ride_share.c.subsidy_yen,
        )
        .select_from(ride_share.join(ride, ride.c.id == ride_share.c.ride_id))
        .join(place, place.c.name == ride.c.place, isouter=True)
        .where(
            ride_share.c.credential.in_(sorted(credentials)[: store.IN_MAX]),
            ride.c.programme == programme,
        )
        .order_by(ride.c.id.desc())
        .limit(limit + 1)
    )
    for at_ms, ja, en, name, outcome, code, subsidy_yen in rows:
        yield Use(at_ms, ja or name, en or name, outcome, code, "", None, subsidy_yen)
