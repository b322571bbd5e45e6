"""What the rides of a programme came to, by month, company and medium: sums over rows of `ride`.

Rules: a ride counts in the month in which it began; one that was taken back is not counted at all;
the yen of a month are the sum over its rows, so they are the ledger's; a member counts once over
all cards that he has; what fewer than five people stand behind is not counted out by company.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from fleet import bulk
from fleet.months import bounds_ms
from fleet.rides import CARD
from fleet.schema import card, member, place, ride, ride_share
from fleet.suppression import is_few
from programmes.calendar import local_day
from wire.codes import Outcome

MEDIA: Final = (CARD, "paper", "none")
_OWNERS: Final = "SELECT credential, member_id FROM card WHERE credential IN ?"


@dataclass(slots=True)
class Sums:
    """What some rides come to. Yen are whole."""

    rides: int = 0
    """Accepted and not taken back."""
    shared: int = 0
    """Of these, with several riders."""
    riders: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEDIA, 0))
    """Uses by medium: three riders of one ride are three."""
    refused: int = 0
    """Neither end in the town."""
    taken_back: int = 0
    fare_yen: int = 0
    discount_yen: int = 0
    subsidy_yen: int = 0
    riders_pay_yen: int = 0
    members: set[int] = field(default_factory=set)

    @property
    def uses(self) -> int:
        """All riders, with a card and without."""
        return sum(self.riders.values())

    @property
    def users(self) -> int | None:
        """How many members rode; None: too few to be counted out."""
        return None if is_few(len(self.members)) else len(self.members)

    @property
    def card_permille(self) -> int | None:
        """Of the uses those by card, in tenths of a percent; None where there was none."""
        return (self.riders[CARD] * 2_000 + self.uses) // (self.uses * 2) if self.uses else None

    def add(self, other: "Sums") -> None:
        """Add another stretch or company."""
        for name in ("rides", "shared", "refused", "taken_back"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("fare_yen", "discount_yen", "subsidy_yen", "riders_pay_yen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for medium, number in other.riders.items():
            self.riders[medium] = self.riders.get(medium, 0) + number
        self.members |= other.members


Figures = Mapping[tuple[datetime.date, str], Sums]
"""By month (its first day) and company."""


def count(
    connection: sa.Connection,
    people: sa.Connection,
    programme: str,
    months: Sequence[datetime.date],
) -> dict[tuple[datetime.date, str], Sums]:
    """Return what the rides of these months, which follow one another, come to."""
    since_ms, _ = bounds_ms(months[0])
    _, until_ms = bounds_ms(months[-1])
    here = (
        ride.c.programme == programme,
        ride.c.boarded_at_ms >= since_ms,
        ride.c.boarded_at_ms < until_ms,
    )
    starts = [bounds_ms(month)[0] for month in months]
    month = sa.case(
        *((ride.c.boarded_at_ms >= at_ms, nth) for nth, at_ms in reversed([*enumerate(starts)]))
    ).label("month")
    found: dict[tuple[datetime.date, str], Sums] = {}
    for row in connection.execute(_sums(month).where(*here)):
        sums = found.setdefault((months[row.month], row.organisation), Sums())
        _take(sums, row)
    _note_members(connection, people, _riders(month).where(*here), months, found)
    return found


def _sums(month: Any) -> sa.Select[Any]:
    alike = (month, ride.c.organisation, ride.c.kind, ride.c.outcome, ride.c.medium)
    shared = sa.case((sa.func.abs(ride.c.riders) > 1, 1), else_=0)
    return sa.select(
        *alike,
        sa.func.count().label("rows"),
        sa.func.sum(shared).label("shared"),
        sa.func.sum(ride.c.riders).label("riders"),
        *(
            sa.func.sum(ride.c[name]).label(name)
            for name in ("fare_yen", "discount_yen", "subsidy_yen", "riders_pay_yen")
        ),
    ).group_by(*alike)


def _take(sums: Sums, row: Any) -> None:
    sign = 1 if row.kind == "ride" else -1
    if row.kind != "ride":
        sums.taken_back += row.rows
    if row.outcome != Outcome.ACCEPTED.value:
        sums.refused += sign * row.rows
        return
    sums.rides += sign * row.rows
    sums.shared += sign * int(row.shared)
    sums.riders[row.medium] = sums.riders.get(row.medium, 0) + int(row.riders)
    for name in ("fare_yen", "discount_yen", "subsidy_yen", "riders_pay_yen"):
        setattr(sums, name, getattr(sums, name) + int(row._mapping[name]))


def _riders(month: Any) -> sa.Select[Any]:
    """Return by month and company each card and how often it rode, taken back or not."""
    alike = (month, ride.c.organisation, ride_share.c.credential)
    return (
        sa.select(*alike)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .group_by(*alike)
        .having(sa.func.sum(ride_share.c.times) > 0)
    )


def _note_members(
    connection: sa.Connection,
    people: sa.Connection,
    wanted: sa.Select[Any],
    months: Sequence[datetime.date],
    found: Mapping[tuple[datetime.date, str], Sums],
) -> None:
    rows = connection.execute(wanted).all()
    cards = sorted({row.credential for row in rows})
    owners = dict(bulk.select_in(people, _OWNERS, cards))
    nobody = {card: -nth for nth, card in enumerate(cards, 1)}
    for row in rows:
        sums = found.get((months[row.month], row.organisation))
        if sums is not None:
            sums.members.add(owners.get(row.credential, nobody[row.credential]))


def together(some: Iterable[Sums]) -> Sums:
    """Return the sum of several."""
    total = Sums()
    for one in some:
        total.add(one)
    return total


def companies(connection: sa.Connection, programme: str) -> list[str]:
    """Return the companies that have a vehicle in the programme, or had a ride in it, by name."""
    here = sa.select(place.c.organisation, place.c.programmes).where(place.c.organisation != "")
    named = {row.organisation for row in connection.execute(here) if programme in row.programmes}
    rode = sa.select(ride.c.organisation.distinct()).where(ride.c.programme == programme)
    return sorted({*named, *(row[0] for row in connection.execute(rode) if row[0])})


def enrolled(people: sa.Connection, programme: str, day: datetime.date) -> tuple[int, int]:
    """Return how many members there are on a day, and how many of them hold a card."""
    here = (
        member.c.programme == programme,
        sa.or_(member.c.valid_from.is_(None), member.c.valid_from <= day),
        sa.or_(member.c.valid_to.is_(None), member.c.valid_to >= day),
        member.c.erased_at_ms.is_(None),
    )
    holds = sa.exists().where(
        card.c.member_id == member.c.id,
        card.c.superseded_at_ms.is_(None),
    )
    every = people.scalar(sa.select(sa.func.count()).select_from(member).where(*here))
    some = people.scalar(sa.select(sa.func.count()).select_from(member).where(*here, holds))
    return int(every or 0), int(some or 0)


def last_whole_month(now_ms: int) -> datetime.date:
    """Return the first day of the last month that is over."""
    this = local_day(now_ms).replace(day=1)
    return (this - datetime.timedelta(days=1)).replace(day=1)
