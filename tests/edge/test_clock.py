"""How far a reader trusts its clock, and when a jump is written down."""

import pytest

from edge.clock import BUILD_MS, STEP_MS_MIN, ReaderClock, clock_state
from wire.clock import ClockState

LATER_MS = BUILD_MS + 1_000_000_000


class Hands:
    """Two clocks that stand where a test puts them."""

    def __init__(self, now_ms: int) -> None:
        self.at_ms = now_ms
        self.mono_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ns(self) -> int:
        return self.mono_ms * 1_000_000

    def pass_ms(self, ms: int) -> None:
        self.at_ms += ms
        self.mono_ms += ms


def test_the_states() -> None:
    assert clock_state(False, 5, 5) is ClockState.HOLDOVER
    assert clock_state(False, 4, 5) is ClockState.UNKNOWN
    assert clock_state(True, 4, 5) is ClockState.SYNCHRONISED


def test_the_floor_is_the_later_of_build_and_last_entry() -> None:
    assert ReaderClock(Hands(BUILD_MS - 1), 0).state is ClockState.UNKNOWN
    assert ReaderClock(Hands(BUILD_MS), 0).state is ClockState.HOLDOVER
    assert ReaderClock(Hands(LATER_MS - 1), LATER_MS).state is ClockState.UNKNOWN


def test_an_unknown_clock_counts_on_from_the_floor() -> None:
    hands = Hands(0)
    clock = ReaderClock(hands, LATER_MS)
    hands.pass_ms(70)
    assert clock.now_ms() == LATER_MS + 70
    assert clock.stamp() == (LATER_MS + 70, 70, ClockState.UNKNOWN)


def test_the_fleets_time_wins_also_over_the_floor() -> None:
    hands = Hands(0)
    clock = ReaderClock(hands, LATER_MS)
    assert clock.take_fleet_time(LATER_MS - 9_000) == -9_000
    assert clock.state is ClockState.SYNCHRONISED
    hands.pass_ms(5)
    assert clock.now_ms() == LATER_MS - 9_000 + 5


def test_a_small_difference_is_no_jump_and_moves_nothing() -> None:
    hands = Hands(LATER_MS)
    clock = ReaderClock(hands, 0)
    assert clock.take_fleet_time(LATER_MS + STEP_MS_MIN) is None
    assert clock.state is ClockState.SYNCHRONISED
    assert clock.now_ms() == LATER_MS


def test_an_unknown_clock_that_agrees_with_the_fleet_by_chance_stays_where_it_is() -> None:
    hands = Hands(0)
    clock = ReaderClock(hands, LATER_MS)
    assert clock.take_fleet_time(LATER_MS + 1) is None
    assert clock.now_ms() == LATER_MS


def test_a_machine_that_is_set_right_is_a_jump() -> None:
    hands = Hands(0)
    clock = ReaderClock(hands, LATER_MS)
    assert clock.take_machine_time() is None
    hands.at_ms = LATER_MS + 50_000
    assert clock.take_machine_time() == 50_000
    assert clock.take_machine_time() is None
    assert clock.state is ClockState.HOLDOVER


def test_once_the_fleet_has_spoken_the_machine_may_be_set_as_it_likes() -> None:
    hands = Hands(LATER_MS)
    clock = ReaderClock(hands, 0)
    clock.take_fleet_time(LATER_MS)
    for set_ms in (-3_600_000, 50 * 365 * 86_400_000, -LATER_MS):
        hands.at_ms += set_ms
        hands.pass_ms(10)
        assert clock.take_machine_time() is None
    assert clock.stamp() == (LATER_MS + 30, 30, ClockState.SYNCHRONISED)


@pytest.mark.parametrize("set_ms", [-3_600_000, 3_600_000, 2_001, -2_001])
def test_a_machine_that_is_set_while_nobody_has_told_the_time_is_a_jump(set_ms: int) -> None:
    hands = Hands(LATER_MS + 7_200_000)
    clock = ReaderClock(hands, LATER_MS)
    hands.at_ms += set_ms
    before_ms = clock.now_ms()
    assert clock.take_machine_time() == set_ms
    assert clock.now_ms() == before_ms + set_ms
    assert clock.take_machine_time() is None


def test_no_stamp_stands_between_a_jump_and_its_entry() -> None:
    """The machine was set, and a card comes before the reader has looked at its clock."""
    hands = Hands(LATER_MS + 7_200_000)
    clock = ReaderClock(hands, LATER_MS)
    hands.at_ms += 3_600_000
    assert clock.stamp().at_ms == LATER_MS + 7_200_000


def test_a_machine_that_falls_before_the_floor_is_a_jump_to_the_floor() -> None:
    hands = Hands(LATER_MS + 7_200_000)
    clock = ReaderClock(hands, LATER_MS)
    hands.pass_ms(60_000)
    hands.at_ms = 0
    assert clock.take_machine_time() == -7_200_000
    assert clock.stamp() == (LATER_MS + 60_000, 60_000, ClockState.UNKNOWN)


def test_a_machine_that_is_set_right_gently_is_followed_without_a_word() -> None:
    hands = Hands(LATER_MS)
    clock = ReaderClock(hands, 0)
    for _ in range(100):
        hands.at_ms += 100
        assert clock.take_machine_time() is None
    assert clock.now_ms() == LATER_MS + 10_000


class Town(Hands):
    """A clock that leaps 29 s each second, as the town's does."""

    leap_ms = 29_000

    def leapt_ms(self) -> int:
        return self.mono_ms // 1_000 * self.leap_ms

    def now_ms(self) -> int:
        return self.at_ms + self.leapt_ms()


def test_a_clock_that_runs_by_leaping_does_not_jump() -> None:
    hands = Town(LATER_MS)
    clock = ReaderClock(hands, 0)
    for _ in range(50):
        hands.pass_ms(100)
        assert clock.take_machine_time() is None
        assert clock.now_ms() == hands.now_ms()
    said_ms = hands.now_ms()
    hands.pass_ms(1_000)  # it leaps while what the fleet said is on its way
    assert clock.take_fleet_time(said_ms) is None
    assert clock.now_ms() == hands.now_ms()
    assert clock.take_fleet_time(said_ms - 3_600_000) is not None
