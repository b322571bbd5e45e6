"""The town at its readers: people come, hold their cards, look at the screen and go on.

At each place one person is served at a time, in the order in which they came. They behave as
people do: they hold the card until a sentence appears, try again when asked to or when nothing
happens, make sure, let it lie, pull it away too early. What they saw is kept as `Sighting`s.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from hw.sim.antenna import Holder
from hw.sim.cards import Card, TornAway
from hw.sim.people import HIRED, Habit, Person
from hw.sim.report import Sighting
from hw.sim.timetable import Call, Plan, Visit
from hw.sim.warp import TownClock
from wire.codes import Code

PATIENCE_S: Final = 2.5
"""How long a card is held when nothing happens; a slow one answers within half a second."""
READING_S: Final = 0.12
"""From seeing the sentence to taking the card away."""
STEP_S: Final = 0.2
"""From one card's leaving to the next one's coming: a second at a real gate, less for a demo; an
agent takes some 0.1 s to notice that a card was taken away."""
AGAIN_S: Final = 0.8
"""From taking a card away to holding the same one again, at the quickest; an agent still looks for
a card that was torn away until its half second is over."""
LYING_S: Final = 1.5
TORN_AFTER_FRAMES: Final = 3
"""Answers before a card is pulled away: found, activated, and in the middle of the first APDU."""
TRIES_MAX: Final = 4
BACK_S_MAX: Final = 20.0
"""How long people wait at a dark screen: an agent is back within 5 s of being killed."""
SECONDS_PER_VISIT: Final = 0.8
"""Of real time at one reader, by experience with the figures above."""


class Screen(Protocol):
    """A reader's local page, as people at the place see and touch it."""

    sightings: list[Sighting]
    """All sentences that appeared, oldest first."""

    async def until_ready(self, timeout_s: float) -> bool:
        """Wait until it shows that cards can be held; False when it does not in time."""

    async def next_sighting(self, seen: int, timeout_s: float) -> Sighting | None:
        """Wait for the sentence after the first `seen`; None when none appears in time."""

    async def press(self, button: str) -> None:
        """Press one of the driver's buttons. Raises OSError when the page does not answer."""

    async def stand_at(self, call: Call) -> None:
        """Say where the vehicle stands, as its equipment does. Raises OSError likewise."""


@dataclass
class Tally:
    """What happened in front of one reader."""

    presentations: int = 0
    without_answer: int = 0
    unexpected: list[str] = field(default_factory=list)


class Gate:
    """One place with its reader: people in front of it, one at a time."""

    def __init__(self, place: str, antenna: Holder, screen: Screen, clock: TownClock) -> None:
        self.place: Final = place
        self.tally: Final = Tally()
        self.queue = 0
        """People who have come and not been served yet."""
        self.served = 0
        self._antenna = antenna
        self._screen = screen
        self._clock = clock
        self._waited_ms: dict[int, float] = {}
        self._met: set[int] = set()
        self._accepted: set[int] = set()

    async def drive(self, calls: Iterable[Call]) -> None:
        """Tell the reader where its vehicle stands, all day."""
        for call in calls:
            await asyncio.sleep(self._clock.real_s_until(call.at_ms))
            await self._try(lambda call=call: self._screen.stand_at(call))  # type: ignore[misc]

    async def serve(self, visits: Iterable[Visit]) -> None:
        """Let everybody come at their time and wait for their turn."""
        async with asyncio.TaskGroup() as arrivals:
            for visit in visits:
                await asyncio.sleep(self._clock.real_s_until(visit.at_ms))
                self.queue += 1
                arrivals.create_task(self._take_turn(visit.person))

    async def _take_turn(self, person: Person) -> None:
        async with self._antenna.turn:
            if not (person.kind is HIRED and person.number in self._accepted):
                await self._meet(person)
            self.queue -= 1
            self.served += 1

    async def meet(self, person: Person) -> None:
        """Let somebody hold a card as they do, when it is their turn."""
        async with self._antenna.turn:
            await self._meet(person)

    async def _meet(self, person: Person) -> None:
        self._met.add(person.number)
        if person.card is None:
            seen = len(self._screen.sightings)
            if await self._try(lambda: self._screen.press("present-only")):
                await self._screen.next_sighting(seen, PATIENCE_S)
            return
        card = person.card()
        if person.kind.habit is Habit.TORN:
            await self._hold(TornAway(card, frames=TORN_AFTER_FRAMES))
            await asyncio.sleep(AGAIN_S)
        code = await self._hold_until_answered(card)
        self._check(person, code)
        if code is Code.OK:
            self._accepted.add(person.number)
        if person.kind.habit is Habit.TWICE and code is Code.OK:
            await asyncio.sleep(AGAIN_S)
            self._check(person, await self._hold_until_answered(card), Code.REPEAT)
        elif person.kind.habit is Habit.LYING:
            await self._let_lie(person, card)

    async def _hold_until_answered(self, card: Card) -> Code | None:
        for _ in range(TRIES_MAX):
            code = await self._hold(card)
            if code not in (None, Code.HOLD_AGAIN):
                return code
            await self._screen.until_ready(BACK_S_MAX)
            await asyncio.sleep(AGAIN_S)
        return None

    async def _hold(self, card: Card, linger_s: float = READING_S) -> Code | None:
        """Hold a card until the next sentence; return its code, None when none appeared."""
        self.tally.presentations += 1
        seen = len(self._screen.sightings)
        held_ns = time.monotonic_ns()
        self._antenna.place(card)
        try:
            sighting = await self._screen.next_sighting(seen, PATIENCE_S)
            if sighting:
                self._waited_ms[seen] = (time.monotonic_ns() - held_ns) / 1e6
                await asyncio.sleep(linger_s)
        finally:
            self._antenna.remove()
        await asyncio.sleep(STEP_S)
        self.tally.without_answer += sighting is None
        return sighting.code if sighting else None

    async def _let_lie(self, person: Person, card: Card) -> None:
        """Hold it once more and forget it there: that is one presentation, however long."""
        await asyncio.sleep(AGAIN_S)
        seen = len(self._screen.sightings)
        await self._hold(card, LYING_S)
        if len(self._screen.sightings) > seen + 1:
            self.tally.unexpected.append(f"{self._about(person)}: a card left lying answered twice")

    async def _try(self, act: Callable[[], Awaitable[None]]) -> bool:
        """Touch the page; again when it does not answer, for it may be starting anew."""
        for _ in range(TRIES_MAX):
            try:
                await act()
            except OSError:
                await asyncio.sleep(AGAIN_S)
                await self._screen.until_ready(BACK_S_MAX)
            else:
                return True
        self.tally.without_answer += 1
        return False

    def _check(self, person: Person, code: Code | None, *also: Code) -> None:
        """A card that answered `repeat` was booked before, perhaps while the screen was dark."""
        expected = {person.expects, *also}
        if person.kind is HIRED:
            expected.add(Code.OK)  # a clerk has assigned the card meanwhile
        if Code.OK in expected:
            expected.add(Code.REPEAT)
        if code is not None and code not in expected:
            self.tally.unexpected.append(
                f"{self._about(person)}: {code}, expected {person.expects}"
            )

    def _about(self, person: Person) -> str:
        return f"{self.place}, person {person.number} ({person.kind.name})"

    @property
    def people(self) -> int:
        """How many different people have been served here."""
        return len(self._met)

    def sightings(self) -> list[Sighting]:
        """What was seen here, with what people waited for it."""
        return [
            sighting._replace(waited_ms=self._waited_ms.get(number))
            for number, sighting in enumerate(self._screen.sightings)
        ]


class Town:
    """All places with their people, for the part of a day that a plan holds."""

    def __init__(
        self,
        plan: Plan,
        antennas: Mapping[str, Holder],
        screens: Mapping[str, Screen],
        clock: TownClock,
    ) -> None:
        self.gates: Final = {
            place: Gate(place, antenna, screens[place], clock)
            for place, antenna in antennas.items()
        }
        self._plan = plan
        self._clock = clock

    @property
    def still_to_come(self) -> int:
        """Visits of the plan that have not been served yet."""
        return len(self._plan.visits) - sum(gate.served for gate in self.gates.values())

    async def play(self, late_s_max: float) -> None:
        """Let the plan happen. Who still queues so long after the last arrival goes home."""
        last_ms = max((visit.at_ms for visit in self._plan.visits), default=self._clock.now_ms())
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(self._clock.real_s_until(last_ms) + late_s_max),
                asyncio.TaskGroup() as places,
            ):
                for place, gate in self.gates.items():
                    calls = [call for call in self._plan.calls if call.place == place]
                    visits = [v for v in self._plan.visits if v.person.place == place]
                    places.create_task(gate.drive(calls))
                    places.create_task(gate.serve(visits))
