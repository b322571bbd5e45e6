"""The lines of claims: rows of `ride` as money sees them, and what they add up to.

Rules: each row of `ride` is one line, a taking back too, with the sign turned; a line is of the
month in which its first rider boarded, whenever it arrived; nothing here names a rider.
"""

import datetime
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from fleet.schema import claim_line, journal, ride
from programmes.calendar import local_day, start_of_day_ms

K = TypeVar("K", bound=Hashable)


class Line(NamedTuple):
    """One row of `ride` with its reader's name."""

    id: int
    kind: str
    of_id: int | None
    reader: str | None
    journal: str | None
    n: int | None
    organisation: str
    place: str
    driver: str
    boarded_at_ms: int
    at_ms: int
    on_spot: str
    off_spot: str
    riders: int
    fare_yen: int
    discount: str
    discount_yen: int
    subsidy_yen: int
    riders_pay_yen: int
    medium: str
    ticket: str
    outcome: str
    rule: str

    @property
    def day(self) -> datetime.date:
        """The day of the ride."""
        return local_day(self.boarded_at_ms)

    @property
    def month(self) -> str:
        """The month of the ride, as 2026-06."""
        return f"{self.day:%Y-%m}"


_COLUMNS = [
    journal.c[name] if name in ("reader", "journal") else ride.c[name] for name in Line._fields
]


def _wanted() -> sa.Select[tuple[object, ...]]:
    joined = ride.outerjoin(journal, journal.c.id == ride.c.journal_id)
    return sa.select(*_COLUMNS).select_from(joined).order_by(ride.c.boarded_at_ms, ride.c.id)


def unclaimed(
    connection: sa.Connection, programme: str, organisation: str, until: datetime.date
) -> list[Line]:
    """Return a company's rows through a day that stand in no claim, by time of boarding."""
    after_ms = start_of_day_ms(until + datetime.timedelta(days=1))
    stands = sa.exists().where(claim_line.c.ride_id == ride.c.id, claim_line.c.stands)
    rows = connection.execute(
        _wanted().where(
            ride.c.programme == programme,
            ride.c.organisation == organisation,
            ride.c.boarded_at_ms < after_ms,
            ~stands,
        )
    )
    return [Line._make(row) for row in rows]


def of_claim(connection: sa.Connection, number: int) -> list[Line]:
    """Return the rows of a claim, by time of boarding."""
    mine = sa.select(claim_line.c.ride_id).where(claim_line.c.claim_id == number)
    return [Line._make(row) for row in connection.execute(_wanted().where(ride.c.id.in_(mine)))]


# --- what they add up to -------------------------------------------------------------------------


@dataclass(slots=True)
class Sum:
    """Lines added up; rides: without those that were taken back, riders likewise."""

    lines: int = 0
    rides: int = 0
    riders: int = 0
    fare_yen: int = 0
    discount_yen: int = 0
    subsidy_yen: int = 0
    riders_pay_yen: int = 0

    def add(self, line: Line) -> None:
        """Add one line."""
        self.lines += 1
        self.rides += 1 if line.kind == "ride" else -1
        self.riders += line.riders
        self.fare_yen += line.fare_yen
        self.discount_yen += line.discount_yen
        self.subsidy_yen += line.subsidy_yen
        self.riders_pay_yen += line.riders_pay_yen


def total(lines: Iterable[Line]) -> Sum:
    """Return what lines add up to."""
    found = Sum()
    for line in lines:
        found.add(line)
    return found


def sums(lines: Iterable[Line], key: Callable[[Line], K]) -> dict[K, Sum]:
    """Return what lines add up to by a key, in the order in which keys come."""
    found: dict[K, Sum] = {}
    for line in lines:
        found.setdefault(key(line), Sum()).add(line)
    return found


class Week(NamedTuple):
    """Days of a claim's month, Monday to Sunday; first None: an earlier month, all of it."""

    month: str
    first: datetime.date | None = None
    last: datetime.date | None = None


def week_of(month: str) -> Callable[[Line], Week]:
    """Return in which week of a claim's month a line lies, or in which month before."""

    def week(line: Line) -> Week:
        if line.month != month:
            return Week(line.month)
        day = line.day
        monday = day - datetime.timedelta(days=day.weekday())
        days = (monday + datetime.timedelta(days=number) for number in range(7))
        inside = [one for one in days if f"{one:%Y-%m}" == month]
        return Week(month, inside[0], inside[-1])

    return week


def duplicates(lines: Iterable[Line]) -> Iterator[int]:
    """Yield the rides that look like another one: the vehicle, minute and fare, or the ticket.

    A ride that was taken back counts for none.
    """
    held = list(lines)
    gone = {line.of_id for line in held if line.kind != "ride"}
    seen: dict[tuple[object, ...], list[int]] = {}
    for line in held:
        if line.kind != "ride" or line.id in gone:
            continue
        if line.place:
            minute = line.boarded_at_ms // 60_000
            seen.setdefault((line.place, minute, line.fare_yen), []).append(line.id)
        for ticket in line.ticket.split():
            seen.setdefault(("ticket", ticket), []).append(line.id)
    for ids in seen.values():
        if len(ids) > 1:
            yield from ids
