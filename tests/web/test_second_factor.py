"""The second factor in the office: set up, shown after the password, and before what counts."""

import re
from collections.abc import Iterator

import pyotp
import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from fleet import store
from fleet.grants import Role
from fleet.schema import audit, second_factor, session
from fleet.second_factor import FRESH_MS, STEP_S
from fleet.web import office as office_process
from fleet.web.forms import read_post
from fleet.web.second_factor import require
from fleet.web.signin import FAILURES_MAX, PAUSE_S
from tests.web.conftest import Sites, serving
from tests.web.town import PASSWORD
from tests.web.visitor import Answer, Visitor, add_person, visitor

STEP_MS = STEP_S * 1000
routes = web.RouteTableDef()


@routes.get("/security/approve")
async def ask(request: web.Request) -> web.Response:
    await require(request)
    return web.Response(text="to be approved")


@routes.post("/security/approve")
async def approve(request: web.Request) -> web.Response:
    await require(request)
    sent = await read_post(request)
    return web.Response(text=f"approved {sent['why']} {sent.getall('line')}")  # type: ignore[attr-defined]


@pytest.fixture
def office(sites: Sites) -> Iterator[str]:
    """The office with one more action: something that only counts with a second factor."""
    databases = sites.town.config.databases
    fleet = store.open_fleet(databases, Role.OFFICE)
    persons = store.open_persons(databases, Role.OFFICE)
    app = office_process.application(sites.town.config, fleet, persons, sites.town.clock)
    app.add_routes(routes)
    with serving(app) as (address,):
        yield address
    fleet.close()
    persons.close()


@pytest.fixture
def mori(sites: Sites, office: str) -> Visitor:
    return visitor(office, sites.town, "mori", "attendance:approver")


def set_up(sites: Sites, who: Visitor) -> pyotp.TOTP:
    """Add an app to the account; return what stands in the app."""
    assert who.post("/security/app").location == "/security/app"
    page = who.get("/security/app").text
    assert "<svg" in page
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found is not None
    app = pyotp.TOTP(found[1].replace(" ", ""))
    code = app.at(sites.town.clock.at_ms // 1000)
    assert who.post("/security/app/confirm", second_code=code, label="phone").status == 303
    return app


def shown(sites: Sites, app: pyotp.TOTP, who: Visitor, **fields: str) -> Answer:
    """Show what the app shows at the next time step."""
    sites.town.clock.at_ms += STEP_MS
    return who.post("/second", second_code=app.at(sites.town.clock.at_ms // 1000), **fields)


def test_an_approver_without_a_second_factor_approves_nothing(mori: Visitor) -> None:
    answer = mori.get("/security/approve")
    assert (answer.status, answer.location) == (303, "/security#second")
    assert "承認には2つ目の確認方法が必要です" in mori.get("/security").text


def test_what_was_typed_waits_until_the_first_factor_was_added(sites: Sites, mori: Visitor) -> None:
    form = {"why": "<二人>で確かめた", "line": "1"}
    asked = mori.post("/security/approve", **form)
    assert asked.status == 401
    assert 'action="/security/approve"' in asked.text
    assert 'name="why" value="&lt;二人&gt;で確かめた"' in asked.text
    assert asked.text.count('name="csrf"') == mori.get("/security/password").text.count('"csrf"')
    set_up(sites, mori)
    assert mori.post("/security/approve", **form).text == "approved <二人>で確かめた ['1']"


def test_an_app_counts_after_it_showed_the_right_code_and_its_secret_rests_sealed(
    sites: Sites, mori: Visitor
) -> None:
    app = set_up(sites, mori)
    (row,) = sites.town.ask(second_factor.select())
    assert (row.kind, row.label, row.counter) == (
        "totp",
        "phone",
        sites.town.clock.at_ms // STEP_MS,
    )
    assert app.secret.encode() not in bytes(row.secret)
    assert mori.get("/security/approve").text == "to be approved"
    noted = [(line.who, line.what) for line in sites.town.ask(audit.select())]
    assert ("mori", "second.added") in noted


def test_a_code_is_asked_for_after_the_password_and_good_once(
    sites: Sites, office: str, mori: Visitor
) -> None:
    app = set_up(sites, mori)
    again = Visitor(office)
    again.sign_in("mori")
    assert again.get("/moving").location == "/second?next=/moving"
    assert again.post("/security/sessions").location == "/second"
    used = app.at(sites.town.clock.at_ms // 1000)
    assert again.post("/second", second_code=used).status == 401
    assert again.post("/second", second_code="").status == 401
    answer = shown(sites, app, again, second_next="/security")
    assert (answer.status, answer.location) == (303, "/security")
    assert again.get("/security").status == 200
    other = Visitor(office)
    other.sign_in("mori")
    same = app.at(sites.town.clock.at_ms // 1000)
    assert other.post("/second", second_code=same).status == 401


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 303), (1, 303), (2, 401)])
def test_the_step_before_and_after_are_taken_and_no_others(
    sites: Sites, office: str, mori: Visitor, steps: int, status: int
) -> None:
    app = set_up(sites, mori)
    sites.town.clock.at_ms += 5 * STEP_MS
    again = Visitor(office)
    again.sign_in("mori")
    code = app.at(sites.town.clock.at_ms // 1000 + steps * STEP_S)
    assert again.post("/second", second_code=code).status == status


def test_guessing_codes_is_paused(sites: Sites, office: str, mori: Visitor) -> None:
    app = set_up(sites, mori)
    again = Visitor(office)
    again.sign_in("mori")
    said = [again.post("/second", second_code="000000").status for _ in range(FAILURES_MAX + 1)]
    assert said == [401] * FAILURES_MAX + [429]
    assert shown(sites, app, again).status == 429
    sites.town.clock.at_ns += PAUSE_S * 1_000_000_000
    assert shown(sites, app, again).status == 303


def test_the_factor_is_asked_for_again_after_a_while_and_the_form_goes_on_as_it_was(
    sites: Sites, mori: Visitor
) -> None:
    app = set_up(sites, mori)
    form = {"why": "二人で確かめた", "line": "1"}
    assert mori.post("/security/approve", **form).text == "approved 二人で確かめた ['1']"
    sites.town.clock.at_ms += FRESH_MS + 1
    assert mori.get("/security/approve").location == "/second?next=/security/approve"
    asked = mori.post("/security/approve", **form)
    assert asked.status == 401
    assert 'name="why" value="二人で確かめた"' in asked.text
    held = {"second_next": "/security/approve", "second_again": "yes"}
    answer = shown(sites, app, mori, **held, **form)
    assert (answer.status, answer.location) == (307, "/security/approve")
    assert mori.post("/security/approve", **form).status == 200


def test_a_browser_sends_the_form_again_by_itself(
    sites: Sites, office: str, mori: Visitor, page: Page
) -> None:
    app = set_up(sites, mori)
    page.goto(f"{office}/login")
    page.fill("#account", "mori")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{office}/second**")
    sites.town.clock.at_ms += STEP_MS
    page.fill("#second_code", app.at(sites.town.clock.at_ms // 1000))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{office}/")
    page.goto(f"{office}/security")
    sites.town.clock.at_ms += FRESH_MS + 1
    page.evaluate(
        """() => {
          const form = document.querySelector('form[action="/security/sessions"]')
            ?? document.querySelector('form[action="/security/app"]');
          form.action = "/security/approve";
          for (const [name, value] of [["why", "よい"], ["line", "1"], ["line", "2"]]) {
            const field = document.createElement("input");
            field.name = name; field.value = value; form.append(field);
          }
          form.submit();
        }"""
    )
    page.fill("#second_code", app.at(sites.town.clock.at_ms // 1000))
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_text("approved よい ['1', '2']")


def test_who_has_a_factor_shows_it_before_any_is_changed(sites: Sites, mori: Visitor) -> None:
    set_up(sites, mori)
    (row,) = sites.town.ask(second_factor.select())
    sites.town.clock.at_ms += FRESH_MS + 1
    assert mori.post("/security/app").status == 401
    assert mori.get("/security/key").location == "/second?next=/security/key"
    assert mori.post(f"/security/factors/{row.id}/remove").status == 401
    assert len(sites.town.ask(second_factor.select())) == 1


def test_nobody_removes_another_ones_factor(sites: Sites, office: str, mori: Visitor) -> None:
    set_up(sites, mori)
    (row,) = sites.town.ask(second_factor.select())
    other = visitor(office, sites.town, "other", "attendance:approver")
    assert other.post(f"/security/factors/{row.id}/remove").status == 409
    assert len(sites.town.ask(second_factor.select())) == 1


def test_an_administrator_takes_lost_factors_away(sites: Sites, office: str, mori: Visitor) -> None:
    set_up(sites, mori)
    boss = visitor(office, sites.town, "boss", "*:admin")
    assert boss.post("/people/mori/second").status == 303
    assert sites.town.ask(second_factor.select()) == []
    assert sites.town.ask(session.select().where(session.c.account == "mori")) == []
    again = Visitor(office)
    assert again.sign_in("mori").status == 303
    assert again.get("/security").status == 200


# --- a security key, in a real browser with a virtual authenticator ------------------------------


class Keyholder:
    """An approver whose browser has an authenticator (Chrome DevTools Protocol, WebAuthn domain).

    At `localhost`: browsers let keys be used by name only.
    """

    def __init__(self, sites: Sites, page: Page) -> None:
        add_person(sites.town, "mori", "attendance:clerk", "attendance:approver")
        self.site = sites.office.replace("127.0.0.1", "localhost")
        self.page = page
        self._tools = page.context.new_cdp_session(page)
        self._tools.send("WebAuthn.enable")
        self._key = self.plug_in()

    def plug_in(self) -> str:
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasResidentKey": False,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self._tools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return str(made["authenticatorId"])

    def plug_in_another(self) -> None:
        self._tools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self._key})
        self._key = self.plug_in()

    def sign_in(self, lands: str) -> None:
        self.page.goto(f"{self.site}/login")
        self.page.fill("#account", "mori")
        self.page.fill("#password", PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"{self.site}{lands}")

    def add_key(self) -> None:
        self.page.goto(f"{self.site}/security")
        self.page.get_by_role("link", name="セキュリティキーを登録する").click()
        self.page.fill("#label", "引き出しのキー")
        self.page.get_by_role("button", name="キーを登録する").click()
        self.page.wait_for_url(f"{self.site}/security#second")

    def show_key(self) -> None:
        self.page.get_by_role("button", name="セキュリティキーで確認する").click()

    def sign_out(self) -> None:
        self.page.get_by_role("button", name="ログアウト").click()
        self.page.wait_for_url(f"{self.site}/login")


@pytest.fixture
def holder(sites: Sites, page: Page) -> Keyholder:
    """Somebody with a key, who has just added it."""
    found = Keyholder(sites, page)
    found.sign_in("/")
    found.add_key()
    return found


def test_a_security_key_is_added_and_shown_after_the_password(
    sites: Sites, holder: Keyholder
) -> None:
    faults: list[str] = []
    holder.page.on("pageerror", lambda error: faults.append(str(error)))
    expect(holder.page.locator("tbody").first).to_contain_text("引き出しのキー")
    (added,) = sites.town.ask(second_factor.select())
    assert (added.kind, added.credential_id is not None) == ("webauthn", True)
    holder.sign_out()
    holder.sign_in("/second")
    holder.show_key()
    holder.page.wait_for_url(f"{holder.site}/")
    (used,) = sites.town.ask(second_factor.select())
    assert used.counter > added.counter
    assert faults == []


def test_a_copy_of_a_key_and_another_key_are_refused(sites: Sites, holder: Keyholder) -> None:
    holder.sign_out()
    holder.sign_in("/second")
    sites.town.change(second_factor.update().values(counter=1_000))  # as if used elsewhere
    holder.show_key()
    expect(holder.page.locator(".error-summary")).to_contain_text("確かめられませんでした")
    holder.plug_in_another()
    holder.show_key()
    expect(holder.page.locator("[data-key-said]")).to_contain_text("確認できませんでした")
    holder.page.goto(f"{holder.site}/security")
    holder.page.wait_for_url(f"{holder.site}/second**")


def test_a_key_is_not_offered_where_no_browser_would_take_it(mori: Visitor) -> None:
    page = mori.get("/security").text
    assert "https のアドレスで開くと使えます" in page
    assert mori.get("/security/key").location == "/security"
