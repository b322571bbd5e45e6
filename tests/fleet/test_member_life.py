"""What happens to a member: each step is told with its reason, and can be taken back."""

import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from fleet import consent, member_cards, member_events, member_life, schema, usage
from fleet.config import Databases
from fleet.enrolment import EnrolmentRefused, NewCard
from fleet.member_events import UNDO_CARD_MS, Kind, LifeRefused
from fleet.member_life import Ended
from fleet.member_search import find_members
from fleet.members import MemberRefused, roster_rows
from fleet.terms import of
from tests.fleet.member_kit import (
    APRIL,
    BUS,
    NOON_MS,
    SCHOOL,
    TODAY,
    Desk,
    credential_of,
    open_desk,
)
from wire.credential import Scheme
from wire.individual_number import IndividualNumberRefused

NUMBER = "123456789018"
DAY = datetime.timedelta(days=1)


@pytest.fixture
def desk(databases: Databases) -> Iterator[Desk]:
    with open_desk(databases) as opened:
        yield opened


def usable(desk: Desk, programme: str = BUS) -> set[str]:
    """Return the credentials with which somebody may ride today."""
    with desk.people.read() as connection:
        rows = roster_rows(connection, programme, of(connection, programme).on(TODAY))
        return {
            row.credential
            for row in rows
            if row.stopped_from_s is None and (row.valid_to is None or row.valid_to >= TODAY)
        }


def story(desk: Desk, member_id: int) -> list[tuple[Kind, bool]]:
    with desk.people.read() as connection:
        told = member_events.history(connection, member_id, desk.at_ms)
    return [(one.kind, one.undone) for one in told]


def undo_last(desk: Desk, member_id: int) -> Kind:
    with desk.people.write() as connection:
        last = member_events.history(connection, member_id, desk.at_ms)[0]
        return member_events.undo(connection, desk.step(member_id, "押しまちがい"), last.id)


def test_a_lost_card_is_stopped_found_again_and_told(desk: Desk) -> None:
    hana = desk.add("1")
    with desk.writing() as connection:
        member_cards.stop_cards(connection, desk.step(hana, "紛失届"))
    assert usable(desk) == set()
    (card,) = desk.cards(hana)
    with desk.writing() as connection:
        member_cards.unstop_card(connection, desk.step(hana, "見つかった"), card.id)
    assert usable(desk) == {credential_of("1")}
    assert [kind for kind, _ in story(desk, hana)] == [Kind.CARD_UNSTOPPED, Kind.CARD_STOPPED]
    assert desk.audited("card.stopped") == [("senior-pass 1", "")]  # the reason can be erased


def test_a_replaced_card_takes_over_what_the_lost_one_had_used(desk: Desk) -> None:
    hana = desk.add("1")
    (lost,) = desk.cards(hana)
    new = [NewCard(Scheme.COMMON_AP, 1, credential_of("new"))]
    with desk.writing() as connection:
        member_cards.replace_card(connection, desk.step(hana), new, [lost.id])
        assert set(usage.cards_of(connection, hana)) == {credential_of("1"), credential_of("new")}
    assert usable(desk) == {credential_of("new")}
    assert undo_last(desk, hana) is Kind.CARD_REPLACED
    assert usable(desk) == {credential_of("1")}


def test_a_card_that_was_given_cannot_be_taken_back_later_or_given_twice(desk: Desk) -> None:
    hana, umi = desk.add("1"), desk.add("2")
    with desk.writing() as connection:
        new = [NewCard(Scheme.COMMON_AP, 1, credential_of("new"))]
        member_cards.replace_card(connection, desk.step(hana), new)
    for member_id, reason in ((hana, "own-card"), (umi, "card-of")):
        with desk.writing() as connection, pytest.raises(MemberRefused) as refused:
            member_cards.replace_card(connection, desk.step(member_id), new)
        assert isinstance(refused.value, LifeRefused | EnrolmentRefused)
        assert refused.value.reason == reason
    desk.at_ms += UNDO_CARD_MS + 1
    with pytest.raises(LifeRefused):
        undo_last(desk, hana)


def test_two_members_exchange_cards_with_all_they_were_known_as(desk: Desk) -> None:
    hana, umi = desk.add("1"), desk.add("2")
    old = desk.give_card(umi, "umis-old-name")
    (_, kept) = desk.cards(umi)
    with desk.people.write() as connection:
        present = desk.cards(umi)[0].id
        former = schema.card.update().where(schema.card.c.id == old)
        connection.execute(former.values(superseded_at_ms=5, successor=present))
    lost = desk.give_card(umi, "umis-lost-card")
    with desk.writing() as connection:
        member_cards.stop_cards(connection, desk.step(umi), [lost])
        member_cards.exchange_cards(connection, desk.step(hana), umi)
    assert {one.credential for one in desk.cards(hana)} == {
        credential_of("2"),
        credential_of("umis-old-name"),
    }
    assert {one.credential for one in desk.cards(umi)} == {
        credential_of("1"),
        credential_of("umis-lost-card"),
    }
    assert kept.id == old
    assert story(desk, umi)[0] == (Kind.CARDS_EXCHANGED, False)
    undo_last(desk, hana)
    assert {one.credential for one in desk.cards(hana)} == {credential_of("1")}
    assert story(desk, umi)[:2] == [(Kind.UNDONE, False), (Kind.CARDS_EXCHANGED, True)]
    assert desk.audited("card.exchanged") == [("senior-pass 1", ""), ("senior-pass 2", "")]


def test_cards_are_exchanged_inside_one_programme_only(desk: Desk) -> None:
    hana, umi = desk.add("1"), desk.add("1", programme=SCHOOL, cards=("s",))
    for other in (umi, hana):
        with desk.writing() as connection, pytest.raises(LifeRefused) as refused:
            member_cards.exchange_cards(connection, desk.step(hana), other)
        assert refused.value.reason == "not-two"


@pytest.mark.parametrize(
    ("kind", "last", "rides"),
    [
        (Ended.MOVED_AWAY, TODAY, True),
        (Ended.MOVED_AWAY, TODAY - DAY, False),
        (Ended.DECEASED, TODAY - DAY, False),
        (Ended.WRONG, TODAY, False),
    ],
)
def test_a_membership_ends_with_a_day_and_goes_on_again(
    desk: Desk, kind: Ended, last: datetime.date, rides: bool
) -> None:
    hana = desk.add("1", valid_to=datetime.date(2027, 3, 31))
    with desk.writing() as connection:
        member_life.end(connection, desk.step(hana, "届出"), kind, last)
    assert (usable(desk) == {credential_of("1")}) is rides
    with desk.writing() as connection, pytest.raises(LifeRefused):
        member_life.end(connection, desk.step(hana), Ended.OTHER, TODAY)
    with desk.writing() as connection, pytest.raises(LifeRefused):
        member_life.unstop(connection, desk.step(hana))
    undo_last(desk, hana)
    row = desk.member(hana)
    assert (row.valid_to, row.ended_kind) == (datetime.date(2027, 3, 31), "")
    assert usable(desk) == {credential_of("1")}
    with desk.writing() as connection:
        member_life.end(connection, desk.step(hana), kind, last)
        member_life.reopen(connection, desk.step(hana), None)
    assert desk.member(hana).valid_to is None
    assert usable(desk) == {credential_of("1")}


def test_no_end_lies_before_the_beginning(desk: Desk) -> None:
    hana = desk.add("1")
    with desk.writing() as connection, pytest.raises(LifeRefused) as refused:
        member_life.end(connection, desk.step(hana), Ended.MOVED_AWAY, APRIL - DAY)
    assert refused.value.reason == "before-start"


def test_a_consent_withdrawn_ends_this_programme_and_no_other(desk: Desk) -> None:
    hana = desk.add("1")
    desk.add("1", programme=SCHOOL, cards=("school",))
    with desk.writing() as connection:
        member_life.withdraw(connection, desk.step(hana, "佐藤さんの申し出"))
        assert not consent.is_given(connection, hana)
    assert usable(desk) == set()
    assert usable(desk, SCHOOL) == {credential_of("school")}
    (kept,) = [row for row in desk.ask(schema.consent.select()) if row.kind == "withdrawn"]
    assert "佐藤" not in kept.why  # a consent outlives the person
    with pytest.raises(LifeRefused):
        undo_last(desk, hana)
    with desk.writing() as connection, pytest.raises(LifeRefused) as refused:
        member_life.reopen(connection, desk.step(hana), None)
    assert refused.value.reason == "withdrawn"


def test_a_correction_keeps_old_and_new_where_they_can_be_erased(desk: Desk) -> None:
    hana = desk.add("1", "佐籐 花")
    born = datetime.date(1940, 4, 1)
    with desk.writing() as connection:
        values = {"name": "佐藤 花", "birth_date": born, "category": "all", "kana": "ヤマダ"}
        member_life.correct(connection, desk.step(hana), values)
    row = desk.person(hana)
    assert (row.name, row.birth_date) == ("佐藤 花", born)
    with desk.people.read() as connection:
        (event,) = member_events.history(connection, hana, desk.at_ms)
    assert [(one.column, one.old, one.new) for one in event.changed] == [
        ("name", "佐籐 花", "佐藤 花"),
        ("birth_date", None, born),
        ("category", "", "all"),
    ]
    assert desk.audited("member.corrected") == [("senior-pass 1", "name birth_date category")]
    undo_last(desk, hana)
    row = desk.person(hana)
    assert (row.name, row.birth_date) == ("佐籐 花", None)


def test_what_changed_since_is_not_undone(desk: Desk) -> None:
    hana = desk.add("1")
    with desk.writing() as connection:
        member_life.correct(connection, desk.step(hana), {"category": "a"})
        first = member_events.history(connection, hana, desk.at_ms)[0]
        member_life.correct(connection, desk.step(hana), {"category": "b"})
    with desk.writing() as connection, pytest.raises(LifeRefused) as refused:
        member_events.undo(connection, desk.step(hana), first.id)
    assert refused.value.reason == "not-undone"
    assert desk.member(hana).category == "b"


def test_a_person_shared_with_another_programme_is_corrected_in_one_only(desk: Desk) -> None:
    hana, school = desk.add("1", "佐籐 花"), desk.add("1", "?", SCHOOL, cards=())
    with desk.people.write() as connection:
        shared = desk.member(hana).person_id
        of_school = schema.member.update().where(schema.member.c.id == school)
        connection.execute(of_school.values(person_id=shared))
    with desk.writing() as connection:
        member_life.correct(connection, desk.step(hana), {"name": "佐藤 花"})
    assert (desk.person(hana).name, desk.person(school).name) == ("佐藤 花", "佐籐 花")


def test_a_household_is_joined_and_left(desk: Desk) -> None:
    hana, umi, mei = desk.add("1"), desk.add("2"), desk.add("3")
    with desk.writing() as connection:
        member_life.join_household(connection, desk.step(hana), umi)
        member_life.join_household(connection, desk.step(mei), hana)
        name = connection.scalar(sa.select(schema.member.c.household).limit(1))
        found = member_life.household_of(connection, BUS, str(name))
        total, listed = find_members(connection, BUS, str(name), "hana", NOON_MS)
        member_life.leave_household(connection, desk.step(umi))
    assert [one.registration_number for one in found] == ["1", "2", "3"]
    assert (total, len(listed)) == (3, 3)
    assert desk.member(umi).household == ""
    undo_last(desk, umi)
    assert desk.member(umi).household == desk.member(hana).household


def test_a_request_for_correction_is_open_until_it_is_answered(desk: Desk) -> None:
    hana = desk.add("1")
    with desk.writing() as connection:
        member_life.ask_correction(connection, desk.step(hana, "生年月日が違うとの申し出"))
        (asked,) = member_life.open_requests(connection, hana)
        step = desk.step(hana, "住民票で確かめ、直しました")
        member_life.answer_correction(connection, step, asked.id)
        assert member_life.open_requests(connection, hana) == []
        with pytest.raises(LifeRefused):
            member_life.answer_correction(connection, step, asked.id)


@pytest.mark.parametrize("why", ["", "  ", "あ" * 201])
def test_no_step_without_a_reason_of_a_sentence(desk: Desk, why: str) -> None:
    hana = desk.add("1")
    with pytest.raises(LifeRefused) as refused, desk.writing() as connection:
        member_life.stop(connection, desk.step(hana, why))
    assert refused.value.reason == "why"
    assert usable(desk) == {credential_of("1")}


def test_an_individual_number_is_no_reason_and_no_name(desk: Desk) -> None:
    hana = desk.add("1")
    with pytest.raises(IndividualNumberRefused), desk.writing() as connection:
        member_life.stop(connection, desk.step(hana, NUMBER))
    with pytest.raises(IndividualNumberRefused), desk.writing() as connection:
        member_life.correct(connection, desk.step(hana), {"kana": NUMBER})


@pytest.mark.parametrize(
    "search", ["やまだ", "ﾔﾏﾀﾞ", "S15.4.1", "昭和15年4月1日", "1940/4/1", "1940-04-01", "山田花"]
)
def test_a_member_is_found_by_what_a_clerk_has(desk: Desk, search: str) -> None:
    hana = desk.add("A-1", "山田 花", birth_date=datetime.date(1940, 4, 1))
    desk.add("B-2", "鈴木 海", birth_date=datetime.date(1940, 4, 2), cards=("b",))
    with desk.people.write() as connection:
        connection.execute(
            schema.person.update()
            .where(schema.person.c.name == "鈴木 海")
            .values(kana="スズキ ウミ")
        )
    with desk.people.write() as connection:
        total, found = find_members(connection, BUS, search, "hana", NOON_MS)
    assert (total, [one.id for one in found]) == (1, [hana])
    assert desk.audited("members.listed") == [(BUS, "A-1")]


def test_signs_of_a_pattern_are_only_letters_in_a_search(desk: Desk) -> None:
    desk.add("A-1", "山田 花")
    for search in ("%", "_", "/", "山%花"):
        with desk.people.write() as connection:
            assert find_members(connection, BUS, search, "hana", NOON_MS) == (0, [])
