"""A clerk waits at the desk's reader: what the browser shows, with a script and without one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, expect

from fleet import accounts, desk_wait, rights, schema
from fleet.desk_wait import SILENT_MS
from fleet.rights import EVERYWHERE
from fleet.schema import person_audit, reader_state
from tests.browser import violations
from tests.web.conftest import Cookies, Sites, csrf_of, sign_in
from tests.web.town import PASSWORD, TENANT, credential_of
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid
from wire.limits import DESK_WAIT_MS_MAX

DESK_1, DESK_2 = f"{TENANT}/desk-1", f"{TENANT}/desk-2"
PROGRAMME = "attendance"


def waits(sites: Sites, *columns: str) -> list[Any]:
    wanted = (schema.desk_wait.c[name] for name in columns or ("id", "reader", "state"))
    return sites.town.ask(sa.select(*wanted).order_by(schema.desk_wait.c.begun_at_ms), persons=True)


def reader_says(sites: Sites, said: DeskSaid, credential: str = "5c" * 16) -> None:
    """The reader that is waited at says something of the request, as ingest hears it."""
    (wait_id, reader), *_ = reversed(waits(sites, "id", "reader"))
    cards = [DeskCard(Scheme.COMMON_AP, 1, credential)] if said is DeskSaid.READ else []
    answer = DeskAnswer(1, wait_id, PROGRAMME, sites.town.clock.at_ms, said, cards)
    people = sites.town.persons()
    with people.write() as connection:
        assert desk_wait.hear(connection, reader, answer, sites.town.clock.at_ms)
    people.close()


def open_desk(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.office}/desk?programme={PROGRAMME}")


def begin(page: Page) -> None:
    page.get_by_role("button", name="カードを読む").click()
    expect(page.locator("#desk-wait .word")).to_have_text("カードを待っています")


def why(page: Page) -> Any:
    return page.locator("#desk-wait .why")


@pytest.fixture
def second_desk(sites: Sites) -> None:
    """Another desk with its reader."""
    copied: dict[sa.Table, list[dict[str, Any]]] = {}
    for table, column in (
        (schema.place, "name"),
        (schema.reader, "name"),
        (reader_state, "reader"),
    ):
        (row,) = sites.town.ask(sa.select(table).where(table.c[column].like("%desk-1")))
        copied[table] = [dict(row._mapping)]
    copied[schema.place][0] |= {"name": "desk-2", "label_ja": "支所 窓口", "label_en": "Branch"}
    copied[schema.reader][0] |= {"name": DESK_2, "place": "desk-2", "fingerprint": "2" * 64}
    copied[reader_state][0] |= {"reader": DESK_2}
    for table, rows in copied.items():
        sites.town.change(table.insert().values(rows))


@pytest.fixture
def jiro(sites: Sites, browser: Browser) -> Iterator[Page]:
    """A second clerk in a browser of his own."""
    opened = sites.town.fleet()
    with opened.write() as connection:
        accounts.add(connection, "jiro", accounts.AccountRole.CLERK, PASSWORD, "cli", 0)
        rights.give(connection, "jiro", [EVERYWHERE], "cli", 0)
    opened.close()
    context = browser.new_context(locale="ja-JP")
    page = context.new_page()
    sign_in(page, sites.office, "jiro")
    yield page
    context.close()


def test_a_card_that_is_held_opens_its_holders_record(sites: Sites, office: Page) -> None:
    open_desk(sites, office)
    begin(office)
    expect(why(office)).to_contain_text("呼び出しています")
    reader_says(sites, DeskSaid.ASKING)
    expect(why(office)).to_contain_text("市役所 1階窓口")
    expect(office.locator("[data-left-s]")).to_contain_text("秒")
    assert violations(office) == []
    reader_says(sites, DeskSaid.HOLD_AGAIN)
    expect(why(office)).to_contain_text("もう一度")
    reader_says(sites, DeskSaid.READ, credential_of("T-001"))
    expect(office).to_have_url(re.compile(r"/members/\d+$"))
    expect(office.locator("h1")).to_contain_text("佐藤")
    assert waits(sites) == []
    lines = sites.town.ask(sa.select(person_audit.c.who, person_audit.c.what), persons=True)
    assert {("hana", "desk.asked"), ("hana", "member.sought-by-card")} <= {tuple(o) for o in lines}


def test_what_the_card_is_known_as_is_never_shown(sites: Sites, office: Page) -> None:
    open_desk(sites, office)
    begin(office)
    reader_says(sites, DeskSaid.READ)
    expect(office.get_by_role("alert")).to_contain_text("このカードの登録はありません")
    assert "5c5c" not in office.content()


def test_each_end_is_told_in_a_sentence_and_tried_again(sites: Sites, office: Page) -> None:
    open_desk(sites, office)
    begin(office)
    for said, told in (
        (DeskSaid.CARD_NOT_USABLE, "別のカード"),
        (DeskSaid.CANCELLED, "かざさない"),
        (DeskSaid.NOT_READY, "今カードを読めません"),
    ):
        reader_says(sites, said)
        expect(why(office)).to_contain_text(told)
        expect(office.locator("#desk-wait .word")).to_have_text("カードは読めていません")
        office.get_by_role("button", name="もう一度").click()
        expect(why(office)).to_contain_text("呼び出しています")
    sites.town.clock.at_ms += SILENT_MS
    expect(why(office)).to_contain_text("応答がありません")
    office.get_by_role("button", name="もう一度").click()
    expect(why(office)).to_contain_text("呼び出しています")
    reader_says(sites, DeskSaid.ASKING)
    sites.town.clock.at_ms += DESK_WAIT_MS_MAX
    expect(why(office)).to_contain_text("2分のあいだに")
    office.get_by_role("button", name="もう一度").click()
    expect(why(office)).to_contain_text("呼び出しています")
    expect(office.get_by_role("button", name="読み取りをやめる")).to_be_focused()
    office.keyboard.press("Enter")
    expect(why(office)).to_contain_text("やめました")
    assert waits(sites, "outcome")[-1].outcome == "cancelled-here"


def test_a_reader_that_is_away_or_old_is_not_waited_for(sites: Sites, office: Page) -> None:
    for change, told in (({"agent": "0.2.0"}, "古く"), ({"online": False}, "つながっていません")):
        sites.town.change(
            reader_state.update().where(reader_state.c.reader == DESK_1).values(change)
        )
        open_desk(sites, office)
        office.get_by_role("button", name="カードを読む").click()
        expect(office.get_by_role("alert")).to_contain_text(told)
    assert waits(sites) == []


def test_a_second_clerk_at_the_same_desk_is_told_who_waits_there(
    sites: Sites, office: Page, jiro: Page
) -> None:
    open_desk(sites, office)
    begin(office)
    open_desk(sites, jiro)
    jiro.get_by_role("button", name="カードを読む").click()
    expect(jiro.get_by_role("alert")).to_contain_text("hanaさん")
    (wait,) = waits(sites)
    for path in (f"/desk/{wait.id}", f"/desk/{wait.id}/live"):
        assert jiro.request.get(f"{sites.office}{path}").status == 404


def test_two_desks_at_once_each_open_their_own_person_and_the_desk_is_remembered(
    sites: Sites, office: Page, jiro: Page, second_desk: None
) -> None:
    open_desk(sites, office)
    office.get_by_role("button", name="カードを読む").click()
    expect(office.get_by_role("alert")).to_contain_text("選んでください")
    office.select_option("#desk_reader", DESK_1)
    office.get_by_role("button", name="もう一度").click()
    expect(why(office)).to_contain_text("市役所 1階窓口")
    sites.town.clock.at_ms += 1
    open_desk(sites, jiro)
    jiro.select_option("#desk_reader", DESK_2)
    begin(jiro)
    reader_says(sites, DeskSaid.READ, credential_of("T-002"))
    expect(jiro.locator("h1")).to_contain_text("鈴木")
    reader_says(sites, DeskSaid.READ, credential_of("T-001"))
    expect(office.locator("h1")).to_contain_text("佐藤")
    for page, reader in ((office, DESK_1), (jiro, DESK_2)):
        open_desk(sites, page)
        expect(page.locator("#desk_reader")).to_have_value(reader)


def test_without_a_script_the_page_is_refreshed_by_hand(
    sites: Sites, browser: Browser, signed_in: Cookies
) -> None:
    context: BrowserContext = browser.new_context(java_script_enabled=False, locale="ja-JP")
    context.add_cookies(signed_in["hana"])
    page = context.new_page()
    open_desk(sites, page)
    begin(page)
    reader_says(sites, DeskSaid.ASKING)
    page.get_by_role("button", name="表示を新しくする").click()
    expect(why(page)).to_contain_text("案内が出ています")
    page.get_by_role("button", name="読み取りをやめる").click()
    expect(why(page)).to_contain_text("やめました")
    page.get_by_role("button", name="もう一度").click()
    sites.town.clock.at_ms += 1
    reader_says(sites, DeskSaid.READ, credential_of("T-001"))
    page.get_by_role("button", name="表示を新しくする").click()
    expect(page.locator("#desk-wait .word")).to_have_text("カードを読みました")
    page.get_by_role("button", name="登録を開く").click()
    expect(page.locator("h1")).to_contain_text("佐藤")
    context.close()


def test_a_clerk_of_one_programme_waits_for_no_card_of_another(sites: Sites, office: Page) -> None:
    opened = sites.town.fleet()
    with opened.write() as connection:
        rights.give(connection, "hana", [rights.parse(f"{PROGRAMME}:clerk")], "cli", 0)
    opened.close()
    open_desk(sites, office)
    form: dict[str, str | float | bool] = {
        "csrf": csrf_of(office),
        "desk_programme": "senior-pass",
        "desk_reader": DESK_1,
    }
    assert office.request.post(f"{sites.office}/desk/begin", form=form).status == 404
    named = form | {"desk_programme": PROGRAMME, "desk_purpose": "佐藤 はるか"}
    assert office.request.post(f"{sites.office}/desk/begin", form=named).status == 400
    found: dict[str, str | float | bool] = {
        "csrf": form["csrf"],
        "programme": "senior-pass",
        "wait": "ab" * 16,
    }
    assert office.request.post(f"{sites.office}/desk/find", form=found).status == 404
    assert waits(sites) == []
