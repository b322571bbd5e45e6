"""How long records of work are kept, what is told to the person, and what is left when erased."""

import datetime
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa

from fleet import (
    disclosure,
    erasure,
    gate_names,
    schema,
    work_accounts,
    work_closing,
    work_corrections,
    work_disclosure,
    work_entries,
    work_feeds,
    work_lists,
    work_retention,
    work_special,
)
from fleet.accounts import Account
from fleet.config import Databases
from fleet.work_acts import WorkRefused
from fleet.work_entries import NewEntry
from fleet.work_list_file import check, own_hash
from fleet.work_wishes import AddMark, Wish
from programmes.calendar import start_of_day_ms
from programmes.texts import LANGUAGES, say
from tests.fleet.work_kit import JUNE, KEY, NORTH, NOW_MS, RULES, Schools, at, open_schools

THE_3RD = datetime.date(2026, 6, 3)
OF_MEMBERS = (
    *(schema.work_term, schema.work_correction, schema.work_entry, schema.work_request),
    *(schema.work_special, schema.work_account, schema.work_naming, schema.work_leaf),
    schema.work_feed,
)


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        yield made


def lived(town: Schools) -> int:
    """Return a member of whom there is a row in every table."""
    mori = town.teacher("T-1")
    town.gates["north-front"].tap("T-1", at(3, "07:45"))
    town.gates["north-front"].send()
    with town.office_fleet.read() as fleet, town.office.write() as people:
        wishes: list[Wish] = [AddMark(at(3, "17:15"), "out")]
        own = town.act(mori, "ひみつの理由", who="mori")
        number = work_corrections.ask(people, own, THE_3RD, wishes, RULES)
        work_corrections.approve(people, number, "kyoto", NOW_MS)
        entry = NewEntry("home", at(3, "20:00"), at(3, "21:00"), "ひみつの備考")
        made = work_entries.declare(people, own, entry, RULES)
        work_entries.withdraw(people, own, made)
        work_special.declare(fleet, people, town.act(mori, "ひみつの特例"), JUNE)
        work_accounts.bind(people, town.act(mori), "mori")
        gate_names.wish(people, own, shown=False)
        owner = Account("mori", "clerk", member_id=mori)
        work_feeds.make(people, owner, "", "ja", NOW_MS)
        work_closing.close(fleet, people, NORTH, JUNE, "kyoto", NOW_MS)
    town.maker.make_due(NOW_MS)
    return mori


def rows_of(town: Schools, member_id: int) -> dict[str, int]:
    return {
        table.name: len(town.ask(table.select().where(table.c.member_id == member_id)))
        for table in OF_MEMBERS
    }


def test_all_that_was_written_down_is_told_to_the_person(town: Schools) -> None:
    mori = lived(town)
    with town.office.write() as people:
        told = disclosure.disclose(people, mori, "hana", NOW_MS).work
    assert {one.kind for one in told} == {
        *("term", "add", "asked", "approved", "home", "entry-withdrawn", "month"),
        *("special-declared", "account-bound", "name-hidden", "feed-made"),
    }
    assert {"ひみつの理由", "ひみつの備考", "ひみつの特例"} <= {one.said for one in told}
    for one in told:
        assert all(say(f"work.told.{one.kind}", language) for language in LANGUAGES)


def test_erasing_leaves_no_word_and_no_time_of_a_person(town: Schools) -> None:
    mori, sato = lived(town), town.teacher("T-2")
    assert all(rows_of(town, mori).values())
    with town.office.read() as people:
        receipt = work_lists.receipt(people, mori, THE_3RD)
        before = work_lists.file_of(people, NORTH, THE_3RD)
    assert receipt is not None
    with town.office.write() as people:
        erasure.erase(people, mori, "T-1", "hana", NOW_MS)
    assert not any(rows_of(town, mori).values())
    assert not town.ask(schema.work_decision.select())
    assert rows_of(town, sato)["work_term"] == 1
    (kept,) = town.ask(schema.work_month.select())
    assert kept.member_id == mori
    with town.office.read() as people:
        assert work_lists.receipt(people, mori, THE_3RD) is None
        assert work_lists.file_of(people, NORTH, THE_3RD) == before
    assert check(receipt, KEY.public_key()).own is not None  # what the person has stays proof


def test_a_hash_without_its_salt_finds_nobody(town: Schools) -> None:
    mori = lived(town)
    with town.office.read() as people:
        receipt = work_lists.receipt(people, mori, THE_3RD)
    assert receipt is not None
    found = check(receipt, KEY.public_key())
    assert found.own is not None

    assert own_hash(b"", msgspec.json.encode(found.own)) not in found.list.days


def test_records_are_kept_five_years_unless_told_otherwise(town: Schools) -> None:
    lived(town)
    with town.people.read() as people:
        assert work_retention.oldest_kept(people, NOW_MS) == datetime.date(2021, 7, 1)
    for count, why in ((12, "短い"), (72, " ")):
        with pytest.raises(WorkRefused), town.people.write() as people:
            work_retention.keep_months(people, count, "owner", why, NOW_MS)
    with town.people.write() as people:
        work_retention.keep_months(people, 36, "owner", "文書管理規則第10条", NOW_MS)
        assert work_retention.oldest_kept(people, NOW_MS) == datetime.date(2023, 7, 1)


def test_what_is_past_its_time_goes_and_the_rest_stays(town: Schools) -> None:
    mori = lived(town)
    before = rows_of(town, mori)
    with town.people.write() as people:
        assert not any(work_retention.drop(people, "owner", NOW_MS))
    assert rows_of(town, mori) == before
    later_ms = start_of_day_ms(datetime.date(2031, 7, 2))
    with town.people.write() as people:
        gone = work_retention.drop(people, "owner", later_ms)
    assert (gone.corrections, gone.requests, gone.months) == (1, 1, 1)
    assert rows_of(town, mori) | {"work_leaf": 0} == {
        "work_term": 1,
        "work_correction": 0,
        "work_entry": 0,
        "work_request": 0,
        "work_special": 0,
        "work_account": 1,
        "work_naming": 1,
        "work_leaf": 0,
        "work_feed": 1,
    }
    days = [row.day for row in town.ask(schema.work_list.select())]
    assert min(days) >= datetime.date(2026, 7, 1)
    with pytest.raises(sa.exc.DatabaseError), town.people.write() as people:
        people.exec_driver_sql("delete from work_list")  # the refusal stands again
    assert town.audited("work.retired")[0][0] == "attendance"


def test_nothing_is_told_of_somebody_without_records(town: Schools) -> None:
    town.teacher("T-1")
    with town.people.read() as people:
        assert [one.kind for one in work_disclosure.of_member(people, town.members["T-1"])] == [
            "term"
        ]
