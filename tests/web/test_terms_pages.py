"""勤務の条件 and 特例の月: what a clerk of the board enters for a member, and what is refused."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet import members, work_accounts, work_closing, work_special, work_terms
from fleet.work_terms import Enrolled, NewTerm
from programmes.work_hours import DAY_OFF, Shift
from tests.fleet.work_kit import JUNE, NORTH, SOUTH
from tests.web.conftest import sign_in
from tests.web.look_over import look_over
from tests.web.reach_kit import A, B
from tests.web.test_school_pages import Gated, gated, works
from tests.web.visitor import Answer, add_person

D = datetime.date
WEEK = dict.fromkeys(
    ("monday", "tuesday", "wednesday", "thursday", "friday"), "08:15-16:45/12:15-13:00"
) | {"saturday": "休", "sunday": "法"}
TERMS = WEEK | {"terms_school": NORTH, "staff": "teacher", "engaged": "full-time", "why": "異動"}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        yield made


def terms_of(town: Gated, number: str = "T-1") -> Enrolled:
    with town.schools.office.read() as people:
        member = town.schools.members[number]
        return work_terms.of_members(people, [member])[member]


def page_of(town: Gated, number: str = "T-1") -> str:
    return f"/members/{town.schools.members[number]}/terms"


def enter(town: Gated, number: str = "T-1", who: str = "hana", **changes: str) -> Answer:
    """Send the form as the page shows it, with some fields changed."""
    clerk, path = town.visit(who), page_of(town, number)
    found = re.search(r'name="stamp" value="(\d+)"', clerk.get(path).text)
    stamp = found[1] if found else "0"
    return clerk.post(path, **(TERMS | {"stamp": stamp} | changes))


# --- terms ---------------------------------------------------------------------------------------


def test_a_move_to_another_school_is_one_entry_by_the_keyboard(town: Gated, page: Page) -> None:
    sign_in(page, town.office, "hana")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/members/{town.schools.members['T-1']}")
    page.get_by_role("link", name="勤務の条件を開く").press("Enter")
    expect(page.locator("h1")).to_contain_text("教員 T-1")
    page.get_by_label("適用開始日").fill("2026-07-15")
    page.get_by_label("学校").select_option(SOUTH)
    page.get_by_label("金曜日").fill("休")
    page.locator("#terms-why").fill("年度途中の異動")
    page.locator("#terms-why").press("Enter")
    expect(page.locator(".notice")).to_contain_text("条件を登録しました")
    history = page.locator("section[aria-labelledby=h-history]")
    expect(history).to_contain_text("年度途中の異動")
    expect(history).to_contain_text("これから")
    enrolled = terms_of(town)
    assert (enrolled.organisation_on(D(2026, 7, 14)), enrolled.organisation_on(D(2026, 7, 15))) == (
        NORTH,
        SOUTH,
    )
    assert enrolled.shift_on(D(2026, 7, 17)) == DAY_OFF
    assert town.schools.audited("work.terms-added")[-1] == ("attendance T-1", "2026-07-15")
    assert ("attendance T-1", "") in town.schools.audited("work.terms-seen")


def test_terms_for_a_time_give_way_to_what_held_before(town: Gated) -> None:
    done = enter(
        town,
        terms_from="2026-07-10",
        terms_until="2026-07-20",
        engaged="part-time",
        terms_school=SOUTH,
        on_days="2026-07-12 21:00-31:00\n\n2026-07-13 休",
    )
    assert done.status == 303
    enrolled = terms_of(town)
    assert [enrolled.organisation_on(D(2026, 7, day)) for day in (9, 10, 20, 21)] == [
        *(NORTH, SOUTH, SOUTH, NORTH)
    ]
    assert enrolled.shift_on(D(2026, 7, 12)) == Shift(hours=((1_260, 1_860),))
    assert enrolled.shift_on(D(2026, 7, 13)) == DAY_OFF
    after = enrolled.on(D(2026, 7, 21))
    assert after is not None
    assert after.again(D(2026, 4, 1)) == NewTerm(D(2026, 4, 1), NORTH)
    between = enter(town, terms_from="2026-07-01", terms_until="2026-07-31")
    assert (between.status, "もう別の条件があります" in between.text) == (409, True)


def test_neither_half_of_terms_for_a_time_stands_alone(town: Gated) -> None:
    before = terms_of(town)
    last = work_terms.AHEAD_DAYS_MAX
    far = D(2026, 7, 3) + datetime.timedelta(days=last)  # the day after is too far ahead
    assert enter(town, terms_from="2026-07-10", terms_until=str(far)).status == 409
    assert terms_of(town) == before
    assert town.schools.audited("work.terms-added")[-1] != ("attendance T-1", "2026-07-10")


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"terms_from": ""}, 422, "適用開始日"),
        ({"terms_from": "2026-07-10", "why": ""}, 422, "理由"),
        ({"terms_from": "2026-07-10", "why": "123456789018"}, 422, "個人番号"),
        ({"terms_from": "2026-07-10", "monday": "8時"}, 422, "勤務時間は 08:15-16:45"),
        ({"terms_from": "2026-07-10", "on_days": "いつか 休"}, 422, "いつか 休"),
        ({"terms_from": "2026-07-10", "terms_school": "nishi-sho"}, 409, "その学校はありません"),
        ({"terms_from": "2026-07-10", "staff": "king"}, 409, "職員の区分"),
        ({"terms_from": "2026-07-10", "terms_until": "2026-07-09"}, 409, "終わりの日は"),
        ({"terms_from": "2026-03-01", "terms_until": "2026-03-20"}, 409, "戻る条件がありません"),
        ({"terms_from": "2026-07-10", "terms_until": "9999-12-31"}, 409, "日を選んでください"),
        ({"terms_from": "9999-12-31"}, 409, "日を選んでください"),
        ({"terms_from": "2026-04-01"}, 409, "もう登録されています"),
        ({"terms_from": "2026-07-10", "stamp": "0"}, 409, "ほかの人が条件を登録しました"),
    ],
)
def test_what_cannot_be_is_refused_and_what_was_typed_stays(
    town: Gated, changes: dict[str, str], status: int, told: str
) -> None:
    before = terms_of(town)
    answer = enter(town, **changes)
    assert (answer.status, told in answer.text) == (status, True)
    assert "123456789018" not in answer.text
    assert terms_of(town) == before


def test_the_same_pressed_twice_is_entered_once(town: Gated) -> None:
    clerk, path = town.visit("hana"), page_of(town)
    found = re.search(r'name="stamp" value="(\d+)"', clerk.get(path).text)
    assert found is not None
    sent = TERMS | {"stamp": found[1], "terms_from": "2026-07-10", "engaged": "part-time"}
    assert [clerk.post(path, **sent).status for _ in range(2)] == [303, 409]
    assert len(terms_of(town).terms) == 2


def test_a_closed_month_takes_no_terms(town: Gated) -> None:
    with town.schools.office_fleet.read() as fleet, town.schools.office.write() as people:
        work_closing.close(fleet, people, NORTH, JUNE, "kyoto", town.schools.now_ms)
    answer = enter(town, terms_from="2026-06-15", engaged="part-time")
    assert (answer.status, "2026-06は締め済みです" in answer.text) == (409, True)
    assert enter(town, terms_from="2026-07-01", engaged="part-time").status == 303


def test_only_clerks_of_attendance_and_nobody_his_own(town: Gated) -> None:
    for name, right in (("bea", f"{B}:clerk"), ("rin", f"{A}:approver")):
        add_person(town.sites.town, name, right)
    before = terms_of(town)
    for name in ("kyoto", "mori", "bea", "rin"):
        who = town.visit(name)
        for way in ("/terms", "/special/declare", "/special/revoke"):
            path = page_of(town).removesuffix("/terms") + way
            assert who.post(path, **TERMS, terms_from="2026-07-10").status in (403, 404)
        assert who.get(page_of(town)).status in (403, 404)
    add_person(town.sites.town, "ami", f"{A}:clerk")
    with town.schools.office.write() as people:
        act = town.schools.act(town.schools.members["T-1"], who="hana")
        work_accounts.bind(people, act, "ami")
    own = enter(town, who="ami", terms_from="2026-07-10")
    assert (own.status, "自分の記録は" in own.text) == (409, True)
    assert terms_of(town) == before


def test_a_member_of_another_programme_has_no_terms(town: Gated) -> None:
    with town.schools.office.write() as people:
        rider = members.enrol(people, B, members.NewMember("S-001", "佐藤", "サトウ"), "hana", 1)
    clerk, path = town.visit("hana"), f"/members/{rider}/terms"
    assert clerk.get(path).status == 404
    assert clerk.post(path, **TERMS, terms_from="2026-07-10", stamp="0").status == 404
    for way in ("declare", "revoke"):
        sent = {"month": "2026-07", "why": "災害"}
        assert clerk.post(path.replace("terms", f"special/{way}"), **sent).status == 404
    assert town.schools.audited("work.terms-seen") == []


# --- special months ------------------------------------------------------------------------------


def special(town: Gated, number: str = "T-1") -> frozenset[str]:
    with town.schools.office.read() as people:
        member = town.schools.members[number]
        return work_special.of_members(people, [member])[member]


def test_a_special_month_is_declared_shown_and_revoked(town: Gated, page: Page) -> None:
    sign_in(page, town.office, "hana")
    page.wait_for_url(f"{town.office}/")
    page.goto(town.office + page_of(town))
    page.locator("#declare-month").fill("2026-07")
    page.locator("#declare-why").fill("大雨の避難所の運営")
    page.get_by_role("button", name="特例の月とする").click()
    expect(page.locator(".notice")).to_contain_text("特例の月としました")
    assert special(town) == {"2026-07"}
    seen = town.visit("kyoto").get("/school/month?month=2026-07").text
    assert seen.count("特例の月") == 1
    assert page_of(town) not in seen, "a school keeps no terms"
    page.goto(f"{town.office}/school/month?school={NORTH}&month=2026-07")
    page.get_by_role("link", name="教員 T-1").click()
    page.locator("#revoke-why").fill("避難所が閉じた")
    page.get_by_role("button", name="取りやめる").click()
    expect(page.locator(".notice")).to_contain_text("取りやめました")
    told = page.locator("section[aria-labelledby=h-special]")
    expect(told).to_contain_text("大雨の避難所の運営")
    expect(told).to_contain_text("避難所が閉じた")
    assert special(town) == frozenset()
    assert town.schools.audited("work.special-revoked") == [("attendance T-1", "2026-07")]


def test_a_special_month_that_cannot_be_is_refused(town: Gated) -> None:
    works(town.schools, "T-1", "21:30")
    clerk, declare = town.visit("hana"), page_of(town).replace("terms", "special/declare")
    revoke = declare.replace("declare", "revoke")
    for path, sent, status, told in (
        (declare, {"month": "2026-06", "why": "災害"}, 409, "もう上限を超えています"),
        (declare, {"month": "2026-07", "why": ""}, 422, "理由"),
        (declare, {"month": "7月", "why": "災害"}, 422, "月は2026-06のように"),
        (declare, {"month": "9999-12", "why": "災害"}, 409, "日を選んでください"),
        (declare, {"month": "2026-08", "why": "123456789018"}, 422, "個人番号"),
        (revoke, {"month": "2026-07", "why": "まちがい"}, 409, "もうそうなっています"),
    ):
        answer = clerk.post(path, **sent)
        assert (answer.status, told in answer.text) == (status, True), sent
    assert special(town) == frozenset()
    sent = {"month": "2026-08", "why": "災害"}
    assert [clerk.post(declare, **sent).status for _ in range(2)] == [303, 409]
    assert special(town) == {"2026-08"}


def test_the_page_of_terms_is_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    enter(town, terms_from="2026-07-10", terms_until="2026-07-20", on_days="2026-07-12 休")
    clerk = town.visit("hana")
    clerk.post(page_of(town).replace("terms", "special/declare"), month="2026-07", why="災害")
    paths = (page_of(town), f"/school/month?school={NORTH}&month=2026-07")
    assert look_over(browser, town.office, "hana", paths) == {}
