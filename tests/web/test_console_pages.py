"""The operators' pages: both answers, the list and its export, one reader, a gap written off."""

import csv
import io
import re

import pytest
from playwright.sync_api import Page, expect

from fleet.schema import alarm, audit, gap, journal, reader_state
from tests.web.conftest import Sites, sign_in


def test_both_questions_are_answered_with_shape_word_and_reason(console: Page) -> None:
    tap, safe = console.locator(".answer").all()
    expect(tap).to_contain_text("乗客はかざせますか？")
    expect(tap).to_contain_text("一部できません")
    expect(tap).to_contain_text("5台のうち1台")
    expect(safe).to_contain_text("いいえ")
    expect(safe).to_contain_text("届いていない記録が3件")
    assert tap.locator("svg").count() == safe.locator("svg").count() == 1


def test_what_needs_attention_is_sorted_by_urgency_and_says_what_to_do(console: Page) -> None:
    urgencies = console.locator(".todo .urgency").all_inner_texts()
    assert urgencies == ["今すぐ", "今日中", "今日中", "今日中", "確認"]
    first = console.locator(".todo li").first
    expect(first).to_contain_text("school-1")
    expect(first).to_contain_text("ケーブルと電源を確かめ")


def test_the_table_beside_the_chart_holds_the_hour(console: Page) -> None:
    rows = console.locator("#minutes tbody tr")
    assert rows.count() == 60
    expect(rows.first).to_contain_text("09:12")
    expect(console.locator(".chart canvas")).to_have_count(1)


def test_no_page_of_the_console_shows_a_person_or_a_credential(sites: Sites, console: Page) -> None:
    for path in ("/", "/readers", "/readers/school-1", "/readers/bus-2", "/gaps/1", "/readers.csv"):
        text = console.request.get(f"{sites.console}{path}").text()
        for secret in ("佐藤", "サトウ", "T-001", "5c5c5c5c"):
            assert secret not in text, (path, secret)


def test_filter_and_order_stand_in_the_address(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/readers")
    console.select_option("#kind", "school")
    console.get_by_role("button", name="表示する").click()
    assert "kind=school" in console.url
    console.get_by_role("link", name="端末名").click()
    assert "kind=school" in console.url
    assert "sort=name" in console.url
    assert console.locator("tbody th").all_inner_texts() == ["school-1", "school-2"]
    console.get_by_role("link", name="端末名").click()
    assert console.locator("tbody th").all_inner_texts() == ["school-2", "school-1"]
    assert console.locator("th[aria-sort=descending]").count() == 1


@pytest.mark.parametrize("query", ["", "?kind=bus&sort=name&order=down", "?search=市役所&lang=en"])
def test_the_export_is_exactly_what_is_shown(sites: Sites, console: Page, query: str) -> None:
    console.goto(f"{sites.console}/readers{query}")
    shown = [row.locator("th, td").all_inner_texts() for row in console.locator("tbody tr").all()]
    heads = [
        head.split()[0] if "▲" in head or "▼" in head else head
        for head in console.locator("thead th").all_inner_texts()
    ]
    href = console.locator("a[download]").get_attribute("href")
    exported = console.request.get(f"{sites.console}{href}").body().decode("utf-8-sig")
    first, *rows = list(csv.reader(io.StringIO(exported)))
    assert first == heads
    assert len(rows) == len(shown) > 0
    for row, cells in zip(rows, shown, strict=True):
        for index, cell in enumerate(cells):
            if first[index] in ("最後の連絡", "Last heard"):
                assert row[index].endswith(cell.strip().rjust(8, "0")[-8:] if cell else "")
            else:
                assert row[index] == cell.strip()


def test_an_export_is_no_formula(sites: Sites, console: Page) -> None:
    from fleet.schema import place

    sites.town.change(place.update().where(place.c.name == "bus-1").values(label_ja="=1+1"))
    assert "'=1+1" in console.request.get(f"{sites.console}/readers.csv").text()


def test_a_reader_shows_its_tip_the_ledgers_mark_and_its_timings(
    sites: Sites, console: Page
) -> None:
    console.goto(f"{sites.console}/readers/bus-1")
    counts = console.locator(".counts").inner_text()
    assert "412" in counts
    assert "409" in counts
    expect(console.locator("#h-timings")).to_be_visible()
    total = console.locator("tr", has=console.get_by_role("rowheader", name="全体", exact=True))
    assert total.first.locator("td").all_inner_texts() == ["1,111", "58", "72", "145", "145"]
    expect(console.locator(".stage canvas")).to_have_count(7)


def test_a_gap_is_written_off_only_with_a_reason_and_a_confirmation(
    sites: Sites, console: Page
) -> None:
    console.goto(f"{sites.console}/gaps/1")
    token = console.locator("main input[name=csrf]").input_value()
    for form in ({"why": "", "sure": "yes"}, {"why": "SD broken"}):
        answer = console.request.post(f"{sites.console}/gaps/1", form={"csrf": token, **form})
        assert answer.status == 422
        assert "を入力してください" in answer.text()
    assert sites.town.ask(gap.select())[0].closed_at_ms is None
    console.fill("#why", "SDカードが壊れて読めない")
    console.check("#sure")
    console.get_by_role("button", name="理由を付けて締める").click()
    console.wait_for_url(f"{sites.console}/readers/bus-2")
    expect(console.get_by_role("status").first).to_contain_text("抜けを締めました")
    (closed,) = sites.town.ask(gap.select())
    assert (closed.how, closed.closed_by, closed.why) == (
        "written-off",
        "umi",
        "SDカードが壊れて読めない",
    )
    said = [(row.who, row.what, row.subject) for row in sites.town.ask(audit.select())]
    assert ("umi", "gap.written-off", "1") in said
    again = console.request.post(
        f"{sites.console}/gaps/1", form={"csrf": token, "why": "x", "sure": "yes"}
    )
    assert again.status == 409


def test_an_alarm_is_closed_with_a_reason(sites: Sites, console: Page) -> None:
    (row,) = sites.town.ask(alarm.select().where(alarm.c.kind == "quarantine"))
    console.goto(f"{sites.console}/alarms/{row.id}")
    console.fill("#why", "古い版の端末。更新した")
    console.check("#sure")
    console.get_by_role("button", name="済みにする").click()
    console.wait_for_url(f"{sites.console}/readers/bus-2")
    (row,) = sites.town.ask(alarm.select().where(alarm.c.id == row.id))
    assert (row.cleared_by, row.why) == ("umi", "古い版の端末。更新した")


def test_an_individual_number_is_no_reason_and_not_kept(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/gaps/1")
    console.fill("#why", "1234-5678-9018")
    console.check("#sure")
    console.get_by_role("button", name="理由を付けて締める").click()
    expect(console.locator("#why-error")).to_contain_text("個人番号（マイナンバー）の形の値は")
    assert console.locator("#why").input_value() == ""
    assert sites.town.ask(gap.select())[0].why is None


def test_the_first_day_says_what_to_do(empty_sites: Sites, page: Page) -> None:
    sign_in(page, empty_sites.console, "umi")
    expect(page.locator(".answer").first).to_contain_text("端末がまだ登録されていません")
    expect(page.locator(".empty")).to_contain_text("対応の必要なことはありません")
    page.goto(f"{empty_sites.console}/readers")
    expect(page.locator(".empty")).to_contain_text("kazasu-fleet readers import")


def test_a_changed_row_reaches_an_open_page(sites: Sites, console: Page) -> None:
    expect(console.locator(".answer").first).to_contain_text("一部できません")
    sites.town.change(reader_state.update().values(ready=True, online=True, trouble=None))
    expect(console.locator(".answer").first).to_contain_text("おそらく はい", timeout=8_000)
    expect(console.locator("#said")).to_contain_text("おそらく はい")
    expect(console.locator(".chart canvas")).to_have_count(1)


def test_a_readers_page_tells_when_it_was_connected_and_when_not(
    sites: Sites, console: Page
) -> None:
    console.goto(f"{sites.console}/readers/bus-2")
    changes = console.locator("section[aria-labelledby=h-online] tbody tr")
    expect(changes).to_have_text([re.compile("切れた"), re.compile("つながった")])


def test_an_open_page_of_a_reader_hears_of_its_journal(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/readers/bus-1")
    expect(console.locator(".counts")).to_contain_text("409")
    sites.town.change(journal.update().values(through=412))
    expect(console.locator(".counts")).not_to_contain_text("409", timeout=8_000)


def test_a_session_that_has_ended_takes_an_open_page_to_the_sign_in(
    sites: Sites, console: Page
) -> None:
    from fleet.schema import session

    expect(console.locator(".answer").first).to_be_visible()
    sites.town.change(session.delete())
    sites.town.change(reader_state.update().values(waiting=7))
    console.wait_for_url(f"{sites.console}/login", timeout=8_000)
