"""The clerks' pages: a card held just now gets its member, members are found, days are shown."""

import datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fleet import desk
from fleet.schema import (
    account_right,
    card,
    key_epoch,
    member,
    person_audit,
    programme_revision,
    triage,
)
from programmes.calendar import start_of_day_ms
from tests.web.conftest import Sites, csrf_of
from tests.web.town import DAY, NOW_MS
from tests.web.visitor import visitor

NUMBER = "123456789018"
"""Twelve digits with a right check digit, as in the government's own examples."""
REFUSED = "個人番号（マイナンバー）の形の値は受け取りません。保存していません"


def seen(sites: Sites) -> list[tuple[str, str, str]]:
    rows = sites.town.ask(person_audit.select(), persons=True)
    return [(row.who, row.what, row.subject) for row in rows if row.who == "hana"]


def test_a_card_held_at_a_desk_appears_while_the_page_is_open(sites: Sites, office: Page) -> None:
    expect(office.locator(".empty")).to_contain_text("かざしてもらってください")
    sites.town.hold_stranger()
    expect(office.locator(".card-list li")).to_contain_text("市役所 1階窓口")
    assert "5c5c" not in office.content()


def test_the_card_is_given_to_a_found_member_and_that_can_be_undone(
    sites: Sites, office: Page
) -> None:
    sites.town.hold_stranger()
    before = sites.town.ask(programme_revision.select(), persons=True)[0].revision
    office.goto(f"{sites.office}/")
    office.get_by_role("link", name="市役所 1階窓口でかざされたカードを登録").click()
    office.fill("#search", "たなか")
    office.get_by_role("button", name="探す").click()
    office.get_by_role("button", name="田中 健一 さんのカードにする").click()
    office.wait_for_url(f"{sites.office}/")
    notice = office.locator(".notice")
    expect(notice).to_contain_text("次のタップから使えます")
    assert sites.town.ask(triage.select(), persons=True) == []
    (given,) = sites.town.ask(card.select().where(card.c.credential == "5c" * 16), persons=True)
    assert given.assigned_by == "hana"
    assert sites.town.ask(programme_revision.select(), persons=True)[0].revision > before
    notice.get_by_role("button", name="取り消す").click()
    expect(office.locator(".notice")).to_contain_text("取り消しました")
    assert sites.town.ask(card.select().where(card.c.credential == "5c" * 16), persons=True) == []
    (back,) = sites.town.ask(triage.select(), persons=True)
    assert (back.credential, back.place, back.n) == ("5c" * 16, "desk-1", 5)
    assert [what for _, what, _ in seen(sites)] == [
        "members.listed",
        "card.assigned",
        "card.taken-back",
    ]


def test_an_assignment_is_undone_once_and_by_the_clerk_who_made_it(
    sites: Sites, office: Page
) -> None:
    token = csrf_of(office)
    answer = office.request.post(f"{sites.office}/cards/undo", form={"csrf": token})
    assert "もう取り消せません" in answer.text()


def test_an_assignment_is_not_undone_by_who_has_lost_the_right(sites: Sites) -> None:
    taro = visitor(sites.office, sites.town, "taro", "attendance:clerk", "senior-pass:clerk")
    sites.town.hold_stranger()
    (held,) = sites.town.ask(triage.select(), persons=True)
    given = taro.post(f"/cards/{held.id}/member", registration_number="T-001")
    assert given.status == 303
    mine = (account_right.c.account == "taro", account_right.c.programme == "attendance")
    sites.town.change(account_right.delete().where(*mine))
    assert taro.post("/cards/undo").status == 404
    assert sites.town.ask(card.select().where(card.c.credential == "5c" * 16), persons=True)


def test_a_search_for_an_individual_number_leaves_the_address(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/members?programme=attendance&search={NUMBER}")
    assert NUMBER not in office.url
    assert NUMBER not in office.content()
    expect(office.locator(".notice")).to_contain_text(REFUSED)
    assert seen(sites) == []


def test_a_search_that_is_too_long_is_told_beside_its_field(sites: Sites) -> None:
    clerk = visitor(sites.office, sites.town, "nagai", "attendance:clerk")
    query = "programme=attendance&search=" + "a" * 61
    page = clerk.get(f"/members?{query}")
    assert (page.status, 'id="search-error"' in page.text, REFUSED in page.text) == (
        422,
        True,
        False,
    )
    assert "60" in page.text.partition('id="search-error"')[2][:80]
    saved = clerk.get(f"/members.csv?{query}")
    assert (saved.status, saved.location) == (303, f"/members?{query}")
    hidden = clerk.get(f"/members.csv?programme=attendance&search={NUMBER}")
    assert (hidden.status, hidden.location) == (303, "/members?programme=attendance")


@pytest.mark.parametrize(
    "search", ["佐藤", "佐藤はるか", "さとう", "サトウ　ハルカ", "T-001", "Ｔ－００１"]
)
def test_a_member_is_found_by_name_reading_or_number(
    sites: Sites, office: Page, search: str
) -> None:
    office.goto(f"{sites.office}/members?programme=attendance&search={search}")
    assert office.locator("tbody th a").all_inner_texts() == ["佐藤 はるか"]
    assert seen(sites)[-1] == ("hana", "members.listed", "attendance")


def test_nobody_is_shown_or_written_down_before_a_search(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/members")
    expect(office.locator(".empty")).to_contain_text("氏名か登録番号を入れてください")
    assert seen(sites) == []


def test_members_whose_card_has_not_moved_to_the_new_keys_are_listed(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/members?programme=attendance")
    expect(office.locator("input[name=unmoved]")).to_have_count(0)  # there is one epoch only
    sites.town.change(key_epoch.insert().values(programme="attendance", epoch=2, since_ms=NOW_MS))
    cards = card.select().where(card.c.programme == "attendance").order_by(card.c.id)
    known = sites.town.ask(cards, persons=True)
    owners = {one.member_id for one in known}
    moved = card.update().where(card.c.member_id == known[0].member_id).values(key_epoch=2)
    sites.town.change_persons(moved)
    office.reload()
    office.get_by_label("未移行の方だけ（鍵世代2で一度もかざしていない）").check()
    office.get_by_role("button", name="探す").click()
    expect(office.locator("tbody th")).to_have_count(len(owners) - 1)
    expect(office.locator("input[name=unmoved]")).to_be_checked()


def test_every_look_at_a_member_is_written_down(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/members/1")
    expect(office.locator("h1")).to_contain_text("佐藤 はるか")
    assert seen(sites) == [("hana", "member.seen", "attendance T-001")]


def test_a_card_is_stopped_with_a_reason(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/members/1")
    office.get_by_text("このカードを止める").click()
    office.fill("input[name=why]", "紛失届")
    office.get_by_role("button", name="カードを止める").click()
    expect(office.locator(".notice")).to_contain_text("カードを止めました")
    (stopped,) = sites.town.ask(card.select().where(card.c.member_id == 1), persons=True)
    assert (stopped.stopped_from_ms, stopped.stopped_why) == (sites.town.clock.at_ms, "紛失届")
    assert ("hana", "card.stopped", "attendance T-001") in seen(sites)


def test_another_members_card_cannot_be_stopped_by_its_number(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/members/2")
    answer = office.request.post(
        f"{sites.office}/members/2/cards/1/stop", form={"csrf": csrf_of(office), "why": "x"}
    )
    assert answer.status == 409
    (kept,) = sites.town.ask(card.select().where(card.c.id == 1), persons=True)
    assert kept.stopped_from_ms is None


def test_a_day_shows_times_and_never_invents_a_leaving(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/attendance?day=2026-06-02")
    rows = dict(
        zip(
            office.locator("tbody th a").all_inner_texts(),
            office.locator("tbody tr").all_inner_texts(),
            strict=True,
        )
    )
    assert "07:40 出勤" in rows["佐藤 はるか"]
    assert "18:05 退勤" in rows["佐藤 はるか"]
    assert "退勤の記録がありません" in rows["高橋 美咲"]
    assert "退勤 " not in rows["高橋 美咲"].replace("退勤の記録", "")
    assert "記録なし" in rows["田中 健一"]


def test_today_an_arrival_is_no_missing_leaving_yet(sites: Sites, office: Page) -> None:
    office.goto(f"{sites.office}/attendance")
    text = office.locator("tbody").inner_text()
    assert "出勤中" in text
    assert "時計が不確か" in text
    assert "退勤の記録がありません" not in text
    assert seen(sites) == [("hana", "attendance.listed", "attendance")]


@pytest.mark.parametrize(
    ("stands", "word"),
    [
        ({"valid_to": DAY - datetime.timedelta(days=1)}, "期限切れ"),
        ({"valid_to": DAY}, "利用できる"),
        ({"valid_from": DAY + datetime.timedelta(days=1)}, "まだ使えません"),
        ({"valid_from": DAY}, "利用できる"),
        ({"stopped_from_ms": NOW_MS - 1, "stopped_why": "転出"}, "停止中"),
    ],
)
def test_list_page_and_cards_say_what_a_reader_would_say(
    sites: Sites, office: Page, stands: dict[str, Any], word: str
) -> None:
    sites.town.change_persons(member.update().where(member.c.id == 1).values(**stands))
    office.goto(f"{sites.office}/members?programme=attendance&search=T-001")
    usable = word == "利用できる"
    cells = office.locator("tbody tr td").all_inner_texts()
    assert [cells[-2].strip(), cells[-1].strip()] == ["1" if usable else "0", word]
    office.goto(f"{sites.office}/members/1")
    states = [one.strip() for one in office.locator(".state").all_inner_texts()]
    assert states == [word, word]
    may_stop = "stopped_from_ms" not in stands
    assert office.get_by_text("このカードを止める").count() == may_stop


def test_the_days_of_a_validity_are_the_towns_days() -> None:
    """A millisecond before midnight in Japan the last day holds; at midnight it is over."""
    midnight = start_of_day_ms(DAY + datetime.timedelta(days=1))
    assert desk.standing_at(midnight - 1, None, None, DAY) is desk.Standing.USABLE
    assert desk.standing_at(midnight, None, None, DAY) is desk.Standing.EXPIRED
    tomorrow = DAY + datetime.timedelta(days=1)
    assert desk.standing_at(midnight - 1, None, tomorrow, None) is desk.Standing.NOT_YET
    assert desk.standing_at(midnight, None, tomorrow, None) is desk.Standing.USABLE


def test_a_cards_stop_is_lifted_with_a_reason(sites: Sites, office: Page) -> None:
    stopped = {"stopped_from_ms": NOW_MS - 1, "stopped_why": "紛失届"}
    sites.town.change_persons(card.update().where(card.c.member_id == 1).values(**stopped))
    before = sites.town.ask(programme_revision.select(), persons=True)[0].revision
    office.goto(f"{sites.office}/members/1")
    office.get_by_text("このカードの停止を解く").click()
    office.fill("input[name=why]", "見つかった")
    office.get_by_role("button", name="停止を解く").click()
    expect(office.locator(".notice")).to_contain_text("停止を解きました")
    (lifted,) = sites.town.ask(card.select().where(card.c.member_id == 1), persons=True)
    assert (lifted.stopped_from_ms, lifted.stopped_why) == (None, "")
    assert ("hana", "card.unstopped", "attendance T-001") in seen(sites)
    assert sites.town.ask(programme_revision.select(), persons=True)[0].revision > before


def test_an_ignored_card_stays_away_however_often_it_is_held_until_it_is_listed_again(
    sites: Sites, office: Page
) -> None:
    sites.town.hold_stranger()
    office.goto(f"{sites.office}/")
    office.get_by_role("link", name="市役所 1階窓口でかざされたカードを登録").click()
    office.get_by_role("button", name="一覧から外す").click()
    expect(office.locator(".notice")).to_contain_text("ここには出ません")
    expect(office.locator(".empty")).to_be_visible()
    sites.town.hold_stranger()
    office.reload()
    expect(office.locator(".empty")).to_be_visible()
    office.get_by_text("一覧から外したカード 1枚").click()
    office.locator("#ignored").get_by_role("link").click()
    office.get_by_role("button", name="ふつうの一覧に戻す").click()
    office.wait_for_url(f"{sites.office}/")
    expect(office.locator(".card-list li")).to_have_count(1)
    assert ("hana", "card.ignored", "attendance") in seen(sites)
    assert ("hana", "card.listed-again", "attendance") in seen(sites)


def test_whom_a_clerk_asks_is_seen_by_the_next_one_and_can_be_undone(
    sites: Sites, office: Page
) -> None:
    sites.town.hold_stranger()
    (row,) = sites.town.ask(triage.select(), persons=True)
    office.goto(f"{sites.office}/cards/{row.id}")
    office.get_by_role("button", name="聞いてみる").click()
    expect(office.get_by_label("だれに聞くか")).to_be_visible()
    assert sites.town.ask(triage.select(), persons=True)[0].state == "", "whom, is needed"
    office.get_by_label("だれに聞くか").fill("守衛室の木村さん")
    office.keyboard.press("Enter")
    expect(office.locator(".card-list li")).to_contain_text("確認中")
    expect(office.locator(".card-list li")).to_contain_text("守衛室の木村さん hana")
    office.locator(".notice").get_by_role("button", name="取り消す").click()
    expect(office.locator(".card-list li")).not_to_contain_text("確認中")


def test_a_twelve_digit_number_is_no_note(sites: Sites, office: Page) -> None:
    sites.town.hold_stranger()
    (row,) = sites.town.ask(triage.select(), persons=True)
    office.goto(f"{sites.office}/cards/{row.id}")
    office.get_by_label("だれに聞くか").fill(NUMBER)
    office.keyboard.press("Enter")
    expect(office.locator("main")).to_contain_text(REFUSED)
    assert sites.town.ask(triage.select(), persons=True)[0].note == ""


def test_a_card_that_has_left_the_list_is_told_with_its_remedy(sites: Sites, office: Page) -> None:
    sites.town.hold_stranger()
    office.goto(f"{sites.office}/cards/1?search=たなか")
    sites.town.change_persons(triage.delete())
    office.get_by_role("button", name="田中 健一 さんのカードにする").click()
    expect(office.locator(".notice")).to_contain_text("もう一度かざしてもらってください")
    assert "すでに使われています" not in office.locator("main").inner_text()


def test_a_day_is_narrowed_to_people_with_a_record_in_the_address(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/attendance?day=2026-06-02")
    everyone = office.locator("tbody tr").count()
    office.check("#present")
    office.get_by_role("button", name="表示する").click()
    office.wait_for_url(f"{sites.office}/attendance?day=2026-06-02&present=yes")
    assert office.locator("tbody th a").all_inner_texts() == ["佐藤 はるか", "高橋 美咲"]
    assert everyone > 2
    expect(office.locator("#h-days")).to_contain_text(f"{everyone}人のうち2人の記録")
    office.get_by_role("link", name="次の日").click()
    assert office.url == f"{sites.office}/attendance?present=yes&day=2026-06-03"
