"""A school enters a trip over night for several people by keyboard, and takes it back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from fleet import schema
from tests.fleet.work_kit import NORTH, SOUTH
from tests.web.conftest import sign_in
from tests.web.look_over import look_over
from tests.web.test_school_pages import SECRET, Gated, gated

TRIP = {"from_day": "2026-07-06", "from_time": "08:00", "to_day": "2026-07-08", "to_time": "17:00"}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Gated]:
    with gated(tmp_path) as made:
        yield made


def counting(town: Gated) -> int:
    entry = schema.work_entry.c
    kinds = [kind for (kind,) in town.schools.ask(sa.select(entry.kind))]
    return kinds.count("trip") - kinds.count("withdrawn")


def box(town: Gated, number: str) -> str:
    return f"member-{town.schools.members[number]}"


def test_a_trip_is_entered_for_two_and_undone_by_keyboard(town: Gated, page: Page) -> None:
    sign_in(page, town.office, "kyoto")
    page.wait_for_url(f"{town.office}/")
    page.goto(f"{town.office}/school/trips")
    page.get_by_label("始まりの日").fill(TRIP["from_day"])
    page.get_by_label("終わりの日").fill(TRIP["to_day"])
    page.get_by_label("備考").fill("修学旅行")
    for name in ("教員 T-1", "教員 T-3"):
        page.get_by_label(name).focus()
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    said = page.get_by_role("status").first
    expect(said).to_contain_text("2人の宿泊行事を入力しました")
    trips = page.locator("section[aria-labelledby=h-trips]")
    expect(trips).to_contain_text("教員 T-1、教員 T-3")
    assert counting(town) == 2
    said.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("2人の宿泊行事を取り消しました")
    expect(trips).to_contain_text("入力した行事はありません")
    assert counting(town) == 0


def test_who_cannot_go_is_named_and_nobody_is_entered(town: Gated) -> None:
    kyoto = town.visit("kyoto")
    there = f"/school/trips?school={NORTH}"
    both = {box(town, "T-1"): "yes", box(town, "T-2"): "yes"}
    assert kyoto.post(there, **TRIP, **{box(town, "T-2"): "yes"}).status == 303
    again = kyoto.post(there, **TRIP, **both)
    assert again.status == 409
    assert f'<a href="#{box(town, "T-2")}">教員 T-2 ' in again.text
    assert again.text.count(" checked") == 2
    theirs = kyoto.post(there, **TRIP, **{box(town, "S-9"): "yes"})
    assert theirs.status == 409
    assert SECRET not in theirs.text
    for changed in (
        {"from_day": "x"},
        {"to_time": "25:00"},
        {"from_day": ""},
        {"note": "123456789018"},
    ):
        assert kyoto.post(there, **TRIP | changed, **both).status == 422, changed
    for far in ("0001-01-01", "9999-12-31"):
        for days in ({"to_day": far}, {"from_day": far, "to_day": far, "to_time": "23:59"}):
            assert kyoto.post(there, **TRIP | days, **both).status == 422, days
    for odd in ("member-", "member-x", "member-" + "9" * 30, "member-٣"):
        assert kyoto.post(there, **TRIP, **{odd: "yes"}).status == 422, odd
    assert kyoto.post(there, **TRIP | {"to_day": "2026-07-30"}, **both).status == 409
    assert counting(town) == 1


def test_nobody_else_enters_or_takes_back_a_schools_trip(town: Gated) -> None:
    mine = {box(town, "T-1"): "yes"}
    mori, sato, kyoto = (town.visit(name) for name in ("mori", "sato", "kyoto"))
    there = f"/school/trips?school={NORTH}"
    assert mori.get(there).status == 200
    assert mori.post(there, **TRIP, **mine).status == 403
    assert sato.post(there, **TRIP, **mine).status == 404
    assert sato.post(f"/school/trips?school={SOUTH}", **TRIP, **mine).status == 409
    assert kyoto.post(there, **TRIP, **mine).status == 303
    entry = town.schools.ask(sa.select(schema.work_entry.c.id))[0][0]
    assert sato.post(f"/school/trips/{entry}/withdraw?school={NORTH}").status == 404
    assert sato.post(f"/school/trips/{entry}/withdraw?school={SOUTH}").status == 303
    assert mori.post(f"/school/trips/{entry}/withdraw?school={NORTH}").status == 403
    assert counting(town) == 1
    for _ in range(2):  # the second press says that it is gone
        assert kyoto.post(f"/school/trips/{entry}/withdraw?school={NORTH}").status == 303
    assert counting(town) == 0
    assert "教員 T-1" not in sato.get("/school/trips").text


def test_the_page_is_for_every_eye_and_hand(town: Gated, browser: Browser) -> None:
    kyoto = town.visit("kyoto")
    kyoto.post(f"/school/trips?school={NORTH}", **TRIP, **{box(town, "T-1"): "yes"})
    paths = ("/school/trips", "/school/trips?all=yes")
    assert look_over(browser, town.office, "kyoto", paths) == {}
