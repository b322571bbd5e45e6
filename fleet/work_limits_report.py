"""Who is over which limit: a person's year, a list for talks, schools' figures, publication.

Rules: a closed month counts as it was closed, an open one as all is known now; a person's year goes
with the person from school to school, a school's month holds who was there at its end; people are
listed to who may see them, and that is a look; in a table to be published no figure of fewer than
five people stands, nor one that follows from the others (`fleet.suppression`). Whoever was erased
stays counted in the months that were closed before.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import work_closing, work_records, work_special, work_terms
from fleet.months import next_month
from fleet.suppression import hidden, is_few
from fleet.work_closing import Figure, month_span, school_of
from fleet.work_terms import Enrolled
from programmes.calendar import fiscal_year
from programmes.work_limits import (
    GroupFigures,
    Limits,
    MonthFigure,
    PersonFigure,
    Staff,
    YearStanding,
    group_figures,
    limits_in_force,
    year_standing,
)

MONTHS_BEFORE: Final = 5
"""A mean of six months reaches so far before the year."""
CLASSES: Final = ("within-45", "45-to-80", "80-to-100", "from-100")
"""Into which a month's outside hours fall, in tables to be published."""
_CLASS_MIN: Final = (45 * 60, 80 * 60)
_ONE_DAY: Final = datetime.timedelta(days=1)


class PersonYear(NamedTuple):
    """Where one member stands in a fiscal year."""

    member_id: int
    organisation: str
    """Of the last day that is over, or of the year."""
    figures: tuple[Figure, ...]
    """Of the year's months that have begun."""
    limits: Limits
    standing: YearStanding

    @property
    def needs_talk(self) -> bool:
        """True when a talk with a doctor is due (労働安全衛生法 article 66-8: over 80 hours).

        Of the latest month that has begun and the one before, or by a mean of months.
        """
        recent = self.figures[-2:]
        is_over = any(one.outside_min > self.limits.warn_h[2] * 60 for one in recent)
        months = {one.month for one in recent}
        means = (one for one in self.standing.broken if one.rule == "mean")
        return is_over or any(f"{_last(one.first, one.months):%Y-%m}" in months for one in means)


class PublishedRow(NamedTuple):
    """One school and kind of staff in a table to be published; None: not shown."""

    organisation: str
    staff: str
    people: int | None
    classes: tuple[int | None, ...]
    """People by CLASSES."""
    mean_min: int | None
    within_45_permille: int | None


class HandRate(NamedTuple):
    """How many of a school's marks no card made."""

    organisation: str
    marks: int
    by_hand: int

    @property
    def permille(self) -> int | None:
        """Rounded half up to a tenth of a per cent; None of nothing."""
        return (2 * self.by_hand * 1_000 + self.marks) // (2 * self.marks) if self.marks else None


def _last(first: datetime.date, months: int) -> datetime.date:
    for _ in range(months - 1):
        first = next_month(first)
    return first


def months_of(year: int, through: datetime.date) -> list[datetime.date]:
    """Return the first days of a fiscal year's months that have begun by a day."""
    month, found = datetime.date(year, 4, 1), []
    while month <= through and fiscal_year(month) == year:
        found.append(month)
        month = next_month(month)
    return found


def _before(year: int) -> list[datetime.date]:
    first = datetime.date(year, 4, 1)
    found: list[datetime.date] = []
    for _ in range(MONTHS_BEFORE):
        first = (first - _ONE_DAY).replace(day=1)
        found.insert(0, first)
    return found


# --- months --------------------------------------------------------------------------------------


def month_figures(
    fleet: sa.Connection,
    people: sa.Connection,
    enrolled: Mapping[int, Enrolled],
    months: Sequence[datetime.date],
    yesterday: datetime.date,
) -> dict[int, list[Figure]]:
    """Return each member's months in their order: as closed, else as known now.

    A month in which a member was not enrolled is left out, and the present one ends yesterday.
    """
    kept = work_closing.kept(people, None, [f"{one:%Y-%m}" for one in months])
    found: dict[int, list[Figure]] = {one: [] for one in enrolled}
    for month in months:
        span = month_span(month)
        closed = {
            one.member_id: one
            for (_, name), some in kept.items()
            if name == f"{month:%Y-%m}"
            for one in some
        }
        here = {one: of for one, of in enrolled.items() if of.is_enrolled_between(*span)}
        open_ones = {one: of for one, of in here.items() if one not in closed}
        records = work_records.records(fleet, people, open_ones, span, min(span.last, yesterday))
        for one in here:
            known = closed.get(one)
            found[one].append(known or work_closing.figure(records[one], month))
    return found


def person_years(
    fleet: sa.Connection,
    people: sa.Connection,
    enrolled: Mapping[int, Enrolled],
    year: int,
    at_ms: int,
) -> dict[int, PersonYear]:
    """Return where these members stand in a fiscal year; the caller notes the look."""
    yesterday = work_records.today(fleet, at_ms) - _ONE_DAY
    months = months_of(year, yesterday)
    if not months:
        return {}
    figures = month_figures(fleet, people, enrolled, [*_before(year), *months], yesterday)
    special = work_special.of_members(people, enrolled)
    last = min(yesterday, month_span(months[-1]).last)
    found = {}
    for one, of in enrolled.items():
        mine = [each for each in figures[one] if each.month >= f"{months[0]:%Y-%m}"]
        if mine:
            counted = [_month_figure(each, special[one], yesterday) for each in figures[one]]
            limits = limits_in_force(mine[-1].staff, months[-1])
            before, now = _without_gap(counted[: -len(mine)]), counted[-len(mine) :]
            standing = year_standing(now, limits, before)
            found[one] = PersonYear(one, of.organisation_on(last), tuple(mine), limits, standing)
    return found


def _without_gap(before: Sequence[MonthFigure]) -> list[MonthFigure]:
    """Return the months that precede a year without a month between them."""
    found: list[MonthFigure] = []
    for one in reversed(before):
        if found and next_month(one.first) != found[0].first:
            break
        found.insert(0, one)
    return found


def _month_figure(one: Figure, special: Collection[str], yesterday: datetime.date) -> MonthFigure:
    first = datetime.date.fromisoformat(f"{one.month}-01")
    return MonthFigure(
        first,
        one.outside_min,
        one.rest_day_min,
        one.month in special,
        month_span(first).last <= yesterday,
    )


def over_limits(years: Iterable[PersonYear]) -> list[PersonYear]:
    """Return who has not kept a limit, the most hours first."""
    found = [one for one in years if one.standing.broken]
    return sorted(found, key=lambda one: one.standing.total_min, reverse=True)


def for_talks(years: Iterable[PersonYear]) -> list[PersonYear]:
    """Return who is to be asked to a talk with a doctor (面接指導), the most hours first."""
    found = [one for one in years if one.needs_talk]
    return sorted(found, key=lambda one: one.figures[-1].outside_min, reverse=True)


# --- schools -------------------------------------------------------------------------------------


def by_school(
    fleet: sa.Connection, people: sa.Connection, month: datetime.date, at_ms: int
) -> dict[str, list[Figure]]:
    """Return the figures of a month of every school: as closed, else as known now."""
    yesterday = work_records.today(fleet, at_ms) - _ONE_DAY
    span = month_span(month)
    found = {
        organisation: some
        for (organisation, _), some in work_closing.kept(people, None, [f"{month:%Y-%m}"]).items()
    }
    enrolled = work_terms.of_members(people, work_terms.everyone(people))
    open_ones = {
        one: of
        for one, of in enrolled.items()
        if (school := school_of(of, span)) is not None and school not in found
    }
    records = work_records.records(fleet, people, open_ones, span, min(span.last, yesterday))
    fresh: dict[str, list[Figure]] = defaultdict(list)
    for one, record in records.items():
        fresh[school_of(open_ones[one], span) or ""].append(work_closing.figure(record, month))
    return found | fresh


def roll_up(
    figures: Mapping[str, Sequence[Figure]],
    years: Mapping[int, PersonYear],
    month: datetime.date,
) -> dict[tuple[str, str, str], GroupFigures]:
    """Return what schools' months come to, by school, kind of staff and engagement.

    `years`: of everybody, for the forecasts; who is not there has none.
    """
    groups: dict[tuple[str, str, str], list[PersonFigure]] = defaultdict(list)
    for organisation, some in figures.items():
        for one in some:
            year = years.get(one.member_id)
            forecast = year.standing.forecast_min if year else None
            person = PersonFigure(one.outside_min, forecast, one.is_incomplete)
            groups[organisation, one.staff, one.engaged].append(person)
    return {
        name: group_figures(some, limits_in_force(_staff(figures, name[1]), month))
        for name, some in sorted(groups.items())
    }


def _staff(figures: Mapping[str, Sequence[Figure]], staff: str) -> Staff:
    return next(one.staff for some in figures.values() for one in some if one.staff == staff)


def hand_rates(figures: Mapping[str, Sequence[Figure]]) -> list[HandRate]:
    """Return how many marks were made by hand, by school."""
    return [
        HandRate(name, sum(one.marks for one in some), sum(one.by_hand for one in some))
        for name, some in sorted(figures.items())
    ]


def publication(figures: Mapping[str, Sequence[Figure]]) -> list[PublishedRow]:
    """Return the table of a month that may be published.

    With the town's own mean beside it, that of a single hidden row would follow: where there is
    one, the smallest other row does not say its mean either.
    """
    groups: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for organisation, some in figures.items():
        for one in some:
            groups[organisation, one.staff].append(one)
    counts = {
        (f"{organisation} {staff}", name): sum(_class_of(one) == name for one in some)
        for (organisation, staff), some in groups.items()
        for name in CLASSES
    }
    secret = hidden({cell: count for cell, count in counts.items() if count})
    few = {name for name, some in groups.items() if is_few(len(some))}
    others = sorted(groups.keys() - few, key=lambda name: (len(groups[name]), name))
    unsaid = few | set(others[:1] if len(few) == 1 else ())
    rows = [_published(*name, some, counts, secret) for name, some in sorted(groups.items())]
    return [
        one._replace(mean_min=None) if (one.organisation, one.staff) in unsaid else one
        for one in rows
    ]


def _published(
    organisation: str,
    staff: str,
    some: Sequence[Figure],
    counts: Mapping[tuple[str, str], int],
    secret: Collection[tuple[str, str]],
) -> PublishedRow:
    if is_few(len(some)):
        return PublishedRow(organisation, staff, None, (None,) * len(CLASSES), None, None)
    row = f"{organisation} {staff}"
    shown = tuple(None if (row, name) in secret else counts[row, name] for name in CLASSES)
    total, many = sum(one.outside_min for one in some), len(some)
    within = shown[0]
    return PublishedRow(
        organisation,
        staff,
        many,
        shown,
        (2 * total + many) // (2 * many),
        None if within is None else (2_000 * within + many) // (2 * many),
    )


def _class_of(one: Figure) -> str:
    if one.outside_min >= 100 * 60:
        return CLASSES[3]
    return CLASSES[sum(one.outside_min > limit for limit in _CLASS_MIN)]
