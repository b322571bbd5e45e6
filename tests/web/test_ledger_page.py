"""The ledger's page and the charts: each figure, what it means, and what to do when it is bad."""

import time

import msgspec
import pytest
from playwright.sync_api import Page, expect

from fleet import schema, store
from fleet.alarms import AlarmKind, sound
from fleet.config import TelemetryServer
from fleet.grants import Role
from fleet.schema import alarm, audit_run, gap, lag, retention, retired_month
from fleet.web import console as console_process
from tests.real_influx import DATABASE, Moody
from tests.web.conftest import Sites, serving, sign_in
from tests.web.town import HOUR_MS, NOW_MS, TENANT, Town


def panel(page: Page, name: str) -> str:
    return page.locator(f"section[aria-labelledby=h-{name}]").inner_text()


def audited(verdict: str) -> dict[str, object]:
    return {
        "at_ms": NOW_MS - HOUR_MS,
        "who": "auditor",
        "reader": f"{TENANT}/bus-1",
        "from_ms": None,
        "to_ms": None,
        "verdict": verdict,
        "entries": 12_345,
        "exceptions": {"gap": 2} if verdict != "proven" else {},
        "faults": {"chain": 1} if verdict == "broken" else {},
        "took_ms": 900,
        "digest": b"\xab" * 32,
        "line": b"{}",
    }


def test_each_part_says_what_it_means(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/ledger")
    assert console.locator("nav a[aria-current=page]").inner_text() == "台帳"
    panels = console.locator("main section.panel")
    assert panels.count() == 8
    for one in panels.all():
        assert len(one.locator("p.means").inner_text()) > 20
    gaps = panel(console, "gaps")
    for words in (
        "bus-2",
        "120–122",
        "届いていない",
        "18分経過",
        "school-1",
        "umi: SDカード交換",
    ):
        assert words in gaps
    assert "malformed" in panel(console, "quarantine")
    findings = console.locator("section[aria-labelledby=h-findings] tbody tr")
    assert [row.locator("td.number").inner_text() for row in findings.all()] == ["1", "2", "0", "0"]
    epochs = panel(console, "epochs")
    assert "ディスク交換" in epochs
    assert "最初の世代" in epochs
    months = panel(console, "months")
    assert "60か月" in months
    assert "81,234" in months


def test_how_the_fleet_keeps_up_is_shown_with_its_age(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/ledger")
    rows = console.locator("section[aria-labelledby=h-lag] tbody tr")
    expect(rows).to_have_count(3)
    by_name = {row.locator("th").inner_text(): row for row in rows.all()}
    fine = by_name["ブローカーの返事"]
    assert "0.85 ms" in fine.inner_text()
    assert fine.locator(".state.warn").count() == 0
    assert by_name["データベースへの書き込み"].locator("td.number .state.warn").count() == 1
    assert "古い" in by_name["最も長く待った通信"].inner_text()
    sites.town.change(lag.delete())
    expect(console.locator("section[aria-labelledby=h-lag]")).to_contain_text(
        "まだ測っていません", timeout=8_000
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("proven", "対応は不要です"),
        ("exceptions", "説明の要る点"),
        ("broken", "台帳に手を加えず"),
    ],
)
def test_the_last_audit_is_shown_with_what_to_do(
    sites: Sites, console: Page, verdict: str, words: str
) -> None:
    console.goto(f"{sites.console}/ledger")
    assert "kazasu-fleet audit verify" in panel(console, "audit")
    sites.town.change(audit_run.insert().values(audited("proven")))
    sites.town.change(audit_run.insert().values(audited(verdict)))
    shown = console.locator("section[aria-labelledby=h-audit]")
    expect(shown).to_contain_text(words)
    expect(shown).to_contain_text("12,345")
    expect(shown).to_contain_text("abababababababab")


def test_a_new_gap_and_a_fork_reach_an_open_page(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/ledger")
    assert "枝分かれも逆戻りもありません" in panel(console, "events")
    opened = sites.town.fleet()
    with opened.write() as connection:
        sound(connection, AlarmKind.FORK, "fa" * 16, f"{TENANT}/bus-1", "", NOW_MS)
        connection.execute(gap.update().where(gap.c.id == 1).values(missing=1_003))
    opened.close()
    expect(console.locator("#ledger-events")).to_contain_text("枝分かれ")
    expect(console.locator("#ledger-gaps")).to_contain_text("1,003")
    expect(console.locator("#said")).to_contain_text("1,003")
    sites.town.change(
        alarm.update()
        .where(alarm.c.kind == AlarmKind.FORK.value)
        .values(cleared_at_ms=NOW_MS, cleared_by="umi", why="古い端末を回収")
    )
    expect(console.locator("#ledger-events")).to_contain_text("umi: 古い端末を回収")


def test_a_gap_is_reached_and_closed_from_the_ledgers_page_by_keyboard(
    sites: Sites, console: Page
) -> None:
    console.goto(f"{sites.console}/ledger")
    for _ in range(40):
        console.keyboard.press("Tab")
        if console.evaluate("document.activeElement.id") == "close-1":
            break
    console.keyboard.press("Enter")
    console.wait_for_url(f"{sites.console}/gaps/1")


def test_a_month_past_its_time_is_shown_as_dropped(sites: Sites, console: Page) -> None:
    gone = {"month": "2021-05", "entries": 77, "at_ms": NOW_MS, "who": "umi", "line": b"{}"}
    sites.town.change(retired_month.insert().values(gone))
    kept = {"months": 72, "at_ms": NOW_MS, "who": "umi", "why": "文書管理規則 第9条"}
    sites.town.change(retention.insert().values(kept))
    console.goto(f"{sites.console}/ledger")
    months = panel(console, "months")
    for words in ("72か月", "文書管理規則 第9条", "2021-05", "77", "削除済み"):
        assert words in months


def test_an_empty_ledger_says_what_comes_next(empty_sites: Sites, page: Page) -> None:
    sign_in(page, empty_sites.console, "umi")
    page.goto(f"{empty_sites.console}/ledger")
    assert page.locator(".empty").count() >= 6
    assert "抜けはありません" in panel(page, "gaps")
    assert "dispatch" in panel(page, "lag")


def test_the_console_cannot_see_when_somebody_tapped(sites: Sites) -> None:
    opened = store.open_fleet(sites.town.config.databases, Role.CONSOLE)
    for column in ("at_ms", "received_at_ms", "outcome", "code", "scheme", "declared"):
        with pytest.raises(Exception, match="prohibited"), opened.read() as connection:
            connection.exec_driver_sql(f"select {column} from entry")
    opened.close()


# --- charts --------------------------------------------------------------------------------------


def test_the_charts_are_drawn_from_the_table_beside_them(sites: Sites, console: Page) -> None:
    charts = console.locator("#h-charts-panel")
    expect(charts.locator("canvas")).to_have_count(4)
    rows = charts.locator("#steps tbody tr")
    assert rows.count() == 24
    first = rows.first.locator("td")
    assert [cell.get_attribute("data-value") for cell in first.all()] == [
        "57", "1", "2", "51.2", "51.2", "1", "3", "0", "0",
    ]  # fmt: skip
    assert "遅れて届きました" in charts.inner_text()
    console.get_by_role("link", name="31日").click()
    assert "span=month" in console.url
    assert console.locator("#steps tbody tr").count() == 31
    expect(console.locator("#h-charts-panel canvas")).to_have_count(4)


def test_a_place_of_few_is_shown_by_the_hour_and_says_why(sites: Sites, console: Page) -> None:
    console.goto(f"{sites.console}/readers/school-1")
    assert console.locator("#minutes").count() == 0
    assert "20人未満" in panel(console, "charts")
    assert console.locator("#steps tbody tr").count() == 24
    assert "直近24時間" in panel(console, "timings")
    console.goto(f"{sites.console}/readers/bus-1")
    assert console.locator("#minutes").count() == 1
    assert "20人未満" not in panel(console, "charts")


def test_minutes_of_a_place_of_few_are_in_no_chart_of_minutes(sites: Sites, console: Page) -> None:
    row = {"reader": f"{TENANT}/school-1", "programme": "other", "code": "ok", "count": 999}
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    sites.town.change(schema.entry_minute.insert().values(minute_ms=hour_ms, **row))
    console.goto(f"{sites.console}/")
    values = console.locator("#minutes td.number").all_inner_texts()
    assert max(int(value) for value in values) < 999


@pytest.mark.parametrize("mood", ["503", "hangs"])
def test_a_telemetry_server_that_is_away_costs_only_the_charts(
    towns: object, sites: Sites, page: Page, mood: str
) -> None:
    moody = Moody()
    moody.mood = mood
    with moody.serving() as url:
        named = msgspec.structs.replace(sites.town.config, telemetry=TelemetryServer(url, DATABASE))
        town = Town(named, sites.town.clock)
        opened = store.open_fleet(named.databases, Role.CONSOLE)
        app = console_process.application(named, opened, town.clock)
        with serving(app) as (address,):
            sign_in(page, address, "umi")
            page.wait_for_url(f"{address}/")
            expect(page.locator("#h-charts-panel")).to_contain_text("返事がありません")
            expect(page.locator(".answer").first).to_be_visible()
            started = time.monotonic()
            page.goto(f"{address}/readers/bus-1")
            expect(page.locator("#measured .notice").first).to_contain_text("返事がありません")
            assert time.monotonic() - started < 2.5, "it is asked again at once"
            moody.wake.set()
        opened.close()
