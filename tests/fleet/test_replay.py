"""A past month is decided again under another table, from the ledger alone."""

import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest

from fleet import replay, rules, schema
from fleet.replay import Replayed, Sums
from programmes.register import rulebook
from tests.fleet.test_usage import ride
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member, make_tap
from wire.codes import Code, Outcome
from wire.entries import Press, Used
from wire.roster import RuleTable

PASS = "senior-pass"
JUNE = datetime.date(2026, 6, 1)
DAY_MS = 86_400_000
A, B = "ab" * 16, "cd" * 16


def table(**parameters: Any) -> RuleTable:
    known = {"rider_pays_yen": 50}
    return RuleTable("senior-pass/2027-04", datetime.date(2027, 4, 1), known | parameters)


def replayed(
    fleet: VirtualFleet, new: RuleTable, progress: Callable[[float], None] = lambda _: None
) -> Replayed:
    with fleet.people.read() as people:
        members = replay.members_of(people, PASS)
    with fleet.store.read() as connection:
        tables = rules.load(connection, PASS)
        return replay.replay(connection, rulebook(PASS), JUNE, new, tables, members, progress)


def rides(fleet: VirtualFleet, *cards: str, bus: str = "bus-1", **changes: Any) -> None:
    reader = fleet.reader(bus)
    journal = reader.journal()
    for card in cards:
        ride(journal, card, **changes)
    fleet.take(reader.message(journal.all()))


def test_the_same_table_gives_what_was(fleet: VirtualFleet) -> None:
    rides(fleet, A, A, B)
    found = replayed(fleet, table())
    assert found == Replayed(Sums(3, 0, 150, 0), Sums(3, 0, 150, 0), 2, 0, 0)


def test_another_fare_changes_what_everybody_and_the_city_pays(fleet: VirtualFleet) -> None:
    rides(fleet, A, A, B)
    found = replayed(fleet, table(rider_pays_yen=100, city_pays_yen=110))
    assert found.would_be == Sums(3, 0, 300, 330)
    assert (found.members, found.affected) == (2, 2)


def test_rides_are_counted_over_the_year_and_over_all_cards_of_a_member(
    fleet: VirtualFleet,
) -> None:
    card = add_member(fleet, "M-1")
    with fleet.people.write() as people:
        row = dict(people.execute(schema.card.select()).mappings().one())
        del row["id"]
        row |= {"credential": B, "superseded_at_ms": NOON_MS}
        people.execute(schema.card.insert(), row)
    rides(fleet, B, A, at_ms=NOON_MS - 20 * DAY_MS)
    rides(fleet, card, card, A)
    found = replayed(fleet, table(rides_per_year=2))
    assert found.was == Sums(3, 0, 150, 0)
    assert found.would_be == Sums(2, 1, 100, 0)
    assert found.affected == 1


def test_rides_of_the_year_before_count_in_that_year(fleet: VirtualFleet) -> None:
    rides(fleet, A, at_ms=NOON_MS - 80 * DAY_MS)
    rides(fleet, A)
    assert replayed(fleet, table(rides_per_year=1)).would_be.accepted == 1


def test_hours_and_window_are_looked_at_again(fleet: VirtualFleet) -> None:
    rides(fleet, A, A)
    assert replayed(fleet, table(to_time="11:00:00")).would_be == Sums(0, 2, 0, 0)
    assert replayed(fleet, table(repeat_window_s=600)).would_be == Sums(1, 0, 50, 0)


def test_what_no_table_changes_is_refused_again(fleet: VirtualFleet) -> None:
    rides(fleet, A, code=Code.STOP_LISTED)
    rides(fleet, A, code=Code.HOLD_AGAIN, bus="bus-2")
    found = replayed(fleet, table(rider_pays_yen=0))
    assert found.would_be == found.was == Sums(0, 2, 0, 0)
    assert found.affected == 0


def test_who_was_let_on_without_a_tap_pays_the_other_fare(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    press = Press(
        v=1,
        n=2,
        at_ms=NOON_MS,
        mono_ms=2,
        clock=make_tap(2).clock,
        programme=PASS,
        button="present-only",
        rule="senior-pass/2026-04",
        rider_pays_yen=50,
    )
    journal.write(press)
    fleet.take(bus.message(journal.all()))
    found = replayed(fleet, table(rider_pays_yen=100))
    assert (found.was, found.would_be) == (Sums(1, 0, 50, 0), Sums(1, 0, 100, 0))


def test_what_a_reader_decided_without_a_network_is_named(fleet: VirtualFleet) -> None:
    """It refused for rides that it had counted too much; the ledger would not have."""
    used = {"2026": Used(3)}
    rides(fleet, A, code=Code.USED_UP, outcome=Outcome.REFUSED, used=used)
    found = replayed(fleet, table())
    assert (found.unlike, found.affected) == (1, 1)


def test_another_month_is_left_alone(fleet: VirtualFleet) -> None:
    rides(fleet, A, at_ms=NOON_MS - 20 * DAY_MS)
    assert replayed(fleet, table()) == Replayed(Sums(), Sums(), 0, 0, 0)


def test_a_replay_says_how_far_it_is_and_ends_when_it_is_told_to(fleet: VirtualFleet) -> None:
    for bus in ("bus-1", "bus-2"):
        rides(fleet, *[f"{card:032x}" for card in range(150)], bus=bus)
    heard: list[float] = []
    replayed(fleet, table(), heard.append)
    assert heard == sorted(heard)
    assert len(heard) == 3
    assert 0 < heard[0] < heard[2] < 1

    def stop(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replayed(fleet, table(), stop)


def test_too_much_is_said_and_not_begun_to_be_guessed(
    fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rides(fleet, A, A, B)
    monkeypatch.setattr(replay, "ENTRIES_MAX", 2)
    with pytest.raises(replay.TooMuch):
        replayed(fleet, table())


def test_a_thousand_rides_are_replayed_in_less_than_a_second(fleet: VirtualFleet) -> None:
    for part in range(5):
        rides(fleet, *[f"{card:032x}" for card in range(200)], bus=f"bus-{part % 2 + 1}")
    began = time.monotonic()
    replayed(fleet, table(rides_per_year=100))
    assert time.monotonic() - began < 1
