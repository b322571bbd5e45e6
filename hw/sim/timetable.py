"""The town's day: where the buses stand when, and when each person comes to a reader.

Times are instants in ms since 1970. The day has two halves of life: the morning (06:45 to 08:45),
into which everybody fits, and the rest of it, when riders come home and teachers leave. The same
people, day and seed give the same plan.
"""

import datetime
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hw.sim.people import BUSES, HIRED, Habit, Person
from wire.codes import Code

JAPAN = datetime.timezone(datetime.timedelta(hours=9))
"""Without summer time, so a fixed offset is the zone."""
MORNING_BEGINS = datetime.time(6, 45)
MORNING_ENDS = datetime.time(8, 45)
DAY_ENDS = datetime.time(20, 0)
SCHOOL_OPENS = datetime.time(7, 20)
SCHOOL_BEGINS = datetime.time(8, 20)
LEAVING_BEGINS = datetime.time(16, 45)
LEAVING_ENDS = datetime.time(19, 30)
MINUTE_MS = 60_000

LINES = {"bus-1": "1", "bus-2": "8"}
STOPS = {
    "bus-1": ("駅前", "市役所前", "本町", "中央病院", "東団地", "温泉前"),
    "bus-2": ("駅前", "南小学校前", "工業団地", "里山口", "峠の茶屋", "湖畔"),
}
RUN_MINUTES = 40
"""One run from the first stop to the last and back to its start."""
STOP_MINUTES = 5
"""From one stop to the next."""
BOARDING_S = 90
"""How long people get on at one stop, town time."""
RETURN_SHARE = 0.6
"""Of the people who came in the morning, those who come by the same reader again later."""
TRY_AGAIN_MS = 20 * MINUTE_MS
"""How often somebody who was hired today tries whether their card is known by now."""


class Call(NamedTuple):
    """A bus begins to stand at a stop."""

    at_ms: int
    place: str
    duty: str
    line: str
    stop: str


class Visit(NamedTuple):
    """A person comes to the reader of a place."""

    at_ms: int
    person: Person


class Plan(NamedTuple):
    """One day, each list in the order of time."""

    calls: list[Call]
    visits: list[Visit]

    def until(self, at_ms: int) -> "Plan":
        """The part of the plan before an instant."""
        return Plan(
            [call for call in self.calls if call.at_ms < at_ms],
            [visit for visit in self.visits if visit.at_ms < at_ms],
        )


def instant_ms(day: datetime.date, time: datetime.time) -> int:
    """Return the instant of a local time on a day, in ms since 1970."""
    return round(datetime.datetime.combine(day, time, JAPAN).timestamp() * 1000)


def clock_text(at_ms: int) -> str:
    """Return an instant as the town's clocks show it: 07:42."""
    return f"{datetime.datetime.fromtimestamp(at_ms / 1000, JAPAN):%H:%M}"


def next_weekday(today: datetime.date) -> datetime.date:
    """Return the first Monday to Friday after `today`."""
    days = (today + datetime.timedelta(days=ahead) for ahead in itertools.count(1))
    return next(day for day in days if day.weekday() < 5)


def plan_day(seed: int, day: datetime.date, people: Sequence[Person]) -> Plan:
    """Plan the whole day: every person comes once in the morning, some again later."""
    rng = random.Random(f"kazasu timetable {seed}")
    calls = [call for bus in BUSES for call in _calls(day, bus)]
    morning_end_ms = instant_ms(day, MORNING_ENDS)
    visits = []
    for person in people:
        stops = [call for call in calls if call.place == person.place]
        morning = [call for call in stops if call.at_ms < morning_end_ms]
        later = [call for call in stops if call.at_ms >= morning_end_ms]
        visits.append(Visit(_arrival_ms(rng, day, person, morning), person))
        if person.kind is HIRED:
            again_ms = range(visits[-1].at_ms, instant_ms(day, LEAVING_BEGINS), TRY_AGAIN_MS)
            visits += [Visit(at_ms, person) for at_ms in again_ms[1:]]
        if rng.random() < RETURN_SHARE and _comes_back(person):
            visits.append(Visit(_return_ms(rng, day, person, later), person))
    return Plan(sorted(calls), sorted(visits, key=lambda visit: (visit.at_ms, visit.person.number)))


def _calls(day: datetime.date, bus: str) -> Iterator[Call]:
    """A bus goes to and fro all day; a duty is one run, named by line and departure."""
    starts_ms = range(
        instant_ms(day, MORNING_BEGINS), instant_ms(day, DAY_ENDS), RUN_MINUTES * MINUTE_MS
    )
    for run, start_ms in enumerate(starts_ms):
        stops = STOPS[bus] if run % 2 == 0 else STOPS[bus][::-1]
        duty = f"{LINES[bus]}-{clock_text(start_ms).replace(':', '')}"
        for number, stop in enumerate(stops):
            at_ms = start_ms + number * STOP_MINUTES * MINUTE_MS
            yield Call(at_ms, bus, duty, LINES[bus], stop)


def _arrival_ms(
    rng: random.Random, day: datetime.date, person: Person, calls: Sequence[Call]
) -> int:
    if person.place in BUSES:
        # The last stop of a run is where everybody gets off.
        return _boarding_ms(rng, rng.choice(calls))
    opens, begins = instant_ms(day, SCHOOL_OPENS), instant_ms(day, SCHOOL_BEGINS)
    return round(rng.triangular(opens, begins, (opens + begins) / 2))


def _return_ms(
    rng: random.Random, day: datetime.date, person: Person, calls: Sequence[Call]
) -> int:
    if person.place in BUSES:
        return _boarding_ms(rng, rng.choice(calls))
    begins, ends = instant_ms(day, LEAVING_BEGINS), instant_ms(day, LEAVING_ENDS)
    return round(rng.triangular(begins, ends, begins + (ends - begins) / 3))


def _boarding_ms(rng: random.Random, call: Call) -> int:
    return call.at_ms + rng.randrange(BOARDING_S * 1000)


def _comes_back(person: Person) -> bool:
    return person.kind.expects is Code.OK and person.kind.habit is Habit.PLAIN
