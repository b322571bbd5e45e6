"""The reader's clock is wrong: it stands in 1970, an hour ahead, or is set back while it runs."""

import contextlib
import datetime
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edge.clock import BUILD_MS
from edge.identity import NO_CHECK_TIME
from edge.panel import FleetTime
from hw.sim.antenna import Antenna
from tests.edge.link_kit import Reader, fill, running_fleet, running_link, running_tap
from tests.edge.reader_kit import ReaderKit, lift, make_reader, my_number_card, running
from tests.edge.rig import Authority, Broker, until
from wire.clock import ClockState, SystemClock
from wire.codes import Code, Outcome
from wire.entries import ClockStep, Tap
from wire.mqtt import Endpoint

HOUR_MS = 3_600_000
CARD = my_number_card(1)


class SetClock:
    """The machine's clock, which somebody sets."""

    def __init__(self, off_ms: int = 0) -> None:
        self._right = SystemClock()
        self.off_ms = off_ms

    def now_ms(self) -> int:
        return self._right.now_ms() + self.off_ms

    def monotonic_ns(self) -> int:
        return self._right.monotonic_ns()


def in_1970() -> SetClock:
    return SetClock(-SystemClock().now_ms() + 40_000)


@pytest.fixture
def antenna() -> Iterator[Antenna]:
    with Antenna() as made:
        yield made


@pytest.fixture
def kit(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    kit = make_reader(tmp_path / "bus-1", antenna.device)
    kit.enrol(CARD)
    return kit


def order_is_intact(kit: ReaderKit) -> None:
    """Numbers and the monotonic clock go up, and each jump of the time has its own entry."""
    entries = [kept.entry for kept in kit.entries()]
    assert [entry.n for entry in entries] == list(range(1, len(entries) + 1))
    monos = [entry.mono_ms for entry in entries]
    assert monos == sorted(monos)
    for before, after in itertools.pairwise(entries):
        jumped = (after.at_ms - before.at_ms) - (after.mono_ms - before.mono_ms)
        said = after.step_ms if isinstance(after, ClockStep) else 0
        assert abs(jumped - said) <= 50, (before, after)


def test_a_reader_in_1970_says_that_it_does_not_know_the_time_and_heals(
    kit: ReaderKit, antenna: Antenna
) -> None:
    with running(kit, in_1970()) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK  # this programme accepts without a time
        lift(antenna)
        link.say(FleetTime(at_ms=SystemClock().now_ms()))
        link.settled()
        antenna.place(CARD)
        assert link.shown().code is Code.REPEAT  # the window moved with the time
    first, second = kit.taps()
    assert first.clock is ClockState.UNKNOWN
    assert BUILD_MS <= first.at_ms < BUILD_MS + 60_000
    assert second.clock is ClockState.SYNCHRONISED
    assert abs(second.at_ms - SystemClock().now_ms()) < 60_000
    order_is_intact(kit)


@pytest.mark.parametrize("set_ms", [-HOUR_MS, HOUR_MS])
def test_a_clock_that_is_set_while_it_runs_opens_no_window(
    kit: ReaderKit, antenna: Antenna, set_ms: int
) -> None:
    clock = SetClock()
    with running(kit, clock) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        lift(antenna)
        clock.off_ms = set_ms
        link.settled()
        antenna.place(CARD)
        assert link.shown().code is Code.REPEAT
    with running(kit, clock) as link:  # and after a restart, from the journal alone
        link.ready()
        lift(antenna)
        antenna.place(CARD)
        assert link.shown().code is Code.REPEAT
    (step,) = (kept.entry for kept in kit.entries() if isinstance(kept.entry, ClockStep))
    assert step.step_ms == pytest.approx(set_ms, abs=100)
    assert [tap.outcome for tap in kit.taps()].count(Outcome.ACCEPTED) == 1


def test_an_hour_ahead_until_the_fleet_speaks(kit: ReaderKit, antenna: Antenna) -> None:
    with running(kit, SetClock(HOUR_MS)) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        lift(antenna)
        link.say(FleetTime(at_ms=SystemClock().now_ms()))
        link.settled()
        antenna.place(CARD)
        assert link.shown().code is Code.REPEAT
    ahead, right = kit.taps()
    assert (ahead.clock, right.clock) == (ClockState.HOLDOVER, ClockState.SYNCHRONISED)
    (step,) = (kept.entry for kept in kit.entries() if isinstance(kept.entry, ClockStep))
    corrected_ms = ahead.at_ms + step.step_ms
    assert 0 < right.at_ms - corrected_ms < 60_000
    order_is_intact(kit)


def test_once_the_fleet_has_spoken_nobody_can_set_the_time(
    kit: ReaderKit, antenna: Antenna
) -> None:
    clock = SetClock(HOUR_MS)
    with running(kit, clock) as link:
        link.ready()
        link.say(FleetTime(at_ms=SystemClock().now_ms()))
        link.settled()
        clock.off_ms = -50 * 365 * 24 * HOUR_MS
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    (tap,) = kit.taps()
    assert isinstance(tap, Tap)
    assert abs(tap.at_ms - SystemClock().now_ms()) < 60_000


# --- TLS: every certificate begins after 1970 ---------------------------------------------------


class YoungBroker(Broker):
    """Its certificate begins in twelve hours, as every certificate does for a clock in 1970."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.authority.issue("localhost", begins=datetime.timedelta(hours=12))

    def fleet(self, client_id: str = "") -> Endpoint:
        """Where the fleet is, it is tomorrow already."""
        endpoint = super().fleet(client_id)
        endpoint.tls.verify_flags |= NO_CHECK_TIME
        return endpoint


@contextlib.asynccontextmanager
async def reader_with_young_broker(folder: Path) -> AsyncIterator[Reader]:
    folder.mkdir(exist_ok=True)
    broker = YoungBroker(folder, Authority(folder))
    await broker.start()
    try:
        yield Reader(folder / "bus-1", broker)
    finally:
        broker.stop()


async def test_a_reader_in_1970_reaches_the_fleet_and_hears_the_time(tmp_path: Path) -> None:
    async with reader_with_young_broker(tmp_path / "b") as reader:
        journal = reader.journal()
        fill(journal, 3)
        journal.close()
        async with (
            running_fleet(reader) as fleet,
            running_tap(reader) as tap,
            running_link(reader, in_1970()) as link,
        ):
            await until(lambda: link._board.waiting == 0 and fleet.ledger, "all is acknowledged")
            await until(lambda: any(isinstance(one, FleetTime) for one in tap.heard), "tap hears")
            assert abs(link._desk.clock.now_ms() - SystemClock().now_ms()) < 60_000
            assert len(fleet.ledger[journal.id]) == journal.n


async def test_a_reader_with_a_plausible_clock_judges_the_dates(tmp_path: Path) -> None:
    async with (
        reader_with_young_broker(tmp_path / "b") as reader,
        running_link(reader, SystemClock()) as link,
    ):
        await until(lambda: link._desk.meter._counters["broker.lost"], "it was refused")
        assert not link._board.online
