"""A morning at schools' gates as it is to happen: drawn from a seed, before anything runs. Pure."""

import random
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from programmes.rulebook import Direction
from wire.entries import Heading

HEADINGS: Final[tuple[Heading, ...]] = ("in", "out", "away", "back")
PRESSES_SHARE: Final = 0.1
"""Of people, those who press a direction before the tap; as many correct theirs after it."""
FORGETFUL: Final = 8
"""One in so many forgot to mark when he left the day before."""
LIES: Final = 3
"""Every so manieth leaves the card a second too long."""
COMES_AGAIN_SHARE: Final = 0.15
Reply = Literal["", "time", "unknown", "later"]


@dataclass(frozen=True)
class Size:
    """How much is to happen."""

    people: int
    gates: int
    seconds: float
    """In which they come."""
    up_s: tuple[float, float]
    """How long a network is there, at least and at most."""
    cut_s: tuple[float, float]
    """How long it is cut, at least and at most, or until somebody has held a card meanwhile."""
    again_s: float
    """How much later somebody comes again, at most: to be sure, or since he goes out again."""


MORNING: Final = Size(400, 3, 480, (4, 25), (2, 12), 40)
SMALL: Final = Size(14, 2, 4, (0.2, 0.8), (0.2, 1), 3)


class Visit(NamedTuple):
    """Somebody is to come to a gate."""

    at_s: float
    person: int
    gate: int
    before: Direction = ""
    """What he presses before he holds the card."""
    after: Direction = ""
    """What he presses just after it."""
    lies: bool = False
    reply: Reply = ""
    """To a question about the day before."""


def plan(size: Size, seed: int) -> list[Visit]:
    """Return all visits in the order of time."""
    rng = random.Random(f"morning {seed}")
    found: list[Visit] = []
    for person in range(size.people):
        at_s, gate = rng.uniform(0, size.seconds), rng.randrange(size.gates)
        lies = person % LIES == 0
        if is_forgetful(person):
            reply: Reply = rng.choice(("time", "time", "unknown", "later"))
            found.append(Visit(at_s, person, gate, lies=lies, reply=reply))
            continue
        drawn = rng.random()
        before = rng.choice(HEADINGS) if drawn < PRESSES_SHARE else ""
        after = rng.choice(HEADINGS) if 1 - drawn < PRESSES_SHARE else ""
        found.append(Visit(at_s, person, gate, before, after, lies))
        if rng.random() < COMES_AGAIN_SHARE:
            again_s = at_s + rng.uniform(1, size.again_s)
            other = rng.randrange(size.gates) if rng.random() < 0.3 else gate
            found.append(Visit(again_s, person, other, rng.choice(("", "out", "away"))))
    return sorted(found)


def is_forgetful(person: int) -> bool:
    """True for who forgot to mark when he left the day before."""
    return person % FORGETFUL == 1


def gate_of_yesterday(visits: list[Visit]) -> dict[int, int]:
    """Return by which gate the forgetful came the day before: the one that they come to today."""
    return {one.person: one.gate for one in visits if is_forgetful(one.person)}
