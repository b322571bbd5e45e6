"""A day of work from all its marks: nothing is invented, nothing vanishes, no order matters."""

import datetime
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes.calendar import local
from programmes.rulebook import Direction
from programmes.spans import length, within
from programmes.work_day import (
    UNSURE_MS_MAX,
    WorkDay,
    derive_days,
    questions,
    with_doubles,
)
from programmes.work_day_rules import DayRules, Trip
from programmes.work_marks import (
    Add,
    Contest,
    Correction,
    Mark,
    MarksRefused,
    Origin,
    Redirect,
    Void,
)
from programmes.work_months import JUNE, at_ms, tap
from tests.programmes.work_strategies import CORRECTIONS, INSTANTS, MARKS, RULES, WITH_TRIPS

JUNE_3 = JUNE.replace(day=3)


def derive(
    *marks: Mark, corrections: Sequence[Correction] = (), rules: DayRules = RULES
) -> WorkDay:
    """Return the only day of some marks."""
    (day,) = derive_days(marks, corrections, rules).days
    return day


def became(day: WorkDay) -> list[str]:
    return [one.became for one in day.readings]


def presence(day: WorkDay) -> list[tuple[str, str | None]]:
    def written(ms: int | None) -> str | None:
        return None if ms is None else f"{local(ms):%H:%M}"

    return [(f"{local(one.from_ms):%H:%M}", written(one.to_ms)) for one in day.intervals]


def lacks(day: WorkDay) -> list[str]:
    return [one.what for one in day.missing]


# --- what a day comes to --------------------------------------------------------------------------


def test_without_a_button_marks_take_turns_and_the_day_says_that_it_is_derived() -> None:
    day = derive(*(tap(3, text) for text in ("07:42", "12:00", "13:00", "19:05")))
    assert became(day) == ["in", "out", "in", "out"]
    assert presence(day) == [("07:42", "12:00"), ("13:00", "19:05")]
    assert all(one.is_derived for one in day.readings)
    assert (lacks(day), day.ends) == ([], "absent")


def test_a_declared_direction_holds_before_the_order_of_the_day() -> None:
    day = derive(tap(3, "17:15", "out"))
    assert (became(day), presence(day), lacks(day)) == (["out"], [], ["in"])
    assert not day.readings[0].is_derived
    assert day.missing[0].before_ms == at_ms(3, "17:15")


@pytest.mark.parametrize(
    ("declared", "intervals", "missing"),
    [
        (("in", "in", "out"), [("08:00", None), ("10:00", "12:00")], ["out"]),
        (("in", "back", "out"), [("08:00", None), ("10:00", "12:00")], ["away"]),
        (("in", "out", "out"), [("08:00", "10:00")], ["in"]),
        (("in", "out", "away"), [("08:00", "10:00")], ["in", "back"]),
        (("in", "away", "out"), [("08:00", "10:00")], ["back"]),
        (("in", "away", "away"), [("08:00", "10:00")], ["back", "back"]),
        (("in", "away", "in"), [("08:00", "10:00"), ("12:00", None)], ["out"]),
        (("in", "away", ""), [("08:00", "10:00"), ("12:00", None)], ["out"]),
        (("back", "away", "back"), [("08:00", "10:00"), ("12:00", None)], ["away", "out"]),
        (("away", "back", "out"), [("10:00", "12:00")], ["in"]),
        (("out", "in", "out"), [("10:00", "12:00")], ["in"]),
    ],
)
def test_what_nobody_marked_is_missing_and_its_interval_stays_open(
    declared: tuple[Direction, ...], intervals: list[tuple[str, str | None]], missing: list[str]
) -> None:
    times = ("08:00", "10:00", "12:00")
    day = derive(*(tap(3, *one) for one in zip(times, declared, strict=True)))
    assert (presence(day), lacks(day)) == (intervals, missing)


def test_a_forgotten_leaving_is_a_question_and_the_next_morning_is_an_arrival() -> None:
    days = derive_days([tap(3, "07:45"), tap(4, "07:50"), tap(4, "17:00")], (), RULES).days
    assert [became(day) for day in days] == [["in"], ["in", "out"]]
    (asked,) = questions(days, JUNE.replace(day=4))
    assert (asked.day, asked.missing.what) == (JUNE_3, "out")
    assert asked.missing.after_ms == at_ms(3, "07:45")
    assert asked.missing.before_ms is None
    assert questions(days, JUNE_3) == ()


def test_the_latest_day_is_asked_about_first() -> None:
    days = derive_days([tap(3, "07:45"), tap(4, "07:50")], (), RULES).days
    assert [one.day.day for one in questions(days, JUNE.replace(day=5))] == [4, 3]


@pytest.mark.parametrize(
    ("gate", "text", "day"),
    [("front", "27:59", 3), ("front", "28:00", 4), ("night", "29:59", 3), ("night", "30:00", 4)],
)
def test_a_day_begins_at_the_hour_of_its_place(gate: str, text: str, day: int) -> None:
    assert derive(tap(3, text, gate=gate)).day == JUNE.replace(day=day)


def test_a_trip_over_night_is_one_way_out_and_back_and_its_night_is_no_presence() -> None:
    rules = DayRules(trips=(Trip(at_ms(10, "07:00"), at_ms(12, "17:30")),))
    marks = [tap(10, "06:10"), tap(12, "18:20"), tap(15, "07:45"), tap(15, "17:15")]
    days = derive_days(marks, (), rules).days
    assert [day.day.day for day in days] == [10, 12, 15]
    assert [presence(day) for day in days] == [
        [("06:10", "07:00")],
        [("17:30", "18:20")],
        [("07:45", "17:15")],
    ]
    assert [became(day) for day in days] == [["in"], ["out"], ["in", "out"]]
    assert not any(day.missing for day in days)


def test_what_lies_between_two_trips_is_of_its_own_day() -> None:
    trips = (
        Trip(at_ms(10, "20:00"), at_ms(11, "07:00")),
        Trip(at_ms(11, "20:00"), at_ms(12, "7:00")),
    )
    days = derive_days([tap(10, "08:00"), tap(12, "09:00")], (), DayRules(trips=trips)).days
    assert [(day.day.day, presence(day)) for day in days] == [
        (10, [("08:00", "20:00")]),
        (11, [("07:00", "20:00")]),
        (12, [("07:00", "09:00")]),
    ]


@pytest.mark.parametrize("declared", ["in", "away"])
def test_who_goes_home_from_a_trip_left_with_its_departure(declared: Direction) -> None:
    rules = DayRules(trips=(Trip(at_ms(10, "07:00"), at_ms(11, "17:30")),))
    marks = [tap(10, "06:10"), tap(10, "06:50", declared), tap(12, "07:45")]
    days = derive_days(marks[:1] if declared == "in" else marks[:2], (), rules).days
    assert [(day.day.day, lacks(day), day.ends) for day in days] == [(10, [], "absent")]
    assert presence(days[0]) == [("06:10", "07:00" if declared == "in" else "06:50")]


@pytest.mark.parametrize(
    ("returned", "left", "at_the_end"),
    [
        (("17:40", ""), ("18:20", ""), [("17:40", "18:20")]),
        (("17:40", "back"), ("18:20", "out"), [("17:40", "18:20")]),
        (("17:40", "in"), None, [("17:40", None)]),
        (("18:20", ""), None, [("17:30", "18:20")]),
        (("18:20", "out"), None, [("17:30", "18:20")]),
    ],
)
def test_marks_after_a_trip_say_whether_she_was_back(
    returned: tuple[str, Direction],
    left: tuple[str, Direction] | None,
    at_the_end: list[tuple[str, str | None]],
) -> None:
    rules = DayRules(trips=(Trip(at_ms(10, "07:00"), at_ms(11, "17:30")),))
    marks = [tap(10, "06:10"), *(tap(11, *one) for one in (returned, left) if one)]
    first, last = derive_days(marks, (), rules).days
    assert (presence(first), lacks(first)) == ([("06:10", "07:00")], [])
    assert (presence(last), lacks(last)) == (at_the_end, [] if at_the_end[0][1] else ["out"])


def test_a_trip_of_another_day_ends_no_presence() -> None:
    rules = DayRules(trips=(Trip(at_ms(10, "07:00"), at_ms(11, "17:30")),))
    (day,) = derive_days([tap(9, "07:45")], (), rules).days
    assert (presence(day), lacks(day)) == ([("07:45", None)], ["out"])


# --- reads of one card ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "gate", "declared", "expected"),
    [
        ("07:43:59", "front", "", ["in", "double"]),
        ("07:43:59", "back", "", ["in", "double"]),
        ("07:43:59", "back", "in", ["in", "double"]),
        ("07:44:00", "front", "", ["in", "out"]),
    ],
)
def test_reads_within_the_window_are_one_mark(
    second: str, gate: str, declared: Direction, expected: list[str]
) -> None:
    day = derive(tap(3, "07:42"), tap(3, second, declared, gate))
    assert became(day) == expected


def test_the_window_does_not_wander_and_the_first_read_holds() -> None:
    day = derive(tap(3, "07:42:00"), tap(3, "07:43:30"), tap(3, "07:44:30"))
    assert became(day) == ["in", "double", "out"]
    assert with_doubles(day, "front/3/07:42:00") == ("front/3/07:42:00", "front/3/07:43:30")
    assert day.intervals[0].from_ms == at_ms(3, "07:42")


def test_a_button_pressed_for_a_second_read_says_what_the_first_one_was() -> None:
    day = derive(tap(3, "17:15:00"), tap(3, "17:15:40", "out"))
    assert (became(day), lacks(day)) == (["out", "double"], ["in"])
    assert not day.readings[0].is_derived


def test_another_button_within_the_window_is_another_mark() -> None:
    day = derive(tap(3, "07:42:00", "in"), tap(3, "07:42:40", "out"), tap(3, "07:42:50"))
    assert became(day) == ["in", "out", "double"]
    assert day.readings[2].of == day.readings[1].standing.mark.identity


# --- what cannot be ------------------------------------------------------------------------------


def test_an_arrival_and_a_leaving_at_once_count_for_nothing() -> None:
    marks = (tap(3, "07:45"), tap(3, "17:15", "in", "back"), tap(3, "17:15", "out"))
    day = derive(*marks)
    assert became(day) == ["in", "contradictory", "contradictory"]
    assert {one.doubt for one in day.contradictory} == {"order"}
    assert (presence(day), lacks(day)) == ([("07:45", None)], ["out"])


def test_of_two_whose_order_is_not_known_the_surer_one_holds() -> None:
    unsure = tap(3, "17:05", "in", "back", unsure_ms=1_800_000)
    day = derive(tap(3, "07:45"), unsure, tap(3, "17:15", "out"))
    assert became(day) == ["in", "contradictory", "out"]


def test_one_reader_knows_the_order_of_its_marks() -> None:
    marks = (
        tap(3, "08:00", "in", unsure_ms=1_800_000),
        tap(3, "08:10", "out", unsure_ms=1_800_000),
    )
    day = derive(*marks)
    assert became(day) == ["in", "out"]
    assert day.intervals[0].unsure_ms == 3_600_000


def test_a_clock_that_was_half_a_day_off_says_no_day() -> None:
    mark = tap(3, "08:00", unsure_ms=UNSURE_MS_MAX + 1)
    found = derive_days([mark, tap(3, "08:30")], (), RULES)
    assert [(one.became, one.doubt) for one in found.undated] == [("contradictory", "clock")]
    assert became(found.days[0]) == ["in"]
    voided = derive_days([mark], [void(1, mark.identity)], RULES)
    assert ([one.became for one in voided.undated], voided.days) == (["voided"], ())
    assert became(derive(tap(3, "08:00", unsure_ms=UNSURE_MS_MAX))) == ["in"]


def answer(text: str, declared: Direction = "out", origin: Origin = "answer") -> Mark:
    return tap(3, text, declared, gate="entry", origin=origin)


def test_an_answer_fills_what_lacks_and_a_mark_that_arrives_later_says_more() -> None:
    asked = derive(tap(3, "07:45"), answer("17:00"))
    assert presence(asked) == [("07:45", "17:00")]
    later = derive(tap(3, "07:45"), answer("17:00"), tap(3, "17:08", gate="back"))
    assert became(later) == ["in", "contradictory", "out"]
    assert later.contradictory[0].doubt == "answered"
    assert presence(later) == [("07:45", "17:08")]


@pytest.mark.parametrize("wrong", [answer("07:00"), answer("17:00", "in"), answer("17:00", "")])
def test_an_answer_to_another_question_counts_for_nothing(wrong: Mark) -> None:
    day = derive(tap(3, "07:45"), wrong)
    assert len(day.contradictory) == 1
    assert lacks(day) == ["out"]


def test_of_several_answers_to_one_question_the_latest_holds() -> None:
    first, second = answer("17:30"), answer("17:00")
    said = [
        Add(number=number, who="herself", at_ms=0, why="asked", added=mark)
        for number, mark in enumerate((first, second))
    ]
    day = derive(tap(3, "07:45"), corrections=said)
    assert presence(day) == [("07:45", "17:00")]
    assert [one.standing.mark for one in day.contradictory] == [first]
    again = redirect(2, first.identity, "out")
    assert presence(derive(tap(3, "07:45"), corrections=[*said, again])) == [("07:45", "17:30")]


def test_two_questions_of_a_day_have_two_answers() -> None:
    marks = (tap(3, "08:00", "in"), tap(3, "13:00", "in"), answer("12:00"), answer("17:00"))
    assert presence(derive(*marks)) == [("08:00", "12:00"), ("13:00", "17:00")]


def test_an_entry_by_hand_needs_no_question() -> None:
    day = derive(answer("07:45", "in", "manual"), answer("17:00", "out", "manual"))
    assert presence(day) == [("07:45", "17:00")]


# --- corrections ---------------------------------------------------------------------------------


def void(number: int, mark: str) -> Void:
    return Void(number=number, who="vice-principal", at_ms=0, why="not hers", mark=mark)


def redirect(number: int, mark: str, declared: Direction) -> Redirect:
    return Redirect(
        number=number, who="clerk", at_ms=0, why="wrong button", mark=mark, declared=declared
    )


def contest(number: int, correction: int) -> Contest:
    return Contest(number=number, who="herself", at_ms=0, why="I was there", correction=correction)


def test_the_latest_correction_of_a_mark_holds_and_all_are_seen() -> None:
    marks = (tap(3, "07:45"), tap(3, "17:15"))
    last = marks[1].identity
    said = (void(1, last), redirect(2, last, "away"), redirect(3, last, "out"), void(4, last))
    expected = ["voided", "away", "out", "voided"]
    for upto in range(1, 5):
        day = derive(*marks, corrections=tuple(reversed(said[:upto])))
        assert became(day)[1] == expected[upto - 1]
        assert day.readings[1].standing.corrections == said[:upto]


def test_a_voided_mark_stays_to_be_seen_and_its_second_read_counts() -> None:
    first, second = tap(3, "07:42:00"), tap(3, "07:42:30")
    day = derive(first, second, corrections=[void(1, first.identity)])
    assert became(day) == ["voided", "in"]


def test_a_day_is_contested_until_somebody_corrects_the_mark_again() -> None:
    mark = tap(3, "20:15")
    said = (void(1, mark.identity), contest(2, 1), redirect(3, mark.identity, "out"))
    assert [derive(mark, corrections=said[:upto]).is_contested for upto in range(4)] == [
        False,
        False,
        True,
        False,
    ]
    assert became(derive(mark, corrections=said[:2])) == ["voided"]
    assert derive(mark, corrections=(*said, contest(4, 2))).is_contested


def test_a_correction_of_a_mark_that_is_not_here_is_kept_apart() -> None:
    strange = (void(1, "front/9/elsewhere"), contest(2, 1), contest(3, 3), contest(4, 99))
    found = derive_days([tap(3, "07:45")], strange, RULES)
    assert found.unmatched == strange
    assert became(found.days[0]) == ["in"]


def test_the_same_thing_twice_is_one_and_two_things_of_one_name_are_refused() -> None:
    mark, other = tap(3, "07:45"), Mark("front/3/07:45", at_ms(3, "07:46"))
    assert became(derive(mark, mark, corrections=[void(1, "x"), void(1, "x")])) == ["in"]
    with pytest.raises(MarksRefused, match="07:45"):
        derive(mark, other)
    with pytest.raises(MarksRefused, match="1"):
        derive(mark, corrections=[void(1, "x"), void(1, "y")])


# --- of any marks and corrections -----------------------------------------------------------------


@given(MARKS, CORRECTIONS, WITH_TRIPS, st.randoms(use_true_random=False))
def test_whatever_the_order_of_arrival_the_days_are_the_same(
    marks: list[Mark], corrections: list[Correction], rules: DayRules, chance: random.Random
) -> None:
    expected = derive_days(marks, corrections, rules)
    chance.shuffle(marks)
    chance.shuffle(corrections)
    assert derive_days([*marks, *marks[:2]], corrections, rules) == expected


@given(MARKS, CORRECTIONS, WITH_TRIPS)
def test_what_was_spent_on_a_trip_is_no_presence_and_no_instant_is_of_two_days(
    marks: list[Mark], corrections: list[Correction], rules: DayRules
) -> None:
    rules = msgspec.structs.replace(rules, by_place={})
    days = derive_days(marks, corrections, rules).days
    spans = [(one.from_ms, one.to_ms) for day in days for one in day.intervals if one.to_ms]
    trips = [(trip.from_ms, trip.to_ms) for trip in rules.trips]
    assert within(spans, trips) == []
    assert length(spans) == sum(end - first for first, end in spans)
    for day in days:
        for one in day.intervals:
            assert rules.day_of(one.from_ms) == day.day
            assert one.to_ms is None or rules.day_of(one.to_ms - 1) == day.day


@given(MARKS, CORRECTIONS, WITH_TRIPS)
def test_no_mark_and_no_correction_vanishes(
    marks: list[Mark], corrections: list[Correction], rules: DayRules
) -> None:
    found = derive_days(marks, corrections, rules)
    readings = [*(one for day in found.days for one in day.readings), *found.undated]
    added = [one.added for one in corrections if isinstance(one, Add)]
    seen = [one.standing.mark.identity for one in readings]
    assert sorted(seen) == sorted(mark.identity for mark in (*marks, *added))
    here = [said.number for one in readings for said in one.standing.corrections]
    assert sorted(here + [one.number for one in found.unmatched]) == list(range(len(corrections)))
    for one in readings:
        assert one.became == "voided" or not one.standing.is_void
        assert (one.became == "double") == bool(one.of)
        assert (one.became == "contradictory") == bool(one.doubt)


@given(MARKS, CORRECTIONS)
def test_presence_lies_between_marks_that_count_and_no_instant_twice(
    marks: list[Mark], corrections: list[Correction]
) -> None:
    for day in derive_days(marks, corrections, RULES).days:
        used = {
            one.standing.mark.identity: one
            for one in day.readings
            if one.became in ("in", "out", "away", "back")
        }
        until = 0
        for one in day.intervals:
            assert used[one.opened_by].became in ("in", "back")
            assert used[one.opened_by].standing.mark.at_ms == one.from_ms >= until
            if one.to_ms is None:
                assert day.missing
            else:
                assert used[one.closed_by].became in ("out", "away")
                assert used[one.closed_by].standing.mark.at_ms == one.to_ms > one.from_ms
            until = one.to_ms or one.from_ms


@given(MARKS, CORRECTIONS, INSTANTS, st.sampled_from(("in", "out", "away", "back", "")))
def test_voiding_what_was_added_gives_the_former_days(
    marks: list[Mark], corrections: list[Correction], at: int, declared: Direction
) -> None:
    def left(found: Sequence[WorkDay]) -> list[WorkDay]:
        days = (
            WorkDay(
                day.day,
                tuple(one for one in day.readings if one.standing.mark.identity != "new"),
                day.intervals,
                day.missing,
                day.ends,
            )
            for day in found
        )
        return [day for day in days if day.readings]

    said: list[Correction] = [
        Add(number=100, who="c", at_ms=0, why="", added=Mark("new", at, declared, origin="manual")),
        void(101, "new"),
    ]
    before = derive_days(marks, corrections, RULES).days
    assert left(derive_days(marks, [*corrections, *said], RULES).days) == list(before)


@given(MARKS.filter(bool), CORRECTIONS, st.data())
def test_a_correction_changes_no_other_day(
    marks: list[Mark], corrections: list[Correction], data: st.DataObject
) -> None:
    mark = data.draw(st.sampled_from(marks))
    new = Mark("new", data.draw(INSTANTS), "out", origin="manual")
    added = Add(number=100, who="c", at_ms=0, why="", added=new)
    its_day = RULES.day_of(mark.at_ms, mark.place)
    some: tuple[tuple[Correction, datetime.date], ...] = (
        (void(100, mark.identity), its_day),
        (redirect(100, mark.identity, "back"), its_day),
        (added, RULES.day_of(new.at_ms)),
    )
    said, day = data.draw(st.sampled_from(some))

    def others(corrected: list[Correction]) -> dict[datetime.date, WorkDay]:
        found = derive_days(marks, corrected, RULES).days
        return {one.day: one for one in found if one.day != day}

    assert others(corrections) == others([*corrections, said])
