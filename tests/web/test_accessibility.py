"""Every page, both languages: axe finds nothing, and the keyboard is enough."""

import pytest
from playwright.sync_api import Browser, Page, expect

from fleet.schema import reader_state
from tests.browser import violations
from tests.web.conftest import Sites, sign_in
from tests.web.town import PASSWORD

CONSOLE = (
    "/",
    "/readers",
    "/readers?search=nothing-like-it",
    "/readers/bus-1",
    "/readers/bus-2",
    "/readers/school-1",
    "/readers/school-2",
    "/?span=month",
    "/ledger",
    "/gaps/1",
    "/alarms/2",
    "/nothing",
)
OFFICE = (
    "/",
    "/desk",
    "/cards/1",
    "/cards/1?search=さとう",
    "/members",
    "/members?programme=attendance&search=",
    "/members?programme=attendance&search=誰もいない",
    "/members/1",
    "/members/4",
    "/members/1/exchange",
    "/members/1/exchange?with=2",
    "/members/1/exchange?search=さとう",
    "/members/1/replace",
    "/members/1/disclosure",
    "/members/1/erase",
    "/enrol",
    "/enrol?programme=attendance&card=1",
    "/enrol/done/1",
    "/consent",
    "/attendance",
    "/attendance?day=2026-06-02",
    "/import",
    "/schemes",
    "/schemes?programme=attendance",
    "/schemes/attendance/staff-token",
    "/schemes/attendance/jpki-auth",
    "/vehicles",
    "/vehicles/check",
    "/moving",
    "/moving?programme=attendance&missing=yes",
)


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(("scheme", "width", "height"), [("light", 1280, 800), ("dark", 390, 844)])
def test_axe_finds_nothing_on_any_page(
    sites: Sites, browser: Browser, language: str, scheme: str, width: int, height: int
) -> None:
    sites.town.hold_stranger()
    problems: dict[str, list[str]] = {}
    for site, name, paths in ((sites.console, "umi", CONSOLE), (sites.office, "hana", OFFICE)):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page = context.new_page()
        page.goto(f"{site}/login?lang={language}")
        problems[f"{site}/login"] = violations(page)
        sign_in(page, site, name, "wrong")
        problems[f"{site}/login refused"] = violations(page)
        sign_in(page, site, name)
        page.wait_for_url(f"{site}/")
        for path in paths:
            answer = page.goto(site + path)
            assert answer is not None
            assert answer.status < 500, path
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert page.locator("html").get_attribute("lang") == language
            problems[site + path] = violations(page)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, f"{path} is wider than {width} px"
        context.close()
    assert {where: what for where, what in problems.items() if what} == {}


def test_the_keyboard_is_enough_to_sign_in_and_to_reach_what_needs_attention(
    sites: Sites, page: Page
) -> None:
    page.goto(f"{sites.console}/login")
    for text in ("umi", PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.console}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    _tab_to(page, "gap-1")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.console}/gaps/1")
    _tab_to(page, "why")
    page.keyboard.type("SDカードが壊れた")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.console}/readers/bus-2")
    expect(page.locator(".notice")).to_contain_text("抜けを締めました")


def _tab_to(page: Page, wanted: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == wanted:
            return
    raise AssertionError(f"40 tabs do not reach #{wanted}")


def test_a_refused_form_takes_the_focus_to_what_is_wrong(sites: Sites, page: Page) -> None:
    sign_in(page, sites.console, "umi", "wrong")
    focused = page.evaluate("document.activeElement.className")
    assert "error-summary" in focused
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "account"
    assert page.locator("#account").get_attribute("aria-invalid") == "true"


def test_the_focus_stays_when_the_live_part_is_swapped(sites: Sites, page: Page) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    page.focus("#gap-1")
    sites.town.change(reader_state.update().values(waiting=900))
    expect(page.locator(".counts")).to_contain_text("3,600")
    assert page.evaluate("document.activeElement.id") == "gap-1"


def test_what_was_opened_stays_open_when_the_live_part_is_swapped(sites: Sites, page: Page) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    page.goto(f"{sites.console}/readers/bus-1")
    page.get_by_text("分布の表").click()
    page.locator("#hour").evaluate("region => { region.scrollTop = 300 }")
    sites.town.change(reader_state.update().values(waiting=900))
    expect(page.locator(".counts")).to_contain_text("900")
    expect(page.locator("#buckets")).to_be_visible()
    page.wait_for_function("document.getElementById('hour').scrollTop === 300")


@pytest.mark.parametrize("path", ["/", "/readers", "/readers/bus-1", "/ledger"])
def test_the_pages_work_without_a_script(sites: Sites, browser: Browser, path: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, sites.console, "umi")
    page.goto(sites.console + path)
    expect(page.locator("table").first).to_be_visible()
    context.close()


def test_nothing_is_loaded_from_elsewhere_and_no_script_fails(sites: Sites, page: Page) -> None:
    foreign: list[str] = []
    faults: list[str] = []
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith("http://127.0.0.1:") else foreign.append(asked.url)
        ),
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    sign_in(page, sites.console, "umi")
    for path in CONSOLE[:-1]:
        page.goto(sites.console + path)
    assert (foreign, faults) == ([], [])
