"""Pictures of a running demo for the documents: what a person sees, taken by a real browser.

It meets the demo as a person does: by the addresses and logins that the demo prints.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser import chromium

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
WINDOW: Final = (1280, 800)
PASSENGER: Final = (800, 480)
"""The reader's own small screen."""
PAPER: Final = (673, 986)
"""What the margins leave of A4, at 96 dots an inch."""
OFFICE: Final = {
    "office-enrol": "/enrol?programme=senior-pass",
    "office-rules": "/rules?programme=senior-pass",
    "office-figures": "/reports?programme=senior-pass",
}
STRANGER_MS: Final = 60_000
"""How long to wait for somebody with an unknown card; the empty page is true as well."""


def _login(variable: str) -> tuple[str, str]:
    name, colon, password = os.environ.get(variable, "").partition(":")
    if not colon:
        sys.exit(f"screenshots: set {variable}=name:password, as scripts/demo printed it")
    return name, password


def open_page(browser: Browser, size: tuple[int, int]) -> Page:
    """Open a bright Japanese page."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, locale="ja-JP", color_scheme="light"
    )
    page.set_default_timeout(15_000)
    return page


def sign_in_as(page: Page, site: str, name: str, password: str) -> None:
    """Sign in; return when the first page is there."""
    page.goto(f"{site}/login?lang=ja")
    page.fill("#account", name)
    page.fill("#password", password)
    page.click("main button.main")
    page.wait_for_url(lambda address: "/login" not in address)


def keep(page: Page, name: str, *, full: bool = False) -> None:
    """Write the picture of a page, or of what its window shows."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, full_page=full)
    print(path.relative_to(IMAGES.parents[1]))


def take(browser: Browser, console: str, office: str, passenger: str) -> None:
    """Write the pictures; the passenger's screen only when its address is given."""
    page = open_page(browser, WINDOW)
    sign_in_as(page, console, *_login("KAZASU_OPERATOR"))
    page.locator("#now .chart canvas").wait_for()
    keep(page, "console")
    page.goto(f"{console}/readers")
    page.locator("tbody th a").first.click()
    page.locator("#h-timings").wait_for()
    keep(page, "reader", full=True)
    page.goto(f"{console}/ledger")
    page.locator("main h1").wait_for()
    keep(page, "ledger", full=True)
    page = open_page(browser, WINDOW)
    sign_in_as(page, office, *_login("KAZASU_CLERK"))
    with contextlib.suppress(PlaywrightTimeout):
        page.locator(".card-list").wait_for(timeout=STRANGER_MS)
    keep(page, "office-triage")
    for name, path in OFFICE.items():
        page.goto(f"{office}{path}")
        page.locator("main h1").wait_for()
        keep(page, name, full=True)
    if passenger:
        page = open_page(browser, PASSENGER)
        page.goto(passenger)
        page.locator("body").wait_for()
        keep(page, "passenger")


def take_audit(browser: Browser, page_file: Path) -> None:
    """Write the picture of a page that `kazasu-fleet audit verify --page` has written."""
    page = open_page(browser, PAPER)
    page.emulate_media(media="print")
    page.goto(page_file.resolve().as_uri())
    keep(page, "audit", full=True)


def main() -> None:
    """Read the addresses and take the pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots")
    parser.add_argument("console", help="such as http://127.0.0.1:8801")
    parser.add_argument("office")
    parser.add_argument("passenger", nargs="?", default="", help="a reader's own page")
    parser.add_argument("--audit", type=Path, help="a page by `kazasu-fleet audit verify --page`")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium())
        take(browser, given.console.rstrip("/"), given.office.rstrip("/"), given.passenger)
        if given.audit:
            take_audit(browser, given.audit)
        browser.close()


if __name__ == "__main__":
    main()
