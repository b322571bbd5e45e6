"""A member's year on paper: how often, what was paid and by whom, and what remains.

Rules: over all cards that the member has, as the ledger counts it; of one programme; whoever has
one made has looked at a person, which is in the audit; no place and no hour stands on it, so that
it may lie on a kitchen table.
"""

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from fleet import audit, usage
from fleet.months import month_of, next_month
from fleet.report_counts import USED, WHEN, city_pays
from fleet.reports import columns_of, months_of
from fleet.schema import entry, member, person, ride, ride_share
from programmes.calendar import local_day, start_of_day_ms
from programmes.register import rulebook


class Whose(NamedTuple):
    """Whom a statement is for."""

    member_id: int
    programme: str
    registration_number: str
    name: str


@dataclass(slots=True)
class Sum:
    """What somebody used in a month or a year; yen are None where no money moves."""

    times: int = 0
    rider_yen: int | None = None
    city_yen: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """All that stands on the sheet beside the name."""

    year: int
    months: tuple[tuple[datetime.date, Sum], ...]
    """First day and sum of every month that has begun, from April on."""
    total: Sum
    running: bool
    """The last of the months is not over."""
    made_on: datetime.date


def see(
    connection: sa.Connection, member_id: int, who: str, at_ms: int
) -> tuple[Whose, list[str]] | None:
    """Return whom a statement is for and the credentials of all his cards; None: nobody, or erased.

    Writes one line in the audit; needs a writing connection.
    """
    columns = (member.c.id, member.c.programme, member.c.registration_number, person.c.name)
    row = connection.execute(
        sa.select(*columns)
        .select_from(member.join(person, person.c.id == member.c.person_id))
        .where(member.c.id == member_id, member.c.erased_at_ms.is_(None))
    ).one_or_none()
    if row is None:
        return None
    whose = Whose(*row)
    subject = f"{whose.programme} {whose.registration_number}"
    audit.note_person(connection, at_ms, who, "statement.printed", subject)
    return whose, usage.cards_of(connection, member_id)


def of_year(
    connection: sa.Connection, programme: str, credentials: Collection[str], year: int, at_ms: int
) -> Statement:
    """Return what was used of a fiscal year under these cards, as far as the ledger has it."""
    today = local_day(at_ms)
    if rulebook(programme).rides is not None:
        return _of_rides(connection, programme, credentials, year, today)
    columns = columns_of(programme)
    riders, city = (0 if name in columns else None for name in ("rider_yen", "city_yen"))
    begun = [month for month in months_of(year) if month <= today]
    sums = {month: Sum(0, riders, city) for month in begun}
    prices, total = city_pays(connection), Sum(0, riders, city)
    bounds = (start_of_day_ms(datetime.date(one, 4, 1)) for one in (year, year + 1))
    for used in connection.execute(_used(programme, credentials, *bounds)):
        priced = prices.get((programme, used.rule or ""), 0)
        for one in (sums.get(month_of(used.when_ms)), total):
            if one is not None:
                _add(one, used.rider_pays_yen or 0, priced)
    running = bool(begun) and next_month(begun[-1]) > today
    return Statement(year, tuple(sums.items()), total, running, today)


def _of_rides(
    connection: sa.Connection,
    programme: str,
    credentials: Collection[str],
    year: int,
    today: datetime.date,
) -> Statement:
    """Return a year's rides and what the city paid for this member; what was taken back is none.

    What riders pay together is nobody's alone, so that it does not stand here.
    """
    begun = [month for month in months_of(year) if month <= today]
    sums, total = {month: Sum(0, None, 0) for month in begun}, Sum(0, None, 0)
    first_ms, after_ms = (start_of_day_ms(datetime.date(one, 4, 1)) for one in (year, year + 1))
    wanted = (
        sa.select(ride.c.boarded_at_ms, ride_share.c.times, ride_share.c.subsidy_yen)
        .join(ride, ride.c.id == ride_share.c.ride_id)
        .where(
            ride_share.c.credential.in_(credentials),
            ride.c.programme == programme,
            ride.c.boarded_at_ms >= first_ms,
            ride.c.boarded_at_ms < after_ms,
        )
    )
    for at_ms, times, yen in connection.execute(wanted):
        for one in (sums.get(month_of(at_ms)), total):
            if one is not None:
                one.times += times
                one.city_yen = (one.city_yen or 0) + yen
    running = bool(begun) and next_month(begun[-1]) > today
    return Statement(year, tuple(sums.items()), total, running, today)


def _used(
    programme: str, credentials: Collection[str], first_ms: int, after_ms: int
) -> sa.Select[tuple[int, int, str]]:
    return sa.select(WHEN.label("when_ms"), entry.c.rider_pays_yen, entry.c.rule).where(
        entry.c.credential.in_(credentials),
        entry.c.programme == programme,
        USED,
        first_ms <= WHEN,
        after_ms > WHEN,
    )


def _add(one: Sum, rider_yen: int, city_yen: int) -> None:
    one.times += 1
    if one.rider_yen is not None:
        one.rider_yen += rider_yen
    if one.city_yen is not None:
        one.city_yen += city_yen
