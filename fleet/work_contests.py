"""Objections that nobody has answered: days of a school that somebody is to look at again.

Rules: an objection is answered by another correction of its mark, with a reason; that may be the
same as before.
"""

import datetime
from typing import NamedTuple

import sqlalchemy as sa

from fleet import work_records, work_terms
from fleet.schema import work_correction
from fleet.work_acts import BACK_DAYS_MAX
from fleet.work_records import DAYS_MAX, Span


class Contested(NamedTuple):
    """One day with an objection."""

    member_id: int
    day: datetime.date


def waiting(
    fleet: sa.Connection, people: sa.Connection, organisation: str, today: datetime.date
) -> list[Contested]:
    """Return the days of a school with an objection that stands; the latest first."""
    first = today - datetime.timedelta(days=min(BACK_DAYS_MAX, DAYS_MAX - 1))
    rows = people.execute(
        sa.select(work_correction.c.member_id, work_correction.c.day)
        .where(work_correction.c.kind == "contest", work_correction.c.day.between(first, today))
        .distinct()
    ).all()
    enrolled = work_terms.of_members(people, {row.member_id for row in rows})
    here = [
        Contested(row.member_id, row.day)
        for row in rows
        if row.member_id in enrolled
        and enrolled[row.member_id].organisation_on(row.day) == organisation
    ]
    if not here:
        return []
    members = {one.member_id: enrolled[one.member_id] for one in here}
    span = Span(min(one.day for one in here), max(one.day for one in here))
    records = work_records.records(fleet, people, members, span, today)
    found = []
    for one in here:
        day = records[one.member_id].day(one.day)
        if day is not None and day.is_contested:
            found.append(one)
    return sorted(found, key=lambda one: (one.day, one.member_id), reverse=True)
