"""Hours of work: a figure is the sum of its terms, in whole minutes, and counts nothing twice."""

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes.spans import length, within, without
from programmes.work_day import WorkDay, derive_days
from programmes.work_hours import (
    DAY_OFF,
    FULL_DAY,
    REST_DAY,
    DayHours,
    Entry,
    Given,
    Pattern,
    Shift,
    day_hours,
    month_hours,
)
from programmes.work_marks import Correction, Mark
from programmes.work_months import JUNE, MARCH, at_ms, tap
from tests.programmes.work_strategies import CORRECTIONS, FROM_MS, MARKS, MINUTE_MS, RULES, SPAN_MIN

ALWAYS = datetime.date.max
SHIFTS = st.sampled_from((FULL_DAY, DAY_OFF, REST_DAY, Shift(((780, 1_500),), ((1_020, 1_065),))))
SECONDS = st.integers(0, SPAN_MIN * 60)
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def of_day(*times: str, shift: Shift = FULL_DAY, entries: tuple[Entry, ...] = ()) -> DayHours:
    """Return the hours of 3 June with marks at these times."""
    return day_hours(derived(*times), shift, entries)


def derived(*times: str) -> WorkDay:
    days = derive_days([tap(3, text) for text in times], (), RULES).days
    return days[0] if days else WorkDay(JUNE.replace(day=3), (), (), (), "absent")


def terms(hours: DayHours) -> dict[str, int]:
    return {term.name: term.minutes for term in (*hours.worked, *hours.outside) if term.minutes}


def entry(kind: str, began: str, ended: str) -> Entry:
    return Entry(kind, at_ms(3, began), at_ms(3, ended))  # type: ignore[arg-type]


# --- one day --------------------------------------------------------------------------------------


def test_a_figure_comes_with_the_terms_that_add_up_to_it() -> None:
    hours = of_day("07:42", "19:05")
    assert terms(hours) == {"presence": 683, "break": -45, "worked": 638, "scheduled": -465}
    assert (hours.worked_min, hours.outside_min) == (638, 173)
    assert [term.name for term in hours.worked] == [
        "presence",
        "off-site",
        "home",
        "break",
        "study",
    ]
    assert [term.name for term in hours.outside] == ["worked", "scheduled", "leave", "short"]


def test_instants_are_cut_to_the_minute_that_a_page_shows() -> None:
    assert of_day("07:42:59", "17:15:00").worked_min == of_day("07:42:00", "17:15:59").worked_min
    assert of_day("07:42:59", "17:15:00").worked[0].minutes == 573


def test_hours_that_were_not_worked_lessen_no_other_day() -> None:
    hours = of_day("08:15", "16:15")
    assert terms(hours)["short"] == 30
    assert hours.outside_min == 0


def test_an_open_interval_counts_nothing_and_the_day_says_what_lacks() -> None:
    hours = of_day("07:45", "12:00", "13:00")
    assert (hours.worked_min, hours.missing) == (255, ("out",))


def test_a_scheduled_day_of_which_nothing_is_known_says_so() -> None:
    assert of_day().missing == ("day",)
    assert of_day(shift=DAY_OFF).missing == ()
    assert of_day(entries=(entry("leave", "08:15", "16:45"),)).missing == ()
    assert of_day(entries=(entry("leave", "08:15", "12:15"),)).missing == ("day",)
    assert of_day(entries=(entry("off-site", "08:15", "16:45"),)).missing == ()


@pytest.mark.parametrize(
    ("kind", "began", "ended", "name", "minutes"),
    [
        ("off-site", "17:00", "18:00", "off-site", 45),
        ("home", "17:00", "18:00", "home", 45),
        ("study", "16:00", "18:00", "study", -30),
        ("study", "06:00", "08:30", "study", -30),
        ("study", "18:00", "19:00", "study", 0),
        ("leave", "16:15", "18:00", "leave", 30),
        ("leave", "12:15", "13:00", "leave", 0),
    ],
)
def test_an_entry_counts_only_where_it_may(
    kind: str, began: str, ended: str, name: str, minutes: int
) -> None:
    hours = of_day("07:45", "17:15", entries=(entry(kind, began, ended),))
    assert terms(hours).get(name, 0) == minutes


def test_an_instant_in_two_entries_counts_once_as_duty_elsewhere() -> None:
    both = (entry("home", "17:00", "19:00"), entry("off-site", "17:30", "18:30"))
    found = terms(of_day("07:45", "17:15", entries=both))
    assert (found["presence"], found["off-site"], found["home"]) == (570, 60, 45)


def test_a_break_is_no_self_study_and_study_in_hours_of_leave_is() -> None:
    lunch = (entry("study", "12:00", "13:30"), entry("leave", "13:00", "13:15"))
    assert terms(of_day("07:45", "17:15", entries=lunch))["study"] == -15


def test_a_break_that_was_not_taken_or_was_another_is_told() -> None:
    day = derived("07:45", "17:15")
    own = {day.day: ((at_ms(3, "15:00"), at_ms(3, "15:20")),)}
    assert day_hours(day, FULL_DAY, (), own).worked_min == 550
    assert day_hours(day, FULL_DAY, (), {day.day: ()}).worked_min == 570
    assert day_hours(day, FULL_DAY, (), {JUNE: ()}).worked_min == 525


def test_a_night_shift_goes_on_past_midnight() -> None:
    night = Shift(((1_320, 1_680),))
    assert terms(of_day("22:00", "27:30", shift=night))["short"] == 30


def test_presence_says_how_unsure_its_clocks_were() -> None:
    marks = [tap(3, "07:45", unsure_ms=60_000), tap(3, "17:15", unsure_ms=1_000)]
    (day,) = derive_days(marks, (), RULES).days
    assert day_hours(day, FULL_DAY).unsure_ms == 61_000


# --- a month --------------------------------------------------------------------------------------


def test_a_month_is_the_sum_of_its_days_by_terms() -> None:
    marks = [tap(day, text) for day in (3, 4) for text in ("07:45", "17:15")]
    entries = (Entry("home", at_ms(4, "20:00"), at_ms(4, "21:00")),)
    given_ = Given(derive_days(marks, (), RULES).days, entries)
    month = month_hours(JUNE, given_, JUNE.replace(day=5))
    assert {t.name: t.minutes for t in month.worked if t.minutes} == {
        "presence": 1_140,
        "home": 60,
        "break": -90,
    }
    assert sum(term.minutes for term in month.worked) == month.worked_min == 1_110
    assert sum(term.minutes for term in month.outside) == month.outside_min == 180
    assert [day.day.day for day in month.days] == [1, 2, 3, 4, 5]
    assert [day.day.day for day in month.incomplete] == [1, 2, 5]


def test_a_month_that_is_still_to_come_has_no_days() -> None:
    assert month_hours(JUNE, Given(()), datetime.date(2026, 5, 31)).days == ()


def test_work_at_home_after_midnight_is_of_the_day_before() -> None:
    late = (Entry("home", at_ms(3, "24:30"), at_ms(3, "25:00")),)
    month = month_hours(JUNE, Given((), late), ALWAYS)
    assert [day.day.day for day in month.days if day.worked_min] == [3]


def test_a_national_holiday_and_the_weekend_have_no_scheduled_hours() -> None:
    off = [day.day for day in range_of(MARCH) if not Pattern().on(day).hours]
    assert off == [1, 7, 8, 14, 15, 20, 21, 22, 28, 29]


def test_a_list_of_shifts_goes_before_the_week_and_its_holidays() -> None:
    pattern = Pattern(on_days={datetime.date(2026, 3, 20): FULL_DAY, JUNE: DAY_OFF})
    assert pattern.on(datetime.date(2026, 3, 20)) == FULL_DAY
    assert pattern.on(JUNE) == DAY_OFF


def test_work_on_a_rest_day_is_told_apart() -> None:
    marks = [tap(day, text) for day in (6, 7) for text in ("09:00", "11:00")]
    month = month_hours(JUNE, Given(derive_days(marks, (), RULES).days), JUNE.replace(day=7))
    assert (month.outside_min, month.rest_day_min) == (240, 120)


def range_of(first: datetime.date) -> list[datetime.date]:
    days = (first + datetime.timedelta(days=n) for n in range(31))
    return [day for day in days if day.month == first.month]


# --- of any day -----------------------------------------------------------------------------------


ENTRIES = st.lists(
    st.builds(
        lambda kind, first, length_s: Entry(
            kind, FROM_MS + first * 1000, FROM_MS + (first + length_s) * 1000
        ),
        st.sampled_from(("off-site", "home", "study", "leave")),
        SECONDS,
        st.integers(0, 12 * 3600),
    ),
    max_size=5,
)


@given(MARKS, CORRECTIONS, ENTRIES, SHIFTS)
def test_hours_add_up_and_are_never_negative_nor_more_than_the_span(
    marks: list[Mark], corrections: list[Correction], entries: list[Entry], shift: Shift
) -> None:
    for day in derive_days(marks, corrections, RULES).days:
        hours = day_hours(day, shift, entries)
        worked, outside = (
            {term.name: term.minutes for term in some} for some in (hours.worked, hours.outside)
        )
        assert hours.worked_min == outside["worked"] >= 0
        assert hours.outside_min >= 0
        assert (outside["short"] == 0) or (hours.outside_min == 0)
        counting = [one for one in entries if one.kind in ("off-site", "home")]
        ends = [(one.from_ms, one.to_ms) for one in day.intervals if one.to_ms is not None]
        ends += [(one.from_ms, one.to_ms) for one in counting]
        span = [ms // MINUTE_MS for one in ends for ms in one]
        assert hours.worked_min <= max(span, default=0) - min(span, default=0)
        assert all(worked[name] >= 0 for name in ("presence", "off-site", "home"))
        assert all(worked[name] <= 0 for name in ("break", "study"))
        assert day_hours(day, shift, [*entries, *entries]) == hours


@given(MARKS, st.integers(0, 59_999))
def test_seconds_change_a_presence_by_less_than_a_minute(marks: list[Mark], more_ms: int) -> None:
    for day in derive_days(marks, (), RULES).days:
        for one in day.intervals:
            if one.to_ms is not None:
                part = WorkDay(
                    day.day, (), (one._replace(to_ms=one.to_ms + more_ms),), (), "absent"
                )
                exact = (one.to_ms + more_ms - one.from_ms) / MINUTE_MS
                assert abs(day_hours(part, DAY_OFF).worked_min - exact) < 1


@given(SPANS, SPANS)
def test_spans_are_parted_without_loss(
    some: list[tuple[int, int]], cut: list[tuple[int, int]]
) -> None:
    def points(spans: list[tuple[int, int]]) -> set[int]:
        return {point for first, end in spans for point in range(first, end)}

    assert length(some) == len(points(some))
    assert points(without(some, cut)) == points(some) - points(cut)
    assert points(within(some, cut)) == points(some) & points(cut)
    for parted in (without(some, cut), within(some, cut)):
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(parted))
        assert all(first < end for first, end in parted)
