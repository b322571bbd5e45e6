"""How far a reader trusts its clock, and when a jump is written down."""

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


def test_a_machine_that_is_set_wrong_after_the_fleet_spoke_is_a_jump_when_it_speaks_again() -> None:
    hands = Hands(LATER_MS)
    clock = ReaderClock(hands, 0)
    clock.take_fleet_time(LATER_MS)
    hands.at_ms -= 3_600_000
    assert clock.take_fleet_time(LATER_MS) == 3_600_000
    assert clock.now_ms() == LATER_MS
