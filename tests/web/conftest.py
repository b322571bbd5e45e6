"""Both web processes on real sockets over the town's real databases, and one real browser."""

import asyncio
import shutil
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp_session import SESSION_KEY, STORAGE_KEY
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from fleet import store
from fleet.grants import Role
from fleet.web import console as console_process
from fleet.web import office as office_process
from fleet.web.app import CONNECTIONS_MAX, HOST
from tests.browser import chromium
from tests.web.town import PASSWORD, Town, build_town, empty_town, town_in
from wire import door

PATIENCE_MS = 30_000
"""For whatever a page is to show: a hundred times what it takes on a machine that is not busy."""
expect.set_options(timeout=PATIENCE_MS)


Cookies = dict[str, list[Any]]
"""What a browser holds after signing in, by account."""


@dataclass
class Sites:
    """Where both processes listen."""

    town: Town
    console: str
    office: str


@contextmanager
def serving(*apps: web.Application) -> Iterator[list[str]]:
    """Serve applications from a thread of their own, on free ports of loopback."""
    loop = asyncio.new_event_loop()
    runners = [door.runner(app, 0.5) for app in apps]
    addresses: list[str] = []

    async def start() -> None:
        for runner in runners:
            await runner.setup()
            await door.Door(runner, HOST, 0, CONNECTIONS_MAX).start()
            addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    def run() -> None:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield addresses
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextmanager
def open_sites(town: Town) -> Iterator[Sites]:
    databases = town.config.databases
    stores = [
        store.open_fleet(databases, Role.CONSOLE),
        store.open_fleet(databases, Role.OFFICE),
        store.open_persons(databases, Role.OFFICE),
    ]
    apps = (
        console_process.application(town.config, stores[0], town.clock),
        office_process.application(town.config, stores[1], stores[2], town.clock),
    )
    try:
        with serving(*apps) as addresses:
            yield Sites(town, *addresses)
    finally:
        for opened in stores:
            opened.close()


@pytest.fixture(scope="session", autouse=True)
def warned_once() -> None:
    """aiohttp-session keeps its session under plain text keys, of which aiohttp warns once."""
    request = make_mocked_request("GET", "/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        request[SESSION_KEY] = request[STORAGE_KEY] = None


@pytest.fixture(scope="session")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both towns, built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("towns")
    build_town(folder / "whole")
    empty_town(folder / "empty")
    return folder


@pytest.fixture
def sites(towns: Path, signed_in: Cookies, tmp_path: Path) -> Iterator[Sites]:
    """The whole town; each test has its own copy, which knows the sessions of `signed_in`."""
    shutil.copytree(towns / "whole", tmp_path / "state")
    with open_sites(town_in(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def empty_sites(towns: Path, tmp_path: Path) -> Iterator[Sites]:
    """A fleet on its first day: accounts, no reader, no member."""
    shutil.copytree(towns / "empty", tmp_path / "state")
    with open_sites(town_in(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed_in(towns: Path, browser: Browser) -> Cookies:
    """One sign-in of each role in the built town, whose copies then know these sessions too."""
    cookies: Cookies = {}
    with open_sites(town_in(towns / "whole")) as sites:
        for name, site in (("umi", sites.console), ("hana", sites.office)):
            context = browser.new_context()
            sign_in(context.new_page(), site, name)
            cookies[name] = context.cookies()
            context.close()
    return cookies


@pytest.fixture
def console(sites: Sites, signed_in: Cookies, visit: BrowserContext) -> Page:
    """The console's first page, as an operator has it open."""
    visit.add_cookies(signed_in["umi"])
    page = visit.new_page()
    page.goto(f"{sites.console}/")
    return page


@pytest.fixture
def office(sites: Sites, signed_in: Cookies, visit: BrowserContext) -> Page:
    """The office's first page, as a clerk has it open."""
    visit.add_cookies(signed_in["hana"])
    page = visit.new_page()
    page.goto(f"{sites.office}/")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser a file: as long as it is open no asynchronous test of another folder can run."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(**chromium())
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser, Japanese, at a desk."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(visit: BrowserContext) -> Page:
    """A page that must stay without script errors and without refused content."""
    return visit.new_page()


def sign_in(page: Page, site: str, name: str, password: str = PASSWORD) -> None:
    page.goto(f"{site}/login")
    page.fill("#account", name)
    page.fill("#password", password)
    page.click("main button.main")


def csrf_of(page: Page) -> str:
    return page.locator("input[name=csrf]").first.input_value()
