"""A month of taxi rides as it is to happen: drawn from a seed, before anything runs. Pure."""

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from programmes.calendar import start_of_day_ms

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
OPENS_MS: Final = 7 * HOUR_MS
"""From midnight: when the first ride may begin."""
SLOT_MS: Final = 20 * MINUTE_MS
SLOTS: Final = 36
"""Of one taxi and day, until 19 o'clock: a ride in each at most, so none overlap."""
RIDE_MINUTES: Final = (3, 14)
EAGER: Final = 400
"""One in so many members, and EAGER_MIN at least, rides about twice a day: so allowances are used
up, also at once in taxis that do not hear of each other."""
EAGER_MIN: Final = 30
EAGER_SHARE: Final = 0.12
DISCOUNT: Final = "障害者割引"
WHY: Final = ("wrong-fare", "wrong-rider", "not-ridden", "other")


@dataclass(frozen=True)
class Size:
    """How much is to happen."""

    days: int
    members: int
    taxis: int
    companies: int
    rides: int


MAEBASHI: Final = Size(30, 26_880, 400, 40, 25_000)
"""前橋市 マイタク in a month of 2021: members and rides as published; companies and taxis about."""
SMALL: Final = Size(2, 600, 20, 3, 600)


class Planned(NamedTuple):
    """One ride that is to happen."""

    at_ms: int
    """When its first rider holds a card."""
    taxi: int
    riders: tuple[int, ...]
    minutes: int
    fare_yen: int
    discount: str
    on: str
    off: str
    taken_off: bool
    """One of several riders gets off the list before the fare is typed."""
    cancelled_after_ms: int
    """The driver takes it back so long after; 0: never."""
    why: str


class Zone(NamedTuple):
    """A time in which a taxi has no network."""

    from_ms: int
    to_ms: int


def plan(size: Size, first: datetime.date, seed: int) -> list[Planned]:
    """Return all rides in the order of time."""
    rng = random.Random(f"month {seed}")
    rides = [one for day in range(size.days) for one in _day(size, first, day, rng)]
    return sorted(rides, key=lambda ride: (ride.at_ms, ride.taxi))


def _day(size: Size, first: datetime.date, day: int, rng: random.Random) -> Iterator[Planned]:
    begins_ms = start_of_day_ms(first + datetime.timedelta(day)) + OPENS_MS
    count = size.rides * (day + 1) // size.days - size.rides * day // size.days
    for place in rng.sample(range(size.taxis * SLOTS), count):
        taxi, slot = divmod(place, SLOTS)
        riders = _riders(size, rng)
        yield Planned(
            begins_ms + slot * SLOT_MS + rng.randrange(2 * MINUTE_MS),
            taxi,
            riders,
            rng.randint(*RIDE_MINUTES),
            740 + 10 * round(rng.expovariate(1 / 90)),
            DISCOUNT if rng.random() < 0.08 else "",
            _spot(rng),
            _spot(rng),
            len(riders) > 1 and rng.random() < 0.05,
            rng.randint(2, 90) * MINUTE_MS if rng.random() < 0.015 else 0,
            rng.choice(WHY),
        )


def _riders(size: Size, rng: random.Random) -> tuple[int, ...]:
    aboard = rng.choices((1, 2, 3), (78, 16, 6))[0]
    eager = max(EAGER_MIN, size.members // EAGER)
    most = [eager if rng.random() < EAGER_SHARE else size.members for _ in range(aboard)]
    return tuple(dict.fromkeys(map(rng.randrange, most)))


def _spot(rng: random.Random) -> str:
    """Somewhere in the town; unknown now and then."""
    if rng.random() < 0.1:
        return ""
    return f"{rng.uniform(36.33, 36.43):.3f},{rng.uniform(139.01, 139.15):.3f}"


def dead_zones(size: Size, first: datetime.date, seed: int) -> list[list[Zone]]:
    """Return for each taxi when it has no network: hours on some days, a few days now and then."""
    rng = random.Random(f"zones {seed}")
    found: list[list[Zone]] = []
    for _ in range(size.taxis):
        zones = []
        for day in range(size.days):
            begins_ms = start_of_day_ms(first + datetime.timedelta(day)) + OPENS_MS
            if rng.random() < 0.25:
                from_ms = begins_ms + rng.randrange(11 * HOUR_MS)
                zones.append(Zone(from_ms, from_ms + rng.randint(30, 240) * MINUTE_MS))
            if rng.random() < 0.03:
                zones.append(Zone(begins_ms - HOUR_MS, begins_ms + rng.randint(1, 3) * DAY_MS))
        found.append(zones)
    return found
