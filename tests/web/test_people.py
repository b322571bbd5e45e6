"""People and rights: who may do what is given, taken and helped by those who administer it."""

import re

import pyotp
import pytest
from playwright.sync_api import Browser, Page

from fleet.accounts import ONCE_MS
from fleet.schema import account, account_right, audit
from tests.browser import violations
from tests.web.conftest import Sites, sign_in
from tests.web.town import PASSWORD
from tests.web.visitor import Answer, Visitor, add_person, visitor

FRESH = "ein langer neuer Satz"


@pytest.fixture
def boss(sites: Sites) -> Visitor:
    """Somebody who administers every programme."""
    return visitor(sites.office, sites.town, "boss", "*:admin")


def noted(sites: Sites) -> list[tuple[str, str, str, str]]:
    rows = sites.town.ask(audit.select().order_by(audit.c.id))
    return [(row.who, row.what, row.subject, row.detail) for row in rows]


def rights_of(sites: Sites, name: str) -> set[tuple[str, str, str]]:
    rows = sites.town.ask(account_right.select().where(account_right.c.account == name))
    return {(row.programme, row.role, row.organisation) for row in rows}


def shown_once(answer: Answer) -> str:
    found = re.search(r'id="once"[^>]*>([^<]+)<', answer.text)
    assert found is not None, answer.text
    return found[1]


def test_somebody_new_gets_a_password_that_is_shown_once_and_must_be_changed(
    sites: Sites, boss: Visitor
) -> None:
    made = boss.post("/people", account="mori", programme="attendance", role="clerk")
    assert made.status == 200
    password = shown_once(made)
    assert password not in boss.get("/people").text
    assert password not in boss.get("/people/mori").text
    assert all(password not in str(line) for line in noted(sites))
    mori = Visitor(sites.office)
    assert mori.sign_in("mori", password).status == 303
    assert mori.get("/moving").location == "/security/password"
    assert "仮パスワードでログインしました" in mori.get("/security/password").text
    refused = mori.post("/security/password", password=password, fresh="short", again="short")
    assert refused.status == 422
    changed = mori.post("/security/password", password=password, fresh=FRESH, again=FRESH)
    assert (changed.status, changed.location) == (303, "/security")
    assert mori.get("/moving").status == 200
    assert Visitor(sites.office).sign_in("mori", password).status == 401
    assert Visitor(sites.office).sign_in("mori", FRESH).status == 303


def test_a_password_that_was_given_is_good_for_a_week_only(sites: Sites, boss: Visitor) -> None:
    password = shown_once(boss.post("/people", account="mori", programme="*", role="clerk"))
    sites.town.clock.at_ms += ONCE_MS
    assert Visitor(sites.office).sign_in("mori", password).status == 401


def test_a_right_that_is_taken_away_ends_at_once_in_an_open_session(
    sites: Sites, boss: Visitor
) -> None:
    mori = visitor(sites.office, sites.town, "mori", "attendance:clerk")
    assert mori.get("/moving").status == 200
    assert boss.post("/people/mori/take", right="attendance:clerk").status == 303
    assert mori.get("/moving").status == 403
    given = boss.post("/people/mori/give", programme="senior-pass", role="auditor")
    assert given.status == 303
    assert rights_of(sites, "mori") == {("senior-pass", "auditor", "")}
    assert mori.get("/looks").status == 200
    assert [line for line in noted(sites) if line[0] == "boss" and line[1] != "signed-in"] == [
        ("boss", "right.taken", "mori", "attendance:clerk"),
        ("boss", "right.given", "mori", "senior-pass:auditor"),
    ]


def test_a_right_of_a_company_names_it(sites: Sites, boss: Visitor) -> None:
    add_person(sites.town, "taxi")
    form = {"programme": "senior-pass", "role": "company"}
    assert boss.post("/people/taxi/give", **form).status == 422
    assert boss.post("/people/taxi/give", **form, organisation="City Taxi").status == 422
    assert boss.post("/people/taxi/give", **form, organisation="city-taxi").status == 303
    assert rights_of(sites, "taxi") == {("senior-pass", "company", "city-taxi")}
    assert "（city-taxi）" in boss.get("/people/taxi").text


def test_nobody_changes_himself_and_the_last_administrator_stays(
    sites: Sites, boss: Visitor
) -> None:
    for path, fields in (
        ("give", {"programme": "attendance", "role": "approver"}),
        ("take", {"right": "*:admin"}),
        ("close", {"why": "x"}),
        ("second", {}),
        ("password", {}),
    ):
        assert boss.post(f"/people/boss/{path}", **fields).status == 409, path
    assert rights_of(sites, "boss") == {("*", "admin", "")}
    other = visitor(sites.office, sites.town, "other", "*:admin")
    assert other.post("/people/boss/close", why="left").status == 303
    assert boss.get("/people").location == "/login?next=/people"
    assert Visitor(sites.office).sign_in("boss").status == 401
    assert other.post("/people/boss/open", why="came back").status == 303
    assert Visitor(sites.office).sign_in("boss").status == 303


def test_who_administers_one_programme_neither_sees_nor_takes_over_another(sites: Sites) -> None:
    chief = visitor(sites.office, sites.town, "chief", "attendance:admin")
    add_person(sites.town, "bus", "senior-pass:clerk")
    add_person(sites.town, "both", "senior-pass:clerk", "attendance:clerk")
    add_person(sites.town, "mine", "attendance:clerk")
    page = chief.get("/people").text
    assert "/people/mine" in page
    assert "/people/both" in page
    assert "/people/bus" not in page
    assert chief.get("/people/bus").status == 404
    assert "ほかの制度の権利 1件" in chief.get("/people/both").text
    before = sites.town.ask(account.select().where(account.c.name.in_(["bus", "both"])))
    for name in ("bus", "both"):
        for path, fields in (
            ("password", {}),
            ("second", {}),
            ("sessions", {}),
            ("close", {"why": "x"}),
            ("give", {"programme": "senior-pass", "role": "clerk"}),
            ("give", {"programme": "*", "role": "clerk"}),
            ("take", {"right": "senior-pass:clerk"}),
        ):
            assert chief.post(f"/people/{name}/{path}", **fields).status in (404, 409), path
    assert sites.town.ask(account.select().where(account.c.name.in_(["bus", "both"]))) == before
    assert rights_of(sites, "bus") == {("senior-pass", "clerk", "")}
    assert chief.post("/people/mine/password").status == 200


def test_an_account_without_any_right_is_for_who_administers_every_programme(
    sites: Sites, boss: Visitor
) -> None:
    chief = visitor(sites.office, sites.town, "chief", "attendance:admin")
    add_person(sites.town, "mori", "attendance:approver")
    taken = chief.post("/people/mori/take", right="attendance:approver")
    assert (taken.status, taken.location) == (303, "/people")
    assert "/people/mori" not in chief.get("/people").text
    assert chief.get("/people/mori").status == 404
    before = sites.town.ask(account.select().where(account.c.name == "mori"))
    for path, fields in (
        ("password", {}),
        ("second", {}),
        ("close", {"why": "x"}),
        ("give", {"programme": "attendance", "role": "clerk"}),
    ):
        assert chief.post(f"/people/mori/{path}", **fields).status == 404, path
    assert sites.town.ask(account.select().where(account.c.name == "mori")) == before
    assert rights_of(sites, "mori") == set()
    assert "/people/mori" in boss.get("/people").text
    assert boss.post("/people/mori/give", programme="attendance", role="clerk").status == 303


def test_who_helps_an_approver_is_told_that_approvals_wait(sites: Sites, boss: Visitor) -> None:
    add_person(sites.town, "mori", "attendance:approver")
    boss.post("/people/mori/second")
    assert "新しく登録してから24時間後" in boss.get("/people/mori").text
    assert "いまから24時間は承認できません" in boss.post("/people/mori/password").text
    boss.post("/people/mori/give", programme="senior-pass", role="approver")
    assert "承認の権利は24時間後から" in boss.get("/people/mori").text


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        (["senior-pass:company:city-taxi"], "その制度が始まるとここに加わります"),
        (["attendance:school:school-1"], "学校の勤務記録の担当です"),
        ([], "まだ権利がありません"),
    ],
)
def test_who_can_do_little_yet_is_told_so_and_whom_to_ask(
    sites: Sites, rights: list[str], said: str
) -> None:
    page = visitor(sites.office, sites.town, "guest", *rights).get("/").text
    assert said in page
    assert "待っている仕事" not in page
    assert "会員を探す" not in page


def test_an_account_is_helped_with_a_new_password_and_all_its_sessions_end(
    sites: Sites, boss: Visitor
) -> None:
    mori = visitor(sites.office, sites.town, "mori", "attendance:clerk")
    password = shown_once(boss.post("/people/mori/password"))
    assert mori.get("/moving").location == "/login?next=/moving"
    assert Visitor(sites.office).sign_in("mori", PASSWORD).status == 401
    assert Visitor(sites.office).sign_in("mori", password).status == 303
    assert ("boss", "account.password-given", "mori", "") in noted(sites)


def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(sites: Sites, boss: Visitor) -> None:
    add_person(sites.town, "mori")
    again = boss.post("/people", account="mori", programme="attendance", role="auditor")
    assert again.status == 409
    assert "もう使われています" in again.text
    assert 'value="mori"' in again.text
    assert '<option value="auditor" selected>' in again.text
    for name in ("a/b", "a b", "<b>"):
        assert boss.post("/people", account=name, programme="*", role="clerk").status == 409


def test_an_administrator_alone_sees_no_member(sites: Sites, boss: Visitor) -> None:
    assert boss.get("/").status == 200
    for path in ("/members", "/members/1", "/cards/now", "/attendance", "/looks"):
        assert boss.get(path).status == 403, path


PAGES = (
    "/people",
    "/people/hana",
    "/people/boss",
    "/people/nobody",
    "/looks?programme=attendance",
    "/looks?programme=attendance&who=nobody",
    "/security",
    "/security/password",
    "/security/key",
    "/security/app",
    "/second",
)


def _objections(page: Page) -> list[str]:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return violations(page) + ["wider than the screen"] * bool(wide)


@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("ja", "light", 1280), ("en", "dark", 390)]
)
def test_axe_finds_nothing_on_any_of_these_pages(
    sites: Sites, browser: Browser, language: str, scheme: str, width: int
) -> None:
    add_person(sites.town, "boss", "*:admin", "*:auditor")
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page, problems = context.new_page(), dict[str, list[str]]()
    office = sites.office.replace("127.0.0.1", "localhost")
    page.goto(f"{office}/login?lang={language}")
    sign_in(page, office, "boss")
    page.wait_for_url(f"{office}/**")
    page.goto(f"{office}/security")
    page.locator('form[action="/security/app"] button').click()
    page.wait_for_url(f"{office}/security/app")
    for path in PAGES:
        page.goto(office + path)
        assert page.locator("html").get_attribute("lang") == language
        problems[path] = _objections(page)
    page.goto(f"{office}/people")
    page.fill("#account", "mori")
    page.locator('form[action="/people"] button').click()
    problems["once"] = _objections(page)
    page.goto(f"{office}/people")
    page.fill("#account", "mori")
    page.locator('form[action="/people"] button').click()
    problems["refused"] = _objections(page)
    page.goto(f"{office}/security/app")
    app = pyotp.TOTP(page.locator("code").inner_text().replace(" ", ""))
    page.fill("#second_code", app.at(sites.town.clock.at_ms // 1000))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{office}/security#second")
    problems["factors"] = _objections(page)
    context.clear_cookies()
    page.goto(f"{office}/login?lang={language}")
    sign_in(page, office, "boss")
    page.wait_for_url(f"{office}/second")
    problems["second"] = _objections(page)
    context.close()
    assert {where: what for where, what in problems.items() if what} == {}
