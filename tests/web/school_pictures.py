"""Pictures of a school's gate and of the pages of its people, for the documents.

The gate is a whole reader with cards over a simulated antenna; the office has a June of its own.
"""

import datetime
import random
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, expect, sync_playwright

from fleet import schema, work_accounts
from fleet.work_acts import Act
from fleet.work_entries import NewEntry, declare
from hw.sim.antenna import Antenna
from programmes.calendar import is_school_day, local_day, start_of_day_ms
from tests.browser import chromium
from tests.edge.gate_kit import TEACHERS, Gate, SchoolClock, make_whole_gate
from tests.edge.reader_kit import lift, running
from tests.edge.taxi_kit import driving
from tests.edge.test_gate_trial import listens
from tests.fleet.work_kit import NORTH, RULES, Schools, at, open_schools
from tests.web.conftest import Sites, open_sites
from tests.web.screenshots import WINDOW, keep, open_page, sign_in_as
from tests.web.test_school_pages import heard
from tests.web.town import PASSWORD, empty_town
from tests.web.visitor import add_person
from wire.clock import SystemClock

NOW_MS: Final = at(3, "09:12", month=7)
NAMES: Final = (
    "青木 一郎", "石川 恵子", "上田 正", "遠藤 美咲", "小川 健", "加藤 由美", "佐藤 真理",
    "鈴木 大輔", "高橋 直子", "田中 浩", "中村 さくら", "渡辺 学",
)  # fmt: skip
STAFF: Final = [f"T-{number}" for number in range(1, len(NAMES) + 1)]
MINUTE_MS: Final = 60_000


def june(schools: Schools) -> None:
    """Let twelve teachers have a June and the morning of 3 July; some forget, some stay late."""
    drawn = random.Random(4)
    gate = schools.gates["north-front"]
    taps: list[tuple[int, str, str]] = []
    for place, number in enumerate(STAFF):
        schools.teacher(number)
        _call(schools, number, NAMES[place])
        for day in range(1, 31):
            if is_school_day(datetime.date(2026, 6, day)):
                came = at(day, "07:30") + drawn.randrange(25) * MINUTE_MS
                left = at(day, "16:50") + (drawn.randrange(60) + 22 * place) * MINUTE_MS
                taps.append((came, number, "in"))
                if drawn.random() < 0.97:
                    taps.append((left, number, "out"))
        if place < 10:
            taps.append((at(3, "06:58", month=7) + place * 6 * MINUTE_MS, number, "in"))
    taps.append((at(3, "08:50", month=7), "T-2", "away"))
    taps.append((at(3, "09:05", month=7), "T-4", "out"))
    for at_ms, number, declared in sorted(taps):
        gate.tap(number, at_ms, declared)
    gate.send()
    for one in (gate, schools.gates["north-back"]):
        heard(schools, one.reader, NOW_MS - MINUTE_MS, 0)
    school = {"name": NORTH, "label_ja": "きた小学校", "label_en": "Kita school"}
    with schools.fleet.write() as connection:
        connection.execute(schema.organisation.insert().values(school))
    with schools.office.write() as people:
        mine = schools.act(schools.members["T-7"], "")
        for entry in (
            NewEntry("off-site", at(10, "13:00"), at(10, "17:30"), "初任者研修"),
            NewEntry("home", at(21, "20:00"), at(21, "21:30"), "教材の準備"),
        ):
            declare(people, mine, entry, RULES)


def _call(schools: Schools, number: str, name: str) -> None:
    named = schema.person.update().where(schema.person.c.name == f"教員 {number}")
    with schools.people.write() as connection:
        connection.execute(named.values(name=name))


def office(browser: Browser, folder: Path) -> None:
    """The teacher's month, and the school as its vice-principal finds it."""
    town = empty_town(folder)
    town.clock.at_ms = NOW_MS
    with open_schools(town.config.databases) as schools:
        schools.now_ms = NOW_MS
        june(schools)
        add_person(town, "kyoto", f"attendance:school:{NORTH}")
        add_person(town, "sato")
        with schools.office.write() as people:
            act = Act(schools.members["T-7"], "hana", NOW_MS)
            work_accounts.bind(people, act, "sato")
        with open_sites(town) as sites:
            _take(browser, sites, "sato", "school-own", "/own?month=2026-06")
            _take(browser, sites, "kyoto", "school-now", "/school")
            _take(browser, sites, "kyoto", "school-month", "/school/month?month=2026-06")


def _take(browser: Browser, sites: Sites, who: str, name: str, path: str) -> None:
    page = open_page(browser, WINDOW)
    sign_in_as(page, sites.office, who, PASSWORD)
    page.goto(sites.office + path)
    page.locator("main h1").wait_for()
    keep(page, name)
    page.close()


def gate(browser: Browser, folder: Path) -> None:
    """A teacher who forgot to leave yesterday: greeted, and asked."""
    with Antenna() as antenna:
        made = make_whole_gate(folder, antenna)
        day = local_day(SystemClock().now_ms(), 4) - datetime.timedelta(days=1)
        with running(made.kit, SchoolClock(start_of_day_ms(day, 12))) as link:
            Gate(link, antenna).hold(TEACHERS[0])
        with driving(made):
            page = open_page(browser, WINDOW)
            while not listens(made.kit.config.page_port):
                time.sleep(0.1)
            page.goto(made.url)
            page.locator("#to-in").wait_for()
            antenna.place(TEACHERS[0])
            expect(page.locator(".question")).to_be_visible()
            keep(page, "school-gate")
            lift(antenna)


def main() -> None:
    """Take the pictures."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(**chromium())
        office(browser, Path(folder) / "office")
        gate(browser, Path(folder) / "gate")
        browser.close()


if __name__ == "__main__":
    main()
