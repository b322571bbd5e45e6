"""Who was erased is nowhere: no name, no birth date, no way from a credential to a person (C6)."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import (
    consent,
    enrolment,
    erasure,
    member_cards,
    member_life,
    members_csv,
    members_import,
    schema,
    tables,
    terms,
)
from fleet.config import Databases
from fleet.enrolment import EnrolmentRefused, Given, NewCard
from fleet.member_events import LifeRefused
from fleet.member_search import find_members
from fleet.members import MemberRefused, NewMember, known_cards, roster_rows
from tests.fleet.member_kit import BUS, NOON_MS, SCHOOL, TODAY, Desk, credential_of, open_desk
from wire.credential import Scheme

NAME, KANA, BORN = "消去寺 花壱", "ショウキョジ ハナイチ", datetime.date(1931, 7, 19)
TRACES = (NAME, KANA, "消去寺さんの長男", "消去寺 花弌", str(BORN), "1931-07-20", "k-9-zz")
"""All that a member below has ever been called, was born on, was said of, and had as a category."""
MANY = 300
"""Enough members for rows to move between pages of a file."""


@pytest.fixture
def desk(databases: Databases) -> Iterator[Desk]:
    with open_desk(databases) as opened:
        yield opened


def a_life(desk: Desk) -> int:
    """Somebody with a history: corrected, two cards of which one is lost, in a household."""
    born = datetime.date(1931, 7, 20)
    cards = ("first", "second")
    hana = desk.add("E-1", "消去寺 花弌", birth_date=born, category="k-9-zz", cards=cards)
    other = desk.add("E-2", "別の人", cards=("other",))
    lost = desk.cards(hana)[0].id
    with desk.writing() as connection:
        values = {"name": NAME, "kana": KANA, "birth_date": BORN}
        member_life.correct(connection, desk.step(hana, "消去寺さんの長男の届出"), values)
        member_cards.stop_cards(connection, desk.step(hana, "消去寺さんの長男"), [lost])
        member_life.join_household(connection, desk.step(hana), other)
        member_cards.exchange_cards(connection, desk.step(hana), other)
        member_cards.exchange_cards(connection, desk.step(hana), other)
    with desk.people.write() as connection:
        connection.execute(
            schema.triage.insert().values(
                programme=BUS, credential=credential_of("second"), scheme="common-ap",
                key_epoch=1, reader="r", place="p", journal="j", n=1, at_ms=1, received_at_ms=1,
            )
        )  # fmt: skip
        connection.execute(
            schema.desk_wait.insert().values(
                id="w", reader="r", programme=BUS, purpose="replace", account="hana",
                state="answered", begun_at_ms=1, ends_at_ms=1,
                found=[["common-ap", 1, credential_of("first")]],
            )
        )  # fmt: skip
        connection.execute(
            schema.import_job.insert().values(
                programme=BUS, file_name="members.csv", body=NAME.encode(), state="looked",
                begun_at_ms=1, heard_at_ms=1, who="hana",
            )
        )  # fmt: skip
    return hana


def erase(desk: Desk, member_id: int, number: str = "E-1") -> None:
    with desk.writing() as connection:
        erasure.erase(connection, member_id, number, "hana", NOON_MS)
    assert desk.people.settle()


def everything(desk: Desk) -> str:
    """Return every value of every row of both databases, as text."""
    told: list[Any] = []
    for store, metadata in ((desk.fleet, schema.fleet), (desk.people, schema.persons)):
        with store.read() as connection:
            for name, grant in _readable(store):
                columns = [metadata.tables[name].c[column] for column in sorted(grant)]
                told += [tuple(row) for row in connection.execute(sa.select(*columns))]
    return str(told)


def _readable(store: Any) -> list[tuple[str, frozenset[str]]]:
    from fleet.grants import GRANTS

    return [(name, one.read) for name, one in GRANTS[store.role][store.database].items()]


def test_no_row_of_either_database_names_who_was_erased(desk: Desk) -> None:
    hana = a_life(desk)
    before = everything(desk)
    assert all(one in before for one in (*TRACES[:4], credential_of("first")))
    erase(desk, hana)
    after = everything(desk)
    assert [one for one in (*TRACES, "1931, 7, 19") if one in after] == []
    assert [one for one in ("first", "second") if credential_of(one) in after] == []
    assert credential_of("other") in after


def test_no_byte_of_the_files_names_who_was_erased(databases: Databases) -> None:
    if databases.url:
        return  # a server's files are its administrator's: docs/threat-model.md
    with open_desk(databases) as desk:
        for n in range(MANY):
            desk.add(f"X-{n}", f"隣人 {n}", cards=(f"x{n}",))
            if n == MANY // 2:
                hana = a_life(desk)
        assert _traces_in_files(databases)
        erase(desk, hana)
        assert _traces_in_files(databases) == []


def _traces_in_files(databases: Databases) -> list[tuple[str, str]]:
    wanted = [*TRACES, credential_of("first"), credential_of("second")]
    return [
        (path.name, one)
        for path in sorted(databases.state.glob("*.db*"))
        for one in wanted
        if one.encode() in (held := path.read_bytes()) or one.encode("unicode_escape") in held
    ]


def test_what_counts_stays_and_belongs_to_nobody(desk: Desk) -> None:
    hana = a_life(desk)
    before = len(desk.ask(schema.member.select()))
    erase(desk, hana)
    row = desk.member(hana)
    assert (row.registration_number, row.ended_kind) == (f"erased-{hana}", "erased")
    assert row.erased_at_ms == NOON_MS
    assert len(desk.ask(schema.member.select())) == before
    (kept,) = [one for one in desk.ask(schema.consent.select()) if one.member_id == hana]
    assert kept.kind == "given"
    with desk.people.read() as connection:
        assert known_cards(connection, [credential_of("first")]).rows == {}
        on_rosters = roster_rows(connection, BUS, terms.of(connection, BUS).on(TODAY))
        assert [row.credential for row in on_rosters] == [credential_of("other")]
    assert desk.audited("member.erased") == [("senior-pass E-1", "")]


def test_who_was_erased_is_not_found_and_takes_no_step(desk: Desk) -> None:
    hana = a_life(desk)
    erase(desk, hana)
    with desk.people.write() as connection:
        for search in ("", "消去寺", "E-1", "erased", str(BORN)):
            _, found = find_members(connection, BUS, search, "hana", NOON_MS)
            assert hana not in [one.id for one in found]
        with pytest.raises(LifeRefused):
            member_life.stop(connection, desk.step(hana))
        with pytest.raises(LifeRefused):
            erasure.erase(connection, hana, f"erased-{hana}", "hana", NOON_MS)


def test_nothing_is_given_to_who_was_erased(desk: Desk) -> None:
    hana = a_life(desk)
    erase(desk, hana)
    number = f"erased-{hana}"
    with desk.people.write() as connection:
        new = [NewCard(Scheme.COMMON_AP, 1, credential_of("new"))]
        with pytest.raises(MemberRefused):
            enrolment.give_card(connection, BUS, hana, new, "hana", NOON_MS)
        basis = consent.basis_on(connection, BUS, TODAY)
        assert basis is not None
        somebody, given = NewMember("E-9", "同居の人"), Given(basis.id, "desk")
        with pytest.raises(EnrolmentRefused) as refused:
            enrolment.enrol(
                connection, BUS, somebody, given, (), "hana", NOON_MS, lives_with=number
            )
        assert refused.value.reason == "household"
        file = members_csv.judge(tables.read(f"登録番号,氏名\n{number},戻った人\n".encode()))
        assert [one.code for one in members_import.plan(connection, BUS, file, NOON_MS).errors] == [
            "erased"
        ]


def test_a_number_that_looks_like_an_erased_ones_keeps_nobody_from_being_erased(desk: Desk) -> None:
    hana = a_life(desk)
    desk.add(f"erased-{hana}", cards=())
    erase(desk, hana)
    assert desk.member(hana).registration_number == f"erased-{hana}-"


def test_the_number_must_be_typed_as_it_is(desk: Desk) -> None:
    hana = a_life(desk)
    with pytest.raises(LifeRefused) as refused, desk.writing() as connection:
        erasure.erase(connection, hana, "E-2", "hana", NOON_MS)
    assert refused.value.reason == "other-number"
    assert desk.person(hana).name == NAME


def test_only_the_number_says_that_somebody_was_erased_until_it_is_given_anew(desk: Desk) -> None:
    hana = a_life(desk)
    erase(desk, hana)
    with desk.people.read() as connection:
        assert erasure.erased_at(connection, BUS, "E-1") == NOON_MS
        assert erasure.erased_at(connection, SCHOOL, "E-1") is None
        assert erasure.erased_at(connection, BUS, "E-3") is None
    desk.add("E-1", "新しい人", cards=())
    with desk.people.read() as connection:
        assert erasure.erased_at(connection, BUS, "E-1") is None


def test_another_programme_keeps_a_person_whom_both_share(desk: Desk) -> None:
    hana, school = a_life(desk), desk.add("S-1", "?", SCHOOL, cards=("school",))
    with desk.people.write() as connection:
        shared = desk.member(hana).person_id
        of_school = schema.member.update().where(schema.member.c.id == school)
        connection.execute(of_school.values(person_id=shared))
    erase(desk, hana)
    assert desk.person(school).name == NAME
    assert desk.person(hana).name == ""
    assert [one.credential for one in desk.cards(school)] == [credential_of("school")]


def test_what_a_log_says_of_a_statement_that_failed_names_nobody(desk: Desk) -> None:
    with desk.people.write() as connection:
        no_name = {"name": NAME, "kana": None, "birth_date": BORN, "updated_at_ms": 1}
        with pytest.raises(sa.exc.IntegrityError) as failed:
            connection.execute(schema.person.insert().values(no_name))
        connection.rollback()
    assert NAME not in str(failed.value)
