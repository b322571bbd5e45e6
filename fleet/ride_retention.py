"""Rides and claims past their time: dropped month by month, and what is left is a signed line.

Rules: how many fiscal years after their own they are kept is the tenant's to say; a ride is of the
month in which it began, or in which it arrived when that was much later (LATE_MS); it stays as long
as a claim in which it stands, and goes together with its taking back; nothing goes that nobody has
claimed, or that was claimed and neither paid nor returned, unless a person says so; a month goes in
one transaction, the oldest first, with its counters of what members had used.
"""

import datetime
from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleet import audit, months, rides
from fleet.claims import State
from fleet.grants import lifted
from fleet.retention import OBSTACLES_MAX, RetentionRefused
from fleet.schema import (
    claim,
    claim_line,
    journal,
    retired_rides,
    ride,
    ride_retention,
    ride_share,
    ride_taken_back,
    usage,
)
from fleet.verdict import RetiredRides, RideSum
from programmes.calendar import fiscal_year, local_day
from programmes.register import RULEBOOKS
from wire.envelope import MessageRefused, Purpose, Signer, open_envelope
from wire.individual_number import refuse_individual_number

YEARS_DEFAULT: Final = 5
"""As `retention.MONTHS_DEFAULT`: accounts are audited for as long as claims do not lapse."""
YEARS_MIN: Final = 1
"""The year whose allowances are still counted is the present one."""
YEARS_MAX: Final = 100
LATE_MS: Final = 61 * 24 * 3_600_000
"""A town's books of a fiscal year are closed on 31 May (地方自治法 article 235-5). What arrives so
late, such as a ride by a clock that stood in 1970, is of the month of its arrival."""


class Gone(NamedTuple):
    """What went with a month."""

    rides: dict[str, dict[str, RideSum]]
    claims: int
    claimed_yen: int

    @property
    def rows(self) -> int:
        """Rows of `ride`."""
        return sum(one.rows for some in self.rides.values() for one in some.values())


def kept_years(connection: sa.Connection) -> int:
    """Return how many fiscal years after their own rides are kept."""
    newest = sa.select(ride_retention.c.years).order_by(ride_retention.c.id.desc()).limit(1)
    return connection.scalar(newest) or YEARS_DEFAULT


def keep_years(connection: sa.Connection, count: int, who: str, why: str, at_ms: int) -> None:
    """Say how many fiscal years rides are kept. Raises RetentionRefused."""
    if not YEARS_MIN <= count <= YEARS_MAX:
        raise RetentionRefused(f"rides are kept {YEARS_MIN} to {YEARS_MAX} years, not {count}")
    if not why.strip():
        raise RetentionRefused("retention is changed with a reason: name the rule that asks for it")
    refuse_individual_number("why", why)
    row = {"years": count, "at_ms": at_ms, "who": who, "why": why}
    connection.execute(ride_retention.insert(), row)
    audit.note(connection, at_ms, who, "retention.rides-set", str(count), why)


def gone(
    connection: sa.Connection, tenant: str, key: ed25519.Ed25519PublicKey
) -> list[tuple[str, RetiredRides | None]]:
    """Return the months whose rides were dropped, with their lines; None: not the fleet's own."""
    columns = (retired_rides.c.month, retired_rides.c.line)
    rows = connection.execute(sa.select(*columns).order_by(retired_rides.c.month))
    return [(row.month, _opened(row.line, tenant, key, row.month)) for row in rows]


def _opened(
    line: bytes, tenant: str, key: ed25519.Ed25519PublicKey, month: str
) -> RetiredRides | None:
    try:
        found = open_envelope(line, Purpose.RETIRED_RIDES, tenant, key, RetiredRides)
    except MessageRefused:
        return None
    return found if found.month == month else None


# --- what is due ---------------------------------------------------------------------------------


def _belongs_ms(row: sa.FromClause) -> "sa.ColumnElement[int]":
    """Return the instant by whose month a ride goes."""
    is_late = row.c.booked_at_ms - row.c.boarded_at_ms > LATE_MS
    return sa.case((is_late, row.c.booked_at_ms), else_=row.c.boarded_at_ms)


def due(connection: sa.Connection, now_ms: int) -> list[datetime.date]:
    """Return the months past their time that hold rides or claims, the oldest first.

    What stayed behind of one that was dropped goes with a later one, as its claim does.
    """
    first_kept = datetime.date(fiscal_year(local_day(now_ms)) - kept_years(connection), 4, 1)
    last = rides.gone_through(connection)
    since_ms = months.bounds_ms(_month(last))[1] if last else 0
    found = set(_months(connection, since_ms, months.bounds_ms(first_kept)[0]))
    claimed = (claim.c.month > last, claim.c.month < f"{first_kept:%Y-%m}")
    named = connection.scalars(sa.select(claim.c.month).distinct().where(*claimed))
    return sorted(found | {_month(name) for name in named})


def _month(name: str) -> datetime.date:
    return datetime.date.fromisoformat(f"{name}-01")


def _months(connection: sa.Connection, since_ms: int, before_ms: int) -> Iterator[datetime.date]:
    at = _belongs_ms(ride)
    while True:
        inside = (at >= since_ms, at < before_ms)
        first_ms = connection.scalar(sa.select(sa.func.min(at)).where(*inside))
        if first_ms is None:
            return
        yield months.month_of(first_ms)
        _, since_ms = months.bounds_ms(months.month_of(first_ms))


def _claims(month: datetime.date) -> "sa.ColumnElement[bool]":
    """Return which claims go with a month: all of whose rides belong to it, or before."""
    _, after_ms = months.bounds_ms(month)
    line = ride.join(claim_line, claim_line.c.ride_id == ride.c.id)
    mine = (claim_line.c.claim_id == claim.c.id, _belongs_ms(ride) >= after_ms)
    later = sa.exists().select_from(line).where(*mine)
    return sa.and_(claim.c.month <= f"{month:%Y-%m}", ~later)


def _going(row: sa.FromClause, month: datetime.date) -> "sa.ColumnElement[bool]":
    """Return which rides go with a month, once its claims are gone."""
    _, after_ms = months.bounds_ms(month)
    back, claimed_back = sa.alias(ride, "back"), sa.alias(ride, "claimed_back")
    later = sa.exists().where(back.c.of_id == row.c.id, _belongs_ms(back) >= after_ms)
    line = claimed_back.join(claim_line, claim_line.c.ride_id == claimed_back.c.id)
    other = sa.exists().select_from(line).where(claimed_back.c.of_id == row.c.id)
    mine = sa.exists().where(claim_line.c.ride_id.in_((row.c.id, row.c.of_id)))
    return sa.and_(_belongs_ms(row) < after_ms, ~later, ~other, ~mine)


# --- dropping ------------------------------------------------------------------------------------


def retire(
    connection: sa.Connection,
    month: datetime.date,
    tenant: str,
    by: Signer,
    who: str,
    at_ms: int,
    *,
    forced: bool = False,
) -> Gone:
    """Drop a month's rides and claims and leave its line, in the caller's transaction.

    Raises RetentionRefused.
    """
    if month not in due(connection, at_ms)[:1]:
        raise RetentionRefused(f"the rides of {month:%Y-%m} are not the oldest past their time")
    obstacles = list(open_questions(connection, month))
    if obstacles and not forced:
        told = "; ".join(obstacles)
        raise RetentionRefused(f"the rides of {month:%Y-%m} stay: {told} (--yes drops them anyway)")
    found = _drop(connection, month)
    line = RetiredRides(
        v=1,
        month=f"{month:%Y-%m}",
        rides=found.rides,
        claims=found.claims,
        claimed_yen=found.claimed_yen,
        forced=bool(obstacles),
        at_ms=at_ms,
        who=who,
    )
    sealed = by.seal(Purpose.RETIRED_RIDES, tenant, line)
    row = {"month": line.month, "rides": found.rows, "at_ms": at_ms, "who": who, "line": sealed}
    connection.execute(retired_rides.insert(), row)
    detail = "; ".join(obstacles)[:300] if forced else ""
    audit.note(connection, at_ms, who, "rides.retired", line.month, detail)
    return found


def open_questions(connection: sa.Connection, month: datetime.date) -> Iterator[str]:
    """Yield what a person should look at before it is gone."""
    waiting = (State.MADE, State.APPROVED)
    undone = sa.select(claim.c.id, claim.c.organisation, claim.c.state)
    here = (_claims(month), claim.c.state.in_(waiting))
    for row in connection.execute(undone.where(*here).limit(OBSTACLES_MAX)):
        yield f"claim {row.id} of {row.organisation} is {row.state}"
    summed = sa.func.sum(ride.c.subsidy_yen).label("yen")
    stands = sa.exists().where(claim_line.c.ride_id == ride.c.id, claim_line.c.stands)
    first_ms, after_ms = months.bounds_ms(month)
    mine = (_belongs_ms(ride) >= first_ms, _belongs_ms(ride) < after_ms)
    never = (
        sa.select(ride.c.organisation, sa.func.count().label("rows"), summed)
        .where(*mine, ride.c.subsidy_yen != 0, ~stands)
        .group_by(ride.c.organisation)
        .order_by(ride.c.organisation)
        .limit(OBSTACLES_MAX)
    )
    for row in connection.execute(never):
        yield f"{row.rows} rows of {row.organisation}, {row.yen} yen, stand in no claim"


def _drop(connection: sa.Connection, month: datetime.date) -> Gone:
    """Remove a month's claims, and then the rides that no claim holds any more."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    going = _claims(month)
    standing = sa.case((claim.c.state != State.RETURNED, claim.c.subsidy_yen), else_=0)
    counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(standing), 0)).where(going)
    claims, yen = connection.execute(counted).one()
    of_claims = claim_line.c.claim_id.in_(sa.select(claim.c.id).where(going))
    connection.execute(claim_line.delete().where(of_claims))
    connection.execute(claim.delete().where(going))
    sums = _sums(connection, month)
    with lifted(connection, "ride", "ride_share", "ride_taken_back"):
        old = sa.alias(ride, "old")
        ids = sa.select(old.c.id).where(_going(old, month))
        connection.execute(ride_share.delete().where(ride_share.c.ride_id.in_(ids)))
        backs = ids.where(old.c.of_id.is_not(None))  # before the rides that they name
        for some in (backs, ids):
            connection.execute(ride.delete().where(ride.c.id.in_(some)))
        _drop_takings_back(connection, month)
    _drop_usage(connection, month)
    return Gone(sums, claims, int(yen))


def _sums(connection: sa.Connection, month: datetime.date) -> dict[str, dict[str, RideSum]]:
    is_back = sa.case((ride.c.kind != "ride", 1), else_=0)
    rows = connection.execute(
        sa.select(
            *(ride.c.programme, ride.c.organisation, sa.func.count().label("rows")),
            sa.func.sum(is_back).label("back"),
            sa.func.sum(ride.c.fare_yen).label("fare"),
            sa.func.sum(ride.c.subsidy_yen).label("subsidy"),
        )
        .where(_going(ride, month))
        .group_by(ride.c.programme, ride.c.organisation)
        .order_by(ride.c.programme, ride.c.organisation)
    )
    found: dict[str, dict[str, RideSum]] = {}
    for row in rows:
        told = RideSum(row.rows, int(row.back), int(row.fare), int(row.subsidy))
        found.setdefault(row.programme, {})[row.organisation] = told
    return found


def _drop_takings_back(connection: sa.Connection, month: datetime.date) -> None:
    """Remove what readers took back, of journals from which nothing has come since."""
    _, after_ms = months.bounds_ms(month)
    quiet = sa.select(journal.c.id).where(journal.c.received_at_ms < after_ms)
    old = (ride_taken_back.c.at_ms < after_ms, ride_taken_back.c.journal_id.in_(quiet))
    connection.execute(ride_taken_back.delete().where(*old))


def _drop_usage(connection: sa.Connection, month: datetime.date) -> None:
    """Remove what members used on the days of a month, and of the fiscal year with its last one."""
    _, after_ms = months.bounds_ms(month)
    for name, book in RULEBOOKS.items():
        if book.rides is None or book.periods is None:
            continue
        day, year = book.periods(after_ms - 1)
        old = usage.c.period.like("%-%") & (usage.c.period <= day)
        if book.periods(after_ms)[1] != year:
            old |= ~usage.c.period.like("%-%") & (usage.c.period <= year)
        connection.execute(usage.delete().where(usage.c.programme == name, old))
