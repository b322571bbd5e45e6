"""The pages on schemes: a ground is stated and ends, members move, and who is left is seen."""

import csv
import datetime

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from fleet.schema import campaign, card, person_audit, scheme_statement, triage
from tests.web.conftest import Sites, csrf_of
from tests.web.town import DAY, NOW_MS

NUMBER = "123456789018"
Form = dict[str, str | float | bool]


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.fill(f"#{name}", value)


def start(sites: Sites, office: Page, until: str = "2026-07-31") -> None:
    """Begin to move the teachers to their staff tokens, through the form."""
    office.goto(f"{sites.office}/moving?programme=attendance")
    office.select_option("#from_scheme", "common-ap")
    office.select_option("#to_scheme", "staff-token")
    office.fill("#until", until)
    office.get_by_role("button", name="始める").click()


def ends(sites: Sites, last: datetime.date) -> None:
    row = {"programme": "attendance", "scheme": "common-ap", "kind": "ended", "valid_to": last}
    row |= {"why": "契約満了", "at_ms": NOW_MS, "who": "hana"}
    sites.town.change_persons(scheme_statement.insert().values(row))


def noted(sites: Sites) -> list[tuple[str, str]]:
    rows = sites.town.ask(person_audit.select().order_by(person_audit.c.id), persons=True)
    return [(row.what, row.detail) for row in rows]


def test_every_scheme_of_a_programme_is_listed_with_its_ground_or_what_it_asks_for(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/schemes?programme=attendance")
    rows = office.locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("使用中")
    expect(rows.nth(0)).to_contain_text("教職員服務規程第12条")
    expect(rows.nth(1)).to_contain_text("使わない")
    expect(rows.nth(1)).to_contain_text("法第38条の4")


def test_a_scheme_is_switched_on_by_who_signs_and_cannot_be_without(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/schemes/attendance/card-ap")
    fill(office, signed_by="教育長 田中実", office="教職員課", ground="カードAP条例")
    fill(office, ground_date="2026-05-01", valid_to="2027-03-31")
    office.get_by_role("button", name="記録する").click()
    expect(office.locator(".notice")).to_contain_text("記録しました")
    expect(office.locator("tbody tr")).to_contain_text("カードAP条例")
    office.goto(f"{sites.office}/schemes/attendance/jpki-auth")
    form: Form = {"csrf": csrf_of(office), "signed_by": "x", "office": "x", "ground": " "}
    form |= {"ground_date": "2026-05-01", "valid_from": "2026-06-01"}
    address = f"{sites.office}/schemes/attendance/jpki-auth/state"
    assert office.request.post(address, form=form).status == 422
    for ground, day in ((NUMBER, "2026-06-01"), ("x", "1900-01-01"), ("x", "no day")):
        again = office.request.post(address, form=form | {"ground": ground, "valid_from": day})
        assert again.status == 422
        assert NUMBER not in again.text()
    jpki = scheme_statement.select().where(scheme_statement.c.scheme == "jpki-auth")
    assert sites.town.ask(jpki, persons=True) == []


def test_a_scheme_is_ended_with_a_day_and_a_reason(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/schemes/attendance/felica-idm")
    office.get_by_text("この方式を終える").click()
    fill(office, last_day="2026-06-30", why="契約を更新しない")
    office.get_by_role("button", name="終える", exact=True).click()
    expect(office.locator(".notice")).to_contain_text("最終日を記録しました")
    expect(office.locator(".facts").first).to_contain_text("まもなく終了")
    form: Form = {"csrf": csrf_of(office), "last_day": "2026-07-30", "why": "x"}
    address = f"{sites.office}/schemes/attendance/felica-idm/end"
    assert office.request.post(address, form=form).status == 409


def test_clerks_are_warned_and_find_the_members_whose_scheme_has_ended(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/members?programme=attendance")
    assert office.locator(".notice").count() == 0
    ends(sites, DAY + datetime.timedelta(10))
    office.goto(f"{sites.office}/members?programme=attendance")
    expect(office.locator(".notice")).to_contain_text("2026-06-13で終わります")
    ends(sites, DAY - datetime.timedelta(1))
    office.goto(f"{sites.office}/members?programme=attendance&search=&ended=yes")
    expect(office.locator(".notice")).to_contain_text("カード3枚は使えません")
    expect(office.locator("tbody tr")).to_have_count(3)
    expect(office.locator("tbody tr").first).to_contain_text("方式が終了")
    office.goto(f"{sites.office}/members/1")
    expect(office.locator(".facts").first).to_contain_text("方式が終了")


def test_a_card_whose_scheme_has_ended_is_not_given_to_anybody_and_the_page_says_why(
    sites: Sites, office: Page
) -> None:
    sites.town.hold_stranger()
    ends(sites, DAY - datetime.timedelta(1))
    office.goto(f"{sites.office}/cards/1?search=T-004")
    office.get_by_role("button", name="田中 健一 さんのカードにする").click()
    expect(office.locator(".error-summary")).to_contain_text("根拠は終了しています")
    assert len(sites.town.ask(triage.select(), persons=True)) == 1


def test_a_campaign_is_begun_seen_and_stopped(sites: Sites, office: Page) -> None:
    start(sites, office)
    expect(office.locator(".notice")).to_contain_text("切替を始めました")
    expect(office.locator("progress")).to_have_attribute("max", "3")
    expect(office.locator("body")).to_contain_text("移った会員 0 / 3 人（0%）")
    expect(office.locator("body")).to_contain_text("両方の方式では読めません")
    office.fill("#why", "トークンの納品待ち")
    office.get_by_role("button", name="中止する").click()
    expect(office.locator(".notice")).to_contain_text("中止しました")
    kinds = sa.select(campaign.c.kind).order_by(campaign.c.id)
    assert [row.kind for row in sites.town.ask(kinds, persons=True)] == ["started", "stopped"]


@pytest.mark.parametrize(
    ("old", "new", "until", "why"),
    [
        ("common-ap", "common-ap", "2026-07-31", "別々の方式"),
        ("common-ap", "staff-token", "2026-06-02", "今日から3年以内"),
        ("common-ap", "jpki-auth", "2026-07-31", "根拠がまだ記録されていません"),
        ("staff-token", "common-ap", "2026-07-31", "カードを持つ会員がいません"),
    ],
)
def test_a_campaign_that_cannot_be_meant_is_refused_in_plain_words(
    sites: Sites, office: Page, old: str, new: str, until: str, why: str
) -> None:
    form: Form = {"csrf": csrf_of(office), "from_scheme": old, "to_scheme": new, "until": until}
    answer = office.request.post(f"{sites.office}/moving/attendance/start", form=form)
    assert answer.status == 409
    assert why in answer.text()


def test_who_is_missing_is_shown_when_asked_for_and_that_is_on_record(
    sites: Sites, office: Page
) -> None:
    start(sites, office)
    assert "佐藤" not in office.content()
    assert noted(sites)[-1][0] == "campaign.started"
    office.get_by_role("link", name="氏名を表示する").click()
    expect(office.locator("tbody th").filter(has_text="佐藤 はるか")).to_have_count(1)
    assert noted(sites)[-1] == ("members.listed", "T-001 T-002 T-003")
    with office.expect_download() as started:
        office.get_by_role("link", name="CSV", exact=True).click()
    text = started.value.path().read_text("utf-8-sig")
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["登録番号", "氏名", "カナ"]
    assert [row[0] for row in rows[1:]] == ["T-001", "T-002", "T-003"]
    assert noted(sites)[-1][0] == "members.listed"


def test_a_card_assigned_at_a_desk_moves_its_member(sites: Sites, office: Page) -> None:
    start(sites, office)
    sites.town.hold_stranger()
    stranger = triage.update().values(scheme="staff-token")
    sites.town.change_persons(stranger)
    office.goto(f"{sites.office}/cards/1?search=T-001")
    office.get_by_role("button", name="佐藤 はるか さんのカードにする").click()
    office.wait_for_url(f"{sites.office}/")
    office.goto(f"{sites.office}/moving?programme=attendance")
    expect(office.locator("body")).to_contain_text("移った会員 1 / 3 人（33%）")
    expect(office.locator("table")).to_contain_text("2026年6月3日")
    former = sa.select(card.c.scheme).where(card.c.superseded_at_ms.is_not(None))
    assert [row.scheme for row in sites.town.ask(former, persons=True)] == ["common-ap"]
