"""Who came and went on one day, as the records of work have it (`fleet.work_records`).

Rules: what is shown is what the whole day makes of its marks, with the direction that a person
declared and the corrections; an arrival or leaving that follows only from the order of a day is
marked as derived; a leaving that is missing is said to be missing and never invented. The look at
people is written in their audit.
"""

import datetime
import itertools
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet import audit, work_records, work_terms
from fleet.store import Store
from fleet.work_closing import COUNTED
from fleet.work_now import Named, named
from fleet.work_records import Record, Span
from programmes import attendance
from programmes.rulebook import Direction
from programmes.work_day import Became

PEOPLE_SHOWN: Final = 500
"""Teachers and officials of one list: the largest school has about 100, a city hall more."""


@dataclass(frozen=True, slots=True)
class Time:
    """One mark that counts."""

    at_ms: int
    declared: Direction
    derived: Became
    """What the order of the day makes of it; the declared direction when there is one."""
    sure: bool
    """False when the reader's clock was not known to be right."""
    place: str


@dataclass(frozen=True, slots=True)
class Day:
    """One person's day."""

    member: int
    registration_number: str
    name: str
    kana: str
    times: tuple[Time, ...]
    open_end: bool
    """The last thing known of this day is an arrival."""


def see_days(
    people: sa.Connection, ledger: Store, day: datetime.date, who: str, at_ms: int
) -> list[Day]:
    """Return everyone's day, also of those without a mark, by reading (kana).

    `people` is a writing connection on persons: the look leaves a line in the audit.
    """
    everyone = named(people, work_terms.everyone(people))
    names = dict(itertools.islice(everyone.items(), PEOPLE_SHOWN))
    enrolled = work_terms.of_members(people, names)
    with ledger.read() as fleet:
        records = work_records.records(fleet, people, enrolled, Span(day, day), day)
    days = [_day(names[one], records[one], day) for one in names]
    if days:
        told = f"{len(days)} members"
        audit.note_person(people, at_ms, who, "attendance.listed", attendance.NAME, told)
    return days


def _day(who: Named, record: Record, day: datetime.date) -> Day:
    here = record.day(day)
    times = tuple(
        Time(
            one.standing.mark.at_ms,
            one.standing.declared,
            one.became,
            one.standing.mark.unsure_ms == 0,
            one.standing.mark.place,
        )
        for one in (here.readings if here else ())
        if one.became in COUNTED
    )
    return Day(*who, times, open_end=here is not None and here.ends == "present")
