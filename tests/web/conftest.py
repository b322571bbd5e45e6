"""Both web processes on real sockets over the town's real databases, and one real browser."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fleet import store
from fleet.grants import Role
from fleet.web import console, office
from tests.web.town import PASSWORD, Town, build_town, empty_town, town_in

CHROMIUM = "/usr/bin/chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """aiohttp-session still keeps its session in a request under a plain text key."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:It is recommended to use web.Req"))


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
    runners = [web.AppRunner(app, access_log=None, shutdown_timeout=0.5) for app in apps]
    addresses: list[str] = []

    async def start() -> None:
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
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
    state = town.config.state_folder
    stores = [
        store.open_fleet(state, Role.CONSOLE),
        store.open_fleet(state, Role.OFFICE),
        store.open_persons(state, Role.OFFICE),
    ]
    apps = (
        console.application(town.config, stores[0], town.clock),
        office.application(town.config, stores[1], stores[2], town.clock),
    )
    try:
        with serving(*apps) as addresses:
            yield Sites(town, *addresses)
    finally:
        for opened in stores:
            opened.close()


@pytest.fixture(scope="session")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both towns, built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("towns")
    build_town(folder / "whole")
    empty_town(folder / "empty")
    return folder


@pytest.fixture
def sites(towns: Path, tmp_path: Path) -> Iterator[Sites]:
    """The whole town; each test has its own."""
    shutil.copytree(towns / "whole", tmp_path / "state")
    with open_sites(town_in(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def empty_sites(towns: Path, tmp_path: Path) -> Iterator[Sites]:
    """A fleet on its first day: accounts, no reader, no member."""
    shutil.copytree(towns / "empty", tmp_path / "state")
    with open_sites(town_in(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser, Japanese, at a desk."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    context.set_default_timeout(10_000)
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
