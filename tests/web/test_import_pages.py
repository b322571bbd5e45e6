"""Lists of members in and out through the pages: looked at, corrected, taken in, taken back."""

import datetime
import io
import re
from pathlib import Path
from typing import Any

import openpyxl
from playwright.sync_api import FilePayload, Page, expect

from fleet.schema import (
    consent,
    consent_basis,
    import_job,
    member,
    person,
    person_audit,
    programme_revision,
)
from fleet.tables import Format
from fleet.tables import read as read_table
from tests.browser import violations
from tests.web.conftest import Sites, csrf_of
from tests.web.town import NOW_MS

NUMBER = "123456789018"
"""Twelve digits with a right check digit."""
HEADS = "登録番号,氏名,フリガナ,生年月日,有効終了日"
NEW = "T-101,髙橋 ①郎,ﾀｶﾊｼ ｲﾁﾛｳ,S25.2.28,2027-03-31"
CHANGED = "T-001,佐藤 はる香,サトウ ハルカ,,2027-03-31"


def file(*lines: str, encoding: str = "cp932", name: str = "名簿.csv") -> FilePayload:
    body = "\r\n".join((HEADS, *lines)).encode(encoding)
    return {"name": name, "mimeType": "text/csv", "buffer": body}


def choose(sites: Sites, office: Page, payload: FilePayload) -> None:
    """Choose a file and wait until it was looked at."""
    office.goto(f"{sites.office}/import?programme=attendance")
    office.set_input_files("#file", payload)
    office.get_by_role("button", name="中身を確かめる").click()
    office.wait_for_url(re.compile(r"/import/jobs/\d+$"))
    expect(office.locator("#now")).to_have_count(0)


def take(office: Page) -> None:
    office.get_by_role("button", name="取り込む", exact=True).click()
    expect(office.locator("#h-job")).to_have_text("取り込み済み")


def people(sites: Sites) -> dict[str, Any]:
    wanted = member.join(person, member.c.person_id == person.c.id).select()
    return {row.registration_number: row for row in sites.town.ask(wanted, persons=True)}


def noted(sites: Sites) -> list[tuple[str, str]]:
    rows = sites.town.ask(person_audit.select().order_by(person_audit.c.id), persons=True)
    return [(row.what, row.detail) for row in rows if row.who == "hana"]


def saved(office: Page, address: str) -> list[list[str]]:
    answer = office.request.get(address)
    assert answer.status == 200
    return [row.cells for row in read_table(answer.body()).rows]


def test_a_file_is_looked_at_taken_in_and_taken_back(sites: Sites, office: Page) -> None:
    sites.town.change_persons(
        consent_basis.insert().values(
            programme="attendance",
            ordinance="服務規程",
            article="第12条",
            ordinance_date=datetime.date(2026, 3, 1),
            wording="x",
            contact="x",
            valid_from=datetime.date(2026, 4, 1),
            at_ms=NOW_MS,
            who="test",
        )
    )
    before = people(sites)
    choose(sites, office, file(NEW, CHANGED))
    expect(office.locator(".notice")).to_contain_text("直すところはありません")
    expect(office.locator(".counts")).to_have_text(re.compile(r"追加\s*1\s*変更\s*1"))
    expect(office.locator("#h-changes + div")).to_contain_text("佐藤 はる香")
    assert people(sites) == before
    office.check("#consent")
    take(office)
    now = people(sites)
    assert (now["T-101"].name, now["T-101"].kana) == ("髙橋 ①郎", "タカハシ イチロウ")
    assert str(now["T-101"].birth_date) == "1950-02-28"
    assert now["T-001"].name == "佐藤 はる香"
    assert now["T-002"] == before["T-002"]
    given = sites.town.ask(consent.select(), persons=True)
    assert {(row.medium, row.kind) for row in given} == {("paper", "given")}
    assert len(given) == 2
    told = dict(noted(sites))
    assert (told["members.added"], told["members.changed"]) == ("T-101", "T-001")
    office.get_by_role("button", name="取り消す内容を確かめる").click()
    expect(office.locator("#now")).to_have_count(0)
    expect(office.locator("h1")).to_contain_text("取り消し: 名簿.csv")
    take(office)
    back = people(sites)
    assert back["T-001"].name == before["T-001"].name
    assert str(back["T-101"].valid_to) == "2026-06-02"


def test_wrong_cells_are_shown_in_their_lines_and_come_back_in_a_file(
    sites: Sites, office: Page, tmp_path: Path
) -> None:
    before = sites.town.ask(programme_revision.select(), persons=True)
    choose(sites, office, file(NEW, "T-102,,,1950-02-30,", f"T-103,山田,{NUMBER},,"))
    expect(office.locator(".notice").first).to_contain_text("2行に直すところがあります")
    rows = office.locator("#h-wrong + div tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).locator("th").first).to_contain_text("3")
    expect(rows.nth(0).locator(".wrong-cell")).to_have_count(2)
    expect(rows.nth(0).locator(".wrong-cell").nth(1)).to_contain_text("日付として読めません")
    expect(rows.nth(1).locator(".wrong-cell")).to_contain_text("個人番号")
    expect(office.get_by_role("button", name="取り込む", exact=True)).to_have_count(0)
    office.screenshot(path=tmp_path / "wrong.png", full_page=True)
    assert violations(office) == []
    for format_ in Format:
        lines = saved(office, f"{office.url}/file?format={format_}")
        assert lines[0] == [*HEADS.split(","), "エラー"]
        assert (lines[1][-1], "1950-02-30" in lines[2][-1]) == ("", True)
        assert lines[3][2] == ""
    assert NUMBER not in office.content()
    held = sites.town.ask(import_job.select(), persons=True)
    assert NUMBER.encode() not in held[0].body
    assert sites.town.ask(programme_revision.select(), persons=True) == before
    answer = office.request.get(f"{office.url}/file?format=xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.body()))
    cells = sheet.worksheets[0]
    cells["B3"], cells["D3"], cells["A4"] = "鈴木", "1950-02-28", "T-104"
    fixed = io.BytesIO()
    sheet.save(fixed)
    kind = Format.XLSX.content_type
    choose(sites, office, {"name": "x.xlsx", "mimeType": kind, "buffer": fixed.getvalue()})
    take(office)
    assert {"T-101", "T-102", "T-104"} <= set(people(sites))
    assert ("import.seen", "2 lines of file 1") in noted(sites)


def test_what_is_no_list_is_refused_with_a_sentence_and_not_kept(
    sites: Sites, office: Page
) -> None:
    body = f"登録番号,氏名,年齢,{NUMBER}\r\n1,山田,70,x".encode()
    choose(sites, office, {"name": "x.csv", "mimeType": "text/csv", "buffer": body})
    expect(office.locator("#job")).to_contain_text("保存していません")
    expect(office.locator("#job li").first).to_contain_text("年齢: この見出しの列はありません")
    assert NUMBER not in office.content()
    column = [f"T-{n},山田,{NUMBER},," for n in range(200, 230)]
    choose(sites, office, file(*column, name=f"{NUMBER}.csv"))
    expect(office.locator(".notice-bad").nth(1)).to_contain_text(
        "個人番号（マイナンバー）の形の値ばかり"
    )
    expect(office.locator(".wrong-cell")).to_have_count(0)
    assert NUMBER not in office.content()
    for row in sites.town.ask(import_job.select(), persons=True):
        assert NUMBER not in repr(row)
    office.goto(f"{sites.office}/import?programme=attendance")
    assert violations(office) == []


def test_members_that_have_changed_meanwhile_are_shown_again_before_anything_is_taken_in(
    sites: Sites, office: Page
) -> None:
    choose(sites, office, file(CHANGED))
    here = person.c.name.startswith("佐藤")
    sites.town.change_persons(person.update().where(here).values(name="佐藤 春香"))
    office.get_by_role("button", name="取り込む", exact=True).click()
    expect(office.locator(".notice-warn")).to_contain_text("会員の情報が変わった")
    assert people(sites)["T-001"].name == "佐藤 春香"
    expect(office.locator("#h-changes + div")).to_contain_text("佐藤 春香")
    take(office)
    assert people(sites)["T-001"].name == "佐藤 はる香"


def test_one_file_of_a_programme_at_a_time_and_one_that_died_is_begun_again(
    sites: Sites, office: Page
) -> None:
    choose(sites, office, file(NEW))
    address = office.url
    silent = import_job.update().values(state="taking", heard_at_ms=NOW_MS)
    sites.town.change_persons(silent)
    office.goto(f"{sites.office}/import?programme=attendance")
    expect(office.locator(".notice-info")).to_contain_text("処理しています")
    expect(office.locator("#file")).to_have_count(0)
    upload, token = f"{sites.office}/import/attendance", csrf_of(office)
    assert office.request.post(upload, multipart={"csrf": token, "file": file(NEW)}).status == 409
    sites.town.clock.at_ms += 130_000
    office.goto(address)
    expect(office.locator(".notice-warn")).to_contain_text("何も取り込まれていません")
    office.get_by_role("button", name="もう一度取り込む").click()
    expect(office.locator("#h-job")).to_have_text("取り込み済み")
    assert "T-101" in people(sites)


def test_a_file_that_is_too_large_or_comes_without_the_token_is_refused(
    sites: Sites, office: Page
) -> None:
    office.goto(f"{sites.office}/import?programme=attendance")
    upload = f"{sites.office}/import/attendance"
    large: FilePayload = {
        "name": "x.csv",
        "mimeType": "text/csv",
        "buffer": bytes(21 * 1024 * 1024),
    }
    token = csrf_of(office)
    assert office.request.post(upload, multipart={"csrf": token, "file": large}).status == 413
    assert office.request.post(upload, multipart={"csrf": "x", "file": file(NEW)}).status == 403
    assert office.request.post(upload, multipart={"csrf": token}).status == 422
    other = f"{sites.office}/import/no-programme"
    assert office.request.post(other, multipart={"csrf": token, "file": file(NEW)}).status == 404
    assert sites.town.ask(import_job.select(), persons=True) == []


def test_members_are_saved_as_they_are_listed_and_all_of_them_are_written_down(
    sites: Sites, office: Page
) -> None:
    sites.town.change_persons(
        person.update().where(person.c.name.startswith("田中")).values(name="=田中 𠮷")
    )
    address = f"{sites.office}/members.csv?programme=attendance&search="
    listed = saved(office, address + "&format=xlsx")
    assert [row[0] for row in listed[1:]] == ["佐藤 はるか", "鈴木 大輔", "高橋 美咲", "=田中 𠮷"]
    assert listed[1][-1] == "利用できる"
    whole = office.request.get(address + "&columns=all").text()
    assert "\r\nT-004,'=田中 𠮷," in whole
    office.goto(f"{sites.office}/members?programme=attendance&search=")
    office.get_by_role("group", name="全項目を保存").get_by_text("Shift_JIS").click()
    expect(office.locator(".notice-bad")).to_contain_text(
        "Shift_JISでは書けない文字があります（𠮷）"
    )
    assert office.url.endswith("search=")
    told = noted(sites)
    assert ("members.exported", "T-001 T-002 T-003 T-004") in told
    assert ("members.exported", "4 members, whole") in told
    choose(sites, office, {"name": "x", "mimeType": "text/csv", "buffer": whole.encode()})
    expect(office.locator(".notice-info")).to_contain_text("変わるものはありません")
