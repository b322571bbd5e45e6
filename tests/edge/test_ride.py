"""A taxi's card half: who is aboard, what a fare comes to, and what the journal says after it."""

import itertools
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.clock import Stamp
from edge.journal import FOLDER, journals
from edge.panel import (
    Aboard,
    CancelRide,
    Fare,
    FareAnswer,
    NotDone,
    RideActed,
    RiderRef,
    TakeOff,
    TurnShift,
)
from edge.ride import Riding
from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from programmes.rides import UNDER_WAY_MS
from tests.edge.reader_kit import (
    TAXI,
    Link,
    ReaderKit,
    lift,
    make_reader,
    my_number_card,
    running,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Cancel, ClockStep, Entry, JournalId, Ride, Shift, Tap

CARDS = [my_number_card(serial) for serial in (1, 2, 3)]
JOURNAL = JournalId("ab" * 16)


@pytest.fixture
def taxi(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    kit = make_reader(tmp_path / "taxi", antenna.device, kind="taxi", programmes=(TAXI,))
    kit.enrol(*CARDS, programme=TAXI, discounts={"障害者割引": 10})
    return kit


class Driver:
    """Asks the card half and reads its answers."""

    def __init__(self, link: Link, antenna: Antenna) -> None:
        self.link, self._antenna = link, antenna
        self._asks = itertools.count(1)
        link.ready()

    @property
    def aboard(self) -> Aboard:
        """What was said last, when all has been done that was asked."""
        self.link.settled()
        return [said for said in self.link.heard if isinstance(said, Aboard)][-1]

    def hold(self, card: MyNumberCard) -> str:
        """Hold a card, take it away, and return what was shown."""
        self._antenna.place(card)
        message = self.link.shown().message
        lift(self._antenna)
        return message

    @property
    def riders(self) -> list[RiderRef]:
        return [RiderRef(one.journal, one.n) for one in self.aboard.riders]

    def fare(
        self,
        yen: int,
        *,
        keep: bool = False,
        riders: Sequence[RiderRef] | None = None,
        discount: str = "",
    ) -> FareAnswer:
        named = self.riders if riders is None else list(riders)
        ask = next(self._asks)
        self.link.say(Fare(ask, named, yen, discount, keep))
        return self.link.until(FareAnswer, lambda said: said.ask == ask)

    def act(self, act: TakeOff | CancelRide | TurnShift) -> NotDone:
        self.link.say(act)
        return self.link.until(RideActed, lambda said: said.ask == act.ask).refused


def of_kind(kit: ReaderKit, *kinds: type[Entry]) -> list[Entry]:
    return [kept.entry for kept in kit.entries() if isinstance(kept.entry, kinds)]


def test_who_taps_is_aboard_and_the_fare_settles_them_all_in_one_entry(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        assert driver.aboard == Aboard("", [], ["障害者割引"])
        assert driver.act(TurnShift(7, True, "1234")) == ""
        assert driver.aboard.driver == "1234"
        assert driver.hold(CARDS[0]) == "taxi.boarded-day-year"
        assert driver.hold(CARDS[0]) == "taxi.repeat"
        assert driver.fare(1500).subsidies_yen == [750]
        driver.hold(CARDS[1])
        answer = driver.fare(1500)
        assert (answer.subsidies_yen, answer.riders_pay_yen, answer.n) == ([500, 500], 500, 0)
        assert not of_kind(taxi, Ride), "nothing is kept before the driver says so"
        kept = driver.fare(1500, keep=True)
        assert kept.left == [{"day": "1", "year": "119"}] * 2
        assert driver.aboard.riders == []
        assert driver.hold(CARDS[0]) == "taxi.boarded-day-year", "he may ride again today"
    (ride,) = of_kind(taxi, Ride)
    assert isinstance(ride, Ride)
    assert (ride.n, ride.fare_yen, ride.subsidy_yen, ride.driver) == (kept.n, 1500, 1000, "1234")
    taps = [tap for tap in taxi.taps() if tap.outcome is Outcome.ACCEPTED]
    assert [one.credential for one in ride.riders] == [tap.credential for tap in taps[:2]]
    assert ride.boarded_at_ms == taps[0].at_ms


def test_a_discount_of_the_table_is_taken_off_first(taxi: ReaderKit, antenna: Antenna) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        driver.hold(CARDS[0])
        answer = driver.fare(2000, discount="障害者割引")
    amounts = (answer.discount_yen, answer.subsidies_yen, answer.riders_pay_yen)
    assert amounts == (200, [900], 900)


def test_a_rider_who_does_not_ride_is_taken_off_and_can_tap_again(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        driver.hold(CARDS[0])
        driver.hold(CARDS[1])
        first, second = driver.riders
        assert driver.act(TakeOff(1, first.journal, first.n)) == ""
        assert driver.riders == [second]
        assert driver.act(TakeOff(2, first.journal, first.n)) == "changed"
        assert driver.hold(CARDS[0]) == "taxi.boarded-day-year"
        assert len(driver.riders) == 2
    (cancel,) = of_kind(taxi, Cancel)
    assert isinstance(cancel, Cancel)
    assert (cancel.of_journal, cancel.of_n, cancel.why) == (first.journal, first.n, "removed")


def test_a_fare_is_settled_for_the_riders_that_the_driver_saw_or_not_at_all(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        driver.hold(CARDS[0])
        seen = driver.riders
        driver.hold(CARDS[1])
        assert driver.fare(1500, keep=True, riders=seen).refused == "changed"
        assert driver.fare(1500, keep=True).n
        assert driver.fare(1500, keep=True, riders=seen).refused == "changed", "settled already"
        assert driver.fare(1500, riders=[]).refused == "changed"
    assert len(of_kind(taxi, Ride)) == 1


def test_a_settled_ride_is_taken_back_once_and_counts_no_more(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        for _ in range(2):
            driver.hold(CARDS[0])
            ride = driver.fare(1000, keep=True)
        assert driver.hold(CARDS[0]) == "taxi.used-up-day"
        assert driver.act(CancelRide(1, ride.journal, ride.n, "wrong-rider")) == ""
        assert driver.act(CancelRide(2, ride.journal, ride.n, "wrong-rider")) == "changed"
        assert driver.hold(CARDS[0]) == "taxi.boarded-day-year"


def test_a_battery_that_is_pulled_in_the_middle_takes_nobody_off_the_list(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    command = [sys.executable, "-m", "edge.tap", str(taxi.folder / "edge.toml")]
    with subprocess.Popen(command) as process:
        link = Link(taxi.state)
        driver = Driver(link, antenna)
        driver.act(TurnShift(1, True, "77"))
        driver.hold(CARDS[0])
        driver.hold(CARDS[1])
        before = driver.riders
        process.send_signal(signal.SIGKILL)
        link.close()
    with running(taxi) as link:
        driver = Driver(link, antenna)
        assert (driver.aboard.driver, driver.riders) == ("77", before)
        assert driver.hold(CARDS[1]) == "taxi.repeat"
        assert driver.fare(3000, keep=True).subsidies_yen == [500, 500]
    with running(taxi) as link:
        assert Driver(link, antenna).riders == [], "settled is settled after a restart too"


def test_without_room_in_the_journal_nothing_is_settled(taxi: ReaderKit, antenna: Antenna) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(taxi) as link:
        driver = Driver(link, antenna)
        driver.hold(CARDS[0])
        (seen,) = driver.riders
        (file,) = journals(taxi.state / FOLDER)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 20, hard))
            assert driver.fare(1000, keep=True).refused == "not-kept"
            assert driver.act(TakeOff(90, seen.journal, seen.n)) == "not-kept"
            assert driver.act(TurnShift(91, True, "1")) == "not-kept"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert driver.fare(1000, keep=True).n, "he is still aboard when there is room again"
    assert len(of_kind(taxi, Ride, Cancel, Shift)) == 1


def test_an_ended_shift_leaves_nobody_aboard_and_a_late_begin_takes_nobody_off(
    taxi: ReaderKit, antenna: Antenna
) -> None:
    with running(taxi) as link:
        driver = Driver(link, antenna)
        driver.hold(CARDS[0])
        assert driver.act(TurnShift(1, True, "5")) == ""
        assert (driver.aboard.driver, len(driver.riders)) == ("5", 1)
        assert driver.act(TurnShift(2, False, "5")) == ""
        assert (driver.aboard.driver, driver.riders) == ("", [])


# --- what the journal's entries come to ----------------------------------------------------------


def boarded(n: int, at_ms: int, clock: ClockState = ClockState.SYNCHRONISED) -> Tap:
    return Tap(
        v=1, n=n, at_ms=at_ms, mono_ms=0, clock=clock, programme=TAXI,
        outcome=Outcome.ACCEPTED, code=Code.OK, shown="taxi.boarded", credential=f"{n:032x}",
    )  # fmt: skip


def test_who_is_never_settled_is_off_the_list_after_three_hours() -> None:
    riding = Riding()
    riding.take(JOURNAL, 2, boarded(2, 1_000))
    riding.take(JOURNAL, 3, boarded(3, 2_000))
    assert list(riding.aboard(1_000 + UNDER_WAY_MS - 1)) == [(JOURNAL, 2), (JOURNAL, 3)]
    assert list(riding.aboard(1_000 + UNDER_WAY_MS)) == [(JOURNAL, 3)]
    assert not riding.is_aboard([boarded(2, 0).credential or ""], 1_000 + UNDER_WAY_MS)  # type: ignore[list-item]


def test_a_clock_that_is_set_takes_nobody_off_the_list() -> None:
    riding, day_ms = Riding(), 24 * 3_600_000
    riding.take(JOURNAL, 2, boarded(2, 1_000, ClockState.UNKNOWN))
    stamp = Stamp(2_000 + day_ms, 1, ClockState.SYNCHRONISED)
    riding.take(JOURNAL, 3, ClockStep(v=1, n=3, step_ms=day_ms, **stamp._asdict()))
    (tap,) = riding.aboard(2_000 + day_ms).values()
    assert tap.at_ms == 1_000 + day_ms
