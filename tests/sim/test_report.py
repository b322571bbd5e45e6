"""The report finds every way in which books can be wrong, and finds nothing when they balance."""

import json

import pytest

from hw.sim.report import (
    Identity,
    OpenGap,
    RideSum,
    Row,
    Sighting,
    journal_rows,
    judge,
    ledger_rows,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential, Scheme
from wire.entries import Cancel, JournalId, Press, Ride, Rider, Tap, chain, encode, genesis

WINDOW_S = 600
AT_MS = 1_780_440_120_000


def identity(n: int, reader: str = "kazasu-shi/bus-1") -> Identity:
    return Identity(reader, "ab" * 16, n)


def chained(*bodies: tuple[int, bytes]) -> list[Row]:
    """Rows of one journal that begin at 1 and have the hashes that their bytes give."""
    rows, tip = [], genesis("kazasu-shi/bus-1", JournalId("ab" * 16))
    for n, body in bodies:
        tip = chain(tip, body)
        rows.append(Row(identity(n), body, tip.hex()))
    return rows


def tap(n: int, card: str = "00", at_ms: int = AT_MS, code: Code = Code.OK) -> tuple[int, bytes]:
    outcome = {Code.OK: Outcome.ACCEPTED, Code.REPEAT: Outcome.REPEAT}.get(code, Outcome.REFUSED)
    entry = Tap(
        v=1,
        n=n,
        at_ms=at_ms,
        mono_ms=n,
        clock=ClockState.HOLDOVER,
        programme="senior-pass",
        outcome=outcome,
        code=code,
        shown="x",
        credential=Credential(card * 16),
    )
    return n, encode(entry)


def seen(n: int, code: Code = Code.OK, outcome: Outcome = Outcome.ACCEPTED) -> Sighting:
    return Sighting(identity(n), outcome, code, 120.0, {"host": 2000})


THREE = chained(tap(1, "00"), tap(2, "11"), tap(3, "22", code=Code.EXPIRED))
FOUR = chained(tap(1, "00"), tap(2, "11"), tap(3, "22", code=Code.EXPIRED), tap(4, "33"))


def test_books_that_balance_have_no_fault() -> None:
    found = judge(THREE, reversed(THREE), [seen(1), seen(2)], WINDOW_S)
    assert found.faults() == []
    assert (found.in_journals, found.in_ledger, found.journals) == (3, 3, 1)
    assert found.outcomes == {Outcome.ACCEPTED: 2, Outcome.REFUSED: 1}
    assert found.codes == {Code.EXPIRED: 1}


@pytest.mark.parametrize(
    ("ledger", "what"),
    [
        (THREE[:2], "not in the ledger"),
        (chained(tap(1, "00"), tap(2, "11"), tap(3, "33", code=Code.EXPIRED)), "other bytes"),
        ([*THREE[:2], THREE[2]._replace(body=tap(3, "33")[1])], "do not give their chain's hash"),
        (FOUR, "in no journal"),
        ([*THREE, THREE[0]], "more than once"),
        ([THREE[0], THREE[2]], "missing in the ledger's sequences"),
    ],
)
def test_a_ledger_that_differs_is_a_fault(ledger: list[Row], what: str) -> None:
    faults = judge(THREE, ledger, [], WINDOW_S).faults()
    assert any(what in fault for fault in faults), faults


@pytest.mark.parametrize(
    "sighting", [seen(4), seen(3), seen(1, Code.REPEAT, Outcome.REPEAT)], ids=str
)
def test_what_people_saw_must_be_in_the_ledger_as_they_saw_it(sighting: Sighting) -> None:
    found = judge(THREE, THREE, [sighting], WINDOW_S)
    assert found.unkept == [sighting.identity]


def test_a_press_that_was_seen_is_looked_up_as_a_press() -> None:
    press = Press(
        v=1,
        n=1,
        at_ms=AT_MS,
        mono_ms=1,
        clock=ClockState.HOLDOVER,
        programme="senior-pass",
        button="present-only",
    )
    rows = chained((1, encode(press)))
    found = judge(rows, rows, [seen(1)], WINDOW_S)
    assert not found.faults()
    assert found.presses == {"present-only": 1}


def test_a_card_that_is_booked_again_inside_the_window_is_doubled() -> None:
    rows = chained(tap(1), tap(2, at_ms=AT_MS + WINDOW_S * 1000 - 1))
    assert judge(rows, rows, [], WINDOW_S).doubled == [identity(2)]


def test_a_card_that_comes_again_later_or_is_only_a_repeat_is_not_doubled() -> None:
    again = tap(2, at_ms=AT_MS + 1, code=Code.REPEAT)
    rows = chained(tap(1), again, tap(3, at_ms=AT_MS + WINDOW_S * 1000), tap(4, "11"))
    assert judge(rows, rows, [], WINDOW_S).doubled == []


def test_a_fault_names_a_few_entries_and_counts_the_rest() -> None:
    rows = chained(*(tap(n, f"{n:02x}") for n in range(1, 9)))
    [fault] = judge(rows, [], [], WINDOW_S).faults()
    assert fault.startswith("8 entries")
    assert fault.endswith("and 3 more")


def gap(first: int, last: int, missing: int) -> OpenGap:
    return OpenGap(7, "kazasu-shi/bus-1", "ab" * 16, first, last, missing, "not-arrived")


def test_a_gap_that_only_the_fleet_knows_is_named_and_the_books_do_not_balance() -> None:
    faults = judge(THREE, THREE, [], WINDOW_S, [gap(4, 6, 3)]).faults()
    assert len(faults) == 2
    assert "gap 7 kazasu-shi/bus-1 abababab #4 to #6, 3 missing, not-arrived" in faults[0]
    assert "1 of these are not explained" in faults[1]


def test_a_gap_that_the_books_show_too_is_explained() -> None:
    faults = judge(THREE, [THREE[0], THREE[2]], [], WINDOW_S, [gap(2, 2, 1)]).faults()
    assert any("gaps are open at the fleet" in fault for fault in faults)
    assert not any("not explained" in fault for fault in faults)


def test_what_both_commands_print_of_one_entry_is_the_same_row() -> None:
    n, body = tap(1)
    row = chained((n, body))[0]
    journal = {"journal": "ab" * 16, "n": 1, "hash": row.hash, "body": json.loads(body)}
    printed = json.dumps(journal, ensure_ascii=False).encode()
    exported = {**journal, "reader": "kazasu-shi/bus-1", "body": body.decode()}
    assert journal_rows("kazasu-shi/bus-1", printed + b"\n") == [row]
    assert ledger_rows(json.dumps(exported).encode()) == [row]


def test_a_number_that_the_reader_cannot_read_any_more_counts_as_lost() -> None:
    line = json.dumps({"journal": "ab" * 16, "missing": [2, 3], "why": "damaged"}).encode()
    found = judge(journal_rows("kazasu-shi/bus-1", line), [], [], WINDOW_S)
    assert found.lost == [identity(2), identity(3)]


def ride(n: int, subsidy_yen: int) -> tuple[int, bytes]:
    entry = Ride(
        v=1,
        n=n,
        at_ms=AT_MS,
        mono_ms=n,
        clock=ClockState.HOLDOVER,
        programme="taxi",
        outcome=Outcome.ACCEPTED,
        code=Code.OK,
        shown="x",
        riders=[Rider(Scheme.COMMON_AP, 1, "cd" * 16, subsidy_yen=subsidy_yen)],
        fare_yen=1_500,
        boarded_at_ms=AT_MS,
    )
    return n, encode(entry)


def taken_back(n: int, of: int) -> tuple[int, bytes]:
    entry = Cancel(
        v=1,
        n=n,
        at_ms=AT_MS,
        mono_ms=n,
        clock=ClockState.HOLDOVER,
        programme="taxi",
        of_journal="ab" * 16,
        of_n=of,
        why="wrong-fare",
    )
    return n, encode(entry)


RIDES = chained(ride(1, 750), ride(2, 700), taken_back(3, 1))
TAXI_1 = "kazasu-shi/bus-1"


def test_rides_add_up_without_those_that_were_taken_back() -> None:
    found = judge(RIDES, RIDES, [seen(1), seen(2)], WINDOW_S, owed_yen={TAXI_1: 700})
    assert found.faults() == []
    assert found.rides == {TAXI_1: RideSum(2, 1, 700)}


@pytest.mark.parametrize("owed_yen", [{TAXI_1: 1450}, {}, {TAXI_1: 700, "kazasu-shi/taxi-2": 1}])
def test_money_that_differs_from_the_rides_is_a_fault(owed_yen: dict[str, int]) -> None:
    found = judge(RIDES, RIDES, [], WINDOW_S, owed_yen=owed_yen)
    assert [fault for fault in found.faults() if "rows for money" in fault]


def test_who_rides_twice_within_the_window_is_no_fault_where_rides_book() -> None:
    taps = [tap(1, "00"), tap(2, "00", AT_MS + 60_000)]
    bus, taxi = (
        chained(*((n, body.replace(b"senior-pass", programme)) for n, body in taps))
        for programme in (b"senior-pass", b"taxi")
    )
    assert judge(bus, bus, [], WINDOW_S).doubled
    assert judge(taxi, taxi, [], WINDOW_S).doubled == []
