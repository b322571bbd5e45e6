"""What rides come to, what is looked at twice, and the published figures beside ours."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet import anomalies, ride_figures, scoreboard
from fleet.schema import card, finding, member, person, ride
from fleet.store import Store
from programmes import taxi
from tests.fleet.ridden_kit import (
    COMPANIES,
    JOURNAL_ID,
    Ridden,
    add_reader,
    add_rides,
    add_taxis,
)
from tests.web.town import Town, empty_town

JUNE = datetime.date(2026, 6, 1)
MAY = datetime.date(2026, 5, 1)
DAY = datetime.date(2026, 6, 3)
NORTH, SOUTH = "36.389,139.060", "36.300,139.060"
"""Ten kilometres apart."""


@pytest.fixture
def town(tmp_path: Path) -> Town:
    found = empty_town(tmp_path)
    fleet = found.fleet()
    with fleet.write() as connection:
        add_taxis(connection)
    fleet.close()
    return found


@pytest.fixture
def fleet(town: Town) -> Iterator[Store]:
    opened = town.fleet()
    yield opened
    opened.close()


@pytest.fixture
def people(town: Town) -> Iterator[Store]:
    opened = town.persons()
    yield opened
    opened.close()


def enrol(people: Store, number: str, *cards: str) -> None:
    with people.write() as connection:
        who = connection.execute(
            person.insert().values(name="秘密", updated_at_ms=0).returning(person.c.id)
        ).scalar_one()
        of = connection.execute(
            member.insert()
            .values(
                person_id=who,
                programme=taxi.NAME,
                registration_number=number,
                updated_at_ms=0,
            )
            .returning(member.c.id)
        ).scalar_one()
        for one in cards:
            connection.execute(
                card.insert().values(
                    member_id=of,
                    programme=taxi.NAME,
                    credential=one.rjust(32, "0"),
                    scheme="common-ap",
                    key_epoch=1,
                    assigned_at_ms=0,
                    assigned_by="hana",
                )
            )


def figures(
    fleet: Store, people: Store, *some: Ridden
) -> dict[tuple[datetime.date, str], ride_figures.Sums]:
    with fleet.write() as connection:
        add_rides(connection, some)
    with fleet.read() as connection, people.read() as persons:
        return ride_figures.count(connection, persons, taxi.NAME, [MAY, JUNE])


def test_the_yen_of_the_figures_are_those_of_the_ledger(fleet: Store, people: Store) -> None:
    found = figures(
        fleet,
        people,
        Ridden(DAY),
        Ridden(DAY, ("c1", "c2", "c3"), fare=1_200, subsidy=1_200),
        Ridden(DAY, ("c4",), "taxi-2", COMPANIES[1], medium="paper"),
        Ridden(DAY, fare=9_000, subsidy=1_000, back=True),
        Ridden(DAY, outcome="refused"),
        Ridden(DAY.replace(month=5)),
    )
    june = ride_figures.together(sums for (month, _), sums in found.items() if month == JUNE)
    assert (june.rides, june.uses, june.shared) == (3, 5, 1)
    assert (june.refused, june.taken_back) == (1, 1)
    assert june.riders == {"card": 4, "paper": 1, "none": 0}
    assert june.card_permille == 800
    with fleet.read() as connection:
        total = connection.scalar(sa.select(sa.func.sum(ride.c.subsidy_yen)))
    assert total == sum(sums.subsidy_yen for sums in found.values()) == 750 + 1_200 + 750 + 750
    assert found[JUNE, COMPANIES[1]].subsidy_yen == 750


def test_a_ride_at_the_end_of_a_month_is_of_the_month_in_which_it_began(
    fleet: Store, people: Store
) -> None:
    late = Ridden(datetime.date(2026, 5, 31), at=datetime.time(23, 55))
    found = figures(fleet, people, late)
    assert [month for month, _ in found] == [MAY]


def test_a_member_counts_once_over_all_cards_and_few_are_not_counted_out(
    fleet: Store, people: Store
) -> None:
    enrol(people, "T-1", "c1", "c2")
    for number in range(3, 6):
        enrol(people, f"T-{number}", f"c{number}")
    some = [Ridden(DAY, (f"c{number}",)) for number in (1, 2, 3, 4, 5)]
    found = figures(fleet, people, *some)
    assert len(found[JUNE, COMPANIES[0]].members) == 4
    assert found[JUNE, COMPANIES[0]].users is None
    again = figures(fleet, people, Ridden(DAY, ("of-nobody",)))
    assert again[JUNE, COMPANIES[0]].users == 5


def test_who_rode_and_took_it_back_is_no_user(fleet: Store, people: Store) -> None:
    some = [Ridden(DAY, (f"c{number}",), back=number == 5) for number in range(6)]
    assert figures(fleet, people, *some)[JUNE, COMPANIES[0]].users == 5


def look(fleet: Store, *some: Ridden) -> list[anomalies.Anomaly]:
    with fleet.write() as connection:
        add_rides(connection, some)
    with fleet.read() as connection:
        return anomalies.find(connection, taxi.NAME, JUNE)


def at(hour: int, minute: int) -> datetime.time:
    return datetime.time(hour, minute)


def test_one_card_in_two_taxis_at_once_is_listed_and_two_rides_in_turn_are_not(
    fleet: Store,
) -> None:
    first = Ridden(DAY, at=at(10, 0), minutes=20)
    (found,) = look(fleet, first, Ridden(DAY, place="taxi-2", at=at(10, 19)))
    assert (found.kind, found.place) == ("two-taxis", "taxi-2")
    other = ("c2",)
    some = look(
        fleet,
        Ridden(DAY, other, at=at(10, 0), minutes=20),
        Ridden(DAY, other, "taxi-2", at=at(10, 20)),
    )
    assert some == [found]


def test_a_way_that_no_car_can_have_gone_is_listed(fleet: Store) -> None:
    first = Ridden(DAY, at=at(10, 0), minutes=10, off=NORTH)
    (found,) = look(fleet, first, Ridden(DAY, place="taxi-2", at=at(10, 12), on=SOUTH))
    assert (found.kind, found.number) == ("too-far", 10)
    slow = ("c2",)
    some = look(
        fleet,
        Ridden(DAY, slow, at=at(10, 0), minutes=10, off=NORTH),
        Ridden(DAY, slow, "taxi-2", at=at(10, 25), on=SOUTH),
    )
    assert some == [found]


def test_a_fare_out_of_proportion_is_listed_once_for_all_riders(fleet: Store) -> None:
    dear = Ridden(DAY, ("c1", "c2"), fare=12_000, on=NORTH, off=NORTH)
    fair = Ridden(DAY, ("c3",), fare=5_000, on=NORTH, off=SOUTH)
    (found,) = look(fleet, dear, fair)
    assert (found.kind, found.number) == ("fare", 12_000)


def test_very_many_rides_are_listed_and_one_that_was_taken_back_is_nothing(fleet: Store) -> None:
    many = [
        Ridden(DAY + datetime.timedelta(days=number // 2), at=at(8 + number % 2 * 4, 0))
        for number in range(anomalies.MANY_IN_A_MONTH + 1)
    ]
    (found,) = look(fleet, *many)
    assert (found.kind, found.number) == ("many", anomalies.MANY_IN_A_MONTH + 1)
    other = ("c2",)
    some = look(
        fleet,
        Ridden(DAY, other, at=at(10, 0), minutes=20, back=True),
        Ridden(DAY, other, "taxi-2", at=at(10, 10)),
    )
    assert some == [found]


def test_rides_that_the_ledger_found_over_an_allowance_are_listed(town: Town, fleet: Store) -> None:
    with fleet.write() as connection:
        add_reader(connection, "t/taxi-1", "taxi-1")
        (over, _) = add_rides(connection, [Ridden(DAY, entry=3), Ridden(DAY, ("c2",), entry=4)])
        said = {"kind": "allowance", "outcome": "refused", "code": "used-up", "rule": "r"}
        here = {"journal_id": JOURNAL_ID, "n": 3, "found_at_ms": 0}
        connection.execute(finding.insert().values(said | here))
    with fleet.read() as connection:
        (found,) = anomalies.find(connection, taxi.NAME, JUNE)
    assert (found.kind, found.ride_id) == ("allowance", over)


def test_a_list_names_members_by_number_alone_and_leaves_a_line(
    fleet: Store, people: Store, town: Town
) -> None:
    enrol(people, "T-1", "c1")
    some = look(fleet, Ridden(DAY, fare=12_000, on=NORTH, off=NORTH))
    with people.write() as connection:
        (shown,) = anomalies.name(connection, taxi.NAME, some, "hana", 5)
    assert shown.registration_number == "T-1"
    lines = town.ask(sa.text("SELECT who, what, detail FROM audit"), persons=True)
    assert ("hana", "ride.anomalies-seen", "T-1") in {tuple(line) for line in lines}


def test_the_published_figures_are_reckoned_as_the_city_did() -> None:
    month = ride_figures.Sums(rides=25_000)
    month.riders["card"] = 25_000
    assert scoreboard.saved_minutes(month) == 1_250 * 60
    month.riders |= {"card": 4_200, "paper": 20_800}
    assert month.card_permille == 168
    assert scoreboard.saved_minutes(month) == 210 * 60
    told = {one.name: one for one in scoreboard.scores(month, 26_880, 4_520)}
    assert told["holders-share"].ours == told["holders-share"].card == 168
    assert told["postage-saved"].ours == told["postage-saved"].card == 4_520 * 224
    assert told["by-hand"].ours == 20_800
    assert told["easy"].ours is None
    assert {one.how for one in told.values() if one.ours is None} == {"not-measured"}


def test_an_empty_ledger_has_figures_too(fleet: Store, people: Store) -> None:
    assert figures(fleet, people) == {}
    told = scoreboard.scores(ride_figures.Sums(), 0, 0)
    assert {one.ours for one in told} <= {0, None}


def test_a_distance_is_right_within_a_percent() -> None:
    assert anomalies.distance_km(NORTH, SOUTH) == pytest.approx(9.9, rel=0.01)
    # 前橋駅 to 高崎駅: 9.9 km by the Geospatial Information Authority's inverse formula
    assert anomalies.distance_km("36.383,139.073", "36.322,139.013") == pytest.approx(8.7, rel=0.02)
