"""Rides are settled again: an honest cab's as it said, and what others spent is found and paid."""

import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet import usage
from programmes.calendar import start_of_day_ms
from tests.fleet.ride_kit import (
    Cab,
    MakeTaxis,
    a_cancel,
    add_rider,
    add_table,
    counters,
    differences,
    findings,
    make_cab,
    roster_of,
)
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import Journal, VirtualFleet
from wire.codes import Code, Outcome
from wire.entries import Ride, Tap

HOUR_S = 3600
ALLOWANCE = ("kazasu-shi/taxi-2", "ride", "allowance", "used-up")


def local_ms(text: str) -> int:
    """Return an instant of Japanese local time, such as `2026-06-03 23:50`."""
    zone = datetime.timezone(datetime.timedelta(hours=9))
    return round(datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def deliver(fleet: VirtualFleet, *cabs: Cab) -> None:
    """Let all that lies on these cabs' disks arrive, in one group."""
    fleet.through(*((cab.virtual, batch) for cab in cabs for batch in cab.batches()))
    assert differences(fleet) == []


def subsidies(fleet: VirtualFleet) -> list[int]:
    return [yen for (yen,) in fleet.rows("select subsidy_yen from ride order by at_ms, id")]


def test_an_honest_ride_follows_from_what_the_reader_had(make: MakeTaxis, tmp_path: Path) -> None:
    fleet = make(discounts={"障害者割引": 10})
    ann, bob = add_rider(fleet, "1"), add_rider(fleet, "2")
    cab = make_cab(fleet, tmp_path)
    cab.shift("7")
    cab.spot = "36.389,139.060"
    cab.ride(1500, ann)
    cab.tap(bob)
    cab.tap(ann)
    assert cab.tap(ann) is Code.REPEAT
    cab.fare(2000, keep=False)
    cab.fare(2000, discount="障害者割引")
    assert cab.tap(ann) is Code.USED_UP
    deliver(fleet, cab)
    assert findings(fleet) == []
    assert fleet.alarms() == set()
    assert fleet.rows("select sum(unreplayed) from journal") == [(0,)]
    assert subsidies(fleet) == [750, 1000]


@pytest.mark.parametrize(
    "changes",
    [
        {"fare_yen": 9_000},
        {"subsidy_yen": 740},
        {"subsidy_yen": 760},
        {"discount": "障害者割引", "discount_yen": 150},
        {"outcome": Outcome.REFUSED, "code": Code.WRONG_PLACE, "subsidy_yen": 0},
        {"rule": "taxi/2025"},
        {"boarded_at_ms": local_ms("2020-01-01 12:00")},
        {"boarded_at_ms": local_ms("2026-06-02 12:00")},
        {"boarded_at_ms": local_ms("2026-06-04 12:00")},
    ],
    ids="-".join,
)
def test_a_ride_that_was_altered_is_a_fault(
    make: MakeTaxis, tmp_path: Path, changes: dict[str, Any]
) -> None:
    fleet = make()
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    cab.ride(1500, ann)
    forged = Journal(cab.virtual.name, cab.journal.id)
    for entry in cab.entries().values():
        if isinstance(entry, Ride):
            subsidy_yen = changes.get("subsidy_yen", 750)
            riders = [msgspec.structs.replace(entry.riders[0], subsidy_yen=subsidy_yen)]
            rest = {name: value for name, value in changes.items() if name != "subsidy_yen"}
            entry = msgspec.structs.replace(entry, riders=riders, **rest)
        forged.write(entry)
    fleet.through((cab.virtual, forged.all()))
    assert [kind for _, _, kind, _ in findings(fleet)] == ["replay"]
    assert fleet.alarms() == {"replay"}
    assert differences(fleet) == []


@pytest.mark.parametrize(
    ("rules", "fares", "paid"),
    [
        ({"rides_per_day": 1}, (1500, 1500), [750, 750]),
        ({"rides_per_day": None, "rides_per_year": 1}, (1500, 1500), [750, 750]),
        (
            {"rides_per_day": None, "rides_per_year": None, "yen_per_year": 700},
            (1400, 1400),
            [700, 700],
        ),
    ],
    ids=["day", "year", "yen"],
)
def test_of_two_cabs_that_spend_the_last_ride_both_are_paid_and_the_later_is_found(
    make: MakeTaxis,
    tmp_path: Path,
    rules: dict[str, object],
    fares: tuple[int, int],
    paid: list[int],
) -> None:
    fleet = make(
        **{name: value for name, value in rules.items() if value is not None} | _off(rules)
    )
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    other.clock.pass_s(HOUR_S)
    one.ride(fares[0], ann)
    other.ride(fares[1], ann)
    deliver(fleet, one)
    deliver(fleet, other)
    assert findings(fleet) == [ALLOWANCE]
    assert fleet.alarms() == set()
    assert subsidies(fleet) == paid


def _off(rules: dict[str, object]) -> dict[str, object]:
    """A limit that a table is not to have stands so high that nobody meets it."""
    high = {"rides_per_day": 100, "rides_per_year": 10_000}
    return {name: high[name] for name, value in rules.items() if value is None}


def test_the_later_is_who_is_committed_later_not_who_rode_later(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    one.clock.pass_s(HOUR_S)
    one.ride(1500, ann)
    other.ride(1500, ann)
    deliver(fleet, one)
    deliver(fleet, other)
    assert findings(fleet) == [ALLOWANCE]


def test_two_cabs_in_one_group_are_judged_in_their_order(make: MakeTaxis, tmp_path: Path) -> None:
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    one.ride(1500, ann)
    other.ride(1500, ann)
    deliver(fleet, one, other)
    assert findings(fleet) == [ALLOWANCE]


def test_a_balance_that_another_cab_has_spent_in_part_is_found_with_what_was_left(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make(rides_per_day=100, rides_per_year=10_000, yen_per_year=1_000)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    one.ride(1600, ann)
    other.ride(1600, ann)
    deliver(fleet, one)
    deliver(fleet, other)
    assert findings(fleet) == [("kazasu-shi/taxi-2", "ride", "allowance", "ok")]
    assert fleet.rows("select rider_pays_yen from finding") == [(1400,)]
    assert subsidies(fleet) == [800, 800]


def test_who_was_let_aboard_and_taken_off_again_leaves_no_finding(
    make: MakeTaxis, tmp_path: Path
) -> None:
    """Nothing was paid for him; his tap alone was over the allowance."""
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    one.ride(1500, ann)
    assert other.tap(ann) is Code.OK
    assert other.take_off(other.aboard()[0]) == ""
    deliver(fleet, one)
    deliver(fleet, other)
    assert findings(fleet) == []


@pytest.mark.parametrize("batches", ["one", "each", "reverse"])
def test_a_fare_that_is_corrected_leaves_no_finding(
    make: MakeTaxis, tmp_path: Path, batches: str
) -> None:
    """Settled, taken back, boarded again, settled again: the last ride of the day, once."""
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    for fare in (15_000, 5_100, 1_500):
        wrong = cab.ride(fare, ann)
        if fare != 1_500:
            assert cab.cancel((wrong.journal, wrong.n)) == ""
    (batch,) = cab.batches()
    journal = Journal(cab.virtual.name, cab.journal.id)
    for entry in cab.entries().values():
        journal.write(entry)
    numbers = range(1, batch.last + 1)
    if batches == "one":
        fleet.through((cab.virtual, batch))
    else:
        order = numbers if batches == "each" else reversed(numbers)
        fleet.through(*((cab.virtual, journal.batch(n, n)) for n in order))
    assert findings(fleet) == []
    assert sum(subsidies(fleet)) == 750
    assert {yen for _, yen in counters(fleet).values()} == {750}
    assert differences(fleet) == []


def test_what_one_batch_takes_back_is_there_for_the_next_of_another_cab(
    make: MakeTaxis, tmp_path: Path
) -> None:
    """A taking back names no card: what it gives back is known though nobody asked before."""
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    wrong = one.ride(1500, ann)
    deliver(fleet, one)
    since = one.journal.n + 1
    assert one.cancel((wrong.journal, wrong.n)) == ""
    other.ride(1500, ann)
    (mine,) = one.batches(since)
    (first,) = other.batches()
    halves = _halves(other)
    fleet.through((one.virtual, mine), (other.virtual, halves[1]), (other.virtual, halves[0]))
    fleet.through((other.virtual, first))
    assert findings(fleet) == []
    assert differences(fleet) == []


def _halves(cab: Cab) -> tuple[Any, Any]:
    journal = Journal(cab.virtual.name, cab.journal.id)
    for entry in cab.entries().values():
        journal.write(entry)
    return journal.batch(1, 1), journal.batch(2, len(journal.entries))


def test_a_taking_back_that_is_said_twice_gives_no_second_ride(
    make: MakeTaxis, tmp_path: Path
) -> None:
    """A hostile reader says it often, in the batch in which another ride is to slip through."""
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    one, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    wrong = one.ride(1500, ann)
    one.cancel((wrong.journal, wrong.n))
    again = one.ride(1500, ann)
    assert again.n
    for n in range(2):
        one.keeper.keep(a_cancel(1, wrong.journal, wrong.n, at_ms=one.now_ms + n))
    other.ride(1500, ann)
    deliver(fleet, one, other)
    assert findings(fleet) == [ALLOWANCE]


def test_a_member_of_two_cards_has_one_allowance(make: MakeTaxis, tmp_path: Path) -> None:
    fleet = make(rides_per_day=1)
    old = "ab" * 16
    new = add_rider(fleet, "1", old)
    other = make_cab(fleet, tmp_path, "taxi-2")
    other.ride(1500, new)
    cab = fleet.reader("taxi-1")
    journal = cab.journal()
    (ride,) = [one for one in other.entries().values() if isinstance(one, Ride)]
    with_old = [msgspec.structs.replace(ride.riders[0], credential=old)]
    journal.write(msgspec.structs.replace(ride, n=2, riders=with_old, roster=1))
    fleet.through((cab, journal.all()))
    deliver(fleet, other)
    assert ALLOWANCE in findings(fleet)


def test_a_card_whose_key_rolled_over_is_one_rider_and_one_member(
    make: MakeTaxis, tmp_path: Path
) -> None:
    """The roster knows it by its older credential alone; the ledger moves the member."""
    fleet = make(rides_per_day=2)
    old, new = add_rider(fleet, "1"), "ef" * 16
    cab = make_cab(fleet, tmp_path)
    assert cab.tap(old) is Code.OK
    assert cab.tap(new, old) is Code.REPEAT
    assert cab.fare(1500).n
    assert cab.tap(new, old) is Code.OK
    assert cab.fare(1500).n
    assert cab.tap(new, old) is Code.USED_UP
    deliver(fleet, cab)
    assert findings(fleet) == []
    assert {times for times, _ in counters(fleet).values()} == {1}
    with fleet.people.read() as connection:
        cards = usage.cards_of_members(connection, {old, new})
    assert {frozenset(some) for some in cards.values()} == {frozenset({old, new})}


@pytest.mark.parametrize(
    ("boards", "rides_on", "periods"),
    [
        ("2026-06-03 23:50", "2026-06-04 00:20", {"2026-06-03", "2026"}),
        ("2027-03-31 23:50", "2027-04-01 00:20", {"2027-03-31", "2026"}),
    ],
    ids=["midnight", "new-year"],
)
def test_a_ride_is_of_the_day_on_which_it_began(
    make: MakeTaxis, tmp_path: Path, boards: str, rides_on: str, periods: set[str]
) -> None:
    fleet = make(from_time=datetime.time(0), to_time=datetime.time(23, 59), rides_per_day=1)
    add_table(
        fleet, tmp_path, "taxi/2027", "2027-04-01", solo_cap_yen=100, from_time=datetime.time(0)
    )
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path, at_ms=local_ms(boards))
    assert cab.tap(ann) is Code.OK
    cab.clock.pass_s((local_ms(rides_on) - local_ms(boards)) // 1000)
    answer = cab.fare(1500)
    assert answer.subsidies_yen == [750]
    assert cab.tap(ann) is Code.OK, "it is another day"
    deliver(fleet, cab)
    assert findings(fleet) == []
    assert {period for period, _ in counters(fleet)} == periods
    assert fleet.rows("select rule, boarded_at_ms from ride") == [("taxi/2026", local_ms(boards))]


def test_a_reader_that_has_lost_the_time_settles_and_is_not_accused(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path, at_ms=0)
    for _ in range(3):
        assert cab.ride(1500, ann).subsidies_yen == [750]
    deliver(fleet, cab)
    assert fleet.rows("select distinct clock from entry") == [("unknown",)]
    assert findings(fleet) == []
    assert fleet.alarms() == set()


def test_a_clock_that_is_set_while_somebody_rides_puts_his_ride_on_the_right_day(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make()
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path, at_ms=0)
    cab.keeper.stepped(cab.time.take_machine_time() or 0)
    assert cab.tap(ann) is Code.OK
    step_ms = cab.time.take_fleet_time(local_ms("2026-06-03 12:00"))
    assert step_ms
    cab.keeper.stepped(step_ms)
    answer = cab.fare(1500)
    assert answer.n
    deliver(fleet, cab)
    assert {period for period, _ in counters(fleet)} == {"2026-06-03", "2026"}
    assert findings(fleet) == []


def test_a_rule_that_changes_while_a_cab_is_away_changes_none_of_its_rides(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make()
    ann = add_rider(fleet, "1")
    cab, other = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    cab.ride(1500, ann)
    add_table(fleet, tmp_path, "taxi/2026-06", "2026-06-01", solo_percent=10)
    build(fleet)
    other.roster = roster_of(fleet, "taxi-2", 2)
    other.clock.pass_s(HOUR_S)
    other.ride(1500, ann)
    deliver(fleet, cab, other)
    assert subsidies(fleet) == [750, 150]
    assert {kind for _, _, kind, _ in findings(fleet)} <= {"roster-lag"}
    assert fleet.alarms() == set()


def test_who_taps_is_told_what_he_had_used_and_the_ride_repeats_it(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make()
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    cab.ride(1500, ann)
    cab.ride(1500, ann)
    taps = [one for one in cab.entries().values() if isinstance(one, Tap)]
    rides = [one for one in cab.entries().values() if isinstance(one, Ride)]
    assert [one.used["2026-06-03"].times for one in taps] == [0, 1]
    assert [one.riders[0].used for one in rides] == [one.used for one in taps]
    assert start_of_day_ms(datetime.date(2026, 6, 3)) < rides[0].boarded_at_ms
