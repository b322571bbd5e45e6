"""The town's taxis: riders hold their cards, the driver drives, types the fare and finishes.

Upheld: a driver does what drivers do when the screen is dark: he waits for it and tries again; who
was let on is driven and his fare typed, whatever else failed; what is refused rides on as an
ordinary passenger, and no ride is settled for him.
"""

import asyncio
import contextlib
import datetime
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from hw.sim.antenna import Holder
from hw.sim.people import TAXIS, Person
from hw.sim.report import Sighting
from hw.sim.tablet import Tablet
from hw.sim.timetable import instant_ms
from hw.sim.town import Gate, Screen
from hw.sim.warp import TownClock
from wire.codes import Code

FIRST_RIDE: Final = datetime.time(7, 5)
"""The subsidy's hours begin at 7."""
LAST_RIDE: Final = datetime.time(18, 30)
EVERY_MINUTES: Final = 16
"""Town time from one ride of a taxi to its next."""
SECONDS_PER_RIDE: Final = 5.0
"""Of real time: two riders, a drive and the fare."""
RIDES_A_DAY_MAX: Final = 2
"""Of one rider, as the rules have it."""
DRIVE_S: Final = 0.8
READ_S: Final = 0.5
"""How long what was settled is looked at."""
DARK_EVERY: Final = 4
"""Every so many rides lead through a tunnel, or over a hill."""
DARK_S: Final = 3.0
TAKEN_BACK_EVERY: Final = 3
"""Every so many rides a driver has mistyped, takes the ride back and types it again."""
TAKEN_OFF_EVERY: Final = 2
"""Every so many rides one of several riders gets out again before it begins."""
TRIES_MAX: Final = 4
AGAIN_S: Final = 0.8
SETTLED_S_MAX: Final = 5.0
BACK_S_MAX: Final = 20.0


class Ride(NamedTuple):
    """One ride that is planned."""

    at_ms: int
    taxi: str
    number: int
    """Of this taxi today, from 1."""
    riders: tuple[Person, ...]
    fare_yen: int


def plan_rides(
    seed: int, day: datetime.date, riders: Sequence[Person], ends_ms: int, rides_max: int
) -> list[Ride]:
    """Plan the day's rides of all taxis until an instant, at most `rides_max` of each."""
    rng = random.Random(f"kazasu rides {seed}")
    begins_ms = instant_ms(day, FIRST_RIDE)
    last_ms = min(ends_ms, instant_ms(day, LAST_RIDE))
    each = max(1, min(rides_max, (last_ms - begins_ms) // (EVERY_MINUTES * 60_000)))
    left = {person.number: RIDES_A_DAY_MAX for person in riders}
    rides = []
    for number in range(each):
        for taxi in TAXIS:
            at_ms = begins_ms + (last_ms - begins_ms) * number // each + rng.randrange(60_000)
            free = [person for person in riders if left[person.number]]
            aboard = rng.sample(free, min(len(free), rng.choice((1, 1, 1, 2, 2, 3))))
            for person in aboard:
                left[person.number] -= 1 if person.expects is Code.OK else RIDES_A_DAY_MAX
            if aboard:
                fare_yen = 740 + 10 * rng.randrange(250)
                rides.append(Ride(at_ms, taxi, number + 1, tuple(aboard), fare_yen))
    return sorted(rides, key=lambda ride: (ride.at_ms, ride.taxi))


async def drive_all(
    cabs: Mapping[str, "Cab"], rides: Sequence[Ride], clock: TownClock, late_s_max: float
) -> None:
    """Let all rides happen. What has not begun so long after the last one was due is left."""
    last_ms = max((ride.at_ms for ride in rides), default=clock.now_ms())
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(clock.real_s_until(last_ms) + late_s_max),
            asyncio.TaskGroup() as drivers,
        ):
            for taxi, cab in cabs.items():
                mine = [ride for ride in rides if ride.taxi == taxi]
                drivers.create_task(cab.play(mine))


class Cab:
    """One taxi with its driver."""

    def __init__(
        self,
        gate: Gate,
        antenna: Holder,
        screen: Screen,
        tablet: Tablet,
        clock: TownClock,
        go_dark: Callable[[str, float], None],
    ) -> None:
        """`go_dark` takes a place's network away for so many seconds."""
        self.settled = 0
        self._gate, self._antenna, self._screen = gate, antenna, screen
        self._tablet, self._clock, self._go_dark = tablet, clock, go_dark

    async def play(self, rides: Sequence[Ride]) -> None:
        """Drive all day."""
        number = self._gate.place.rpartition("-")[2]
        await self._try(lambda: self._tablet.begin_shift(f"10{number}"))
        for ride in rides:
            await asyncio.sleep(self._clock.real_s_until(ride.at_ms))
            await self._drive(ride)

    async def _drive(self, ride: Ride) -> None:
        if ride.number % DARK_EVERY == 0:
            self._go_dark(ride.taxi, DARK_S)
        for person in ride.riders:
            await self._gate.meet(person)
        if len(ride.riders) > 1 and ride.number % TAKEN_OFF_EVERY == 0:
            await self._try(self._take_last_off)
        await asyncio.sleep(DRIVE_S)
        settled = await self._settle(ride.fare_yen)
        if settled and ride.number % TAKEN_BACK_EVERY == 0:
            name = f"{settled.identity.journal}:{settled.identity.n}"
            await self._try(lambda: self._tablet.take_back(name, "wrong-fare"))

    async def _settle(self, fare_yen: int) -> Sighting | None:
        """Type the fare of those who are on the list; return what was shown, if anybody is."""
        for _ in range(TRIES_MAX):
            seen = len(self._screen.sightings)
            with contextlib.suppress(OSError):
                riders = await self._tablet.riders()
                if not riders:
                    return None
                async with self._antenna.turn:
                    await self._tablet.settle(riders, fare_yen)
                    sighting = await self._screen.next_sighting(seen, SETTLED_S_MAX)
                await asyncio.sleep(READ_S)
                await self._tablet.go_on()
                self.settled += sighting is not None
                return sighting
            await asyncio.sleep(AGAIN_S)
            await self._screen.until_ready(BACK_S_MAX)
        return None

    async def _take_last_off(self) -> None:
        riders = await self._tablet.riders()
        if len(riders) > 1:
            await self._tablet.take_off(riders[-1])

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        """Touch the tablet; again when it does not answer, for it may be starting anew."""
        for _ in range(TRIES_MAX):
            with contextlib.suppress(OSError):
                await act()
                return
            await asyncio.sleep(AGAIN_S)
            await self._screen.until_ready(BACK_S_MAX)
