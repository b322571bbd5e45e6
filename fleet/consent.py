"""What members of a programme consent to, on what ordinance, and who has given or taken it back.

Rules: a basis is written once and never changed; the one with the latest first day that is not
after a day holds, and of two with the same first day the one written last; a consent names the
basis that held when it was given, so that it says the same for ever; a member's newest row holds;
withdrawing it in one programme says nothing about another. No row names a person.
"""

import datetime
from typing import Final, Literal, NamedTuple

import sqlalchemy as sa

from fleet import audit, store
from fleet.schema import consent, consent_basis, member
from wire.individual_number import refuse_individual_number

TEXT_MAX: Final = 200
"""Characters of an ordinance, an article, whom to call, or a reason."""
WORDING_MAX: Final = 600
"""Characters of the sentence that is consented to: it is read aloud and stands on a slip."""
DAYS: Final = (datetime.date(1950, 1, 1), datetime.date(2179, 6, 5))
"""From the first ordinances under the 地方自治法 (1947) to the last day a roster can carry."""
Medium = Literal["desk", "paper"]
"""Said at the counter, or signed on a form."""


class ConsentRefused(ValueError):
    """This cannot be written down; nothing was changed. The sentence says why and what to do.

    `reason` is a stable word: text, day, no-basis, not-given or no-member.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason: Final = reason


class NewBasis(NamedTuple):
    """What a programme's members consent to from a day on."""

    ordinance: str
    article: str
    ordinance_date: datetime.date
    wording: str
    """One sentence, as it is read to the member."""
    contact: str
    """Whom members call: office and telephone."""
    valid_from: datetime.date
    wording_en: str = ""


class Basis(NamedTuple):
    """A basis as it was written down."""

    id: int
    programme: str
    ordinance: str
    article: str
    ordinance_date: datetime.date
    wording: str
    wording_en: str
    contact: str
    valid_from: datetime.date
    at_ms: int
    who: str


class Consent(NamedTuple):
    """One row of a member's consent, with the basis that it names."""

    kind: str
    """given or withdrawn."""
    medium: str
    at_ms: int
    who: str
    why: str
    ordinance: str | None
    article: str | None
    ordinance_date: datetime.date | None
    wording: str | None
    wording_en: str | None
    contact: str | None


# --- on what ground ------------------------------------------------------------------------------


def add_basis(
    connection: sa.Connection, programme: str, new: NewBasis, who: str, at_ms: int
) -> int:
    """Write a basis down and return its number. Raises ConsentRefused, IndividualNumberRefused.

    The same words as the programme's last one are that one: a form that was sent twice.
    """
    limits = {"wording": WORDING_MAX, "wording_en": WORDING_MAX}
    for field, value in new._asdict().items():
        if isinstance(value, datetime.date):
            if not DAYS[0] <= value <= DAYS[1]:
                raise ConsentRefused("day", f"{field}: use a day from {DAYS[0]} to {DAYS[1]}")
            continue
        refuse_individual_number(field, value)
        limit = limits.get(field, TEXT_MAX)
        if len(value) > limit or (not value.strip() and field != "wording_en"):
            raise ConsentRefused("text", f"{field}: write 1 to {limit} characters")
    last = _last_written(connection, programme)
    if last is not None and all(
        getattr(last, name) == value for name, value in new._asdict().items()
    ):
        return last.id
    row = {"programme": programme, "at_ms": at_ms, "who": who, **new._asdict()}
    added = connection.execute(consent_basis.insert().values(row))
    about = f"{new.ordinance} {new.article} {new.valid_from}"
    audit.note_person(connection, at_ms, who, "consent-basis.added", programme, about)
    return store.new_id(added)


_BASIS: Final = tuple(consent_basis.c[name] for name in Basis._fields)


def _last_written(connection: sa.Connection, programme: str) -> Basis | None:
    found = bases(connection, programme)
    return max(found, key=lambda one: one.id, default=None)


def bases(connection: sa.Connection, programme: str) -> list[Basis]:
    """Return all that a programme's members ever consented to, the latest first day first."""
    wanted = (
        sa.select(*_BASIS)
        .where(consent_basis.c.programme == programme)
        .order_by(consent_basis.c.valid_from.desc(), consent_basis.c.id.desc())
    )
    return [Basis(*row) for row in connection.execute(wanted)]


def basis_on(connection: sa.Connection, programme: str, day: datetime.date) -> Basis | None:
    """Return the basis that holds on a day; None: nobody can be enrolled."""
    found = bases(connection, programme)
    return next((one for one in found if one.valid_from <= day), None)


# --- who has consented ---------------------------------------------------------------------------


def give(
    connection: sa.Connection,
    programme: str,
    member_id: int,
    basis_id: int,
    medium: Medium,
    who: str,
    at_ms: int,
) -> None:
    """Write down that a member of the programme has consented. Raises ConsentRefused."""
    of = connection.scalar(
        sa.select(consent_basis.c.programme).where(consent_basis.c.id == basis_id)
    )
    if of != programme:
        raise ConsentRefused("no-basis", f"{programme} has no such ground of consent")
    _write(connection, programme, member_id, "given", who, at_ms, basis_id=basis_id, medium=medium)


def withdraw(
    connection: sa.Connection, programme: str, member_id: int, why: str, who: str, at_ms: int
) -> None:
    """Write down that a member takes the consent back, in this programme only.

    It ends nothing by itself: whoever calls this stops the member (fleet.member_life) in the same
    transaction. Raises ConsentRefused, IndividualNumberRefused.
    """
    refuse_individual_number("why", why)
    if not why.strip() or len(why) > TEXT_MAX:
        raise ConsentRefused("text", f"why: write 1 to {TEXT_MAX} characters")
    if not is_given(connection, member_id):
        raise ConsentRefused(
            "not-given", "this member has given no consent that could be withdrawn"
        )
    _write(connection, programme, member_id, "withdrawn", who, at_ms, why=why)


def _write(
    connection: sa.Connection,
    programme: str,
    member_id: int,
    kind: str,
    who: str,
    at_ms: int,
    **more: str | int,
) -> None:
    number = connection.scalar(
        sa.select(member.c.registration_number).where(
            member.c.id == member_id, member.c.programme == programme
        )
    )
    if number is None:
        raise ConsentRefused("no-member", f"{programme} has no such member")
    connection.execute(
        consent.insert().values(
            member_id=member_id, programme=programme, kind=kind, at_ms=at_ms, who=who, **more
        )
    )
    subject = f"{programme} {number}"
    audit.note_person(connection, at_ms, who, f"consent.{kind}", subject, str(more.get("why", "")))


_CONSENT: Final = tuple(
    (consent if name in consent.c else consent_basis).c[name] for name in Consent._fields
)


def of_member(connection: sa.Connection, member_id: int) -> list[Consent]:
    """Return a member's rows, the newest first; the caller notes the look at the person."""
    wanted = (
        sa.select(*_CONSENT)
        .select_from(
            consent.join(consent_basis, consent_basis.c.id == consent.c.basis_id, isouter=True)
        )
        .where(consent.c.member_id == member_id)
        .order_by(consent.c.id.desc())
    )
    return [Consent(*row) for row in connection.execute(wanted)]


def is_given(connection: sa.Connection, member_id: int) -> bool:
    """True when the newest row of a member says that the consent was given."""
    newest = sa.select(consent.c.kind).where(consent.c.member_id == member_id)
    return connection.scalar(newest.order_by(consent.c.id.desc()).limit(1)) == "given"
