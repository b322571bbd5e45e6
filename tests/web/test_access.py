"""Who gets in: sign-in, its limit, tokens on every POST, roles, and what every answer carries."""

import base64

import pytest
from playwright.sync_api import BrowserContext, Page

from fleet.schema import audit, gap, session
from fleet.web.forms import BODY_BYTES_MAX
from fleet.web.signin import FAILURES_MAX, PAUSE_S
from tests.web.conftest import Sites, csrf_of, sign_in


def test_every_page_asks_for_a_sign_in_first_and_comes_back(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.console}/readers")
    assert page.url == f"{sites.console}/login?next=/readers"
    page.fill("#account", "umi")
    page.fill("#password", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.console}/readers")


@pytest.mark.parametrize(
    "next_page", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_a_sign_in_never_leads_to_another_site(
    sites: Sites, visit: BrowserContext, page: Page, next_page: str
) -> None:
    page.goto(f"{sites.console}/login")
    answer = visit.request.post(
        f"{sites.console}/login",
        form={
            "csrf": csrf_of(page),
            "account": "umi",
            "password": "correct horse battery",
            "next": next_page,
        },
        max_redirects=0,
    )
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_a_wrong_password_and_a_wrong_name_get_the_same_sentence(sites: Sites, page: Page) -> None:
    said = []
    for name in ("umi", "nobody"):
        sign_in(page, sites.console, name, "wrong")
        said.append(page.locator("#account-error").inner_text())
    assert said == ["アカウント名またはパスワードが違います"] * 2


def test_guessing_is_paused_and_goes_on_after_the_pause(
    sites: Sites, visit: BrowserContext, page: Page
) -> None:
    page.goto(f"{sites.console}/login")
    token = csrf_of(page)

    def guess(password: str) -> int:
        answer = visit.request.post(
            f"{sites.console}/login",
            form={"csrf": token, "account": "umi", "password": password},
            max_redirects=0,
        )
        return answer.status

    assert [guess("wrong") for _ in range(FAILURES_MAX)] == [401] * FAILURES_MAX
    assert guess("correct horse battery") == 429
    sites.town.clock.at_ns += PAUSE_S * 1_000_000_000
    assert guess("correct horse battery") == 303


def test_a_post_without_the_sessions_token_is_refused_and_changes_nothing(
    sites: Sites, visit: BrowserContext, page: Page
) -> None:
    sign_in(page, sites.console, "umi")
    for form in ({}, {"csrf": "guessed"}):
        answer = visit.request.post(
            f"{sites.console}/gaps/1", form={"why": "x", "sure": "yes", **form}
        )
        assert answer.status == 403
        assert "送信を受け付けませんでした" in answer.text()
    assert sites.town.ask(gap.select().where(gap.c.id == 1))[0].closed_at_ms is None


def test_an_operator_gets_403_in_the_office_and_a_clerk_at_the_console(
    sites: Sites, page: Page
) -> None:
    for site, name in ((sites.office, "umi"), (sites.console, "hana")):
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            sign_in(page, site, name)
        assert answered.value.status == 403
        page.get_by_role("heading", name="このアカウントの画面ではありません").wait_for()
        page.goto(f"{site}/")
        assert page.url == f"{site}/login"


def test_a_session_of_the_console_opens_no_office(sites: Sites, page: Page) -> None:
    """Cookies do not tell ports apart: the browser sends both processes all of them."""
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    page.goto(f"{sites.office}/members")
    assert page.url == f"{sites.office}/login?next=/members"


def test_signing_out_ends_the_session_on_the_server_too(
    sites: Sites, visit: BrowserContext, page: Page
) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    kept = visit.cookies()
    open_before = len(sites.town.ask(session.select()))
    page.get_by_role("button", name="ログアウト").click()
    page.wait_for_url(f"{sites.console}/login")
    assert len(sites.town.ask(session.select())) == open_before - 1
    visit.add_cookies(kept)  # type: ignore[arg-type]
    page.goto(f"{sites.console}/readers")
    assert page.url.endswith("/login?next=/readers")


def test_the_cookie_is_for_no_script_and_no_other_site(
    sites: Sites, visit: BrowserContext, page: Page
) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    (cookie,) = [one for one in visit.cookies() if one["name"] == "kazasu_console"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    # Sealed: these three letters stand in it by chance, once in some 80,000 runs.
    sealed = base64.urlsafe_b64decode(cookie["value"].strip('"'))
    assert sealed[0] == 0x80  # a Fernet token's version
    assert b"umi" not in sealed
    behind_tls = visit.request.get(
        f"{sites.console}/login",
        headers={"X-Forwarded-Proto": "https", "Cookie": ""},
    )
    assert "; Secure" in behind_tls.headers["set-cookie"]


def test_every_answer_carries_the_policy(sites: Sites, visit: BrowserContext) -> None:
    for path in ("/login", "/healthz", "/nothing", "/static/kazasu.css"):
        headers = visit.request.get(f"{sites.console}{path}", max_redirects=0).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert visit.request.get(f"{sites.office}/healthz").json() == {"status": "ok", "site": "office"}


def test_a_body_over_the_limit_is_refused_in_plain_words(
    sites: Sites, visit: BrowserContext
) -> None:
    answer = visit.request.post(f"{sites.console}/login", data="x=" + "y" * BODY_BYTES_MAX)
    assert answer.status in (403, 413)
    form = visit.request.post(f"{sites.console}/login", form={"csrf": "y" * BODY_BYTES_MAX})
    assert form.status == 413
    assert "大きすぎます" in form.text()


def test_pages_that_are_not_there_say_so_in_both_languages(sites: Sites, page: Page) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    for path in ("/nothing", "/readers/bus-9", "/gaps/999", f"/gaps/{'9' * 30}"):
        answer = page.goto(f"{sites.console}{path}")
        assert answer is not None
        assert answer.status == 404
        assert page.locator("h1").inner_text().strip() == "ページが見つかりません"
    page.goto(f"{sites.console}/nothing?lang=en")
    assert page.locator("h1").inner_text().strip() == "There is no such page"
    page.goto(f"{sites.console}/")
    assert page.locator("html").get_attribute("lang") == "en"


def test_who_signed_in_is_written_down(sites: Sites, page: Page) -> None:
    sign_in(page, sites.console, "umi")
    page.wait_for_url(f"{sites.console}/")
    assert [(row.who, row.what) for row in sites.town.ask(audit.select())][-1] == (
        "umi",
        "signed-in",
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"zzz"),
        ("multipart/form-data", b"zzz"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
            b"Content-Transfer-Encoding: klingon\r\n\r\nb\r\n--x--\r\n",
        ),
        ("application/x-www-form-urlencoded; charset=klingon", b"a=b"),
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
    ],
)
def test_a_body_that_is_no_form_is_refused_in_plain_words(
    sites: Sites, visit: BrowserContext, kind: str, body: bytes
) -> None:
    answer = visit.request.post(f"{sites.console}/login", data=body, headers={"Content-Type": kind})
    assert answer.status == 400
    assert "送信された内容を読めませんでした" in answer.text()


def test_a_body_that_is_not_packed_as_it_says_is_refused_too(
    sites: Sites, visit: BrowserContext
) -> None:
    answer = visit.request.post(
        f"{sites.console}/login",
        data=b"zzz",
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Encoding": "gzip",
        },
    )
    assert answer.status == 400


def test_a_language_asked_for_while_signed_out_stays(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.console}/?lang=en")
    assert page.url == f"{sites.console}/login"
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_filtered_page_is_come_back_to_with_its_filter(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.console}/readers?state=offline&lang=en")
    assert page.locator("html").get_attribute("lang") == "en"
    page.fill("#account", "umi")
    page.fill("#password", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.console}/readers?state=offline")
