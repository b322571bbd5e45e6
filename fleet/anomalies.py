"""Rides that a clerk looks at twice: said by rule, never by suspicion, and decided by a person.

Rules: each kind has one plain condition that stands beside its list; nothing here changes a ride;
members are named by registration number alone, and that leaves a line in persons' audit.
"""

import datetime
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import sqlalchemy as sa

from fleet import audit, bulk
from fleet.months import bounds_ms
from fleet.schema import finding, ride, ride_share
from programmes.area import read_corner
from programmes.calendar import local_day
from wire.codes import Code, Outcome

Kind = Literal["allowance", "two-taxis", "too-far", "fare", "many"]
KINDS: Final[tuple[Kind, ...]] = ("allowance", "two-taxis", "too-far", "fare", "many")
KMH_MAX: Final = 120
"""From the end of one ride to the beginning of the next: faster is no car in a town."""
SLACK_KM: Final = 1.0
"""Spots are rounded to 100 m, and clocks to seconds."""
FARE_AT_ONCE_YEN: Final = 1_000
FARE_PER_KM_YEN: Final = 800
"""A meter's first distance and twice its dearest kilometre (前橋地区の上限運賃 is some 400 yen a
km): a fare above it went a long way round, or was mistyped."""
MANY_IN_A_MONTH: Final = 40
"""More than one each day on which shops are open, and back."""
SHOWN_MAX: Final = 500
_KM_OF_DEGREE: Final = 111.2


class Anomaly(NamedTuple):
    """One thing to look at. `ride_id` is the later ride; `other_id` the one beside it, if any."""

    kind: Kind
    ride_id: int
    at_ms: int
    place: str
    organisation: str
    fare_yen: int
    subsidy_yen: int
    credential: str
    """Never shown: it becomes a registration number."""
    other_id: int | None = None
    number: int = 0
    """Kilometres, yen or rides, as the kind says."""


class Shown(NamedTuple):
    """An anomaly as a clerk sees it."""

    one: Anomaly
    registration_number: str


class _Trip(NamedTuple):
    ride_id: int
    boarded_at_ms: int
    at_ms: int
    place: str
    organisation: str
    on: str
    off: str
    fare_yen: int
    subsidy_yen: int


def find(connection: sa.Connection, programme: str, month: datetime.date) -> list[Anomaly]:
    """Return the month's anomalies, the latest first, at most SHOWN_MAX of each kind."""
    trips = _trips(connection, programme, month)
    found = [*_over(connection, programme, month), *_fares(trips)]
    for credential, some in trips.items():
        found += _of_member(credential, some)
    found.sort(key=lambda one: (KINDS.index(one.kind), -one.at_ms))
    kept: dict[str, int] = defaultdict(int)
    shown = []
    for one in found:
        kept[one.kind] += 1
        if kept[one.kind] <= SHOWN_MAX:
            shown.append(one)
    return shown


def _here(programme: str, month: datetime.date) -> tuple[sa.ColumnElement[bool], ...]:
    since_ms, until_ms = bounds_ms(month)
    later = sa.alias(ride, "later")
    return (
        ride.c.programme == programme,
        ride.c.boarded_at_ms >= since_ms,
        ride.c.boarded_at_ms < until_ms,
        ride.c.kind == "ride",
        ride.c.outcome == Outcome.ACCEPTED.value,
        ~sa.exists().where(later.c.of_id == ride.c.id),
    )


_COLUMNS: Final = (
    ride.c.id,
    ride.c.boarded_at_ms,
    ride.c.at_ms,
    ride.c.place,
    ride.c.organisation,
    ride.c.on_spot,
    ride.c.off_spot,
    ride.c.fare_yen,
    ride.c.subsidy_yen,
    ride_share.c.credential,
)


def _trips(
    connection: sa.Connection, programme: str, month: datetime.date
) -> dict[str, list[_Trip]]:
    """Return each card's rides in the order in which they began."""
    wanted = (
        sa.select(*_COLUMNS)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .where(*_here(programme, month))
        .order_by(ride.c.boarded_at_ms, ride.c.id)
    )
    found: dict[str, list[_Trip]] = defaultdict(list)
    for row in connection.execute(wanted):
        found[row.credential].append(_Trip(*row[:-1]))
    return found


def _over(connection: sa.Connection, programme: str, month: datetime.date) -> Iterator[Anomaly]:
    """Yield rides over an allowance, found by the ledger or entered so: the city bears them."""
    found = sa.exists().where(
        finding.c.journal_id == ride.c.journal_id,
        finding.c.n == ride.c.n,
        finding.c.kind == "allowance",
    )
    wanted = (
        sa.select(*_COLUMNS)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .where(
            *_here(programme, month),
            sa.or_(found, ride.c.code == Code.USED_UP.value),
            ride_share.c.seat == 0,
        )
    )
    for row in connection.execute(wanted):
        yield _anomaly("allowance", _Trip(*row[:-1]), row.credential)


def _anomaly(
    kind: Kind, trip: _Trip, credential: str, other: _Trip | None = None, number: int = 0
) -> Anomaly:
    return Anomaly(
        kind,
        trip.ride_id,
        trip.boarded_at_ms,
        trip.place,
        trip.organisation,
        trip.fare_yen,
        trip.subsidy_yen,
        credential,
        other.ride_id if other else None,
        number,
    )


def _of_member(credential: str, trips: Sequence[_Trip]) -> Iterator[Anomaly]:
    for before, trip in itertools.pairwise(trips):
        if trip.place != before.place and trip.boarded_at_ms < before.at_ms:
            yield _anomaly("two-taxis", trip, credential, before)
        elif before.off and trip.on:
            km = distance_km(before.off, trip.on)
            hours = max(0, trip.boarded_at_ms - before.at_ms) / 3_600_000
            if km - SLACK_KM > KMH_MAX * hours:
                yield _anomaly("too-far", trip, credential, before, round(km))
    if len(trips) > MANY_IN_A_MONTH:
        yield _anomaly("many", trips[-1], credential, number=len(trips))


def _fares(trips: dict[str, list[_Trip]]) -> Iterator[Anomaly]:
    """Yield rides that cost more than the way between their ends can; each once."""
    seen: set[int] = set()
    for credential, some in trips.items():
        for trip in some:
            if trip.ride_id in seen or not trip.on or not trip.off:
                continue
            seen.add(trip.ride_id)
            km = distance_km(trip.on, trip.off) + SLACK_KM
            if trip.fare_yen > FARE_AT_ONCE_YEN + FARE_PER_KM_YEN * km:
                yield _anomaly("fare", trip, credential, number=trip.fare_yen)


def distance_km(one: str, other: str) -> float:
    """Return how far two spots are from each other as the crow flies, within a percent here."""
    (north, east), (other_north, other_east) = read_corner(one), read_corner(other)
    up = (other_north - north) / 1000 * _KM_OF_DEGREE
    middle = math.radians((north + other_north) / 2000)
    across = (other_east - east) / 1000 * _KM_OF_DEGREE * math.cos(middle)
    return math.hypot(up, across)


_NUMBERS: Final = """
SELECT card.credential, member.registration_number
FROM card JOIN member ON member.id = card.member_id WHERE card.credential IN ?
"""


def name(
    people: sa.Connection, programme: str, found: Iterable[Anomaly], who: str, at_ms: int
) -> list[Shown]:
    """Turn cards into registration numbers; that leaves a line in persons' audit."""
    every = list(found)
    cards = sorted({one.credential for one in every})
    numbers = dict(bulk.select_in(people, _NUMBERS, cards))
    named = sorted({numbers[one] for one in cards if one in numbers})
    if named:
        audit.note_person(people, at_ms, who, "ride.anomalies-seen", programme, " ".join(named))
    return [Shown(one, numbers.get(one.credential, "")) for one in every]


def months_to_choose(now_ms: int, number: int = 13) -> list[datetime.date]:
    """Return the first days of the last months, the present one first."""
    found = [local_day(now_ms).replace(day=1)]
    while len(found) < number:
        found.append((found[-1] - datetime.timedelta(days=1)).replace(day=1))
    return found
