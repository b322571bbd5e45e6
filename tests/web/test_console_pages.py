"""The operators' pages: both answers, the list and its export, one reader, a gap written off."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from edge.telemetry import DROPPED, OVERFLOW
from edge.uplink import Heard
from fleet.schema import (
    alarm,
    audit,
    counter_minute,
    gap,
    journal,
    quarantine,
    quarantine_hour,
    reader_state,
)
from fleet.web.words import counter
from programmes.texts import Language
from tests.web.conftest import Sites, sign_in
from tests.web.town import NOW_MS, TENANT
from wire.codes import Code
from wire.envelope import MessageRefused
from wire.messages import STAGES


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
    expect(console.locator("#now .chart canvas")).to_have_count(1)


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
    href = console.get_by_role("link", name="CSV", exact=True).get_attribute("href")
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
    expect(console.locator(".stage canvas")).to_have_count(len(STAGES))


def test_a_gap_is_written_off_only_with_a_reason_and_a_confirmation(
    sites: Sites, console: Page
) -> None:
    console.goto(f"{sites.console}/gaps/1")
    token = console.locator("main input[name=csrf]").input_value()
    for form in ({"why": "", "sure": "yes"}, {"why": "SD broken"}):
        answer = console.request.post(f"{sites.console}/gaps/1", form={"csrf": token, **form})
        assert answer.status == 422
        assert "を入力してください" in answer.text()
    assert sites.town.ask(gap.select().where(gap.c.id == 1))[0].closed_at_ms is None
    console.fill("#why", "SDカードが壊れて読めない")
    console.check("#sure")
    console.get_by_role("button", name="理由を付けて締める").click()
    console.wait_for_url(f"{sites.console}/readers/bus-2")
    expect(console.get_by_role("status").first).to_contain_text("抜けを締めました")
    (closed,) = sites.town.ask(gap.select().where(gap.c.id == 1))
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
    assert sites.town.ask(gap.select().where(gap.c.id == 1))[0].why is None


def test_the_first_day_says_what_to_do(empty_sites: Sites, page: Page) -> None:
    sign_in(page, empty_sites.console, "umi")
    expect(page.locator(".answer").first).to_contain_text("端末がまだ登録されていません")
    expect(page.locator(".empty")).to_contain_text("対応の必要なことはありません")
    page.goto(f"{empty_sites.console}/readers")
    expect(page.locator(".empty")).to_contain_text("kazasu-fleet readers import")


def test_a_changed_row_reaches_an_open_page(sites: Sites, console: Page) -> None:
    expect(console.locator(".answer").first).to_contain_text("一部できません")
    sites.town.change(reader_state.update().values(ready=True, online=True, trouble=None))
    expect(console.locator(".answer").first).to_contain_text("おそらく はい")
    expect(console.locator("#said")).to_contain_text("おそらく はい")
    expect(console.locator("#now .chart canvas")).to_have_count(1)


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
    expect(console.locator(".counts")).not_to_contain_text("409")


def test_a_session_that_has_ended_takes_an_open_page_to_the_sign_in(
    sites: Sites, console: Page
) -> None:
    from fleet.schema import session

    expect(console.locator(".answer").first).to_be_visible()
    sites.town.change(session.delete())
    sites.town.change(reader_state.update().values(waiting=7))
    console.wait_for_url(f"{sites.console}/login")


def test_a_session_that_ends_before_the_page_listens_takes_it_to_the_sign_in(
    sites: Sites, console: Page
) -> None:
    from fleet.schema import session

    def too_late(route: Route) -> None:
        sites.town.change(session.delete())
        route.continue_()

    console.route("**/live", too_late)
    console.reload()
    console.wait_for_url(f"{sites.console}/login")


def test_a_flood_of_unreadable_messages_is_one_row_with_its_count(
    sites: Sites, console: Page
) -> None:
    flood = [
        {
            "received_at_ms": NOW_MS - 60_000 + n,
            "reader": f"{TENANT}/bus-1",
            "topic": f"kazasu/1/{TENANT}/bus-1/entries",
            "reason": "not-signed",
            "detail": "signed by another key",
            "payload": b"x",
            "sha256": n.to_bytes(32),
            "times": 30,
        }
        for n in range(60)
    ]
    sites.town.change(quarantine.insert().values(flood))
    dropped = {"reader": f"{TENANT}/bus-1", "kept": 60, "dropped": 12_345}
    hours = [{**dropped, "hour_ms": 0}, {**dropped, "hour_ms": 3_600_000, "dropped": 5}]
    sites.town.change(quarantine_hour.insert().values(hours))
    console.goto(f"{sites.console}/readers/bus-1")
    panel = console.locator("section[aria-labelledby=h-quarantine]")
    expect(panel.locator("tbody tr")).to_have_count(1)
    expect(panel.locator("tbody tr")).to_contain_text("1,800")
    expect(panel.locator("tbody time")).to_have_text("9:11:34")
    expect(panel).to_contain_text("このほか12,350件")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_counter_of_a_reader_has_words(language: Language) -> None:
    kinds: list[type[MessageRefused]] = [MessageRefused, *MessageRefused.__subclasses__()]
    refused = [kind.reason for kind in kinds if kind.__module__ == MessageRefused.__module__]
    names = [f"tap.{code}" for code in Code]
    names += [f"press.{code}" for code in (Code.OK, Code.JOURNAL_FULL)]
    names += [f"uplink.ack-{word}" for word in (*refused, *(heard.value for heard in Heard))]
    names += [f"{leaf}.{word}" for leaf in ("twin", "command") for word in (*refused, "repeated")]
    names += [OVERFLOW, DROPPED]
    sources = [path.read_text() for path in Path("edge").glob("*.py")]
    counted = re.compile(r"""(?:count\(|counters\[)\s*"([a-z.-]+)\"""")
    names += [name for source in sources for name in counted.findall(source)]
    assert "uplink.batches" in names
    assert [name for name in names if not counter(name, language)] == []


def test_a_counter_that_is_not_known_yet_is_shown_as_it_came(sites: Sites, console: Page) -> None:
    later = {"reader": f"{TENANT}/bus-1", "from_ms": NOW_MS, "value": 1, "name": "later.word"}
    sites.town.change(counter_minute.insert().values(later))
    console.goto(f"{sites.console}/readers/bus-1")
    rows = console.locator("#counters tbody th")
    assert "later.word" in rows.all_inner_texts()
    assert any(one.startswith("かざした: 受け付けた") for one in rows.all_inner_texts())


def test_numbers_in_sentences_are_grouped(sites: Sites, console: Page) -> None:
    sites.town.change(
        reader_state.update().where(reader_state.c.reader.endswith("bus-2")).values(waiting=12_345)
    )
    console.goto(f"{sites.console}/")
    expect(console.locator(".todo")).to_contain_text("12,345件")


def test_the_account_is_ready_to_be_typed(sites: Sites, page: Page) -> None:
    page.goto(f"{sites.console}/login")
    assert page.evaluate("document.activeElement.id") == "account"
