"""A member's own days: his month, what he may do to it, and that nobody else's is ever his."""

import datetime
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiohttp import web
from playwright.sync_api import Browser, Page, expect

from fleet import schema, work_accounts, work_closing, work_corrections, work_entries
from fleet.config import Databases
from fleet.web import office as office_process
from fleet.work_acts import Act
from fleet.work_entries import NewEntry
from fleet.work_list_file import check
from fleet.work_wishes import AddMark
from tests.fleet.work_kit import KEY, NORTH, RULES, Schools, at, open_schools
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.look_over import look_over
from tests.web.reach_kit import OURS, routes_of
from tests.web.town import PASSWORD, empty_town, town_in
from tests.web.visitor import Visitor, add_person

NOW_MS = at(3, "09:12", 7)
THE_2ND = datetime.date(2026, 6, 2)
THE_3RD = datetime.date(2026, 6, 3)
SECRET = "himitsu"
"""Stands in every word that is written of the other teacher, and nowhere else."""


@dataclass
class School:
    """The office's pages on a school with two teachers, who have accounts, and a clerk."""

    sites: Sites
    schools: Schools

    @property
    def office(self) -> str:
        return self.sites.office

    def enter(self, page: Page, name: str = "sato") -> None:
        sign_in(page, self.office, name)
        page.wait_for_url(f"{self.office}/own")

    def visitor(self, name: str) -> Visitor:
        found = Visitor(self.office)
        assert found.sign_in(name).status == 303
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A school's June, built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("school") / "built"
    town = empty_town(folder)
    with open_schools(Databases(folder, "")) as schools:
        schools.now_ms = NOW_MS
        for number, account in (("T-1", "sato"), ("T-2", "suzuki")):
            member_id = schools.teacher(number)
            add_person(town, account)
            with schools.office.write() as people:
                work_accounts.bind(people, Act(member_id, "hana", NOW_MS), account)
        fill(schools)
        schools.maker.make_due(NOW_MS)
    return folder


def fill(schools: Schools) -> None:
    """Let both have a June: taps, one evening without, a correction by the school, an entry."""
    gate = schools.gates["north-front"]
    for number in ("T-1", "T-2"):
        gate.tap(number, at(1, "07:42"), "in")
        gate.tap(number, at(1, "19:05"), "out")
        gate.tap(number, at(2, "07:50"), "in")
        gate.tap(number, at(3, "08:00"), "in")
    gate.send()
    with schools.office.write() as people:
        for number, words in (("T-1", "守衛が見ていた"), ("T-2", SECRET)):
            act = schools.act(schools.members[number], words)
            wish = AddMark(at_ms=at(3, "18:30"), declared="out")
            work_corrections.correct(people, act, THE_3RD, [wish], RULES)
            home = NewEntry("home", at(4, "20:00"), at(4, "21:30"), words)
            work_entries.declare(people, act, home, RULES)


@pytest.fixture
def school(built: Path, tmp_path: Path) -> Iterator[School]:
    shutil.copytree(built, tmp_path / "state")
    town = town_in(tmp_path / "state")
    town.clock.at_ms = NOW_MS
    with open_schools(town.config.databases, found=False) as schools, open_sites(town) as sites:
        schools.now_ms = NOW_MS
        schools.members = {"T-1": 1, "T-2": 2}
        yield School(sites, schools)


# --- whose account it is -------------------------------------------------------------------------


def test_a_clerk_binds_an_account_and_its_owner_sees_his_own_days_alone(
    school: School, page: Page, browser: Browser
) -> None:
    school.schools.teacher("T-3")
    sign_in(page, school.office, "hana")
    page.goto(f"{school.office}/members/3")
    page.get_by_text("アカウントを結び付ける").click()
    page.fill("#own-account", "tanaka")
    page.get_by_role("button", name="結び付ける", exact=True).click()
    once = page.locator("#once").inner_text()
    assert school.schools.audited("work.account-bound")[-1] == ("attendance T-3", "")
    context = browser.new_context(locale="ja-JP")
    own = context.new_page()
    sign_in(own, school.office, "tanaka", once)
    for field, text in (("password", once), ("fresh", PASSWORD), ("again", PASSWORD)):
        own.fill(f"#{field}", text)
    own.click("main button.main")
    own.goto(school.office)
    own.wait_for_url(f"{school.office}/own")
    expect(own.locator("h1")).to_contain_text("自分の勤務 2026年7月")
    expect(own.locator("nav ul.nav").first.get_by_role("link")).to_have_text(["自分の勤務"])
    assert own.goto(f"{school.office}/members/1").status == 403  # type: ignore[union-attr]
    context.close()
    page.goto(f"{school.office}/members/3")
    page.get_by_text("結び付けをやめる").click()
    page.get_by_role("button", name="やめる", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("やめました")
    assert school.visitor("tanaka").get("/own").status == 403


# --- the month -----------------------------------------------------------------------------------


def test_the_month_says_each_day_what_is_missing_and_how_the_sums_add_up(
    school: School, page: Page
) -> None:
    school.enter(page)
    page.get_by_role("link", name="前の月").click()
    days = page.locator("ol.calendar > li")
    expect(days).to_have_count(30)
    expect(days.nth(0)).to_contain_text("19:05 退勤 在校等時間 10:38")
    expect(days.nth(1)).to_contain_text("退勤の記録がありません")
    expect(days.nth(2)).to_contain_text("手入力あり")
    expect(days.nth(2)).to_contain_text("ほかの人の訂正あり")
    expect(days.nth(3)).to_contain_text("在宅・持ち帰り")
    page.get_by_text("在校等時間の計算").last.click()
    sums = page.locator("#sum-worked")
    expect(sums).to_contain_text("在校していた時間")
    hours = school.schools.record(1).month(datetime.date(2026, 6, 1))
    assert hours.worked_min == (11 * 60 + 23 - 45) + (10 * 60 + 30 - 45) + 90
    expect(sums.locator("tr").last).to_contain_text("21:53")
    expect(page.locator("#h-year")).to_contain_text("2026")
    page.get_by_text("月ごとの時間").click()
    expect(page.locator("#year-months tbody tr")).to_have_count(5)
    page.get_by_role("link", name="印刷用に開く").click()
    page.emulate_media(media="print")
    for one in ("#sum-worked table", "#sum-outside table", "#year-months table"):
        expect(page.locator(one)).to_be_visible()
    expect(page.get_by_role("link", name="カードを忘れた")).to_be_hidden()


def test_the_own_month_is_a_file(school: School) -> None:
    answer = school.visitor("sato").get("/own/month/2026-06.csv")
    lines = answer.body.decode("utf-8-sig").splitlines()
    assert len(lines) == 31
    assert lines[1].startswith("2026-06-01,07:42 出勤 19:05 退勤,")
    assert "11:23" in lines[1]
    assert SECRET not in answer.text
    assert school.visitor("sato").get("/own/month/2026-13.csv").status == 404
    assert school.visitor("sato").get("/own/month/2027-06.csv").status == 404


# --- the day -------------------------------------------------------------------------------------


def test_a_correction_by_others_is_shown_with_who_and_why_and_can_be_contested(
    school: School, page: Page
) -> None:
    school.enter(page)
    page.goto(f"{school.office}/own/day/2026-06-03")
    made = page.locator("section[aria-labelledby=h-made]")
    expect(made).to_contain_text("18:30 追加 退勤")
    expect(made).to_contain_text("理由: 守衛が見ていた")
    expect(made).to_contain_text("kyoto")
    made.get_by_text("異議を申し立てる").click()
    made.get_by_label("理由").fill("19時まで会議でした")
    made.get_by_role("button", name="申し立てる").click()
    expect(made).to_contain_text("異議あり")
    expect(made.get_by_role("button", name="申し立てる")).to_have_count(0)
    (day,) = (one for one in school.schools.record(1).days if one.day == THE_3RD)
    assert day.is_contested
    assert school.schools.audited("work.contested") == [("attendance T-1", "2026-06-03 1")]


def declare(page: Page, kind: str, from_time: str, to_time: str, note: str = "") -> None:
    page.get_by_text("申告する").click()
    page.select_option("#entry-entry_kind", kind)
    page.fill("#entry-from_time", from_time)
    page.fill("#entry-to_time", to_time)
    page.fill("#entry-note", note)
    page.get_by_role("button", name="申告", exact=True).click()


def test_an_entry_counts_at_once_and_its_owner_takes_it_back(school: School, page: Page) -> None:
    school.enter(page)
    page.goto(f"{school.office}/own/day/2026-06-05")
    declare(page, "off-site", "22:30", "00:15", "夜間の見回り")
    expect(page.get_by_role("status").first).to_contain_text("申告しました")
    expect(page.locator("section[aria-labelledby=h-sums] dd").first).to_have_text("1:45")
    page.locator(".notice").get_by_role("button", name="取り消す").click()
    expect(page.locator("section[aria-labelledby=h-entries]")).to_contain_text("取り消し済み")
    expect(page.locator("section[aria-labelledby=h-sums] dd").first).to_have_text("0:00")


def test_what_the_school_entered_is_not_taken_back_by_the_member(school: School) -> None:
    who = school.visitor("sato")
    assert "在宅・持ち帰り" in who.get("/own/day/2026-06-04").text
    assert who.post("/own/entries/1/withdraw").status == 404
    (entry,) = school.schools.record(1).entries
    assert entry.counts


def test_what_the_school_entered_can_be_contested_and_is_answered(
    school: School, page: Page
) -> None:
    sign_in(page, school.office, "sato")
    page.goto(f"{school.office}/own?month=2026-06")
    expect(page.get_by_text("ほかの人の入力").first).to_be_visible()
    page.goto(f"{school.office}/own/day/2026-06-04")
    entry = page.locator("section[aria-labelledby=h-entries] li").first
    expect(entry).to_contain_text("kyoto")
    entry.locator("summary").press("Enter")
    entry.get_by_label("理由").fill("していない")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("異議を申し立てました")
    expect(entry).to_contain_text("異議あり")
    expect(entry.locator("summary")).to_have_count(0)
    number = str(school.schools.ask(sa.select(schema.work_objection.c.entry_id))[0][0])
    add_person(school.sites.town, "kyoto", "attendance:school:kita-sho")
    add_person(school.sites.town, "south", "attendance:school:minami-chu")
    kyoto, south = school.visitor("kyoto"), school.visitor("south")
    shown = kyoto.get("/school/requests").text
    assert "異議 1件" in shown
    assert "していない" in shown
    there = "/school/requests/answer"
    said = {"member": "1", "entry": number, "answer": "keep", "why": "本人と確かめた"}
    assert south.post(there, **said).status == 404
    assert kyoto.post(there, **said | {"member": "2"}).status == 404
    assert kyoto.post(there, **said | {"why": ""}).status == 422
    assert kyoto.post(there, **said | {"answer": "x"}).status == 422
    assert kyoto.post(there, **said).status == 303
    assert kyoto.post(there, **said).status == 409
    page.reload()
    expect(entry).to_contain_text("本人と確かめた")
    expect(entry).not_to_contain_text("異議あり")


def test_a_closed_month_takes_no_entry_and_says_so(school: School, page: Page) -> None:
    with school.schools.office_fleet.read() as fleet, school.schools.office.write() as people:
        work_closing.close(fleet, people, NORTH, datetime.date(2026, 6, 1), "kyoto", NOW_MS)
    school.enter(page)
    page.goto(f"{school.office}/own?month=2026-06")
    expect(page.locator("main")).to_contain_text("この月は締め済みです")
    page.goto(f"{school.office}/own/day/2026-06-08")
    declare(page, "off-site", "09:00", "10:00")
    expect(page.locator("#entry-from_time-error")).to_contain_text("締め済み")


def test_a_refused_entry_keeps_what_was_typed_and_says_why(school: School, page: Page) -> None:
    school.enter(page)
    page.goto(f"{school.office}/own/day/2026-06-04")
    declare(page, "home", "21:00", "22:00")
    expect(page.locator("#entry-from_time-error")).to_contain_text("重なっています")
    expect(page.locator("#entry-from_time")).to_have_value("21:00")
    expect(page.locator("#entry-entry_kind")).to_have_value("home")


def test_a_request_waits_for_another_and_can_be_taken_back(school: School, page: Page) -> None:
    school.enter(page)
    page.goto(f"{school.office}/own/day/2026-06-02")
    page.get_by_text("打刻を足す").click()
    page.select_option("#add-declared", "out")
    page.fill("#add-time", "18:00")
    page.fill("#add-why", "押し忘れ")
    page.get_by_role("button", name="申請する").first.click()
    asked = page.locator("section[aria-labelledby=h-asked]")
    expect(asked).to_contain_text("18:00 追加 退勤")
    expect(asked).to_contain_text("手入力・確認待ち")
    assert school.schools.record(1).day(THE_2ND).ends == "present"  # type: ignore[union-attr]
    page.get_by_role("button", name="申請を取り下げる").click()
    expect(asked).to_contain_text("取り下げ")
    page.get_by_text("07:50 出勤 を直す").click()
    page.select_option("#turn-0-turn_to", "void")
    page.fill("#turn-0-why", "友人のカード")
    page.get_by_role("button", name="申請する").last.click()
    expect(asked).to_contain_text("07:50 取り消す")
    (one, _) = requests(school, 1)
    with school.schools.office.write() as people:
        work_corrections.approve(people, one.id, "kyoto", NOW_MS)
    page.reload()
    expect(asked).to_contain_text("承認")
    expect(page.locator("section[aria-labelledby=h-marks]")).to_contain_text("取り消し")


def test_a_refused_request_is_told_with_its_reason(school: School, page: Page) -> None:
    with school.schools.office.write() as people:
        act = Act(1, "sato", NOW_MS, "押し忘れ")
        wish = AddMark(at_ms=at(2, "23:00"), declared="out")
        asked = work_corrections.ask(people, act, THE_2ND, [wish], RULES)
        work_corrections.refuse(people, asked, "警備の記録は18時", "kyoto", NOW_MS)
    school.enter(page)
    page.goto(f"{school.office}/own?month=2026-06")
    expect(page.locator("ol.calendar > li").nth(1)).to_contain_text("申請は却下")
    page.get_by_role("link", name="2日（火）", exact=True).click()
    asked_here = page.locator("section[aria-labelledby=h-asked]")
    expect(asked_here).to_contain_text("却下")
    expect(asked_here).to_contain_text("警備の記録は18時")


def requests(school: School, member_id: int) -> list[work_corrections.Request]:
    with school.schools.office.read() as people:
        return work_corrections.of_members(people, [member_id])


# --- the card was forgotten ----------------------------------------------------------------------


def test_a_forgotten_card_takes_three_presses_on_a_phone(school: School, browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="ja-JP", has_touch=True, is_mobile=True
    )
    page = context.new_page()
    school.enter(page)
    page.get_by_role("link", name="カードを忘れた").tap()
    page.get_by_text("出勤", exact=True).tap()
    page.get_by_role("button", name="送る").tap()
    expect(page.locator("section[aria-labelledby=h-asked]")).to_contain_text("09:12 追加 出勤")
    expect(page.locator("section[aria-labelledby=h-asked]")).to_contain_text("手入力・確認待ち")
    context.close()
    (one,) = requests(school, 1)
    assert (one.state, one.asked_by, one.why) == ("asked", "sato", "カードを忘れた")
    assert one.wishes == (AddMark(at_ms=NOW_MS, declared="in"),)


# --- the receipt ---------------------------------------------------------------------------------


def test_a_day_that_was_signed_has_a_receipt_that_its_owner_checks_alone(
    school: School, page: Page
) -> None:
    school.enter(page)
    page.goto(f"{school.office}/own/day/2026-07-02")
    with page.expect_download() as saved:
        page.get_by_role("link", name="受領書を保存").click()
    file = Path(saved.value.path()).read_bytes()
    own = check(file, KEY.public_key()).own
    assert own is not None
    assert (own.member, own.day) == (1, datetime.date(2026, 7, 2))
    page.goto(f"{school.office}/own/day/2026-07-03")
    expect(page.get_by_text("受領書はまだありません")).to_be_visible()
    assert school.visitor("sato").get("/own/day/2026-07-03/receipt.json").status == 404


# --- nobody else's -------------------------------------------------------------------------------


def test_no_route_gives_one_member_anything_of_another(school: School) -> None:
    who, schools = school.visitor("sato"), school.schools
    theirs = [row.id for row in schools.ask(schema.work_entry.select()) if row.member_id == 2]
    made = [row.id for row in schools.ask(schema.work_correction.select()) if row.member_id == 2]
    with schools.office.write() as people:
        act = Act(2, "suzuki", NOW_MS, SECRET)
        wish = AddMark(at_ms=at(2, "17:00"), declared="out")
        asked = work_corrections.ask(people, act, THE_2ND, [wish], RULES)
    before, token, called = kept_of(school, 2), who.token(), 0
    named = {"entry": theirs[0], "asked": asked, "correction": made[0], "month": "2026-06"}
    own = [one for one in routes_of(office_app(school)) if one[1].startswith("/own")]
    for method, route, _ in own:
        for day in ("2026-06-02", "2026-06-03"):
            path = route.replace("{day}", day)
            path = re.sub(r"{(\w+)}", lambda name: str(named[name[1]]), path)
            fields = FIELDS | {"mark": their_mark(schools)}
            answer = who.get(path) if method == "GET" else who.post_with(token, path, **fields)
            assert answer.status < 500, path
            assert SECRET.encode() not in answer.body, path
            if {"{entry}", "{asked}", "{correction}"} & set(re.findall(r"{\w+}", route)):
                assert answer.status == 404, path
            called += 1
    assert called >= 22
    assert kept_of(school, 2) == before


FIELDS = {
    "why": "x",
    "entry_kind": "home",
    "from_time": "20:00",
    "to_time": "21:00",
    "declared": "out",
    "time": "19:00",
    "turn_to": "void",
    "member": "2",
    "member_id": "2",
}


def office_app(school: School) -> web.Application:
    town = school.sites.town
    return office_process.application(
        town.config, school.schools.office_fleet, school.schools.office, town.clock
    )


def their_mark(schools: Schools) -> str:
    (day,) = (one for one in schools.record(2).days if one.day == THE_2ND)
    return day.readings[0].standing.mark.identity


def kept_of(school: School, member_id: int) -> list[object]:
    """Return all rows of one member's work."""
    tables = (schema.work_entry, schema.work_correction, schema.work_request, schema.work_account)
    mine = [table.select().where(table.c.member_id == member_id) for table in tables]
    return [
        *(school.schools.ask(one) for one in mine),
        school.schools.ask(schema.work_decision.select()),
    ]


ODD = (
    "",
    "x" * 201,
    "99:99",
    "25:00",
    "-1",
    "0001-01-01",
    "9999-12-31",
    "2026-02-30",
    "\u0000",
    "🕗",
)


@pytest.mark.parametrize("name", ["entries", "ask", "turn", "corrections/1/contest", "forgot"])
def test_no_odd_value_breaks_a_form_or_becomes_a_record(school: School, name: str) -> None:
    who = school.visitor("sato")
    path = "/own/forgot" if name == "forgot" else f"/own/day/2026-06-03/{name}"
    token, before = who.token(), kept_of(school, 1)
    for field in (*FIELDS, "to_day", "note", "mark"):
        for odd in ODD if field != "why" else ("", "x" * 201, "\u0000"):
            fields = {"from_time": "22:00", "to_time": "01:00", "to_day": "9999-12-31"}
            answer = who.post_with(token, path, **(fields | {"why": "", field: odd}))
            assert answer.status in (404, 409, 422), (field, odd)
    number = who.post_with(token, path, why="123456789018", note="123456789018", time="07:00")
    assert number.status in (404, 422)
    assert "123456789018" not in number.text
    assert kept_of(school, 1) == before


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2000-01-01"])
def test_a_day_of_which_nothing_can_be_known_is_not_found(school: School, day: str) -> None:
    who = school.visitor("sato")
    assert who.get(f"/own/day/{day}").status == 404
    assert who.get(f"/own/day/{day}/receipt.json").status == 404
    assert '自分の勤務 <span class="quiet">2026年7月' in who.get(f"/own?month={day[:7]}").text


def test_whoever_sees_own_days_opens_nothing_else_of_the_office(school: School) -> None:
    who, office = school.visitor("sato"), office_app(school)
    allowed = {"/own", "/", "/security", "/second", "/held"}
    called = 0
    for method, route, _ in routes_of(office):
        first = "/" + route.split("/")[1]
        if route.startswith(OURS) or first in allowed or method != "GET":
            continue
        assert who.get(re.sub(r"{\w+}", "1", route)).status in (403, 404), route
        called += 1
    assert called >= 40
    assert who.get("/").location == "/own"
    assert school.visitor("hana").get("/own").status == 403


# --- everybody can use it ------------------------------------------------------------------------


def test_everybody_can_use_the_pages(school: School, browser: Browser) -> None:
    paths = (
        "/own",
        "/own?month=2026-06",
        "/own?month=2026-05",
        "/own/day/2026-06-03",
        "/own/day/2026-06-04",
        "/own/day/2026-07-02",
        "/own/day/2026-07-10",
        "/own/forgot",
    )
    assert look_over(browser, school.office, "sato", paths, "/own") == {}
