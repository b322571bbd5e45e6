"""Rides of two taxi companies as the ledger keeps them, and the fleet's key for their claims."""

import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleet import rides
from fleet.schema import ride
from programmes.calendar import start_of_day_ms
from tests.fleet.company_kit import ASAHI, card_of, send
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Ride, Rider
from wire.envelope import Signer

TAXI = "taxi"
NOW_MS = start_of_day_ms(datetime.date(2026, 9, 10), 12)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Signer(KEY)
TENANT = "kazasu-shi"
JUNE, JULY, AUGUST = (
    datetime.date(2026, 6, 30),
    datetime.date(2026, 7, 31),
    datetime.date(2026, 8, 31),
)


def add_ride(
    connection: sa.Connection, organisation: str, day: datetime.date, fare_yen: int, **more: Any
) -> int:
    """Write one ride without a reader, half of it paid by the city; return its number."""
    boarded_ms = start_of_day_ms(day, 9) + 60_000 * more.pop("minute", 0)
    subsidy_yen = more.pop("subsidy_yen", fare_yen // 20 * 10)
    row = {
        "kind": "ride",
        "programme": TAXI,
        "organisation": organisation,
        "place": "taxi-1",
        "medium": "none",
        "outcome": "accepted",
        "code": "ok",
        "rule": "taxi/2026-04",
        "at_ms": boarded_ms + 20 * 60_000,
        "boarded_at_ms": boarded_ms,
        "booked_at_ms": boarded_ms + 30 * 60_000,
        "riders": 1,
        "fare_yen": fare_yen,
        "discount_yen": 0,
        "subsidy_yen": subsidy_yen,
        "riders_pay_yen": fare_yen - subsidy_yen,
        "driver": "D-7",
        "on_spot": "36.389,139.060",
    }
    made = connection.execute(ride.insert().values(row | more).returning(ride.c.id))
    return int(made.scalar_one())


def take_back(connection: sa.Connection, ride_id: int) -> None:
    rides.take_back(connection, ride_id, NOW_MS, "office", "wrong-fare")


def owed_yen(connection: sa.Connection, organisation: str) -> int:
    """Return what the ledger owes a company, by plain SQL."""
    summed = sa.select(sa.func.coalesce(sa.func.sum(ride.c.subsidy_yen), 0))
    return int(connection.execute(summed.where(ride.c.organisation == organisation)).scalar_one())


def settle_ride(
    connection: sa.Connection,
    n: int,
    boarded_ms: int,
    fare_yen: int = 1_500,
    place: str = "taxi-1",
    organisation: str = ASAHI,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> int:
    """Keep the ride of one rider that a reader settled as the rules say: the entry and its row.

    `changes`: what the row says otherwise. Return its number.
    """
    subsidy_yen = min(fare_yen // 20 * 10, 1_000)
    one = Ride(
        v=1,
        n=n,
        at_ms=boarded_ms + 600_000,
        mono_ms=n,
        clock=ClockState.SYNCHRONISED,
        programme=TAXI,
        outcome=Outcome.ACCEPTED,
        code=Code.OK,
        shown="taxi.settled",
        riders=[Rider(Scheme.COMMON_AP, 1, card_of("M-001"), subsidy_yen=subsidy_yen)],
        fare_yen=fare_yen,
        boarded_at_ms=boarded_ms,
        rule="taxi/2026",
        driver="17",
    )
    journal_id = send(connection, place, one)
    row = {
        "kind": "ride",
        "journal_id": journal_id,
        "n": n,
        "programme": TAXI,
        "organisation": organisation,
        "place": place,
        "medium": "card",
        "outcome": "accepted",
        "code": "ok",
        "rule": one.rule,
        "at_ms": one.at_ms,
        "boarded_at_ms": boarded_ms,
        "booked_at_ms": one.at_ms,
        "riders": 1,
        "fare_yen": fare_yen,
        "discount_yen": 0,
        "subsidy_yen": subsidy_yen,
        "riders_pay_yen": fare_yen - subsidy_yen,
        "driver": one.driver,
    }
    made = connection.execute(ride.insert().values(row | dict(changes)).returning(ride.c.id))
    return int(made.scalar_one())
