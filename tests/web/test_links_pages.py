"""Other systems, as an administrator sees them; and the rides that a clerk downloads."""

import csv

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet import accounts, api_clients, members, webhooks
from fleet.accounts import AccountRole
from fleet.members import NewMember
from fleet.rights import OfficeRole, Right
from fleet.schema import api_client, webhook_delivery
from fleet.schema import audit as fleet_audit
from fleet.tides import FIELDS
from tests.browser import violations
from tests.web.conftest import Sites, sign_in
from tests.web.town import NOW_MS, PASSWORD

# 192.0.2.1 is never routed (RFC 5737), and private as the city's own addresses are.
ADMIN = (Right("attendance", OfficeRole.ADMIN),)
Sent = dict[str, str | float | bool]


def add_admin(sites: Sites) -> None:
    opened = sites.town.fleet()
    with opened.write() as connection:
        accounts.add(connection, "riku", AccountRole.CLERK, PASSWORD, "test", NOW_MS, ADMIN)
    opened.close()


@pytest.fixture
def links(sites: Sites, page: Page) -> Page:
    """The page of other systems, as an administrator of the attendance programme has it open."""
    add_admin(sites)
    sign_in(page, sites.office, "riku")
    page.goto(f"{sites.office}/links")
    return page


def test_a_client_is_added_its_token_is_shown_once_and_ended(sites: Sites, links: Page) -> None:
    expect(links.locator(".empty").first).to_contain_text("問い合わせるシステムはありません")
    links.fill("#client", "Library 1")
    links.get_by_label("会員・カード・利用・同意を見る").check()
    links.get_by_role("button", name="追加してトークンを表示する").click()
    expect(links.locator("#client-error")).to_contain_text("半角の小文字")
    assert links.get_by_label("会員・カード・利用・同意を見る").is_checked()
    links.fill("#client", "library-1")
    links.get_by_role("button", name="追加してトークンを表示する").click()
    token = links.locator("#once").inner_text()
    opened = sites.town.fleet()
    with opened.read() as connection:
        found = api_clients.by_token(connection, token)
    opened.close()
    assert found is not None
    assert (found.programme, found.who) == ("attendance", "api:library-1")
    links.get_by_role("link", name="写したので一覧に戻る").click()
    assert token not in links.content()
    links.get_by_text("終了する", exact=True).click()
    links.get_by_role("button", name="このシステムを終了する").click()
    expect(links.locator(".notice")).to_contain_text("library-1 を終了しました")
    (row,) = sites.town.ask(api_client.select())
    assert (row.added_by, row.ended_at_ms) == ("riku", NOW_MS)


def test_a_client_that_may_do_nothing_is_refused(links: Page) -> None:
    links.fill("#client", "library-1")
    links.get_by_role("button", name="追加してトークンを表示する").click()
    expect(links.locator("#scopes-error")).to_contain_text("1 つ以上選んで")
    assert links.locator("#client").input_value() == "library-1"


def test_an_address_is_added_stands_still_and_goes_on(sites: Sites, links: Page) -> None:
    links.fill("#url", "http://192.0.2.1/kazasu")
    links.get_by_role("button", name="追加して鍵を表示する").click()
    expect(links.locator("#url-error")).to_contain_text("https://")
    links.fill("#url", "https://192.0.2.1/kazasu")
    links.get_by_role("button", name="追加して鍵を表示する").click()
    expect(links.locator("#once")).to_contain_text("whsec_")
    opened = sites.town.persons()
    with opened.write() as connection:
        new = NewMember("T-009", "渡辺 舞")
        members.enrol(connection, "attendance", new, "hana", NOW_MS)
        still = webhook_delivery.update()
        connection.execute(still.values(tries=11, next_at_ms=None, last_error="HTTP 500"))
    opened.close()
    links.goto(f"{sites.office}/links")
    expect(links.locator("tbody").last).to_contain_text("届かないため、止まっています")
    expect(links.locator("tbody").last).to_contain_text("市役所の中のアドレス")
    links.get_by_role("link", name="https://192.0.2.1/kazasu").click()
    expect(links.locator(".notice-bad")).to_contain_text("1 件が待っています")
    expect(links.locator("tbody")).to_contain_text("T-009")
    assert "渡辺" not in links.content()
    links.get_by_role("button", name="今すぐ送る").click()
    expect(links.locator(".notice-ok")).to_contain_text("送り始めました")
    (row,) = sites.town.ask(webhook_delivery.select(), persons=True)
    assert row.next_at_ms is not None
    links.get_by_text("知らせるのをやめる", exact=True).click()
    links.get_by_role("button", name="このアドレスに知らせるのをやめる").click()
    expect(links.locator(".notice")).to_contain_text("知らせるのをやめました")
    assert sites.town.ask(webhook_delivery.select(), persons=True) == []


def test_an_administrator_of_one_programme_reaches_nothing_of_another(
    sites: Sites, links: Page
) -> None:
    fleet, people = sites.town.fleet(), sites.town.persons()
    with fleet.write() as connection:
        scopes = [api_clients.Scope.RIDES_READ]
        api_clients.add(connection, "bus-1", "senior-pass", scopes, "umi", NOW_MS)
    with people.write() as connection:
        url = "https://bus.example.jp/kazasu"
        webhooks.add(connection, "senior-pass", url, "umi", NOW_MS)
    fleet.close()
    people.close()
    links.reload()
    assert "bus" not in links.locator("main").inner_text()
    form: Sent = {"csrf": links.locator("input[name=csrf]").first.input_value()}
    post, here = links.request.post, sites.office
    new: Sent = {"client": "a-1", "programme": "senior-pass", "scope-webhooks": "yes"}
    hook: Sent = {"url": "https://a.example.jp/", "programme": "senior-pass"}
    assert post(f"{here}/links/clients/bus-1/end", form=form).status == 404
    assert post(f"{here}/links/clients", form=form | new).status == 404
    assert post(f"{here}/links/webhooks", form=form | hook).status == 404
    assert post(f"{here}/links/webhooks/1/end", form=form).status == 404
    assert post(f"{here}/links/webhooks/1/go-on", form=form).status == 404
    assert links.request.get(f"{here}/links/webhooks/1").status == 404
    assert links.request.get(f"{here}/rides").status == 403


def test_a_clerk_is_no_administrator_and_downloads_rides(sites: Sites, office: Page) -> None:
    assert office.request.get(f"{sites.office}/links").status == 403
    office.goto(f"{sites.office}/rides")
    expect(office.locator("tbody tr")).to_have_count(3)
    with office.expect_download() as started:
        office.get_by_role("link", name="fare_transactions_2026-06.csv").click()
    (heads,) = csv.reader(started.value.path().read_text("utf-8").splitlines())
    assert tuple(heads) == FIELDS
    (line,) = [row for row in sites.town.ask(fleet_audit.select()) if row.what == "rides.exported"]
    assert (line.who, line.subject) == ("hana", "senior-pass 2026-06")
    answer = office.request.get(f"{sites.office}/rides/attendance/2026-06.csv")
    assert answer.status == 404


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_on_these_pages(
    sites: Sites, browser: Browser, language: str, width: int
) -> None:
    add_admin(sites)
    opened = sites.town.fleet()
    with opened.write() as connection:
        scopes = list(api_clients.Scope)
        api_clients.add(connection, "library-1", "attendance", scopes, "riku", NOW_MS)
    opened.close()
    people = sites.town.persons()
    with people.write() as connection:
        url = f"https://192.0.2.1/{'kazasu/' * 12}"
        webhooks.add(connection, "attendance", url, "riku", NOW_MS)
        members.enrol(connection, "attendance", NewMember("T-009", "渡辺"), "hana", NOW_MS)
        still = webhook_delivery.update()
        connection.execute(still.values(tries=11, next_at_ms=None, last_error="HTTP 500"))
    people.close()
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    problems: dict[str, list[str]] = {}
    for name, paths in (("riku", ("/links", "/links/webhooks/1")), ("hana", ("/rides",))):
        page.goto(f"{sites.office}/login?lang={language}")
        sign_in(page, sites.office, name)
        for path in paths:
            page.goto(f"{sites.office}{path}")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            problems[path] = violations(page)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, f"{path} is wider than {width} px"
        context.clear_cookies()
    context.close()
    assert {where: what for where, what in problems.items() if what} == {}
