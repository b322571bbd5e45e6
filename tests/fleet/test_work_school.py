"""A school's month and moment: closing, who is in, limits, and what may be published."""

import datetime
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from fleet import (
    erasure,
    schema,
    work_closed,
    work_closing,
    work_corrections,
    work_entries,
    work_limits_report,
    work_now,
    work_special,
    work_terms,
)
from fleet.config import Databases
from fleet.work_acts import WorkRefused
from fleet.work_closing import Figure
from fleet.work_entries import NewEntry
from fleet.work_limits_report import CLASSES
from fleet.work_terms import NewTerm
from fleet.work_wishes import AddMark, Wish
from tests.fleet.work_kit import (
    JUNE,
    NORTH,
    NOW_MS,
    RULES,
    SOUTH,
    Schools,
    at,
    open_schools,
)
from wire.clock import ClockState

THE_3RD = datetime.date(2026, 6, 3)
LEFT: list[Wish] = [AddMark(at(3, "17:15"), "out")]


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        yield made


def close(town: Schools, organisation: str = NORTH) -> list[Figure]:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        return work_closing.close(fleet, people, organisation, JUNE, "kyoto", NOW_MS)


def closing(fleet: sa.Connection) -> Callable[..., object]:
    return lambda people, month: work_closing.close(fleet, people, NORTH, month, "k", NOW_MS)


def refused_in(town: Schools, call: Callable[..., object], *args: object) -> str:
    with pytest.raises(WorkRefused) as refused, town.office.write() as people:
        call(people, *args)
    return refused.value.reason


def tap_days(town: Schools, number: str, left: str = "17:15", days: tuple[int, ...] = (3,)) -> None:
    gate = town.gates["north-front"]
    for n in days:
        gate.tap(number, at(n, "07:45"))
        gate.tap(number, at(n, left))
    gate.send()


# --- closing -------------------------------------------------------------------------------------


def test_a_closed_month_takes_no_change_until_it_is_reopened(town: Schools) -> None:
    mori = town.teacher("T-1")
    tap_days(town, "T-1")
    (figure,) = close(town)
    assert (figure.worked_min, figure.outside_min, figure.marks) == (525, 60, 2)
    assert figure.is_incomplete
    act = town.act(mori)
    entry = NewEntry("home", at(3, "20:00"), at(3, "21:00"))
    for change in (
        (work_corrections.ask, act, THE_3RD, LEFT, RULES),
        (work_corrections.correct, act, THE_3RD, LEFT, RULES),
        (work_entries.declare, act, entry, RULES),
        (work_terms.add, act, NewTerm(datetime.date(2026, 6, 15), SOUTH)),
    ):
        assert refused_in(town, *change) == "closed"
    with pytest.raises(WorkRefused, match="2026-06 is closed"):
        close(town)
    assert refused_in(town, work_closing.reopen, NORTH, JUNE, " ", "kyoto", NOW_MS) == "why"
    with town.office.write() as people:
        work_closing.reopen(people, NORTH, JUNE, "出張の届け出が遅れた", "kyoto", NOW_MS)
        work_entries.declare(people, act, entry, RULES)
    (again,) = close(town)
    assert again.outside_min == 120
    with town.office.read() as people:
        steps = work_closed.history(people, NORTH, "2026-06")
    assert [(one.kind, one.why) for one in steps] == [
        ("closed", ""),
        ("reopened", "出張の届け出が遅れた"),
        ("closed", ""),
    ]


def test_a_month_is_closed_when_it_is_over_and_no_request_waits(town: Schools) -> None:
    mori = town.teacher("T-1")
    with town.office.write() as people:
        number = work_corrections.ask(people, town.act(mori, who="mori"), THE_3RD, LEFT, RULES)
    with pytest.raises(WorkRefused, match="1 requests"):
        close(town)
    with town.office.write() as people:
        work_corrections.withdraw(people, number, "mori", NOW_MS)
    close(town)
    july = datetime.date(2026, 7, 1)
    with town.office_fleet.read() as fleet:
        refused = refused_in(town, closing(fleet), july)
    assert refused == "not-over"


def test_an_objection_is_heard_in_a_closed_month_too(town: Schools) -> None:
    mori = town.teacher("T-1")
    with town.office.write() as people:
        (number,) = work_corrections.correct(people, town.act(mori), THE_3RD, LEFT, RULES)
    close(town)
    with town.office.write() as people:
        work_corrections.contest(people, town.act(mori, who="mori"), number)
    assert town.record(mori).days[0].is_contested


def test_what_arrives_late_is_shown_beside_the_closed_figure(town: Schools) -> None:
    mori = town.teacher("T-1")
    gate = town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.send()
    close(town)
    gate.tap("T-1", at(3, "17:15"))
    gate.send(NOW_MS)
    with town.office_fleet.read() as fleet, town.office.read() as people:
        (drift,) = work_closing.drift(fleet, people, NORTH, JUNE)
        kept = work_closing.kept(people, NORTH, ["2026-06"])[NORTH, "2026-06"]
    assert drift.member_id == mori
    assert drift.closed is not None
    assert drift.now is not None
    assert (drift.closed.worked_min, drift.now.worked_min) == (0, 525)
    assert kept == [drift.closed]


def test_closed_figures_stay_when_a_member_is_erased(town: Schools) -> None:
    mori = town.teacher("T-1")
    tap_days(town, "T-1")
    was = close(town)
    with town.office.write() as people:
        erasure.erase(people, mori, "T-1", "hana", NOW_MS)
    with town.office_fleet.read() as fleet, town.office.read() as people:
        assert work_closing.kept(people, NORTH, ["2026-06"])[NORTH, "2026-06"] == was
        assert work_closing.drift(fleet, people, NORTH, JUNE) == []


# --- now -----------------------------------------------------------------------------------------


def now(town: Schools, at_ms: int) -> work_now.SchoolNow:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        return work_now.school_now(fleet, people, NORTH, "kyoto", at_ms)


def test_who_is_in_who_opened_and_who_is_late(town: Schools) -> None:
    for number in ("T-1", "T-2", "T-3", "T-4"):
        town.teacher(number)
    on_leave = town.members["T-4"]
    town.teacher("T-9", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    with town.office.write() as people:
        leave = NewEntry("leave", at(3, "08:15"), at(3, "16:45"))
        work_entries.declare(people, town.act(on_leave), leave, RULES)
    gate = town.gates["north-front"]
    gate.tap("T-2", at(3, "07:10"))
    gate.tap("T-1", at(3, "07:45"))
    gate.tap("T-1", at(3, "10:00"), "away")
    gate.send()
    seen = now(town, at(3, "10:30"))
    assert [(one.who.registration_number, one.state) for one in seen.people] == [
        ("T-1", "away"),
        ("T-2", "present"),
        ("T-3", "absent"),
        ("T-4", "absent"),
    ]
    assert [one.who.registration_number for one in seen.late] == ["T-3"]
    assert seen.opened is not None
    assert (seen.opened.who.registration_number, seen.last) == ("T-2", None)
    assert town.audited("work.listed") == [("attendance", f"{NORTH} 4 members")]


def test_a_page_that_lies_open_is_one_look_an_hour(town: Schools) -> None:
    town.teacher("T-1")
    for time in ("08:00", "08:20", "08:59", "09:01"):
        now(town, at(3, time))
    assert len(town.audited("work.listed")) == 2
    now(town, at(3, "07:00"))  # a clock that was ahead and went back hides no look
    assert len(town.audited("work.listed")) == 3


def test_what_somebody_has_to_look_at_is_marked(town: Schools) -> None:
    for number in ("T-1", "T-2"):
        town.teacher(number)
    front, back = town.gates["north-front"], town.gates["north-back"]
    back.begin(at(3, "07:00"), ClockState.HOLDOVER)
    front.tap("T-1", at(3, "07:45"), "in")
    back.tap("T-1", at(3, "07:50"), "out", clock=ClockState.HOLDOVER)
    front.tap("T-2", at(3, "07:45"), "in")
    front.send()
    back.send(at(3, "08:20"))
    seen = now(town, at(3, "08:30"))
    assert [one.is_contradictory for one in seen.people] == [True, False]


def test_who_left_last_is_known_when_nobody_is_in(town: Schools) -> None:
    for number, left in (("T-1", "18:00"), ("T-2", "19:30")):
        town.teacher(number)
        tap_days(town, number, left)
    assert now(town, at(3, "19:00")).last is None
    last = now(town, at(3, "20:00")).last
    assert last is not None
    assert last.who.registration_number == "T-2"


def test_what_lacks_of_the_days_before_is_listed(town: Schools) -> None:
    town.teacher("T-1")
    gate = town.gates["north-front"]
    gate.tap("T-1", at(2, "07:45"))
    gate.answer("T-1", "out", datetime.date(2026, 6, 2), None, at(3, "07:44"))
    gate.tap("T-1", at(3, "07:45"))
    gate.send()
    found = now(town, at(3, "08:00")).lacking
    assert (found[0].day, found[0].missing, found[0].unknowing) == (
        datetime.date(2026, 6, 2),
        ("out",),
        True,
    )


def test_a_trip_is_no_presence_at_school(town: Schools) -> None:
    mori = town.teacher("T-1")
    gate = town.gates["north-front"]
    gate.tap("T-1", at(3, "07:00"))
    gate.send()
    with town.office.write() as people:
        trip = NewEntry("trip", at(3, "08:00"), at(5, "17:00"))
        work_entries.declare(people, town.act(mori), trip, RULES)
    assert now(town, at(3, "07:30")).people[0].state == "present"
    assert now(town, at(3, "09:00")).people[0].state == "away"
    assert not now(town, at(4, "09:00")).people[0].is_late


# --- limits --------------------------------------------------------------------------------------

WORKING = tuple(n for n in range(1, 31) if n % 7 not in (6, 0))


def years(town: Schools) -> dict[int, work_limits_report.PersonYear]:
    with town.office_fleet.read() as fleet, town.office.read() as people:
        enrolled = work_terms.of_members(people, work_terms.everyone(people))
        return work_limits_report.person_years(fleet, people, enrolled, 2026, NOW_MS)


def test_people_over_the_limits_go_with_their_closed_months(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    tap_days(town, "T-1", "20:30", WORKING)  # 4:15 a day outside hours, 22 days: 93:30
    tap_days(town, "T-2", "17:15", WORKING)
    open_month = years(town)
    close(town)
    found = years(town)
    assert found == open_month
    assert found[mori].standing.standings[2] == "over-80"
    assert found[mori].needs_talk
    over = work_limits_report.over_limits(found.values())
    assert [one.member_id for one in over] == [mori]
    assert [one.rule for one in over[0].standing.broken] == ["month"]
    assert not found[sato].needs_talk
    assert [one.member_id for one in work_limits_report.for_talks(found.values())] == [mori]


def test_a_special_month_is_declared_before_it_passes_the_limit(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    tap_days(town, "T-1", "20:30", WORKING)
    with town.office_fleet.read() as fleet:
        with pytest.raises(WorkRefused) as refused, town.office.write() as people:
            work_special.declare(fleet, people, town.act(mori), JUNE)
        assert refused.value.reason == "special-late"
        with town.office.write() as people:
            work_special.declare(fleet, people, town.act(sato), JUNE)
            assert work_special.of_members(people, [sato])[sato] == {"2026-06"}
            work_special.revoke(people, town.act(sato), JUNE)
            assert work_special.of_members(people, [sato])[sato] == frozenset()


def test_schools_are_rolled_up_by_kind_with_the_share_of_marks_by_hand(town: Schools) -> None:
    mori = town.teacher("T-1")
    town.teacher("T-2", NewTerm(datetime.date(2026, 4, 1), SOUTH, "office", "part-time"))
    tap_days(town, "T-1", days=(3, 4))
    with town.office.write() as people:
        wishes: list[Wish] = [AddMark(at(5, "07:45"), "in"), AddMark(at(5, "17:15"), "out")]
        day = datetime.date(2026, 6, 5)
        work_corrections.correct(people, town.act(mori), day, wishes, RULES)
    with town.office_fleet.read() as fleet, town.office.read() as people:
        figures = work_limits_report.by_school(fleet, people, JUNE, NOW_MS)
    groups = work_limits_report.roll_up(figures, years(town), JUNE)
    assert {name: (one.people, one.mean_min) for name, one in groups.items()} == {
        (NORTH, "teacher", "full-time"): (1, 180),
        (SOUTH, "office", "part-time"): (1, 0),
    }
    north, south = work_limits_report.hand_rates(figures)
    assert (north.marks, north.by_hand, north.permille) == (6, 2, 333)
    assert (south.marks, south.permille) == (0, None)


def figure(member_id: int, hours: int) -> Figure:
    return Figure(member_id, "2026-06", "teacher", "full-time", 9_000, hours * 60, 0, False, 4, 0)


def test_no_figure_that_is_published_tells_of_fewer_than_five() -> None:
    north = [figure(n, 40) for n in range(20)] + [figure(n, 60) for n in range(20, 26)]
    south = [figure(n, 40) for n in range(30, 42)] + [figure(n, 90) for n in range(42, 44)]
    west = [figure(n, 40) for n in range(50, 53)]
    rows = work_limits_report.publication({NORTH: north, SOUTH: south, "nishi-sho": west})
    shown = {one.organisation: one for one in rows}
    assert shown["nishi-sho"].people is None
    assert shown["nishi-sho"].classes == (None,) * len(CLASSES)
    south_row = shown[SOUTH]
    assert south_row.people == 14
    assert south_row.classes[2] is None
    assert south_row.classes.count(None) >= 2  # else the sum of the row would tell
    assert south_row.mean_min is None  # else the town's mean would tell the western school's
    assert shown[NORTH].mean_min is not None
    for one in rows:
        assert all(count is None or count == 0 or count >= 5 for count in one.classes)


def test_rows_of_closed_months_stay(town: Schools) -> None:
    town.teacher("T-1")
    close(town)
    for table in ("work_close", "work_month"):
        with pytest.raises(sa.exc.DatabaseError), town.people.write() as connection:
            connection.exec_driver_sql(f"delete from {table}")
    assert len(town.ask(schema.work_month.select())) == 1
