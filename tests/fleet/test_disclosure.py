"""Disclosure: all of one person in one programme, never a credential, never another programme."""

import datetime
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from fleet import audit, disclosure, erasure, member_cards, member_life, usage
from fleet.config import Databases
from fleet.member_events import Kind, LifeRefused
from fleet.member_search import find_members
from tests.fleet.member_kit import BUS, NOON_MS, SCHOOL, Desk, credential_of, open_desk


@pytest.fixture
def desk(databases: Databases) -> Iterator[Desk]:
    with open_desk(databases) as opened:
        yield opened


def told(desk: Desk, member_id: int, who: str = "hana") -> disclosure.Disclosure:
    with desk.writing() as connection:
        return disclosure.disclose(connection, member_id, who, NOON_MS)


def test_all_that_is_held_of_a_person_is_told_without_a_credential(desk: Desk) -> None:
    born = datetime.date(1940, 4, 1)
    hana = desk.add("D-1", "山田 花", birth_date=born, category="all", cards=("first", "second"))
    other = desk.add("D-2", "山田 太郎", cards=())
    first = desk.cards(hana)[0].id
    with desk.writing() as connection:
        member_cards.stop_cards(connection, desk.step(hana, "紛失届"), [first])
        member_life.join_household(connection, desk.step(hana), other)
    found = told(desk, hana)
    assert (found.name, found.birth_date, found.category) == ("山田 花", born, "all")
    assert sorted(one.stopped_why for one in found.cards) == ["", "紛失届"]
    assert [(one.kind, one.ordinance) for one in found.consents] == [("given", "条例第3号")]
    assert [one.kind for one in found.events] == [Kind.HOUSEHOLD_JOINED, Kind.CARD_STOPPED]
    assert found.household_numbers == ("D-2",)
    whole = str(asdict(found))
    assert credential_of("first") not in whole
    assert credential_of("second") not in whole
    assert "太郎" not in whole  # another person's name is that one's


def test_nothing_of_another_programme_is_told(desk: Desk) -> None:
    hana = desk.add("D-1", "山田 花")
    desk.add("D-1", "山田 花（学校）", SCHOOL, cards=("school",))
    with desk.writing() as connection:
        audit.note_person(connection, NOON_MS, "umi", "member.seen", f"{SCHOOL} D-1")
    found = told(desk, hana)
    assert "学校" not in str(asdict(found))
    assert "umi" not in {one.who for one in found.looks}


def test_everybody_who_looked_at_the_person_is_told_and_nobody_elses_looks(desk: Desk) -> None:
    hana = desk.add("D-1", "山田 花")
    desk.add("D-11", "別 人", cards=("other",))
    with desk.writing() as connection:
        find_members(connection, BUS, "D-1", "rin", NOON_MS)
        find_members(connection, BUS, "D-11", "sora", NOON_MS)
        audit.note_person(connection, NOON_MS, "mei", "member.seen", f"{BUS} D-1")
        audit.note_person(connection, NOON_MS, "kai", "member.seen", f"{BUS} D-11")
    looks = {(one.who, one.what) for one in told(desk, hana, "first").looks}
    assert {("rin", "members.listed"), ("mei", "member.seen")} <= looks
    assert {"sora", "kai"}.isdisjoint(who for who, _ in looks)
    again = {(one.who, one.what) for one in told(desk, hana).looks}
    assert ("first", "person.disclosed") in again


def test_looks_at_somebody_who_had_the_number_before_are_not_told(desk: Desk) -> None:
    old = desk.add("D-1", "前の人")
    with desk.writing() as connection:
        audit.note_person(connection, NOON_MS, "mei", "member.seen", f"{BUS} D-1")
        erasure.erase(connection, old, "D-1", "hana", NOON_MS)
    new = desk.add("D-1", "新しい人", cards=("new",))
    assert {one.who for one in told(desk, new).looks} == {"hana"}
    with pytest.raises(LifeRefused):
        told(desk, old)


def test_uses_of_cards_that_nobody_has_are_none(desk: Desk) -> None:
    hana = desk.add("D-1", cards=())
    with desk.people.read() as people, desk.fleet.read() as fleet:
        assert disclosure.uses(fleet, BUS, usage.cards_of(people, hana)) == []
