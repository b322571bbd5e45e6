"""Which times a school's gate offers, whatever is missing and between whatever it lies."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.panel import GateQuestion
from edge.web.gate_times import CHOICES_MAX, HOUR_MS, MINUTES, choices, hours
from programmes.calendar import start_of_day_ms
from tests.edge.gate_kit import at
from wire.entries import Heading

DAY = datetime.date(2026, 6, 3)


def asked(missing: Heading, after: str, before: str) -> GateQuestion:
    return GateQuestion(missing, DAY, at(after), at(before))


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        (asked("out", "3 07:42", "4 04:00"), "17:00", "22:30"),
        (asked("out", "3 17:42", "4 04:00"), "18:00", "23:30"),
        (asked("out", "3 07:42", "3 12:00"), "8:00", "11:30"),
        (asked("in", "3 04:00", "3 18:00"), "6:30", "9:15"),
        (asked("away", "3 07:42", "3 12:30"), "10:00", "12:00"),
        (asked("back", "3 11:50", "4 04:00"), "12:00", "17:30"),
    ],
    ids=str,
)
def test_the_likeliest_times_come_first(question: GateQuestion, first: str, last: str) -> None:
    offered = choices(question)
    assert (offered[0].text, offered[-1].text) == (first, last)


def test_what_is_after_midnight_is_said_to_be_of_the_next_day() -> None:
    offered = choices(asked("out", "3 22:10", "4 04:00"))
    assert [(one.text, one.is_next) for one in offered[2:5]] == [
        ("23:30", False),
        ("0:00", True),
        ("0:30", True),
    ]


@given(
    st.sampled_from(["in", "out", "away", "back"]),
    st.integers(0, 24 * 60),
    st.integers(0, 24 * 60),
)
def test_every_time_that_is_offered_may_be_the_answer_and_every_answer_is_within_reach(
    missing: Heading, one: int, other: int
) -> None:
    begins_ms = start_of_day_ms(DAY, 4)
    from_ms, to_ms = (begins_ms + minute * 60_000 for minute in sorted((one, other)))
    question = GateQuestion(missing, DAY, from_ms, to_ms)
    offered = [time.at_ms for time in choices(question)]
    assert len(offered) <= CHOICES_MAX
    assert offered == sorted(offered)
    assert all(from_ms < at_ms < to_ms for at_ms in offered)
    begun = [time.at_ms for time in hours(question)]
    reached = {hour + minute * 60_000 for hour in begun for minute in MINUTES}
    tens = range(from_ms // 600_000 * 600_000 + 600_000, to_ms, 600_000)
    assert reached >= set(tens)
    assert all(hour % HOUR_MS == 0 for hour in begun)
