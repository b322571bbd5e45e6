"""Calendars by secret addresses: what they show, to whom, and that an ended one is no more."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from playwright.sync_api import Browser, Page, expect

from fleet import people, rights, schema, work_accounts, work_closing, work_entries
from fleet.web import feed_door
from fleet.work_entries import NewEntry
from tests.fleet import ical_reader
from tests.fleet.ical_reader import Calendar
from tests.fleet.work_kit import JUNE, NORTH, RULES, SOUTH, at
from tests.web.conftest import sign_in
from tests.web.look_over import look_over
from tests.web.test_school_pages import NOW_MS, SECRET, Gated, asks, gated, works
from tests.web.visitor import Answer, Visitor, add_person

PAGE = "/security/calendar"
HOUR_MS = 3_600_000


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        add_person(made.sites.town, "tanaka")
        bind(made, "T-1")
        yield made


def bind(town: Gated, number: str, account: str = "tanaka") -> None:
    with town.schools.office.write() as connection:
        act = town.schools.act(town.schools.members[number], who="hana")
        work_accounts.bind(connection, act, account)


def address(town: Gated, who: str, organisation: str = "") -> str:
    """Make an address as its owner does; return its path."""
    page = town.visit(who).post(f"{PAGE}/make", organisation=organisation)
    assert page.status == 200
    whole = page.text.split('readonly value="')[1].split('"')[0]
    assert whole.startswith(f"{town.office}/calendar/")
    return whole.removeprefix(town.office)


def fetch(town: Gated, path: str) -> Answer:
    """Read it as a calendar does: without a cookie."""
    return Visitor(town.office).get(path)


def calendar(town: Gated, path: str) -> Calendar:
    answer = fetch(town, path)
    assert answer.status == 200, answer.text
    return ical_reader.read(answer.body)


def later(town: Gated, by_ms: int) -> None:
    town.sites.town.clock.at_ms += by_ms


# --- what they show ------------------------------------------------------------------------------


def test_ones_own_calendar_shows_what_is_owed_and_when_one_is_away(town: Gated) -> None:
    leave = NewEntry("leave", at(6, "13:00", month=7), at(6, "15:00", month=7), SECRET)
    study = NewEntry("study", at(6, "19:00", month=7), at(6, "20:00", month=7), SECRET)
    with town.schools.office.write() as connection:
        for number in ("T-1", "T-2"):
            act = town.schools.act(town.schools.members[number], who="tanaka")
            for one in (leave, study):
                work_entries.declare(connection, act, one, RULES)
    found = calendar(town, address(town, "tanaka"))
    by_title = {one["SUMMARY"]: one for one in found.events.values()}
    assert set(by_title) == {"打刻が足りません", "休暇（時間）"}
    assert by_title["休暇（時間）"]["DTSTART"] == "20260706T040000Z"
    assert by_title["休暇（時間）"]["TRANSP"] == "OPAQUE"
    owed = [one["DTSTART"] for one in found.events.values() if one["SUMMARY"] != "休暇（時間）"]
    assert "20260701" in owed, "came on the 1st and never left"
    assert found.properties["X-WR-CALNAME"] == "勤務（かざす）"
    assert list(found.titles).count("休暇（時間）") == 1, "nobody else's"


def test_a_schools_calendar_counts_and_names_nobody(town: Gated) -> None:
    asks(town.schools, "T-1", SECRET)
    works(town.schools, "T-2", "17:00")
    path = address(town, "kyoto", NORTH)
    answer = fetch(town, path)
    found = ical_reader.read(answer.body)
    assert "待っている申請 1件" in found.titles
    assert "2026-06の締めがまだです" in found.titles
    assert "海の日" in found.titles
    missing = {
        one["DTSTART"]: one["SUMMARY"]
        for one in found.events.values()
        if "打刻の足りない" in one["SUMMARY"]
    }
    assert missing["20260701"] == "打刻の足りない人 4人"
    assert min(missing) >= "20260626"
    text = answer.body.decode().replace("\r\n ", "")
    for told in ("教員", SECRET, "T-1", "キョウイン"):
        assert told not in text
    with town.schools.office_fleet.read() as fleet, town.schools.office.write() as connection:
        now_ms = town.sites.town.clock.now_ms()
        for month in (datetime.date(2026, 5, 1), JUNE):
            work_closing.close(fleet, connection, SOUTH, month, "sato", now_ms)
    assert not [one for one in calendar(town, address(town, "sato", SOUTH)).titles if "締め" in one]


def test_events_stay_themselves_from_one_reading_to_the_next(town: Gated) -> None:
    path = address(town, "kyoto", NORTH)
    first = calendar(town, path)
    later(town, HOUR_MS)
    assert calendar(town, path) == first
    other = calendar(town, address(town, "sato", SOUTH))
    assert first.events.keys().isdisjoint(other.events)


def test_what_was_done_is_gone_a_few_minutes_later(town: Gated) -> None:
    path = address(town, "kyoto", NORTH)
    before = calendar(town, path)
    asks(town.schools, "T-1", "忘れた")
    assert calendar(town, path) == before, "given again while it is fresh"
    later(town, feed_door.KEPT_MS)
    assert "待っている申請 1件" in calendar(town, path).titles


# --- to whom -------------------------------------------------------------------------------------


def test_an_answer_is_kept_nowhere_and_sets_no_cookie(town: Gated) -> None:
    answer = fetch(town, address(town, "tanaka") + "?lang=en&programme=attendance")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    unknown = fetch(town, f"/calendar/{'x' * 43}.ics?lang=en")
    assert "Set-Cookie" not in unknown.headers


def test_an_ended_address_is_as_unknown_as_one_that_never_was(town: Gated) -> None:
    path = address(town, "tanaka")
    assert fetch(town, path).status == 200
    assert town.visit("tanaka").post(f"{PAGE}/end", organisation="").status == 303
    ended, never = fetch(town, path), fetch(town, f"/calendar/{'x' * 43}.ics")
    odd = [fetch(town, f"/calendar/{one}") for one in ("x.ics", "", "a/b", f"{'%41' * 43}.ics")]
    for one in (ended, never, *odd):
        assert one.status == 404
        assert one.body == never.body
        heads = {name: text for name, text in one.headers.items() if name != "Date"}
        assert heads == {name: text for name, text in never.headers.items() if name != "Date"}
    assert Visitor(town.office).send(path, b"", "POST").status == 405


def test_a_new_address_ends_the_old_one(town: Gated) -> None:
    first, school = address(town, "tanaka"), address(town, "kyoto", NORTH)
    second = address(town, "tanaka")
    assert [fetch(town, one).status for one in (first, second, school)] == [404, 200, 200]


def test_an_address_ends_with_the_right_and_does_not_come_back(town: Gated) -> None:
    path, fleet = address(town, "kyoto", NORTH), town.sites.town.fleet()
    right = rights.parse(f"attendance:school:{NORTH}")
    with fleet.write() as connection:
        rights.give(connection, "kyoto", [rights.parse("attendance:approver")], "umi", NOW_MS)
    assert fetch(town, path).status == 404
    with fleet.write() as connection:
        rights.give(connection, "kyoto", [right], "umi", NOW_MS)
    fleet.close()
    assert fetch(town, path).status == 404
    assert ("attendance", NORTH) in town.schools.audited("work.feed-ended")


@pytest.mark.parametrize("way", ["closed", "password"])
def test_an_address_ends_with_the_account(town: Gated, way: str) -> None:
    path, fleet = address(town, "kyoto", NORTH), town.sites.town.fleet()
    with fleet.write() as connection:
        if way == "closed":
            here = schema.account.update().where(schema.account.c.name == "kyoto")
            connection.execute(here.values(closed_at_ms=NOW_MS))
        else:
            rights.give(connection, "hana", [rights.parse("*:admin")], "umi", NOW_MS)
            people.give_password(connection, "kyoto", "hana", NOW_MS)
    fleet.close()
    assert fetch(town, path).status == 404


def test_an_account_that_becomes_somebody_elses_opens_no_old_address(town: Gated) -> None:
    path = address(town, "tanaka")
    with town.schools.office.write() as connection:
        act = town.schools.act(town.schools.members["T-1"], who="hana")
        work_accounts.unbind(connection, act, "tanaka")
    bind(town, "T-2")
    assert fetch(town, path).status == 404
    assert town.schools.audited("work.feed-ended") == [("attendance T-1", "")]


def test_nobody_makes_an_address_of_what_he_may_not_see(town: Gated) -> None:
    add_person(town.sites.town, "idle")
    for who, organisation in (
        ("kyoto", SOUTH),
        ("kyoto", ""),
        ("tanaka", NORTH),
        ("mori", NORTH),
        ("hana", NORTH),
        ("idle", ""),
    ):
        answer = town.visit(who).post(f"{PAGE}/make", organisation=organisation)
        assert answer.status == 404, (who, organisation)
    assert town.schools.audited("work.feed-made") == []
    guest = Visitor(town.office)
    assert guest.get(PAGE).status == 303
    assert guest.send(f"{PAGE}/make", b"organisation=").status == 403


# --- what is kept --------------------------------------------------------------------------------


def everything_kept(town: Gated) -> str:
    """Return all rows of both databases, and all files beside them, as text."""
    folder = town.sites.town.config.state_folder
    return "".join(
        path.read_bytes().decode("latin-1") for path in sorted(folder.rglob("*")) if path.is_file()
    )


def test_the_secret_stands_nowhere_also_when_reading_fails(town: Gated) -> None:
    path = address(town, "tanaka")
    token = path.removeprefix("/calendar/").removesuffix(".ics")
    assert fetch(town, path).status == 200
    with town.schools.people.write() as connection:
        connection.exec_driver_sql("ALTER TABLE work_entry RENAME TO work_entry_away")
    later(town, HOUR_MS)
    with structlog.testing.capture_logs() as logs:
        failed = fetch(town, path)
    assert failed.status == 503
    assert [one["event"] for one in logs] == ["feed.failed"]
    assert token not in json.dumps(logs, default=repr)
    assert token not in failed.text
    assert token not in everything_kept(town)


def test_reading_is_no_look_and_its_owner_sees_when_it_was_read(town: Gated) -> None:
    path = address(town, "kyoto", NORTH)
    who = town.visit("kyoto")
    assert "まだありません" in who.get(PAGE).text
    before = town.schools.ask(schema.person_audit.select())
    for _ in range(3):
        assert fetch(town, path).status == 200
    assert town.schools.ask(schema.person_audit.select()) == before
    assert "まだありません" not in who.get(PAGE).text
    (row,) = town.schools.ask(schema.work_feed.select())
    assert row.read_at_ms == NOW_MS
    later(town, HOUR_MS - 1)
    fetch(town, path)
    later(town, 1)
    assert [one.read_at_ms for one in town.schools.ask(schema.work_feed.select())] == [NOW_MS]
    fetch(town, path)
    (row,) = town.schools.ask(schema.work_feed.select())
    assert row.read_at_ms == NOW_MS + HOUR_MS


def test_who_asks_without_end_is_told_to_wait(town: Gated) -> None:
    asker = Visitor(town.office)
    answers = [
        asker.get("/calendar/x.ics", **{"X-Forwarded-For": "192.0.2.7"})
        for _ in range(feed_door.REQUESTS_BURST + 1)
    ]
    assert [one.status for one in answers[:-1]] == [404] * feed_door.REQUESTS_BURST
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert fetch(town, address(town, "tanaka")).status == 200, "another network address"


# --- the page ------------------------------------------------------------------------------------


def test_an_address_is_made_and_ended_by_the_keyboard(town: Gated, page: Page) -> None:
    sign_in(page, town.office, "tanaka")
    page.wait_for_url(f"{town.office}/own")
    page.get_by_role("link", name="カレンダーに出す").press("Enter")
    page.get_by_role("button", name="アドレスを作る").press("Enter")
    made = page.get_by_label("秘密のアドレス").input_value()
    assert calendar(town, made.removeprefix(town.office)).properties
    page.goto(town.office + PAGE)
    expect(page.locator("main")).not_to_contain_text("秘密のアドレス:")
    assert made not in page.content()
    page.get_by_role("button", name="やめる").press("Enter")
    expect(page.locator(".notice").first).to_contain_text("使えなくなりました")
    assert fetch(town, made.removeprefix(town.office)).status == 404


def test_the_page_of_addresses_is_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    address(town, "kyoto", NORTH)
    assert look_over(browser, town.office, "kyoto", (PAGE, "/security")) == {}
