"""What a report says is what the ledger has: each use once, in its month, and each person once."""

import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from fleet import report_counts, report_rows, schema
from fleet.config import Databases
from fleet.report_counts import Counting, Counts
from fleet.report_rows import Asked
from fleet.reports import Line, Period, Report
from programmes.calendar import start_of_day_ms
from tests.fleet.report_kit import (
    HOUR_MS,
    PASS,
    Use,
    World,
    add_member,
    credential,
    make_world,
    report,
)

JUNE_3 = datetime.date(2026, 6, 3)
MAY_31, JUNE_1 = datetime.date(2026, 5, 31), datetime.date(2026, 6, 1)
MAY = Period(2026, "2026-05")
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    made = make_world(databases)
    yield made
    made.close()


def riders(count: int, day: datetime.date, **changes: str) -> list[Use]:
    return [Use(day, card=f"p{number}", **changes) for number in range(count)]  # type: ignore[arg-type]


def line(of: Report, table: str, key: str) -> Line:
    (found,) = (one for one in of.apart if one.name == table)
    (wanted,) = (one for one in found.lines if one.key == key)
    return wanted


def day(number: int, month: int = 5, year: int = 2026) -> datetime.date:
    return datetime.date(year, month, number)


def test_figures_are_the_sum_of_accepted_cards_and_presses_and_nothing_else(world: World) -> None:
    world.write(
        *riders(6, day(2)),
        *riders(6, day(3)),
        Use(day(4), card="", code="present-only"),
        *riders(5, day(4), code="expired"),
        Use(day(4), card="", code="unknown"),
        Use(day(4), programme="attendance"),
    )
    found = report(world.counts, MAY, JUNE_3)
    assert found.total.values == {
        "users": 6,
        "uses": 13,
        "card": 12,
        "without": 1,
        "share": 923,
        "refused": 6,
        "rider_yen": 650,
        "city_yen": 1_950,
    }
    assert line(found, "press", "present-only").values == {"without": 1}
    assert line(found, "code", "unknown").values == {"users": 0, "refused": 1}
    assert line(found, "code", "expired").values == {"users": 5, "refused": 5}
    assert report(world.counts, MAY, JUNE_3, "attendance").total.values["uses"] == 1
    assert "city_yen" not in report(world.counts, MAY, JUNE_3, "attendance").total.values


def test_a_member_counts_once_over_all_his_cards_and_a_card_of_nobody_as_somebody(
    world: World,
) -> None:
    with world.people.write() as connection:
        add_member(connection, "P-1", ["lost", "new"])
        for number in range(4):
            add_member(connection, f"Q-{number}", [f"q{number}"])
    names = ("lost", "new", "q0", "q1", "q2", "q3", "erased")
    world.write(*(Use(day(2), card=name) for name in names))
    found = report(world.counts, MAY, JUNE_3)
    assert (found.total.values["users"], found.total.values["card"]) == (6, 7)


def test_a_use_counts_in_the_month_of_its_use_however_late_it_comes(world: World) -> None:
    world.write(*riders(5, MAY_31))
    counts = world.counts
    assert report(counts, MAY, JUNE_1).total.values["uses"] == 5
    world.write(Use(MAY_31, card="late", late_ms=3 * DAY_MS))
    later = JUNE_3 + datetime.timedelta(1)
    for fresh in (world.counts, counts):
        found = report(fresh, MAY, later)
        assert found.total.values["uses"] == 6
        assert found.months.lines[2].values["uses"] == 0
        assert found.as_of_ms == start_of_day_ms(later) + 12 * HOUR_MS - report_counts.SETTLED_MS


def test_what_has_only_just_come_is_left_for_the_next_time(world: World) -> None:
    world.write(*riders(5, day(3, 6)), Use(day(3, 6), card="now", hour=12, late_ms=-1_000))
    assert report(world.counts, Period(2026), JUNE_3).total.values["uses"] == 5


def test_a_reader_that_had_lost_the_time_counts_when_its_entries_came(world: World) -> None:
    world.write(*riders(5, day(2)), Use(day(9), card="p0", clock="unknown"))
    assert report(world.counts, MAY, JUNE_3).total.values["uses"] == 6


def test_a_running_month_is_marked_and_compared_with_nothing(world: World) -> None:
    for number in (4, 5, 6):
        world.write(*riders(5 + number, day(2, number)), *riders(5, day(2, number, 2025)))
    june = report(world.counts, Period(2026, "2026-06"), JUNE_3)
    assert june.total.running
    assert june.compared == ()
    may = report(world.counts, MAY, JUNE_3)
    assert [(one.kind, one.now["uses"], one.before["uses"]) for one in may.compared] == [
        ("month-before", 10, 9),
        ("year-before", 10, 5),
    ]
    (year,) = report(world.counts, Period(2026), JUNE_3).compared
    assert (year.months, year.now["uses"], year.before["uses"]) == (("2026-04", "2026-05"), 19, 10)


def test_fewer_than_five_users_are_not_counted_out_but_money_still_adds_up(world: World) -> None:
    world.write(*riders(4, day(2)))
    total = report(world.counts, MAY, JUNE_3).total.values
    assert (total["users"], total["uses"], total["city_yen"]) == (None, 4, 600)


def test_a_small_place_is_hidden_with_the_next_one_in_every_figure(world: World) -> None:
    for month in (4, 5):
        world.write(*riders(9, day(2, month), place="bus-1"))
        world.write(*riders(7, day(2, month), place="bus-2"))
        world.write(*riders(20, day(2, month), place="bus-3"))
    world.write(*riders(2, day(5), place="desk-1"))
    found = report(world.counts, MAY, JUNE_3)
    small, beside = line(found, "place", "desk-1"), line(found, "place", "bus-2")
    assert set(small.values.values()) == set(beside.values.values()) == {None}
    assert (small.for_others, beside.for_others) == (False, True)
    assert line(found, "place", "bus-3").values["uses"] == 20
    assert [table.name for table in found.apart if table.hides] == ["place"]
    uses = ("uses",)
    assert found.tells(uses)
    assert found.tells(uses, place="bus-3")
    assert not found.tells(uses, place="desk-1")
    assert not found.tells(uses, place="bus-2")
    assert not found.tells(("refused",), place="bus-3")  # that table has no such column
    assert not found.tells(uses, place="bus-3", hour="10")


def test_a_month_that_has_just_begun_hides_nothing_of_those_that_are_over(world: World) -> None:
    for month in (4, 5):
        world.write(*riders(9, day(2, month)), *riders(9, day(2, month), place="bus-2"))
    world.write(Use(day(1, 6), card="p1"))
    year = report(world.counts, Period(2026), JUNE_3)
    assert year.apart_months == ("2026-04", "2026-05")
    assert (year.total.values["uses"], line(year, "place", "bus-1").values["uses"]) == (37, 18)
    june = report(world.counts, Period(2026, "2026-06"), JUNE_3)
    assert line(june, "place", "bus-1").values["uses"] is None
    only = report(world.counts, Period(2026), day(20, 4))
    assert only.apart_months == ("2026-04",)
    assert line(only, "place", "bus-1").values["uses"] == 9


def test_uses_under_a_table_that_is_gone_are_said_not_to_be_priced(world: World) -> None:
    world.write(*riders(5, day(2)), Use(day(3), card="p1", rule="senior-pass/2019"))
    found = report(world.counts, MAY, JUNE_3)
    assert (found.unpriced, found.total.values["city_yen"]) == (1, 750)


def test_each_figure_opens_just_the_entries_that_it_is_the_sum_of(world: World) -> None:
    world.write(
        *riders(6, day(2), place="bus-1"),
        *riders(7, day(2), place="bus-2", category="town"),
        Use(day(2), card="", code="present-only", hour=15),
        Use(day(2), card="p1", code="expired", hour=15),
        Use(day(2, 6), card="p1"),
        Use(day(20), card="p1", late_ms=9 * DAY_MS),
    )
    counts = world.counts
    found = report(counts, MAY, JUNE_3)
    with counts.held:
        year = counts.year(2026, start_of_day_ms(JUNE_3))
    for asked, wanted in (
        (Asked(PASS, (MAY.month,)), found.total.values["uses"]),
        (Asked(PASS, (MAY.month,), "card"), found.total.values["card"]),
        (Asked(PASS, (MAY.month,), "without"), found.total.values["without"]),
        (Asked(PASS, (MAY.month,), "refused"), found.total.values["refused"]),
        (Asked(PASS, (MAY.month,), place="bus-2"), line(found, "place", "bus-2").values["uses"]),
        (Asked(PASS, (MAY.month,), hour="15"), 1),
        (Asked(PASS, (MAY.month,), "card", category="town"), 7),
        (Asked(PASS, (MAY.month,), "refused", code="expired"), 1),
        (Asked(PASS, ("2026-05", "2026-06")), 16),
        (Asked(PASS, ("2026-04",)), 0),
    ):
        with world.office.read() as connection:
            rows = report_rows.rows(connection, year, asked, 0)
        assert len(rows) == wanted, asked


def test_whose_cards_they_are_is_told_by_number_and_stands_in_the_audit(world: World) -> None:
    with world.people.write() as connection:
        add_member(connection, "P-1", ["a"], "佐藤")
    world.write(Use(day(2), card="a"), Use(day(2), card="stranger"))
    counts = world.counts
    with counts.held:
        year = counts.year(2026, start_of_day_ms(JUNE_3))
    with world.office.read() as connection:
        rows = report_rows.rows(connection, year, Asked(PASS, (MAY.month,)), 0)
    with world.office_people.write() as connection:
        holders = report_rows.see_holders(connection, PASS, rows, "hana", 1)
        noted = connection.execute(sa.select(schema.person_audit)).all()
    assert {key: one.registration_number for key, one in holders.items()} == {
        credential("a"): "P-1"
    }
    assert [(row.who, row.what, row.subject, row.detail) for row in noted] == [
        ("hana", "report.members-seen", PASS, "P-1")
    ]


def test_counting_goes_on_where_it_stopped_and_says_how_far_it_is(world: World) -> None:
    world.write(*riders(9, day(2)), *riders(9, day(3)))
    counts = Counts(world.office, world.office_people, rows_at_once=5, budget_s=0.0)
    said = []
    for _ in range(9):
        try:
            found = report(counts, MAY, JUNE_3)
        except Counting as error:
            said.append(error.percent)
    assert found.total.values["uses"] == 18
    assert said == sorted(said)
    assert 0 < said[0] < 50 < said[-1] < 100


def test_an_empty_ledger_is_said_to_be_empty(world: World) -> None:
    assert report(world.counts, Period(2026), JUNE_3).is_empty
