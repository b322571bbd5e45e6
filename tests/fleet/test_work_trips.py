"""One trip over night for several people of a school: all of them or nobody, and taken back."""

import datetime
from collections.abc import Collection, Iterator

import pytest

from fleet import (
    schema,
    work_accounts,
    work_closing,
    work_entries,
    work_objections,
    work_terms,
    work_trips,
)
from fleet.config import Databases
from fleet.work_acts import Act, WorkRefused
from fleet.work_entries import NewEntry
from fleet.work_terms import NewTerm
from fleet.work_trips import Trip, TripRefused
from tests.fleet.work_kit import JUNE, NORTH, NOW_MS, RULES, SOUTH, Schools, at, open_schools

TODAY = datetime.date(2026, 7, 3)
TRIP = NewEntry("trip", at(10, "08:00"), at(12, "17:00"), "修学旅行")


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        for number in ("T-1", "T-2", "T-3"):
            made.teacher(number)
        yield made


def enter(
    town: Schools, members: Collection[int], trip: NewEntry = TRIP, school: str = NORTH
) -> list[int]:
    with town.office.write() as people:
        return work_trips.enter(people, school, members, trip, RULES, "kyoto", NOW_MS)


def trips(town: Schools, school: str = NORTH) -> list[Trip]:
    with town.office.read() as people:
        return work_trips.of_school(people, school, TODAY)


def take_back(town: Schools, entry: int, school: str = NORTH) -> int:
    with town.office.write() as people:
        act = Act(0, "kyoto", NOW_MS, "まとめて取り消し")
        return work_trips.take_back(people, school, entry, TODAY, act)


def why_of(town: Schools, members: Collection[int], trip: NewEntry = TRIP) -> dict[int, str]:
    with pytest.raises(TripRefused) as refused:
        enter(town, members, trip)
    return {one: error.reason for one, error in refused.value.of.items()}


def test_everybody_has_an_entry_that_names_who_made_it_and_can_be_contested(town: Schools) -> None:
    mori, kato = town.members["T-1"], town.members["T-2"]
    made = enter(town, {mori, kato})
    (trip,) = trips(town)
    assert (trip.note, trip.who, [one.id for one in trip.entries]) == ("修学旅行", "kyoto", made)
    for one in (mori, kato):
        assert [(it.kind, it.who) for it in town.record(one).entries] == [("trip", "kyoto")]
    assert town.record(town.members["T-3"]).entries == ()
    assert trips(town, SOUTH) == []
    with town.office.write() as people:
        work_objections.contest(people, Act(kato, "kato", NOW_MS, "行っていない"), made[1])
        assert [one.id for one in work_objections.waiting(people, NORTH, TODAY)] == [made[1]]
    assert len(town.audited("work.entry-added")) == 2


def test_when_one_cannot_be_entered_nobody_is_and_each_reason_is_told(town: Schools) -> None:
    mori, kato, ito = (town.members[number] for number in ("T-1", "T-2", "T-3"))
    south = town.teacher("S-1", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    gone = town.teacher("T-9", valid_to=datetime.date(2026, 6, 11))
    with town.office.write() as people:
        work_terms.add(people, town.act(kato), NewTerm(datetime.date(2026, 6, 12), SOUTH))
        work_entries.declare(people, town.act(ito), TRIP, RULES)
    assert why_of(town, {mori, kato, ito, south, gone, 999}) == {
        kato: "trip-elsewhere",
        ito: "entry-twice",
        south: "trip-elsewhere",
        gone: "trip-elsewhere",
        999: "no-member",
    }
    assert town.record(mori).entries == ()
    assert town.audited("work.entry-added") == [("attendance T-3", "2026-06-10 trip")]
    short = TRIP._replace(to_ms=at(11, "17:00"))
    assert len(enter(town, {mori, kato, gone}, short)) == 3


def test_a_trip_of_fifteen_days_backwards_or_of_nobody_is_refused(town: Schools) -> None:
    mori = town.members["T-1"]
    long = TRIP._replace(to_ms=at(24, "08:01"))
    assert why_of(town, {mori}, long) == {mori: "entry-length"}
    assert why_of(town, {mori}, TRIP._replace(to_ms=at(9, "08:00"))) == {mori: "entry-length"}
    with pytest.raises(WorkRefused) as refused:
        enter(town, set())
    assert refused.value.reason == "trip-members"


def test_a_closed_month_takes_no_trip_and_gives_none_back(town: Schools) -> None:
    mori = town.members["T-1"]
    made = enter(town, {mori})
    with town.office_fleet.read() as fleet, town.office.write() as people:
        work_closing.close(fleet, people, NORTH, JUNE, "hana", NOW_MS)
    late = TRIP._replace(from_ms=at(30, "08:00"), to_ms=at(2, "17:00", month=7))
    assert why_of(town, {mori}, late) == {mori: "closed"}
    with pytest.raises(WorkRefused) as refused:
        take_back(town, made[0])
    assert refused.value.reason == "closed"
    assert town.record(mori).entries[0].counts


def test_a_trip_is_taken_back_for_all_with_whom_it_was_entered(town: Schools) -> None:
    mori, kato, ito = (town.members[number] for number in ("T-1", "T-2", "T-3"))
    made = enter(town, {mori, kato})
    with town.office.write() as people:
        work_accounts.bind(people, Act(ito, "hana", NOW_MS), "ito")
        own = work_entries.declare(people, Act(ito, "ito", NOW_MS), TRIP, RULES)
        work_entries.withdraw(people, town.act(kato, "行かなかった"), made[1])
    for school, entry in ((SOUTH, made[0]), (NORTH, own), (NORTH, made[1]), (NORTH, 999)):
        with pytest.raises(WorkRefused) as refused:
            take_back(town, entry, school)
        assert refused.value.reason == "entry-gone"
    assert take_back(town, made[0]) == 1
    assert trips(town) == []
    with pytest.raises(WorkRefused):
        take_back(town, made[0])
    assert [one.counts for one in town.record(ito).entries] == [True]
    assert len(town.ask(schema.work_entry.select())) == 5


def test_who_enters_himself_too_takes_all_of_it_back(town: Schools) -> None:
    kyoto, kato = town.members["T-1"], town.members["T-2"]
    with town.office.write() as people:
        work_accounts.bind(people, town.act(kyoto, who="hana"), "kyoto")
    made = enter(town, {kyoto, kato})
    (trip,) = trips(town)
    assert [one.id for one in trip.entries] == made
    assert take_back(town, made[0]) == 2
    assert trips(town) == []
    enter(town, {kyoto})
    assert trips(town) == [], "for himself alone it is his own"
