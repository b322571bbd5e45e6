"""A taxi company's office: its board, rides to check, slips by the keyboard; nothing of another."""

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import schema, store
from fleet.grants import Role
from fleet.web import office
from tests.fleet.company_kit import (
    ASAHI,
    MINATO,
    NOON_MS,
    NOW_MS,
    add_companies,
    add_members,
    card_of,
    reader_of,
    send,
    settled,
    shift,
    tap,
)
from tests.web.conftest import Sites, open_sites, sign_in
from tests.web.keystrokes import Clerk
from tests.web.look_over import look_over
from tests.web.reach_kit import routes_of
from tests.web.town import Town, empty_town
from tests.web.visitor import Visitor, add_person, visitor

HOUR_MS = 3_600_000
PAGES = (
    "/vehicles",
    "/vehicles/check",
    "/vehicles/check?days=92&kind=no-fare",
    "/vehicles/enter",
    "/vehicles/enter?vehicle=taxi-1&driver=17",
    "/vehicles/rides/1",
    "/vehicles/taxi-1/lost",
    "/vehicles/taxi-2/lost",
)


@pytest.fixture
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Two companies; mika works for one, sora for the other, hana for the city."""
    town = empty_town(tmp_path_factory.mktemp("companies"))
    town.clock.at_ms = NOW_MS
    fill(town)
    with open_sites(town) as opened:
        yield opened


def fill(town: Town) -> None:
    fleet, people = town.fleet(), town.persons()
    with fleet.write() as connection:
        add_companies(connection)
        settled(connection, 2, ["M-001"], NOON_MS)
        settled(connection, 3, ["M-002"], NOON_MS, fare_yen=0)
        settled(
            connection, 2, ["M-002"], NOON_MS, place="taxi-9", organisation=MINATO,
            fare_yen=42_424, driver="himitsu",
        )  # fmt: skip
        send(connection, "taxi-1", tap(4, "M-001", NOON_MS - HOUR_MS))
        send(connection, "taxi-2", shift(2, "23", NOON_MS))
        for place, ago_ms, waiting in (("taxi-1", 3 * HOUR_MS, 4), ("taxi-2", 0, 0)):
            row = {"reader": reader_of(place), "online": not ago_ms, "ready": True, "rosters": []}
            row |= {"received_at_ms": NOW_MS - ago_ms, "status_at_ms": NOW_MS, "waiting": waiting}
            connection.execute(schema.reader_state.insert().values(row | {"agent": "k 1.2"}))
    with people.write() as connection:
        add_members(connection)
    people.close()
    fleet.close()
    add_person(town, "mika", f"taxi:company:{ASAHI}")
    add_person(town, "sora", f"taxi:company:{MINATO}")


@pytest.fixture
def mika(sites: Sites, page: Page) -> Page:
    sign_in(page, sites.office, "mika")
    page.wait_for_url(f"{sites.office}/")
    return page


def test_the_board_says_what_to_do_about_each_vehicle_and_stays_live(
    sites: Sites, mika: Page
) -> None:
    mika.goto(f"{sites.office}/vehicles")
    board = mika.locator("#now")
    expect(board).to_contain_text("2台（接続中1台）")
    expect(board).to_contain_text("未送信のまま2時間以上")
    expect(board.locator("tbody tr").nth(1)).to_contain_text("23")
    came = {"online": True, "waiting": 0, "received_at_ms": NOW_MS}
    mine = schema.reader_state.c.reader == reader_of("taxi-1")
    sites.town.change(schema.reader_state.update().where(mine).values(came))
    expect(board).to_contain_text("2台（接続中2台）")
    expect(board).not_to_contain_text("2時間以上")


def test_a_paper_ticket_is_entered_by_the_keyboard_and_undone(sites: Sites, mika: Page) -> None:
    clerk = Clerk(mika, f"{sites.office}/vehicles/enter?vehicle=taxi-1&driver=17")
    assert mika.evaluate("document.activeElement.id") == "time"
    mika.keyboard.type("0300PM")
    for name, text in (
        ("number1", "M-001"),
        ("letter1", "べ"),
        ("ticket1", "A-12"),
        ("fare", "1500"),
    ):
        clerk.write(mika.locator(f"#{name}"), text)
    mika.keyboard.press("Enter")
    expect(mika.locator("main")).to_contain_text("登録あり・利用できます")
    expect(mika.locator("main")).to_contain_text("補助 750円 / お支払い 750円")
    assert mika.evaluate("document.activeElement.id") == "enter"
    mika.keyboard.press("Enter")
    expect(mika.locator(".notice")).to_contain_text("補助750円")
    assert mika.locator("#vehicle").input_value() == "taxi-1"
    assert mika.locator("#number1").input_value() == ""
    (row,) = sites.town.ask(sa.select(schema.ride).where(schema.ride.c.medium == "paper"))
    assert (row.subsidy_yen, row.ticket, row.organisation, row.who) == (750, "A-12", ASAHI, "mika")
    mika.click(".notice button")
    expect(mika.locator(".notice").first).to_contain_text("取り消しました")
    sums = sa.select(sa.func.sum(schema.ride.c.subsidy_yen)).where(schema.ride.c.medium == "paper")
    assert sites.town.ask(sums) == [(0,)]


def slip(sites: Sites, **changes: str) -> dict[str, str]:
    day = "2026-06-03"
    fields = {"reason": "paper", "day": day, "time": "15:00", "vehicle": "taxi-1", "driver": "17"}
    return (
        fields | {"number1": "M-001", "letter1": "ベ", "ticket1": "T-1", "fare": "1500"} | changes
    )


def looked(who: Visitor, fields: dict[str, str]) -> tuple[int, str, str]:
    """Look at a slip; return the answer and what says that it was looked at."""
    answer = who.post("/vehicles/enter", **fields)
    found = re.search(r'name="seen" value="(\w+)"', answer.text)
    return answer.status, answer.text, found[1] if found else ""


def test_what_is_entered_is_what_was_looked_at(sites: Sites) -> None:
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    status, text, seen = looked(mika, slip(sites))
    assert (status, "補助 750円" in text) == (200, True)
    changed = slip(sites, fare="3000", seen=seen)
    status, text, again = looked(mika, changed)
    assert (status, "補助 1,000円" in text) == (200, True)
    assert again != seen
    entered = sites.town.ask(sa.select(schema.ride.c.id).where(schema.ride.c.medium == "paper"))
    assert entered == []
    assert mika.post("/vehicles/enter", **slip(sites, fare="3000", seen=again)).status == 303
    (fare,) = sites.town.ask(
        sa.select(schema.ride.c.fare_yen).where(schema.ride.c.medium == "paper")
    )
    assert fare == (3_000,)


def test_over_the_allowance_is_said_before_and_asks_for_a_reason(sites: Sites) -> None:
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    for n, time in enumerate(("13:00", "14:00", "15:00")):
        fields = slip(sites, time=time, ticket1=f"T-{n}")
        status, text, seen = looked(mika, fields)
        assert status == 200
        assert ("利用枠を超えます" in text) == (n == 2)
        answer = mika.post("/vehicles/enter", **fields, seen=seen)
        assert answer.status == (409 if n == 2 else 303)
    assert "理由を入れてください" in answer.text
    assert mika.post("/vehicles/enter", **fields, seen=seen, why="通院").status == 303
    codes = sites.town.ask(sa.select(schema.ride.c.code).where(schema.ride.c.medium == "paper"))
    assert codes == [("ok",), ("ok",), ("used-up",)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"number1": "M-404"}, "この登録番号とフリガナの人はいません"),
        ({"letter1": "ア"}, "この登録番号とフリガナの人はいません"),
        ({"letter1": ""}, "フリガナの1字目を入れてください"),
        ({"number1": ""}, "1人目から順に"),
        ({"number3": "M-002", "letter3": "ア"}, "1人目から順に"),
        ({"number2": "M-001", "letter2": "ベ"}, "同じ人が2回"),
        ({"fare": "0"}, "1円から"),
        ({"fare": "多い"}, "1円から"),
        ({"day": "2026-06-04"}, "過去で入れてください"),
        ({"day": "2020-06-03"}, "過去で入れてください"),
        ({"time": "25:00"}, "乗車時刻を入れてください"),
        ({"time": "05:00"}, "補助の時間外"),
        ({"vehicle": "taxi-9"}, "車両を選んでください"),
        ({"reason": "x"}, "理由を選んでください"),
        ({"ticket1": ""}, "利用券の番号を入れてください"),
        ({"number1": "123456789018"}, "個人番号"),
    ],
)
def test_a_slip_that_cannot_be_so_is_refused_beside_its_field(
    sites: Sites, change: dict[str, str], said: str
) -> None:
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    status, text, seen = looked(mika, slip(sites, **change))
    assert status in (409, 422)
    assert said in text
    assert seen == ""


def test_a_doubtful_ride_is_taken_back_with_a_reason(sites: Sites, mika: Page) -> None:
    mika.goto(f"{sites.office}/vehicles/check")
    expect(mika.locator("main")).to_contain_text("運賃が入力されていない乗車")
    expect(mika.locator("main")).to_contain_text("運賃が0円")
    mika.locator("section[aria-labelledby=h-rides] a").first.click()
    mika.fill("#why", "乗車なし")
    mika.click("button.danger")
    expect(mika.locator("main")).to_contain_text("mikaが取り消しました。理由：乗車なし")
    mika.goto(f"{sites.office}/vehicles/check?kind=no-fare")
    expect(mika.locator("main")).to_contain_text("確認する乗車はありません")


def dies(sites: Sites) -> int:
    """Taxi 1 was last heard two days ago and said that it had written nine numbers."""
    mine = schema.journal.c.reader == reader_of("taxi-1")
    marks = {"spans": [[1, 4]], "seen": 4, "claimed": 9}
    sites.town.change(schema.journal.update().where(mine).values(marks))
    quiet = {"received_at_ms": NOW_MS - 48 * HOUR_MS, "online": False}
    of_reader = schema.reader_state.c.reader == reader_of("taxi-1")
    sites.town.change(schema.reader_state.update().where(of_reader).values(quiet))
    ((number,),) = sites.town.ask(sa.select(schema.journal.c.id).where(mine))
    return int(number)


def test_a_dead_reader_is_written_off_by_the_city_alone(sites: Sites, page: Page) -> None:
    number = dies(sites)
    path = f"/vehicles/taxi-1/lost/{number}/write-off"
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    shown = mika.get("/vehicles/taxi-1/lost").text
    assert "SDカードから取り戻す" in shown
    assert path not in shown
    assert mika.post(path, why="水没").status == 403
    sign_in(page, sites.office, "hana")
    page.wait_for_url(f"{sites.office}/")
    page.goto(f"{sites.office}/vehicles/taxi-1/lost")
    row = page.locator("section[aria-labelledby=h-missing] tbody tr")
    expect(row).to_contain_text("5")
    row.locator("input[name=why]").fill("水没、日報で確認")
    row.locator("button").click()
    expect(page.locator(".notice")).to_contain_text("不足5件を締めました")
    expect(page.locator("main")).to_contain_text("届いていない記録はありません")
    hows = sites.town.ask(sa.select(schema.gap.c.how, schema.gap.c.closed_by))
    assert hows == [("written-off", "hana")]


def test_a_reader_that_is_still_heard_is_not_written_off(sites: Sites) -> None:
    number = dies(sites)
    heard = {"received_at_ms": NOW_MS - HOUR_MS}
    sites.town.change(schema.reader_state.update().values(heard))
    hana = Visitor(sites.office)
    hana.sign_in("hana")
    assert "24時間たつと" in hana.get("/vehicles/taxi-1/lost").text
    answer = hana.post(f"/vehicles/taxi-1/lost/{number}/write-off", why="水没")
    assert answer.status == 409
    assert hana.post(f"/vehicles/taxi-1/lost/{number}/write-off", why="").status == 422


def test_a_companys_first_page_leads_to_its_own(sites: Sites) -> None:
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    first = mika.get("/").text
    for path in ("/vehicles", "/vehicles/check", "/vehicles/enter"):
        assert f'<li><a href="{path}">' in first


def test_a_companys_pages_are_for_every_eye_and_hand(sites: Sites, browser: Browser) -> None:
    assert look_over(browser, sites.office, "mika", PAGES) == {}


# --- who reaches what ----------------------------------------------------------------------------

SECRETS = ("ひみつ", "ヒミツ", "himitsu", "42,424", "42424", card_of("M-001"), card_of("M-002"))
"""Of the other company, and of every person: no company is ever sent one."""


def test_a_company_sees_nothing_of_another_and_no_person(sites: Sites) -> None:
    databases = sites.town.config.databases
    opened = store.open_fleet(databases, Role.OFFICE), store.open_persons(databases, Role.OFFICE)
    routes = routes_of(office.application(sites.town.config, *opened, sites.town.clock))
    for one in opened:
        one.close()
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    token = mika.token()
    theirs = [
        str(number)
        for (number,) in sites.town.ask(
            sa.select(schema.ride.c.id).where(schema.ride.c.organisation == MINATO)
        )
    ]
    before = sites.town.ask(sa.select(schema.ride))
    asked = 0
    for method, route, _ in routes:
        if route.startswith(("/static", "/api/", "/logout", "/oidc", "/login")):
            continue
        named = re.sub(r"\{ride\}", theirs[0], re.sub(r"\{vehicle\}", "taxi-9", route))
        path = re.sub(r"\{\w+\}", "1", named)
        for query in ("", f"?company={MINATO}&days=92&programme=taxi"):
            if path.endswith("/live"):
                answer = mika.peek(path + query)
            else:
                body = f"csrf={token}&why=x&vehicle=taxi-9".encode()
                sent = None if method == "GET" else body
                answer = mika.send(path + query, sent, method)
            told = answer.body.decode("utf-8", "replace")
            assert [one for one in SECRETS if one in told] == [], (method, path, query)
            if route.startswith("/vehicles") and (query or named != route):
                assert answer.status == 404, (method, path, query, answer.status)
            asked += 1
    assert asked > 100
    assert sites.town.ask(sa.select(schema.ride)) == before


def test_the_other_company_and_the_city_do_see_it(sites: Sites) -> None:
    """So the marks stand where they are shown: the test above can fail."""
    sora = Visitor(sites.office)
    sora.sign_in("sora")
    assert "ひみつ号" in sora.get("/vehicles").text
    assert "42,424" in sora.get("/vehicles/check").text
    hana = Visitor(sites.office)
    hana.sign_in("hana")
    assert "ひみつ号" in hana.get(f"/vehicles?company={MINATO}").text
    assert "1号車" in hana.get("/vehicles").text


def test_the_citys_auditor_looks_and_changes_nothing(sites: Sites) -> None:
    reads = visitor(sites.office, sites.town, "mori", "taxi:auditor")
    assert reads.get("/vehicles/check").status == 200
    assert reads.get("/vehicles/enter").status == 403
    assert reads.post("/vehicles/enter", **slip(sites)).status == 403
    assert reads.post("/vehicles/rides/1/take-back", why="x").status == 404
    other = visitor(sites.office, sites.town, "ueda", "attendance:clerk")
    assert other.get("/vehicles").status == 403


def test_a_day_without_vehicles_says_so(sites: Sites) -> None:
    new = visitor(sites.office, sites.town, "new", "taxi:company:new-taxi")
    for path in ("/vehicles", "/vehicles/enter"):
        assert "車両がありません" in new.get(path).text
