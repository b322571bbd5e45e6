"""Enrolling at the counter in a real browser: one form, the card, the slip, and undo."""

import datetime
import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from fleet import consent as grounds
from fleet import desk_wait, enrolment
from fleet.schema import (
    card,
    consent,
    consent_basis,
    member,
    person,
    person_audit,
    reader_state,
    rule,
    triage,
)
from fleet.schema import desk_wait as waits
from tests.browser import violations
from tests.web.conftest import Cookies, Sites, csrf_of
from tests.web.town import CONSENT, DAY, NOW_MS, PASSWORD
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid

NUMBER = "123456789018"
"""Twelve digits with a right check digit, as in the government's own examples."""
REFUSED = "個人番号（マイナンバー）の形の値は受け取りません。保存していません"
MAI = {
    "registration_number": "T-005",
    "proposed": "T-005",
    "name": "渡邉　舞",
    "kana": "わたなべ まい",
    "birth_date": "S15.4.1",
    "valid_from": "2026-06-03",
    "consent": "yes",
    "basis": "1",
    "medium": "desk",
    "how": "none",
}


@pytest.fixture
def desk(sites: Sites) -> Sites:
    """A desk whose reader hears requests, and a senior pass from 70 on."""
    hears = reader_state.update().where(reader_state.c.reader.endswith("desk-1"))
    sites.town.change(hears.values(agent="kazasu-edge 0.3.0"))
    table = {
        "programme": "senior-pass",
        "version": "senior-pass/2026-04",
        "valid_from": datetime.date(2026, 4, 1),
        "parameters": {"rider_pays_yen": 50, "from_age": 70},
        "added_at_ms": NOW_MS,
        "added_by": "test",
    }
    sites.town.change(rule.insert().values(table))
    return sites


def answer(sites: Sites, said: DeskSaid, *cards: DeskCard) -> None:
    """The desk's reader says something about what is waited for there."""
    opened = sites.town.persons()
    with opened.write() as connection:
        (wait,) = connection.execute(waits.select().where(waits.c.state == "waiting"))
        told = DeskAnswer(1, wait.id, wait.programme, NOW_MS, said, list(cards))
        assert desk_wait.hear(connection, wait.reader, told, NOW_MS)
    opened.close()


def fill(page: Page, sites: Sites, programme: str = "senior-pass", **values: str) -> None:
    page.goto(f"{sites.office}/enrol?programme={programme}")
    typed = {"name": "渡邉　舞", "kana": "わたなべ まい", "birth_date": "S15.4.1"} | values
    for name, value in typed.items():
        page.fill(f"#{name}", value)
    if page.locator("#resident").count():
        page.check("#resident")
    page.check("#consent")


def post(sites: Sites, page: Page, programme: str = "attendance", **values: str) -> Any:
    """Send the form as a browser without a script does, and do not follow."""
    form: dict[str, str | float | bool] = {"csrf": csrf_of(page), **MAI, **values}
    return page.request.post(f"{sites.office}/enrol/{programme}", form=form, max_redirects=0)


def people(sites: Sites) -> list[tuple[str, str]]:
    joined = member.join(person, person.c.id == member.c.person_id)
    wanted = joined.select().with_only_columns(member.c.registration_number, person.c.name)
    return [tuple(row) for row in sites.town.ask(wanted.order_by(member.c.id), persons=True)]


def audited(sites: Sites) -> list[tuple[str, str]]:
    rows = sites.town.ask(person_audit.select(), persons=True)
    return [(row.what, row.subject) for row in rows if row.who == "hana"]


@pytest.fixture
def taxis(sites: Sites) -> Sites:
    """A taxi subsidy from 75 on, or on another ground."""
    table = {
        "programme": "taxi",
        "version": "taxi/2026-04",
        "valid_from": datetime.date(2026, 4, 1),
        "parameters": {},
        "added_at_ms": NOW_MS,
        "added_by": "test",
    }
    sites.town.change(rule.insert().values(table))
    opened = sites.town.persons()
    with opened.write() as connection:
        grounds.add_basis(connection, "taxi", CONSENT, "test", NOW_MS)
    opened.close()
    return sites


# --- the flow ------------------------------------------------------------------------------------


def test_somebody_is_enrolled_by_the_keyboard_the_card_and_nothing_else(
    desk: Sites, office: Page
) -> None:
    office.goto(f"{desk.office}/enrol?programme=senior-pass")
    keys = office.keyboard
    for text in ("渡邉　舞", "わたなべ まい", "S15.4.1"):  # the name has the focus
        keys.type(text)
        keys.press("Tab")
    expect(office.locator("#checked")).to_contain_text(
        "満86歳です。満70歳以上の条件を満たしています"
    )
    keys.press("Space")  # lives here
    keys.press("Tab")
    keys.press("Space")  # has consented
    office.fill("#registration_number", "S-0001")  # the first of this programme
    office.focus("#consent")
    keys.press("Enter")
    expect(office.locator("h1")).to_contain_text("カードをかざしてください")
    assert violations(office) == []
    answer(desk, DeskSaid.ASKING)
    answer(desk, DeskSaid.READ, DeskCard(Scheme.COMMON_AP, 1, "ab" * 16))
    office.wait_for_url(re.compile(r"/enrol/done/\d+$"))
    assert office.evaluate("document.activeElement.textContent") == "登録票を印刷する（PDF）"
    text = office.locator("main").inner_text()
    for shown in ("渡邉 舞", "ワタナベ マイ", "S-0001", "1940年4月1日", "2027年3月31日"):
        assert shown in text
    (given,) = desk.town.ask(card.select().where(card.c.credential == "ab" * 16), persons=True)
    assert (given.programme, given.assigned_by) == ("senior-pass", "hana")
    assert desk.town.ask(waits.select(), persons=True) == []
    assert "abab" not in office.content()
    wrote = [what for what, subject in audited(desk) if subject == "senior-pass S-0001"]
    assert wrote == ["member.enrolled", "consent.given", "card.assigned", "member.seen"]


def test_without_a_script_the_card_is_waited_for_by_pressing(
    desk: Sites, office: Page, signed_in: Cookies
) -> None:
    browser = office.context.browser
    assert browser is not None
    context: BrowserContext = browser.new_context(java_script_enabled=False)
    context.add_cookies(signed_in["hana"])
    page = context.new_page()
    page.set_default_timeout(10_000)
    fill(page, desk, registration_number="S-0001")
    page.click("text=次へ：カードをかざす")
    answer(desk, DeskSaid.ASKING)
    assert page.get_by_role("button", name="登録する", exact=True).count() == 0
    page.locator("button[value=look]").click()
    answer(desk, DeskSaid.READ, DeskCard(Scheme.COMMON_AP, 1, "ab" * 16))
    page.locator("button[value=look]").click()
    page.get_by_role("button", name="登録する", exact=True).click()
    expect(page.locator("h1")).to_contain_text("登録しました")
    context.close()


def test_a_card_of_somebody_else_is_told_with_the_number_and_the_next_one_is_waited_for(
    desk: Sites, office: Page
) -> None:
    (other,) = desk.town.ask(card.select().where(card.c.member_id == 1), persons=True)
    fill(office, desk, "attendance")
    office.click("text=次へ：カードをかざす")
    answer(desk, DeskSaid.READ, DeskCard(Scheme.COMMON_AP, 1, other.credential))
    expect(office.locator(".notice-bad")).to_contain_text("登録番号 T-001 の方のものです")
    assert len(people(desk)) == 4
    answer(desk, DeskSaid.READ, DeskCard(Scheme.COMMON_AP, 1, "cd" * 16))
    expect(office.locator("h1")).to_contain_text("登録しました")
    assert people(desk)[-1] == ("T-005", "渡邉 舞")


def test_a_scheme_without_a_ground_is_told_in_words(desk: Sites, office: Page) -> None:
    fill(office, desk, "attendance")
    office.click("text=次へ：カードをかざす")
    answer(desk, DeskSaid.READ, DeskCard(Scheme.JPKI_AUTH, 1, "cd" * 16))
    expect(office.locator(".notice-bad")).to_contain_text("識別方式")
    assert len(people(desk)) == 4


def test_going_back_keeps_what_was_typed_and_frees_the_reader(desk: Sites, office: Page) -> None:
    fill(office, desk, registration_number="S-0001")
    office.click("text=次へ：カードをかざす")
    office.click("text=戻って直す")
    assert office.input_value("#name") == "渡邉 舞"
    assert office.input_value("#kana") == "ワタナベ マイ"
    assert office.is_checked("#consent")
    (wait,) = desk.town.ask(waits.select(), persons=True)
    assert wait.state == "over"


def test_a_card_held_just_now_is_chosen_from_the_list(desk: Sites, office: Page) -> None:
    desk.town.hold_stranger()
    fill(office, desk, "attendance")
    office.click("text=次へ：カードをかざす")
    office.click("text=直前にかざされた未登録のカード")
    office.get_by_role("button", name="市役所 1階窓口 09:12 のカードで登録する").click()
    expect(office.locator("h1")).to_contain_text("登録しました")
    assert desk.town.ask(triage.select(), persons=True) == []


def test_an_unknown_card_leads_to_the_same_form(desk: Sites, office: Page) -> None:
    desk.town.hold_stranger()
    office.goto(f"{desk.office}/cards/1")
    office.get_by_role("link", name="登録してカードを渡す").click()
    expect(office.locator(".notice-info")).to_contain_text("市役所 1階窓口で 09:12 にかざされた")
    assert office.input_value("#registration_number") == "T-005"
    office.fill("#name", "渡辺 舞")
    office.fill("#kana", "わたなべ まい")
    office.check("#consent")
    office.get_by_role("button", name="このカードで登録する").click()
    expect(office.locator("h1")).to_contain_text("登録しました")
    office.goto(f"{desk.office}/members?programme=attendance&search=ワタナベ")
    expect(office.locator("main")).to_contain_text("渡辺 舞")


def test_a_card_that_has_left_the_list_is_asked_for_again(desk: Sites, office: Page) -> None:
    answered = post(desk, office, how="card", card="7")
    assert answered.status == 409
    assert "もう一度かざしてください" in answered.text()
    assert len(people(desk)) == 4


# --- what is checked -----------------------------------------------------------------------------


def test_conditions_are_said_while_the_form_is_filled_in_and_again_when_it_is_sent(
    desk: Sites, office: Page
) -> None:
    fill(office, desk, birth_date="昭和40年4月1日", registration_number="S-0001")
    checked = office.locator("#checked")
    expect(checked).to_contain_text("1965年4月1日（昭和40年） 生まれ・満61歳")
    expect(checked).to_contain_text("満70歳になる 2035年3月31日（令和17年） から登録できます")
    office.uncheck("#resident")
    office.click("text=カードなしで登録する")
    expect(office.locator("#birth_date-error")).to_contain_text("満70歳になる")
    expect(office.locator("#resident-error")).to_contain_text("書類で確かめ")
    assert office.input_value("#birth_date") == "昭和40年4月1日"
    assert len(people(desk)) == 4


def test_who_is_too_young_is_enrolled_on_another_ground_of_which_nothing_is_kept(
    taxis: Sites, office: Page
) -> None:
    fill(office, taxis, "taxi", birth_date="昭和35年4月1日", registration_number="X-0001")
    checked = office.locator("#checked")
    expect(checked).to_contain_text("満75歳になる")
    office.click("text=カードなしで登録する")
    expect(office.locator("#birth_date-error")).to_contain_text("満75歳になる")
    assert violations(office) == []
    office.get_by_label("年齢以外の条件を確認した（障害者手帳・免許返納など）").check()
    expect(checked).to_contain_text("年齢以外の条件を窓口で確認しました")
    office.click("text=カードなしで登録する")
    expect(office.locator("h1")).to_contain_text("登録しました")
    assert people(taxis)[-1] == ("X-0001", "渡邉 舞")
    assert ("member.ground-seen", "taxi X-0001") in audited(taxis)


def test_a_ground_that_was_not_needed_or_is_not_known_is_not_noted(
    taxis: Sites, desk: Sites, office: Page
) -> None:
    old = {"birth_date": "S15.4.1", "ground_seen": "yes", "resident": "yes"}
    basis = taxis.town.ask(consent_basis.select(), persons=True)
    taxi = next(str(row.id) for row in basis if row.programme == "taxi")
    office.goto(f"{taxis.office}/enrol?programme=taxi")
    number = {"registration_number": "X-1", "proposed": ""}
    assert post(taxis, office, "taxi", basis=taxi, **old, **number).status == 303
    assert "member.ground-seen" not in dict(audited(taxis))
    office.goto(f"{desk.office}/enrol?programme=senior-pass")
    expect(office.locator("#ground_seen")).to_have_count(0)
    young = old | number | {"birth_date": "S40.4.1"}
    answered = post(desk, office, "senior-pass", **young)
    assert answered.status == 422
    assert "満70歳になる" in answered.text()


WRONG = (
    ({"consent": ""}, "consent", "同意を確かめて"),
    ({"basis": "9"}, "consent", "文面が変わりました"),
    ({"kana": "渡辺"}, "kana", "カタカナかひらがな"),
    ({"kana": ""}, "kana", "カナ"),
    ({"name": ""}, "name", "氏名"),
    ({"birth_date": "昭和64年1月8日"}, "birth_date", "日付として読めません"),
    ({"birth_date": "2026-06-04"}, "birth_date", "今日まで"),
    ({"valid_to": "2026-06-02"}, "valid_to", "始まり"),
    ({"valid_from": "1999-01-01"}, "valid_from", "2000-01-02"),
    ({"registration_number": "T-001"}, "registration_number", "すでに使われています"),
    ({"lives_with": "T-999"}, "lives_with", "いません"),
)


def test_what_is_not_right_is_said_beside_its_field_and_nothing_is_kept(
    sites: Sites, office: Page
) -> None:
    for changes, field, said in WRONG:
        answered = post(sites, office, **changes)
        assert answered.status == 422, changes
        found = re.search(rf'id="{field}-error">([^<]*)<', answered.text())
        assert found is not None, changes
        assert said in found[1], changes
    assert len(people(sites)) == 4
    assert sites.town.ask(consent.select(), persons=True) == []


def test_a_field_with_an_individual_number_is_refused_with_the_sentence(
    sites: Sites, office: Page
) -> None:
    for field in ("registration_number", "name", "kana", "category", "lives_with", "birth_date"):
        for value in (NUMBER, "１２３４−５６７８−９０１８"):
            answered = post(sites, office, **{field: value})
            assert answered.status == 422, field
            assert REFUSED in answered.text(), field
            assert value not in answered.text(), field
    assert len(people(sites)) == 4


def test_somebody_who_may_be_the_same_is_shown_before_a_second_enrolment(
    sites: Sites, office: Page
) -> None:
    fill(office, sites, "attendance", name="佐藤はるか", kana="さとう はるか", birth_date="")
    notice = office.locator("#checked .notice-warn")
    expect(notice).to_contain_text("すでに登録があります")
    expect(notice.get_by_role("link", name="佐藤 はるか")).to_have_attribute("href", "/members/1")
    office.click("text=カードなしで登録する")
    expect(office.locator("#different-error")).to_contain_text("同じ方かもしれません")
    assert len(people(sites)) == 4
    assert ("members.listed", "attendance") in audited(sites)
    assert violations(office) == []
    office.check("#different")
    office.click("text=カードなしで登録する")
    expect(office.locator("h1")).to_contain_text("登録しました")
    assert len(people(sites)) == 5


def test_a_number_that_another_desk_took_meanwhile_gives_way(sites: Sites, office: Page) -> None:
    assert post(sites, office).status == 303
    answered = post(sites, office, name="山本 太郎", kana="ヤマモト タロウ", birth_date="S20.1.1")
    office.goto(sites.office + answered.headers["location"])
    expect(office.locator(".notice-warn")).to_contain_text("登録番号は T-006 になりました")
    assert people(sites)[-2:] == [("T-005", "渡邉 舞"), ("T-006", "山本 太郎")]


def test_a_household_is_joined_by_a_name(sites: Sites, office: Page) -> None:
    fill(office, sites, "attendance", lives_with="すずき だいすけ")
    expect(office.locator("#checked")).to_contain_text("鈴木 大輔 さん（T-002）と同じ世帯")
    office.click("text=カードなしで登録する")
    expect(office.locator("h1")).to_contain_text("登録しました")
    rows = sites.town.ask(member.select().where(member.c.household != ""), persons=True)
    assert [row.registration_number for row in rows] == ["T-002", "T-005"]
    assert len({row.household for row in rows}) == 1


def test_without_a_ground_of_consent_nobody_is_enrolled_and_the_page_says_what_to_do(
    empty_sites: Sites, page: Page
) -> None:
    page.goto(f"{empty_sites.office}/login")
    page.fill("#account", "hana")
    page.fill("#password", PASSWORD)
    page.click("main button.main")
    page.goto(f"{empty_sites.office}/enrol?programme=senior-pass")
    expect(page.locator(".empty")).to_contain_text("同意の根拠がまだ登録されていません")
    answered = post(empty_sites, page, "senior-pass", resident="yes")
    assert answered.status == 422
    page.get_by_role("link", name="同意の根拠を登録する").click()
    for name, value in {
        "ordinance": "かざす市敬老乗車証条例",
        "article": "第5条",
        "ordinance_date": "令和8年3月20日",
        "wording": "カードの識別子を市が利用することに同意します。",
        "contact": "高齢福祉課 0154-00-0000",
    }.items():
        page.fill(f"#{name}", value)
    page.get_by_role("button", name="この根拠を登録する").click()
    expect(page.locator(".notice-ok")).to_contain_text("登録しました")
    (kept,) = empty_sites.town.ask(consent_basis.select(), persons=True)
    assert (kept.ordinance_date, kept.who) == (datetime.date(2026, 3, 20), "hana")
    page.goto(f"{empty_sites.office}/enrol?programme=senior-pass")
    expect(page.locator(".wording")).to_contain_text("カードの識別子を市が利用することに同意します")


# --- afterwards ----------------------------------------------------------------------------------


def test_the_slip_is_a_pdf_and_its_print_is_on_record(sites: Sites, office: Page) -> None:
    place = post(sites, office).headers["location"]
    for wish in ("", "?paper=en"):
        slip = office.request.get(f"{sites.office}{place}/slip.pdf{wish}")
        assert (slip.status, slip.headers["content-type"]) == (200, "application/pdf")
        assert slip.body().startswith(b"%PDF-")
        assert slip.headers["cache-control"] == "no-store"
    assert audited(sites)[-2:] == [("slip.printed", "attendance T-005")] * 2


def test_an_enrolment_is_taken_back_and_can_be_typed_right(sites: Sites, office: Page) -> None:
    sites.town.hold_stranger()
    place = post(sites, office, how="card", card="1").headers["location"]
    office.goto(sites.office + place)
    office.get_by_role("button", name="登録を取り消す（誤登録）").click()
    expect(office.locator(".notice-ok")).to_contain_text("登録を取り消しました")
    assert office.input_value("#name") == "渡邉 舞"
    assert office.input_value("#birth_date") == "1940-04-01"
    assert office.input_value("#registration_number") == "T-005"
    assert office.request.get(f"{sites.office}{place}").status == 404
    assert ("T-005", "渡邉 舞") not in people(sites)
    free = card.select().where(card.c.credential == "5c" * 16)
    assert sites.town.ask(free, persons=True) == []
    office.check("#consent")
    office.click("text=カードなしで登録する")
    expect(office.locator("h1")).to_contain_text("登録しました")
    assert people(sites)[-1] == ("T-005", "渡邉 舞")


def test_after_ten_minutes_it_is_ended_on_the_members_page(sites: Sites, office: Page) -> None:
    place = post(sites, office).headers["location"]
    office.goto(sites.office + place)
    sites.town.clock.at_ms += enrolment.UNDO_MS + 1
    office.get_by_role("button", name="登録を取り消す（誤登録）").click()
    expect(office.locator(".notice-warn").first).to_contain_text("登録者のページで終了してください")
    assert "/members/" in office.url
    assert people(sites)[-1] == ("T-005", "渡邉 舞")


def test_what_members_consent_to_is_added_and_never_changed(sites: Sites, office: Page) -> None:
    form: dict[str, str | float | bool] = {
        "csrf": csrf_of(office),
        "ordinance": "かざす市カード利用条例",
        "article": "第6条",
        "ordinance_date": "2026-05-01",
        "wording": "新しい文面に同意します。",
        "contact": "市民課 0154-00-0001",
        "valid_from": str(DAY + datetime.timedelta(1)),
    }
    path = f"{sites.office}/consent/attendance"
    assert office.request.post(path, form=form, max_redirects=0).status == 303
    office.goto(f"{sites.office}/consent?programme=attendance")
    states = [one.strip() for one in office.locator("tbody .state").all_inner_texts()]
    assert states == ["これから", "有効"]
    expect(office.locator(".wording")).to_contain_text("この制度の利用に必要な範囲で")
    refused = office.request.post(path, form=form | {"contact": NUMBER})
    assert (refused.status, REFUSED in refused.text()) == (422, True)
    refused = office.request.post(path, form=form | {"ordinance_date": "いつか"})
    assert (refused.status, "日付として読めません" in refused.text()) == (422, True)
