import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fleet import gaps
from tests.fleet.virtual import NOON_MS, Journal, VirtualFleet, VirtualReader
from wire.envelope import Purpose
from wire.messages import Status
from wire.topics import Leaf

Ranges = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 8)).map(lambda r: (r[0], r[0] + r[1])), max_size=12
)


@given(Ranges)
def test_spans_are_sorted_disjoint_and_hold_just_what_was_added(ranges: list[gaps.Span]) -> None:
    spans: list[gaps.Span] = []
    numbers: set[int] = set()
    for first, last in ranges:
        spans = gaps.add(spans, first, last)
        numbers |= set(range(first, last + 1))
    assert {n for first, last in spans for n in range(first, last + 1)} == numbers
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(spans))
    held = {n for first, last in gaps.missing(spans, 3, 25) for n in range(first, last + 1)}
    assert held == set(range(3, 26)) - numbers
    through = gaps.through(spans)
    assert set(range(1, through + 1)) <= numbers
    assert through + 1 not in numbers
    assert gaps.seen(spans) == max(numbers, default=0)


def found(fleet: VirtualFleet) -> list[tuple[object, ...]]:
    return fleet.rows("select first, last, missing, cause, how from gap order by id")


def wait_a_minute(fleet: VirtualFleet) -> None:
    fleet.dispatch.sweep()
    fleet.clock.pass_s(gaps.GAP_AFTER_S + 1)
    fleet.dispatch.sweep()


def with_a_hole(fleet: VirtualFleet) -> tuple[VirtualReader, Journal]:
    """Return a reader whose ledger has 1 and 2, then 6 to 8, of ten."""
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(9)
    done = fleet.through((bus, journal.batch(1, 2)), (bus, journal.batch(6, 8)))
    assert done == [2]
    return bus, journal


def test_a_hole_is_a_gap_after_a_minute_and_a_late_arrival_fills_it(fleet: VirtualFleet) -> None:
    bus, journal = with_a_hole(fleet)
    fleet.dispatch.sweep()
    fleet.clock.pass_s(gaps.GAP_AFTER_S - 1)
    fleet.dispatch.sweep()
    assert found(fleet) == []
    fleet.clock.pass_s(2)
    fleet.dispatch.sweep()
    fleet.dispatch.sweep()
    assert found(fleet) == [(3, 5, 3, "not-arrived", None)]
    assert fleet.alarms() == {"gap"}
    assert fleet.through((bus, journal.batch(4, 4))) == [2]
    wait_a_minute(fleet)
    assert found(fleet) == [(3, 5, 2, "not-arrived", None)]
    assert fleet.through((bus, journal.batch(3, 5))) == [8]
    assert found(fleet) == [(3, 5, 0, "not-arrived", "filled")]
    assert fleet.alarms() == set()


def test_a_hole_that_closes_in_time_is_no_gap(fleet: VirtualFleet) -> None:
    bus, journal = with_a_hole(fleet)
    fleet.dispatch.sweep()
    fleet.clock.pass_s(gaps.GAP_AFTER_S - 1)
    assert fleet.through((bus, journal.batch(3, 5))) == [8]
    wait_a_minute(fleet)
    assert found(fleet) == []


def test_a_person_writes_a_gap_off_and_the_mark_moves_on(fleet: VirtualFleet) -> None:
    bus, journal = with_a_hole(fleet)
    wait_a_minute(fleet)
    assert fleet.command("gaps", "write-off", "1", " ") == 1
    assert fleet.command("gaps", "write-off", "1", "SD card burnt, report 12") == 0
    assert fleet.command("gaps", "write-off", "1", "again") == 1
    assert fleet.command("gaps", "write-off", "7", "which one?") == 1
    ((how, why, by),) = fleet.rows("select how, why, closed_by from gap")
    assert (how, why) == ("written-off", "SD card burnt, report 12")
    assert by.startswith("cli:")
    assert fleet.rows("select what from audit order by id desc limit 1") == [("gap.written-off",)]
    assert fleet.through((bus, journal.batch(8, 8))) == [8]
    assert fleet.alarms() == set()
    wait_a_minute(fleet)
    assert len(found(fleet)) == 1


def test_what_a_reader_declares_lost_is_a_gap_at_once_and_nothing_waits(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(9)
    assert fleet.through((bus, journal.batch(1, 2))) == [2]
    for _ in range(2):
        assert fleet.through((bus, journal.batch(3, 8, lost=3))) == [8]
        assert found(fleet) == [(3, 5, 3, "declared-lost", None)]
    assert fleet.through((bus, journal.batch(3, 5))) == [8]
    assert found(fleet) == [(3, 5, 0, "declared-lost", "filled")]


def test_a_hole_that_turns_out_to_be_lost_is_not_called_filled(fleet: VirtualFleet) -> None:
    bus, journal = with_a_hole(fleet)
    wait_a_minute(fleet)
    assert fleet.through((bus, journal.batch(3, 6, lost=3))) == [8]
    assert found(fleet) == [
        (3, 5, 0, "not-arrived", "declared-lost"),
        (3, 5, 3, "declared-lost", None),
    ]


def test_a_loss_of_a_million_at_the_end_costs_as_much_as_one(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(1)
    fleet.through((bus, journal.all()))
    lost = msgspec.structs.replace(
        journal.batch(2, 1), first=3, lost=1_000_000, before=bytes(32), tip=bytes(32)
    )
    assert fleet.through((bus, lost)) == [1_000_002]
    assert found(fleet) == [(3, 1_000_002, 1_000_000, "declared-lost", None)]


def test_scattered_batches_are_bounded(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    end = 2 * gaps.SPANS_MAX + 9
    journal = bus.journal().taps(end - 1)
    for n in range(1, end, 2):
        fleet.through((bus, journal.batch(n, n)))
    ((spans,),) = fleet.rows("select cast(spans as text) from journal")
    assert len(msgspec.json.decode(spans)) == gaps.SPANS_MAX
    assert fleet.through((bus, journal.all())) == [end]


# --- succession of journals ----------------------------------------------------------------------


def test_journals_that_follow_each_other_raise_no_alarm(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(3)
    second = bus.journal(first.former).taps(3)
    third = bus.journal(second.former)
    for journal in (first, second, third):
        fleet.through((bus, journal.all()))
    wait_a_minute(fleet)
    assert fleet.alarms() == set()
    assert found(fleet) == []


def test_two_journals_after_the_same_one_are_a_fork(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(3)
    one, two = bus.journal(first.former).taps(1), bus.journal(first.former).taps(1)
    for journal in (first, one, two):
        fleet.through((bus, journal.all()))
    assert fleet.alarms() == {"fork"}
    assert len(fleet.stored()) == 8


def test_an_old_image_is_seen_and_what_it_never_sent_is_missing(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(9)
    remembered = first.former
    fleet.through((bus, first.taps(5).all()))
    gone = bus.journal(first.former).taps(4)
    fleet.through((bus, gone.batch(1, 2)))
    status = Status(v=1, online=True, at_ms=NOON_MS, agent="a", journal=gone.id, n=5)
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    reborn = bus.journal(remembered, NOON_MS + 5_000).taps(2)
    assert fleet.through((bus, reborn.all())) == [3]
    assert {"fork", "rolled-back"} == fleet.alarms()
    wait_a_minute(fleet)
    assert found(fleet) == [(3, 5, 3, "not-arrived", None)]


def test_the_tail_of_a_journal_left_behind_is_missing(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(9)
    fleet.through((bus, first.batch(1, 6)))
    wait_a_minute(fleet)
    assert found(fleet) == []
    fleet.through((bus, bus.journal(first.former).all()))
    wait_a_minute(fleet)
    assert found(fleet) == [(7, 10, 4, "not-arrived", None)]
    assert fleet.through((bus, first.batch(7, 10))) == [10]
    assert found(fleet) == [(7, 10, 0, "not-arrived", "filled")]


def test_a_journal_that_never_came_at_all_is_missing_whole(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    never = bus.journal().taps(4)
    fleet.through((bus, bus.journal(never.former).all()))
    wait_a_minute(fleet)
    assert found(fleet) == [(1, 5, 5, "not-arrived", None)]


def test_an_old_journal_that_goes_on_after_a_new_one_alarms(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(2)
    former = first.former
    fleet.through((bus, first.all()))
    fleet.through((bus, bus.journal(former).all()))
    first.taps(2)
    assert fleet.through((bus, first.batch(4, 5))) == [5]
    assert fleet.alarms() == {"old-journal"}


def test_a_reader_that_has_forgotten_its_past_alarms(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    fleet.through((bus, bus.journal().taps(2).all()))
    fleet.through((bus, bus.journal(None, NOON_MS + 1).all()))
    assert fleet.alarms() == {"history-lost"}


def test_a_reader_restarted_before_it_was_ever_heard_has_lost_nothing(fleet: VirtualFleet) -> None:
    """It says which journal it writes, and then sends the one from before."""
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(2)
    second = bus.journal(first.former, NOON_MS + 1).taps(2)
    fleet.clock.pass_s(60)
    status = Status(v=1, online=True, at_ms=NOON_MS, agent="1", journal=second.id, n=3)
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    fleet.through((bus, first.all()))
    assert fleet.alarms() == set()
    superseded = "select superseded from journal where journal = "
    assert fleet.rows(f"{superseded}'{second.id}'") == [(False,)]
    fleet.through((bus, second.all()))
    assert fleet.alarms() == set()
    assert fleet.rows(f"{superseded}'{first.id}'") == [(True,)]


def test_a_changed_past_is_seen_by_its_tip(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    first = bus.journal().taps(2)
    fleet.through((bus, first.all()))
    former = msgspec.structs.replace(first.former, tip=bytes(32))
    fleet.through((bus, bus.journal(former).all()))
    assert fleet.alarms() == {"rolled-back"}
