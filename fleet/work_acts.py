"""What every change of records of work has in common: who, when, why; refusals; the audit.

Rules: a row is never changed, what replaces it is a row of its own; a reason is a sentence of
somebody, kept where it is erased with the member, so the audit names numbers and days alone; each
change says of which days the signed lists are to be looked at again (`fleet.work_lists`).
"""

import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import member, work_change
from fleet.store import AnyRow
from programmes import attendance
from programmes.calendar import local_day
from programmes.texts import say
from wire.individual_number import refuse_individual_number

WHY_MAX: Final = 200
"""Characters of a reason or a note: one sentence."""
BACK_DAYS_MAX: Final = 400
"""How far back anything may be changed: the fiscal year that is settled in April, and a month."""


class WorkRefused(ValueError):
    """This cannot be done; nothing was changed.

    `reason` is a stable word, with a sentence under `work.refused.<reason>` that names `arguments`.
    """

    def __init__(self, reason: str, **arguments: str | int) -> None:
        super().__init__(say(f"work.refused.{reason}", "en", **arguments))
        self.reason: Final = reason
        self.arguments: Final = arguments


class Act(NamedTuple):
    """Who does something to a member's records, when and why."""

    member_id: int
    who: str
    at_ms: int
    why: str = ""


def member_of(connection: sa.Connection, member_id: int) -> AnyRow:
    """Return a member of attendance. Raises WorkRefused for another one, or one who was erased."""
    row = connection.execute(
        sa.select(member).where(
            member.c.id == member_id,
            member.c.programme == attendance.NAME,
            member.c.erased_at_ms.is_(None),
        )
    ).one_or_none()
    if row is None:
        raise WorkRefused("no-member")
    return row


def require_text(text: str, *, needed: bool = True) -> str:
    """Return a reason or a note without blanks around it.

    Raises WorkRefused, IndividualNumberRefused.
    """
    plain = text.strip()
    if (needed and not plain) or len(plain) > WHY_MAX:
        raise WorkRefused("why", limit=WHY_MAX)
    if not plain.isprintable():
        raise WorkRefused("printable")
    return refuse_individual_number("why", plain)


def require_day(day: datetime.date, at_ms: int, *, ahead: int = 1) -> None:
    """Raise WorkRefused for a day that is too long ago, or further ahead than so many days."""
    today = local_day(at_ms)
    first = today - datetime.timedelta(days=BACK_DAYS_MAX)
    last = today + datetime.timedelta(days=ahead)
    if not first <= day <= last:
        raise WorkRefused("day", first=str(first), last=str(last))


def note(connection: sa.Connection, act: Act, number: str, what: str, detail: str = "") -> None:
    """Write one line in the audit of persons: about whom, by the registration number."""
    subject = f"{attendance.NAME} {number}"
    audit.note_person(connection, act.at_ms, act.who, what, subject, detail)


def touch(connection: sa.Connection, first: datetime.date, last: datetime.date) -> None:
    """Let dispatch look at the signed lists of these days again."""
    connection.execute(work_change.insert().values(first=first, last=last))
