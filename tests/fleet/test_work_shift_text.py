"""Hours as people write them: what is written out is read back the same, all else is refused."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import work_shift_text
from fleet.work_shift_text import ShiftRefused
from programmes.spans import joined, without
from programmes.work_hours import DAY_OFF, FULL_DAY, REST_DAY, Pattern, Shift

_MINUTES = st.integers(0, 2_880)
_SPANS = st.lists(st.tuples(_MINUTES, _MINUTES), max_size=4).map(
    lambda some: tuple(joined((min(one), max(one)) for one in some))
)


@st.composite
def shifts(draw: st.DrawFn) -> Shift:
    """Any hours with breaks in them."""
    whole, breaks = draw(_SPANS), draw(_SPANS)
    inside = tuple(without(whole, without(whole, breaks)))
    hours = tuple(without(whole, inside))
    return Shift(hours=hours, breaks=inside if hours else ())


@given(shifts())
def test_hours_that_are_written_out_are_read_back_the_same(shift: Shift) -> None:
    assert work_shift_text.read(work_shift_text.write(shift)) == shift


@given(st.dictionaries(st.dates(datetime.date(2020, 1, 1)), shifts(), max_size=9))
def test_single_days_are_read_back_the_same(days: dict[datetime.date, Shift]) -> None:
    assert work_shift_text.read_days(work_shift_text.write_days(days)) == days


def test_the_customary_week_is_itself() -> None:
    week = tuple(work_shift_text.read(work_shift_text.write(one)) for one in Pattern().week)
    assert week == Pattern().week
    assert work_shift_text.write(FULL_DAY) == "08:15-16:45/12:15-13:00"
    assert (work_shift_text.read("休"), work_shift_text.read(" ｏｆｆ ")) == (DAY_OFF, DAY_OFF)
    assert work_shift_text.read("法") == REST_DAY


@pytest.mark.parametrize(
    "text", ["", "8-17", "17:00-08:00", "08:60-09:00", "08:00-09:00/10:00-11:00", "08:00-48:01"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ShiftRefused):
        work_shift_text.read(text)


@pytest.mark.parametrize(
    "text", ["2026-07-03", "休", "2026-07-03 休\n2026/7/3 休", "2026-02-30 休"]
)
def test_a_line_that_is_no_day_with_its_hours_is_refused(text: str) -> None:
    with pytest.raises(ShiftRefused):
        work_shift_text.read_days(text)
