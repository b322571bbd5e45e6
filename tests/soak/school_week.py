"""A week of a town's schools as it is to happen: drawn from a seed, before anything runs. Pure."""

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from programmes.calendar import start_of_day_ms

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
FIRST: Final = datetime.date(2026, 7, 6)
"""A Monday."""
DAYS: Final = 7
SCHOOL_DAYS: Final = 5
SATURDAY_SHARE: Final = 0.1
"""Of staff, those who come on a Saturday or a Sunday, for a club."""
FORGETS_SHARE: Final = 0.05
"""Of leavings, those that nobody marks."""
OUT_AND_BACK_SHARE: Final = 0.2
OTHER_GATE_SHARE: Final = 0.3
"""Of marks where there is a second gate, those at it."""
TWICE_SHARE: Final = 0.05
"""Of marks, those that are made twice to be sure, sometimes at the other gate."""
NIGHT_SHARE: Final = 0.02
"""Of leavings, those after midnight."""
Act = Literal["in", "out", "away", "back", "again"]


@dataclass(frozen=True)
class Size:
    """How much is to happen."""

    schools: int
    with_two_gates: int
    """The first so many; the second gate of the first one has no network all week."""
    staff: int

    @property
    def gates(self) -> list[tuple[str, int]]:
        """Return names and schools of all gates."""
        front = [(f"gate-{school + 1}", school) for school in range(self.schools)]
        return front + [(f"back-{school + 1}", school) for school in range(self.with_two_gates)]


TOWN: Final = Size(46, 6, 950)
SMALL: Final = Size(3, 1, 24)


class Planned(NamedTuple):
    """Somebody is to hold a card."""

    at_ms: int
    person: int
    gate: int
    act: Act
    """What he does, in truth."""
    presses: Literal["", "before", "after"] = ""
    """Whether and when he says so at the gate."""
    reply: Literal["time", "unknown", "later"] = "time"
    """To a question about a day on which he forgot."""


class Trouble(NamedTuple):
    """A reader starts with a wrong clock and without a network; later both are right."""

    at_ms: int
    gate: int
    ahead_ms: int
    until_ms: int


def day_ms(day: int) -> int:
    """Return the midnight at which a day of the week begins."""
    return start_of_day_ms(FIRST + datetime.timedelta(day))


def plan(size: Size, seed: int) -> list[Planned]:
    """Return all marks in the order of time."""
    rng = random.Random(f"week {seed}")
    found = []
    for person in range(size.staff):
        for day in range(DAYS):
            if day < SCHOOL_DAYS or rng.random() < SATURDAY_SHARE:
                found += list(_day(size, person, day, rng))
    return sorted(found)


def school_of(size: Size, person: int) -> int:
    """Return where somebody works."""
    return person % size.schools


def _day(size: Size, person: int, day: int, rng: random.Random) -> Iterator[Planned]:
    midnight_ms = day_ms(day)
    acts: list[tuple[float, Act]] = [(rng.uniform(7, 8.4), "in")]
    if rng.random() < OUT_AND_BACK_SHARE:
        away = rng.uniform(10, 14)
        acts += [(away, "away"), (away + rng.uniform(0.2, 2), "back")]
    if rng.random() >= FORGETS_SHARE:
        late = rng.random() < NIGHT_SHARE
        acts.append((rng.uniform(24.1, 25.5) if late else rng.uniform(16.7, 20.5), "out"))
    for hour, act in acts:
        gate, at_ms = _gate(size, person, rng), midnight_ms + int(hour * HOUR_MS)
        drawn = rng.random()
        must = act == "away"  # else it is taken for a leaving
        presses: Literal["", "before", "after"] = "before" if must or drawn < 0.1 else ""
        if drawn > (0.5 if must else 0.93):
            presses = "after"
        reply = rng.choice(("time", "time", "time", "unknown", "later"))
        yield Planned(at_ms, person, gate, act, presses, reply)  # type: ignore[arg-type]
        if rng.random() < TWICE_SHARE:
            again_ms = at_ms + rng.randint(5_000, 60_000)
            yield Planned(again_ms, person, gate, "again", reply=reply)  # type: ignore[arg-type]


def _gate(size: Size, person: int, rng: random.Random) -> int:
    school = school_of(size, person)
    is_other = school < size.with_two_gates and rng.random() < OTHER_GATE_SHARE
    return size.schools + school if is_other else school


def offline_gate(size: Size) -> int:
    """Return the gate that has no network all week."""
    return size.schools


def troubles(size: Size, seed: int) -> list[Trouble]:
    """Return when clocks are off: two gates each morning, by a night or by half an hour."""
    rng = random.Random(f"clocks {seed}")
    gates = [gate for gate in range(len(size.gates)) if gate != offline_gate(size)]
    found = []
    for day in range(1, DAYS):
        for gate in rng.sample(gates, min(2, len(gates))):
            ahead_ms = rng.choice((-30 * HOUR_MS, -200 * HOUR_MS, 35 * MINUTE_MS))
            from_ms = day_ms(day) + 6 * HOUR_MS + 45 * MINUTE_MS
            found.append(
                Trouble(from_ms, gate, ahead_ms, from_ms + rng.randint(30, 180) * MINUTE_MS)
            )
    return found
