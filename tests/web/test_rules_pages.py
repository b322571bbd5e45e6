"""The pages on rules: seen in words, written anew, looked through, approved by a second person."""

import csv
import datetime
import re
from typing import Any

import msgspec
import pyotp
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import accounts, rights, rules, schema, second_factor
from fleet.accounts import AccountRole
from fleet.rights import OfficeRole, Right
from fleet.sealing import Sealer
from fleet.second_factor import FRESH_MS
from fleet.web.session import session_key
from programmes.register import RULEBOOKS
from programmes.texts import LANGUAGES, catalogue
from tests.browser import violations
from tests.web.conftest import Sites, csrf_of, sign_in
from tests.web.town import NOW_MS, PASSWORD, TENANT
from wire.codes import Code, Outcome
from wire.entries import Tap
from wire.roster import RuleTable

PASS = "senior-pass"
NUMBER = "123456789018"
DAY_MS = 86_400_000
THIS_YEAR = RuleTable(
    "senior-pass/2026-04",
    datetime.date(2026, 4, 1),
    {"rider_pays_yen": 50, "city_pays_yen": 110, "from_time": "07:00:00", "rides_per_year": 730},
)
Form = dict[str, str | float | bool]


@pytest.fixture
def ruled(sites: Sites) -> Sites:
    """The town with a table for the bus, six riders' May, and sora, who approves."""
    opened = sites.town.fleet()
    sealer = Sealer(session_key(sites.town.config.state_folder / "office-secrets.key"))
    with opened.write() as connection:
        rules.add(connection, PASS, THIS_YEAR, "root", NOW_MS - 60 * DAY_MS)
        accounts.add(connection, "sora", AccountRole.CLERK, PASSWORD, "test", NOW_MS - DAY_MS)
        approver = [Right(PASS, OfficeRole.APPROVER)]
        rights.give(connection, "sora", approver, "test", NOW_MS - DAY_MS)
        secret = second_factor.begin_totp(connection, sealer, "sora", NOW_MS)
        code = pyotp.TOTP(secret).at((NOW_MS - DAY_MS) // 1000)
        second_factor.confirm_totp(connection, sealer, "sora", "x", code, NOW_MS - DAY_MS)
        may(connection)
    opened.close()
    SECRETS["sora"] = secret
    return sites


SECRETS: dict[str, str] = {}


def may(connection: sa.Connection) -> None:
    bus = sa.select(schema.journal.c.id).where(schema.journal.c.reader == f"{TENANT}/bus-1")
    journal_id = connection.execute(bus).scalar_one()
    for n in range(1, 19):
        at_ms = NOW_MS - 20 * DAY_MS + n * 3_600_000 % DAY_MS
        tap = Tap(
            v=1,
            n=n,
            at_ms=at_ms,
            mono_ms=n,
            clock="synchronised",  # type: ignore[arg-type]
            programme=PASS,
            outcome=Outcome.ACCEPTED,
            code=Code.OK,
            shown="senior-pass.accepted",
            credential=f"{n % 6:032x}",
            rider_pays_yen=50,
            rule=THIS_YEAR.version,
        )
        row: dict[str, Any] = {
            "journal_id": journal_id,
            "n": n,
            "hash": bytes(32),
            "body": msgspec.json.encode(tap),
            "received_at_ms": at_ms,
            "kind": "tap",
            "at_ms": at_ms,
            "clock": "synchronised",
            "programme": PASS,
            "outcome": "accepted",
            "code": "ok",
            "credential": tap.credential,
        }
        connection.execute(schema.entry.insert().values(row))


def approver(sites: Sites, browser: Browser) -> Page:
    """Sora's browser, signed in with the second factor."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    context.set_default_timeout(10_000)
    page = context.new_page()
    sign_in(page, sites.office, "sora")
    code = pyotp.TOTP(SECRETS["sora"]).at(sites.town.clock.at_ms // 1000)
    page.fill("#second_code", code)
    page.locator("main button.main").click()
    page.wait_for_url(f"{sites.office}/**")
    return page


def write_table(page: Page, sites: Sites, **fields: str) -> None:
    """Fill the form and look through."""
    page.goto(f"{sites.office}/rules/{PASS}/new")
    for name, value in ({"why": "運賃の改定"} | fields).items():
        page.fill(f"#{name}", value)
    page.get_by_role("button", name="確かめる").click()


def propose(page: Page, sites: Sites, **fields: str) -> str:
    """Write a table, look through, ask for approval; return its address."""
    write_table(page, sites, **fields)
    page.get_by_role("button", name="承認を求める").click()
    expect(page.locator(".notice").first).to_contain_text("承認を求めました")
    return page.url


def noted(sites: Sites) -> list[tuple[str, str]]:
    lines = sa.select(schema.audit.c.who, schema.audit.c.what).where(
        schema.audit.c.what.like("rules.%")
    )
    return [tuple(row) for row in sites.town.ask(lines.order_by(schema.audit.c.id))]


def test_the_table_of_today_is_read_in_words_with_units(ruled: Sites, office: Page) -> None:
    office.goto(f"{ruled.office}/rules?programme={PASS}")
    facts = office.locator(".facts.large")
    for said in ("1回に50円", "1年度に730回まで", "7:00から", "どの区分も、すべての系統に乗れる"):
        expect(facts).to_contain_text(said)
    expect(office.locator("#h-now + p")).to_contain_text("令和8年4月1日")
    expect(office.locator("tbody")).to_contain_text("承認なし（管理者がコマンドで追加）")
    office.goto(f"{ruled.office}/rules?programme=attendance")
    expect(office.locator(".empty")).to_contain_text("今日使う表がありません")


def test_a_table_is_written_looked_through_proposed_and_approved_by_another(
    ruled: Sites, office: Page, browser: Browser
) -> None:
    office.goto(f"{ruled.office}/rules/{PASS}/new")
    expect(office.locator("#valid_from")).to_have_value("2027-04-01")
    expect(office.locator("#version")).to_have_value("senior-pass/2027-04")
    write_table(office, ruled, rider_pays_yen="１００円", rides_per_year="70", from_time="8時")
    changed = office.locator("#h-table + .table")
    expect(changed.locator("tr", has_text="本人が払う額")).to_contain_text("1回に100円")
    expect(changed.locator("tr", has_text="本人が払う額")).to_contain_text("変わる")
    expect(changed.locator("tr", has_text="市が払う額")).to_contain_text("変わらない")
    told = office.locator("#h-examples ~ .table").first
    row = told.locator("tr", has_text="今年度の71回目に乗る")
    expect(row).to_contain_text("受け付ける（本人が払う額 50円）")
    expect(row).to_contain_text("断る（回数を使い切り）")
    replayed = office.locator("#replayed")
    expect(replayed.locator("tr", has_text="本人が払った額")).to_contain_text("900円")
    expect(replayed.locator("tr", has_text="市が払った額")).to_contain_text("1,980円")
    expect(replayed).to_contain_text("6人のうち6人")
    office.get_by_role("button", name="承認を求める").click()
    expect(office.locator("body")).to_contain_text("作った人は承認できません")
    page = approver(ruled, browser)
    page.goto(f"{ruled.office}/rules?programme={PASS}")
    page.get_by_role("link", name="senior-pass/2027-04").first.click()
    expect(page.locator("#replayed tr", has_text="本人が払った額")).to_contain_text("900円")
    page.get_by_role("button", name="承認する").click()
    expect(page.locator(".notice").first).to_contain_text("承認しました")
    page.context.close()
    stands = ruled.town.ask(sa.select(schema.rule).order_by(schema.rule.c.valid_from.desc()))[0]
    assert (stands.version, stands.added_by, stands.approved_by, stands.why) == (
        "senior-pass/2027-04",
        "hana",
        "sora",
        "運賃の改定",
    )
    assert stands.parameters["from_time"] == "08:00:00"
    assert noted(ruled)[1:] == [
        ("hana", "rules.proposed"),
        ("hana", "rules.added"),
        ("sora", "rules.approved"),
    ]
    office.goto(f"{ruled.office}/rules?programme={PASS}")
    expect(office.locator("tbody")).to_contain_text("本人が払う額: 1回に50円 → 1回に100円")


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    ruled: Sites, office: Page
) -> None:
    wrong = {
        "valid_from": "2026-06-03",
        "rider_pays_yen": "9999",
        "from_time": "25:00",
        "lines_of_category": "town 1, 2",
        "version": "敬老",
        "why": NUMBER,
    }
    write_table(office, ruled, **wrong)
    for name in ("rider_pays_yen", "from_time", "lines_of_category", "version", "why"):
        expect(office.locator(f"#{name}-error")).to_be_visible()
        if name != "why":
            expect(office.locator(f"#{name}")).to_have_value(wrong[name])
    expect(office.locator("#rider_pays_yen-error")).to_contain_text("0円から2,000円まで")
    assert NUMBER not in office.content()
    write_table(office, ruled, rider_pays_yen="100", from_time="20:00", to_time="8:00")
    expect(office.locator("#to_time-error")).to_contain_text("夜中をまたぐ")
    for day, said in (("2026-06-03", "明日から先"), ("令和99年4月1日", "5年より先")):
        write_table(office, ruled, rider_pays_yen="100", valid_from=day)
        expect(office.locator("#valid_from-error")).to_contain_text(said)
    write_table(office, ruled, valid_from="R9.4.1")
    expect(office.locator(".error-summary")).to_contain_text("同じ内容")
    assert ruled.town.ask(schema.rule_proposal.select()) == []


def test_a_draft_is_its_authors_alone_and_is_changed_or_dropped(
    ruled: Sites, office: Page, browser: Browser
) -> None:
    write_table(office, ruled, rider_pays_yen="100")
    first = office.url
    page = approver(ruled, browser)
    answer = page.goto(first)
    assert answer is not None
    assert answer.status == 404
    page.context.close()
    office.get_by_role("link", name="直す").click()
    expect(office.locator("#rider_pays_yen")).to_have_value("100")
    expect(office.locator("#why")).to_have_value("運賃の改定")
    office.fill("#rider_pays_yen", "120")
    office.get_by_role("button", name="確かめる").click()
    expect(office.locator("#h-table + .table")).to_contain_text("1回に120円")
    office.get_by_role("button", name="この下書きをやめる").click()
    expect(office.locator(".notice").first).to_contain_text("取り下げました")
    states = [row.state for row in ruled.town.ask(sa.select(schema.rule_proposal.c.state))]
    assert states == ["withdrawn", "withdrawn"]


def test_nobody_without_the_right_and_a_fresh_second_factor_decides(
    ruled: Sites, office: Page, browser: Browser
) -> None:
    address = propose(office, ruled, rider_pays_yen="100")
    form: Form = {"csrf": csrf_of(office), "why": "x"}
    assert office.request.post(f"{address}/approve", form=form).status == 404
    page = approver(ruled, browser)
    new = f"{ruled.office}/rules/{PASS}/new"
    assert page.request.get(new).status == 404
    ruled.town.clock.at_ms += FRESH_MS + 1
    page.goto(address)
    page.fill("#why", "要綱に合わない")
    page.get_by_role("button", name="却下する").click()
    code = pyotp.TOTP(SECRETS["sora"]).at(ruled.town.clock.at_ms // 1000)
    page.fill("#second_code", code)
    page.locator("main button.main").click()
    expect(page.locator(".notice").first).to_contain_text("却下しました")
    page.context.close()
    office.goto(address)
    expect(office.locator("#h-step + .facts")).to_contain_text("要綱に合わない")
    assert [row.version for row in ruled.town.ask(sa.select(schema.rule.c.version))] == [
        THIS_YEAR.version
    ]


def test_a_proposal_that_was_overtaken_says_so(ruled: Sites, office: Page) -> None:
    address = propose(office, ruled, rider_pays_yen="100")
    later = {"version": "senior-pass/2027-01", "valid_from": datetime.date(2027, 1, 1)}
    values = {**later, "programme": PASS, "parameters": {"rider_pays_yen": 70}}
    ruled.town.change(schema.rule.insert().values(added_at_ms=1, added_by="root", **values))
    office.goto(address)
    expect(office.locator(".notice-bad")).to_contain_text("「senior-pass/2027-01」が決まりました")


def test_the_history_is_saved_as_it_is_shown(ruled: Sites, office: Page) -> None:
    propose(office, ruled, rider_pays_yen="100")
    answer = office.request.get(f"{ruled.office}/rules/history?programme={PASS}&format=csv")
    rows = list(csv.reader(answer.body().decode("utf-8-sig").splitlines()))
    assert rows[0][:3] == ["版", "始まる日", "状態"]
    assert {row[2] for row in rows[1:]} == {"承認済み", "承認待ち"}
    assert "本人が払う額: 1回に50円 → 1回に100円" in rows[2][-1]
    for kind in ("sjis", "xlsx"):
        saved = office.request.get(f"{ruled.office}/rules/history?programme={PASS}&format={kind}")
        assert saved.ok


TAXI = "taxi"
TOWN = ["36.450,138.980", "36.450,139.180", "36.310,139.180", "36.310,138.980"]


@pytest.fixture
def taxis(ruled: Sites) -> Sites:
    """The same town with a table for taxis."""
    parameters = {"rides_per_year": 70, "discounts": {"障害者割引": 10}, "area": TOWN}
    opened = ruled.town.fleet()
    with opened.write() as connection:
        table = RuleTable("taxi/2026-04", datetime.date(2026, 4, 1), parameters)
        rules.add(connection, TAXI, table, "root", NOW_MS - 60 * DAY_MS)
    opened.close()
    return ruled


def write_taxi_table(page: Page, sites: Sites, **fields: str) -> None:
    page.goto(f"{sites.office}/rules/{TAXI}/new")
    for name, value in ({"why": "要綱の改正"} | fields).items():
        page.fill(f"#{name}", value)
    page.get_by_role("button", name="確かめる").click()


def test_shares_discounts_and_an_outline_are_read_typed_and_seen(
    taxis: Sites, office: Page
) -> None:
    office.goto(f"{taxis.office}/rules?programme={TAXI}")
    facts = office.locator(".facts.large")
    for said in ("運賃の50%", "「障害者割引」は運賃の10%引き", "4個の角で囲む 約279km²"):
        expect(facts).to_contain_text(said)
    outline = facts.get_by_role("img", name="市の区域の形。北緯 36.310 度から 36.450 度")
    expect(outline.locator("polygon")).to_have_attribute("points", re.compile("^0.0,0.0 100.0,0.0"))
    office.goto(f"{taxis.office}/rules/{TAXI}/new")
    expect(office.locator("#area")).to_have_value("\n".join(TOWN))
    expect(office.locator("#discounts")).to_have_value("障害者割引: 10")
    smaller = "\n".join([*TOWN[:3], "36.3204, 139.0101"])
    write_taxi_table(office, taxis, solo_percent="４０％", discounts="", area=smaller)
    changed = office.locator("#h-table + .table")
    expect(changed.locator("tr", has_text="1人で乗るときの割合")).to_contain_text("運賃の40%")
    expect(changed.locator("tr", has_text="ほかの割引")).to_contain_text("ほかの割引はない")
    area = changed.locator("tr", has_text="市の区域")
    expect(area).to_contain_text("変わる")
    expect(area.locator(".outline")).to_have_count(2)
    kept = taxis.town.ask(sa.select(schema.rule_proposal.c.parameters))[0].parameters
    assert (kept["area"], kept["discounts"]) == ([*TOWN[:3], "36.320,139.010"], {})
    told = office.locator("#h-examples ~ .table").first
    row = told.locator("tr", has_text="1人で乗り、運賃が1,500円")
    expect(row).to_contain_text("市が払う額 750円、乗る人が払う額 750円")
    expect(row).to_contain_text("市が払う額 600円、乗る人が払う額 900円")


def test_what_is_no_share_discount_or_outline_is_said_beside_its_field(
    taxis: Sites, office: Page
) -> None:
    wrong = {"solo_percent": "101", "discounts": "障害者割引 10", "area": "36.450,138.980\n北の端"}
    write_taxi_table(office, taxis, **wrong)
    for name, said in (
        ("solo_percent", "0%から100%まで"),
        ("discounts", "「障害者割引 10」が読めません"),
        ("area", "「北の端」は場所として読めません"),
    ):
        expect(office.locator(f"#{name}-error")).to_contain_text(said)
        expect(office.locator(f"#{name}")).to_have_value(wrong[name])
    write_taxi_table(office, taxis, area="36.450,138.980\n36.450,139.180")
    expect(office.locator("#area-error")).to_contain_text("3個から200個まで")
    write_taxi_table(office, taxis, step_yen="300")
    expect(office.locator("#solo_cap_yen-error")).to_contain_text("割り切れる額")
    assert taxis.town.ask(schema.rule_proposal.select()) == []


def test_the_pages_of_taxi_rules_are_for_everybody_in_both_languages(
    taxis: Sites, office: Page
) -> None:
    write_taxi_table(office, taxis, area="")
    pages = (
        f"{taxis.office}/rules?programme={TAXI}",
        f"{taxis.office}/rules/{TAXI}/table?version=taxi/2026-04",
        f"{taxis.office}/rules/{TAXI}/new",
        office.url,
    )
    problems = {}
    for language, width in (("ja", 1280), ("en", 390)):
        office.set_viewport_size({"width": width, "height": 844})
        for page in pages:
            office.goto(page + ("&" if "?" in page else "?") + f"lang={language}")
            office.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert "{" not in office.locator("main").inner_text()
            problems[page, language] = violations(office)
            assert not office.evaluate("document.documentElement.scrollWidth > innerWidth"), page
    assert {where: what for where, what in problems.items() if what} == {}


def test_every_page_of_rules_is_for_everybody_in_both_languages_and_on_a_small_screen(
    ruled: Sites, office: Page
) -> None:
    address = propose(office, ruled, rider_pays_yen="100", lines_of_category="town: 1, 2")
    expect(office.locator("#replayed table")).to_be_visible()
    pages = (
        f"{ruled.office}/rules?programme={PASS}",
        f"{ruled.office}/rules?programme=attendance",
        f"{ruled.office}/rules/{PASS}/table?version=senior-pass/2026-04",
        f"{ruled.office}/rules/{PASS}/new",
        address,
        f"{address}?month=2026-04",
    )
    problems = {}
    for language, width in (("ja", 1280), ("en", 390)):
        office.set_viewport_size({"width": width, "height": 844})
        for page in pages:
            office.goto(page + ("&" if "?" in page else "?") + f"lang={language}")
            office.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert "{" not in office.locator("main").inner_text()
            problems[page, language] = violations(office)
            wide = office.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, page
    assert {where: what for where, what in problems.items() if what} == {}


def test_every_sentence_of_rules_is_there() -> None:
    made = set()
    for book in RULEBOOKS.values():
        made |= {f"rule.{book.name}.example.{one.story}" for one in book.examples}
        rides = book.rides.examples if book.rides else ()
        made |= {f"rule.{book.name}.example.{one.story}" for one in rides}
    refused = "past far version order same many stale own not-yours decided gone broken"
    made |= {f"web.rules.refused.{word}" for word in refused.split()}
    made |= {f"web.rules.done.{word}" for word in ("propose", "withdraw", "approve", "reject")}
    made |= {f"web.rules.replay.{word}" for word in ("too-much", "failed")}
    made |= {f"rule.outcome.{code}" for code in Code if not is_the_readers_own(code)}
    for language in LANGUAGES:
        assert sorted(made - set(catalogue(language))) == []


def is_the_readers_own(code: Code) -> bool:
    return bool(re.match("ok|hold|two|card|journal|device|desk", code))
