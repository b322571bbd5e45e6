"""Erasing a member (C6): the link from person to credential is cut, and what is left only counts.

What goes: name, kana, birth date, household, category, reasons in free words, the history, records
of work (but for the sums of closed months), every card's row, every other row of persons that names
one of its credentials, and files of members that wait to be taken in, in which nobody can look for
one name. What stays: a member's row under a number of no paper, with its days, so that sums of
members hold; consents, which name a row and nobody; the audit, which names the registration number:
who looked at whom must be answered for after the person is gone (docs/adr/0018-erasure.md). The
ledger is not touched: its credentials belong to nobody from then on.

Whoever erases calls `Store.owe` before and `Store.settle` afterwards: on SQLite pages and the log
still hold copies, and the office settles what was cut short between.
Backups hold what they held.
"""

from typing import Final

import sqlalchemy as sa

from fleet import applicants, audit, import_jobs, store, work_disclosure
from fleet.member_events import LifeRefused, row_of
from fleet.member_life import Ended
from fleet.members import bump
from fleet.schema import card, desk_wait, member, member_event, person, person_audit, triage
from programmes.calendar import local_day

LEFT: Final = "erased-"
"""How the number of an erased member begins; the rest is the row's. No paper has such a number."""


def erase(
    connection: sa.Connection,
    member_id: int,
    number: str,
    who: str,
    at_ms: int,
    *,
    files: bool = True,
) -> None:
    """Erase a member of one programme. It is not undone.

    `number` is the registration number once more, as the clerk typed it; `files`: those that wait
    to be taken in too. Raises LifeRefused when the number is another one, or nobody is there to be
    erased.
    """
    row = row_of(connection, member_id)
    if number != row.registration_number:
        raise LifeRefused("other-number", "the number that was typed is not this member's")
    audit.note_person(connection, at_ms, who, "member.erased", f"{row.programme} {number}")
    _cut_cards(connection, row.programme, member_id)
    _blank_person(connection, row, at_ms)
    connection.execute(member_event.delete().where(member_event.c.member_id == member_id))
    work_disclosure.erase(connection, member_id)
    if files:
        import_jobs.forget_people(connection, row.programme, at_ms)
    last = local_day(at_ms)
    connection.execute(
        member.update()
        .where(member.c.id == member_id)
        .values(
            registration_number=_number_of(connection, row.programme, member_id),
            category="",
            household="",
            valid_to=last if row.valid_to is None else min(row.valid_to, last),
            stopped_from_ms=None,
            stopped_why="",
            ended_kind=Ended.ERASED.value,
            erased_at_ms=at_ms,
            updated_at_ms=at_ms,
        )
    )
    bump(connection, row.programme)


def _number_of(connection: sa.Connection, programme: str, member_id: int) -> str:
    """Return the number that an erased member has from now on; nobody else has it."""
    number = f"{LEFT}{member_id}"
    while applicants.is_taken(connection, programme, number):  # somebody was enrolled under it
        number += "-"
    return number


def _cut_cards(connection: sa.Connection, programme: str, member_id: int) -> None:
    """Remove the member's cards, and what else of persons names one of their credentials."""
    mine = sa.select(card.c.credential).where(card.c.member_id == member_id)
    for credential in connection.scalars(mine).all():
        same = (triage.c.programme == programme, triage.c.credential == credential)
        connection.execute(triage.delete().where(*same))
        found = sa.cast(desk_wait.c.found, sa.Text).contains(credential)
        connection.execute(desk_wait.delete().where(found))
    connection.execute(card.delete().where(card.c.member_id == member_id))


def _blank_person(connection: sa.Connection, row: store.AnyRow, at_ms: int) -> None:
    """Leave nothing of a person; one whom another programme shares is left to that alone."""
    blank = {"name": "", "kana": "", "birth_date": None, "updated_at_ms": at_ms}
    same = member.c.person_id == row.person_id
    if (connection.scalar(sa.select(sa.func.count()).where(same)) or 0) < 2:
        connection.execute(person.update().where(person.c.id == row.person_id).values(blank))
        return
    apart = store.new_id(connection.execute(person.insert().values(blank)))
    connection.execute(member.update().where(member.c.id == row.id).values(person_id=apart))


def erased_at(connection: sa.Connection, programme: str, number: str) -> int | None:
    """Return when the member who last had this number was erased, None when that is not so.

    The audit alone still knows the number. One that was given anew is somebody else's.
    """
    is_had = sa.select(member.c.id).where(
        member.c.programme == programme, member.c.registration_number == number
    )
    if connection.scalar(is_had) is not None:
        return None
    at_ms: int | None = connection.scalar(
        sa.select(sa.func.max(person_audit.c.at_ms)).where(
            person_audit.c.what == "member.erased",
            person_audit.c.subject == f"{programme} {number}",
        )
    )
    return at_ms
