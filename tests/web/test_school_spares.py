"""A vice-principal lends a spare card by keyboard; nothing of another school is in reach."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from fleet import schema, work_spares
from tests.fleet.work_kit import NORTH, SOUTH, TENANT, at, card_of
from tests.web.conftest import sign_in
from tests.web.test_school_pages import NOW_MS, SECRET, Gated, gated

SPARE = "spare"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        yield made


def held(town: Gated) -> int:
    """A new staff card is held at the northern gate."""
    row: dict[str, object] = {"programme": "attendance", "credential": card_of(SPARE)}
    row |= {"scheme": "staff-token"}
    row |= {"key_epoch": 1, "reader": f"{TENANT}/north-front", "place": "north-front"}
    row |= {"journal": "0" * 32, "n": 1, "at_ms": NOW_MS, "received_at_ms": NOW_MS}
    with town.schools.people.write() as people:
        added = people.execute(schema.triage.insert().values(row).returning(schema.triage.c.id))
        return int(added.scalar_one())


def spare(town: Gated) -> int:
    card = held(town)
    with town.schools.office.write() as people:
        work_spares.register(people, NORTH, {"north-front"}, card, "kyoto", NOW_MS)
        return work_spares.of_school(people, NORTH, NOW_MS)[0].id


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(name)).focus()
    page.keyboard.press("Enter")


def test_a_spare_card_is_registered_lent_and_given_back_by_keyboard(
    town: Gated, page: Page
) -> None:
    held(town)
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/spares")
    press(page, "予備のカードにする")
    expect(page.get_by_role("status").first).to_contain_text("予備のカードにしました")
    page.get_by_label("借りる人").focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    press(page, "^貸す$")
    row = page.get_by_role("row", name=re.compile("予備 1"))
    expect(row).to_contain_text("貸出中 教員 T-4")
    gate = town.schools.gates["north-front"]
    gate.tap(SPARE, at(3, "09:14", month=7))
    gate.send()
    page.goto(f"{town.office}/school/day?school={NORTH}&member={town.schools.members['T-4']}")
    expect(page.get_by_role("main")).to_contain_text("貸出カード")
    page.goto(f"{town.office}/school/spares")
    press(page, "返却")
    expect(row).to_contain_text("貸出なし")
    assert town.schools.audited("work.card-lent") == [("attendance T-4", f"{NORTH} 1")]
    assert town.schools.audited("work.card-returned") == [("attendance T-4", f"{NORTH} 1")]


def test_a_school_lends_its_own_cards_to_its_own_people(town: Gated) -> None:
    card = spare(town)
    mine, other = town.schools.members["T-1"], town.schools.members["S-9"]
    kyoto, sato = town.visit("kyoto"), town.visit("sato")
    there = f"/school/spares/lend?school={NORTH}"
    assert sato.post(there, spare=str(card), member=str(mine)).status == 404
    taken = sato.post(f"/school/spares/lend?school={SOUTH}", spare=str(card), member=str(other))
    assert taken.status == 409
    assert kyoto.post(there, spare=str(card), member=str(other)).status == 409
    assert SECRET not in kyoto.get(f"/school/spares?school={NORTH}").text
    assert kyoto.post(there, spare=str(card), member=str(mine)).status == 303
    again = kyoto.post(there, spare=str(card), member=str(mine))
    assert again.status == 409
    assert "貸出中です" in again.text
    assert card_of(SPARE) not in again.text


def test_auditors_see_cards_and_lend_none(town: Gated) -> None:
    card, mine = spare(town), town.schools.members["T-1"]
    mori = town.visit("mori")
    shown = mori.get(f"/school/spares?school={NORTH}").text
    assert "予備 1" in shown
    assert "/school/spares/lend" not in shown
    lent = mori.post(f"/school/spares/lend?school={NORTH}", spare=str(card), member=str(mine))
    assert lent.status == 403


VISITOR = "北設備の高橋"


def test_a_visitor_is_in_on_the_page_and_on_the_list_until_the_card_is_back(
    town: Gated, page: Page
) -> None:
    spare(town)
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/spares")
    page.get_by_label("来校者の呼び名").focus()
    page.keyboard.type(VISITOR)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("在校として出ます")
    page.goto(f"{town.office}/school")
    board = page.locator("#now")
    expect(board.locator("h2")).to_contain_text("在校 2人 うち来校者 1人")
    expect(board.get_by_role("row", name=VISITOR)).to_contain_text(re.compile("09:12.*予備 1"))
    kyoto = town.visit("kyoto")
    listed = kyoto.get("/school/list/file").text
    assert VISITOR in listed
    assert re.findall(r"""(?:src|href)=|url\(|@import""", listed) == []
    assert kyoto.get("/school/list").body[:5] == b"%PDF-"
    assert VISITOR not in town.visit("sato").get("/school").text
    town.sites.town.clock.at_ms += 60_000
    (loan,) = town.schools.ask(sa.select(schema.work_loan.c.id))[0]
    assert kyoto.post("/school/spares/back", loan=str(loan)).status == 303
    expect(board.locator("h2")).to_contain_text("在校 1人")
    expect(board).not_to_contain_text(VISITOR)
    assert VISITOR not in kyoto.get("/school/list/file").text
    assert VISITOR in kyoto.get("/school/spares").text, "for a week"


def test_what_is_refused_of_a_visitor_is_said_beside_the_form(town: Gated) -> None:
    card = str(spare(town))
    kyoto = town.visit("kyoto")
    assert kyoto.post("/school/spares/visit", visitor="", spare=card).status == 422
    assert kyoto.post("/school/spares/visit", visitor="あ" * 41, spare=card).status == 422
    number = kyoto.post("/school/spares/visit", visitor="123456789018", spare=card)
    assert number.status == 422
    assert "123456789018" not in number.text
    assert kyoto.post("/school/spares/visit", visitor="x<script>", spare=card).status == 303
    assert "x<script>" not in kyoto.get("/school").text
    twice = kyoto.post("/school/spares/visit", visitor="y", spare=card)
    assert (twice.status, "貸出中です" in twice.text) == (409, True)
    mori = town.visit("mori")
    there = f"/school/spares/visit?school={NORTH}"
    assert mori.post(there, visitor="y", spare=card).status == 403
    assert town.visit("sato").post(there, visitor="y", spare=card).status == 404


def test_the_boards_clerk_takes_in_a_substitute_with_a_card_for_some_days(
    town: Gated, page: Page
) -> None:
    spare(town)
    sign_in(page, town.office, "hana")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/spares?school={NORTH}")
    form = page.locator("section[aria-labelledby=h-substitute]")
    form.get_by_label("氏名").focus()
    page.keyboard.type("乾 健")
    page.keyboard.press("Tab")
    page.keyboard.type("イヌイ ケン")
    form.get_by_label("最後の日").fill("2026-07-09")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("登録番号D-0001")
    row = page.get_by_role("row", name=re.compile("予備 1"))
    expect(row).to_contain_text("貸出中 乾 健")
    gate = town.schools.gates["north-front"]
    gate.tap(SPARE, at(3, "09:14", month=7))
    gate.send()
    town.sites.town.clock.at_ms = at(3, "09:15", month=7)
    page.goto(f"{town.office}/school?school={NORTH}")
    expect(page.locator("#now")).to_contain_text("乾 健")


def test_a_school_itself_enrols_nobody_and_reads_whom_to_ask(town: Gated) -> None:
    card = str(spare(town))
    kyoto = town.visit("kyoto")
    shown = kyoto.get("/school/spares").text
    assert "教育委員会の担当者" in shown
    assert "/school/spares/substitute" not in shown
    form = {"name": "乾", "kana": "イヌイ", "until_day": "2026-07-09", "spare": card}
    for who in (kyoto, town.visit("mori")):
        assert who.post(f"/school/spares/substitute?school={NORTH}", **form).status == 404
    hana = town.visit("hana")
    there = f"/school/spares/substitute?school={NORTH}"
    assert hana.post(there, **form | {"until_day": "2026-08-03"}).status == 422
    assert hana.post(there, **form | {"until_day": "x"}).status == 422
    assert hana.post(there, **form | {"name": " "}).status == 422
    assert hana.post("/school/spares/substitute?school=-", **form).status == 409
    assert hana.post(there, **form).status == 303
    assert hana.post(there, **form).status == 409, "pressed twice"


def test_a_lost_card_is_put_out_of_use_and_used_again_by_keyboard(town: Gated, page: Page) -> None:
    spare(town)
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/spares")
    row = page.get_by_role("row", name=re.compile("予備 1"))
    row.locator("summary").press("Enter")
    page.get_by_label("わけ").focus()
    page.keyboard.press("ArrowDown")
    press(page, "使用を止める")
    expect(row).to_contain_text("使用停止 破損")
    expect(page.locator("section[aria-labelledby=h-lend]")).to_have_count(0)
    town.sites.town.clock.at_ms += 60_000
    press(page, "また使う")
    expect(row).to_contain_text("貸出なし")
    card = str(town.schools.ask(sa.select(schema.work_spare.c.id))[0][0])
    there = f"/school/spares/retire?school={NORTH}"
    assert town.visit("mori").post(there, spare=card, out="lost").status == 403
    assert town.visit("sato").post(there, spare=card, out="lost").status == 404
    assert town.visit("kyoto").post(there, spare=card, out="x").status == 409
