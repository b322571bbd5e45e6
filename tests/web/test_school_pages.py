"""A school's office: who is in, requests, the month; nothing of another school. And the board's."""

import csv
import datetime
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import schema, store, work_corrections
from fleet.grants import Role
from fleet.web import office
from fleet.work_records import Span
from fleet.work_terms import NewTerm
from fleet.work_wishes import AddMark, Wish
from programmes.work_day import WorkDay
from tests.fleet.work_kit import NORTH, RULES, SOUTH, Schools, at, card_of, open_schools
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.look_over import look_over
from tests.web.reach_kit import routes_of
from tests.web.town import empty_town
from tests.web.visitor import Visitor, add_person, visitor

TODAY = datetime.date(2026, 7, 3)
THE_1ST = datetime.date(2026, 7, 1)
NOW_MS = at(3, "09:12", month=7)
SECRET = "ひみつ中"


@dataclass
class Gated:
    """Two schools with their people, and where the office listens."""

    sites: Sites
    schools: Schools

    @property
    def office(self) -> str:
        return self.sites.office

    def visit(self, name: str) -> Visitor:
        found = Visitor(self.office)
        assert found.sign_in(name).status == 303
        return found


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        yield made


@contextmanager
def gated(folder: Path) -> Iterator[Gated]:
    """Kyoto looks after the northern school, sato after the southern one; mori only looks."""
    made = empty_town(folder)
    made.clock.at_ms = NOW_MS
    with open_schools(made.config.databases) as schools:
        schools.now_ms = NOW_MS
        fill(schools)
        add_person(made, "kyoto", f"attendance:school:{NORTH}")
        add_person(made, "sato", f"attendance:school:{SOUTH}")
        add_person(made, "mori", "attendance:auditor")
        with open_sites(made) as sites:
            yield Gated(sites, schools)


def fill(schools: Schools) -> None:
    """Today one is in, one went out, one has left and one lacks; T-1 has not left on the 1st."""
    for number in ("T-1", "T-2", "T-3", "T-4"):
        schools.teacher(number)
    schools.teacher("S-9", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    named = schema.person.update().where(schema.person.c.name == "教員 S-9")
    with schools.people.write() as connection:
        connection.execute(named.values(name=SECRET))
    front, south = schools.gates["north-front"], schools.gates["south-front"]
    front.tap("T-1", at(1, "07:40", month=7), "in")
    for number, time, declared in (
        ("T-1", "06:58", "in"),
        ("T-2", "07:45", "in"),
        ("T-2", "08:50", "away"),
        ("T-3", "07:50", "in"),
        ("T-3", "08:30", "out"),
    ):
        front.tap(number, at(3, time, month=7), declared)
    south.tap("S-9", at(3, "07:31", month=7), "in")
    for gate in (front, south):
        gate.send()
        heard(schools, gate.reader, NOW_MS - 60_000, 0)


def heard(schools: Schools, reader: str, at_ms: int, waiting: int) -> None:
    state = schema.reader_state
    row = {"reader": reader, "online": not waiting, "ready": True, "rosters": []}
    row |= {"received_at_ms": at_ms, "status_at_ms": at_ms, "waiting": waiting}
    with schools.fleet.write() as connection:
        connection.execute(state.delete().where(state.c.reader == reader))
        connection.execute(state.insert().values(row))


def asks(schools: Schools, number: str, why: str, time: str = "17:15") -> int:
    """Somebody asks for the leaving of the 1st that nobody marked."""
    wishes: list[Wish] = [AddMark(at(1, time, month=7), "out")]
    act = schools.act(schools.members[number], why, number.lower())
    with schools.office.write() as people:
        return work_corrections.ask(people, act, THE_1ST, wishes, RULES)


@pytest.fixture
def kyoto(town: Gated, page: Page) -> Page:
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    return page


# --- now -----------------------------------------------------------------------------------------


def test_the_school_now_says_who_is_in_and_stays_live(town: Gated, kyoto: Page) -> None:
    kyoto.goto(f"{town.office}/")
    kyoto.locator("main").get_by_role("link", name="学校の今").click()
    board = kyoto.locator("#now")
    expect(board.locator("h2")).to_contain_text("在校 1人")
    expect(board).to_contain_text("教員 T-1 06:58")
    expect(board.locator("section, table").nth(3)).to_contain_text("打刻なし")
    expect(board).to_contain_text("退勤")
    expect(board).not_to_contain_text(SECRET)
    comes_in(town, "T-4")
    expect(board.locator("h2")).to_contain_text("在校 2人")
    expect(board).not_to_contain_text("打刻なし")
    looks = town.schools.audited("work.listed")
    assert ("attendance", f"{NORTH} 4 members") in looks


def test_nothing_is_taken_from_under_a_pointer_or_from_who_walks_by_keyboard(
    town: Gated, kyoto: Page
) -> None:
    kyoto.goto(f"{town.office}/school")
    board = kyoto.locator("#now")
    link = board.get_by_role("link", name="教員 T-3").first
    link.focus()
    comes_in(town, "T-4")
    expect(board.locator("h2")).to_contain_text("在校 2人")
    expect(link).to_be_focused()
    link.hover()
    kyoto.mouse.down()
    with kyoto.expect_response("**/school/now?*"):
        comes_in(town, "T-3")
    kyoto.mouse.move(0, 0)
    expect(board.locator("h2")).to_contain_text("在校 2人")  # as it was when the pointer went down
    kyoto.mouse.up()  # beside the link: no click
    expect(board.locator("h2")).to_contain_text("在校 3人")
    link.hover()
    kyoto.mouse.down()
    with kyoto.expect_response("**/school/now?*"):
        comes_in(town, "T-2")
    kyoto.mouse.up()
    expect(kyoto.locator("h1")).to_contain_text("教員 T-3")


def comes_in(town: Gated, number: str) -> None:
    gate = town.schools.gates["north-back"]
    gate.tap(number, NOW_MS, "in")
    gate.send()
    mine = schema.journal.c.reader == gate.reader
    town.sites.town.change(schema.journal.update().where(mine).values(seen=gate.n, through=gate.n))


def test_the_fire_drill_list_is_one_file_that_says_up_to_when_it_is_whole(town: Gated) -> None:
    who = town.visit("kyoto")
    answer = who.get("/school/list/file")
    assert "attachment" in str(answer.headers["Content-Disposition"])
    for text in ("教員 T-1", "06:58", "教員 T-4"):
        assert text in answer.text
    assert SECRET not in answer.text
    assert re.findall(r"""(?:src|href)=|url\(|@import""", answer.text) == []
    assert "確かめられません" in answer.text, "the second gate was never heard"
    heard(town.schools, town.schools.gates["north-back"].reader, NOW_MS, 0)
    assert "2026-07-03 09:11までのすべての記録を含みます" in who.get("/school/list/file").text
    heard(town.schools, town.schools.gates["north-back"].reader, NOW_MS, 3)
    mine = schema.journal.c.reader == town.schools.gates["north-back"].reader
    town.sites.town.change(schema.journal.update().where(mine).values(seen=4, through=1))
    assert "09:11までのすべて" not in who.get("/school/list/file").text
    paper = who.get("/school/list")
    assert (paper.status, paper.body[:5]) == (200, b"%PDF-")


def test_a_gate_with_unsent_entries_has_told_up_to_its_last_whole_entry(town: Gated) -> None:
    heard(town.schools, town.schools.gates["north-back"].reader, NOW_MS, 0)
    front = town.schools.gates["north-front"]
    heard(town.schools, front.reader, NOW_MS, 5)
    mine = schema.journal.c.reader == front.reader
    town.sites.town.change(schema.journal.update().where(mine).values(seen=9, through=5))
    text = town.visit("kyoto").get("/school/list/file").text
    assert "2026-07-03 08:50までのすべての記録を含みます" in text


# --- requests ------------------------------------------------------------------------------------


def test_a_request_is_approved_by_the_keyboard_and_counts(town: Gated, kyoto: Page) -> None:
    asks(town.schools, "T-1", "カードを忘れた")
    kyoto.goto(f"{town.office}/school/requests")
    line = kyoto.locator("article")
    expect(line).to_contain_text("17:15")
    expect(line).to_contain_text("退勤")
    expect(line).to_contain_text("カードを忘れた")
    line.get_by_role("button", name="承認する").focus()
    kyoto.keyboard.press("Enter")
    expect(kyoto.locator(".notice")).to_contain_text("承認しました")
    expect(kyoto.locator("main")).to_contain_text("待っている申請はありません")
    (day,) = (one for one in marks_of(town, "T-1") if one.day == THE_1ST)
    assert [one.became for one in day.readings] == ["in", "out"]
    assert day.missing == ()


def test_a_refusal_has_a_reason_and_stays_refused(town: Gated) -> None:
    number = str(asks(town.schools, "T-1", "カードを忘れた"))
    who = town.visit("kyoto")
    assert who.post("/school/requests/refuse", request=number, why="").status == 422
    twelve = who.post("/school/requests/refuse", request=number, why="123456789018")
    assert twelve.status == 422
    assert "123456789018" not in twelve.text
    assert who.post("/school/requests/refuse", request=number, why="在校の記録あり").status == 303
    late = who.post("/school/requests/approve", request=number)
    assert (late.status, "承認" in late.text) == (409, True)
    with town.schools.office.read() as people:
        one = work_corrections.load(people, int(number))
    assert one is not None
    assert (one.state, one.decided_by, one.decided_why) == ("refused", "kyoto", "在校の記録あり")


def test_nobody_approves_what_he_asked_for_himself(town: Gated) -> None:
    member, name = town.schools.members["T-1"], "kyoto"
    wishes: list[Wish] = [AddMark(at(1, "17:15", month=7), "out")]
    with town.schools.office.write() as people:
        act = town.schools.act(member, "忘れた", name)
        number = work_corrections.ask(people, act, THE_1ST, wishes, RULES)
    who = town.visit(name)
    page = who.get("/school/requests").text
    assert "ご自身の申請です" in page
    assert ">承認する" not in page
    assert who.post("/school/requests/approve", request=str(number)).status == 409


# --- one day -------------------------------------------------------------------------------------


def test_a_mark_is_corrected_with_a_reason_and_an_objection_answered(
    town: Gated, kyoto: Page
) -> None:
    member = town.schools.members["T-3"]
    kyoto.goto(f"{town.office}/school")
    kyoto.locator("#now").get_by_role("link", name="教員 T-3").first.click()
    expect(kyoto.locator("h1")).to_contain_text("教員 T-3")
    form = kyoto.locator("section[aria-labelledby=h-turn]")
    form.locator("#mark").select_option(index=1)
    form.locator("#turn").select_option("away")
    form.locator("#why").fill("買い物に出た")
    form.locator("#why").press("Enter")
    expect(kyoto.locator(".notice")).to_contain_text("直しました")
    expect(kyoto.locator("section[aria-labelledby=h-marks]")).to_contain_text("買い物に出た")
    ((number,),) = town.schools.ask(sa.select(schema.work_correction.c.id))
    with town.schools.office.write() as people:
        act = town.schools.act(member, "帰宅した", "t-3")
        work_corrections.contest(people, act, number)
    kyoto.goto(f"{town.office}/school/requests")
    expect(kyoto.locator("#h-contested")).to_contain_text("1件")
    kyoto.locator("section[aria-labelledby=h-contested] a").click()
    expect(kyoto.locator("main")).to_contain_text("帰宅した")
    kyoto.locator("#mark").select_option(index=1)
    kyoto.locator("#turn").select_option("keep")
    kyoto.locator("section[aria-labelledby=h-turn] input[name=why]").fill("本人と確かめた")
    kyoto.locator("section[aria-labelledby=h-turn] button").click()
    expect(kyoto.locator(".notice")).to_contain_text("直しました")
    kyoto.goto(f"{town.office}/school/requests")
    expect(kyoto.locator("#h-contested")).to_contain_text("0件")
    (day,) = (one for one in marks_of(town, "T-3") if one.day == TODAY)
    assert [one.became for one in day.readings] == ["in", "away"]
    assert ("attendance T-3", str(TODAY)) in town.schools.audited("work.seen")


def test_a_leaving_after_midnight_is_of_the_day_before(town: Gated) -> None:
    who, member = town.visit("kyoto"), str(town.schools.members["T-1"])
    form = {"member": member, "day": str(THE_1ST), "do": "add", "declared": "out"}
    assert who.post("/school/day", **form, time="00:30", why="残業").status == 303
    (day,) = (one for one in marks_of(town, "T-1") if one.day == THE_1ST)
    assert day.intervals[0].to_ms == at(2, "00:30", month=7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"why": ""}, "理由"),
        ({"time": ""}, "時刻を入れてください"),
        ({"time": "25:00"}, "時刻を入れてください"),
        ({"declared": "x"}, "選んでください"),
        ({"do": "turn", "mark": "x"}, "その打刻はありません"),
        ({"why": "123456789018"}, "個人番号"),
    ],
)
def test_a_correction_that_cannot_be_so_is_refused(
    town: Gated, change: dict[str, str], said: str
) -> None:
    member = str(town.schools.members["T-1"])
    form = {"member": member, "day": str(THE_1ST), "do": "add", "declared": "out"}
    form |= {"time": "17:00", "why": "忘れた", **change}
    answer = town.visit("kyoto").post("/school/day", **form)
    assert answer.status == 422
    assert said in answer.text
    assert town.schools.ask(sa.select(schema.work_correction)) == []


def test_the_boards_auditor_looks_and_changes_nothing(town: Gated) -> None:
    number = str(asks(town.schools, "T-1", "カードを忘れた"))
    who, member = town.visit("mori"), str(town.schools.members["T-1"])
    day = f"/school/day?school={NORTH}&member={member}&day={THE_1ST}"
    assert (who.get("/school").status, who.get(day).status) == (200, 200)
    form = {"member": member, "day": str(THE_1ST), "do": "add", "declared": "out"}
    assert who.post(day, **form, time="17:00", why="x").status == 403
    at_north = f"/school/requests/approve?school={NORTH}"
    assert who.post(at_north, request=number).status == 403
    assert town.schools.ask(sa.select(schema.work_correction)) == []


def marks_of(town: Gated, number: str) -> tuple[WorkDay, ...]:
    span = Span(THE_1ST, TODAY)
    return town.schools.record(town.schools.members[number], span).days


# --- the month -----------------------------------------------------------------------------------


def works(schools: Schools, number: str, left: str, days: range = range(1, 25)) -> None:
    """Somebody comes at 07:00 and leaves late, on the days of June from Monday to Friday."""
    gate = schools.gates["north-front"]
    for day in days:
        if datetime.date(2026, 6, day).weekday() < 5:
            gate.tap(number, at(day, "07:00"), "in")
            gate.tap(number, at(day, left), "out")
    gate.send()


def test_a_month_shows_sums_and_whom_to_talk_to(town: Gated, kyoto: Page) -> None:
    works(town.schools, "T-1", "21:30")
    works(town.schools, "T-2", "17:00", range(1, 31))
    kyoto.goto(f"{town.office}/school/month?month=2026-06")
    rows = kyoto.locator("section[aria-labelledby=h-people] tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text("108:00")
    expect(rows.nth(0)).to_contain_text("少なくとも")
    expect(rows.nth(1)).to_contain_text("33:00")
    expect(rows.nth(1)).not_to_contain_text("少なくとも")
    talk = kyoto.locator("section[aria-labelledby=h-talk]")
    expect(talk.locator("tbody").first.locator("tr")).to_have_count(1)
    expect(talk.locator("tbody").first).to_contain_text("教員 T-1")
    expect(kyoto.locator("main")).not_to_contain_text(SECRET)
    assert ("attendance", f"{NORTH} 2026-06 4 members") in town.schools.audited("work.listed")
    saved = town.visit("kyoto").get("/school/month/export?month=2026-06")
    assert "T-1" in saved.text
    assert "6480" in saved.text


def test_a_month_is_closed_and_opened_again_with_a_trace(town: Gated, kyoto: Page) -> None:
    number = asks(town.schools, "T-1", "忘れた")
    who = town.visit("kyoto")
    june = {"month": "2026-06"}
    assert who.post("/school/month/close", month="2026-07").status == 409
    for month in ("9999-12", "2019-03", "x"):
        assert who.post("/school/month/close", month=month).status == 404
    kyoto.goto(f"{town.office}/school/month?month=2026-06")
    kyoto.locator("#close").press("Enter")
    expect(kyoto.locator(".notice")).to_contain_text("締めました")
    assert who.post("/school/month/reopen", **june, why="").status == 422
    kyoto.locator("summary", has_text="開き直す").press("Enter")
    kyoto.locator("#why").fill("出張の届け出が遅れた")
    kyoto.locator("#why").press("Enter")
    expect(kyoto.locator(".notice")).to_contain_text("開き直しました")
    steps = kyoto.locator("section[aria-labelledby=h-state] li").all_inner_texts()
    assert ["出張の届け出が遅れた" in one and "kyoto" in one for one in steps] == [True, False]
    assert number


def test_what_a_gate_sends_after_closing_stands_beside_the_closed_figure(town: Gated) -> None:
    who = town.visit("kyoto")
    assert who.post("/school/month/close", month="2026-06").status == 303
    works(town.schools, "T-2", "18:00", range(1, 2))
    text = who.get("/school/month?month=2026-06").text
    assert "締めたあとに数字が変わった人が1人" in text
    assert "0:00 → 2:30" in text


# --- nothing of another school -------------------------------------------------------------------

SECRETS = (SECRET, "S-9", "南の理由", card_of("S-9"), card_of("T-1"))
"""Of the southern school, and cards: the northern one is never sent them."""


def test_a_school_gets_nothing_of_another_and_changes_nothing_there(town: Gated) -> None:
    asks(town.schools, "S-9", "南の理由")
    number = str(town.schools.ask(sa.select(schema.work_request.c.id))[0][0])
    theirs = str(town.schools.members["S-9"])
    databases = town.sites.town.config.databases
    opened = store.open_fleet(databases, Role.OFFICE), store.open_persons(databases, Role.OFFICE)
    routes = routes_of(office.application(town.sites.town.config, *opened, town.sites.town.clock))
    for one in opened:
        one.close()
    who = town.visit("kyoto")
    token, asked = who.token(), 0
    of_school = {"member": theirs, "day": str(THE_1ST), "request": number, "month": "2026-06"}
    before = kept(town)
    for method, route, _ in routes:
        if route.startswith(("/static", "/api/", "/logout", "/oidc", "/login")):
            continue
        path = re.sub(r"\{[^}]*\}", theirs, route)
        for wish in ({}, of_school, of_school | {"school": SOUTH}, {"school": "-"}):
            query = f"{path}?{urlencode(wish)}"
            form = {"csrf": token, "why": "x", "do": "add", "declared": "out", "time": "17:00"}
            body = urlencode(form | of_school).encode() if method == "POST" else None
            answer = who.peek(query) if path.endswith("/live") else who.send(query, body, method)
            told = answer.body.decode("utf-8", "replace")
            assert [one for one in SECRETS if one in told] == [], (method, query)
            if route.startswith("/school") and "school" in wish:
                assert answer.status == 404, (method, query, answer.status)
            asked += 1
    assert asked > 200
    assert kept(town) == before


def kept(town: Gated) -> list[object]:
    """Return what nobody of the northern school may change."""
    tables = (schema.work_correction, schema.work_request, schema.work_decision, schema.work_term)
    months = schema.work_close.select().where(schema.work_close.c.organisation != NORTH)
    return [town.schools.ask(one) for one in (*(table.select() for table in tables), months)]


def test_the_other_school_and_the_board_do_see_it(town: Gated) -> None:
    """So the marks stand where they are shown: the test above can fail."""
    asks(town.schools, "S-9", "南の理由")
    assert SECRET in town.visit("sato").get("/school").text
    hana = town.visit("hana")
    assert SECRET in hana.get(f"/school?school={SOUTH}").text
    assert "南の理由" in hana.get(f"/school/requests?school={SOUTH}").text
    assert "教員 T-1" in hana.get("/school").text


def test_others_do_not_get_in(town: Gated) -> None:
    other = visitor(town.office, town.sites.town, "taxi", "taxi:clerk")
    assert other.get("/school").status == 404
    new = visitor(town.office, town.sites.town, "neu", "attendance:school:atarashi-sho")
    assert "所属する人がいません" in new.get("/school").text


# --- the board -----------------------------------------------------------------------------------


def crowd(schools: Schools) -> None:
    """Seven at the northern school, one of them late every day; one at the southern one."""
    for n in range(5, 8):
        schools.teacher(f"T-{n}")
    works(schools, "T-1", "21:30")
    for n in range(2, 8):
        works(schools, f"T-{n}", "17:00", range(1, 6))


def cells(page: Page, table: str) -> list[list[str]]:
    rows = page.locator(f"#{table} tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_what_may_be_published_hides_few_people_on_the_page_and_in_the_file(
    town: Gated, page: Page
) -> None:
    crowd(town.schools)
    sign_in(page, town.office, "hana")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/board?month=2026-06")
    north, south = cells(page, "published")
    assert north[2] == "7"
    assert north[3:7].count("秘匿") >= 2, "one of seven is alone in his class"
    assert south[2:] == ["秘匿"] * 7
    expect(page.locator("#h-groups")).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(1)
    shown = [row for name in ("published", "means", "hand", "groups") for row in cells(page, name)]
    file = town.visit("hana").get("/board/export?month=2026-06&format=csv").body
    lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig"))))
    assert [row for row in lines if row in shown] == shown
    assert ("attendance", "2026-06 8 members") in town.schools.audited("work.listed")
    book = town.visit("hana").get("/board/export?month=2026-06&format=xlsx").body
    assert book[:2] == b"PK"


def test_who_approves_sees_no_small_group(town: Gated) -> None:
    crowd(town.schools)
    assert "内部用" in town.visit("hana").get("/board?month=2026-06").text
    add_person(town.sites.town, "appo", "attendance:approver")
    text = town.visit("appo").get("/board?month=2026-06").text
    assert "公表用" in text
    assert "内部用" not in text
    hand = text[text.index("カードによらない打刻") :]
    assert SOUTH not in hand, "one person's rate is that person's"
    assert town.visit("appo").get(f"/school?school={NORTH}").status in (403, 404)


# --- for every eye and hand ----------------------------------------------------------------------

PAGES = (
    "/school",
    "/school/requests",
    "/school/month?month=2026-06",
    "/school/month",
    "/school/spares",
    "/school/gates",
    "/school/trips",
    "/school/day?member=1&day=2026-07-01",
    "/school/day?member=3&day=2026-07-03",
)


def test_a_schools_pages_are_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    asks(town.schools, "T-1", "カードを忘れた")
    works(town.schools, "T-1", "21:30")
    assert look_over(browser, town.office, "kyoto", PAGES) == {}


def test_the_boards_page_is_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    crowd(town.schools)
    assert look_over(browser, town.office, "hana", ("/board?month=2026-06", "/school")) == {}
