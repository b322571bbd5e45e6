"""A school's gate: what its card half writes down of taps, and of what people say of them."""

import contextlib
import datetime
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.gate import ASK_FOR_S, REDIRECT_FOR_S, STAYS_MAX
from edge.journal import FOLDER, journals
from edge.panel import AtGate, GateQuestion
from hw.sim.antenna import Antenna
from programmes.calendar import local_day, start_of_day_ms
from programmes.work_day import derive_days
from programmes.work_day_rules import DayRules
from programmes.work_marks import Mark
from tests.edge.gate_kit import TEACHERS, Gate, SchoolClock, WholeGate, at, make_gate, said
from tests.edge.reader_kit import Link, ReaderKit, my_number_card, running
from wire.clock import SystemClock
from wire.codes import Outcome
from wire.entries import Answer, Redirect, Tap

DAY_3 = datetime.date(2026, 6, 3)


@pytest.fixture
def school(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    return make_gate(tmp_path / "school", antenna)


@pytest.fixture
def clock() -> SchoolClock:
    return SchoolClock(at("3 07:42"))


@pytest.fixture
def gate(school: ReaderKit, antenna: Antenna, clock: SchoolClock) -> Iterator[Gate]:
    with running(school, clock) as link:
        yield Gate(link, antenna)


def test_a_day_of_a_teacher_who_presses_nothing(
    school: ReaderKit, gate: Gate, clock: SchoolClock
) -> None:
    assert gate.hold() == "attendance.morning"
    assert (gate.screen.heading, gate.screen.minutes) == ("in", 0)
    clock.until("3 12:10")
    assert gate.hold(pressed="away") == "attendance.away"
    clock.until("3 13:00")
    assert gate.hold() == "attendance.back"
    clock.until("3 19:05")
    assert gate.hold() == "attendance.out-today"
    seen = gate.screen
    assert (seen.heading, seen.since_ms, seen.question) == ("out", school.taps()[0].at_ms, None)
    assert seen.minutes == 11 * 60 + 23 - 50
    assert [tap.declared for tap in school.taps()] == ["", "away", "", ""]
    assert said(school) == []


def test_a_direction_is_put_right_just_after_the_tap(school: ReaderKit, gate: Gate) -> None:
    gate.hold()
    assert gate.redirect("away") == ""
    assert gate.sentence == "attendance.redirected-away"
    assert gate.screen.heading == "away"
    assert gate.redirect("out") == "", "the latest word holds"
    first, second = said(school)
    (tap,) = school.taps()
    (file,) = journals(school.state / FOLDER)
    for one, declared in ((first, "away"), (second, "out")):
        assert isinstance(one, Redirect)
        assert (one.of_journal, one.of_n, one.declared) == (file.journal, tap.n, declared)
        assert (one.credential, one.scheme, one.programme) == (
            tap.credential,
            tap.scheme,
            tap.programme,
        )
    assert tap.declared == "", "the tap stays as it was"


def test_the_next_greeting_goes_by_the_corrected_direction(gate: Gate, clock: SchoolClock) -> None:
    gate.hold()
    clock.until("3 12:00")
    assert gate.hold() == "attendance.out-today"
    gate.redirect("away")
    clock.until("3 13:00")
    assert gate.hold() == "attendance.back"


def test_a_tap_can_be_put_right_for_ten_seconds(
    school: ReaderKit, gate: Gate, clock: SchoolClock
) -> None:
    gate.hold()
    seen = gate.screen
    clock.set_on(seconds=REDIRECT_FOR_S)
    gate.link.until(AtGate, lambda told: told.n == 0)
    assert gate.redirect("out", seen) == "changed"
    assert said(school) == []


def test_nobody_changes_the_tap_of_somebody_else(school: ReaderKit, gate: Gate) -> None:
    gate.hold(TEACHERS[0])
    first = gate.screen
    gate.hold(TEACHERS[1])
    assert gate.redirect("out", first) == "changed"
    assert gate.redirect("out") == ""
    (one,) = said(school)
    assert one.credential == school.taps()[1].credential


def test_a_stranger_takes_the_screen_from_who_stood_there(gate: Gate, antenna: Antenna) -> None:
    gate.hold()
    first = gate.screen
    assert gate.hold(my_number_card(99)) == "refused.unknown"
    assert gate.screen == AtGate()
    assert gate.redirect("out", first) == "changed"


def test_a_repeat_stands_for_the_tap_that_it_repeats(school: ReaderKit, gate: Gate) -> None:
    gate.hold()
    assert gate.hold() == "attendance.repeat"
    assert gate.redirect("out") == ""
    (one,) = said(school)
    assert isinstance(one, Redirect)
    first, repeat = school.taps()
    assert (first.outcome, repeat.outcome) == (Outcome.ACCEPTED, Outcome.REPEAT)
    assert one.of_n == first.n


def test_a_correction_neither_opens_nor_closes_the_repeat_window(
    school: ReaderKit, gate: Gate
) -> None:
    gate.hold()
    gate.redirect("out")
    assert gate.hold() == "attendance.repeat"
    assert gate.hold(pressed="in") == "attendance.morning"


# --- what is asked --------------------------------------------------------------------------------


def forgot_to_tap_out(gate: Gate, clock: SchoolClock) -> AtGate:
    """Hold a card on one morning and on the next."""
    gate.hold()
    clock.until("4 07:40")
    assert gate.hold() == "attendance.morning", "the tap itself is taken at once"
    return gate.screen


def test_a_forgotten_leaving_is_asked_about_and_recorded_as_asked(
    school: ReaderKit, gate: Gate, clock: SchoolClock
) -> None:
    seen = forgot_to_tap_out(gate, clock)
    came_ms = school.taps()[0].at_ms
    assert seen.question == GateQuestion("out", DAY_3, came_ms, at("4 04:00"))
    assert gate.answer(at("3 18:30")) == ""
    assert gate.sentence == "attendance.answered"
    answered = gate.screen
    assert answered.question is None
    (one,) = said(school)
    assert isinstance(one, Answer)
    asked = (one.missing, one.day, one.claimed_at_ms, one.after_ms, one.before_ms)
    assert asked == ("out", DAY_3, at("3 18:30"), came_ms, None)
    assert one.credential == school.taps()[0].credential
    clock.until("5 07:40")
    gate.hold()
    question = gate.screen.question
    assert question
    assert question.day == datetime.date(2026, 6, 4), "the day before is asked about, not that one"


def test_who_does_not_know_says_so_once(school: ReaderKit, gate: Gate, clock: SchoolClock) -> None:
    forgot_to_tap_out(gate, clock)
    assert gate.answer(None) == ""
    clock.until("4 18:00")
    gate.hold()
    assert gate.screen.question is None
    (one,) = said(school)
    assert isinstance(one, Answer)
    assert one.claimed_at_ms is None


@pytest.mark.parametrize("claimed", ["3 07:00", "4 04:00", "4 07:00", "5 18:00"])
def test_an_answer_out_of_the_question_is_not_taken(
    school: ReaderKit, gate: Gate, clock: SchoolClock, claimed: str
) -> None:
    forgot_to_tap_out(gate, clock)
    assert gate.answer(at(claimed)) == "changed"
    assert said(school) == []
    assert gate.screen.question is not None


def test_later_writes_nothing_and_the_next_tap_asks_again(
    school: ReaderKit, gate: Gate, clock: SchoolClock
) -> None:
    seen = forgot_to_tap_out(gate, clock)
    gate.leave()
    assert gate.screen == AtGate()
    assert gate.answer(at("3 18:00"), seen) == "changed"
    assert said(school) == []
    clock.until("4 18:00")
    gate.hold()
    assert gate.screen.question is not None


def test_the_next_card_takes_the_question_away(gate: Gate, clock: SchoolClock) -> None:
    asked = forgot_to_tap_out(gate, clock)
    assert gate.hold(TEACHERS[1]) == "attendance.morning"
    assert gate.screen.question is None
    assert gate.answer(at("3 18:00"), asked) == "changed"


def test_a_question_goes_after_fifteen_seconds_but_waits_for_who_is_at_it(
    gate: Gate, clock: SchoolClock
) -> None:
    forgot_to_tap_out(gate, clock)
    for _ in range(STAYS_MAX):
        clock.set_on(seconds=ASK_FOR_S - 1)
        assert gate.screen.question is not None
        gate.stay()
    clock.set_on(seconds=ASK_FOR_S - 1)
    assert gate.screen.question is not None
    gate.stay()
    clock.set_on(seconds=1)
    gate.link.until(AtGate, lambda told: told.n == 0)
    assert gate.screen == AtGate(), "a hand that rests on the screen holds it no longer"


# --- what a restart leaves ------------------------------------------------------------------------


def test_an_answer_and_a_correction_outlive_a_restart(
    school: ReaderKit, antenna: Antenna, clock: SchoolClock
) -> None:
    with running(school, clock) as link:
        gate = Gate(link, antenna)
        forgot_to_tap_out(gate, clock)
        gate.answer(None)
        clock.until("4 12:00")
        gate.hold()
        gate.redirect("away")
    with running(school, clock) as link:
        again = Gate(link, antenna)
        assert again.screen == AtGate()
        clock.until("4 13:00")
        assert again.hold() == "attendance.back"
        assert again.screen.question is None


def test_seven_days_without_a_network_and_a_restart_in_the_middle(
    school: ReaderKit, antenna: Antenna, clock: SchoolClock
) -> None:
    days = range(3, 10)
    for day in days:
        with running(school, clock) as link:
            gate = Gate(link, antenna)
            clock.until(f"{day} 07:50")
            gate.hold()
            asked = gate.screen.question
            assert (asked is not None) == (day == 6), "of the one evening that was forgotten"
            if asked:
                assert gate.answer(at("5 17:45")) == ""
            if day != 5:
                clock.until(f"{day} 18:00")
                assert gate.hold() == "attendance.out-today"
    entries = school.entries()
    assert [one.entry.at_ms for one in entries] == sorted(one.entry.at_ms for one in entries)
    assert len(school.taps()) == 2 * len(days) - 1
    (answer,) = said(school)
    assert isinstance(answer, Answer)
    assert (answer.day.day, answer.claimed_at_ms) == (5, at("5 17:45"))


@contextlib.contextmanager
def battery(school: ReaderKit, antenna: Antenna) -> Iterator[Gate]:
    """Run the card half as a process, whose battery is pulled when the block ends."""
    whole = WholeGate(school, antenna, TEACHERS)
    whole.start("tap")
    link = Link(school.state)
    try:
        yield Gate(link, antenna)
    finally:
        whole.kill("tap")
        link.close()


@pytest.mark.parametrize("word", ["redirect", "none"])
def test_a_battery_pulled_before_the_word_loses_nothing_and_the_word_can_still_be_said(
    school: ReaderKit, antenna: Antenna, word: str
) -> None:
    with battery(school, antenna) as gate:
        gate.hold()
        if word == "redirect":
            assert gate.redirect("away") == ""
    (tap,) = school.taps()
    (file,) = journals(school.state / FOLDER)
    assert len(said(school)) == (word == "redirect")
    with battery(school, antenna) as gate:
        assert gate.hold() == "attendance.repeat"
        assert gate.screen.heading == ("away" if word == "redirect" else "in")
        assert gate.redirect("out") == ""
    last = said(school)[-1]
    assert isinstance(last, Redirect)
    assert (last.of_journal, last.of_n, last.declared) == (file.journal, tap.n, "out")


def test_a_battery_pulled_from_a_question_asks_it_again_and_keeps_the_answer(
    school: ReaderKit, antenna: Antenna
) -> None:
    day = local_day(SystemClock().now_ms(), 4) - datetime.timedelta(days=1)
    with running(school, SchoolClock(start_of_day_ms(day, 12))) as link:
        Gate(link, antenna).hold()
    with battery(school, antenna) as gate:
        gate.hold()
        asked = gate.screen.question
    assert asked
    assert said(school) == []
    with battery(school, antenna) as gate:
        assert gate.hold() == "attendance.repeat"
        assert gate.screen.question == asked
        assert gate.answer(start_of_day_ms(day, 18)) == ""
    with battery(school, antenna) as gate:
        assert gate.hold() == "attendance.repeat"
        assert gate.screen.question is None
    assert len(said(school)) == 1


def test_a_full_disk_takes_no_word_and_says_so(
    school: ReaderKit, gate: Gate, clock: SchoolClock
) -> None:
    gate.hold()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    (file,) = journals(school.state / FOLDER)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size, before[1]))
    try:
        assert gate.redirect("out") == "not-kept"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said(school) == []


def test_a_night_schools_reader_goes_by_its_places_own_hour(
    tmp_path: Path, antenna: Antenna, clock: SchoolClock
) -> None:
    kit = make_gate(tmp_path / "night", antenna, rules={"day_starts_at_place": {"bus-1": 10}})
    clock.until("3 17:42")
    with running(kit, clock) as link:
        gate = Gate(link, antenna)
        assert gate.hold() == "attendance.in"
        clock.until("4 07:30")
        assert gate.hold() == "attendance.out-today"
        seen = gate.screen
        assert seen.question is None
        assert seen.minutes == 13 * 60 + 48


# --- two gates ------------------------------------------------------------------------------------


def marks(kit: ReaderKit, name: str) -> list[Mark]:
    """Return what a reader's journal says, as marks of its own."""
    found = []
    for kept in kit.entries():
        one, identity = kept.entry, kept.tip.hex()
        if isinstance(one, Tap) and one.outcome is Outcome.ACCEPTED:
            found.append(Mark(identity, one.at_ms, one.declared, name, name))
        elif isinstance(one, Answer) and one.claimed_at_ms:
            mark = Mark(identity, one.claimed_at_ms, one.missing, name, origin="answer")
            found.append(mark)
    return found


def test_each_gate_asks_by_its_own_marks_and_both_agree_in_the_end(
    tmp_path: Path, antenna: Antenna
) -> None:
    """In by one gate and out by the other: an answer to what the other knew counts nothing."""
    clock = SchoolClock(at("3 07:42"))
    front, back = (make_gate(tmp_path / name, antenna) for name in ("front", "back"))
    with running(front, clock) as link:
        Gate(link, antenna).hold()
    clock.until("3 18:00")
    with running(back, clock) as link:
        assert Gate(link, antenna).hold(pressed="out") == "attendance.out"
    clock.until("4 07:42")
    with running(front, clock) as link:
        gate = Gate(link, antenna)
        gate.hold()
        question = gate.screen.question
        assert question
        assert question.missing == "out"
        assert gate.answer(at("3 17:50")) == ""
    with running(back, clock) as link:
        gate = Gate(link, antenna)
        gate.hold()
        question = gate.screen.question
        assert question
        assert question.missing == "in"
        gate.leave()
    assert said(back) == []
    late, first = marks(front, "front"), marks(back, "back")
    for order in ((late, first), (first, late)):
        day = derive_days([*order[0], *order[1]], (), DayRules()).days[0]
        _, answered, _ = day.readings
        assert (day.day, day.missing, answered.doubt) == (DAY_3, (), "answered")
        assert [one.closed_by for one in day.intervals] == [first[0].identity]
