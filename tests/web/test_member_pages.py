"""A member's life at the counter: found, helped, changed, undone, disclosed and erased."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web
from playwright.sync_api import BrowserContext, Page, expect

from fleet import desk_wait, rights
from fleet.rights import OfficeRole, Right
from fleet.schema import card, member, person, person_audit
from fleet.web import member_steps_page
from fleet.web import office as office_process
from tests.web.conftest import Cookies, Sites, csrf_of
from tests.web.riders import BUS, LIMIT, add_riders
from tests.web.town import credential_of
from tests.web.visitor import visitor
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid

NUMBER = "123456789018"
Sent = dict[str, str | float | bool]
"""A form as Playwright sends it."""


@pytest.fixture
def riders(sites: Sites) -> tuple[int, int]:
    return add_riders(sites)


def row(sites: Sites, member_id: int) -> Any:
    (found,) = sites.town.ask(member.select().where(member.c.id == member_id), persons=True)
    return found


def cards(sites: Sites, member_id: int) -> list[Any]:
    mine = card.select().where(card.c.member_id == member_id).order_by(card.c.id)
    return sites.town.ask(mine, persons=True)


def lines(sites: Sites) -> list[tuple[str, str, str]]:
    rows = sites.town.ask(person_audit.select().order_by(person_audit.c.id), persons=True)
    return [(one.what, one.subject, one.detail) for one in rows if one.who == "hana"]


def open_member(sites: Sites, page: Page, member_id: int) -> None:
    page.goto(f"{sites.office}/members/{member_id}")


def take(page: Page, summary: str, **fields: str) -> None:
    """Open one form of the page, fill it in, and send it."""
    page.locator("summary", has_text=re.compile(f"^{summary}$")).click()
    form = page.locator("details[open] form").filter(
        has=page.locator("button:visible")
    ).first  # fmt: skip
    for name, value in fields.items():
        field = form.locator(f"[name={name}]")
        if field.evaluate("one => one.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    form.locator("button").click()


def said(page: Page) -> Any:
    return page.locator("main > .notice").first


# --- found, and answered -------------------------------------------------------------------------


def test_one_who_is_found_alone_opens_with_one_key_and_what_is_left_is_said_before(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    office.goto(f"{sites.office}/members?programme={BUS}")
    office.keyboard.type("S15.4.1")
    office.keyboard.press("Enter")
    expect(office.locator(".count .big")).to_have_text(f"あと{LIMIT - 12}回")
    office.keyboard.press("Enter")
    office.wait_for_url(f"{sites.office}/members/{riders[0]}")
    expect(office.locator(".count .big")).to_have_text(f"あと{LIMIT - 12}回")


def test_several_who_are_found_are_told_apart_by_their_birth_dates(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    office.goto(f"{sites.office}/members?programme={BUS}&search=やまもと")
    text = office.locator("tbody").inner_text()
    assert "1940年4月1日" in text
    assert "1938年12月8日" in text
    expect(office.locator(".count")).to_have_count(0)


# --- steps ---------------------------------------------------------------------------------------


def test_a_lost_card_is_stopped_told_and_undone(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "このカードを止める", why="紛失届")
    expect(said(office)).to_contain_text("カードを止めました")
    assert cards(sites, riders[0])[0].stopped_why == "紛失届"
    expect(office.locator("#h-history ~ div tbody tr").first).to_contain_text("紛失届")
    said(office).get_by_role("button", name="取り消す").click()
    expect(said(office)).to_contain_text("取り消しました")
    assert cards(sites, riders[0])[0].stopped_from_ms is None


def test_who_moves_away_rides_until_the_day_and_that_is_taken_back(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "登録を終える", ended_kind="moved-away", last_day="2026-06-30")
    expect(said(office)).to_contain_text("登録を終えました")
    found = row(sites, riders[0])
    assert (str(found.valid_to), found.ended_kind) == ("2026-06-30", "moved-away")
    expect(office.locator(".facts").first).to_contain_text("転出")
    take(office, "登録を続ける", valid_to="2027-03-31", why="転出をやめた")
    found = row(sites, riders[0])
    assert (str(found.valid_to), found.ended_kind) == ("2027-03-31", "")


def test_a_refused_correction_keeps_what_was_typed_and_says_why_beside_the_field(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "登録内容を直す", name="山本 花", birth_date="昭和99年", why="住民票")
    expect(office.locator("#correct-birth_date-error")).to_contain_text("日付として読めません")
    assert office.locator("#correct-name").input_value() == "山本 花"
    assert office.evaluate("document.activeElement.className").endswith("error-summary")
    office.locator("#correct-birth_date").fill("S15.4.2")
    office.locator("#correct-why").fill("住民票で確かめた")
    office.get_by_role("button", name="直す", exact=True).click()
    expect(said(office)).to_contain_text("直しました")
    history = office.locator("#h-history ~ div tbody tr").first
    expect(history).to_contain_text("1940-04-01 → 1940-04-02")
    assert ("member.corrected", f"{BUS} S-001", "name birth_date") in lines(sites)
    assert "花" not in str(lines(sites))


def test_a_registration_number_is_not_changed_and_the_page_says_why(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    office.get_by_text("登録内容を直す").click()
    expect(office.locator("#h-data ~ details").first).to_contain_text("登録番号は変えられません")
    answer = office.request.post(
        f"{sites.office}/members/{riders[0]}/correct",
        form={
            "csrf": csrf_of(office),
            "stamp": office.locator("input[name=stamp]").input_value(),
            "registration_number": "S-999",
            "name": "山本 花",
            "why": "x",
        },
    )
    assert answer.ok
    assert row(sites, riders[0]).registration_number == "S-001"


def test_a_couple_exchanges_cards_and_what_was_ridden_goes_with_them(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "同じ世帯の人を加える", lives_with="S-002")
    office.get_by_role("link", name="カードを入れ替える").click()
    office.get_by_role("link", name="山本 太郎 さんと入れ替える").click()
    text = office.locator("main").inner_text()
    assert "12回ご利用" in text
    assert "3回ご利用" in text
    office.fill("#why", "登録のときに逆だった")
    office.get_by_role("button", name="カードを入れ替える").click()
    expect(said(office)).to_contain_text("入れ替えました")
    expect(office.locator(".count .big")).to_have_text(f"あと{LIMIT - 3}回")
    assert cards(sites, riders[0])[0].credential == credential_of("S-002")
    said(office).get_by_role("button", name="取り消す").click()
    expect(office.locator(".count .big")).to_have_text(f"あと{LIMIT - 12}回")


def test_a_card_held_at_the_desk_takes_the_place_of_the_lost_one(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    office.get_by_role("link", name="新しいカードを渡す").click()
    office.get_by_role("button", name="カードを読む").click()
    expect(office.locator("#desk-wait .word")).to_have_text("カードを待っています")
    (wait,) = sites.town.ask(sa.text("select id, reader from desk_wait"), persons=True)
    held = [DeskCard(Scheme.COMMON_AP, 1, "7e" * 16)]
    answer = DeskAnswer(1, wait.id, BUS, sites.town.clock.at_ms, DeskSaid.READ, held)
    people = sites.town.persons()
    with people.write() as connection:
        assert desk_wait.hear(connection, wait.reader, answer, sites.town.clock.at_ms)
    people.close()
    office.wait_for_url(f"{sites.office}/members/{riders[0]}")
    expect(said(office)).to_contain_text("カードを渡しました")
    old, new = cards(sites, riders[0])
    assert (old.stopped_why, new.credential, new.stopped_from_ms) == ("紛失届", "7e" * 16, None)
    expect(office.locator(".count .big")).to_have_text(f"あと{LIMIT - 12}回")


def test_nothing_is_given_before_a_card_was_read(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    office.goto(f"{sites.office}/members/{riders[0]}/replace")
    sent: Sent = {"csrf": csrf_of(office), "why": "紛失届", "stops": "all", "desk_reader": ""}
    answer = office.request.post(f"{sites.office}/members/{riders[0]}/replace", form=sent)
    assert answer.status == 422
    assert "カードがまだ読まれていません" in answer.text()
    assert cards(sites, riders[0])[0].stopped_from_ms is None


def test_a_consent_withdrawn_ends_it_and_a_slip_says_so(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "同意の撤回を受ける", why="もう使わない")
    expect(said(office)).to_contain_text("この制度の利用は終わりました")
    assert row(sites, riders[0]).ended_kind == "withdrawn"
    assert row(sites, 1).ended_kind == ""
    slip = office.request.get(f"{sites.office}/members/{riders[0]}/withdrawn.pdf")
    assert (slip.headers["content-type"], slip.body()[:5]) == ("application/pdf", b"%PDF-")
    assert office.request.get(f"{sites.office}/members/{riders[1]}/withdrawn.pdf").status == 404


# --- disclosure and erasure ----------------------------------------------------------------------


def test_a_disclosure_is_the_same_on_the_page_and_in_the_file(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    office.goto(f"{sites.office}/members/{riders[0]}/disclosure")
    shown = office.locator("#t-uses tbody tr").all_inner_texts()
    assert len(shown) == 12
    answer = office.request.get(f"{sites.office}/members/{riders[0]}/disclosure/file")
    body = answer.body().decode("utf-8-sig")
    kept = [one[1:] for one in csv.reader(io.StringIO(body)) if one[0] == "利用"][1:]
    assert [one[: len(one) - 2] for one in kept] == [line.split("\t") for line in shown]
    assert credential_of("S-001") not in office.content() + body
    paper = office.request.get(f"{sites.office}/members/{riders[0]}/disclosure.pdf")
    assert paper.body()[:5] == b"%PDF-"
    told = [what for what, subject, _ in lines(sites) if subject == f"{BUS} S-001"]
    assert {"person.disclosed", "person.printed", "person.exported"} <= set(told)


def test_a_request_for_correction_stands_on_top_until_it_is_answered(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "訂正の請求を記録する", why="番地が違うとのこと")
    open_member(sites, office, riders[0])
    expect(said(office)).to_contain_text("番地が違うとのこと")
    take(office, "訂正の請求に答える", why="この制度は番地を持たないと伝えた")
    open_member(sites, office, riders[0])
    expect(office.locator(".notice")).to_have_count(0)


def test_who_is_erased_is_named_twice_and_then_known_by_the_number_alone(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    office.goto(f"{sites.office}/members/{riders[0]}/erase")
    office.fill("#registration_number", "S-002")
    office.get_by_role("button", name="消去する").click()
    expect(office.locator("#registration_number-error")).to_contain_text("登録番号と違います")
    office.fill("#registration_number", "S-001")
    office.get_by_role("button", name="消去する").click()
    expect(said(office)).to_contain_text("消去しました")
    assert "山本 花子" not in office.content()
    office.goto(f"{sites.office}/members/{riders[0]}/disclosure")
    expect(office.locator("main")).to_contain_text("開示できるものはありません")
    office.goto(f"{sites.office}/members?programme={BUS}&search=S-001")
    expect(office.locator(".empty")).to_contain_text("この登録番号の人は消去されました")
    office.goto(f"{sites.office}/members?programme={BUS}&search=")
    assert office.locator("tbody th a").all_inner_texts() == ["山本 太郎"]


# --- who may, and that it is written down --------------------------------------------------------


@pytest.mark.parametrize("day", ["1899-12-31", "2026-06-04"])
def test_a_correction_takes_no_birth_date_that_enrolment_refuses(sites: Sites, day: str) -> None:
    clerk = visitor(sites.office, sites.town, "umare", "attendance:clerk")
    before = sites.town.ask(person.select(), persons=True)
    sent = {"name": "佐藤", "birth_date": day, "why": "x", "stamp": "x"}
    page = clerk.post("/members/1/correct", **sent)
    assert (page.status, "1900-01-01 から今日までの日" in page.text) == (422, True)
    assert sites.town.ask(person.select(), persons=True) == before


def test_a_correction_overwrites_none_that_somebody_made_meanwhile(sites: Sites) -> None:
    taro = visitor(sites.office, sites.town, "taro", "attendance:clerk")
    page = taro.get("/members/1").text
    names = "stamp|name|kana|birth_date|category|valid_from|valid_to"
    shown = dict(re.findall(rf'name="({names})"[^>]*value="([^"]*)"', page))
    first = {**shown, "kana": "サトウ ハルコ", "why": "カナの誤り"}
    assert taro.post("/members/1/correct", **first).status == 303
    second = taro.post("/members/1/correct", **{**shown, "category": "staff", "why": "区分"})
    assert second.status == 409
    assert "この間にほかの人が直しました" in second.text
    assert 'value="staff"' in second.text
    corrected = [one for one in taro.get("/members/1/disclosure").text.split() if "ハルコ" in one]
    assert corrected


def test_an_exchange_that_is_sent_twice_does_not_change_the_cards_back(
    sites: Sites, riders: tuple[int, int]
) -> None:
    mine, other = riders
    before = {one.id: one.member_id for one in (*cards(sites, mine), *cards(sites, other))}
    taro = visitor(sites.office, sites.town, "taro", f"{BUS}:clerk")
    shown = re.search(
        r'name="cards" value="([^"]*)"', taro.get(f"/members/{mine}/exchange?with={other}").text
    )
    assert shown is not None
    sent = {"with": str(other), "why": "取り違え", "cards": shown[1]}
    assert taro.post(f"/members/{mine}/exchange", **sent).status == 303
    again = taro.post(f"/members/{mine}/exchange", **sent)
    assert again.status == 409
    assert "その間にカードが入れ替わったか" in again.text
    assert 'value="取り違え"' in again.text
    after = {one.id: one.member_id for one in (*cards(sites, mine), *cards(sites, other))}
    assert after == {one: mine if of == other else other for one, of in before.items()}


def paths(method: str) -> list[str]:
    """Return every path of the office that names a member, whoever wrote its page."""
    found = [
        route.path
        for table in office_process.ROUTES
        for route in table
        if isinstance(route, web.RouteDef) and route.method == method
    ]
    return [one for one in found if "{member" in one]


def filled(path: str, member_id: int) -> list[str]:
    """Return a path's addresses: every way of a step, the first card, the first event."""
    path = path.replace(r"{member:\d+}", str(member_id))
    path = path.replace(r"{card:\d+}", "1").replace(r"{event:\d+}", "1")
    if "{way:" not in path:
        return [path]
    return [re.sub(r"\{way:.*\}", way, path) for way in member_steps_page.WAYS]


def test_a_clerk_of_one_programme_finds_no_page_of_another(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    token = csrf_of(office)
    fleet = sites.town.fleet()
    with fleet.write() as connection:
        only = [Right("attendance", OfficeRole.CLERK)]
        rights.give(connection, "hana", only, "test", sites.town.clock.at_ms)
    fleet.close()
    before, held = lines(sites), cards(sites, riders[0])
    for path in paths("GET"):
        for address in filled(path, riders[0]):
            assert office.request.get(sites.office + address).status == 404, address
    for path in paths("POST"):
        for address in filled(path, riders[0]):
            sent: Sent = {"csrf": token, "why": "x", "with": "1", "registration_number": "S-001"}
            assert office.request.post(sites.office + address, form=sent).status == 404, address
    # nor by way of a member who is in reach
    other = f"{sites.office}/members/1/exchange?with={riders[0]}"
    assert office.request.get(other).status == 404
    swapped: Sent = {"csrf": token, "why": "x", "with": str(riders[0])}
    assert office.request.post(f"{sites.office}/members/1/exchange", form=swapped).status in (
        404,
        409,
    )
    joined: Sent = {"csrf": token, "lives_with": "S-001"}
    assert office.request.post(f"{sites.office}/members/1/join", form=joined).status == 409
    assert cards(sites, riders[0]) == held
    assert [one for one in lines(sites)[len(before) :] if "S-00" in str(one)] == []


def test_every_page_that_shows_a_member_leaves_a_line(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    take(office, "同意の撤回を受ける", why="もう使わない")  # so that its slip is there too
    not_shown = []
    for path in paths("GET"):
        for address in filled(path, riders[0]):
            before = len(lines(sites))
            answer = office.request.get(sites.office + address)
            if answer.status == 404:
                not_shown.append(address.rpartition("/")[2])
                continue
            new = lines(sites)[before:]
            assert any(subject == f"{BUS} S-001" for _, subject, _ in new), address
    assert sorted(not_shown) == ["replace", "terms"]  # no card for who has left; terms of teachers


def test_no_step_is_taken_by_an_individual_number(
    sites: Sites, office: Page, riders: tuple[int, int]
) -> None:
    open_member(sites, office, riders[0])
    sent: Sent = {
        "csrf": csrf_of(office),
        "why": NUMBER,
        "ended_kind": "other",
        "last_day": "2026-06-03",
    }
    sent |= {"name": "山本 花", "lives_with": NUMBER}
    for way in member_steps_page.WAYS:
        answer = office.request.post(f"{sites.office}/members/{riders[0]}/{way}", form=sent)
        assert answer.status == 422, way
        assert "個人番号" in answer.text()
        assert NUMBER not in answer.text()


def test_a_card_is_stopped_without_a_script(
    sites: Sites, signed_in: Cookies, browser: Any, riders: tuple[int, int]
) -> None:
    context: BrowserContext = browser.new_context(java_script_enabled=False, locale="ja-JP")
    context.add_cookies(signed_in["hana"])
    page = context.new_page()
    open_member(sites, page, riders[0])
    take_it: Callable[..., None] = page.locator("details form").first.locator("button").click
    page.locator("summary", has_text="このカードを止める").click()
    page.locator("[id^=stop-][id$=-why]").first.fill("紛失届")
    take_it()
    expect(page.locator(".notice")).to_contain_text("カードを止めました")
    context.close()
