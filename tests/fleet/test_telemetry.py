"""What readers report: kept once, by the hour where few are members, the same in both back ends."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import grain
from fleet.charts import Charts, Step, read_charts
from fleet.config import TelemetryServer
from fleet.schema import place, telemetry_hour
from fleet.telemetry import (
    DAY_MS,
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    Loss,
    Minute,
    Online,
    Sums,
    TelemetryStore,
    last_days,
    last_hours,
    may_be_kept,
)
from fleet.telemetry_influx import InfluxTelemetry
from fleet.telemetry_sql import SqlTelemetry, read_losses
from tests.conftest import Eventually
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member
from tests.real_influx import DATABASE, ask, start_influxd
from wire.codes import Code
from wire.envelope import Purpose
from wire.messages import HISTOGRAM_EDGES_US, Histogram, Telemetry
from wire.topics import Leaf

BUS = "kazasu-shi/bus-1"
OTHER = "kazasu-shi/bus-2"
TODAY = datetime.date(2026, 6, 3)


def report(from_ms: int = NOON_MS, taps: int = 5, **counters: int) -> Telemetry:
    counts = [0] * (len(HISTOGRAM_EDGES_US) + 1)
    counts[3] = taps
    named = {name.replace("_", "-").replace("--", "."): value for name, value in counters.items()}
    return Telemetry(
        v=1,
        from_ms=from_ms,
        to_ms=from_ms + MINUTE_MS,
        stages={"total": Histogram(counts, 240 * taps)},
        counters={"tap.ok": taps} | named,
    )


def totals(found: dict[int, Sums] | Any) -> dict[int, dict[str, int]]:
    return {at: dict(sums.counters) for at, sums in found.items() if sums.counters}


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_influxd(tmp_path_factory.mktemp("influx") / "influxd") as url:
        yield url


@pytest.fixture(params=["tables", "influxdb"])
def kept(
    request: pytest.FixtureRequest, fleet: VirtualFleet, tmp_path: Path
) -> Iterator[TelemetryStore]:
    """Each back end, empty."""
    if request.param == "tables":
        yield SqlTelemetry()
        return
    url: str = request.getfixturevalue("influxd")
    ask(f"{url}/query", q=f"DROP DATABASE {DATABASE}")
    ask(f"{url}/query", q=f"CREATE DATABASE {DATABASE}")
    opened = InfluxTelemetry(TelemetryServer(url, DATABASE), fleet.store, fleet.clock)
    yield opened
    opened.close()


def keep(fleet: VirtualFleet, kept: TelemetryStore, *minutes: Minute, at_ms: int = NOON_MS) -> None:
    with fleet.store.write() as connection:
        kept.keep(connection, minutes, at_ms)


def asked(fleet: VirtualFleet, question: Callable[..., Any], *arguments: Any) -> Any:
    with fleet.store.read() as connection:
        return question(connection, *arguments)


def test_the_same_minute_again_changes_nothing_in_its_hour(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    minutes = [report(NOON_MS + at * MINUTE_MS, taps=at + 1) for at in (0, 1, 2)]
    for one in (*minutes, *minutes, minutes[0]):
        keep(fleet, kept, Minute(BUS, one, False), Minute(OTHER, one, False))
    later_ms = NOON_MS + HOUR_MS
    with fleet.store.write() as connection:
        kept.tidy(connection, later_ms)
    hours = last_hours(24, later_ms)
    for reader, taps in ((BUS, 6), (OTHER, 6), (None, 12)):
        expected = {NOON_MS: {"tap.ok": taps}}

        def is_there(reader: str | None = reader, expected: object = expected) -> bool:
            return totals(asked(fleet, kept.read, hours, reader)) == expected

        eventually(is_there, that=f"{taps} taps of {reader or 'all'} in one hour")
    found = asked(fleet, kept.read, hours, BUS)[NOON_MS].stages["total"]
    assert (found.count, found.sum_us) == (6, 6 * 240)
    assert found.quantile_us(0.95) == HISTOGRAM_EDGES_US[3]
    assert asked(fleet, read_losses, hours) == {}


def test_days_begin_at_midnight_in_japan(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    midnight_ms = NOON_MS + 12 * HOUR_MS
    for at_ms in (midnight_ms - MINUTE_MS, midnight_ms, midnight_ms + 3 * HOUR_MS):
        keep(fleet, kept, Minute(BUS, report(at_ms), False), at_ms=at_ms)
    days = last_days(31, midnight_ms + 5 * HOUR_MS)
    assert list(days.starts)[-1] == midnight_ms
    expected = {midnight_ms - DAY_MS: {"tap.ok": 5}, midnight_ms: {"tap.ok": 10}}
    eventually(lambda: totals(asked(fleet, kept.read, days, BUS)) == expected)


def test_an_hour_that_is_not_over_is_not_shown(fleet: VirtualFleet, kept: TelemetryStore) -> None:
    keep(fleet, kept, Minute(BUS, report(), True), at_ms=NOON_MS + MINUTE_MS)
    before = NOON_MS + 59 * MINUTE_MS
    assert totals(asked(fleet, kept.read, last_hours(24, before), BUS)) == {}
    assert asked(fleet, kept.recent, BUS, True, before).reports == 0


def test_where_few_are_members_nothing_finer_than_an_hour_is_written(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    for at in range(0, 125, 5):
        now_ms = NOON_MS + at * MINUTE_MS
        keep(fleet, kept, Minute(BUS, report(now_ms, taps=1), True), at_ms=now_ms)
    assert fleet.rows("select * from counter_minute") == fleet.rows("select * from stage_minute")
    assert fleet.rows("select count(*) from counter_minute") == [(0,)]
    hours = last_hours(24, NOON_MS + 2 * HOUR_MS)
    expected = {NOON_MS: {"tap.ok": 12}, NOON_MS + HOUR_MS: {"tap.ok": 12}}
    eventually(lambda: totals(asked(fleet, kept.read, hours, BUS)) == expected)
    recent = asked(fleet, kept.recent, BUS, True, NOON_MS + 2 * HOUR_MS)
    assert (recent.reports, recent.sums.counters) == (2, {"tap.ok": 24})


def test_a_late_minute_of_a_small_place_is_dropped_and_counted(
    fleet: VirtualFleet, kept: TelemetryStore
) -> None:
    for at in (0, 2, 1, 2):
        keep(fleet, kept, Minute(BUS, report(NOON_MS + at * MINUTE_MS), True))
    hours = last_hours(1, NOON_MS + HOUR_MS)
    assert asked(fleet, read_losses, hours) == {NOON_MS: {Loss.LATE.value: 1}}


@pytest.mark.parametrize("off_ms", [2 * HOUR_MS, -MINUTES_KEPT_MS - HOUR_MS, -NOON_MS + 1])
def test_a_reader_whose_clock_is_wrong_harms_no_other_minute(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually, off_ms: int
) -> None:
    keep(fleet, kept, Minute(BUS, report(NOON_MS + off_ms), True))
    for at in (1, 61):
        at_ms = NOON_MS + at * MINUTE_MS
        keep(fleet, kept, Minute(BUS, report(at_ms), True), at_ms=at_ms)
    hours = last_hours(1, NOON_MS + HOUR_MS)
    assert asked(fleet, read_losses, hours) == {NOON_MS: {Loss.CLOCK.value: 1}}
    expected = {NOON_MS: {"tap.ok": 5}}
    eventually(lambda: totals(asked(fleet, kept.read, hours, BUS)) == expected)


def test_a_name_that_could_hold_a_number_is_left_out_and_counted(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    odd = {f"tap.{'5c' * 16}": 1, "tap.123456789018": 1, "x\ny": 1, "a b=c,d": 1, "": 1}
    bad = Telemetry(
        v=1,
        from_ms=NOON_MS,
        to_ms=NOON_MS + MINUTE_MS,
        stages={},
        counters={"tap.unknown": 2} | odd,
    )
    keep(fleet, kept, Minute(BUS, bad, False))
    recent = eventually(
        lambda: (found := asked(fleet, kept.recent, BUS, False, NOON_MS)).reports and found
    )
    assert recent.sums.counters == {"tap.unknown": 2}
    losses = asked(fleet, read_losses, last_hours(1, NOON_MS + HOUR_MS))
    assert losses == {NOON_MS: {Loss.NAME.value: 5}}


@pytest.mark.parametrize("code", list(Code))
def test_every_code_of_a_tap_may_be_counted(code: Code) -> None:
    assert may_be_kept(f"tap.{code}")


@settings(max_examples=60)
@given(st.binary(min_size=16, max_size=16).map(bytes.hex), st.integers(0, 10**12 - 1))
def test_no_credential_and_no_number_is_a_name(credential: str, number: int) -> None:
    if any(one.isdigit() for one in credential):
        assert not may_be_kept(f"tap.{credential}")
    assert not may_be_kept(f"tap.{number:012}")


def test_how_many_were_online_at_once_is_known_by_the_hour(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    for at, online in ((0, 1), (1, 2), (2, 0), (70, 2)):
        with fleet.store.write() as connection:
            connection.exec_driver_sql("delete from reader_state")
            for name in (BUS, OTHER)[:online]:
                connection.execute(
                    sa.text(
                        "insert into reader_state (reader, online, status_at_ms, received_at_ms, "
                        "ready, rosters) values (:name, true, 0, 0, true, '[]')"
                    ),
                    {"name": name},
                )
            kept.tidy(connection, NOON_MS + at * MINUTE_MS)
    hours = last_hours(24, NOON_MS + 2 * HOUR_MS)
    expected = {NOON_MS: Online(0, 2), NOON_MS + HOUR_MS: Online(2, 2)}
    eventually(lambda: asked(fleet, kept.online, hours) == expected)
    days = last_days(2, NOON_MS + 2 * HOUR_MS)
    assert list(asked(fleet, kept.online, days).values()) == [Online(0, 2)]


def test_minutes_are_kept_for_two_weeks_and_hours_for_a_year(fleet: VirtualFleet) -> None:
    kept = SqlTelemetry()
    keep(fleet, kept, Minute(BUS, report(), False))

    def count(table: str) -> int:
        ((found,),) = fleet.rows(f"select count(*) from {table} where reader = '{BUS}'")
        return int(found)

    for later_ms, minutes, hours in (
        (MINUTES_KEPT_MS, 1, 1),
        (MINUTES_KEPT_MS + 1, 0, 1),
        (HOURS_KEPT_MS, 0, 1),
        (HOURS_KEPT_MS + 1, 0, 0),
    ):
        with fleet.store.write() as connection:
            kept.tidy(connection, NOON_MS + later_ms)
        assert (count("counter_minute"), count("stage_minute")) == (minutes, minutes)
        assert count("telemetry_hour") == hours


def test_what_all_readers_did_is_added_up_once_an_hour_is_over_and_again_when_some_come_late(
    fleet: VirtualFleet,
) -> None:
    kept = SqlTelemetry()
    later_ms = NOON_MS + HOUR_MS
    for taps, reader in ((5, BUS), (7, OTHER)):  # the second one was away, and sends two hours
        keep(fleet, kept, Minute(reader, report(taps=taps), False), at_ms=later_ms)
        for _ in range(2):
            with fleet.store.write() as connection:
                kept.tidy(connection, later_ms + 2 * MINUTE_MS)
    found = totals(asked(fleet, kept.read, last_hours(24, later_ms), None))
    assert found == {NOON_MS: {"tap.ok": 12}}


def test_the_charts_are_the_same_from_both_back_ends(
    fleet: VirtualFleet, kept: TelemetryStore, eventually: Eventually
) -> None:
    now_ms = NOON_MS + HOUR_MS
    for at, reader in ((0, BUS), (1, BUS), (1, OTHER)):
        odd = {"tap.repeat": 1, "tap.expired": 2, "telemetry.dropped": 3}
        one = report(NOON_MS + at * MINUTE_MS)
        named = msgspec.structs.replace(one, counters=one.counters | odd)
        keep(fleet, kept, Minute(reader, named, False))
    keep(fleet, kept, Minute(BUS, report(1), False))  # a clock that is not set: dropped
    with fleet.store.write() as connection:
        kept.tidy(connection, NOON_MS)
        kept.tidy(connection, now_ms)

    def step(taps: int, fleets: int | None) -> Step:
        edge = HISTOGRAM_EDGES_US[3]
        dropped = 0 if fleets is None else 1
        return Step(
            NOON_MS, 5 * taps, 2 * taps, taps, edge, edge, fleets, fleets, 3 * taps, dropped
        )

    for one_or_all, expected in ((BUS, step(2, None)), (None, step(3, 0))):

        def is_drawn(reader: str | None = one_or_all, expected: Step = expected) -> bool:
            drawn: Charts = asked(fleet, read_charts, kept, "day", reader, now_ms)
            assert len(drawn.steps) == 24
            return drawn.steps[-1] == expected

        eventually(is_drawn, that=f"{expected}")


# --- by which grain, end to end ------------------------------------------------------------------


def judge(fleet: VirtualFleet, today: datetime.date = TODAY) -> list[str]:
    return grain.judge(fleet.store, fleet.people, today)


def test_a_place_is_counted_by_the_hour_until_twenty_members_can_tap_there(
    fleet: VirtualFleet,
) -> None:
    assert fleet.rows("select count(*) from place where by_hour") == [(2,)]
    for number in range(19):
        add_member(fleet, f"{number:03}")
    add_member(fleet, "expired", valid_to=TODAY - datetime.timedelta(days=1))
    assert judge(fleet) == []
    add_member(fleet, "twentieth", valid_to=TODAY)
    assert judge(fleet) == ["bus-1", "bus-2"]
    assert judge(fleet) == []
    assert judge(fleet, TODAY + datetime.timedelta(days=1)) == ["bus-1", "bus-2"]


def test_two_cards_of_one_member_are_one_member(fleet: VirtualFleet) -> None:
    for number in range(10):
        add_member(fleet, f"{number:03}")
    with fleet.people.write() as connection:
        connection.exec_driver_sql(
            "insert into card (member_id, programme, credential, scheme, key_epoch, "
            "assigned_at_ms, assigned_by) select member_id, programme, 'ff' || credential, scheme, "
            "key_epoch, assigned_at_ms, assigned_by from card"
        )
    assert judge(fleet) == []


def test_one_small_programme_makes_its_whole_place_small(fleet: VirtualFleet) -> None:
    for number in range(25):
        add_member(fleet, f"{number:03}")
    with fleet.store.write() as connection:
        both = place.update().where(place.c.name == "bus-2")
        connection.execute(both.values(programmes=["senior-pass", "attendance"]))
    assert judge(fleet) == ["bus-1"]


@pytest.mark.parametrize(("members", "minute_ms"), [(1, NOON_MS), (20, NOON_MS + 7 * MINUTE_MS)])
def test_a_lone_members_taps_do_not_show_as_minutes(
    fleet: VirtualFleet, members: int, minute_ms: int
) -> None:
    for number in range(members):
        add_member(fleet, f"{number:03}")
    judge(fleet)
    fleet.clock.pass_s(7 * 60 + 12)
    reader = fleet.reader("bus-1")
    journal = reader.journal().taps(3)
    fleet.take(
        reader.message(journal.all()),
        reader.say(Purpose.TELEMETRY, report(NOON_MS + 6 * MINUTE_MS), Leaf.TELEMETRY),
    )
    counted = fleet.rows("select distinct minute_ms, sum(count) over () from entry_minute")
    assert counted == [(minute_ms, 4)]
    finer = fleet.rows("select count(*) from counter_minute")
    assert finer == [(0 if members < 20 else 1,)]
    assert [row[1] for row in fleet.rows("select reader, hour_ms from telemetry_hour")] == [NOON_MS]


def test_nothing_personal_stands_in_any_table_of_telemetry(fleet: VirtualFleet) -> None:
    credentials = [add_member(fleet, f"{number:03}") for number in range(21)]
    judge(fleet)
    reader = fleet.reader("bus-1")
    journal = reader.journal()
    for credential in credentials:
        journal.tap(code=Code.OK, credential=credential)
    fleet.take(
        reader.message(journal.all()),
        reader.say(Purpose.TELEMETRY, report(taps=21), Leaf.TELEMETRY),
    )
    with fleet.store.write() as connection:
        SqlTelemetry().tidy(connection, NOON_MS + HOUR_MS)
    written = ""
    for table in (
        "counter_minute",
        "stage_minute",
        "entry_minute",
        "telemetry_hour",
        "telemetry_reader",
        "telemetry_loss",
        "online_hour",
    ):
        written += repr(fleet.rows(f"select * from {table}"))
    assert "'tap.ok'" in written
    for secret in (*credentials, "山田"):
        assert secret not in written
    assert telemetry_hour.c.keys() == ["reader", "hour_ms", "counters", "stages"]
