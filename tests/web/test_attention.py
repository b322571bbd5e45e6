"""The judgement behind the first screen: pure, one story a test."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.attention import (
    OFFLINE_PATIENCE_MS,
    WAITING_MANY,
    Answer,
    Urgency,
    can_tap,
    entries_safe,
    tasks,
)
from fleet.overview import Alarm, Gap, Overview
from fleet.readers import ReaderRow, ReaderState
from tests.web.town import NOW_MS

READY, NOT_READY = ReaderState.READY, ReaderState.NOT_READY
OFFLINE, NEVER, REVOKED = ReaderState.OFFLINE, ReaderState.NEVER, ReaderState.REVOKED


def overview(**counts: int) -> Overview:
    by_state = {state: counts.get(state.name, 0) for state in ReaderState}
    return Overview(by_state, 0, 0, 0, 0, 0, 0, 0, (), (), (), ())


def reader(state: ReaderState, **changes: object) -> ReaderRow:
    row = ReaderRow(
        name="t/bus-1",
        place="bus-1",
        kind="bus",
        line="",
        label_ja="",
        label_en="",
        programmes=(),
        state=state,
        trouble="",
        ready=True,
        since_ms=NOW_MS,
        heard_ms=NOW_MS,
        waiting=0,
        journal="",
        n=0,
        agent="",
        front_end="",
        connections=1,
        rosters=(),
        reported_trouble="",
        gaps=0,
        missing=0,
        quarantined=0,
        conflicts=0,
        enrolled_ms=NOW_MS,
        revoked_ms=None,
        revoked_why="",
        by_hour=False,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def alarm(kind: str) -> Alarm:
    return Alarm(1, kind, "x", "t/bus-1", "", NOW_MS, NOW_MS, 1)


def gap(cause: str) -> Gap:
    return Gap(1, "t/bus-1", "ab" * 16, 3, 5, 3, cause, NOW_MS, None, "", "", "")


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ({}, Answer.CHECK),
        ({"REVOKED": 3}, Answer.CHECK),
        ({"READY": 4}, Answer.YES),
        ({"READY": 4, "REVOKED": 1}, Answer.YES),
        ({"READY": 3, "OFFLINE": 1}, Answer.PROBABLY),
        ({"READY": 3, "NEVER": 1}, Answer.PROBABLY),
        ({"OFFLINE": 4}, Answer.CHECK),
        ({"READY": 3, "NOT_READY": 1}, Answer.PARTLY),
        ({"NOT_READY": 2}, Answer.NO),
    ],
)
def test_whether_riders_can_tap_follows_from_what_readers_said(
    counts: dict[str, int], answer: Answer
) -> None:
    assert can_tap(overview(**counts)).answer is answer


def test_entries_that_wait_on_a_reader_are_safe() -> None:
    verdict = entries_safe(replace(overview(READY=1), waiting=40))
    assert (verdict.answer, verdict.arguments) == (Answer.YES, {"n": 40})


def test_a_gap_makes_entries_unsafe_and_a_contradiction_is_said_first() -> None:
    missing = replace(overview(READY=1), gaps_open=1, missing=3)
    assert (entries_safe(missing).answer, entries_safe(missing).reason) == (Answer.NO, "gaps")
    both = replace(missing, alarms=(alarm("conflict"),))
    assert (entries_safe(both).answer, entries_safe(both).reason) == (Answer.NO, "contradiction")


@pytest.mark.parametrize("kind", ["quarantine", "replay", "rolled-back", "history-lost"])
def test_another_alarm_asks_for_a_look(kind: str) -> None:
    assert entries_safe(replace(overview(READY=1), alarms=(alarm(kind),))).answer is Answer.CHECK


@given(
    st.fixed_dictionaries({state.name: st.integers(0, 5) for state in ReaderState}),
    st.integers(0, 3),
)
def test_yes_is_never_said_while_something_is_known_to_be_wrong(
    counts: dict[str, int], gaps_open: int
) -> None:
    seen = replace(overview(**counts), gaps_open=gaps_open)
    if counts["NOT_READY"]:
        assert can_tap(seen).answer in (Answer.NO, Answer.PARTLY)
    if gaps_open:
        assert entries_safe(seen).answer is Answer.NO


def test_a_reader_out_of_reach_is_left_in_peace_for_ten_minutes() -> None:
    row = reader(OFFLINE)
    seen = replace(overview(OFFLINE=1), troubled=(row,))
    assert tasks(seen, NOW_MS + OFFLINE_PATIENCE_MS) == []
    (task,) = tasks(seen, NOW_MS + OFFLINE_PATIENCE_MS + 1)
    assert (task.kind, task.urgency) == ("offline", Urgency.TODAY)


def test_the_most_urgent_comes_first_and_what_is_closed_is_gone() -> None:
    rows = (reader(NEVER, enrolled_ms=0), reader(NOT_READY, trouble="device-fault"))
    seen = replace(
        overview(), troubled=rows, gaps=(gap("not-arrived"),), alarms=(alarm("conflict"),)
    )
    found = [task.kind for task in tasks(seen, NOW_MS)]
    assert found == ["alarm.conflict", "not-ready.device-fault", "gap.not-arrived", "never"]


def test_a_code_about_one_card_is_no_trouble_of_the_reader() -> None:
    seen = replace(overview(NOT_READY=1), troubled=(reader(NOT_READY, trouble="two-cards"),))
    (task,) = tasks(seen, NOW_MS)
    assert (task.kind, task.arguments) == ("not-ready.other", {"code": "two-cards"})


def test_many_waiting_entries_ask_for_a_look_at_the_network() -> None:
    row = reader(READY, waiting=WAITING_MANY + 1)
    (task,) = tasks(replace(overview(READY=1), troubled=(row,)), NOW_MS)
    assert task.kind == "waiting"
