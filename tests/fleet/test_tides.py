"""Rides as open data: TIDES' own table, and nobody in it."""

import csv
import datetime
import io
from pathlib import Path
from typing import Any

import pytest

from fleet import tides
from fleet.schema import place
from fleet.tides import NoRides
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member, make_tap
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Press

BUS = "senior-pass"
JUNE = datetime.date(2026, 6, 1)
SPEC = {
    "transaction_id": ("string", True),
    "service_date": ("date", True),
    "event_timestamp": ("datetime", True),
    "amount": ("number", True),
    "currency_type": ("string", False),
    "fare_action": ("string", True),
    "trip_id_performed": ("string", False),
    "pattern_id": ("string", False),
    "stop_sequence": ("integer", False),
    "vehicle_id": ("string", False),
    "device_id": ("string", False),
    "fare_id": ("string", False),
    "stop_id": ("string", False),
    "num_riders": ("integer", False),
    "fare_media_id": ("string", False),
    "rider_category": ("string", False),
    "fare_product": ("string", False),
    "fare_period": ("string", False),
    "fare_capped": ("boolean", False),
    "token_id": ("string", False),
    "balance": ("number", False),
}
"""Fields of TIDES' fare_transactions.schema.json, in its order: type, and whether required."""
ACTIONS = {
    *("Unknown action type", "Purchase", "Enter", "Exit", "Transfer entrance", "Transfer exit"),
    *("Add", "Activate", "Adjust", "Other"),
}
MEDIA = {
    *("Cash or coins", "Smart card or ticket", "Magnetic-stripe card or ticket", "Bank card"),
    *("Mobile NFC", "Optical scan", "Other type"),
    "Button pressed by driver or operator to indicate a boarding or alighting passenger.",
}
READ = {
    "string": str,
    "date": datetime.date.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "number": float,
    "integer": int,
    "boolean": {"true": True, "false": False}.__getitem__,
}


def ride(fleet: VirtualFleet, *entries: Any, bus: str = "bus-1") -> None:
    """Let a bus send these entries; each gets its number."""
    reader = fleet.reader(bus)
    journal = reader.journal()
    for n, made in enumerate(entries, 2):
        journal.write(made(n))
    (through,) = fleet.through((reader, journal.all()))
    assert through == len(entries) + 1


def tap(credential: str, at_ms: int = NOON_MS, **changes: Any) -> Any:
    values = {"code": Code.OK, "scheme": Scheme.COMMON_AP, "key_epoch": 1, "rider_pays_yen": 50}
    values |= {"credential": credential, "at_ms": at_ms, "category": "town"}
    return lambda n: make_tap(n, **(values | changes))


def press(n: int) -> Press:
    clock = ClockState.SYNCHRONISED
    kept = {"rule": "senior-pass/2026-04", "rider_pays_yen": 50, "stop": "S-7"}
    return Press(
        v=1, n=n, at_ms=NOON_MS, mono_ms=n, clock=clock, programme=BUS, button="present-only",
        **kept,  # type: ignore[arg-type]
    )  # fmt: skip


def exported(fleet: VirtualFleet, month: datetime.date = JUNE) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    with fleet.store.read() as connection:
        count = tides.write(connection, BUS, month, file)
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert len(rows) == count
    return rows


def test_every_row_is_as_the_specification_has_it(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "A-1")
    ride(fleet, tap(card), press)
    rows = exported(fleet)
    assert list(rows[0]) == list(SPEC)
    for row in rows:
        for name, (kind, required) in SPEC.items():
            assert row[name] or not required, name
            if row[name]:
                READ[kind](row[name])  # type: ignore[operator]
        assert row["fare_action"] in ACTIONS
        assert row["fare_media_id"] in MEDIA
        assert int(row["num_riders"]) >= 0
    assert len({row["transaction_id"] for row in rows}) == len(rows)


def test_a_tap_and_a_press_are_rides_and_a_refusal_and_a_repeat_are_none(
    fleet: VirtualFleet,
) -> None:
    card = add_member(fleet, "A-1")
    ride(
        fleet,
        tap(card),
        press,
        lambda n: make_tap(n, code=Code.UNKNOWN),
        tap(card, code=Code.REPEAT, outcome="repeat", rider_pays_yen=None),
    )
    rows = [
        {name: row[name] for name in ("service_date", "event_timestamp", "amount", "vehicle_id",
                                      "device_id", "stop_id", "fare_media_id", "currency_type")}
        for row in exported(fleet)
    ]  # fmt: skip
    at = {"service_date": "2026-06-03", "event_timestamp": "2026-06-03T12:00:00+09:00"}
    bus = {"amount": "50", "currency_type": "JPY", "vehicle_id": "bus-1", "device_id": "bus-1"}
    assert rows == [
        at | bus | {"stop_id": "", "fare_media_id": tides.CARD},
        at | bus | {"stop_id": "S-7", "fare_media_id": tides.BUTTON},
    ]


def test_nothing_tells_whose_ride_it_was_or_joins_two_of_one_person(fleet: VirtualFleet) -> None:
    one, other = add_member(fleet, "A-1"), add_member(fleet, "A-2")
    ride(fleet, tap(one), tap(other), tap(one, NOON_MS + 3_600_000))
    first, second = exported(fleet), exported(fleet)
    text = str(first)
    for secret in (one, other, "A-1", "A-2", "town", "山田"):
        assert secret not in text
    assert {row["token_id"] for row in first} == {""}
    assert {row["rider_category"] for row in first} == {"Senior"}
    ids = [{row["transaction_id"] for row in rows} for rows in (first, second)]
    assert ids[0].isdisjoint(ids[1])


def test_where_few_ride_a_time_is_only_its_hour(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "A-1")
    ride(fleet, tap(card, NOON_MS + 754_000))
    with fleet.store.write() as connection:
        connection.execute(place.update().values(by_hour=False))
    assert exported(fleet)[0]["event_timestamp"] == "2026-06-03T12:12:34+09:00"
    with fleet.store.write() as connection:
        connection.execute(place.update().values(by_hour=True))
    assert exported(fleet)[0]["event_timestamp"] == "2026-06-03T12:00:00+09:00"


def test_a_ride_is_in_the_month_in_which_it_was(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "A-1")
    last_of_may = 1_780_239_599_000  # 2026-05-31 23:59:59 in Japan
    ride(fleet, tap(card, last_of_may), tap(card, last_of_may + 1_000))
    may = exported(fleet, datetime.date(2026, 5, 1))
    assert [row["service_date"] for row in may] == ["2026-05-31"]
    assert [row["service_date"] for row in exported(fleet)] == ["2026-06-01"]


def test_the_keeper_writes_a_month_to_a_new_file(
    fleet: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ride(fleet, tap(add_member(fleet, "A-1")))
    file = tmp_path / "rides.csv"
    assert fleet.command("api", "rides", BUS, "2026-06", str(file)) == 0
    assert "1 rides" in capsys.readouterr().out
    assert file.read_bytes().startswith(b"transaction_id,service_date,")
    assert fleet.rows("select what, subject, detail from audit where what like 'rides%'") == [
        ("rides.exported", "senior-pass 2026-06", "1 rides")
    ]
    assert fleet.command("api", "rides", BUS, "2026-06", str(file)) == 1
    assert fleet.command("api", "rides", BUS, "June", str(tmp_path / "b.csv")) == 1


def test_a_programme_in_which_nobody_rides_has_no_file(fleet: VirtualFleet) -> None:
    with fleet.store.read() as connection, pytest.raises(NoRides):
        tides.write(connection, "attendance", JUNE, io.StringIO())
