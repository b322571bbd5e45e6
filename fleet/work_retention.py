"""Records of work past their time: removed by month, and what is left is a line in the audit.

Rules: how many months they are kept is the tenant's to say, five years unless told otherwise
(Labour Standards Act, article 109, and the customary term of official records of attendance); what
readers sent is the ledger's and goes with its own months (`fleet.retention`); terms stay as long as
a day is kept on which they hold; figures of closed months name nobody and go with them.
"""

import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.grants import lifted
from fleet.schema import (
    work_close,
    work_correction,
    work_decision,
    work_entry,
    work_leaf,
    work_list,
    work_loan,
    work_month,
    work_objection,
    work_request,
    work_retention,
    work_return,
    work_special,
    work_visitor,
)
from fleet.work_acts import WorkRefused, require_text
from programmes import attendance
from programmes.calendar import local_day, start_of_day_ms

MONTHS_DEFAULT: Final = 60
MONTHS_MIN: Final = 36
"""Article 143 of the supplementary provisions of the same act: three years for the time being."""
MONTHS_MAX: Final = 1_200


class Dropped(NamedTuple):
    """How many rows went."""

    corrections: int
    entries: int
    requests: int
    lists: int
    months: int


def kept_months(people: sa.Connection) -> int:
    """Return how many whole months records are kept."""
    newest = sa.select(work_retention.c.months).order_by(work_retention.c.id.desc()).limit(1)
    return people.scalar(newest) or MONTHS_DEFAULT


def keep_months(people: sa.Connection, count: int, who: str, why: str, at_ms: int) -> None:
    """Say how many months records are kept. Raises WorkRefused, IndividualNumberRefused."""
    if not MONTHS_MIN <= count <= MONTHS_MAX:
        raise WorkRefused("months", first=MONTHS_MIN, last=MONTHS_MAX)
    reason = require_text(why)
    row = {"months": count, "at_ms": at_ms, "who": who, "why": reason}
    people.execute(work_retention.insert(), row)
    audit.note_person(people, at_ms, who, "work.retention-set", attendance.NAME, str(count))


def oldest_kept(people: sa.Connection, at_ms: int) -> datetime.date:
    """Return the first day that is kept: of the present month and so many whole ones before."""
    today = local_day(at_ms)
    number = today.year * 12 + today.month - 1 - kept_months(people)
    return datetime.date(number // 12, number % 12 + 1, 1)


def drop(people: sa.Connection, who: str, at_ms: int) -> Dropped:
    """Remove what is past its time, as the owner. What is there for longer waits for the next."""
    if people.dialect.name == "sqlite":
        people.exec_driver_sql("PRAGMA secure_delete = ON")
    day = oldest_kept(people, at_ms)
    month = f"{day:%Y-%m}"
    asked = sa.select(work_request.c.id).where(work_request.c.day < day)
    people.execute(work_decision.delete().where(work_decision.c.request_id.in_(asked)))
    corrections = people.execute(work_correction.delete().where(work_correction.c.day < day))
    requests = people.execute(work_request.delete().where(work_request.c.day < day))
    old = work_entry.c.day < day
    objected = work_objection.c.entry_id.in_(sa.select(work_entry.c.id).where(old))
    people.execute(work_objection.delete().where(objected))
    people.execute(work_entry.delete().where(old, work_entry.c.withdraws.is_not(None)))
    entries = people.execute(work_entry.delete().where(old))
    people.execute(work_special.delete().where(work_special.c.month < month))
    lent = work_loan.c.until_ms < start_of_day_ms(day)
    loans = sa.select(work_loan.c.id).where(lent)
    for table in (work_return, work_visitor):
        people.execute(table.delete().where(table.c.loan_id.in_(loans)))
    people.execute(work_loan.delete().where(lent))
    with lifted(people, "work_list", "work_close", "work_month"):
        lists = sa.select(work_list.c.id).where(work_list.c.day < day)
        people.execute(work_leaf.delete().where(work_leaf.c.list_id.in_(lists)))
        gone = people.execute(work_list.delete().where(work_list.c.day < day))
        months = people.execute(work_month.delete().where(work_month.c.month < month))
        people.execute(work_close.delete().where(work_close.c.month < month))
    found = Dropped(
        corrections.rowcount, entries.rowcount, requests.rowcount, gone.rowcount, months.rowcount
    )
    if any(found):
        told = " ".join(f"{name} {count}" for name, count in found._asdict().items())
        audit.note_person(people, at_ms, who, "work.retired", attendance.NAME, f"{day} {told}")
    return found
