"""Switching a scheme on and off for a programme: who signs for it, on what ground, until when.

Rules: a statement is written once and never changed, with who wrote it and when; without one that
is in force no card is enrolled by a scheme, and no roster names it; when it ends, its members go on
until its last day and then their cards are good no more, also at a reader that is off line. Nobody
has to decide what becomes of them at that moment: it stood in the statement.
"""

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, terms
from fleet.members import PRESENT, bump, whole
from fleet.schema import card, scheme_statement
from fleet.terms import OPEN_END, SchemeRefused, Stated
from wire.credential import Scheme
from wire.individual_number import refuse_individual_number

WARNED_DAYS: Final = 60
"""Before its last day a statement is warned of: a new contract or notice takes a round of seals."""
TEXT_MAX: Final = 200
"""Characters of a name, an office, a ground or a reason."""
DAYS: Final = (datetime.date(2000, 1, 2), datetime.date(2179, 6, 5))
"""What a roster can carry (wire.roster)."""


class NewStatement(NamedTuple):
    """What is signed. Both days of the validity are included; `valid_to` None: until ended."""

    signed_by: str
    office: str
    ground: str
    """The ordinance, contract or notice, as it can be found again."""
    ground_date: datetime.date
    valid_from: datetime.date
    valid_to: datetime.date | None = None


class Statement(NamedTuple):
    """A statement as it was written down; `kind` as in the table."""

    programme: str
    scheme: str
    kind: str
    signed_by: str
    office: str
    ground: str
    ground_date: datetime.date | None
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    why: str
    at_ms: int
    who: str


class Row(NamedTuple):
    """One scheme of one programme, as it stands today."""

    programme: str
    scheme: Scheme
    state: str
    """on, ends-soon, ended, not-yet, off (never stated), or leaving (members move away)."""
    last: datetime.date | None
    """The last day on which its cards are good; None: open, or never stated."""
    days_left: int | None
    """Until then, today not counted; None as `last`."""
    cards: int
    """Known by it now, not stopped."""
    newest: Statement | None
    """The last that was stated or taken over, whether it holds or not."""


def state(
    connection: sa.Connection,
    programme: str,
    schemes: Sequence[Scheme],
    new: NewStatement,
    who: str,
    at_ms: int,
) -> None:
    """Switch schemes on by one statement. Raises SchemeRefused or IndividualNumberRefused."""
    _check(new)
    for scheme in schemes:
        connection.execute(
            scheme_statement.insert(),
            {
                "programme": programme,
                "scheme": scheme.value,
                "kind": "stated",
                **new._asdict(),
                "at_ms": at_ms,
                "who": who,
            },
        )
        audit.note_person(
            connection, at_ms, who, "scheme.stated", f"{programme} {scheme}", new.ground
        )
    bump(connection, programme)


def _check(new: NewStatement) -> None:
    for field in ("signed_by", "office", "ground"):
        text = getattr(new, field)
        refuse_individual_number(field, text)
        if not text.strip() or len(text) > TEXT_MAX:
            raise SchemeRefused("statement", f"{field}: write 1 to {TEXT_MAX} characters")
    for field in ("ground_date", "valid_from", "valid_to"):
        day = getattr(new, field)
        if day and not DAYS[0] <= day <= DAYS[1]:
            raise SchemeRefused("statement", f"{field}: use a day from {DAYS[0]} to {DAYS[1]}")
    if new.valid_to and new.valid_to < new.valid_from:
        raise SchemeRefused("statement", "valid_to: it ends before it begins")


def end(
    connection: sa.Connection,
    programme: str,
    scheme: Scheme,
    last: datetime.date,
    why: str,
    who: str,
    at_ms: int,
) -> None:
    """End what was stated of a scheme with a day, which is its last. Raises SchemeRefused.

    It may lie in the past: then its cards are good no more from now on.
    """
    refuse_individual_number("why", why)
    if not why.strip():
        raise SchemeRefused("statement", "a scheme is ended with a reason: say why")
    stated = terms.of(connection, programme)
    until = stated.end(scheme)
    if until is None or until <= last:
        raise SchemeRefused(
            "statement", f"no statement for {scheme} in {programme} holds beyond {last}"
        )
    connection.execute(
        scheme_statement.insert(),
        {
            "programme": programme,
            "scheme": scheme.value,
            "kind": "ended",
            "valid_to": last,
            "why": why,
            "at_ms": at_ms,
            "who": who,
        },
    )
    bump(connection, programme)
    audit.note_person(connection, at_ms, who, "scheme.ended", f"{programme} {scheme}", why)


# --- what is in use ------------------------------------------------------------------------------


def statements(connection: sa.Connection, programme: str) -> list[Statement]:
    """Return all that was ever stated of a programme's schemes, the newest first."""
    wanted = (
        sa.select(*(scheme_statement.c[name] for name in Statement._fields))
        .where(scheme_statement.c.programme == programme)
        .order_by(scheme_statement.c.id.desc())
    )
    return [Statement(*row) for row in connection.execute(wanted)]


def overview(connection: sa.Connection, programme: str, day: datetime.date) -> list[Row]:
    """Return every scheme as it stands in a programme on a day, in the order of `Scheme`."""
    stated = terms.of(connection, programme)
    newest: dict[str, Statement] = {}
    for one in statements(connection, programme):
        if one.kind != "ended":
            newest.setdefault(one.scheme, one)
    counted = connection.execute(
        sa.select(card.c.scheme, sa.func.count())
        .where(whole(card, programme), PRESENT, card.c.stopped_from_ms.is_(None))
        .group_by(card.c.scheme)
    ).all()
    cards = {row[0]: row[1] for row in counted}
    return [_row(programme, one, stated, day, cards.get(one, 0), newest.get(one)) for one in Scheme]


def _row(
    programme: str,
    scheme: Scheme,
    stated: Stated,
    day: datetime.date,
    cards: int,
    newest: Statement | None,
) -> Row:
    last = stated.end(scheme)
    if last is OPEN_END:
        last = None
    days_left = (last - day).days if last else None
    return Row(
        programme,
        scheme,
        _state(scheme, stated, day, days_left),
        last,
        days_left,
        cards,
        newest,
    )


def _state(scheme: Scheme, stated: Stated, day: datetime.date, days_left: int | None) -> str:
    of = stated.on(day)
    if scheme not in dict(of.ends):
        periods = stated.periods.get(scheme)
        if not periods:
            return "off"
        return "not-yet" if any(first > day for first, _ in periods) else "ended"
    if scheme not in of.enrolling:
        return "leaving"
    return "ends-soon" if days_left is not None and days_left < WARNED_DAYS else "on"


def warnings(connection: sa.Connection, day: datetime.date, programme: str) -> list[Row]:
    """Return a programme's schemes with cards whose statement ends soon, or has ended."""
    return [
        row
        for row in overview(connection, programme, day)
        if row.cards and row.state in ("ends-soon", "ended")
    ]
