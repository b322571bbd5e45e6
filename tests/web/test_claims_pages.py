"""A company claims; the city looks at it line by line, approves, returns and pays."""

import csv
import datetime
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import accounts, claim_file, claim_lines, claims, second_factor, store
from fleet.accounts import AccountRole
from fleet.claim_seal import ClaimSigner
from fleet.claims import Asked, State
from fleet.grants import Role
from fleet.paper import to_html
from fleet.rights import OfficeRole, Right
from fleet.schema import audit, claim
from fleet.sealing import Sealer
from fleet.second_person import WAIT_MS
from fleet.web import claim_page
from fleet.web.report_words import Words
from fleet.web.session import session_key
from programmes.calendar import start_of_day_ms
from tests.fleet.claim_kit import KEY, SIGNER, TAXI, TENANT, settle_ride
from tests.fleet.company_kit import ASAHI, MINATO, NOW_MS, add_companies
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.keystrokes import Clerk
from tests.web.look_over import look_over
from tests.web.town import PASSWORD, Town, empty_town, town_in
from tests.web.visitor import Visitor, add_person, visitor

MAY = datetime.date(2026, 5, 31)
SECRETS: dict[str, str] = {}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two companies' May; mika works for one, riku for the other, hana and sora for the city."""
    folder = tmp_path_factory.mktemp("claims")
    town = empty_town(folder)
    opened = town.fleet()
    with opened.write() as connection:
        _fill(connection, town)
    opened.close()
    add_person(town, "mika", f"{TAXI}:company:{ASAHI}")
    add_person(town, "riku", f"{TAXI}:company:{MINATO}")
    return folder


@pytest.fixture
def sites(filled: Path, tmp_path: Path) -> Iterator[Sites]:
    """The town of `filled`, a copy for each test."""
    shutil.copytree(filled, tmp_path / "state")
    town = town_in(tmp_path / "state")
    town.clock.at_ms = NOW_MS
    with open_sites(town) as sites:
        yield sites


def _fill(connection: sa.Connection, town: Town) -> None:
    add_companies(connection)
    for n, (day, fare_yen) in enumerate(((4, 1_500), (5, 800), (20, 4_000), (29, 2_340)), 2):
        at_ms = start_of_day_ms(datetime.date(2026, 5, day), 9)
        wrong: dict[str, object] = {}
        if day == 29:
            wrong = {"subsidy_yen": 400, "riders_pay_yen": 1_940}
        settle_ride(connection, n, at_ms, fare_yen, changes=wrong)
    april_ms = start_of_day_ms(datetime.date(2026, 4, 30), 9)
    settle_ride(connection, 6, april_ms, 600)
    settle_ride(connection, 2, april_ms, 42_424, "taxi-9", MINATO)
    since_ms = NOW_MS - WAIT_MS
    may = [Right(TAXI, OfficeRole.APPROVER)]
    accounts.add(connection, "sora", AccountRole.CLERK, PASSWORD, "test", since_ms, may)
    sealer = Sealer(session_key(town.config.state_folder / "office-secrets.key"))
    secret = second_factor.begin_totp(connection, sealer, "sora", since_ms)
    code = pyotp.TOTP(secret).at((NOW_MS - WAIT_MS) // 1000)
    second_factor.confirm_totp(connection, sealer, "sora", "x", code, since_ms)
    SECRETS["sora"] = secret


def make(sites: Sites, organisation: str = ASAHI, *, signed: bool = True) -> int:
    """A claim of May, as the office and dispatch leave it."""
    opened = sites.town.fleet()
    with opened.write() as connection:
        asked = Asked(TAXI, organisation, MAY)
        number = claims.make(connection, asked, None, "mika", NOW_MS)
    opened.close()
    if signed:
        sign(sites)
    return number


def sign(sites: Sites) -> None:
    opened = store.open_fleet(sites.town.config.databases, Role.DISPATCH)
    ClaimSigner(opened, TENANT, SIGNER).sign_waiting(NOW_MS)
    opened.close()


def state_of(sites: Sites, number: int) -> str:
    ((state,),) = sites.town.ask(sa.select(claim.c.state).where(claim.c.id == number))
    return str(state)


@pytest.fixture
def mika(sites: Sites, page: Page) -> Page:
    sign_in(page, sites.office, "mika")
    page.wait_for_url(f"{sites.office}/")
    return page


@pytest.fixture
def sora(sites: Sites, browser: Browser) -> Iterator[Page]:
    """The approver's browser, with the second factor shown."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    context.set_default_timeout(10_000)
    page = context.new_page()
    sign_in(page, sites.office, "sora")
    page.fill("#second_code", pyotp.TOTP(SECRETS["sora"]).at(sites.town.clock.at_ms // 1000))
    page.locator("main button.main").click()
    page.wait_for_url(f"{sites.office}/**")
    yield page
    context.close()


# --- the company ---------------------------------------------------------------------------------


def test_a_claim_is_made_by_the_keyboard_after_it_was_looked_through(
    sites: Sites, mika: Page
) -> None:
    clerk = Clerk(mika, f"{sites.office}/claims")
    clerk.open(mika.get_by_role("button", name="内容を確かめる"))
    expect(mika.locator("#preview")).to_contain_text("補助額の合計は2,850円、5行です")
    expect(mika.locator("#preview")).to_contain_text("1行（300円）は、前の月まで")
    clerk.open(mika.get_by_role("button", name="この内容で請求する"))
    expect(mika.locator(".notice").first).to_contain_text("請求しました")
    expect(mika.locator("main")).to_contain_text("署名を待っています")
    ((lines, yen, by),) = sites.town.ask(
        sa.select(claim.c.lines, claim.c.subsidy_yen, claim.c.made_by)
    )
    assert (lines, yen, by) == (5, 2_850, "mika")
    sign(sites)
    mika.reload()
    expect(mika.locator("main")).to_contain_text("市の署名あり")
    assert clerk.counted.screens == 3


def test_the_file_and_the_paper_say_what_the_page_says(sites: Sites, mika: Page) -> None:
    number = make(sites)
    mika.goto(f"{sites.office}/claims/{number}")
    expect(mika.locator("main")).to_contain_text("2,850円")
    who = Visitor(sites.office)
    who.sign_in("mika")
    file = who.get(f"/claims/{number}/file")
    assert claim_file.check(file.body, KEY.public_key()).subsidy_yen == 2_850
    sjis = who.get(f"/claims/{number}/file?format=sjis")
    assert claim_file.check(sjis.body, KEY.public_key()).claim == number
    rows = list(csv.reader(io.StringIO(file.body.decode("utf-8-sig"))))
    assert (len(rows), rows[-2][claim_file.COLUMNS.index("subsidy")]) == (1 + 5 + 2, "2850")
    weeks = mika.locator("section[aria-labelledby=h-week] tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in weeks] == [
        "2026年4月（遅れて届いた分と取消）", "5/4〜5/10", "5/18〜5/24", "5/25〜5/31", "合計",
    ]  # fmt: skip
    assert [row.split("\t")[5] for row in weeks] == ["300", "1,150", "1,000", "400", "2,850"]
    paper = who.get(f"/claims/{number}/paper")
    assert (paper.status, paper.body[:5]) == (200, b"%PDF-")
    assert paper.headers["Content-Type"] == "application/pdf"
    told = on_paper_of(sites, number)
    cells = re.findall(r'<td class="number">([-\d,]+)</td>', told)
    assert cells[-5:] == ["5", "9,240", "0", "2,850", "6,390"]
    assert re.findall(r'<p class="large">(.+?)</p>', told) == ["2,850円"]
    assert rows[-2][claim_file.COLUMNS.index("fare")] == "9240"


def on_paper_of(sites: Sites, number: int) -> str:
    """Return the paper as it is before it is made a PDF."""
    opened = sites.town.fleet()
    with opened.read() as connection:
        one = claims.load(connection, number)
        lines = claim_lines.of_claim(connection, number)
    opened.close()
    assert one is not None
    return to_html("claim_paper.html", "ja", **claim_page.on_paper(one, lines, Words("ja", {})))


def test_before_it_is_signed_there_is_no_file(sites: Sites) -> None:
    number = make(sites, signed=False)
    who = Visitor(sites.office)
    who.sign_in("mika")
    assert who.get(f"/claims/{number}/file").location == f"/claims/{number}"
    assert "まだ署名がありません" in who.get(f"/claims/{number}").text


def test_what_changed_meanwhile_is_not_claimed_unseen(sites: Sites, mika: Page) -> None:
    mika.goto(f"{sites.office}/claims?until=2026-05-31")
    opened = sites.town.fleet()
    with opened.write() as connection:
        settle_ride(connection, 7, start_of_day_ms(datetime.date(2026, 5, 30), 9), 1_000)
    opened.close()
    mika.get_by_role("button", name="この内容で請求する").click()
    expect(mika.locator("main")).to_contain_text("もう一度内容を確かめてください")
    assert sites.town.ask(sa.select(claim.c.id)) == []


def test_a_month_that_is_not_over_is_claimed_through_a_day(sites: Sites, mika: Page) -> None:
    mika.goto(f"{sites.office}/claims?until=2026-05-31&part=2026-06-03")
    expect(mika.locator("main")).to_contain_text("この日はまだ終わっていません")
    mika.goto(f"{sites.office}/claims?until=2026-05-31&part=2026-06-02")
    expect(mika.locator("#preview")).to_contain_text("2026年6月（2日まで）")
    mika.get_by_role("button", name="この内容で請求する").click()
    expect(mika.locator("h1")).to_contain_text("2026年6月（2日まで）")


def test_an_empty_claim_says_so(sites: Sites, mika: Page) -> None:
    make(sites)
    mika.goto(f"{sites.office}/claims?until=2026-05-31")
    expect(mika.locator("main")).to_contain_text("この月はもう請求されています（mika）")
    mika.goto(f"{sites.office}/claims?until=2026-04-30")
    expect(mika.locator("#preview")).to_contain_text("この請求に入る乗車はありません（0行、0円）")
    mika.get_by_role("button", name="この内容で請求する").click()
    expect(mika.locator("main")).to_contain_text("0行、0円")


# --- the city ------------------------------------------------------------------------------------


def test_the_city_sees_what_does_not_match_and_approves(sites: Sites, sora: Page) -> None:
    number = make(sites)
    clerk = Clerk(sora, f"{sites.office}/claims")
    clerk.open(sora.get_by_role("link", name="2026年5月"))
    rows = sora.locator("section[aria-labelledby=h-lines] tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("読取機の記録と違います")
    expect(rows).to_contain_text("決まりで計算すると、別の額になります")
    clerk.open(sora.get_by_role("link", name="すべての行を出す"))
    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("一致")
    clerk.open(sora.get_by_role("button", name="承認する"))
    expect(sora.locator(".notice").first).to_contain_text("承認しました")
    assert state_of(sites, number) == State.APPROVED


def test_what_is_exported_is_what_is_shown(sites: Sites) -> None:
    number = make(sites)
    hana = Visitor(sites.office)
    hana.sign_in("hana")
    for query, lines in (("", 1), ("?show=all", 5)):
        body = hana.get(f"/claims/{number}/lines{query}").body.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(body)))
        assert (len(rows) - 1, rows[0][-1]) == (lines, "照合")
    listed = hana.get("/claims/export").body.decode("utf-8-sig")
    assert [row[5:7] for row in csv.reader(io.StringIO(listed))][1:] == [["5", "2850"]]
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    body = mika.get(f"/claims/{number}/lines").body.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(body)))
    assert (len(rows) - 1, rows[0][-1]) == (5, "台帳の補助額")


def test_it_is_returned_with_a_reason_which_the_company_reads(
    sites: Sites, sora: Page, mika: Page
) -> None:
    number = make(sites)
    sora.goto(f"{sites.office}/claims/{number}")
    sora.get_by_role("button", name="差し戻す").click()
    assert state_of(sites, number) == State.MADE
    sora.fill("#why", "5月29日の補助額が違います")
    sora.get_by_role("button", name="差し戻す").click()
    expect(sora.locator(".notice").first).to_contain_text("差し戻しました")
    mika.goto(f"{sites.office}/claims?until=2026-05-31")
    expect(mika.locator("main")).to_contain_text("5月29日の補助額が違います")
    expect(mika.locator("#preview")).to_contain_text("2,850円、5行")


def test_a_clerk_writes_down_the_payment_and_neither_approves_nor_returns(sites: Sites) -> None:
    number = make(sites)
    hana = visitor(sites.office, sites.town, "kei", f"{TAXI}:clerk")
    for step in ("approve", "return"):
        assert hana.post(f"/claims/{number}/{step}", why="x").status == 404
    assert hana.post(f"/claims/{number}/paid", paid_on="2026-06-03").status == 409
    sites.town.change(claim.update().values(state="approved"))
    assert hana.post(f"/claims/{number}/paid", paid_on="2026-06-04").status == 409
    assert hana.post(f"/claims/{number}/paid", paid_on="2026-06-03").status == 303
    assert state_of(sites, number) == State.PAID
    said = sites.town.ask(sa.select(audit.c.what).where(audit.c.what.startswith("claim.")))
    assert said == [("claim.made",), ("claim.signed",), ("claim.paid",)]


def test_nothing_is_approved_without_a_second_factor_shown_of_late(
    sites: Sites, sora: Page
) -> None:
    number = make(sites)
    sora.goto(f"{sites.office}/claims/{number}")
    sites.town.clock.at_ms += second_factor.FRESH_MS + 1
    sora.get_by_role("button", name="承認する").click()
    expect(sora.locator("#second_code")).to_be_visible()
    assert state_of(sites, number) == State.MADE


# --- who reaches what ----------------------------------------------------------------------------


def test_a_company_reaches_no_claim_of_another(sites: Sites) -> None:
    number = make(sites, MINATO)
    mika, riku = Visitor(sites.office), Visitor(sites.office)
    mika.sign_in("mika")
    riku.sign_in("riku")
    for path in ("", "/file", "/paper", "/lines"):
        assert riku.get(f"/claims/{number}{path}").status == 200, path
        assert mika.get(f"/claims/{number}{path}").status == 404, path
    assert MINATO not in mika.get("/claims").text
    assert MINATO not in mika.get("/claims/export").body.decode("utf-8-sig")
    assert mika.get(f"/claims?company={MINATO}").status == 404
    before = sites.town.ask(sa.select(claim))
    of_theirs = {"programme": TAXI, "company": MINATO, "until": "2026-04-30"}
    assert mika.post("/claims/make", **of_theirs, lines="0", yen="0").status == 404
    for step in ("approve", "return", "paid"):
        assert mika.post(f"/claims/{number}/{step}", why="x").status == 404
    assert sites.town.ask(sa.select(claim)) == before


def test_no_card_and_no_name_stands_in_anything_that_is_handed_out(sites: Sites) -> None:
    number = make(sites)
    hana = Visitor(sites.office)
    hana.sign_in("hana")
    for path in ("", "?show=all", "/file", "/lines?show=all"):
        told = hana.get(f"/claims/{number}{path}").body.decode("utf-8", "replace")
        hexes = set(re.findall(r"\b[0-9a-f]{32}\b", told))
        journals = {row[0] for row in sites.town.ask(sa.text("select journal from journal"))}
        assert hexes <= journals, path


def test_the_pages_of_claims_are_for_every_eye_and_hand(sites: Sites, browser: Browser) -> None:
    number = make(sites)
    own = f"/claims/{number}"
    for who in ("mika", "hana"):
        paths = ("/claims", "/claims?until=2026-04-30", own, f"{own}?show=all")
        assert look_over(browser, sites.office, who, paths) == {}
