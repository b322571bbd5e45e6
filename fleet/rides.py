"""Rides as money knows them: one row each, and one with the sign turned that takes it back.

What a claim adds up, what a city pays and what members have used rest on these rows.

Rules: a row is never changed; a ride is taken back at most once, by its own reader or by the
office, whoever is first, and counts for its riders no more from then on; a taking back that comes
before its ride (the ride lay in a gap) waits for it; rows are written in the transaction that
inserts the entries, so a resend writes none; where a programme settles no rides an entry of one
is kept and is worth nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import store
from fleet.journals import Journal
from fleet.opening import Arrived
from fleet.registry import Reader
from fleet.schema import entry, journal, retired_rides, ride, ride_share, ride_taken_back
from programmes.bookings import Booking, bookings
from programmes.register import RULEBOOKS
from wire.codes import Outcome
from wire.entries import Cancel, Entry, Ride, Used, decode

CARD: Final = "card"
"""`ride.medium`: the riders tapped at a reader. The office's own are `paper` and `none`."""


_INSERT: Final = ride.insert().returning(ride.c.id, sort_by_parameter_order=True)
_INSERT_SHARE: Final = ride_share.insert()


class At(NamedTuple):
    """Where an entry stands."""

    reader: Reader
    state: Journal
    n: int
    received_at_ms: int


def book(
    connection: sa.Connection,
    arrived: Arrived,
    state: Journal,
    new: Iterable[tuple[int, bytes, bytes, Entry]],
) -> list[Booking]:
    """Write the rows of new entries (number, hash, bytes, entry) of a journal that is saved.

    Return what they count for members, some of it below zero.
    """
    some = [(At(arrived.reader, state, n, arrived.received_at_ms), one) for n, _, _, one in new]
    settled = [(at, one) for at, one in some if isinstance(one, Ride) and settles(one.programme)]
    found = _settled(connection, settled) if settled else []
    for at, one in some:
        if isinstance(one, Cancel):
            found += _cancel(connection, at, one)
    return found


def settles(programme: str) -> bool:
    """True for a programme whose rides are money."""
    found = RULEBOOKS.get(programme)
    return found is not None and found.rides is not None


def take_back(
    connection: sa.Connection, ride_id: int, at_ms: int, who: str, why: str, **entry_of: Any
) -> list[Booking]:
    """Write the row that takes one ride back; nothing where that has happened already.

    Who comes at the same moment waits for the other's commit, and then finds it done.
    `who` and `why`: of the office, or the driver's number and his reason. `entry_of`: journal_id
    and n of the reader's entry, if it was one. Returns what to count, below zero.
    """
    row = connection.execute(sa.select(ride).where(ride.c.id == ride_id)).one()
    if row.kind != "ride":
        return []
    turned = dict(row._mapping) | {
        "kind": "taken-back",
        "of_id": ride_id,
        "booked_at_ms": at_ms,
        "who": who,
        "why": why,
        "journal_id": entry_of.get("journal_id"),
        "n": entry_of.get("n"),
    }
    for name in ("fare_yen", "discount_yen", "subsidy_yen", "riders_pay_yen", "riders"):
        turned[name] = -turned[name]
    del turned["id"]
    new_id = store.insert_once(connection, ride, turned, ride.c.id)
    if new_id is None:
        return []
    shares = connection.execute(sa.select(ride_share).where(ride_share.c.ride_id == ride_id)).all()
    rows = [
        dict(one._mapping)
        | {"ride_id": new_id, "times": -one.times, "subsidy_yen": -one.subsidy_yen}
        for one in shares
    ]
    if rows:
        connection.execute(_INSERT_SHARE, rows)
    return [_booking(row.programme, row.boarded_at_ms, one) for one in rows]


def _booking(programme: str, boarded_at_ms: int, share: dict[str, Any]) -> Booking:
    book_of = RULEBOOKS[programme]
    periods = book_of.periods(boarded_at_ms) if book_of.periods else ()
    used = Used(share["times"], share["subsidy_yen"])
    return Booking(programme, share["credential"], periods, used)


def _settled(connection: sa.Connection, some: Sequence[tuple[At, Ride]]) -> list[Booking]:
    """Write the rows of rides of one journal: a statement for all of them, one for all riders."""
    ids = list(connection.scalars(_INSERT, [_row(at, one) for at, one in some]))
    shares = [
        {
            "ride_id": ride_id,
            "seat": seat,
            "credential": rider.credential,
            "times": int(one.outcome is Outcome.ACCEPTED),
            "subsidy_yen": rider.subsidy_yen,
        }
        for ride_id, (_, one) in zip(ids, some, strict=True)
        for seat, rider in enumerate(one.riders)
    ]
    connection.execute(_INSERT_SHARE, shares)
    found = [booking for _, one in some for booking in bookings(one)]
    numbers = {at.n: ride_id for ride_id, (at, _) in zip(ids, some, strict=True)}
    at = some[0][0]
    for one in _waiting(connection, at.reader.name, at.state.journal, numbers):
        if ride_id := numbers.get(one.of_n):
            by = {"journal_id": one.journal_id, "n": one.n}
            found += take_back(connection, ride_id, at.received_at_ms, one.driver, one.why, **by)
    return found


def _waiting(
    connection: sa.Connection, reader: str, journal_name: str, numbers: Collection[int]
) -> Sequence[Any]:
    """Return the takings back of entries around these, some of which came before them."""
    wanted = sa.select(ride_taken_back).where(
        ride_taken_back.c.reader == reader,
        ride_taken_back.c.of_journal == journal_name,
        ride_taken_back.c.of_n.between(min(numbers), max(numbers)),
    )
    return connection.execute(wanted).all()


def taken_back_before(
    connection: sa.Connection, reader: str, journal_name: str, numbers: Collection[int]
) -> set[int]:
    """Return which of these entries, that are new, their reader has taken back already."""
    if not numbers:
        return set()
    found = {one.of_n for one in _waiting(connection, reader, journal_name, numbers)}
    return found & set(numbers)


def _row(at: At, one: Ride) -> dict[str, Any]:
    return {
        "kind": "ride",
        "journal_id": at.state.id,
        "n": at.n,
        "programme": one.programme,
        "organisation": at.reader.place.organisation,
        "place": at.reader.place.name,
        "medium": CARD,
        "outcome": one.outcome.value,
        "code": one.code.value,
        "rule": one.rule,
        "at_ms": one.at_ms,
        "boarded_at_ms": one.boarded_at_ms,
        "booked_at_ms": at.received_at_ms,
        "riders": len(one.riders),
        "fare_yen": one.fare_yen,
        "discount": one.discount,
        "discount_yen": one.discount_yen,
        "subsidy_yen": one.subsidy_yen,
        "riders_pay_yen": one.riders_pay_yen,
        "driver": one.driver,
        "on_spot": one.on,
        "off_spot": one.off,
    }


def _cancel(connection: sa.Connection, at: At, one: Cancel) -> list[Booking]:
    row = {
        "reader": at.reader.name,
        "of_journal": one.of_journal,
        "of_n": one.of_n,
        "journal_id": at.state.id,
        "n": at.n,
        "at_ms": one.at_ms,
        "driver": one.driver,
        "why": one.why,
    }
    store.insert_missing(connection, ride_taken_back, [row])
    ride_id = connection.scalar(
        sa.select(ride.c.id)
        .join(journal, ride.c.journal_id == journal.c.id)
        .where(
            journal.c.reader == at.reader.name,
            journal.c.journal == one.of_journal,
            ride.c.n == one.of_n,
            ride.c.kind == "ride",
        )
    )
    if ride_id is None:
        return []
    by = {"journal_id": at.state.id, "n": at.n}
    return take_back(connection, ride_id, at.received_at_ms, one.driver, one.why, **by)


def find(connection: sa.Connection, reader: str, journal_name: str, n: int) -> Ride | None:
    """Return a ride of this reader as it was written, unless it has been taken back."""
    body = connection.scalar(
        sa.select(entry.c.body)
        .join(journal, entry.c.journal_id == journal.c.id)
        .join(ride, (ride.c.journal_id == journal.c.id) & (ride.c.n == entry.c.n))
        .where(
            journal.c.reader == reader,
            journal.c.journal == journal_name,
            entry.c.n == n,
            ride.c.kind == "ride",
            ~sa.exists().where(sa.alias(ride, "later").c.of_id == ride.c.id),
        )
    )
    found = decode(body) if body is not None else None
    return found if isinstance(found, Ride) else None


def gone_through(connection: sa.Connection) -> str:
    """Return the last month whose rides were dropped (fleet.ride_retention), such as 2026-06.

    Empty: none ever was.
    """
    return connection.scalar(sa.select(sa.func.max(retired_rides.c.month))) or ""


def shares(connection: sa.Connection) -> Sequence[Any]:
    """Return programme, boarded_at_ms, credential, times and subsidy_yen of every share."""
    wanted = sa.select(
        ride.c.programme,
        ride.c.boarded_at_ms,
        ride_share.c.credential,
        ride_share.c.times,
        ride_share.c.subsidy_yen,
    ).join(ride, ride.c.id == ride_share.c.ride_id)
    return connection.execute(wanted).all()
