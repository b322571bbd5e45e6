"""Limits of working time as dated tables, and where a person and a group stand against them.

Teachers: the guideline under article 7 of 給特法 (文部科学省告示第1号, in force since 1 April 2020;
the target mean is of the plans that boards publish since 1 April 2026). Office staff: an agreement
under article 36 of the Labour Standards Act (36協定). Its limits for a month and a year leave out
work on statutory rest days (法定休日); those below 100 h and for the mean include it.

Rules: limits are hours, figures minutes, and nothing is rounded before it is compared: 45:00 is
within 45 h and 45:01 over it; 100:00 is not below 100 h · what is over a limit is named with its
months and its figure · special months lift the limits of a month and a year to those of special
cases and no further · a running month stands in a forecast with at least what it has.
"""

import datetime
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

Staff = Literal["teacher", "office"]
Standing = Literal["within-30", "within-45", "over-45", "over-80", "from-100"]
RuleName = Literal["month", "year", "special-month", "special-year", "mean", "special-months"]
Hours = Annotated[int, Meta(ge=0, le=1_000)]

MONTHS: Final = 12
_STANDINGS: Final[tuple[Standing, ...]] = ("within-30", "within-45", "over-45", "over-80")


class NoLimitsInForce(ValueError):
    """No table of limits covers this day: the first one begins later."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of limits, in hours."""

    staff: Staff
    valid_from: datetime.date
    month_h: Hours = 45
    year_h: Hours = 360
    special_month_h: Hours = 100
    """A special month stays below it."""
    special_year_h: Hours = 720
    mean_h: Hours = 80
    """The mean of each 2 to `mean_months` months in a row is at most this."""
    mean_months: Annotated[int, Meta(ge=2, le=12)] = 6
    special_months: Annotated[int, Meta(ge=0, le=12)] = 6
    """In so many months of a year at most may the month's limit be passed."""
    warn_h: tuple[Hours, Hours, Hours] = (30, 45, 80)
    """Steps at which somebody looks: notice, limit, talk with a doctor."""
    target_mean_h: Hours | None = None
    """The group's mean to be reached, until the end of `target_year`."""
    target_year: int | None = None
    counts_rest_days: bool = True
    """Work on rest days counts towards the limits of a month and a year."""


LIMITS: Final = (
    Limits("teacher", datetime.date(2020, 4, 1)),
    Limits("teacher", datetime.date(2026, 4, 1), target_mean_h=30, target_year=2029),
    Limits("office", datetime.date(2020, 4, 1), counts_rest_days=False),
)


def limits_in_force(staff: Staff, day: datetime.date) -> Limits:
    """Return the latest table for these people that begins no later. Raises NoLimitsInForce."""
    found = [one for one in LIMITS if one.staff == staff and one.valid_from <= day]
    if not found:
        raise NoLimitsInForce(f"no limits for {staff} are in force on {day}: add a table")
    return max(found, key=lambda one: one.valid_from)


class MonthFigure(NamedTuple):
    """Outside hours of one person's month."""

    first: datetime.date
    outside_min: int
    rest_day_min: int = 0
    """What of them was on rest days."""
    is_special: bool = False
    """The month was declared a special case before it passed the month's limit."""
    is_over: bool = True
    """False while the month is running."""


class Broken(NamedTuple):
    """A limit that was not kept."""

    rule: RuleName
    first: datetime.date
    """Its first month; for a year its April or the first month that is known."""
    months: int
    """Over so many months."""
    figure: int
    """Minutes, of a mean per month rounded down; for `special-months` the months."""


class YearStanding(NamedTuple):
    """Where one person stands in a fiscal year."""

    standings: tuple[Standing, ...]
    """Of each month, as it was given."""
    total_min: int
    forecast_min: int | None
    """At the end of March, if the months to come are as the mean of those that are over and the
    running one is at least so; None before the first month is over."""
    months_over: int
    """Months above the month's limit."""
    broken: tuple[Broken, ...]


def standing(minutes: int, limits: Limits) -> Standing:
    """Return the step that a month's outside hours have reached."""
    if minutes >= limits.special_month_h * 60:
        return "from-100"
    return _STANDINGS[sum(minutes > step * 60 for step in limits.warn_h)]


def year_standing(
    months: Sequence[MonthFigure], limits: Limits, before: Sequence[MonthFigure] = ()
) -> YearStanding:
    """Return where a person stands after the months of one fiscal year, from the first on.

    `before` are the months that precede them, without a gap: a mean reaches over the year's end.
    """
    counted = [_counted(one, limits) for one in months]
    total = sum(counted)
    over = sum(minutes > limits.month_h * 60 for minutes in counted)
    return YearStanding(
        tuple(standing(one.outside_min, limits) for one in months),
        total,
        _forecast(months, counted),
        over,
        (
            *(broken for one in months for broken in _broken_by_month(one, limits)),
            *_broken_by_year(months, total, over, limits),
            *_broken_means(months, before, limits),
        ),
    )


def _counted(month: MonthFigure, limits: Limits) -> int:
    """Return what of a month counts towards the limits of a month and a year."""
    return month.outside_min - (0 if limits.counts_rest_days else month.rest_day_min)


def _forecast(months: Sequence[MonthFigure], counted: Sequence[int]) -> int | None:
    over = [minutes for month, minutes in zip(months, counted, strict=True) if month.is_over]
    if not over:
        return None
    mean = sum(over) // len(over)
    running = [m for month, m in zip(months, counted, strict=True) if not month.is_over]
    to_come = (MONTHS - len(months)) * mean
    return sum(over) + sum(max(mean, minutes) for minutes in running) + to_come


def _broken_by_month(month: MonthFigure, limits: Limits) -> list[Broken]:
    found = []
    counted = _counted(month, limits)
    if counted > limits.month_h * 60 and not month.is_special:
        found.append(Broken("month", month.first, 1, counted))
    if month.outside_min >= limits.special_month_h * 60:
        found.append(Broken("special-month", month.first, 1, month.outside_min))
    return found


def _broken_by_year(
    months: Sequence[MonthFigure], total: int, over: int, limits: Limits
) -> list[Broken]:
    if not months:
        return []
    first, many = months[0].first, len(months)
    found = []
    if total > limits.year_h * 60 and not any(one.is_special for one in months):
        found.append(Broken("year", first, many, total))
    if total > limits.special_year_h * 60:
        found.append(Broken("special-year", first, many, total))
    if over > limits.special_months:
        found.append(Broken("special-months", first, many, over))
    return found


def _broken_means(
    months: Sequence[MonthFigure], before: Sequence[MonthFigure], limits: Limits
) -> list[Broken]:
    """Return the means that end in a month of this year, of fewer months first."""
    row = [*before, *months]
    found = []
    for many in range(2, limits.mean_months + 1):
        for last in range(len(before), len(row)):
            some = row[last - many + 1 : last + 1] if last >= many - 1 else []
            total = sum(one.outside_min for one in some)
            if some and total > limits.mean_h * 60 * many:
                found.append(Broken("mean", some[0].first, many, total // many))
    return found


class GroupFigures(NamedTuple):
    """What a school or a board publishes of one month; small counts are hidden by who publishes."""

    people: int
    incomplete: int
    """People of whose month something is missing: their figures are at least so."""
    within_45: int
    over_45: int
    over_80: int
    """Of those over 45, as `from_100` of these."""
    from_100: int
    year_over_360: int
    """People whose forecast for the year is over the year's limit."""
    mean_min: int | None
    """Rounded half up to a minute; None of nobody."""
    within_45_permille: int | None
    """Rounded half up to a tenth of a per cent."""
    keeps_target: bool | None
    """The mean is within the target; None where there is no target or nobody."""


class PersonFigure(NamedTuple):
    """One person's month in a group."""

    outside_min: int
    forecast_min: int | None = None
    is_incomplete: bool = False


def group_figures(people: Iterable[PersonFigure], limits: Limits) -> GroupFigures:
    """Return the counts and the mean of a group's month."""
    everyone = list(people)
    many = len(everyone)
    total = sum(one.outside_min for one in everyone)
    over = [one for one in everyone if one.outside_min > limits.month_h * 60]
    within = many - len(over)
    target = limits.target_mean_h
    return GroupFigures(
        people=many,
        incomplete=sum(one.is_incomplete for one in everyone),
        within_45=within,
        over_45=len(over),
        over_80=sum(one.outside_min > limits.mean_h * 60 for one in everyone),
        from_100=sum(one.outside_min >= limits.special_month_h * 60 for one in everyone),
        year_over_360=sum((one.forecast_min or 0) > limits.year_h * 60 for one in everyone),
        mean_min=_half_up(total, many),
        within_45_permille=_half_up(within * 1_000, many),
        keeps_target=None if target is None or not many else total <= target * 60 * many,
    )


def _half_up(total: int, parts: int) -> int | None:
    return (2 * total + parts) // (2 * parts) if parts else None
