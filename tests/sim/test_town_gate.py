"""People in front of the agent's real card half: what they do is what it writes down."""

import asyncio
import datetime
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.panel import Pressed, Vehicle
from hw.sim.antenna import Antenna
from hw.sim.people import BUSES, SENIOR_PASS, Habit, Person, draw_people
from hw.sim.report import Identity, Sighting
from hw.sim.timetable import Call, Plan, Visit
from hw.sim.town import Gate, Town
from hw.sim.warp import TownClock
from tests.edge.reader_kit import OPEN_ROW, READER, Link, ReaderKit, make_reader, running
from wire.codes import Code
from wire.credential import Scheme, credential
from wire.entries import Press, Tap

TODAY = datetime.datetime.now(datetime.UTC).date()
PEOPLE = draw_people(1, TODAY, 300, apdu_ms=1)
RIDERS = [person for person in PEOPLE if person.place in BUSES]
TECHNOLOGIES = ("106B", "212F", "106A")


def someone(**like: object) -> Person:
    """The first rider whose kind has these properties."""
    return next(p for p in RIDERS if all(getattr(p.kind, k) == v for k, v in like.items()))


class TapScreen:
    """What the card half says to the network half, as a page would show it."""

    def __init__(self, link: Link) -> None:
        self.sightings: list[Sighting] = []
        self._link = link

    async def next_sighting(self, seen: int, timeout_s: float) -> Sighting | None:
        while len(self.sightings) <= seen:
            try:
                shown = await asyncio.to_thread(self._link.shown, timeout_s)
            except TimeoutError:
                return None
            identity = Identity(READER, shown.journal, shown.n)
            self.sightings.append(Sighting(identity, shown.outcome, shown.code))
        return self.sightings[seen]

    async def until_ready(self, timeout_s: float) -> bool:
        return timeout_s > 0

    async def press(self, button: str) -> None:
        self._link.say(Pressed(button=button))  # type: ignore[arg-type]

    async def stand_at(self, call: Call) -> None:
        self._link.say(Vehicle(duty=call.duty, stop=call.stop, line=call.line))


@pytest.fixture
def clock(tmp_path: Path) -> TownClock:
    clock = TownClock.started(tmp_path / "clock", 1_780_440_000_000, rate=1000)
    clock.open_town()
    return clock


@pytest.fixture
def antenna() -> Iterator[Antenna]:
    with Antenna() as opened:
        yield opened


@contextmanager
def reader_for(tmp_path: Path, antenna: Antenna) -> Iterator[tuple[ReaderKit, TapScreen]]:
    """A reader whose roster holds everybody who is enrolled in the senior pass."""
    kit = make_reader(tmp_path / "bus-1", antenna.device, technologies=TECHNOLOGIES)
    key = kit.key(SENIOR_PASS)
    kit.give_keys()
    enrolled = [p.enrolment for p in PEOPLE if p.enrolment and p.enrolment.programme == SENIOR_PASS]
    rows = [
        OPEN_ROW._replace(
            credential=credential(key, member.scheme, member.identifier),
            category=member.category,
            valid_from=member.valid_from,
            valid_to=member.valid_to,
            stopped_from_s=1 if member.stopped else None,
        )
        for member in enrolled
        if member.scheme
    ]
    schemes = (Scheme.COMMON_AP, Scheme.JPKI_AUTH, Scheme.FELICA_IDM)
    kit.give_roster(SENIOR_PASS, rows, schemes=schemes)
    with running(kit) as link:
        link.ready()
        yield kit, TapScreen(link)


@pytest.mark.parametrize(
    ("person", "codes"),
    [
        (someone(name="senior"), [Code.OK]),
        (someone(name="senior with certificate"), [Code.OK]),
        (someone(name="senior with transit card"), [Code.OK]),
        (someone(habit=Habit.TORN), [Code.HOLD_AGAIN, Code.OK]),
        (someone(habit=Habit.TWICE), [Code.OK, Code.REPEAT]),
        (someone(habit=Habit.LYING), [Code.OK, Code.REPEAT]),
        (someone(name="senior with a slow card"), [Code.OK]),
        (someone(expects=Code.EXPIRED), [Code.EXPIRED]),
        (someone(expects=Code.NOT_YET), [Code.NOT_YET]),
        (someone(expects=Code.STOP_LISTED), [Code.STOP_LISTED]),
        (someone(expects=Code.UNKNOWN), [Code.UNKNOWN]),
        (someone(carries="foreign"), [Code.CARD_NOT_USABLE]),
        (someone(carries="phone"), [Code.CARD_NOT_USABLE]),
    ],
    ids=lambda value: value.kind.name if isinstance(value, Person) else "",
)
async def test_each_kind_of_person_gets_the_answer_that_is_expected(
    tmp_path: Path, antenna: Antenna, clock: TownClock, person: Person, codes: list[Code]
) -> None:
    with reader_for(tmp_path, antenna) as (kit, screen):
        gate = Gate("bus-1", antenna, screen, clock)
        await gate.serve([Visit(clock.now_ms(), person)])
    assert [sighting.code for sighting in gate.sightings()] == codes
    written = {kept.n: kept.entry for kept in kit.entries()}
    for sighting in gate.sightings():
        tap = written[sighting.identity.n]
        assert isinstance(tap, Tap)
        assert (tap.outcome, tap.code) == (sighting.outcome, sighting.code)
    assert [tap.code for tap in kit.taps()] == codes
    assert gate.tally.unexpected == []
    assert (gate.people, gate.queue, gate.served) == (1, 0, 1)
    assert all(sighting.waited_ms for sighting in gate.sightings())


async def test_without_a_card_the_driver_presses_and_it_is_counted(
    tmp_path: Path, antenna: Antenna, clock: TownClock
) -> None:
    with reader_for(tmp_path, antenna) as (kit, screen):
        gate = Gate("bus-1", antenna, screen, clock)
        await gate.serve([Visit(clock.now_ms(), someone(habit=Habit.NO_CARD))])
    presses = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Press)]
    assert [press.button for press in presses] == ["present-only"]
    assert gate.tally.presentations == 0


async def test_a_plan_is_played_to_its_end_with_duty_and_stop(
    tmp_path: Path, antenna: Antenna, clock: TownClock
) -> None:
    riders = [someone(name="senior"), someone(expects=Code.UNKNOWN)]
    now_ms = clock.now_ms()
    call = Call(now_ms, "bus-1", "1-0645", "1", "駅前")
    plan = Plan([call], [Visit(now_ms + 100_000, rider) for rider in riders])
    with reader_for(tmp_path, antenna) as (kit, screen):
        town = Town(plan, {"bus-1": antenna}, {"bus-1": screen}, clock)
        assert town.still_to_come == 2
        await town.play(late_s_max=10)
    assert town.still_to_come == 0
    taps = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Tap)]
    assert Counter((tap.duty, tap.stop) for tap in taps) == {("1-0645", "駅前"): 2}


async def test_who_still_queues_long_after_the_end_goes_home(
    tmp_path: Path, antenna: Antenna, clock: TownClock
) -> None:
    with reader_for(tmp_path, antenna) as (_, screen):
        riders = [person for person in RIDERS if person.place == "bus-1"]
        plan = Plan([], [Visit(clock.now_ms(), person) for person in riders])
        town = Town(plan, {"bus-1": antenna}, {"bus-1": screen}, clock)
        await town.play(late_s_max=1)
    assert 0 < town.still_to_come < len(plan.visits)
    assert antenna.card is None
