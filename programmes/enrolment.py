"""Who may be enrolled in a programme, and from when to when: pure functions that a clerk can read.

A programme states its conditions under the dated table in force; each condition is a sentence that
says whether it is met, and when it will be. Nothing here keeps anybody out who is enrolled already.
"""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from programmes.calendar import age_on, age_reached, fiscal_year, fiscal_year_end
from wire.roster import RuleTable

AgeBy = Literal["day", "fiscal-year-end"]
"""On which day the age is looked at: that of the enrolment, or 31 March of its fiscal year."""
Ends = Literal["fiscal-year-end", "open"]
"""Until when an enrolment is proposed to last."""
_MET: Final = {True: "met", False: "not-met"}


class Applicant(NamedTuple):
    """What is known at the counter of somebody who wants to be enrolled."""

    born: datetime.date | None
    is_resident: bool = False
    """A clerk has confirmed it."""
    has_ground: bool = False
    """A clerk has seen another ground than age: a handbook, a licence that was returned."""


class Condition(NamedTuple):
    """One condition, and whether it is met."""

    field: Literal["birth_date", "resident"]
    """On which field of the form it hangs."""
    said: str
    """Message id in `locale/`."""
    is_met: bool
    arguments: Mapping[str, int | datetime.date] = {}
    ground: Literal["none", "would-do", "does"] = "none"
    """Whether another ground (Applicant.has_ground) would do as well, or is what meets it."""


class EnrolmentExample(NamedTuple):
    """A golden example that a clerk can read and sign: story, day, and whether it is allowed."""

    story: str
    applicant: Applicant
    day: datetime.date
    table: RuleTable
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class Enrolment:
    """How a programme takes people in. Both functions raise RuleTableRefused."""

    conditions: Callable[[RuleTable, Applicant, datetime.date], tuple[Condition, ...]]
    """All conditions of a table for somebody on a day; all must be met."""
    ends: Callable[[RuleTable, datetime.date], datetime.date | None]
    """The last day of an enrolment that begins on a day; None: it stays open."""
    examples: tuple[EnrolmentExample, ...]


def old_enough(age: int, by: AgeBy, applicant: Applicant, day: datetime.date) -> Condition:
    """Return the condition that somebody has this age, in legal years (programmes.calendar)."""
    if applicant.born is None:
        return Condition("birth_date", "enrol.age-unknown", False, {"age": age})
    last = fiscal_year_end(day) if by == "fiscal-year-end" else day
    is_met = age_on(applicant.born, last) >= age
    first = age_reached(applicant.born, age)
    if by == "fiscal-year-end":
        first = datetime.date(fiscal_year(first), 4, 1)
    said: dict[str, int | datetime.date] = {"age": age}
    said |= {"has": age_on(applicant.born, day), "first": first}
    return Condition("birth_date", f"enrol.age-{_MET[is_met]}.{by}", is_met, said)


def old_enough_or_ground(
    age: int, by: AgeBy, applicant: Applicant, day: datetime.date
) -> Condition:
    """Return the condition that somebody has this age, or that a clerk has seen another ground."""
    by_age = old_enough(age, by, applicant, day)
    if not by_age.is_met and applicant.has_ground:
        return Condition("birth_date", "enrol.ground-met", True, ground="does")
    said = by_age.said if applicant.born else "enrol.ground-or-age"
    return by_age._replace(said=said, ground="would-do")


def resident(applicant: Applicant) -> Condition:
    """Return the condition that somebody lives in the town, as a clerk has confirmed."""
    is_met = applicant.is_resident
    return Condition("resident", f"enrol.resident-{_MET[is_met]}", is_met)


def last_day(ends: Ends, day: datetime.date) -> datetime.date | None:
    """Return the last day of an enrolment that begins on a day."""
    return fiscal_year_end(day) if ends == "fiscal-year-end" else None
