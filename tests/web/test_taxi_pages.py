"""The city's pages of taxi rides: figures, what to look at twice, the published figures."""

import csv
import datetime
import io
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet.schema import budget, person_audit, retired_rides
from programmes import taxi
from tests.fleet.ridden_kit import Ridden, add_rides, add_taxis
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.look_over import look_over
from tests.web.town import empty_town
from tests.web.visitor import Visitor, visitor

DAY = datetime.date(2026, 5, 3)
PAGES = ("/taxi", "/taxi?year=2026&month=2026-05", "/taxi/anomalies?month=2026-05", "/taxi/score")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    town = empty_town(tmp_path_factory.mktemp("taxi"))
    fleet = town.fleet()
    with fleet.write() as connection:
        add_taxis(connection)
        riders = [Ridden(DAY, (f"c{number}",)) for number in range(6)]
        twice = Ridden(DAY, ("c1",), "taxi-2", "minami-taxi", datetime.time(12, 5))
        paper = Ridden(DAY, ("c7",), medium="paper")
        add_rides(connection, [*riders, twice, paper])
    fleet.close()
    with open_sites(town) as opened:
        yield opened


@pytest.fixture(scope="module")
def clerk(sites: Sites) -> Visitor:
    return visitor(sites.office, sites.town, "tomo", "taxi:clerk")


@pytest.fixture(scope="module")
def page(sites: Sites, browser: Browser, clerk: Visitor) -> Iterator[Page]:
    context = browser.new_context(locale="ja-JP")
    context.set_default_timeout(10_000)
    opened = context.new_page()
    sign_in(opened, sites.office, "tomo")
    yield opened
    context.close()


def test_these_pages_are_for_every_eye_and_hand(
    sites: Sites, browser: Browser, clerk: Visitor
) -> None:
    assert look_over(browser, sites.office, "tomo", PAGES) == {}


def test_the_figures_are_the_rides_and_open_what_they_are(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.office}/taxi?year=2026&month=2026-05")
    line = page.locator("#of-months tbody tr", has_text="5月")
    assert line.locator("td").all_inner_texts() == [
        "8", "8", "7", "7", "1", "0", "87.5%", "12,000", "6,000",
    ]  # fmt: skip
    expect(page.locator("#of-companies")).to_contain_text("minami-taxi")
    expect(page.get_by_text("21分")).to_be_visible()  # seven uses by card, 180 s each


def test_few_users_of_a_company_are_not_counted_out(clerk: Visitor) -> None:
    rows = table(clerk.get("/taxi/export?year=2026&month=2026-05").text)
    (minami,) = [row for row in rows if row and row[0] == "minami-taxi"]
    assert minami[3] == "5人未満"
    assert minami[-1] == "750"


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_file_says_what_the_page_says(sites: Sites, page: Page, clerk: Visitor) -> None:
    page.goto(f"{sites.office}/taxi?year=2026&month=2026-05")
    shown = page.locator("#of-months tbody tr", has_text="5月").locator("td").all_inner_texts()
    rows = table(clerk.get("/taxi/export?year=2026&month=2026-05").text)
    (may,) = [row[1:] for row in rows[2:] if row and row[0].endswith("5月")]
    assert may == [text.replace(",", "") for text in shown]


def test_who_looks_at_anomalies_is_written_down_and_no_card_is_shown(
    sites: Sites, clerk: Visitor
) -> None:
    shown = clerk.get("/taxi/anomalies?month=2026-05")
    assert "1枚のカードが2台に同時" in shown.text
    assert "c1" not in shown.text
    assert "0000000000" not in shown.text
    assert "この月に確認したい乗車はありません" in clerk.get("/taxi/anomalies?month=2026-04").text
    lines = sites.town.ask(sa.select(person_audit.c.what), persons=True)
    assert ("ride.anomalies-seen",) not in {tuple(line) for line in lines}  # nobody was named


def test_a_budget_is_set_by_keyboard_and_burns(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.office}/taxi?year=2026")
    page.locator("#yen").focus()
    page.keyboard.type("20,000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("予算")
    assert [row.yen for row in sites.town.ask(sa.select(budget))] == [20_000]
    expect(page.locator("#h-budget ~ dl")).to_contain_text("6,000円")


def test_the_published_figures_stand_beside_ours_and_estimates_are_marked(
    sites: Sites, page: Page
) -> None:
    page.goto(f"{sites.office}/taxi/score")
    saved = page.locator("#scores tr", has_text="減った作業時間")
    expect(saved).to_contain_text("75,000分")
    expect(saved).to_contain_text("21分")
    expect(saved).to_contain_text("推計")
    expect(page.locator("#scores tr", has_text="登録者").first).to_contain_text("26,880人")
    expect(page.locator("#scores tr", has_text="「便利」").first).to_contain_text("分かりません")


def test_the_general_report_leads_here_and_others_do_not_come_in(sites: Sites) -> None:
    clerk = visitor(sites.office, sites.town, "both", "taxi:clerk", "senior-pass:clerk")
    assert clerk.get(f"/reports?programme={taxi.NAME}").location == "/taxi?programme=taxi"
    assert clerk.get("/reports?programme=senior-pass").status == 200
    other = visitor(sites.office, sites.town, "bus", "senior-pass:clerk")
    assert other.get("/taxi").status == 404
    company = visitor(sites.office, sites.town, "hoku", "taxi:company:hokuto-taxi")
    assert company.get("/taxi").status in (403, 404)


def test_a_year_whose_rides_have_gone_says_that_it_is_not_whole(
    sites: Sites, clerk: Visitor
) -> None:
    told = "保存期間を過ぎた"
    assert told not in clerk.get("/taxi?year=2026").text
    row = {"month": "2026-04", "rides": 5, "at_ms": 1, "who": "test", "line": b""}
    sites.town.change(retired_rides.insert().values(row))
    assert told in clerk.get("/taxi?year=2026").text
    assert told in clerk.get("/taxi/export?year=2026").text
