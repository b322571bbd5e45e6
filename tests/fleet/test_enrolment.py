"""Enrolling at a counter: all of it or nothing, no card for two, and all of it taken back."""

import datetime
import secrets
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import applicants, consent, enrolment, rules
from fleet.enrolment import EnrolmentRefused, Given, NewCard
from fleet.members import NewMember, revisions
from fleet.schema import card, member, person, person_audit
from fleet.schema import consent as consent_table
from fleet.terms import SchemeRefused
from programmes.calendar import local_day
from programmes.enrolment import Applicant
from tests.fleet.test_consent import BASIS, PASS
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member, on_rosters
from wire.credential import Scheme

D = datetime.date
HANA = NewMember("A-1", "山田 花子", "ヤマダ ハナコ", D(1940, 4, 1), "all", D(2026, 6, 3))
MINUTE_MS = 60_000


def new_card(scheme: Scheme = Scheme.COMMON_AP, epoch: int = 1) -> NewCard:
    return NewCard(scheme, epoch, secrets.token_hex(16))


def basis(fleet: VirtualFleet) -> Given:
    with fleet.people.write() as connection:
        return Given(consent.add_basis(connection, PASS, BASIS, "hana", NOON_MS), "desk")


def enrol(
    fleet: VirtualFleet,
    new: NewMember = HANA,
    cards: Sequence[NewCard] = (),
    at_ms: int = NOON_MS,
    **more: Any,
) -> int:
    given = basis(fleet)
    with fleet.people.write() as connection:
        return enrolment.enrol(connection, PASS, new, given, cards, "hana", at_ms, **more)


def ask(fleet: VirtualFleet, wanted: sa.Select[Any]) -> list[Any]:
    with fleet.people.read() as connection:
        return list(connection.execute(wanted))


def audited(fleet: VirtualFleet) -> list[tuple[str, str, str]]:
    columns = (person_audit.c.what, person_audit.c.subject, person_audit.c.detail)
    return [tuple(row) for row in ask(fleet, sa.select(*columns).order_by(person_audit.c.id))]


def refused(fleet: VirtualFleet, *args: Any, **more: Any) -> EnrolmentRefused:
    with pytest.raises(EnrolmentRefused) as found:
        enrol(fleet, *args, **more)
    return found.value


# --- all or nothing ------------------------------------------------------------------------------


def test_person_consent_card_audit_and_rosters_change_together(fleet: VirtualFleet) -> None:
    before = revisions_of(fleet)
    held = new_card()
    member_id = enrol(fleet, cards=[held])
    (row,) = ask(fleet, sa.select(member).where(member.c.id == member_id))
    (someone,) = ask(fleet, sa.select(person).where(person.c.id == row.person_id))
    (given,) = ask(fleet, sa.select(consent_table))
    assert (row.registration_number, row.category, row.valid_from) == ("A-1", "all", D(2026, 6, 3))
    assert (someone.name, someone.kana, someone.birth_date) == HANA[1:4]
    assert (given.member_id, given.kind, given.medium, given.at_ms, given.who) == (
        member_id,
        "given",
        "desk",
        NOON_MS,
        "hana",
    )
    assert [one.credential for one in on_rosters(fleet)] == [held.credential]
    assert revisions_of(fleet) > before
    subject = f"{PASS} A-1"
    assert [line[:2] for line in audited(fleet)][-3:] == [
        ("member.enrolled", subject),
        ("consent.given", subject),
        ("card.assigned", subject),
    ]
    assert not any("山田" in text for line in audited(fleet) for text in line)


def revisions_of(fleet: VirtualFleet) -> int:
    with fleet.people.read() as connection:
        return revisions(connection).get(PASS, 0)


def test_a_card_that_belongs_to_somebody_is_refused_with_the_number_and_nothing_is_kept(
    fleet: VirtualFleet,
) -> None:
    credential = add_member(fleet, "B-7")
    both = [new_card(Scheme.JPKI_AUTH), NewCard(Scheme.COMMON_AP, 1, credential)]
    found = refused(fleet, cards=both)
    assert (found.reason, found.number) == ("card-of", "B-7")
    assert [row.registration_number for row in ask(fleet, sa.select(member))] == ["B-7"]
    assert ask(fleet, sa.select(consent_table)) == []
    assert len(ask(fleet, sa.select(person))) == 1


def test_one_card_is_known_once_by_the_first_scheme_under_the_present_keys(
    fleet: VirtualFleet,
) -> None:
    older = new_card(Scheme.COMMON_AP, 1)
    present = [new_card(Scheme.FELICA_IDM, 2), new_card(Scheme.JPKI_AUTH, 2)]
    enrol(fleet, cards=[*present, older])
    (row,) = ask(fleet, sa.select(card))
    assert (row.scheme, row.key_epoch, row.credential) == tuple(present[1])


def test_no_card_is_taken_by_a_scheme_without_a_ground(fleet: VirtualFleet) -> None:
    last = local_day(NOON_MS) - datetime.timedelta(1)
    assert fleet.command("schemes", "end", PASS, "common-ap", "契約満了", "--on", str(last)) == 0
    with pytest.raises(SchemeRefused) as found:
        enrol(fleet, cards=[new_card()])
    assert found.value.reason == "ended"
    usable = [new_card(), new_card(Scheme.FELICA_IDM)]
    enrol(fleet, cards=usable)
    (row,) = ask(fleet, sa.select(card))
    assert row.scheme == Scheme.FELICA_IDM.value


def test_nobody_is_enrolled_on_the_ground_of_another_programme(fleet: VirtualFleet) -> None:
    with fleet.people.write() as connection:
        theirs = consent.add_basis(connection, "attendance", BASIS, "hana", NOON_MS)
    given = Given(theirs, "desk")
    with pytest.raises(consent.ConsentRefused), fleet.people.write() as connection:
        enrolment.enrol(connection, PASS, HANA, given, [], "hana", NOON_MS)
    assert ask(fleet, sa.select(member)) == []


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "proposed"),
    [
        ([], ""),
        (["T-0041"], "T-0042"),
        (["T-0042", "T-0041"], "T-0043"),
        (["9", "10"], "11"),
        (["T-99"], "T-100"),
        (["2026-001", "花子"], ""),
        (["123456789017"], "123456789019"),  # ...018 looks like an individual number
    ],
)
def test_the_next_number_follows_the_programmes_own_pattern(
    fleet: VirtualFleet, numbers: list[str], proposed: str
) -> None:
    for number in numbers:
        add_member(fleet, number)
    with fleet.people.read() as connection:
        assert applicants.propose_number(connection, PASS) == proposed


def test_a_number_in_use_is_refused_but_a_proposed_one_gives_way_to_another_desks(
    fleet: VirtualFleet,
) -> None:
    add_member(fleet, "A-1")
    found = refused(fleet)
    assert (found.reason, found.number) == ("number-used", "A-1")
    member_id = enrol(fleet, next_free=True)
    (row,) = ask(fleet, sa.select(member).where(member.c.id == member_id))
    assert row.registration_number == "A-2"


# --- who is there already ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "kana", "born", "found"),
    [
        ("A-9", "山田花子", "", D(1940, 4, 1), ["A-1"]),
        ("A-9", "山田　花子", "", None, ["A-1"]),
        ("A-9", "山田 華子", "ヤマダ ハナコ", D(1940, 4, 1), ["A-1"]),
        ("A-9", "山田 花子", "ヤマダ ハナコ", D(1941, 4, 1), []),
        ("A-9", "山田 太郎", "ヤマダ タロウ", D(1940, 4, 1), []),
        ("A-1", "佐藤 一郎", "サトウ イチロウ", D(1950, 1, 1), ["A-1"]),
    ],
)
def test_somebody_who_may_be_the_same_is_found_and_the_look_is_noted(
    fleet: VirtualFleet,
    number: str,
    name: str,
    kana: str,
    born: datetime.date | None,
    found: list[str],
) -> None:
    enrol(fleet)
    with fleet.people.write() as connection:
        shown = applicants.twins(connection, PASS, number, name, kana, born, "umi", NOON_MS)
    assert [one.registration_number for one in shown] == found
    looked = [line for line in audited(fleet) if line[0] == "members.listed"]
    assert looked == ([("members.listed", PASS, "A-1")] if found else [])


def test_households_are_joined_by_the_number_of_somebody_who_lives_there(
    fleet: VirtualFleet,
) -> None:
    first = enrol(fleet)
    second = enrol(fleet, HANA._replace(registration_number="A-2"), lives_with="A-1")
    third = enrol(fleet, HANA._replace(registration_number="A-3"), lives_with="A-2")
    rows = ask(fleet, sa.select(member.c.id, member.c.household))
    assert {row.household for row in rows} == {f"h{second}"}
    assert {row.id for row in rows} == {first, second, third}
    found = refused(fleet, HANA._replace(registration_number="A-4"), lives_with="B-1")
    assert found.reason == "household"


# --- undo ----------------------------------------------------------------------------------------


def undo(fleet: VirtualFleet, member_id: int, at_ms: int = NOON_MS, who: str = "hana") -> NewMember:
    with fleet.people.write() as connection:
        assert enrolment.may_undo(connection, member_id, who, at_ms)
        return enrolment.undo(connection, member_id, who, at_ms)


def test_an_undo_frees_number_and_card_and_leaves_nothing_of_the_person(
    fleet: VirtualFleet,
) -> None:
    held = new_card()
    enrol(fleet, HANA._replace(registration_number="A-0"))
    member_id = enrol(fleet, cards=[held], lives_with="A-0")
    before = revisions_of(fleet)
    typed = undo(fleet, member_id, NOON_MS + enrolment.UNDO_MS)
    assert typed == HANA._replace(household=f"h{member_id}")
    (row,) = ask(fleet, sa.select(member).where(member.c.id == member_id))
    (someone,) = ask(fleet, sa.select(person).where(person.c.id == row.person_id))
    assert (someone.name, someone.kana, someone.birth_date) == ("", "", None)
    assert (row.ended_kind, row.household) == ("wrong", "")
    assert "A-1" not in row.registration_number
    assert None not in (row.erased_at_ms, row.stopped_from_ms)
    kinds = ask(
        fleet, sa.select(consent_table.c.kind).where(consent_table.c.member_id == member_id)
    )
    assert [one.kind for one in kinds] == ["given", "withdrawn"]
    assert on_rosters(fleet) == []
    assert revisions_of(fleet) > before
    assert [row.household for row in ask(fleet, sa.select(member))] == ["", ""]
    again = enrol(fleet, cards=[held], at_ms=NOON_MS + MINUTE_MS)
    assert again != member_id
    assert [one.credential for one in on_rosters(fleet)] == [held.credential]


@pytest.mark.parametrize(
    ("who", "at_ms"),
    [
        ("umi", NOON_MS),
        ("hana", NOON_MS + enrolment.UNDO_MS + 1),
        ("hana", NOON_MS - 1),
    ],
)
def test_only_the_clerk_who_enrolled_takes_it_back_and_only_for_ten_minutes(
    fleet: VirtualFleet, who: str, at_ms: int
) -> None:
    member_id = enrol(fleet)
    with fleet.people.write() as connection, pytest.raises(EnrolmentRefused) as found:
        enrolment.undo(connection, member_id, who, at_ms)
    assert found.value.reason == "undo"


@pytest.mark.parametrize("change", ["corrected", "card", "stopped-card", "undone"])
def test_what_has_gone_on_is_not_taken_back(fleet: VirtualFleet, change: str) -> None:
    member_id = enrol(fleet, cards=[new_card()])
    at_ms = NOON_MS + MINUTE_MS
    with fleet.people.write() as connection:
        if change == "corrected":
            connection.execute(member.update().values(updated_at_ms=at_ms))
        elif change == "card":
            held = [new_card(Scheme.FELICA_IDM)]
            enrolment.give_card(connection, PASS, member_id, held, "hana", at_ms)
        elif change == "stopped-card":
            connection.execute(card.update().values(stopped_from_ms=at_ms))
        else:
            enrolment.undo(connection, member_id, "hana", at_ms)
    with fleet.people.write() as connection:
        assert not enrolment.may_undo(connection, member_id, "hana", at_ms)
        with pytest.raises(EnrolmentRefused):
            enrolment.undo(connection, member_id, "hana", at_ms)


# --- what is typed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("わたなべ まい", "ワタナベ マイ"),
        ("ﾜﾀﾅﾍﾞ ﾏｲ", "ワタナベ マイ"),
        ("わたなべ　まい", "ワタナベ マイ"),
        ("ジョン・スミス", "ジョン・スミス"),
        ("さとう ゆ-こ", "サトウ ユーコ"),
        ("ゔぃくとる", "ヴィクトル"),
        ("渡辺 舞", ""),
        ("Watanabe", ""),
        ("ワタナベ1", ""),
        ("", ""),
    ],
)
def test_a_reading_becomes_katakana_or_is_none(typed: str, kept: str) -> None:
    assert applicants.tidy_kana(typed) == kept


def test_a_name_keeps_its_own_characters() -> None:
    assert applicants.tidy_name("　渡邉\u3000 舞 ") == "渡邉 舞"
    assert applicants.tidy_name("\ufa19田") == "\ufa19田"  # NFKC would make it another name


def test_conditions_are_those_of_the_table_in_force_on_the_first_day(fleet: VirtualFleet) -> None:
    with fleet.store.read() as connection:
        tables = rules.load(connection, PASS)
    day = local_day(NOON_MS)
    resident = Applicant(D(1940, 4, 1), is_resident=True)
    judged = applicants.judge(PASS, tables, resident, day)
    assert judged.table is not None
    assert [one.said for one in judged.conditions] == ["enrol.resident-met"]
    assert judged.ends == D(2027, 3, 31)
    assert applicants.judge(PASS, tables, resident, D(2001, 1, 1)) == (None, (), None)
    free = applicants.judge("attendance", tables, resident, day)
    assert (free.conditions, free.ends) == ((), None)
