"""A school's office: who is in, requests, the month; nothing of another school. And the board's."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet import schema, work_corrections
from fleet.work_terms import NewTerm
from fleet.work_wishes import AddMark, Wish
from tests.fleet.work_kit import NORTH, RULES, SOUTH, Schools, at, open_schools
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.look_over import look_over
from tests.web.town import empty_town
from tests.web.visitor import Visitor, add_person

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
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    """Kyoto looks after the northern school, sato after the southern one, hana after all."""
    made = empty_town(tmp_path_factory.mktemp("schools"))
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
    gate = town.schools.gates["north-back"]
    gate.tap("T-4", NOW_MS, "in")
    gate.send()
    mine = schema.journal.c.reader == gate.reader
    town.sites.town.change(schema.journal.update().where(mine).values(seen=2, through=2))
    expect(board.locator("h2")).to_contain_text("在校 2人")
    expect(board).not_to_contain_text("打刻なし")
    looks = town.schools.audited("work.listed")
    assert ("attendance", f"{NORTH} 4 members") in looks


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


# --- for every eye and hand ----------------------------------------------------------------------

PAGES = ("/school",)


def test_a_schools_pages_are_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    assert look_over(browser, town.office, "kyoto", PAGES) == {}
