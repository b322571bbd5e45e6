"""Limits of working time: to the minute, month by month, for one person and for a group."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes.work_limits import (
    Broken,
    MonthFigure,
    NoLimitsInForce,
    PersonFigure,
    RuleName,
    Standing,
    YearStanding,
    group_figures,
    limits_in_force,
    standing,
    year_standing,
)

D = datetime.date
APRIL = D(2026, 4, 1)
TEACHER = limits_in_force("teacher", APRIL)
OFFICE = limits_in_force("office", APRIL)
H = 60


def firsts(count: int, year: int = 2026) -> list[datetime.date]:
    """Return the first days of months from April of a fiscal year on."""
    return [D(year + (3 + n) // 12, (3 + n) % 12 + 1, 1) for n in range(count)]


def year(*hours: float, special: tuple[int, ...] = ()) -> YearStanding:
    """Return where somebody stands after these months from April on."""
    months = [
        MonthFigure(first, round(some * H), is_special=number in special)
        for number, (first, some) in enumerate(zip(firsts(len(hours)), hours, strict=True))
    ]
    return year_standing(months, TEACHER)


def rules(found: YearStanding) -> list[RuleName]:
    return [one.rule for one in found.broken]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0, "within-30"),
        (30 * H, "within-30"),
        (30 * H + 1, "within-45"),
        (45 * H, "within-45"),
        (45 * H + 1, "over-45"),
        (80 * H, "over-45"),
        (80 * H + 1, "over-80"),
        (100 * H - 1, "over-80"),
        (100 * H, "from-100"),
    ],
)
def test_a_month_stands_by_the_minute(minutes: int, expected: Standing) -> None:
    assert standing(minutes, TEACHER) == expected


def test_the_limits_are_those_of_the_guideline_and_of_the_agreement() -> None:
    for limits in (TEACHER, OFFICE):
        figures = (limits.month_h, limits.year_h, limits.special_month_h, limits.special_year_h)
        assert figures == (45, 360, 100, 720)
        assert (limits.mean_h, limits.mean_months, limits.special_months) == (80, 6, 6)
    assert (TEACHER.target_mean_h, TEACHER.target_year) == (30, 2029)
    assert (TEACHER.counts_rest_days, OFFICE.counts_rest_days) == (True, False)


def test_a_table_holds_from_its_day_on() -> None:
    assert limits_in_force("teacher", D(2026, 3, 31)).target_mean_h is None
    assert limits_in_force("teacher", APRIL).target_mean_h == 30
    with pytest.raises(NoLimitsInForce, match="2020-03-31"):
        limits_in_force("teacher", D(2020, 3, 31))


def test_a_month_over_45_is_broken_unless_it_was_declared_special() -> None:
    assert rules(year(45)) == []
    assert year(45 + 1 / H).broken == (Broken("month", APRIL, 1, 45 * H + 1),)
    assert rules(year(60, special=(0,))) == []


def test_a_special_month_stays_below_100() -> None:
    assert rules(year(100 - 1 / H, special=(0,))) == []
    assert year(100, special=(0,)).broken == (Broken("special-month", APRIL, 1, 100 * H),)


def test_a_year_has_360_hours_and_with_special_months_720() -> None:
    assert rules(year(*[30] * 12)) == []
    assert year(*[30] * 11, 30 + 1 / H).broken == (Broken("year", APRIL, 12, 360 * H + 1),)
    half = [75] * 6 + [45] * 6
    assert sum(half) == 720
    assert rules(year(*half, special=(*range(6),))) == []
    half[-1] += 1
    assert "special-year" in rules(year(*half, special=(*range(6), 11)))


def test_at_most_six_months_of_a_year_pass_45() -> None:
    found = year(*[46] * 7, special=tuple(range(7)))
    assert found.broken == (Broken("special-months", APRIL, 7, 7),)
    assert found.months_over == 7
    assert rules(year(*[46] * 6, special=tuple(range(6)))) == []


def test_a_mean_over_80_is_named_with_its_months() -> None:
    found = year(20, 79, 82, special=(1, 2))
    (broken,) = found.broken
    assert broken == Broken("mean", D(2026, 5, 1), 2, 80 * H + 30)
    assert rules(year(20, 78, 82, special=(1, 2))) == []


def test_a_mean_of_three_months_is_found_where_no_pair_is_over() -> None:
    found = year(20, 81, 79, 81, special=(1, 2, 3))
    assert found.broken == (Broken("mean", D(2026, 5, 1), 3, 80 * H + 20),)


def test_a_mean_reaches_over_the_end_of_the_fiscal_year() -> None:
    march = MonthFigure(D(2026, 3, 1), 90 * H, is_special=True)
    april = MonthFigure(APRIL, 71 * H, is_special=True)
    assert rules(year_standing([april], TEACHER)) == []
    (broken,) = year_standing([april], TEACHER, before=[march]).broken
    assert broken == Broken("mean", D(2026, 3, 1), 2, 80 * H + 30)


def test_work_on_rest_days_counts_for_the_office_only_towards_100_and_the_mean() -> None:
    months = [MonthFigure(first, 90 * H, rest_day_min=46 * H) for first in firsts(2)]
    office = year_standing(months, OFFICE)
    assert rules(office) == ["mean"]
    assert (office.total_min, office.months_over) == (88 * H, 0)
    assert rules(year_standing(months, TEACHER)) == ["month", "month", "mean"]
    months[0] = months[0]._replace(outside_min=100 * H, rest_day_min=60 * H)
    assert "special-month" in rules(year_standing(months, OFFICE))


# --- forecast -------------------------------------------------------------------------------------


def test_the_forecast_takes_months_to_come_as_the_mean_of_those_that_are_over() -> None:
    assert year(20, 40).forecast_min == 60 * H + 10 * 30 * H
    assert year(*[30] * 12).forecast_min == 360 * H
    assert year().forecast_min is None


@pytest.mark.parametrize(("running_h", "expected_h"), [(5, 360), (50, 380)])
def test_a_running_month_counts_with_at_least_what_it_has(running_h: int, expected_h: int) -> None:
    april, may = firsts(2)
    months = [MonthFigure(april, 30 * H), MonthFigure(may, running_h * H, is_over=False)]
    assert year_standing(months, TEACHER).forecast_min == expected_h * H
    assert year_standing(months[1:], TEACHER).forecast_min is None


@given(st.lists(st.integers(0, 200 * H), min_size=1, max_size=12))
def test_a_forecast_is_never_below_what_there_is_and_names_are_in_the_year(
    minutes: list[int],
) -> None:
    months = [
        MonthFigure(first, some) for first, some in zip(firsts(len(minutes)), minutes, strict=True)
    ]
    found = year_standing(months, TEACHER)
    assert found.total_min == sum(minutes)
    assert found.forecast_min is not None
    assert found.forecast_min >= found.total_min
    if len(minutes) == 12:
        assert found.forecast_min == found.total_min
    for one in found.broken:
        assert one.first in firsts(len(minutes))
        assert one.figure > 0
    for many in range(2, 7):
        broken = {one.first for one in found.broken if (one.rule, one.months) == ("mean", many)}
        for start in range(len(minutes) - many + 1):
            is_broken = sum(minutes[start : start + many]) > 80 * H * many
            assert is_broken == (firsts(12)[start] in broken)


# --- a group --------------------------------------------------------------------------------------


def test_a_group_is_counted_as_boards_publish_it() -> None:
    hours = (0, 30, 45, 45.5, 80, 81, 100)
    people = [PersonFigure(round(some * H)) for some in hours]
    people[0] = PersonFigure(0, forecast_min=360 * H, is_incomplete=True)
    people[6] = PersonFigure(100 * H, forecast_min=360 * H + 1)
    found = group_figures(people, TEACHER)
    assert (found.people, found.incomplete, found.year_over_360) == (7, 1, 1)
    assert (found.within_45, found.over_45, found.over_80, found.from_100) == (3, 4, 2, 1)
    assert found.within_45_permille == 429
    assert found.mean_min == 3_270
    assert found.keeps_target is False


def test_the_target_is_kept_to_the_minute_and_only_where_there_is_one() -> None:
    assert group_figures([PersonFigure(30 * H)], TEACHER).keeps_target is True
    assert (
        group_figures([PersonFigure(30 * H + 1), PersonFigure(30 * H)], TEACHER).keeps_target
        is False
    )
    assert group_figures([PersonFigure(0)], OFFICE).keeps_target is None


def test_nobody_has_no_mean() -> None:
    found = group_figures([], TEACHER)
    assert (found.people, found.mean_min, found.within_45_permille) == (0, None, None)
    assert found.keeps_target is None


@given(st.lists(st.integers(0, 150 * H), min_size=1, max_size=40))
def test_counts_of_a_group_add_up(minutes: list[int]) -> None:
    found = group_figures([PersonFigure(some) for some in minutes], TEACHER)
    assert found.within_45 + found.over_45 == found.people == len(minutes)
    assert found.over_45 >= found.over_80 >= found.from_100
    assert found.mean_min is not None
    assert abs(found.mean_min - sum(minutes) / len(minutes)) <= 0.5
