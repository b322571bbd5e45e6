"""A ride's rows are written once, whatever comes how often and in whatever order."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from fleet import rides, usage
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import open_fleet
from programmes.bookings import Booking
from tests.conftest import Eventually
from tests.fleet.ride_kit import (
    DAY,
    TABLE,
    TAXI,
    YEAR,
    A,
    B,
    a_cancel,
    a_ride,
    counters,
    differences,
    rides_of,
    taxi_fleet,
)
from tests.fleet.virtual import NOON_MS, Journal, VirtualFleet, VirtualReader
from wire.codes import Code, Outcome
from wire.entries import Former, encode

ONCE = {(DAY, A): (1, 500), (YEAR, A): (1, 500)}
RIDE, BACK = ("ride", 2, 500), ("taken-back", 3, -500)


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = taxi_fleet(tmp_path, databases.url)
    yield made
    made.close()


@pytest.fixture
def cab(fleet: VirtualFleet) -> VirtualReader:
    return fleet.reader("taxi-1")


def ride(journal: Journal, *cards: str, **changes: Any) -> int:
    """Write a ride; return its number."""
    n = len(journal.entries) + 1
    journal.write(a_ride(n, *cards, **changes))
    return n


def cancel(journal: Journal, of_n: int, of: str = "", **changes: Any) -> int:
    n = len(journal.entries) + 1
    journal.write(a_cancel(n, of or journal.id, of_n, **changes))
    return n


@contextlib.contextmanager
def office(fleet: VirtualFleet) -> Iterator[sa.Connection]:
    """A change by the office, with its grants."""
    store = open_fleet(fleet.config.databases, Role.OFFICE)
    try:
        with store.write() as connection:
            yield connection
    finally:
        store.close()


def office_takes_back(connection: sa.Connection) -> list[Booking]:
    """Take the only ride back as the office does, and count it."""
    ride_id = connection.scalar(sa.text("select id from ride where kind = 'ride'"))
    assert ride_id
    booked = rides.take_back(connection, ride_id, NOON_MS, "clerk", "typed twice")
    usage.count(connection, booked)
    return booked


def test_a_ride_is_one_row_and_one_share_for_each_rider(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal, A, B, driver="7", on="36.389,139.060", off="36.401,139.061")
    fleet.through((cab, journal.all()))
    assert fleet.rows(
        "select kind, of_id, n, programme, organisation, place, medium, outcome, code, rule, "
        "riders, fare_yen, discount_yen, subsidy_yen, riders_pay_yen, driver, on_spot, off_spot, "
        "who, why, boarded_at_ms from ride"
    ) == [
        (
            *("ride", None, 2, TAXI, "kita-taxi", "taxi-1", "card", "accepted", "ok", TABLE),
            *(2, 2000, 0, 1000, 1000, "7", "36.389,139.060", "36.401,139.061", "", ""),
            NOON_MS + 60_000,
        )
    ]
    shares = fleet.rows("select seat, credential, times, subsidy_yen from ride_share order by seat")
    assert shares == [(0, A, 1, 500), (1, B, 1, 500)]
    assert counters(fleet) == ONCE | {(DAY, B): (1, 500), (YEAR, B): (1, 500)}
    assert differences(fleet) == []


def test_a_rider_counts_by_the_ride_and_never_by_his_tap(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    journal.tap(programme=TAXI, code=Code.OK, credential=A, rule=TABLE)
    fleet.through((cab, journal.all()))
    assert counters(fleet) == {}
    ride(journal)
    fleet.through((cab, journal.batch(3, 3)))
    assert counters(fleet) == ONCE
    assert differences(fleet) == []


def test_a_ride_that_is_sent_again_writes_no_second_row(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    cancel(journal, 2)
    ride(journal, B)
    for first, last in ((1, 2), (1, 2), (2, 3), (1, 4), (3, 4)):
        fleet.through((cab, journal.batch(first, last)), (cab, journal.batch(first, last)))
        assert differences(fleet) == []
    assert rides_of(fleet) == [RIDE, BACK, ("ride", 4, 500)]
    assert counters(fleet) == {(DAY, B): (1, 500), (YEAR, B): (1, 500)}


@pytest.mark.parametrize("order", [(2, 3), (3, 2)], ids=["ride-first", "cancel-first"])
def test_a_ride_and_its_taking_back_come_to_nothing_in_either_order(
    fleet: VirtualFleet, cab: VirtualReader, order: tuple[int, int]
) -> None:
    journal = cab.journal()
    ride(journal)
    cancel(journal, 2)
    fleet.through((cab, journal.batch(1, 1)))
    for n in order:
        fleet.through((cab, journal.batch(n, n)))
        assert differences(fleet) == []
    assert rides_of(fleet) == [RIDE, BACK]
    assert counters(fleet) == {}
    shares = fleet.rows("select times, subsidy_yen from ride_share order by ride_id")
    assert shares == [(1, 500), (-1, -500)]
    assert fleet.rows("select who, why from ride where of_id is not null") == [("7", "wrong-fare")]


def test_a_taking_back_in_a_journal_before_its_ride_arrives_waits_for_it(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    """The reader was restarted in between, and the later journal is here first."""
    first = cab.journal()
    ride(first)
    later = cab.journal(first.former)
    cancel(later, 2, first.id)
    fleet.through((cab, later.all()))
    assert rides_of(fleet) == []
    fleet.through((cab, first.all()))
    assert rides_of(fleet) == [RIDE, ("taken-back", 2, -500)]
    assert counters(fleet) == {}
    assert differences(fleet) == []


def test_a_ride_is_taken_back_once_however_often_that_is_said(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    cancel(journal, 2)
    cancel(journal, 2, why="other")
    fleet.through((cab, journal.all()))
    cancel(journal, 2)
    fleet.through((cab, journal.batch(5, 5)))
    assert rides_of(fleet) == [RIDE, BACK]
    assert fleet.rows("select why from ride where kind = 'taken-back'") == [("wrong-fare",)]
    assert counters(fleet) == {}
    assert differences(fleet) == []


def test_no_reader_takes_back_what_another_one_has_settled(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    thief = fleet.reader("taxi-2")
    theirs = thief.journal()
    cancel(theirs, 2, journal.id)
    fleet.through((thief, theirs.all()), (cab, journal.all()))
    cancel(theirs, 2, journal.id)
    fleet.through((thief, theirs.batch(3, 3)))
    assert rides_of(fleet) == [RIDE]
    assert counters(fleet) == ONCE
    assert differences(fleet) == []


def test_who_is_taken_off_the_list_moves_no_money(fleet: VirtualFleet, cab: VirtualReader) -> None:
    journal = cab.journal()
    journal.tap(programme=TAXI, code=Code.OK, credential=A, rule=TABLE)
    cancel(journal, 2, why="removed")
    ride(journal, B)
    fleet.through((cab, journal.all()))
    assert rides_of(fleet) == [("ride", 4, 500)]
    assert counters(fleet) == {(DAY, B): (1, 500), (YEAR, B): (1, 500)}
    assert differences(fleet) == []


def test_of_driver_and_office_only_the_first_takes_back(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    fleet.through((cab, journal.all()))
    with office(fleet) as connection:
        assert {one.used.times for one in office_takes_back(connection)} == {-1}
    assert counters(fleet) == {}
    cancel(journal, 2)
    fleet.through((cab, journal.batch(3, 3)))
    with office(fleet) as connection:
        assert office_takes_back(connection) == []
    assert fleet.rows("select kind, who from ride order by id") == [
        ("ride", ""),
        ("taken-back", "clerk"),
    ]
    assert counters(fleet) == {}
    assert differences(fleet) == []


@pytest.mark.parametrize("plain", [True, False])
def test_driver_and_office_take_back_at_once_and_one_row_stands(
    fleet: VirtualFleet, cab: VirtualReader, plain: bool, eventually: Eventually
) -> None:
    """The office's row is written and not committed when the driver's entry is taken in."""
    journal = cab.journal()
    ride(journal)
    fleet.through((cab, journal.all()))
    cancel(journal, 2)
    batch = journal.batch(3, 3) if plain else journal.batch(2, 3)
    ingest = threading.Thread(target=fleet.through, args=((cab, batch),))
    with office(fleet) as connection:
        office_takes_back(connection)
        ingest.start()
        if fleet.config.databases.url:
            eventually(lambda: _somebody_waits(fleet), that="ingest waits for the office")
    ingest.join()
    assert fleet.rows("select kind, who from ride order by id") == [
        ("ride", ""),
        ("taken-back", "clerk"),
    ]
    assert fleet.rows("select count(*) from entry where kind = 'cancel'") == [(1,)]
    assert fleet.rows("select reason from quarantine") == []
    assert counters(fleet) == {}
    assert differences(fleet) == []


def _somebody_waits(fleet: VirtualFleet) -> bool:
    return fleet.rows("select 1 from pg_locks where not granted") != []


def test_a_ride_that_is_refused_counts_nothing_and_can_be_taken_back(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    refused = {"outcome": Outcome.REFUSED, "code": Code.WRONG_PLACE, "subsidy_yen": 0}
    ride(journal, **refused)
    fleet.through((cab, journal.all()))
    assert fleet.rows("select outcome, code, subsidy_yen, riders_pay_yen from ride") == [
        ("refused", "wrong-place", 0, 1000)
    ]
    assert counters(fleet) == {}
    cancel(journal, 2)
    fleet.through((cab, journal.batch(3, 3)))
    assert fleet.rows("select sum(riders_pay_yen), sum(riders) from ride") == [(0, 0)]
    assert counters(fleet) == {}
    assert differences(fleet) == []


def test_a_ride_that_contradicts_one_that_stands_moves_nothing(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    fleet.through((cab, journal.all()))
    other = Journal(journal.reader, journal.id, journal.entries[:1])
    ride(other, B, subsidy_yen=900)
    fleet.through((cab, other.batch(2, 2)))
    assert fleet.rows("select n from conflict") == [(2,)]
    assert rides_of(fleet) == [RIDE]
    assert counters(fleet) == ONCE
    assert differences(fleet) == []


def test_a_ride_from_quarantine_counts_then_and_what_took_it_back_has_waited(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    """This program could not read it when it came; after an upgrade it can."""
    journal = cab.journal()
    body = encode(a_ride(2))
    journal.write_bytes(body.replace(b'"kind":"ride"', b'"kind":"fly!"', 1))
    ride(journal, B)
    cancel(journal, 2)
    fleet.through((cab, journal.all()))
    assert rides_of(fleet) == [("ride", 3, 500)]
    with fleet.store.write() as connection:
        connection.execute(sa.text("update quarantine set payload = :body"), {"body": body})
    assert fleet.command("quarantine", "retry", "1") == 0
    assert rides_of(fleet) == [("ride", 3, 500), RIDE, ("taken-back", 4, -500)]
    assert counters(fleet) == {(DAY, B): (1, 500), (YEAR, B): (1, 500)}
    assert differences(fleet) == []


def test_a_whole_batch_from_quarantine_writes_its_rides_once(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    cancel(journal, 2)
    ride(journal, B)
    fleet.through((cab, msgspec.structs.replace(journal.all(), tip=bytes(32))))
    assert rides_of(fleet) == []
    with fleet.store.write() as connection:
        good = cab.sign(journal.all())
        connection.execute(sa.text("update quarantine set payload = :body"), {"body": good})
    assert fleet.command("quarantine", "retry", "1") == 0
    assert sorted(rides_of(fleet)) == [RIDE, ("ride", 4, 500), BACK]
    assert counters(fleet) == {(DAY, B): (1, 500), (YEAR, B): (1, 500)}
    assert differences(fleet) == []


@pytest.mark.parametrize("programme", ["senior-pass", "no-such-programme"])
def test_where_no_ride_is_settled_an_entry_of_one_is_worth_nothing_and_a_fault(
    fleet: VirtualFleet, cab: VirtualReader, programme: str
) -> None:
    journal = cab.journal()
    ride(journal, programme=programme)
    cancel(journal, 2, programme=programme)
    ride(journal, B)
    fleet.through((cab, journal.all()))
    assert rides_of(fleet) == [("ride", 4, 500)]
    assert counters(fleet) == {(DAY, B): (1, 500), (YEAR, B): (1, 500)}
    assert fleet.rows("select n, kind from finding order by n") == [(2, "replay")]
    assert differences(fleet) == []


@pytest.mark.parametrize(
    "changes",
    [{"rule": "taxi/no-such-table"}, {"subsidy_yen": 990}, {"discount": "x", "discount_yen": 100}],
    ids=["unknown-table", "over-the-cap", "unknown-discount"],
)
def test_of_a_ride_that_cannot_be_settled_again_the_caps_are_known(
    fleet: VirtualFleet, cab: VirtualReader, changes: dict[str, Any]
) -> None:
    """It is paid, since a rider went by it; whoever is at fault is seen."""
    journal = cab.journal()
    ride(journal, roster=77)
    fleet.through((cab, journal.all()))
    assert fleet.alarms() == set()
    ride(journal, B, roster=77, **changes)
    fleet.through((cab, journal.batch(3, 3)))
    assert fleet.rows("select n, kind from finding") == [(3, "replay")]
    assert fleet.alarms() == {"replay"}
    assert len(rides_of(fleet)) == 2


def test_rows_of_rides_are_never_changed_or_removed_whoever_asks(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    journal = cab.journal()
    ride(journal)
    cancel(journal, 2)
    fleet.through((cab, journal.all()))
    for table in ("ride", "ride_share", "ride_taken_back"):
        for statement in (f"delete from {table}", f"update {table} set driver = 'x'"):
            if table == "ride_share":
                statement = statement.replace("driver = 'x'", "times = 9")
            with pytest.raises(Exception, match="append-only"), fleet.store.write() as connection:
                connection.exec_driver_sql(statement)


def test_a_reader_takes_back_rides_of_its_former_journals_alone(
    fleet: VirtualFleet, cab: VirtualReader
) -> None:
    first = cab.journal()
    ride(first)
    second = cab.journal(Former(first.id, 2, first.tip))
    ride(second, B)
    cancel(second, 2, first.id)
    fleet.through((cab, first.all()), (cab, second.all()))
    found = fleet.rows(
        "select r.subsidy_yen, s.credential from ride r join ride_share s on s.ride_id = r.id "
        "where r.kind = 'taken-back'"
    )
    assert found == [(-500, A)]
    assert differences(fleet) == []
