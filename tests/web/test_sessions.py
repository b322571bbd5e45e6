"""Sessions end: without anybody, after a shift, with a new password, and where one says so."""

import pytest

from fleet.schema import session
from fleet.web.session import SESSION_S
from tests.web.conftest import Sites
from tests.web.town import PASSWORD
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
