"""What a town's schools came to in a month: for the board, and what of it may be published.

Rules: in what may be published no count of fewer than five people stands, nor one from which such
a count follows; a rate of marks by hand of so few people neither; what a school and a kind of staff
came to, however few they are, is for those who may open that school's pages.
"""

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import work_limits_report, work_special, work_terms
from fleet.suppression import is_few
from fleet.work_closing import Figure
from fleet.work_limits_report import HandRate, PersonYear, PublishedRow
from programmes.calendar import fiscal_year
from programmes.work_limits import GroupFigures

MEANS: Final = (2, 3, 4, 5, 6)
"""Months of which means are taken (the limit holds for each of them)."""


class MeansRow(NamedTuple):
    """One kind of staff of the whole town; None: not shown."""

    staff: str
    people: int | None
    over: tuple[int | None, ...]
    """People whose mean of MEANS months that end in this one is over the limit."""
    special: int | None
    """People for whom the month was declared a special case."""


class BoardMonth(NamedTuple):
    """A month of all schools."""

    people: int
    published: tuple[PublishedRow, ...]
    means: tuple[MeansRow, ...]
    hand: tuple[HandRate, ...]
    groups: Mapping[tuple[str, str, str], GroupFigures]
    """By school, kind of staff and engagement, however few people: not to be published."""


def month(
    fleet: sa.Connection,
    people: sa.Connection,
    first: datetime.date,
    at_ms: int,
) -> BoardMonth:
    """Return a month of all schools; the caller notes the look.

    Months that are not closed are worked out anew, those
    before for the means too: 3 ms a person and month.
    """
    figures = work_limits_report.by_school(fleet, people, first, at_ms)
    members = {one.member_id for some in figures.values() for one in some}
    enrolled = work_terms.of_members(people, members)
    years = work_limits_report.person_years(fleet, people, enrolled, fiscal_year(first), at_ms)
    special = {
        one
        for one, months in work_special.of_members(people, enrolled).items()
        if f"{first:%Y-%m}" in months
    }
    return BoardMonth(
        len(members),
        tuple(work_limits_report.publication(figures)),
        tuple(means(figures, years, special, first)),
        tuple(one for one in work_limits_report.hand_rates(figures) if _is_shown(figures, one)),
        work_limits_report.roll_up(figures, years, first),
    )


def _is_shown(figures: Mapping[str, Sequence[Figure]], rate: HandRate) -> bool:
    return not is_few(len(figures[rate.organisation]))


def means(
    figures: Mapping[str, Sequence[Figure]],
    years: Mapping[int, PersonYear],
    special: Collection[int],
    first: datetime.date,
) -> list[MeansRow]:
    """Return the means and special cases of a month by kind of staff, as may be published."""
    by_staff: dict[str, list[int]] = {}
    for some in figures.values():
        for one in some:
            by_staff.setdefault(one.staff, []).append(one.member_id)
    found = []
    for staff, members in sorted(by_staff.items()):
        over = [sum(_is_over(years.get(one), many, first) for one in members) for many in MEANS]
        declared = sum(one in special for one in members)
        shown = [_shown(count, len(members)) for count in (*over, declared)]
        many = None if is_few(len(members)) else len(members)
        found.append(MeansRow(staff, many, tuple(shown[:-1]), shown[-1]))
    return found


def _is_over(year: PersonYear | None, months: int, last: datetime.date) -> bool:
    """True when a mean of so many months that ends in this one is over the limit."""
    broken = year.standing.broken if year else ()
    return any(
        one.rule == "mean"
        and one.months == months
        and _number(one.first) + months - 1 == _number(last)
        for one in broken
    )


def _number(month: datetime.date) -> int:
    return month.year * 12 + month.month


def _shown(count: int, of: int) -> int | None:
    """Return a count of people unless it, or the rest of them, could be recognised."""
    return None if is_few(of) or is_few(count) or is_few(of - count) else count
