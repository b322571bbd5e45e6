"""A member's days and hours are what the programme's rules say of ledger, corrections, entries."""

import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from fleet import schema, work_accounts, work_corrections, work_entries, work_records, work_terms
from fleet.config import Databases
from fleet.work_acts import WorkRefused
from fleet.work_entries import NewEntry
from fleet.work_records import Span
from fleet.work_terms import NewTerm
from fleet.work_wishes import AddMark, TurnMark, VoidMark, Wish
from programmes.work_hours import DAY_OFF, Pattern, Shift
from tests.fleet.work_kit import (
    DAY_MS,
    JUNE_SPAN,
    MINUTE_MS,
    NORTH,
    NOW_MS,
    RULES,
    SOUTH,
    Schools,
    at,
    open_schools,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        yield made


def day(n: int) -> datetime.date:
    return datetime.date(2026, 6, n)


def hours_on(town: Schools, member_id: int, n: int) -> tuple[int, int]:
    (found,) = [one for one in town.record(member_id).hours if one.day == day(n)]
    return found.worked_min, found.outside_min


def test_an_ordinary_day_is_presence_without_the_break(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.tap("T-1", at(3, "17:15"))
    gate.send()
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)
    assert town.record(mori).hours[0].missing == ("day",)


def test_two_gates_agree_whenever_they_arrive(town: Schools) -> None:
    mori = town.teacher("T-1")
    front, back = town.gates["north-front"], town.gates["north-back"]
    back.tap("T-1", at(3, "17:15"))
    back.send()
    before = hours_on(town, mori, 3)
    front.tap("T-1", at(3, "07:45"))
    front.send(at(12, "10:00"))  # after nine days without a network
    assert before[0] == 0
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)


def test_a_step_of_the_clock_moves_what_was_marked_before_it(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.begin(at(3, "07:00") - 20 * DAY_MS, ClockState.UNKNOWN)
    gate.tap("T-1", at(3, "07:45") - 20 * DAY_MS, clock=ClockState.UNKNOWN)
    gate.step(at(3, "07:50"), 20 * DAY_MS)
    gate.tap("T-1", at(3, "17:15"))
    gate.send(at(3, "17:16"))
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)
    (here,) = town.record(mori).days
    assert [one.standing.mark.unsure_ms for one in here.readings] == [0, 0]
    assert town.record(mori, Span(datetime.date(2026, 5, 1), datetime.date(2026, 5, 31))).days == ()


def test_a_mark_of_a_clock_that_was_never_right_waits_for_somebody(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.begin(at(1, "00:00", month=4), ClockState.UNKNOWN)
    lost = gate.tap("T-1", at(1, "00:01", month=4), clock=ClockState.UNKNOWN)
    gate.send(at(4, "08:00"))
    record = town.record(mori)
    (reading,) = record.undated[day(4)]
    assert (reading.standing.mark.identity, reading.doubt) == (lost, "clock")
    assert record.days == ()


def test_a_clock_that_nobody_checked_is_unsure_by_what_it_can_be_off(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.begin(at(3, "07:00"), ClockState.HOLDOVER)
    gate.tap("T-1", at(3, "07:45"), clock=ClockState.HOLDOVER)
    gate.send(at(3, "07:50"))
    gate.begin(at(3, "17:00"), ClockState.HOLDOVER)
    gate.tap("T-1", at(3, "17:15"), clock=ClockState.HOLDOVER)
    gate.send(at(9, "17:00"))
    (here,) = town.record(mori).days
    assert [one.standing.mark.unsure_ms for one in here.readings] == [
        5 * MINUTE_MS,
        30 * MINUTE_MS,
    ]


def test_what_the_person_says_at_the_gate_is_believed_of_the_own_card_alone(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    gate = town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    first = gate.tap("T-1", at(3, "12:00"))
    gate.redirect("T-1", first, "away", at(3, "12:00") + 5_000)
    gate.tap("T-1", at(3, "13:00"))
    gate.tap("T-1", at(3, "17:15"))
    gate.redirect("T-2", first, "out", at(3, "12:00") + 9_000)
    gate.send()
    (here,) = town.record(mori).days
    assert [one.became for one in here.readings] == ["in", "away", "back", "out"]
    assert [(one.from_ms, one.to_ms) for one in here.intervals] == [
        (at(3, "07:45"), at(3, "12:00")),
        (at(3, "13:00"), at(3, "17:15")),
    ]
    assert town.record(sato).days == ()


def test_an_answer_fills_what_lacks_and_not_knowing_is_kept(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    gate = town.gates["north-front"]
    for number in ("T-1", "T-2"):
        gate.tap(number, at(3, "07:45"))
    gate.tap("T-1", at(4, "07:45"))
    gate.answer("T-1", "out", day(3), at(3, "18:00"), at(4, "07:46"))
    gate.answer("T-2", "out", day(3), None, at(4, "07:47"))
    gate.send()
    assert hours_on(town, mori, 3) == (9 * 60 + 30, 105)
    assert town.record(sato).unknowing == (day(3),)
    assert town.record(sato).days[0].missing[0].what == "out"


def test_of_several_answers_the_latest_holds(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    for n, claimed in enumerate(("18:00", "19:00", "17:30", "17:15")):
        gate.answer("T-1", "out", day(3), at(3, claimed), at(4 + n, "07:46"))
        for _ in range(4):  # so that numbers of two digits follow those of one
            gate.answer("T-1", "out", day(2), None, at(4 + n, "07:47"))
    gate.send()
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)
    (here,) = town.record(mori).days
    assert [one.doubt for one in here.readings] == ["", "", "answered", "answered", "answered"]


def test_a_repeat_books_nothing(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.tap("T-1", at(3, "07:52"), outcome=Outcome.REPEAT, code=Code.REPEAT)
    gate.tap("T-1", at(3, "17:15"))
    gate.send()
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)


def test_a_mark_stays_whosever_card_is_known_otherwise_now(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.send()
    with town.people.write() as connection:
        connection.execute(schema.card.update().values(superseded_at_ms=at(3, "12:00")))
    assert len(town.record(mori).days[0].readings) == 1


# --- entries and terms ---------------------------------------------------------------------------


def declare(town: Schools, member_id: int, kind: str, n: int, first: str, last: str) -> int:
    new = NewEntry(kind, at(n, first), at(n, last), "出張")  # type: ignore[arg-type]
    with town.office.write() as connection:
        return work_entries.declare(connection, town.act(member_id), new, RULES)


def test_entries_count_until_they_are_withdrawn(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.tap("T-1", at(3, "17:15"))
    gate.send()
    home = declare(town, mori, "home", 3, "20:00", "21:00")
    declare(town, mori, "break", 3, "12:00", "12:15")
    assert hours_on(town, mori, 3) == (10 * 60 + 15, 150)
    with town.office.write() as connection:
        work_entries.withdraw(connection, town.act(mori, "思い違い"), home)
    assert hours_on(town, mori, 3) == (9 * 60 + 15, 90)
    shown = town.record(mori).entries
    assert [(one.kind, one.counts) for one in shown] == [("break", True), ("home", False)]
    assert (shown[1].withdrawn_by, shown[1].withdrawn_why) == ("kyoto", "思い違い")
    with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
        work_entries.withdraw(connection, town.act(mori), home)
    assert refused.value.reason == "entry-gone"


def test_an_entry_that_lies_over_another_is_refused(town: Schools) -> None:
    mori = town.teacher("T-1")
    declare(town, mori, "off-site", 3, "13:00", "15:00")
    for kind, first, last, reason in (
        ("off-site", "14:00", "16:00", "entry-twice"),
        ("off-site", "16:00", "16:00", "entry-length"),
        ("nap", "14:00", "16:00", "entry-kind"),
        ("no-break", "14:00", "16:00", "entry-times"),
    ):
        with pytest.raises(WorkRefused) as refused:
            declare(town, mori, kind, 3, first, last)
        assert refused.value.reason == reason


def test_a_trip_over_night_joins_its_days_over_the_months_end(town: Schools) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    gate.tap("T-1", at(29, "07:00"))
    gate.tap("T-1", at(1, "18:00", month=7))
    gate.send()
    new = NewEntry("trip", at(29, "08:00"), at(1, "17:00", month=7), "修学旅行")
    with town.office.write() as connection:
        work_entries.declare(connection, town.act(mori), new, RULES)
    days = town.record(mori).days
    assert [(one.from_ms, one.to_ms) for day in days for one in day.intervals] == [
        (at(29, "07:00"), at(29, "08:00"))
    ]


def test_terms_hold_from_their_day_on(town: Schools) -> None:
    mori = town.teacher("T-1")
    short = Shift(hours=((540, 900),))
    four_days = Pattern(week=(short, short, short, short, DAY_OFF, DAY_OFF, DAY_OFF))
    term = NewTerm(day(15), SOUTH, "office", "part-time", four_days)
    with town.office.write() as connection:
        work_terms.add(connection, town.act(mori), term)
    record = town.record(mori)
    scheduled = {one.day: -one.outside[1].minutes for one in record.hours}
    assert (scheduled[day(12)], scheduled[day(15)], scheduled[day(19)]) == (465, 360, 0)
    with town.office.read() as people:
        north = work_terms.of_school(people, NORTH, *JUNE_SPAN)
        south = work_terms.of_school(people, SOUTH, day(1), day(14))
    assert (list(north), list(south)) == ([mori], [])


def test_terms_that_nobody_can_have_are_refused(town: Schools) -> None:
    mori = town.teacher("T-1")
    turned = Pattern(on_days={day(1): Shift(hours=((900, 540),))})
    for term, reason in (
        (NewTerm(datetime.date(2020, 1, 1), NORTH), "day"),
        (NewTerm(day(1), "Kita Sho"), "organisation"),
        (NewTerm(day(1), NORTH, "manager"), "staff"),  # type: ignore[arg-type]
        (NewTerm(day(1), NORTH, pattern=turned), "hours"),
    ):
        with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
            work_terms.add(connection, town.act(mori), term)
        assert refused.value.reason == reason


def test_nobody_is_to_work_outside_the_enrolment(town: Schools) -> None:
    mori = town.teacher("T-1", valid_from=day(10), valid_to=day(20))
    missing = [one.day.day for one in town.record(mori).hours if one.missing]
    assert missing == [10, 11, 12, 15, 16, 17, 18, 19]


def test_a_months_questions_do_not_grow_with_the_school(town: Schools) -> None:
    def asked() -> int:
        count = 0

        def heard(*_: object) -> None:
            nonlocal count
            count += 1

        with town.fleet.read() as fleet, town.people.read() as people:
            for connection in (fleet, people):
                sa.event.listen(connection, "before_cursor_execute", heard)
            work_records.of_school(fleet, people, NORTH, JUNE_SPAN, JUNE_SPAN.last)
        return count

    gate = town.gates["north-front"]
    town.teacher("T-0")
    gate.tap("T-0", at(3, "07:45"))
    gate.send()
    alone = asked()
    for n in range(1, 12):
        town.teacher(f"T-{n}")
        gate.tap(f"T-{n}", at(3, "07:45"))
    gate.send()
    assert asked() == alone <= 12


# --- corrections ---------------------------------------------------------------------------------


def forgotten(town: Schools) -> tuple[int, str]:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    mark = gate.tap("T-1", at(3, "07:45"))
    gate.send()
    return mori, mark


def test_a_request_counts_from_its_approval_on_and_is_decided_once(town: Schools) -> None:
    mori, _ = forgotten(town)
    wishes = [AddMark(at(3, "17:15"), "out")]
    with town.office.write() as connection:
        act = town.act(mori, who="mori")
        number = work_corrections.ask(connection, act, day(3), wishes, RULES)  # type: ignore[arg-type]
    assert hours_on(town, mori, 3)[0] == 0
    with pytest.raises(WorkRefused, match="own records"), town.office.write() as connection:
        work_corrections.approve(connection, number, "mori", NOW_MS)
    with town.office.write() as connection:
        assert [one.id for one in work_corrections.waiting(connection, NORTH)] == [number]
        assert work_corrections.waiting(connection, SOUTH) == []
        work_corrections.approve(connection, number, "kyoto", NOW_MS)
    assert hours_on(town, mori, 3) == (8 * 60 + 45, 60)
    with town.office.write() as connection:
        assert work_corrections.waiting(connection, NORTH) == []
    with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
        work_corrections.refuse(connection, number, "遅い", "kyoto", NOW_MS)
    assert (refused.value.reason, refused.value.arguments) == ("decided", {"by": "kyoto"})
    assert town.audited("work.approved") == [("attendance T-1", f"2026-06-03 {number}")]


def test_a_bound_account_approves_and_corrects_nothing_of_its_own(town: Schools) -> None:
    mori, mark = forgotten(town)
    with town.office.write() as connection:
        work_accounts.bind(connection, town.act(mori, who="admin"), "vice")
        act = town.act(mori, who="hana")
        number = work_corrections.ask(connection, act, day(3), [VoidMark(mark)], RULES)
    with pytest.raises(WorkRefused, match="own records"), town.office.write() as connection:
        work_corrections.approve(connection, number, "vice", NOW_MS)
    act = town.act(mori, who="vice")
    with pytest.raises(WorkRefused, match="own records"), town.office.write() as connection:
        work_corrections.correct(connection, act, day(3), [VoidMark(mark)], RULES)
    sato = town.teacher("T-2")
    for act, account, reason in (
        (town.act(mori, who="admin"), "mori", "member-bound"),
        (town.act(sato, who="admin"), "vice", "account-bound"),
        (town.act(sato, who="sato"), "sato", "own-account"),
    ):
        with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
            work_accounts.bind(connection, act, account)
        assert refused.value.reason == reason
    with town.office.write() as connection:
        work_accounts.unbind(connection, town.act(mori, who="admin"), "vice")
        assert work_accounts.member_of_account(connection, "vice") is None
        assert work_accounts.account_of(connection, mori) == ""


def test_a_correction_by_somebody_else_is_seen_and_can_be_contested(town: Schools) -> None:
    mori, mark = forgotten(town)
    with town.office.write() as connection:
        act = town.act(mori, "退勤の押し間違い")
        wishes: list[Wish] = [TurnMark(mark, "out"), AddMark(at(3, "07:00"), "in")]
        turned, _ = work_corrections.correct(connection, act, day(3), wishes, RULES)
        act = town.act(mori, "出勤でした", who="mori")
        work_corrections.contest(connection, act, turned)
    record = town.record(mori)
    assert record.days[0].is_contested
    told = [(one.correction.who, one.correction.why) for one in record.corrections]
    assert told[0] == ("kyoto", "退勤の押し間違い")
    assert told[-1] == ("mori", "出勤でした")
    with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
        work_corrections.contest(connection, town.act(mori), turned)
    assert refused.value.reason == "not-contested"


def test_wishes_that_nobody_can_have_are_refused(town: Schools) -> None:
    mori, _ = forgotten(town)
    late = AddMark(at(3, "23:30", month=7), "out")
    for wishes, when, reason in (
        ([], day(3), "wishes"),
        ([AddMark(at(4, "07:45"), "in")], day(3), "other-day"),
        ([late], datetime.date(2026, 7, 3), "to-come"),
        ([AddMark(at(3, "07:45", month=8), "in")], datetime.date(2026, 8, 3), "day"),
    ):
        with pytest.raises(WorkRefused) as refused, town.office.write() as connection:
            work_corrections.correct(connection, town.act(mori), when, list(wishes), RULES)
        assert refused.value.reason == reason


def test_rows_of_records_are_never_changed(town: Schools) -> None:
    mori, mark = forgotten(town)
    with town.office.write() as connection:
        work_corrections.correct(connection, town.act(mori), day(3), [VoidMark(mark)], RULES)
    for table in ("work_term", "work_correction"):
        with pytest.raises(sa.exc.DatabaseError), town.people.write() as connection:
            connection.exec_driver_sql(f"update {table} set who = 'x'")


def test_the_hour_at_which_a_day_begins_follows_the_rule_table(town: Schools) -> None:
    with town.fleet.read() as connection:
        assert work_records.today(connection, at(4, "03:59")) == day(3)
        assert work_records.today(connection, at(4, "04:00")) == day(4)
