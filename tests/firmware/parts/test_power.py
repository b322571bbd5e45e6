"""The computer's supply: the table of moves, orderly ends, and cuts that come ever more rarely."""

import headlink
import power
from hardware import Pin, refused

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
WAYS = {
    power.ON: (),
    power.LEAVING: ("ignition-off",),
    power.STAYING: ("ignition-off", headlink.STAY),
    power.GOING: (headlink.OFF,),
    power.CYCLING: (headlink.CYCLE,),
    power.CUT: (headlink.CYCLE, "late"),
    power.DOWN: ("ignition-off", headlink.OFF, "late"),
    power.OFF: ("ignition-off", headlink.OFF, "late", "late"),
}
"""How each state is come to."""


class Vehicle:
    """A computer that lives and asks something each second, unless it is told to be silent."""

    def __init__(self, watch_s=0):
        self.switch, self.running = Pin(0), Pin(0)
        self.ignition, self.updating, self.lives = True, False, True
        self.noted = []
        self.now_ms = 0
        self.power = power.Power(
            self.switch,
            self.running,
            lambda: self.ignition,
            lambda: self.updating,
            self.noted.append,
        )
        if watch_s:
            self.power.watch(0, watch_s)
        self.running.level = 1
        self.run(100)

    def run(self, ms, step_ms=100):
        """Let time pass; return when the supply was cut."""
        cuts = []
        for _ in range(0, ms, step_ms):
            self.now_ms += step_ms
            if self.lives and self.switch.level and self.now_ms % SECOND < step_ms:
                self.power.heard(self.now_ms)
            before = self.switch.level
            self.power.tick(self.now_ms)
            if before and not self.switch.level:
                cuts.append(self.now_ms)
        return cuts

    def ask(self, wish):
        return refused(self.power.power, self.now_ms, wish)

    def meet(self, event):
        """Let one thing happen that MOVES knows."""
        if event == power.IGNITION_ON:
            self.ignition = True
        elif event == power.IGNITION_OFF:
            self.ignition = False
        elif event == power.GONE:
            self.running.level = 0
            self.run(power.GONE_MS + 100)
        elif event == power.LATE:
            self.run(power.BOUNDS_MS[self.power.state] - 200)
        elif event == power.SILENT:
            self.lives = False
            self.power.watch(0, 30)
            self.run(30_000)
        else:
            return self.ask(event)
        self.run(300)
        return None


def brought_to(state):
    """Return a vehicle whose computer is in a state; its ignition is as it was on the way."""
    vehicle = Vehicle()
    for event in WAYS[state]:
        vehicle.meet(event)
    assert vehicle.power.state == state, (state, vehicle.power.state)
    return vehicle


def test_every_move_of_the_table_is_made():
    for state, moves in power.MOVES.items():
        for event, to in moves.items():
            vehicle = brought_to(state)
            assert vehicle.meet(event) is None, (state, event)
            assert vehicle.power.state == to, (state, event, vehicle.power.state)
            assert vehicle.switch.level == (to in power.SUPPLIED), (state, event)


def test_what_is_asked_and_is_not_in_the_table_is_refused_and_changes_nothing():
    for state, moves in power.MOVES.items():
        for wish in (headlink.STAY, headlink.OFF, headlink.CYCLE):
            if wish not in moves:
                vehicle = brought_to(state)
                assert vehicle.ask(wish) == headlink.NOT_NOW, (state, wish)
                assert vehicle.power.state == state
    assert Vehicle().ask(3) == "damaged"


def test_every_state_but_on_and_off_ends_by_itself_and_leads_to_one_of_them():
    for state, moves in power.MOVES.items():
        assert (state in power.BOUNDS_MS) == (power.LATE in moves), state
        left = []
        while power.LATE in power.MOVES[state]:
            state = power.MOVES[state][power.LATE]
            left.append(state)
            assert len(left) < 4
        assert state in (power.ON, power.OFF)


def test_the_supply_is_given_when_the_head_begins():
    assert Pin(0).level == 0
    assert Vehicle().switch.levels[0] == 1


def test_an_orderly_end_is_cut_when_the_computer_is_gone_and_not_before():
    vehicle = Vehicle()
    vehicle.ignition = False
    vehicle.run(2_000)
    assert vehicle.ask(headlink.OFF) is None
    assert vehicle.run(20_000) == []
    vehicle.running.level = 0
    begun_ms = vehicle.now_ms
    assert vehicle.run(20_000) == [begun_ms + power.GONE_MS + 100]
    assert vehicle.power.state == power.OFF


def test_a_computer_that_goes_and_never_is_gone_is_cut_after_30_seconds():
    vehicle = Vehicle()
    vehicle.ignition = False
    vehicle.run(200)
    vehicle.ask(headlink.OFF)
    begun_ms = vehicle.now_ms
    assert vehicle.run(40_000) == [begun_ms + 30_000]


def test_saying_it_again_lengthens_nothing():
    for wish in (headlink.OFF, headlink.CYCLE):
        vehicle = Vehicle()
        cuts = []
        for _ in range(40):
            vehicle.ask(wish)
            cuts += vehicle.run(SECOND)
        assert cuts[0] <= 30_200
    vehicle = Vehicle()
    vehicle.ignition = False
    cuts = []
    for _ in range(620):
        cuts += vehicle.run(100)
        vehicle.ask(headlink.STAY)
        cuts += vehicle.run(900)
    assert len(cuts) == 1


def test_a_computer_that_never_answers_is_cut_while_the_capacitor_lasts():
    vehicle = Vehicle()
    vehicle.ignition = False
    begun_ms = vehicle.now_ms
    assert vehicle.run(60_000) == [begun_ms + 100 + power.BOUNDS_MS[power.LEAVING]]
    assert vehicle.switch.level == 0
    vehicle.ignition = True
    vehicle.run(200)
    assert vehicle.switch.level == 1


def test_ignition_that_comes_back_while_it_shuts_down_gives_the_supply_again():
    vehicle = Vehicle()
    vehicle.ignition = False
    vehicle.run(200)
    vehicle.ask(headlink.OFF)
    vehicle.ignition = True
    vehicle.run(5_000)
    vehicle.running.level = 0
    cuts = vehicle.run(60_000)
    assert len(cuts) == 1
    assert vehicle.switch.level == 1


def test_a_computer_that_has_not_yet_begun_is_not_taken_for_gone():
    vehicle = Vehicle()
    vehicle.ask(headlink.CYCLE)
    vehicle.running.level = 0
    vehicle.run(power.GONE_MS + power.BOUNDS_MS[power.CUT] + 300)
    assert vehicle.power.state == power.ON
    vehicle.ignition = False
    vehicle.run(5_000)
    assert vehicle.power.state == power.LEAVING


def test_it_is_not_cut_before_it_asked_to_be_watched_nor_after_it_asked_not_to_be():
    vehicle = Vehicle()
    vehicle.lives = False
    assert vehicle.run(2 * HOUR, SECOND) == []
    vehicle = Vehicle(watch_s=90)
    vehicle.power.watch(0, 0)
    vehicle.lives = False
    assert vehicle.run(2 * HOUR, SECOND) == []
    for seconds in (1, headlink.WATCH_S_MIN - 1):
        assert refused(vehicle.power.watch, 0, seconds) == "damaged"


def test_one_that_asks_is_never_cut_and_one_that_is_silent_is_cut_and_given_again():
    vehicle = Vehicle(watch_s=90)
    assert vehicle.run(HOUR, SECOND) == []
    vehicle.lives = False
    begun_ms = vehicle.now_ms
    cuts = vehicle.run(5 * MINUTE)
    assert len(cuts) == 1
    assert 89_000 <= cuts[0] - begun_ms <= 91_000
    assert vehicle.switch.level == 1
    assert vehicle.noted == ["was-cut"]


def test_it_is_not_cut_while_the_head_is_updating():
    vehicle = Vehicle(watch_s=30)
    vehicle.lives, vehicle.updating = False, True
    assert vehicle.run(10 * MINUTE, SECOND) == []
    vehicle.updating = False
    assert len(vehicle.run(MINUTE)) == 1


def within_an_hour(cuts):
    return max(len([other for other in cuts if 0 <= other - cut < HOUR]) for cut in cuts)


def test_one_that_is_silent_for_ever_is_cut_ever_more_rarely():
    vehicle = Vehicle(watch_s=30)
    vehicle.lives = False
    cuts = vehicle.run(72 * HOUR, 10 * SECOND)
    pauses = [later - earlier for earlier, later in zip(cuts, cuts[1:])]
    assert within_an_hour(cuts) == 3
    assert all(later >= earlier for earlier, later in zip(pauses, pauses[1:]))
    assert power.PATIENCE_MS_MAX <= pauses[-1] <= power.PATIENCE_MS_MAX + MINUTE
    assert vehicle.switch.level == 1


def test_one_that_hangs_again_and_again_is_cut_three_times_an_hour_at_most():
    vehicle = Vehicle(watch_s=30)
    cuts = []
    for _ in range(200):
        vehicle.lives = not vehicle.lives
        cuts += vehicle.run(5 * MINUTE, SECOND)
    assert within_an_hour(cuts) <= 3


def test_one_that_has_recovered_is_cut_as_soon_as_the_first_time():
    vehicle = Vehicle(watch_s=60)
    vehicle.lives = False
    assert len(vehicle.run(2 * MINUTE)) == 1
    vehicle.lives = True
    vehicle.run(HOUR + MINUTE, SECOND)
    vehicle.lives = False
    assert len(vehicle.run(2 * MINUTE)) == 1
