"""The pages of figures: what is shown is what is saved, what few stand behind stays hidden."""

import csv
import datetime
import html
import io
import itertools
import re
from collections.abc import Iterator

import openpyxl
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import schema
from programmes.texts import Language, say
from tests.browser import violations
from tests.fleet.report_kit import PASS, Use, add_member, add_place, add_rules, credential, write
from tests.web.conftest import Sites, csrf_of, open_sites, sign_in
from tests.web.town import NOW_MS, Town, empty_town
from tests.web.visitor import Visitor, visitor

MAY = f"/reports?programme={PASS}&year=2026&month=2026-05"
FILE = f"/reports/export?programme={PASS}&year=2026&month=2026-05"
ROWS = f"/reports/rows?programme={PASS}&year=2026&month=2026-05"
PAGES = (
    "/reports",
    MAY,
    f"/reports?programme={PASS}&year=2025",
    "/reports?programme=attendance",
    ROWS,
    f"{ROWS}&what=refused",
    f"{ROWS}&place=desk-1&numbers=yes",
    f"{ROWS}&place=nowhere",
)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Two buses and a desk with a year of rides of forty members; hana is a clerk."""
    town = empty_town(tmp_path_factory.mktemp("reports"))
    fill(town)
    with open_sites(town) as opened:
        yield opened


def fill(town: Town) -> None:
    fleet, people = town.fleet(), town.persons()
    with fleet.write() as connection:
        add_rules(connection)
        for name in ("bus-1", "bus-2", "bus-3", "desk-1"):
            add_place(connection, name)
        write(connection, rides())
        state = {"reader": "t/bus-2", "online": False, "status_at_ms": NOW_MS, "ready": True}
        state |= {"received_at_ms": NOW_MS - 86_400_000, "waiting": 41, "rosters": []}
        connection.execute(schema.reader_state.insert().values(state))
    with people.write() as connection:
        for number in range(40):
            add_member(connection, f"S-{number:03}", [f"p{number}"], "秘密の氏名")
    fleet.close()
    people.close()


def rides() -> Iterator[Use]:
    for year, month in ((2025, 4), (2025, 5), (2025, 6), (2026, 4), (2026, 5)):
        for number in range(40):
            day = datetime.date(year, month, 1 + number % 28)
            yield Use(day, ("bus-1", "bus-2", "bus-3")[number % 3], f"p{number}", 8 + number % 2)
    for number in range(3):
        yield Use(datetime.date(2026, 5, 20), "desk-1", f"p{number}")
        yield Use(datetime.date(2026, 5, 21), "bus-1", "", code="present-only")
    for number in range(6):
        yield Use(datetime.date(2026, 5, 22), "bus-1", f"p{number}", code="expired")


@pytest.fixture(scope="module")
def clerk(sites: Sites) -> Visitor:
    found = Visitor(sites.office)
    assert found.sign_in("hana").status == 303
    return found


@pytest.fixture(scope="module")
def auditor(sites: Sites) -> Visitor:
    return visitor(sites.office, sites.town, "kansa", f"{PASS}:auditor")


@pytest.fixture(scope="module")
def hana(sites: Sites, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    page = context.new_page()
    sign_in(page, sites.office, "hana")
    page.wait_for_url(f"{sites.office}/")
    yield page
    context.close()


def cells(text: str) -> set[str]:
    """All figures in the tables of a page, as they are written."""
    found = re.findall(r'<td class="number"[^>]*>(?:<a [^>]*>)?([^<]*)', text)
    return {one.strip() for one in found}


def noted(sites: Sites, what: str) -> list[str]:
    wanted = sa.select(schema.person_audit.c.detail).where(schema.person_audit.c.what == what)
    return [row.detail for row in sites.town.ask(wanted, persons=True)]


def tables_of(page: str) -> list[list[list[str]]]:
    """All tables and lists of figures of a page, in its order, as rows of what a person reads."""
    found = []
    for block in re.findall(r"<(?:table|dl)\b.*?</(?:table|dl)>", page, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>|<dt>(.*?)</dd>", block, re.DOTALL)
        found.append([read_row(row or pair) for row, pair in rows])
    return found


def read_row(row: str) -> list[str]:
    cells = re.split(r"</t[hd]>\s*(?=<t[hd])|</dt><dd>", row)
    beside = re.findall(r'<span class="sub">(.*?)</span>', row)
    cells = [re.sub(r'<span class="sub">.*?</span>', "", cell) for cell in cells] + beside
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in cells]


def blocks_of(rows: list[list[str]], notes: set[str]) -> list[list[list[str]]]:
    """The tables of a file, each without its title and the sentence below it."""
    blocks: list[list[list[str]]] = []
    for before, row in itertools.pairwise(rows):
        if not any(before):
            blocks.append([])  # this row is the title
        elif any(row) and row[0] not in notes:
            blocks[-1].append(row)
    return [block for block in blocks if block]


def as_shown(row: list[object]) -> list[str]:
    """A file's row as the page writes it, without the empty cells at its end."""
    texts = [f"{one:,}" if isinstance(one, int) else str(one or "") for one in row]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def read_csv(body: bytes, encoding: str) -> list[list[str]]:
    rows = csv.reader(io.StringIO(body.decode(encoding)))
    plain = [[re.sub("^'(?==)", "", cell) for cell in row] for row in rows]  # no formula
    return [as_shown([int(cell) if cell.isdigit() else cell for cell in row]) for row in plain]


def read_xlsx(body: bytes) -> list[list[str]]:
    sheet = openpyxl.load_workbook(io.BytesIO(body)).active
    assert sheet is not None
    return [as_shown(list(row)) for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    "query", [f"programme={PASS}&year=2026&month=2026-05", f"programme={PASS}&year=2026",
              "programme=attendance&year=2026"],
)  # fmt: skip
def test_what_is_saved_is_what_is_shown(
    budgeted: None, sites: Sites, query: str, language: Language
) -> None:
    clerk = visitor(sites.office, sites.town, "mei", f"{PASS}:clerk", "attendance:clerk")
    page = clerk.get(f"/reports?{query}&lang={language}").text
    notes = {say(f"web.report.{name}", language) for name in ("hides", "nothing-apart")}
    address = f"/reports/export?{query}&lang={language}"
    saved = read_csv(clerk.get(address).body, "utf-8-sig")
    shown = tables_of(page)
    assert len(shown) >= (8 if PASS in query else 2)
    assert blocks_of(saved[1:], notes) == [
        [[plain(cell) for cell in row] for row in table] for table in shown if table
    ]
    titles = [row[0] for before, row in itertools.pairwise(saved) if not before]
    heads = re.findall(r"<h2[^>]*>([^<]*)", page) + re.findall(r"<summary>([^<]*)", page)
    assert set(titles) <= {one.strip() for one in heads}
    assert read_xlsx(clerk.get(f"{address}&format=xlsx").body) == saved
    if language == "ja":
        sjis = read_csv(clerk.get(f"{address}&format=sjis").body, "cp932")
        assert sjis == [[cell.replace("〜", "～") for cell in row] for row in saved]


def plain(cell: str) -> str:
    """A sum of yen of the page, without its unit: the file has it as a number."""
    return re.sub(r"(?<=[0-9])(円| yen)$", "", cell)


@pytest.fixture(scope="module")
def budgeted(clerk: Visitor) -> None:
    """A budget in wide digits, with a comma, quotes and a formula in its reason."""
    typed = {"fiscal_year": "2026", "yen": "１０,０００円", "why": '=1+1, "補正"'}
    assert clerk.post(f"/reports/{PASS}/budget?year=2026", **typed).status == 303


def test_nothing_that_is_saved_tells_of_fewer_than_five(clerk: Visitor) -> None:
    rows = read_csv(clerk.get(FILE).body, "utf-8-sig")
    first = next(place for place, row in enumerate(rows) if row[:1] == ["場所ごと"])
    places = {row[0]: row[1:] for row in rows[first + 2 : first + 6]}
    assert {cell for cell in places["desk-1"] if cell} == {"5人未満"}
    withheld = [name for name, figures in places.items() if "秘匿" in figures]
    assert len(withheld) == 1
    assert {cell for cell in places[withheld[0]] if cell} == {"秘匿"}


def test_a_figure_opens_its_entries_without_saying_whose_they_are(
    sites: Sites, clerk: Visitor
) -> None:
    page = clerk.get(MAY).text
    link = re.search(r'href="(/reports/rows[^"]*what=without[^"]*)"', page)
    assert link is not None
    rows = clerk.get(link[1].replace("&amp;", "&")).text
    assert rows.count("提示のみ") == 3
    assert clerk.get(f"{ROWS}&what=card").text.count("<tbody>") == 1
    everything = clerk.get(ROWS).text
    for secret in ("S-001", "秘密の氏名", credential("p1")):
        assert secret not in everything
    assert noted(sites, "report.members-seen") == []


def test_a_clerk_may_ask_whose_they_are_and_that_is_on_record(sites: Sites, clerk: Visitor) -> None:
    page = clerk.get(f"{ROWS}&place=desk-1&numbers=yes").text
    assert all(number in page for number in ("S-000", "S-001", "S-002"))
    assert credential("p1") not in page
    assert noted(sites, "report.members-seen")[-1] == "S-000 S-001 S-002"


def test_an_auditor_reads_the_same_figures_and_of_entries_only_days(
    sites: Sites, auditor: Visitor, clerk: Visitor
) -> None:
    assert cells(auditor.get(MAY).text) == cells(clerk.get(MAY).text)
    seen = len(noted(sites, "report.members-seen"))
    rows = auditor.get(f"{ROWS}&numbers=yes").text
    assert "2026年5月28日" in rows
    for secret in ("S-00", "bus-1", "8:00", 'href="/members'):
        assert secret not in rows, secret
    assert len(noted(sites, "report.members-seen")) == seen


@pytest.mark.parametrize(
    "query",
    [
        "place=desk-1",
        "place=bus-3&hour=08",
        "place=bus-1&code=ok",
        "code=ok",
        "what=refused&place=bus-1",
        "what=refused&hour=10",
        "what=all&place=bus-1",
    ],
)
def test_counting_lines_does_not_tell_an_auditor_what_the_page_withholds(
    auditor: Visitor, query: str
) -> None:
    page = auditor.get(f"{ROWS}&{query}").text
    assert "表示しません" in page
    assert "<tbody>" not in page


@pytest.mark.parametrize(
    "query", ["what=refused", "what=without", "what=card&place=bus-1", "what=refused&code=expired"]
)
def test_a_figure_that_the_page_shows_opens_its_days_to_an_auditor(
    auditor: Visitor, query: str
) -> None:
    assert "<tbody>" in auditor.get(f"{ROWS}&{query}").text


def test_nobody_without_a_right_in_the_programme_sees_its_figures(sites: Sites) -> None:
    other = visitor(sites.office, sites.town, "school", "attendance:clerk")
    page = other.get(MAY).text
    assert "敬老バス" not in page
    assert other.post(f"/reports/{PASS}/budget", fiscal_year="2026", yen="1").status == 404
    admin = visitor(sites.office, sites.town, "kanri", "*:admin")
    for path in PAGES:
        assert admin.get(path).status == 403


def test_a_budget_is_kept_with_its_history_and_warns_when_the_forecast_passes_it(
    budgeted: None, sites: Sites, clerk: Visitor, auditor: Visitor
) -> None:
    page = clerk.get("/reports?year=2026").text
    assert "執行額が予算を2,900円超えました" in page
    assert "10,000" in page
    why = "記録の理由がない変更"
    refused = clerk.post(f"/reports/{PASS}/budget", fiscal_year="2026", yen="80000", why="")
    assert refused.status == 422
    assert "予算を変える理由" in refused.text
    assert 'value="80000"' in refused.text
    clerk.post(f"/reports/{PASS}/budget", fiscal_year="2026", yen="80000", why=why)
    page = clerk.get("/reports?year=2026").text
    assert "見込みは予算の範囲です" in page
    assert why in page
    for yen in ("1" * 14, "-5", "千円", "123456789018"):
        sent = clerk.post(f"/reports/{PASS}/budget", fiscal_year="2026", yen=yen, why="x")
        assert sent.status == 422, yen
    assert clerk.post(f"/reports/{PASS}/budget", fiscal_year="1999", yen="5", why="x").status == 422
    assert auditor.post(f"/reports/{PASS}/budget", fiscal_year="2026", yen="5", why="x").status in (
        403,
        404,
    )
    assert len(sites.town.ask(sa.select(schema.budget))) == 2


def test_a_members_year_is_printed_and_on_record(sites: Sites, clerk: Visitor) -> None:
    answer = clerk.get("/members/1/statement?year=2025")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.body.startswith(b"%PDF-")
    printed = sa.select(schema.person_audit.c.subject).where(
        schema.person_audit.c.what == "statement.printed"
    )
    assert [row.subject for row in sites.town.ask(printed, persons=True)] == [f"{PASS} S-000"]
    other = visitor(sites.office, sites.town, "school-2", "attendance:clerk")
    assert other.get("/members/1/statement").status == 404


def test_readers_with_unsent_entries_and_the_running_month_are_named(clerk: Visitor) -> None:
    page = clerk.get(f"/reports?programme={PASS}").text
    assert "まだ届いていない記録があるかもしれないリーダー: 1台" in page
    assert "未送信 41件" in page
    assert "途中" in page
    assert "月の途中の数字を含みます" in page


def test_a_period_that_is_none_is_the_present_year(clerk: Visitor) -> None:
    for query in ("year=1&month=x", "year=9999", "month=2027-01", "year=%C2%B2", "skip=-1&hour=99"):
        assert clerk.get(f"/reports?{query}").status == 200
        assert clerk.get(f"/reports/rows?{query}").status == 200


def test_charts_are_drawn_from_the_tables_and_axe_finds_nothing(sites: Sites, hana: Page) -> None:
    faults: list[str] = []
    hana.on("pageerror", lambda error: faults.append(str(error)))
    hana.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    for language, width, path in [
        (language, width, path) for language, width in (("ja", 1280), ("en", 390)) for path in PAGES
    ]:
        hana.set_viewport_size({"width": width, "height": 800})
        hana.goto(f"{sites.office}{path}{'&' if '?' in path else '?'}lang={language}")
        hana.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert violations(hana) == [], path
        wide = hana.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{path} is wider than {width} px"
    hana.goto(f"{sites.office}/reports?programme={PASS}&lang=ja")
    expect(hana.locator("canvas")).to_have_count(3)
    assert faults == []


def test_a_clerk_finds_a_month_and_its_entries_by_the_keyboard(sites: Sites, hana: Page) -> None:
    hana.goto(f"{sites.office}/reports?programme={PASS}&lang=ja")
    hana.focus("#month")
    hana.keyboard.press("ArrowDown")
    hana.keyboard.press("ArrowDown")
    hana.keyboard.press("Tab")
    hana.keyboard.press("Enter")
    hana.wait_for_url("**month=2026-05**")
    hana.locator(".count a").first.focus()
    hana.keyboard.press("Enter")
    expect(hana.locator("h1")).to_contain_text("もとになった記録")
    assert csrf_of(hana)
