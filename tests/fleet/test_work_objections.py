"""A member objects to an entry that somebody else made; the school sees it until it is answered."""

import zlib
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa

from fleet import (
    disclosure,
    erasure,
    schema,
    work_accounts,
    work_closing,
    work_corrections,
    work_entries,
    work_objections,
    work_retention,
)
from fleet.config import Databases
from fleet.work_acts import Act, WorkRefused
from fleet.work_entries import Declared, NewEntry
from fleet.work_list_file import OwnDay
from fleet.work_objections import OF_ENTRY_MAX
from fleet.work_wishes import AddMark
from programmes.texts import LANGUAGES, say
from tests.fleet.work_kit import (
    DAY_MS,
    JUNE,
    NORTH,
    NOW_MS,
    RULES,
    SOUTH,
    Schools,
    at,
    open_schools,
)

TODAY = JUNE.replace(month=7, day=3)
THE_4TH = JUNE.replace(day=4)


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        member_id = made.teacher("T-1")
        with made.office.write() as people:
            work_accounts.bind(people, Act(member_id, "hana", NOW_MS), "mori")
        yield made


def entered(town: Schools, who: str = "kyoto", time: str = "20:00") -> int:
    """Somebody enters an hour of work at home for T-1."""
    new = NewEntry("home", at(4, time), at(4, time) + 3_600_000)
    with town.office.write() as people:
        act = Act(town.members["T-1"], who, NOW_MS)
        return work_entries.declare(people, act, new, RULES)


def objects(town: Schools, entry: int, who: str = "mori", why: str = "していない") -> None:
    with town.office.write() as people:
        act = Act(town.members["T-1"], who, NOW_MS, why)
        work_objections.contest(people, act, entry)


def answers(town: Schools, entry: int, *, counts: bool, who: str = "kyoto", why: str = "y") -> None:
    with town.office.write() as people:
        act = Act(town.members["T-1"], who, NOW_MS, why)
        work_objections.answer(people, act, entry, counts=counts)


def waiting(town: Schools, school: str = NORTH) -> list[int]:
    with town.office.read() as people:
        return [one.id for one in work_objections.waiting(people, school, TODAY)]


def load(town: Schools, entry: int) -> Declared:
    with town.office.read() as people:
        one = work_entries.load(people, town.members["T-1"], entry)
    assert one is not None
    return one


def refused(reason: str) -> "pytest.RaisesExc[WorkRefused]":
    def is_so(error: WorkRefused) -> bool:
        return error.reason == reason

    return pytest.RaisesExc(WorkRefused, check=is_so)


def test_an_objection_is_seen_by_the_school_until_somebody_says_that_it_counts(
    town: Schools,
) -> None:
    entry = entered(town)
    objects(town, entry)
    assert (waiting(town), waiting(town, SOUTH)) == ([entry], [])
    assert load(town, entry).counts, "an objection changes no hours"
    answers(town, entry, counts=True, why="本人と確かめた")
    assert waiting(town) == []
    assert [(one.kind, one.who, one.why) for one in load(town, entry).said] == [
        ("contest", "mori", "していない"),
        ("answer", "kyoto", "本人と確かめた"),
    ]
    objects(town, entry, why="やはり違う")
    assert waiting(town) == [entry]
    answers(town, entry, counts=False, why="入力の間違い")
    assert waiting(town) == []
    assert (load(town, entry).counts, load(town, entry).withdrawn_why) == (False, "入力の間違い")


def test_no_objection_is_taken_that_no_school_would_see_any_more(town: Schools) -> None:
    entry, member_id = entered(town), town.members["T-1"]
    with town.office.write() as people:
        act = Act(member_id, "kyoto", NOW_MS, "守衛が見た")
        wish = AddMark(at_ms=at(4, "17:15"), declared="out")
        (number,) = work_corrections.correct(people, act, THE_4TH, [wish], RULES)
    much_later = Act(member_id, "mori", NOW_MS + 401 * DAY_MS, "違う")
    for contest, what in (
        (work_objections.contest, entry),
        (work_corrections.contest, number),
    ):
        with refused("day"), town.office.write() as people:
            contest(people, much_later, what)


def test_who_may_object_and_who_may_answer(town: Schools) -> None:
    own, entry = entered(town, "mori"), entered(town, time="21:30")
    with refused("not-contested"):
        objects(town, own)
    with refused("not-contested"):
        objects(town, 99)
    with refused("not-waiting"):
        answers(town, entry, counts=True)
    with refused("why"):
        objects(town, entry, why=" ")
    objects(town, entry)
    with refused("not-contested"):
        objects(town, entry)
    for counts in (True, False):
        with refused("own"):
            answers(town, entry, counts=counts, who="mori")
    with refused("why"):
        answers(town, entry, counts=True, why="")
    other = town.teacher("T-2")
    with refused("not-contested"), town.office.write() as people:
        work_objections.contest(people, Act(other, "kato", NOW_MS, "x"), entry)
    with town.office.write() as people:
        work_entries.withdraw(people, town.act(town.members["T-1"], "誤り"), entry)
    with refused("not-contested"):
        objects(town, entry)


def test_an_objection_is_taken_in_a_closed_month_and_a_taking_back_is_not(town: Schools) -> None:
    entry = entered(town)
    with town.office_fleet.read() as fleet, town.office.write() as people:
        work_closing.close(fleet, people, NORTH, JUNE, "hana", NOW_MS)
    objects(town, entry)
    with refused("closed"):
        answers(town, entry, counts=False)
    answers(town, entry, counts=True)
    assert waiting(town) == []


def test_an_entry_takes_so_many_objections_and_no_more(town: Schools) -> None:
    entry = entered(town)
    for _ in range(OF_ENTRY_MAX // 2):
        objects(town, entry)
        answers(town, entry, counts=True)
    with refused("objections"):
        objects(town, entry)


def own_days(town: Schools) -> list[OwnDay]:
    town.maker.make_due(NOW_MS + 60_000)
    leaf = schema.work_leaf.c
    wanted = sa.select(leaf.body).where(leaf.day == THE_4TH).order_by(leaf.id)
    return [msgspec.json.decode(zlib.decompress(one), type=OwnDay) for (one,) in town.ask(wanted)]


def test_objections_stand_in_the_signed_day_and_days_without_are_as_before(town: Schools) -> None:
    entry = entered(town)
    (before,) = own_days(town)
    assert b'"said"' not in msgspec.json.encode(before)
    objects(town, entry)
    after = own_days(town)[-1]
    assert [(one.kind, one.who) for one in after.entries[0].said] == [("contest", "mori")]
    assert len(own_days(town)) == 2, "what is as it was makes no list"


def test_objections_are_told_erased_and_go_with_their_day(town: Schools) -> None:
    entry, member_id = entered(town), town.members["T-1"]
    objects(town, entry)
    answers(town, entry, counts=True)
    with town.office.write() as people:
        told = disclosure.disclose(people, member_id, "hana", NOW_MS).work
    assert {"entry-contest", "entry-answer"} <= {one.kind for one in told}
    for kind in ("entry-contest", "entry-answer"):
        assert all(say(f"work.told.{kind}", language) for language in LANGUAGES)
    assert town.audited("work.entry-contest") == [("attendance T-1", "2026-06-04 home")]
    with town.people.write() as people, pytest.raises(sa.exc.DBAPIError):
        people.execute(schema.work_objection.update().values(why="x"))
    with town.people.write() as people:
        work_retention.drop(people, "hana", NOW_MS + 62 * 31 * 24 * 3_600_000)
    assert town.ask(schema.work_objection.select()) == []
    objects(town, entered(town))
    with town.people.write() as people:
        erasure.erase(people, member_id, "T-1", "hana", NOW_MS)
    assert town.ask(schema.work_objection.select()) == []
