"""Rides in a ledger, written as rows, for what adds them up and shows them."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleet import rides
from fleet.schema import entry, journal, place, reader, ride, ride_share
from programmes import taxi
from programmes.calendar import start_of_day_ms

COMPANIES = ("hokuto-taxi", "minami-taxi")
JOURNAL_ID = 7
_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Ridden:
    """One ride as a person would tell it; times are local."""

    day: datetime.date
    cards: Sequence[str] = ("c1",)
    place: str = "taxi-1"
    organisation: str = COMPANIES[0]
    at: datetime.time = datetime.time(12)
    minutes: int = 15
    fare: int = 1_500
    subsidy: int = 750
    medium: str = rides.CARD
    outcome: str = "accepted"
    on: str = ""
    off: str = ""
    back: bool = False
    """It was taken back."""
    entry: int = 0
    """Its number in the journal of `add_reader`."""

    @property
    def boarded_ms(self) -> int:
        since = (self.at.hour * 60 + self.at.minute) * _MINUTE_MS
        return start_of_day_ms(self.day) + since


def add_taxis(connection: sa.Connection) -> None:
    """Two vehicles of two companies."""
    for number, organisation in enumerate(COMPANIES, 1):
        connection.execute(
            place.insert().values(
                name=f"taxi-{number}",
                kind="taxi",
                programmes=[taxi.NAME],
                triage_programmes=[],
                label_ja=f"{number}号車",
                label_en=f"Taxi {number}",
                organisation=organisation,
            )
        )


def add_reader(connection: sa.Connection, name: str, at: str) -> None:
    """A vehicle's reader with the journal JOURNAL_ID, whose first ten entries are there."""
    row: dict[str, Any] = {"name": name, "place": at, "fingerprint": "0" * 64, "public_key": ""}
    row |= {"sealing_public_key": "", "enrolled_at_ms": 0}
    connection.execute(reader.insert().values(row))
    held: dict[str, Any] = {
        "id": JOURNAL_ID,
        "reader": name,
        "journal": "ab" * 16,
        "received_at_ms": 0,
    }
    connection.execute(journal.insert().values(held | {"spans": []}))
    for n in range(1, 11):
        told: dict[str, Any] = {
            "n": n,
            "hash": b"",
            "body": b"",
            "received_at_ms": 0,
            "kind": "ride",
        }
        told |= {"at_ms": 0, "clock": "synchronised", "journal_id": JOURNAL_ID}
        connection.execute(entry.insert().values(told))


def add_rides(connection: sa.Connection, some: Iterable[Ridden]) -> list[int]:
    """Write rides, and those that took them back; return the rides' numbers."""
    return [_add(connection, one) for one in some]


def _add(connection: sa.Connection, one: Ridden) -> int:
    accepted = one.outcome == "accepted"
    subsidy = one.subsidy if accepted else 0
    row: dict[str, Any] = {
        "kind": "ride",
        "programme": taxi.NAME,
        "organisation": one.organisation,
        "place": one.place,
        "medium": one.medium,
        "outcome": one.outcome,
        "code": "ok" if accepted else "wrong-place",
        "at_ms": one.boarded_ms + one.minutes * _MINUTE_MS,
        "boarded_at_ms": one.boarded_ms,
        "booked_at_ms": one.boarded_ms + 20 * _MINUTE_MS,
        "riders": len(one.cards),
        "fare_yen": one.fare,
        "discount_yen": 0,
        "subsidy_yen": subsidy,
        "riders_pay_yen": one.fare - subsidy,
        "on_spot": one.on,
        "off_spot": one.off,
        "journal_id": JOURNAL_ID if one.entry else None,
        "n": one.entry or None,
    }
    number = connection.execute(ride.insert().values(row).returning(ride.c.id)).scalar_one()
    for seat, card in enumerate(one.cards):
        part = subsidy // len(one.cards)
        connection.execute(
            ride_share.insert().values(
                ride_id=number,
                seat=seat,
                credential=card.rjust(32, "0"),
                times=int(accepted),
                subsidy_yen=part if seat else subsidy - part * (len(one.cards) - 1),
            )
        )
    if one.back:
        rides.take_back(connection, number, row["booked_at_ms"] + 1, "7", "wrong-fare")
    return int(number)
