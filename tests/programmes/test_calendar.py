"""Instants and days: golden examples at the edges where calendars go wrong."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes.calendar import (
    age_on,
    era_date,
    fiscal_year,
    is_school_day,
    local,
    local_day,
    start_of_day_ms,
)
from wire.limits import AT_MS_MAX

D = datetime.date
INSTANTS = st.integers(min_value=0, max_value=AT_MS_MAX)


def utc_ms(*parts: int) -> int:
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("at_ms", "starts_at_hour", "day"),
    [
        (utc_ms(2026, 3, 31, 14, 59, 59), 0, D(2026, 3, 31)),
        (utc_ms(2026, 3, 31, 15, 0, 0), 0, D(2026, 4, 1)),
        (utc_ms(2024, 2, 28, 15, 0, 0), 0, D(2024, 2, 29)),
        (utc_ms(2024, 2, 29, 15, 0, 0), 0, D(2024, 3, 1)),
        (utc_ms(2026, 12, 31, 15, 0, 0), 0, D(2027, 1, 1)),
        # 1 April 00:30 and 03:59:59.999 at a place whose day starts at four.
        (utc_ms(2026, 3, 31, 15, 30), 4, D(2026, 3, 31)),
        (utc_ms(2026, 3, 31, 19, 0, 0) - 1, 4, D(2026, 3, 31)),
        (utc_ms(2026, 3, 31, 19, 0, 0), 4, D(2026, 4, 1)),
    ],
)
def test_the_day_that_an_instant_belongs_to(
    at_ms: int, starts_at_hour: int, day: datetime.date
) -> None:
    assert local_day(at_ms, starts_at_hour) == day


@given(INSTANTS, st.integers(min_value=0, max_value=12))
def test_an_instant_lies_within_its_day(at_ms: int, hour: int) -> None:
    day = local_day(at_ms, hour)
    assert start_of_day_ms(day, hour) <= at_ms < start_of_day_ms(day, hour) + 86_400_000


@given(INSTANTS)
def test_the_wall_clock_is_nine_hours_ahead_of_utc(at_ms: int) -> None:
    assert local(at_ms).utcoffset() == datetime.timedelta(hours=9)
    assert abs(local(at_ms).timestamp() * 1000 - at_ms) < 1


@pytest.mark.parametrize(
    ("day", "year"),
    [
        (D(2027, 3, 31), 2026),
        (D(2027, 4, 1), 2027),
        (D(2028, 2, 29), 2027),
        (D(2027, 12, 31), 2027),
        (D(2028, 1, 1), 2027),
    ],
)
def test_the_fiscal_year_begins_on_the_first_of_april(day: datetime.date, year: int) -> None:
    assert fiscal_year(day) == year


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        # The end of the day before the birthday: the whole of that day counts.
        (D(1956, 4, 1), D(2026, 3, 30), 69),
        (D(1956, 4, 1), D(2026, 3, 31), 70),
        (D(1956, 4, 2), D(2026, 3, 31), 69),
        (D(1956, 4, 2), D(2026, 4, 1), 70),
        (D(1956, 1, 1), D(2025, 12, 31), 70),
        # Born on a leap day: 28 February in every year.
        (D(1956, 2, 29), D(2026, 2, 27), 69),
        (D(1956, 2, 29), D(2026, 2, 28), 70),
        (D(1956, 2, 29), D(2028, 2, 27), 71),
        (D(1956, 2, 29), D(2028, 2, 28), 72),
        (D(1956, 3, 1), D(2027, 2, 28), 71),
        (D(1956, 3, 1), D(2028, 2, 28), 71),
        (D(1956, 3, 1), D(2028, 2, 29), 72),
    ],
)
def test_an_age_is_reached_at_the_end_of_the_day_before_the_birthday(
    born: datetime.date, day: datetime.date, age: int
) -> None:
    assert age_on(born, day) == age


@given(st.dates(D(1900, 1, 1), D(2020, 1, 1)), st.integers(min_value=0, max_value=36_500))
def test_an_age_never_falls_and_grows_by_one_in_a_year(born: datetime.date, days: int) -> None:
    day = born + datetime.timedelta(days=days)
    today, tomorrow = age_on(born, day), age_on(born, day + datetime.timedelta(days=1))
    assert today <= tomorrow <= today + 1
    assert age_on(born, day + datetime.timedelta(days=366)) - today in (1, 2)


@pytest.mark.parametrize(
    ("day", "written"),
    [
        (D(2019, 4, 30), "平成31年4月30日"),
        (D(2019, 5, 1), "令和元年5月1日"),
        (D(2020, 2, 29), "令和2年2月29日"),
        (D(2026, 4, 1), "令和8年4月1日"),
        (D(1989, 1, 7), "昭和64年1月7日"),
        (D(1989, 1, 8), "平成元年1月8日"),
        (D(1926, 12, 24), "大正15年12月24日"),
        (D(1926, 12, 25), "昭和元年12月25日"),
        (D(1912, 7, 29), "明治45年7月29日"),
        (D(1912, 7, 30), "大正元年7月30日"),
        (D(1956, 2, 29), "昭和31年2月29日"),
    ],
)
def test_a_day_is_written_in_its_era(day: datetime.date, written: str) -> None:
    assert era_date(day) == written


def test_a_day_before_the_eras_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first era"):
        era_date(D(1868, 1, 24))


@pytest.mark.parametrize(
    ("day", "school"),
    [
        (D(2026, 4, 1), True),
        (D(2026, 4, 4), False),  # Saturday
        (D(2026, 4, 5), False),  # Sunday
        (D(2026, 4, 29), False),  # 昭和の日
        (D(2026, 5, 6), False),  # 振替休日, for 3 May on a Sunday
        (D(2026, 5, 7), True),
        (D(2026, 9, 22), False),  # 国民の休日, between two holidays
        (D(2026, 3, 20), False),  # 春分の日
        (D(2027, 1, 1), False),
        (D(2027, 1, 11), False),  # 成人の日
        (D(2026, 12, 28), True),
    ],
)
def test_school_days_are_working_days_without_holidays(day: datetime.date, school: bool) -> None:
    assert is_school_day(day) is school
