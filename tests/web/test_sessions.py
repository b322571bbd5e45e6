"""Sessions end: without anybody, after a shift, with a new password, and where one says so."""

import pytest

from fleet.schema import session
from fleet.web.held import ACCOUNTS_MAX, HELD_MS, HeldForms
from fleet.web.session import SESSION_S
from tests.web.conftest import Sites
from tests.web.test_second_factor import set_up, shown
from tests.web.town import PASSWORD, StoppedClock
from tests.web.visitor import Visitor, visitor

MINUTE_MS = 60_000
IDLE_MS = 30 * MINUTE_MS
"""As long as nothing else is configured."""


@pytest.fixture
def mori(sites: Sites) -> Visitor:
    return visitor(sites.office, sites.town, "mori", "attendance:clerk")


def seen(sites: Sites) -> int:
    (row,) = sites.town.ask(session.select().where(session.c.account == "mori"))
    return int(row.seen_at_ms)


def test_a_session_ends_when_nobody_was_there_for_half_an_hour(sites: Sites, mori: Visitor) -> None:
    for _ in range(3):
        sites.town.clock.at_ms += IDLE_MS
        assert mori.get("/moving").status == 200
    sites.town.clock.at_ms += IDLE_MS + 1
    assert mori.get("/moving").location == "/login?next=/moving"
    assert sites.town.ask(session.select().where(session.c.account == "mori")) == []


def test_what_a_page_asks_by_itself_keeps_no_session_open(sites: Sites, mori: Visitor) -> None:
    sites.town.clock.at_ms += IDLE_MS
    live = {"HX-Request": "true"}
    assert mori.get("/cards/now", **live).status == 200
    sites.town.clock.at_ms += 1
    answer = mori.get("/cards/now", **live)
    assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/login")


def test_a_session_ends_after_a_shift_whatever_was_done(sites: Sites, mori: Visitor) -> None:
    for _ in range(SESSION_S * 1000 // IDLE_MS - 1):
        sites.town.clock.at_ms += IDLE_MS
        assert mori.get("/moving").status == 200
    sites.town.clock.at_ms += IDLE_MS
    assert mori.get("/moving").status == 303


def test_when_somebody_was_last_there_is_kept_to_the_minute(sites: Sites, mori: Visitor) -> None:
    begun = seen(sites)
    sites.town.clock.at_ms += MINUTE_MS - 1
    mori.get("/moving")
    assert seen(sites) == begun
    sites.town.clock.at_ms += 1
    mori.get("/moving")
    assert seen(sites) == begun + MINUTE_MS


def test_one_sees_where_else_one_is_signed_in_and_ends_it(sites: Sites, mori: Visitor) -> None:
    elsewhere = Visitor(sites.office)
    elsewhere.sign_in("mori")
    page = mori.get("/security").text
    assert page.count("Firefox · Windows") == 2
    assert page.count("いま使っている端末") == 1
    assert mori.post("/security/sessions").location == "/security"
    assert elsewhere.get("/moving").status == 303
    assert mori.get("/moving").status == 200
    assert "この端末以外をログアウト" not in mori.get("/security").text


def test_a_new_password_ends_every_other_session_and_needs_the_old_one(
    sites: Sites, mori: Visitor
) -> None:
    elsewhere = Visitor(sites.office)
    elsewhere.sign_in("mori")
    fresh = "noch ein langer Satz"
    form = {"fresh": fresh, "again": fresh}
    assert mori.post("/security/password", password="not it at all", **form).status == 401
    assert elsewhere.get("/moving").status == 200
    form |= {"again": "something else"}
    assert mori.post("/security/password", password=PASSWORD, **form).status == 422
    same = {"fresh": PASSWORD, "again": PASSWORD}
    assert mori.post("/security/password", password=PASSWORD, **same).status == 422
    form |= {"again": fresh}
    assert mori.post("/security/password", password=PASSWORD, **form).status == 303
    assert elsewhere.get("/moving").status == 303
    assert mori.get("/moving").status == 200


def test_signing_in_again_in_one_browser_leaves_one_session(sites: Sites, mori: Visitor) -> None:
    mori.sign_in("mori")
    assert len(sites.town.ask(session.select().where(session.c.account == "mori"))) == 1


def test_a_console_on_the_wall_is_not_signed_out(sites: Sites) -> None:
    wall = Visitor(sites.console)
    form = f"csrf={wall.token()}&account=umi&password={PASSWORD.replace(' ', '+')}"
    assert wall.send("/login", form.encode()).status == 303
    sites.town.clock.at_ms += IDLE_MS * 4
    assert wall.get("/ledger").status == 200


def late(sites: Sites, mori: Visitor) -> dict[str, str]:
    """What is sent half an hour after it was typed; the answer leads to the sign-in page."""
    typed = {"name": "山本 葉子", "note": "1行目\n2行目"}
    sites.town.clock.at_ms += IDLE_MS + 1
    assert mori.post("/members/1/correct?programme=attendance", **typed).location == WAY_BACK
    return typed


WAY_BACK = "/login?next=/held"


def test_a_form_that_comes_too_late_goes_on_after_signing_in(sites: Sites, mori: Visitor) -> None:
    token = mori.token()
    typed = late(sites, mori)
    assert "入力した内容は残してあり" in mori.get(WAY_BACK).text
    assert mori.post("/login", account="mori", password=PASSWORD, next="/held").location == "/held"
    page = mori.get("/held").text
    assert 'action="/members/1/correct?programme=attendance"' in page
    for name, value in typed.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in page
    assert mori.token() == token  # so that what stands in another tab goes on as well
    mori.post("/members/1/correct?programme=attendance", **typed)
    assert mori.get("/held").location == "/"  # it has been sent


def test_what_was_typed_is_shown_to_nobody_else_and_not_for_long(
    sites: Sites, mori: Visitor
) -> None:
    visitor(sites.office, sites.town, "abe", "attendance:clerk")
    late(sites, mori)
    assert mori.post("/login", account="abe", password=PASSWORD, next="/held").status == 303
    assert mori.get("/held").location == "/"
    again = Visitor(sites.office)
    again.sign_in("mori")
    assert "山本 葉子" in again.get("/held").text
    sites.town.clock.at_ns += HELD_MS * 1_000_000
    assert again.get("/held").status == 303


def test_no_secret_and_no_file_is_held(sites: Sites, mori: Visitor) -> None:
    sites.town.clock.at_ms += IDLE_MS + 1
    secret = {"fresh": "noch ein langer Satz", "again": "noch ein langer Satz"}
    assert mori.post("/security/password", **secret).location == "/login"
    assert mori.post("/logout").location == "/login"


def test_one_sees_which_form_is_held_and_another_for_the_same_page_does_not_end_it(
    sites: Sites, mori: Visitor
) -> None:
    late(sites, mori)
    mori.sign_in("mori")
    assert "<dd>山本 葉子</dd>" in mori.get("/held").text
    mori.post("/members/1/correct?programme=attendance", name="佐藤 はるか")
    assert "<dd>山本 葉子</dd>" in mori.get("/held").text


@pytest.mark.parametrize("path", ["/members", "/nothing", "//elsewhere.example/members/1/correct"])
def test_nothing_is_held_that_no_page_takes(sites: Sites, mori: Visitor, path: str) -> None:
    sites.town.clock.at_ms += IDLE_MS + 1
    assert mori.post(path, name="山本 葉子").location == "/login"


def test_an_individual_number_is_not_held(sites: Sites, mori: Visitor) -> None:
    sites.town.clock.at_ms += IDLE_MS + 1
    assert mori.post("/members/1/correct", name="1234 5678 9018").location == "/login"


def test_a_form_that_is_held_waits_for_the_second_factor_too(sites: Sites, mori: Visitor) -> None:
    app = set_up(sites, mori)
    late(sites, mori)
    mori.post("/login", account="mori", password=PASSWORD, next="/held")
    assert mori.get("/held").location == "/second?next=/held"
    assert shown(sites, app, mori, second_next="/held").location == "/held"
    assert "<dd>山本 葉子</dd>" in mori.get("/held").text


def test_forms_are_held_for_so_many_accounts_only() -> None:
    forms = HeldForms(StoppedClock())
    for number in range(ACCOUNTS_MAX + 1):
        forms.hold(f"clerk-{number}", "/enrol", [("name", str(number))])
    assert forms.of("clerk-0") is None
    assert forms.of("clerk-1") is not None
