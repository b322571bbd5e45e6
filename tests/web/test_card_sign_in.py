"""Signing in by card and PIN at a shared computer: who may ask for a card, and what opens then."""

import datetime
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import card_pin, desk_wait, rights, schema, schemes, sessions, work_accounts
from fleet.card_pin import FAILURES_MAX
from fleet.config import Databases
from fleet.schemes import NewStatement
from fleet.sealing import Sealer
from fleet.web.card_sign_in_page import HOLD_MS, TYPE_MS
from fleet.web.session import session_key
from fleet.web.signin import DESK_FAILURES_MAX, PAUSE_S
from fleet.work_acts import Act
from tests.browser import violations
from tests.fleet.test_work_spares import lend, registered
from tests.fleet.work_kit import SCHOOL, TENANT, Schools, at, card_of, open_schools
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.keystrokes import TABS_MAX
from tests.web.look_over import look_over
from tests.web.town import PASSWORD, empty_town, town_in
from tests.web.visitor import Answer, Visitor, add_person
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid

NOW_MS = at(3, "12:10", 7)
DESK = f"{TENANT}/desk-1"
PIN, OTHER = "270915", "864201"
STRANGER = "5c" * 16


@dataclass
class Office:
    """The office's pages on a school with two teachers, one of whom has a PIN, and a desk."""

    sites: Sites
    schools: Schools

    @property
    def site(self) -> str:
        return self.sites.office

    @property
    def clock(self) -> Any:
        return self.sites.town.clock

    def visitor(self, name: str = "") -> Visitor:
        found = Visitor(self.site)
        assert not name or found.sign_in(name).status == 303
        return found

    def bound(self) -> Visitor:
        """A browser that a clerk has bound to the desk, signed out again."""
        found = self.visitor("hana")
        label = {"desk_reader": DESK, "browser_label": "職員室"}
        assert found.post("/desk/browsers", **label).status == 303
        assert found.post("/logout").status == 303
        return found

    def reader_says(self, said: DeskSaid, card: str = "") -> None:
        """The desk's reader answers the newest request, as ingest hears it."""
        newest = sa.select(schema.desk_wait.c.id).order_by(schema.desk_wait.c.begun_at_ms.desc())
        wait_id = self.schools.ask(newest.limit(1))[0].id
        cards = [DeskCard(Scheme.STAFF_TOKEN, 1, card)] if card else []
        answer = DeskAnswer(1, wait_id, SCHOOL, self.clock.at_ms, said, cards)
        with self.schools.people.write() as people:
            assert desk_wait.hear(people, DESK, answer, self.clock.at_ms)

    def hold(self, who: Visitor, card: str) -> None:
        """Press the button, and hold a card to the reader."""
        self.clock.at_ms += 1
        answer = who.post("/login/card")
        assert (answer.status, answer.location) == (303, "/login/card")
        self.reader_says(DeskSaid.READ, card)

    def try_pin(self, who: Visitor, card: str = "", pin: str = PIN) -> Answer:
        self.hold(who, card or card_of("T-1"))
        return who.post("/login/card/pin", pin=pin)

    def give_pin(self) -> None:
        sealer = Sealer(session_key(self.sites.town.config.state_folder / "office-secrets.key"))
        with self.schools.office.write() as people:
            card_pin.keep(people, 1, "sato", card_pin.seal(sealer, 1, PIN), NOW_MS)

    def after_the_pause(self) -> None:
        self.clock.at_ns += PAUSE_S * 1_000_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "built"
    town = empty_town(folder)
    with open_schools(Databases(folder, "")) as schools:
        for number, account in (("T-1", "sato"), ("T-2", "suzuki")):
            member_id = schools.teacher(number)
            add_person(town, account)
            with schools.office.write() as people:
                work_accounts.bind(people, Act(member_id, "hana", NOW_MS), account)
        with schools.people.write() as people:
            april = datetime.date(2026, 4, 1)
            ground = NewStatement("教育長", "教職員課", "規程第12条", april, april)
            schemes.state(people, SCHOOL, [Scheme.STAFF_TOKEN], ground, "hana", 1)
        with schools.fleet.write() as fleet:
            _desk(fleet)
    return folder


def _desk(fleet: sa.Connection) -> None:
    place = {"name": "desk-1", "kind": "desk", "programmes": [SCHOOL], "triage_programmes": []}
    fleet.execute(schema.place.insert().values(**place, label_ja="職員室", label_en="Staff room"))
    reader = {"name": DESK, "place": "desk-1", "fingerprint": "d" * 64, "enrolled_at_ms": 1}
    fleet.execute(schema.reader.insert().values(**reader, public_key="", sealing_public_key=""))
    state = {"reader": DESK, "online": True, "agent": "kazasu-edge 0.3.0", "ready": True}
    times = {"status_at_ms": 1, "received_at_ms": 1, "rosters": []}
    fleet.execute(schema.reader_state.insert().values(**state, **times))


@pytest.fixture
def office(built: Path, tmp_path: Path) -> Iterator[Office]:
    shutil.copytree(built, tmp_path / "state")
    town = town_in(tmp_path / "state")
    town.clock.at_ms = NOW_MS
    with open_schools(town.config.databases, found=False) as schools, open_sites(town) as sites:
        schools.now_ms, schools.members = NOW_MS, {"T-1": 1, "T-2": 2}
        opened = Office(sites, schools)
        opened.give_pin()
        yield opened


def said(answer: Answer) -> str:
    """Return the sentence beside the button."""
    found = re.search(r'<a href="#card">([^<]+)</a>', answer.text)
    return found[1] if found else ""


def tab_to(page: Page, word: str) -> None:
    """Walk by Tab to the button of this name."""
    wanted = page.get_by_role("button", name=word)
    for _ in range(TABS_MAX):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{word} is not reached by Tab")


# --- the way through -----------------------------------------------------------------------------


def test_a_teacher_holds_the_card_types_the_pin_and_sees_his_own_days_alone(
    office: Office, page: Page
) -> None:
    sign_in(page, office.site, "hana")
    page.goto(f"{office.site}/desk?programme={SCHOOL}")
    page.get_by_role("link", name="カードでログインするパソコン").click()
    page.select_option("#desk_reader", DESK)
    page.fill("#browser_label", "職員室 入口側")
    page.get_by_role("button", name="このパソコンを結び付ける").click()
    expect(page.locator("main")).to_contain_text("「職員室」に結び付いています")
    page.get_by_role("button", name="ログアウト").click()
    assert violations(page) == []
    # from here on by keys alone
    tab_to(page, "カードとPINでログイン")
    page.keyboard.press("Enter")
    expect(page.locator("#card-now .why")).to_contain_text("呼び出しています")
    office.reader_says(DeskSaid.ASKING)
    expect(page.locator("#card-now .why")).to_contain_text("かざしてください")
    expect(page.get_by_role("button", name="やめる")).to_be_focused()
    assert violations(page) == []
    office.reader_says(DeskSaid.READ, card_of("T-1"))
    expect(page.locator("#pin")).to_be_focused()
    assert card_of("T-1") not in page.content()
    assert violations(page) == []
    page.keyboard.type(PIN)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{office.site}/own")
    expect(page.locator("h1")).to_contain_text("自分の勤務")
    answer = page.goto(f"{office.site}/security")
    assert answer is not None
    assert answer.status == 403
    expect(page.locator("h1")).to_contain_text("カードとPINでは開けません")
    page.get_by_role("button", name="ログアウト").click()
    page.go_back()
    page.reload()
    page.wait_for_url(re.compile("/login"))


def test_without_a_script_the_page_is_refreshed_by_hand(office: Office) -> None:
    who = office.bound()
    office.clock.at_ms += 1
    who.post("/login/card")
    assert "表示を新しくする" in who.get("/login/card").text
    office.reader_says(DeskSaid.READ, card_of("T-1"))
    assert 'name="pin"' in who.get("/login/card").text
    answer = who.post("/login/card/pin", pin="２７０ ９１５")
    assert (answer.status, answer.location) == (303, "/")


# --- who may ask for a card ----------------------------------------------------------------------


def test_a_browser_that_no_clerk_has_bound_asks_no_reader(office: Office) -> None:
    stranger = office.visitor()
    assert "/login/card" not in stranger.get("/login").text
    assert stranger.post("/login/card").status == 403
    assert stranger.get("/login/card").location == "/login"
    assert office.schools.ask(schema.desk_wait.select()) == []
    who = office.bound()
    assert "/login/card" in who.get("/login").text
    (row,) = office.schools.ask(schema.desk_browser.select())
    assert office.visitor("hana").post(f"/desk/browsers/{row.id}/end").status == 303
    assert "/login/card" not in who.get("/login").text
    assert who.post("/login/card").status == 403


def test_who_is_no_clerk_of_attendance_binds_no_browser(office: Office) -> None:
    add_person(office.sites.town, "mori", "senior-pass:clerk")
    label = {"desk_reader": DESK, "browser_label": "職員室"}
    for name, status in (("mori", 404), ("sato", 403)):
        who = office.visitor(name)
        assert who.get("/desk/browsers").status == status
        assert who.post("/desk/browsers", **label).status == status
    who = office.visitor("hana")
    for wrong in ({"desk_reader": "kazasu-shi/north-front"}, {"browser_label": ""}):
        assert who.post("/desk/browsers", **(label | wrong)).status == 422
    assert office.schools.ask(schema.desk_browser.select()) == []


def test_a_card_is_for_the_browser_that_asked_and_once(office: Office) -> None:
    who, other = office.bound(), office.bound()
    office.hold(who, card_of("T-1"))
    # another bound browser, and one with the stolen token of this one, have not asked
    thief = office.visitor()
    for cookie in who.cookies:
        if cookie.name == "kazasu_browser":
            thief.cookies.set_cookie(cookie)
    assert "/login/card" in thief.get("/login").text
    for one in (other, thief):
        assert one.get("/login/card").location == "/login"
        assert one.post("/login/card/pin", pin=PIN).status == 409
    assert who.post("/login/card/pin", pin=PIN).status == 303
    assert office.schools.ask(schema.desk_wait.select()) == []
    assert who.post("/login/card/pin", pin=PIN).status == 409


def test_a_button_that_is_pressed_twice_takes_no_session_away(office: Office) -> None:
    who, second = office.bound(), office.visitor()
    office.hold(who, card_of("T-1"))
    token = who.token()
    for cookie in who.cookies:
        second.cookies.set_cookie(cookie)
    assert who.post_with(token, "/login/card/pin", pin=PIN).status == 303
    again = second.post_with(token, "/login/card/pin", pin=PIN)
    assert again.status == 409
    assert again.headers.get_all("Set-Cookie") is None
    assert who.get("/own").status == 200


def test_while_somebody_waits_at_the_reader_others_are_told_and_no_name(office: Office) -> None:
    who, other = office.bound(), office.bound()
    clerk = office.visitor("hana")
    office.clock.at_ms += 1
    assert who.post("/login/card").status == 303
    answer = other.post("/login/card")
    assert (answer.status, "ほかの人が使っています" in said(answer)) == (409, True)
    asked = {"desk_programme": SCHOOL, "desk_reader": DESK}
    assert "ログインのカードをかざしています" in clerk.post("/desk/begin", **asked).text
    assert who.post("/login/card/stop").status == 303
    assert "hana" not in other.post("/login/card").text
    assert other.post("/login/card/stop").status == 303
    assert "呼び出しています" in clerk.post("/desk/begin", **asked).text
    assert "hana" not in who.post("/login/card").text


def test_neither_the_wait_nor_the_card_stays_open(office: Office) -> None:
    who = office.bound()
    office.clock.at_ms += 1
    who.post("/login/card")
    office.reader_says(DeskSaid.ASKING)
    office.clock.at_ms += HOLD_MS
    assert "1分のあいだに" in who.get("/login/card").text
    office.hold(who, card_of("T-1"))
    office.clock.at_ms += TYPE_MS + 1
    answer = who.post("/login/card/pin", pin=PIN)
    assert (answer.status, "時間が過ぎたか" in said(answer)) == (409, True)
    office.hold(who, card_of("T-1"))
    assert who.post("/login/card/stop").status == 303
    assert len(office.schools.ask(schema.desk_wait.select())) < 3  # what was read is erased
    assert who.post("/login/card/pin", pin=PIN).status == 409


def test_a_desk_that_is_away_is_told(office: Office) -> None:
    who = office.bound()
    office.sites.town.change(schema.reader_state.update().values(online=False))
    assert "つながっていません" in said(who.post("/login/card"))


# --- one sentence --------------------------------------------------------------------------------


def test_an_unknown_card_a_wrong_pin_and_all_the_rest_get_one_sentence(office: Office) -> None:
    who, schools = office.bound(), office.schools
    answers = {"wrong PIN": office.try_pin(who, pin=OTHER)}
    answers["unknown card"] = office.try_pin(who, STRANGER)
    answers["card without a PIN"] = office.try_pin(who, card_of("T-2"))
    lend(schools, 1, registered(schools), NOW_MS)
    answers["lent card"] = office.try_pin(who, card_of("spare"))
    for what, undone in (
        ({"stopped_from_ms": 1}, {"stopped_from_ms": None}),
        ({"superseded_at_ms": 1}, {"superseded_at_ms": None}),
    ):
        office.sites.town.change_persons(schema.card.update().values(what))
        answers[str(what)] = office.try_pin(who)
        office.sites.town.change_persons(schema.card.update().values(undone))
    give(office, "sato", "attendance:school:kita-sho")
    answers["an account with a right"] = office.try_pin(who)
    give(office, "sato")
    office.after_the_pause()
    office.sites.town.change(schema.account.update().values(closed_at_ms=1))
    answers["a closed account"] = office.try_pin(who)
    office.sites.town.change(schema.account.update().values(closed_at_ms=None))
    once = schema.account.update().where(schema.account.c.name == "sato")
    office.sites.town.change(once.values(once_until_ms=NOW_MS * 2))
    answers["a password that is to be changed"] = office.try_pin(who)
    shown = {(answer.status, said(answer), bare(answer)) for answer in answers.values()}
    assert len(shown) == 1, answers.keys()
    ((status, sentence, _),) = shown
    assert status == 401
    assert "このカードとPINではログインできません" in sentence
    assert schools.ask(sa.select(schema.desk_wait.c.id)) == []


def bare(answer: Answer) -> str:
    """The page without what is drawn anew for each."""
    return re.sub(r'name="csrf" value="[^"]+"', "", answer.text)


def give(office: Office, name: str, *may: str) -> None:
    with office.schools.office_fleet.write() as fleet:
        rights.give(fleet, name, [rights.parse(one) for one in may], "hana", NOW_MS)


def test_a_lent_card_signs_nobody_in(office: Office) -> None:
    lend(office.schools, 1, registered(office.schools), NOW_MS)
    assert office.try_pin(office.bound(), card_of("spare")).status == 401


# --- few tries -----------------------------------------------------------------------------------


def test_each_card_has_few_tries_known_or_not_and_a_locked_one_stays_so(office: Office) -> None:
    who = office.bound()
    for card in (STRANGER, card_of("T-1")):
        for _ in range(FAILURES_MAX):
            assert office.try_pin(who, card, OTHER).status == 401
        paused = office.try_pin(who, card)
        assert (paused.status, "休止しています" in said(paused)) == (429, True)
    office.after_the_pause()
    assert office.try_pin(who).status == 401  # right, and locked
    assert office.schools.audited("card-pin.locked") == [(f"{SCHOOL} T-1", "")]
    own = office.visitor("sato")
    assert "今のPINは使えません" in own.get("/security/card-pin").text
    fresh = {"pin": OTHER, "pin_again": OTHER}
    assert own.post("/security/card-pin", password=PASSWORD, **fresh).status == 303
    office.after_the_pause()
    assert office.try_pin(who, pin=OTHER).status == 303


def test_a_desk_asks_for_few_cards_in_vain(office: Office) -> None:
    who = office.bound()
    for n in range(DESK_FAILURES_MAX - 1):
        assert office.try_pin(who, f"{n:032x}").status == 401
    assert office.try_pin(who).status == 303  # counts as none
    assert who.post("/logout").status == 303
    assert office.try_pin(who, "f" * 32).status == 401
    answer = who.post("/login/card")
    assert (answer.status, "休止しています" in said(answer)) == (429, True)
    office.after_the_pause()
    assert office.try_pin(who).status == 303


# --- the session ---------------------------------------------------------------------------------


def test_a_session_by_card_is_short_named_and_ends_with_more_rights(office: Office) -> None:
    who = office.bound()
    assert office.try_pin(who).status == 303
    for path, status in (("/own", 200), ("/security", 403), ("/members", 403), ("/held", 303)):
        assert who.get(path).status == status, path
    own = office.visitor("sato")
    assert "カードとPIN</span>" in own.get("/security").text
    noted = schema.audit.c.what == "signed-in", schema.audit.c.detail == sessions.BY_CARD
    (line,) = office.sites.town.ask(schema.audit.select().where(*noted))
    assert line.who == "sato"
    for _ in range(6):
        office.clock.at_ms += sessions.BY_CARD_IDLE_MS - 1
        assert who.get("/own").status == 200
    office.clock.at_ms += sessions.BY_CARD_IDLE_MS - 1
    assert who.get("/own").status == 303  # half an hour in all
    assert office.try_pin(who).status == 303
    office.clock.at_ms += sessions.BY_CARD_IDLE_MS + 1
    assert who.get("/own").status == 303
    assert office.try_pin(who).status == 303
    give(office, "sato", "attendance:approver")
    assert who.get("/own").status == 303
    assert who.get("/reports").status == 303


def test_a_second_factor_is_shown_also_after_the_card(office: Office) -> None:
    factor = {"account": "sato", "kind": "totp", "label": "", "secret": b"x", "added_at_ms": 1}
    office.sites.town.change(schema.second_factor.insert().values(**factor, confirmed_at_ms=1))
    who = office.bound()
    assert office.try_pin(who).status == 303
    assert who.get("/own").location.startswith("/second")


# --- the PIN -------------------------------------------------------------------------------------


def test_a_pin_is_set_by_who_knows_the_password(office: Office) -> None:
    own = office.visitor("suzuki")
    new = {"pin": OTHER, "pin_again": OTHER}
    for fields, status in (
        (new | {"password": "wrong wrong wrong"}, 401),
        (new, 422),
        (new | {"password": PASSWORD, "pin_again": PIN}, 422),
        (new | {"password": PASSWORD, "pin": "123456", "pin_again": "123456"}, 422),
    ):
        answer = own.post("/security/card-pin", **fields)
        assert answer.status == status
        assert OTHER not in answer.text
    assert own.post("/security/card-pin", password=PASSWORD, **new).status == 303
    assert office.schools.audited("card-pin.set")[-1] == (f"{SCHOOL} T-2", "")
    assert office.try_pin(office.bound(), card_of("T-2"), OTHER).status == 303
    assert own.post("/security/card-pin/remove").status == 303
    assert office.try_pin(office.bound(), card_of("T-2"), OTHER).status == 401


def test_who_has_no_password_comes_fresh_from_the_provider(office: Office) -> None:
    own, new = office.visitor("suzuki"), {"pin": OTHER, "pin_again": OTHER}
    office.sites.town.change(
        schema.account.update().where(schema.account.c.name == "suzuki").values(password="")
    )
    office.clock.at_ms += 16 * 60_000
    assert "いったんログアウトし" in own.post("/security/card-pin", **new).text
    office.clock.at_ms -= 16 * 60_000
    assert own.post("/security/card-pin", **new).status == 303


def test_who_may_do_anything_in_the_office_has_no_pin(office: Office) -> None:
    give(office, "suzuki", "attendance:school:kita-sho")
    for name in ("suzuki", "hana"):
        who = office.visitor(name)
        assert "/security/card-pin" not in who.get("/security").text
        for answer in (who.get("/security/card-pin"), who.post("/security/card-pin", pin=OTHER)):
            assert answer.status == 403


def test_a_clerk_stops_it_and_sees_no_pin(office: Office) -> None:
    clerk = office.visitor("hana")
    assert "PINは見えません" in clerk.get("/members/1").text
    for _ in range(2):
        assert clerk.post("/members/1/account/card-pin/remove").status == 303
    assert office.try_pin(office.bound()).status == 401
    assert office.schools.audited("card-pin.removed") == [(f"{SCHOOL} T-1", "")] * 2


# --- what the pages look like --------------------------------------------------------------------


def test_the_pages_are_for_everybody(office: Office, browser: Browser) -> None:
    assert look_over(browser, office.site, "hana", ["/desk/browsers"]) == {}
    own = ["/security", "/security/card-pin"]
    assert look_over(browser, office.site, "sato", own, "/own") == {}
