"""Signing in by the city's provider: a real one, in a real browser, on another site than ours."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect

from fleet import store
from fleet.config import OpenIdConnect
from fleet.grants import Role
from fleet.schema import account, audit, session
from fleet.web import office as office_process
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, USERS, free_port, issuer_at, running
from tests.web.conftest import serving
from tests.web.town import NOW_MS, Town, town_in
from tests.web.visitor import Visitor, visitor

HOUR_MS = 3600_000


class City:
    """The office beside the city's provider."""

    def __init__(self, town: Town, office: str) -> None:
        self.town = town
        self.office = office

    def subjects(self) -> dict[str, str]:
        rows = self.town.ask(account.select().where(account.c.oidc_subject.is_not(None)))
        return {row.name: row.oidc_subject for row in rows}

    def opened(self, name: str) -> int:
        """Return how many sessions began here; the town's own began on its day."""
        since = session.c.begun_at_ms > NOW_MS
        return len(self.town.ask(session.select().where(session.c.account == name, since)))


@pytest.fixture(scope="module")
def city(towns: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder, port = tmp_path_factory.mktemp("city"), free_port()
    shutil.copytree(towns / "whole", folder / "state")
    town = town_in(folder / "state")
    with Provided(town, folder, port) as office, running(folder, port, office):
        yield City(town, office)


class Provided:
    """The office with this provider in its configuration."""

    def __init__(self, town: Town, folder: Path, port: int) -> None:
        secret = folder / "client-secret"
        secret.write_text(CLIENT_SECRET + "\n")
        oidc = OpenIdConnect(issuer_at(port), CLIENT_ID, str(secret), "職員認証基盤")
        self._config = msgspec.structs.replace(town.config, oidc=oidc)
        self._town = town

    def __enter__(self) -> str:
        databases = self._town.config.databases
        self._stores = (
            store.open_fleet(databases, Role.OFFICE),
            store.open_persons(databases, Role.OFFICE),
        )
        app = office_process.application(self._config, *self._stores, self._town.clock)
        self._serving = serving(app)
        return self._serving.__enter__()[0]

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)
        for one in self._stores:
            one.close()


@pytest.fixture(autouse=True)
def right_time(city: City) -> None:
    """The provider's clock is the machine's."""
    city.town.clock.at_ms = time.time_ns() // 1_000_000


def go(page: Page, city: City, path: str = "/login") -> None:
    page.goto(city.office + path)
    page.get_by_role("link", name="職員認証基盤でログイン").click()


def prove(page: Page, name: str) -> None:
    page.fill("#id_username", name)
    page.fill("#id_password", USERS[name])
    page.get_by_role("button", name="OK").click()


def test_only_who_an_administrator_bound_comes_in_and_goes_out_at_both(
    city: City, page: Page
) -> None:
    go(page, city, "/moving")
    prove(page, "hana")
    expect(page.locator(".error-summary")).to_contain_text("ここに登録がありません")
    found = re.search("「(.+?)」", page.locator(".error-summary").inner_text())
    assert found is not None
    assert city.opened("hana") == 0

    boss = visitor(city.office, city.town, "boss", "*:admin")
    assert boss.post("/people/hana/subject", subject=found[1]).status == 303
    assert boss.post("/people/boss/subject", subject="x").status == 409
    assert list(city.subjects()) == ["hana"]

    unused = account.update().where(account.c.name == "hana").values(once_until_ms=1)
    city.town.change(unused)  # she never used the password that she was given
    go(page, city, "/moving")  # the provider still knows her
    page.wait_for_url(f"{city.office}/moving")
    assert city.opened("hana") == 1
    lines = city.town.ask(audit.select().where(audit.c.at_ms > NOW_MS))
    noted = [row.what for row in lines if row.who == "hana"]
    assert noted == ["signed-in"]

    page.get_by_role("button", name="ログアウト").click()
    page.get_by_role("button", name="Logout").click()  # the provider asks whether it is meant
    page.wait_for_url(f"{city.office}/login")
    assert city.opened("hana") == 0
    go(page, city)
    expect(page.locator("#id_username")).to_be_visible()

    prove(page, "sora")
    expect(page.locator(".error-summary")).to_contain_text("ここに登録がありません")

    assert boss.post("/people/hana/close", why="left").status == 303
    page.context.clear_cookies()
    go(page, city)
    prove(page, "hana")
    expect(page.locator(".error-summary")).to_contain_text("ここに登録がありません")
    assert city.opened("hana") == 0


def test_a_clock_that_is_off_is_said_to_be(city: City, page: Page) -> None:
    city.town.clock.at_ms -= HOUR_MS
    go(page, city)
    prove(page, "sora")
    expect(page.locator(".error-summary")).to_contain_text("時計を合わせる")


def test_a_return_that_was_begun_elsewhere_opens_nothing(city: City) -> None:
    stranger = Visitor(city.office)
    for query in ("", "?code=x&state=y", "?error=access_denied&state=y"):
        answer = stranger.get(f"/oidc/back{query}")
        assert answer.status == 401
        assert "もう一度始めてください" in answer.text
    stranger.get("/oidc")
    assert stranger.get("/oidc/back?code=x&state=guessed").status == 401


def test_it_leads_to_no_other_site(city: City) -> None:
    answer = Visitor(city.office).get("/oidc?next=//evil.example/")
    assert answer.location.startswith(issuer_at(0)[:17])
    assert "evil" not in answer.location


def test_a_provider_that_is_down_is_said_to_be_and_passwords_still_work(
    towns: Path, tmp_path: Path
) -> None:
    shutil.copytree(towns / "whole", tmp_path / "state")
    with Provided(town_in(tmp_path / "state"), tmp_path, free_port()) as office:
        somebody = Visitor(office)
        answer = somebody.get("/oidc")
        assert answer.status == 401
        assert "つながりません" in answer.text
        assert somebody.sign_in("hana").status == 303
