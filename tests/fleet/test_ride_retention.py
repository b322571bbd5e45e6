"""Rides and claims past their time: gone month by month with a signed line, the rest as it was."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet import claim_check, claims, months, ride_retention, rides, usage
from fleet.books import read_signing_key
from fleet.claim_check import Trouble
from fleet.claim_seal import ClaimSigner
from fleet.claims import Asked
from fleet.config import Databases
from fleet.grants import lifted
from fleet.retention import RetentionRefused
from fleet.schema import retired_rides
from fleet.verdict import RetiredRides, RideSum
from programmes.calendar import start_of_day_ms
from tests.fleet.ride_kit import TAXI, a_ride, taxi_fleet
from tests.fleet.test_proof import judged
from tests.fleet.virtual import Journal, VirtualFleet, VirtualReader, pinned_key
from wire.envelope import Purpose, Signer, open_envelope

KITA = "kita-taxi"
FIRST, LAST = datetime.date(2026, 6, 1), datetime.date(2027, 5, 1)
"""A ride in each of these months, of two fiscal years."""
IN_TIME = datetime.date(2032, 3, 31)
DUE = datetime.date(2032, 4, 1)
"""Five whole fiscal years after 2026's."""


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = taxi_fleet(tmp_path, databases.url)
    yield made
    made.close()


class Taxi:
    """A taxi whose rides arrive as they are driven, and are claimed when a month is over."""

    def __init__(self, fleet: VirtualFleet) -> None:
        self.fleet = fleet
        self.reader: VirtualReader = fleet.reader("taxi-1")
        self.journal: Journal = self.reader.journal()
        self.sent = 0

    def drive(self, day: datetime.date, boarded_at_ms: int | None = None) -> int:
        """Let one ride of a day arrive; return its number."""
        self.fleet.clock.at_ms = start_of_day_ms(day, 12)
        began = self.fleet.clock.at_ms if boarded_at_ms is None else boarded_at_ms
        n = len(self.journal.entries) + 1
        ride = a_ride(n, at_ms=began + 600_000, boarded_at_ms=began)
        self.journal.write(ride)
        self.fleet.through((self.reader, self.journal.batch(self.sent + 1, n)))
        self.sent = n
        (row,) = self.fleet.rows(f"select id from ride where n = {n} and kind = 'ride'")
        return int(row[0])

    def claim(self, until: datetime.date, *, paid: bool = True) -> int:
        """Claim everything through a day, on the day after; have it signed, approved and paid."""
        day = until + datetime.timedelta(days=1)
        now_ms = start_of_day_ms(day, 9)
        with self.fleet.store.write() as connection:
            number = claims.make(connection, Asked(TAXI, KITA, until), None, "kita", now_ms)
        if not paid:
            return number
        sealer = ClaimSigner(self.fleet.store, "kazasu-shi", signer_of(self.fleet))
        assert sealer.sign_waiting(now_ms) == [number]
        with self.fleet.store.write() as connection:
            claims.approve(connection, number, "", "city", now_ms)
            claims.pay(connection, number, day, "city", now_ms)
        return number


def signer_of(fleet: VirtualFleet) -> Signer:
    return Signer(read_signing_key(fleet.config.signing_key))


def through(last: datetime.date) -> list[datetime.date]:
    """Return the months from the first to this one."""
    found = [FIRST]
    while found[-1] < last:
        found.append(months.next_month(found[-1]))
    return found


def end_of(month: datetime.date) -> datetime.date:
    return months.next_month(month) - datetime.timedelta(days=1)


def two_years(fleet: VirtualFleet) -> Taxi:
    taxi = Taxi(fleet)
    for month in through(LAST):
        taxi.drive(month.replace(day=10))
        taxi.claim(end_of(month))
    return taxi


def run(fleet: VirtualFleet, day: datetime.date, *more: str) -> int:
    fleet.clock.at_ms = start_of_day_ms(day, 12)
    return fleet.command("retention", "run", *more)


def due(fleet: VirtualFleet, day: datetime.date) -> list[str]:
    with fleet.store.read() as connection:
        found = ride_retention.due(connection, start_of_day_ms(day))
    return [f"{month:%Y-%m}" for month in found]


def lines(fleet: VirtualFleet) -> list[RetiredRides]:
    key = pinned_key(fleet.town)
    return [
        open_envelope(bytes(line), Purpose.RETIRED_RIDES, "kazasu-shi", key, RetiredRides)
        for (line,) in fleet.rows("select line from retired_rides order by month")
    ]


def boarded(fleet: VirtualFleet) -> list[str]:
    zone = datetime.timezone(datetime.timedelta(hours=9))
    rows = fleet.rows("select boarded_at_ms from ride order by id")
    return [f"{datetime.datetime.fromtimestamp(at / 1000, zone):%Y-%m}" for (at,) in rows]


def in_claims(fleet: VirtualFleet) -> list[str]:
    return [month for (month,) in fleet.rows("select month from claim order by id")]


def periods(fleet: VirtualFleet) -> set[str]:
    return {period for (period,) in fleet.rows("select period from usage")}


def differences(fleet: VirtualFleet) -> list[usage.Difference]:
    with fleet.store.read() as connection:
        return usage.check(connection)


def test_a_fiscal_year_goes_whole_and_leaves_signed_sums(fleet: VirtualFleet) -> None:
    two_years(fleet)
    year = [f"{month:%Y-%m}" for month in through(datetime.date(2027, 3, 1))]
    assert due(fleet, IN_TIME) == []
    assert due(fleet, DUE) == year
    assert run(fleet, DUE) == 0
    assert boarded(fleet) == ["2027-04", "2027-05"]
    assert in_claims(fleet) == ["2027-04", "2027-05"]
    assert fleet.rows("select count(*) from ride_share") == [(2,)]
    assert [line.month for line in lines(fleet)] == year
    sums = {KITA: RideSum(1, 0, 1_000, 500)}
    assert all(line.rides == {TAXI: sums} for line in lines(fleet))
    assert {(line.claims, line.claimed_yen, line.forced) for line in lines(fleet)} == {
        (1, 500, False)
    }
    assert due(fleet, DUE) == []
    assert run(fleet, DUE) == 0


def test_counters_go_with_their_rides_and_the_rest_is_proven(fleet: VirtualFleet) -> None:
    two_years(fleet)
    assert {"2026", "2026-06-10", "2027", "2027-05-10"} <= periods(fleet)
    run(fleet, DUE)
    assert periods(fleet) == {"2027", "2027-04-10", "2027-05-10"}
    assert differences(fleet) == []
    assert judged(fleet).faults == {}


def test_what_stays_cannot_be_changed_or_removed(fleet: VirtualFleet) -> None:
    two_years(fleet)
    run(fleet, DUE)
    fleet.command("retention", "set-rides", "7", "文書管理規則 第12条")
    for table, column in (
        ("ride_share", "times"),
        ("ride", "fare_yen"),
        ("retired_rides", "rides"),
        ("ride_retention", "years"),
    ):
        assert fleet.rows(f"select count(*) > 0 from {table}") in ([(True,)], [(1,)])
        for change in (f"update {table} set {column} = 9", f"delete from {table}"):
            with pytest.raises(sa.exc.IntegrityError, match="append-only"):
                write(fleet, change)


def write(fleet: VirtualFleet, change: str) -> None:
    with fleet.store.write() as connection:
        connection.execute(sa.text(change))


def test_a_ride_stays_with_the_claim_in_which_it_stands(fleet: VirtualFleet) -> None:
    """It was forgotten, and claimed a month later, in the next fiscal year."""
    taxi = Taxi(fleet)
    taxi.drive(datetime.date(2027, 3, 10))
    number = taxi.claim(datetime.date(2027, 4, 30))
    assert run(fleet, DUE) == 0
    assert (boarded(fleet), in_claims(fleet)) == (["2027-03"], ["2027-04"])
    assert differences(fleet) == []
    with fleet.store.read() as connection:
        one = claims.load(connection, number)
        assert one is not None
        assert [each.file_yen for each in claim_check.check(connection, one)] == [500]
    assert run(fleet, DUE.replace(year=2033)) == 0
    assert (boarded(fleet), in_claims(fleet)) == ([], [])


@pytest.mark.parametrize("claimed", [False, True], ids=["waiting", "claimed"])
def test_a_ride_goes_together_with_its_taking_back(fleet: VirtualFleet, claimed: bool) -> None:
    taxi = Taxi(fleet)
    wrong = taxi.drive(datetime.date(2027, 3, 10))
    taxi.claim(datetime.date(2027, 3, 31))
    with fleet.store.write() as connection:
        at_ms = start_of_day_ms(datetime.date(2027, 9, 1))
        usage.count(connection, rides.take_back(connection, wrong, at_ms, "kita", "wrong-fare"))
    if claimed:
        taxi.claim(datetime.date(2027, 9, 30))
    assert run(fleet, DUE) == 0
    assert (boarded(fleet), in_claims(fleet)) == (["2027-03"] * 2, ["2027-09"] * claimed)
    assert run(fleet, DUE.replace(year=2033), *([] if claimed else ["--yes"])) == 0
    assert boarded(fleet) == []
    assert lines(fleet)[-1].rides == {TAXI: {KITA: RideSum(2, 1, 0, 0)}}


def test_what_a_clock_of_1970_dates_is_of_the_month_in_which_it_came(fleet: VirtualFleet) -> None:
    taxi = Taxi(fleet)
    taxi.drive(datetime.date(2026, 6, 10), boarded_at_ms=1_000)
    taxi.claim(datetime.date(2026, 6, 30))
    assert due(fleet, datetime.date(2026, 7, 1)) == []
    assert due(fleet, DUE) == ["2026-06"]


@pytest.mark.parametrize("claimed", [False, True], ids=["never-claimed", "not-paid"])
def test_what_is_still_owed_stays_until_a_person_says_so(
    fleet: VirtualFleet, claimed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The months before it are gone by then: each is a step of its own."""
    taxi = Taxi(fleet)
    taxi.drive(datetime.date(2026, 6, 10))
    taxi.claim(datetime.date(2026, 6, 30))
    taxi.drive(datetime.date(2026, 7, 10))
    if claimed:
        taxi.claim(datetime.date(2026, 7, 31), paid=False)
    assert run(fleet, DUE) == 1
    told = capsys.readouterr().err
    assert ("claim 2 of kita-taxi is made" if claimed else "1 rows of kita-taxi, 500 yen") in told
    assert boarded(fleet) == ["2026-07"]
    assert run(fleet, DUE, "--dry-run") == 0
    assert boarded(fleet) == ["2026-07"]
    assert run(fleet, DUE, "--yes") == 0
    assert boarded(fleet) == []
    assert [line.forced for line in lines(fleet)] == [False, True]


def test_how_long_is_the_tenants_to_say(fleet: VirtualFleet) -> None:
    two_years(fleet)
    assert fleet.command("retention", "set-rides", "0", "x") == 1
    assert fleet.command("retention", "set-rides", "7", "") == 1
    assert fleet.command("retention", "set-rides", "7", "文書管理規則 第12条") == 0
    assert due(fleet, DUE) == []
    assert due(fleet, DUE.replace(year=2034))[0] == "2026-06"


def test_only_the_oldest_month_past_its_time_goes(fleet: VirtualFleet) -> None:
    two_years(fleet)
    told = ("kazasu-shi", signer_of(fleet), "test", start_of_day_ms(DUE))
    for month in (datetime.date(2026, 7, 1), LAST):
        with pytest.raises(RetentionRefused), fleet.store.write() as connection:
            ride_retention.retire(connection, month, *told, forced=True)


def test_a_line_whose_entry_went_with_its_month_asks_for_nothing(fleet: VirtualFleet) -> None:
    taxi = Taxi(fleet)
    taxi.drive(datetime.date(2026, 6, 10))
    number = taxi.claim(datetime.date(2026, 6, 30))
    taxi.drive(datetime.date(2026, 8, 10))
    assert run(fleet, IN_TIME) == 0
    assert fleet.rows("select count(*) from entry where kind = 'ride'") == [(1,)]
    with fleet.store.read() as connection:
        one = claims.load(connection, number)
        assert one is not None
        (line,) = claim_check.check(connection, one)
    assert line.troubles == (Trouble.PAST,)
    assert not line.asks
    assert differences(fleet) == []


def test_what_is_gone_is_shown_as_it_was_signed(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    two_years(fleet)
    run(fleet, DUE)
    capsys.readouterr()
    assert fleet.command("retention", "show") == 0
    told = capsys.readouterr().out
    assert "rides kept\t5 fiscal years after their own" in told
    assert "rides retired\t2026-06\t1 rows, 500 yen, 1 claims" in told
    (line,) = fleet.rows("select line from retired_rides where month = '2026-07'")[0]
    with fleet.store.write() as connection, lifted(connection, "retired_rides"):
        connection.execute(retired_rides.delete().where(retired_rides.c.month == "2026-07"))
        row = {"month": "2026-07", "rides": 1, "at_ms": 1, "who": "x"}
        altered = bytes(line).replace(b'"subsidy_yen":500', b'"subsidy_yen":400')
        assert altered != bytes(line)
        connection.execute(retired_rides.insert().values(row | {"line": altered}))
    assert fleet.command("retention", "show") == 0
    assert "rides retired\t2026-07\tTHE LINE IS NOT THE FLEET'S" in capsys.readouterr().out
