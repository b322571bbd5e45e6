"""Rides of a month as TIDES fare transactions: open data, without persons.

The table is `fare_transactions` of the Transit ITS Data Exchange Specification (repository
TIDES-transit/TIDES, spec/fare_transactions.schema.json): all of its fields, in its order, as CSV.

Rules: no field tells whose ride it was, and none joins two rides of one person: `token_id` is
always empty, `rider_category` is the programme's and never the member's, and a transaction's id is
random, made for this file alone; at a place that is counted by the hour (fleet.grain) a ride's time
is its hour; a ride counts in the month in which it was, by the reader's clock, or in that of its
receipt when that clock had lost the time. Refused and repeated presentations are no transactions.
"""

import csv
import datetime
import secrets
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import ledger_months
from fleet.months import bounds_ms
from fleet.report_counts import AHEAD_MS, USED, WHEN, WITH_PLACES
from fleet.schema import entry, place, reader
from programmes import senior_pass
from programmes.calendar import local, local_day
from programmes.register import RULEBOOKS
from wire.entries import EntryRefused, Press, Tap, decode

FIELDS: Final = (
    "transaction_id",
    "service_date",
    "event_timestamp",
    "amount",
    "currency_type",
    "fare_action",
    "trip_id_performed",
    "pattern_id",
    "stop_sequence",
    "vehicle_id",
    "device_id",
    "fare_id",
    "stop_id",
    "num_riders",
    "fare_media_id",
    "rider_category",
    "fare_product",
    "fare_period",
    "fare_capped",
    "token_id",
    "balance",
)
CARD: Final = "Smart card or ticket"
BUTTON: Final = (
    "Button pressed by driver or operator to indicate a boarding or alighting passenger."
)
RIDERS: Final[Mapping[str, str]] = {senior_pass.NAME: "Senior"}
"""TIDES' rider_category, by programme."""
ROWS_AT_ONCE: Final = 5_000
HOUR_MS: Final = 3_600_000


class NoRides(ValueError):
    """This programme has no rides, or this is no month; the sentence says so."""


class Ride(NamedTuple):
    """One row of the table, in FIELDS' order; what we do not know or do not tell is empty."""

    transaction_id: str
    service_date: datetime.date
    event_timestamp: str
    amount: int
    currency_type: str
    fare_action: str
    trip_id_performed: str
    pattern_id: str
    stop_sequence: str
    vehicle_id: str
    device_id: str
    fare_id: str
    stop_id: str
    num_riders: int
    fare_media_id: str
    rider_category: str
    fare_product: str
    fare_period: str
    fare_capped: str
    token_id: str
    balance: str


def programmes() -> tuple[str, ...]:
    """Return the programmes in which people ride for a fare."""
    return tuple(name for name, book in RULEBOOKS.items() if book.fare is not None)


def month_of(text: str) -> datetime.date:
    """Return the first day of `2026-06`. Raises NoRides."""
    try:
        if len(text) != len("2026-06"):
            raise ValueError
        return datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        raise NoRides(f"{text!r} is no month: write one as 2026-06") from None


def rides(connection: sa.Connection, programme: str, month: datetime.date) -> Iterator[Ride]:
    """Yield the rides of a month in the order of their times. Raises NoRides."""
    if programme not in programmes():
        raise NoRides(f"nobody rides in {programme!r}: {', '.join(programmes())}")
    first_ms, after_ms = bounds_ms(month)
    begin = ledger_months.position_at(connection, first_ms - AHEAD_MS)
    wanted = (
        sa.select(
            WHEN.label("when_ms"),
            entry.c.body,
            entry.c.kind,
            entry.c.rider_pays_yen,
            reader.c.name,
            place.c.name.label("place"),
            place.c.by_hour,
        )
        .select_from(WITH_PLACES.join(place, place.c.name == reader.c.place))
        .where(
            entry.c.position >= begin,
            entry.c.programme == programme,
            USED,
            first_ms <= WHEN,
            after_ms > WHEN,
        )
        .order_by(WHEN, entry.c.position)
    )
    for row in connection.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield _ride(row, programme)


def _ride(row: Any, programme: str) -> Ride:
    when_ms = row.when_ms // HOUR_MS * HOUR_MS if row.by_hour else row.when_ms
    return Ride(
        transaction_id=secrets.token_hex(16),
        service_date=local_day(when_ms),
        event_timestamp=local(when_ms).isoformat(timespec="seconds"),
        amount=row.rider_pays_yen or 0,
        currency_type="JPY",
        fare_action="Enter",
        trip_id_performed="",
        pattern_id="",
        stop_sequence="",
        vehicle_id=row.place,
        device_id=row.name.rpartition("/")[2],
        fare_id="",
        stop_id=_stop(row.body),
        num_riders=1,
        fare_media_id=BUTTON if row.kind == "press" else CARD,
        rider_category=RIDERS.get(programme, ""),
        fare_product="Pass",
        fare_period="",
        fare_capped="",
        token_id="",
        balance="",
    )


def _stop(body: bytes) -> str:
    """Return where it was, as the reader knew it: the stop's id of the town's GTFS."""
    try:
        found = decode(body)
    except EntryRefused:
        return ""
    return found.stop if isinstance(found, Tap | Press) else ""


def write(connection: sa.Connection, programme: str, month: datetime.date, file: IO[str]) -> int:
    """Write a month as TIDES has it (CSV, UTF-8, RFC 4180); return how many rides it has.

    Raises NoRides.
    """
    some = rides(connection, programme, month)
    writer = csv.writer(file)
    writer.writerow(FIELDS)
    count = 0
    for ride in some:
        writer.writerow(ride)
        count += 1
    return count


def file_name(month: datetime.date) -> str:
    """Return what the file of a month is called."""
    return f"fare_transactions_{month:%Y-%m}.csv"
