"""What a teacher is told at the gate: as the day is derived, and nothing that is not certain."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes import attendance
from programmes.attendance_day import see
from programmes.calendar import ZONE
from programmes.rulebook import (
    Answered,
    Booked,
    Decision,
    Direction,
    Facts,
    Place,
    Question,
    RuleTableRefused,
    Seen,
    check_table,
)
from programmes.work_day import derive_days
from programmes.work_day_rules import DayRules
from programmes.work_marks import Mark
from wire.codes import Code
from wire.credential import Credential
from wire.entries import Heading
from wire.roster import RosterRow, RuleTable

MEMBER = RosterRow(Credential("00" * 16), "teacher", None, None, None)
TABLE = RuleTable(
    version="attendance/2026-04",
    valid_from=datetime.date(2026, 4, 1),
    parameters={"day_starts_at_place": {"night-school": 10}},
)
DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(("", "", "in", "out", "away", "back"))


def at(text: str) -> int:
    """Return an instant of June 2026, written as `3 07:42`."""
    day, clock = text.split()
    hour, minute = map(int, clock.split(":"))
    moment = datetime.datetime(2026, 6, int(day), hour, minute, tzinfo=ZONE)
    return int(moment.timestamp() * 1000)


def booked(text: str) -> Booked:
    """Return what was booked, written as `3 07:42` or `3 12:00 away`."""
    day, clock, *said = text.split()
    return Booked(at(f"{day} {clock}"), said[0] if said else "")  # type: ignore[arg-type]


def hold(now: str, *earlier: str | Booked, place: str = "school-1", **more: object) -> Decision:
    before = [one if isinstance(one, Booked) else booked(one) for one in earlier]
    facts = Facts(at(now), Place(place, "school"), MEMBER, (TABLE,), 60, booked=before, **more)  # type: ignore[arg-type]
    return attendance.decide(facts)


def seen(decision: Decision) -> Seen:
    assert decision.seen
    return decision.seen


@pytest.mark.parametrize(
    ("now", "earlier", "shown"),
    [
        ("3 07:42", [], "morning"),
        ("3 11:00", [], "in"),
        ("3 18:00", ["3 07:42"], "out-today"),
        ("3 12:00", ["3 07:42", "3 11:00 away"], "back"),
        ("3 13:00", ["3 07:42", "3 12:00"], "in"),
        ("3 18:00", ["3 07:42", "3 12:00 away", "3 13:00"], "out-today"),
        ("4 00:30", ["3 07:42"], "out-today"),
        ("4 07:42", ["3 07:42"], "morning"),
        ("3 18:00", ["3 07:42 out"], "in"),
    ],
)
def test_the_greeting_is_what_the_day_so_far_makes_of_it(
    now: str, earlier: list[str], shown: str
) -> None:
    assert hold(now, *earlier).shown == f"attendance.{shown}"


@pytest.mark.parametrize("declared", ["in", "out", "away", "back"])
def test_a_declared_direction_is_never_overruled_by_the_day(declared: Heading) -> None:
    for earlier in ([], ["3 07:42"], ["3 07:42", "3 12:00 away"]):
        made = hold("3 15:00", *earlier, declared=declared)
        assert seen(made).heading == declared
        assert made.shown.removesuffix("-today") == f"attendance.{declared}"


@given(
    st.lists(st.tuples(st.integers(0, 40), DIRECTIONS, DIRECTIONS), max_size=8),
    DIRECTIONS,
)
def test_a_greeting_says_what_the_ledger_derives_from_the_same_marks(
    steps: list[tuple[int, Direction, Direction]], declared: Direction
) -> None:
    at_ms, before = at("3 05:00"), []
    for half_hours, said, corrected in steps:
        at_ms += half_hours * 1_800_000 + 180_000
        before.append(Booked(at_ms, said, redirected=corrected))
    now_ms = at_ms + 180_000
    gate = Place("s", "school")
    facts = Facts(now_ms, gate, MEMBER, (TABLE,), 0, declared=declared, booked=before)
    marks = [Mark(str(n), one.at_ms, one.redirected or one.declared, "s", "r")
             for n, one in enumerate([*before, Booked(now_ms, declared)])]  # fmt: skip
    days = derive_days(marks, (), DayRules()).days
    reading = days[-1].readings[-1]
    assert see(facts, DayRules()).heading == reading.became


def test_the_length_of_the_day_is_told_in_whole_minutes_as_the_clock_shows_them() -> None:
    made = hold("3 19:05", "3 07:42")
    assert made.arguments == {"time": "19:05", "hours": "11", "minutes": "23"}
    almost = Booked(at("3 07:42") + 59_999)
    assert hold("3 19:05", almost).arguments["minutes"] == "23"
    with_errand = hold("3 19:05", "3 07:42", "3 12:00 away", "3 13:00 back")
    assert (with_errand.arguments["hours"], with_errand.arguments["minutes"]) == ("10", "23")


@pytest.mark.parametrize(
    "earlier",
    [
        [],
        ["3 08:00 back"],
        ["3 07:42", "3 09:00 in"],
        [Booked(at("3 07:42"), clock_known=False)],
    ],
    ids=["no-arrival", "back-from-nowhere", "in-twice", "clock-unknown"],
)
def test_what_is_not_certain_is_not_told(earlier: list[str | Booked]) -> None:
    made = hold("3 19:05", *earlier, declared="out")
    assert made.shown == "attendance.out"
    assert seen(made).minutes is None


def test_a_clock_that_is_not_known_now_tells_and_asks_nothing() -> None:
    made = hold("4 19:05", "3 07:42", clock_known=False)
    assert seen(made) == Seen("in")


def test_what_was_given_another_direction_afterwards_counts_as_that() -> None:
    redirected = Booked(at("3 12:00"), "", redirected="away")
    assert hold("3 13:00", "3 07:42", redirected).shown == "attendance.back"
    assert hold("3 13:00", "3 07:42", "3 12:00").shown == "attendance.in"


def test_the_repeat_window_goes_by_the_taps_own_direction_alone() -> None:
    """The ledger may not have the word that follows a tap: no outcome hangs on it."""
    for corrected in ("", "in", "out"):
        before = Booked(at("3 07:42"), "in", redirected=corrected)
        assert hold("3 07:43", before).code is Code.REPEAT
        assert hold("3 07:43", before, declared="in").code is Code.REPEAT
        assert hold("3 07:43", before, declared="out").code is Code.OK


def test_a_repeat_shows_today_and_books_nothing() -> None:
    again = hold("3 07:43", "3 07:42")
    assert (again.code, again.shown) == (Code.REPEAT, "attendance.repeat")
    assert seen(again) == Seen("in", at("3 07:42"), 1)


# --- what is asked --------------------------------------------------------------------------------


def question(now: str, *earlier: str | Booked, **more: Any) -> Question | None:
    return seen(hold(now, *earlier, **more)).question


def day(number: int) -> datetime.date:
    return datetime.date(2026, 6, number)


def test_a_leaving_that_was_forgotten_is_asked_about_at_the_next_tap() -> None:
    asked = question("4 07:42", "3 07:42")
    bounds = (at("3 07:42"), at("4 04:00"))
    assert asked == Question("out", day(3), at("3 07:42"), None, *bounds)
    assert question("4 07:42", "3 07:42", "3 18:00") is None
    assert question("3 18:00", "3 07:42") is None, "today is not over"


@pytest.mark.parametrize(
    ("earlier", "missing"),
    [
        (["3 18:00 out"], "in"),
        (["3 07:42", "3 12:00 away"], "back"),
        (["3 07:42", "3 12:00 back", "3 18:00"], "away"),
    ],
)
def test_whatever_lacks_of_an_earlier_day_is_asked(earlier: list[str], missing: Heading) -> None:
    asked = question("4 07:42", *earlier)
    assert asked
    assert (asked.missing, asked.day) == (missing, day(3))


def test_an_answer_lies_within_its_day_between_its_neighbours_and_before_now() -> None:
    asked = question("4 07:42", "3 07:42", "3 12:00 back", "3 18:00")
    assert asked
    assert (asked.from_ms, asked.to_ms) == (at("3 07:42"), at("3 12:00"))
    arrival = question("4 07:42", "3 18:00 out")
    assert arrival
    assert (arrival.from_ms, arrival.to_ms) == (at("3 04:00") - 1, at("3 18:00"))


def test_the_latest_day_is_asked_about_first_and_an_answer_opens_the_next() -> None:
    lacking = ("2 07:42", "3 07:42")
    first = question("4 07:42", *lacking)
    assert first
    assert first.day == day(3)
    answered = [Answered("out", day(3), at("3 18:00"))]
    second = question("4 07:42", *lacking, answered=answered)
    assert second
    assert second.day == day(2)


def test_who_does_not_know_is_not_asked_again() -> None:
    answered = [Answered("out", day(3))]
    assert question("4 07:42", "3 07:42", answered=answered) is None
    assert question("4 07:42", "3 18:00 out", answered=answered) is not None, "of an arrival"


def test_an_answer_that_counts_nothing_is_not_asked_for_again() -> None:
    before = [Answered("out", day(3), at("3 07:00"))]
    assert question("4 07:42", "3 07:42", answered=before) is None


def test_a_day_that_a_reader_may_have_forgotten_in_part_is_not_asked_about() -> None:
    assert question("10 07:42", "3 07:43") is None, "what was before 07:42 is forgotten"
    assert question("10 03:59", "3 07:43") is not None


def test_a_night_school_has_its_own_day() -> None:
    night: Any = {"place": "night-school"}
    assert hold("4 07:42", "3 17:42", **night).shown == "attendance.out-today"
    assert question("4 07:42", "3 17:42", **night) is None
    assert question("4 17:42", "3 17:42", **night) is not None
    assert question("4 07:42", "3 17:42") is not None, "elsewhere the night ends the day"


@pytest.mark.parametrize("named", [{}, {"a": 13}, {"a": -1}, {"Night": 10}, {"a": "ten"}])
def test_a_table_names_places_and_hours_of_the_morning_alone(named: dict[str, object]) -> None:
    parameters = {"day_starts_at_place": named}
    with pytest.raises(RuleTableRefused):
        check_table(attendance.RULEBOOK, "attendance/2027-04", "2027-04-01", parameters)
