"""A school chooses whether its gates show names; a teacher does not want to be named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fleet import gate_names, schema, work_accounts
from tests.fleet.work_kit import NORTH, SOUTH
from tests.web.conftest import sign_in
from tests.web.test_school_pages import NOW_MS, Gated, gated
from tests.web.visitor import add_person


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        yield made


def shown(town: Gated) -> frozenset[str]:
    with town.schools.office_fleet.read() as fleet:
        return gate_names.places_shown(fleet)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(name)).first.focus()
    page.keyboard.press("Enter")


def test_names_are_shown_and_hidden_by_keyboard_and_stand_in_the_audit(
    town: Gated, page: Page
) -> None:
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/gates")
    expect(page.get_by_role("main")).to_contain_text("入口 2か所")
    press(page, "^名前を出す north-back")
    expect(page.get_by_role("status").first).to_contain_text("この入口は名前を出します")
    expect(page.get_by_role("row", name=re.compile("north-back"))).to_contain_text("出している")
    assert shown(town) == {"north-back"}
    press(page, "^名前を出さない north-back")
    expect(page.get_by_role("status").first).to_contain_text("名前を出しません")
    assert shown(town) == frozenset()
    lines = schema.audit.select().where(schema.audit.c.what.like("gate.%"))
    with town.schools.fleet.read() as fleet:
        found = [(row.what, row.subject, row.who) for row in fleet.execute(lines)]
    assert found == [
        ("gate.names-shown", "north-back", "kyoto"),
        ("gate.names-hidden", "north-back", "kyoto"),
    ]


def test_nobody_chooses_for_a_gate_of_another_school(town: Gated) -> None:
    kyoto, mori = town.visit("kyoto"), town.visit("mori")
    there = f"/school/gates/names?school={SOUTH}"
    assert kyoto.post(there, place="south-front", shown="yes").status == 404
    own = f"/school/gates/names?school={NORTH}"
    assert kyoto.post(own, place="south-front", shown="yes").status == 404
    assert kyoto.post(own, place="north-front", shown="maybe").status == 404
    assert '<button class="compact" name="shown"' not in mori.get("/school/gates").text
    assert mori.post(own, place="north-front", shown="yes").status == 403
    assert shown(town) == frozenset()


def test_a_teacher_is_asked_only_where_names_are_shown_and_may_refuse(
    town: Gated, page: Page
) -> None:
    add_person(town.sites.town, "tanaka")
    member_id = town.schools.members["T-1"]
    with town.schools.office.write() as people:
        work_accounts.bind(people, town.schools.act(member_id, who="hana"), "tanaka")
    sign_in(page, town.office, "tanaka")
    page.wait_for_url(f"{town.office}/own")
    expect(page.get_by_role("heading", name="入口の名前")).to_have_count(0)
    with town.schools.office_fleet.write() as fleet:
        gate_names.choose(fleet, "north-front", shown=True, who="kyoto", at_ms=NOW_MS)
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("自分の名前も出ます")
    press(page, "自分の名前を出さない")
    expect(page.get_by_role("status").first).to_contain_text("入口に自分の名前は出ません")
    with town.schools.office.read() as people:
        assert gate_names.unnamed(people, [member_id]) == {member_id}
    press(page, "自分の名前を出す")
    expect(page.get_by_role("main")).to_contain_text("自分の名前も出ます")
    assert town.schools.audited("work.name-hidden") == [("attendance T-1", "")]
    assert town.schools.audited("work.name-shown") == [("attendance T-1", "")]
