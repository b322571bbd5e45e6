"""Who looked at whom: the audit of persons, asked by account, number, day and kind.

For auditors, one programme at a time, in registration numbers alone; and asking leaves a line too.
"""

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import person_audit
from fleet.store import AnyRow
from programmes.calendar import start_of_day_ms

PAGE_ROWS: Final = 200
"""Lines on one page: what somebody reads before he asks more narrowly."""
EXPORT_ROWS_MAX: Final = 50_000
"""A file that a spreadsheet opens at once; more is asked for day by day."""
ACCOUNTS_MAX: Final = 100
LOOKS: Final = (
    ".seen",
    "-seen",
    ".listed",
    ".exported",
    ".disclosed",
    ".printed",
    ".sought-by-card",
    "member.asked",
    "member.asked-nobody",
)
"""How the words end that are looks (fleet.audit.note_person); all others change something."""


class Asked(NamedTuple):
    """What is asked for; empty: everything."""

    programme: str
    first: datetime.date
    last: datetime.date
    """Both days are included."""
    who: str = ""
    number: str = ""
    """A registration number: as subject, or among those of a list."""
    kind: str = ""
    """looks, changes, or one word such as member.seen."""


class Count(NamedTuple):
    """How much one account did in these days."""

    who: str
    looks: int
    changes: int
    subjects: int
    """Different members (and other subjects) that it looked at or changed."""
    busiest: int
    """Lines on its busiest day."""


def lines(
    connection: sa.Connection, asked: Asked, limit: int, offset: int = 0
) -> tuple[int, Sequence[AnyRow]]:
    """Return how many lines there are, and some of them, the newest first."""
    where = _where(asked)
    total = connection.scalar(sa.select(sa.func.count()).select_from(person_audit).where(*where))
    wanted = sa.select(person_audit).where(*where).order_by(person_audit.c.id.desc())
    return total or 0, connection.execute(wanted.limit(limit).offset(offset)).all()


def counts(connection: sa.Connection, asked: Asked) -> list[Count]:
    """Return who did how much, the most looks first."""
    look = sa.case((_is_look(), 1), else_=0)
    day = ((person_audit.c.at_ms - start_of_day_ms(asked.first)) // _DAY_MS).label("day")
    by_day = (
        sa.select(
            person_audit.c.who.label("who"),
            day,
            sa.func.sum(look).label("looks"),
            sa.func.count().label("lines"),
        )
        .where(*_where(asked))
        .group_by(person_audit.c.who, day)
        .subquery()
    )
    sums = sa.select(
        by_day.c.who,
        sa.func.sum(by_day.c.looks).label("looks"),
        sa.func.sum(by_day.c.lines).label("lines"),
        sa.func.max(by_day.c.lines).label("busiest"),
    ).group_by(by_day.c.who)
    different = sa.func.count(sa.distinct(person_audit.c.subject)).label("subjects")
    who = person_audit.c.who
    subjects = {
        row.who: row.subjects
        for row in connection.execute(sa.select(who, different).where(*_where(asked)).group_by(who))
    }
    found = [
        Count(r.who, int(r.looks), int(r.lines - r.looks), subjects.get(r.who, 0), r.busiest)
        for r in connection.execute(sums)
    ]
    return sorted(found, key=lambda one: (-one.looks, one.who))[:ACCOUNTS_MAX]


def kinds(connection: sa.Connection, asked: Asked) -> list[str]:
    """Return what was done at all in these days, for the choice of the filter."""
    every = _where(asked._replace(who="", number="", kind=""))
    found = connection.scalars(sa.select(person_audit.c.what).where(*every).distinct())
    return sorted(found)


def note(connection: sa.Connection, asked: Asked, who: str, at_ms: int, *, export: bool) -> None:
    """Write down that somebody asked, and what for."""
    parts = [f"{asked.first} {asked.last}", asked.who, asked.number, asked.kind]
    what = "looks.exported" if export else "looks.listed"
    detail = " ".join(part for part in parts if part)
    audit.note_person(connection, at_ms, who, what, asked.programme, detail)


_DAY_MS: Final = 24 * 3600_000


def _is_look() -> sa.ColumnElement[bool]:
    return sa.or_(*(person_audit.c.what.endswith(word) for word in LOOKS))


def _where(asked: Asked) -> list[sa.ColumnElement[bool]]:
    subject = person_audit.c.subject
    found: list[sa.ColumnElement[bool]] = [
        person_audit.c.at_ms >= start_of_day_ms(asked.first),
        person_audit.c.at_ms < start_of_day_ms(asked.last + datetime.timedelta(1)),
        sa.or_(
            subject == asked.programme,
            subject.startswith(f"{asked.programme} ", autoescape=True),
        ),
    ]
    if asked.who:
        found.append(person_audit.c.who == asked.who)
    if asked.number:
        listed = (" " + person_audit.c.detail + " ").contains(f" {asked.number} ", autoescape=True)
        found.append(sa.or_(subject == f"{asked.programme} {asked.number}", listed))
    if asked.kind == "looks":
        found.append(_is_look())
    elif asked.kind == "changes":
        found.append(~_is_look())
    elif asked.kind:
        found.append(person_audit.c.what == asked.kind)
    return found
