"""A vice-principal lends a spare card by keyboard; nothing of another school is in reach."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
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
