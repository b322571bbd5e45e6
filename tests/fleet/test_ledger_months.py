"""How many entries came in each month: counted without reading through them."""

import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import ledger_months
from fleet.months import bounds_ms, month_of
from tests.fleet.virtual import NOON_MS, VirtualFleet

DAY_S = 24 * 3600


def counted(fleet: VirtualFleet) -> dict[str, int]:
    with fleet.store.write() as connection:
        ledger_months.count(connection)
    return {
        str(month): int(n) for month, n in fleet.rows("select month, entries from ledger_month")
    }


def test_an_empty_ledger_has_no_months(fleet: VirtualFleet) -> None:
    assert counted(fleet) == {}


def test_entries_are_counted_by_the_month_of_their_receipt_in_japan(fleet: VirtualFleet) -> None:
    reader = fleet.reader("bus-1")
    june_ends_ms = bounds_ms(datetime.date(2026, 6, 1))[1]
    steps = (0, (june_ends_ms - NOON_MS) / 1000 - 1, 2, 70 * DAY_S)
    journals = []
    for number, seconds in enumerate(steps, 1):
        fleet.clock.pass_s(seconds)
        journals.append(reader.journal().taps(number))
        fleet.take(reader.message(journals[-1].all()))
        counted(fleet)
    assert counted(fleet) == {"2026-06": 5, "2026-07": 4, "2026-08": 0, "2026-09": 5}


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_all_months_together_are_all_entries(fleet: VirtualFleet, days: list[int]) -> None:
    reader = fleet.reader("bus-2")
    for number in days:
        fleet.clock.pass_s(number * DAY_S)
        fleet.take(reader.message(reader.journal().taps(number).all()))
    found = counted(fleet)
    times = [at_ms for (at_ms,) in fleet.rows("select received_at_ms from entry")]
    expected: dict[str, int] = {}
    for at_ms in times:
        name = f"{month_of(at_ms):%Y-%m}"
        expected[name] = expected.get(name, 0) + 1
    assert {month: n for month, n in found.items() if n} == expected


def test_a_batch_that_was_read_in_the_month_before_its_commit_stands_in_the_ledger(
    fleet: VirtualFleet,
) -> None:
    _, after_ms = bounds_ms(month_of(NOON_MS + 70 * 86_400_000))
    fleet.clock.at_ms = after_ms - 100
    bus = fleet.reader("bus-1")
    received = fleet.books.read(bus.message(bus.journal().taps(2).all()))
    fleet.clock.pass_s(0.2)
    assert [ack.through for ack in fleet.acks(fleet.books.take([received]))] == [3]
    assert len(fleet.stored()) == 3
    assert fleet.rows("select count(*) from quarantine") == [(0,)]
