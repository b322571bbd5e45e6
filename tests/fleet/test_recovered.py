"""What lay on a dead reader's card is decided again like what a reader sends itself."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fleet.ride_kit import (
    Cab,
    MakeTaxis,
    a_ride,
    add_rider,
    differences,
    findings,
    make_cab,
)
from tests.fleet.test_ride_findings import ALLOWANCE, HOUR_S, deliver
from tests.fleet.virtual import Journal, VirtualFleet
from wire.codes import Code
from wire.entries import Ride
from wire.messages import Batch


def recover(fleet: VirtualFleet, cab: Cab, *batches: Batch) -> None:
    """Take in what `kazasu-edge unsent` reads from this cab's card."""
    file = fleet.town.folder / "unsent.jsonl"
    some = batches or cab.batches()
    file.write_bytes(b"".join(cab.virtual.sign(batch) + b"\n" for batch in some))
    asked = ("ledger", "recover", str(file), "水没", "--reader", cab.virtual.name)
    assert fleet.command(*asked) == 0
    assert differences(fleet) == []


def one_by_one(cab: Cab) -> list[Batch]:
    journal = copied(cab)
    return [journal.batch(n, n) for n in range(1, len(journal.entries) + 1)]


def copied(cab: Cab) -> Journal:
    """Return the cab's present journal, to be cut anywhere."""
    journal = Journal(cab.virtual.name, cab.journal.id)
    for entry in cab.entries().values():
        journal.write(entry)
    return journal


@pytest.mark.parametrize("each", [False, True], ids=["whole", "each"])
def test_a_ride_over_the_allowance_on_a_dead_readers_card_is_found(
    make: MakeTaxis, tmp_path: Path, each: bool
) -> None:
    fleet = make(rides_per_day=2)
    ann = add_rider(fleet, "1")
    one, dead = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    dead.clock.pass_s(HOUR_S)
    one.ride(1500, ann)
    for _ in range(2):
        dead.ride(1500, ann)
    deliver(fleet, one)
    recover(fleet, dead, *(one_by_one(dead) if each else []))
    assert findings(fleet) == [ALLOWANCE]
    recover(fleet, dead)
    assert findings(fleet) == [ALLOWANCE]
    assert fleet.alarms() == set()
    assert fleet.rows("select sum(unreplayed) from journal") == [(0,)]


def test_a_forged_ride_on_a_card_is_a_fault(make: MakeTaxis, tmp_path: Path) -> None:
    fleet = make()
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    journal = copied(cab)
    journal.write(a_ride(len(journal.entries) + 1, ann, subsidy_yen=900, roster=1))
    recover(fleet, cab, journal.all())
    assert [(entry, kind) for _, entry, kind, _ in findings(fleet)] == [("ride", "replay")]
    assert fleet.alarms() == {"replay"}


def test_a_tap_on_a_card_is_decided_again_too(make: MakeTaxis, tmp_path: Path) -> None:
    """Who was refused though another cab's ride had been taken back is found, as ever."""
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    cab.ride(1500, ann)
    assert cab.tap(ann) is Code.USED_UP
    (whole,) = cab.batches()
    entries = [entry for entry in cab.entries().values() if not isinstance(entry, Ride)]
    journal = Journal(cab.virtual.name, cab.journal.id)
    for n, entry in enumerate(entries, 1):
        journal.write(_numbered(entry, n))
    assert whole.last == len(journal.entries) + 1
    recover(fleet, cab, journal.all())
    assert findings(fleet) == [("kazasu-shi/taxi-1", "tap", "allowance", "ok")]


def _numbered(entry: Any, n: int) -> Any:
    return msgspec.structs.replace(entry, n=n)


# --- out of order --------------------------------------------------------------------------------


def test_a_ride_that_lay_in_a_gap_is_found_over_the_allowance(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make(rides_per_day=1)
    ann, bob = add_rider(fleet, "1"), add_rider(fleet, "2")
    one, dead = make_cab(fleet, tmp_path), make_cab(fleet, tmp_path, "taxi-2")
    one.ride(1500, ann)
    dead.ride(1500, ann)
    dead.ride(1500, bob)
    deliver(fleet, one)
    journal = copied(dead)
    last = len(journal.entries)
    fleet.through(
        (dead.virtual, journal.batch(1, 2)), (dead.virtual, journal.batch(last - 1, last))
    )
    assert findings(fleet) == []
    recover(fleet, dead)
    assert findings(fleet) == [ALLOWANCE]
    assert fleet.alarms() == set()


def test_a_ride_that_was_taken_back_before_it_came_is_over_nothing(
    make: MakeTaxis, tmp_path: Path
) -> None:
    fleet = make(rides_per_day=1)
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    wrong = cab.ride(15_000, ann)
    cab.cancel((wrong.journal, wrong.n))
    cab.ride(1_500, ann)
    journal = copied(cab)
    fleet.through(
        (cab.virtual, journal.batch(1, wrong.n - 1)),
        (cab.virtual, journal.batch(wrong.n + 1, len(journal.entries))),
    )
    recover(fleet, cab)
    assert findings(fleet) == []
    assert fleet.rows("select sum(subsidy_yen) from ride") == [(750,)]


def test_taps_that_a_later_journal_has_overtaken_are_counted_and_not_blamed(
    make: MakeTaxis, tmp_path: Path
) -> None:
    """The member rode again with the new reader before the old one's card was read."""
    fleet = make()
    ann = add_rider(fleet, "1")
    cab = make_cab(fleet, tmp_path)
    cab.tap(ann)
    old = copied(cab)
    later = Journal(cab.virtual.name, make_cab(fleet, tmp_path / "new").journal.id)
    later.start(None, cab.clock.at_ms + 1000)
    later.write(_numbered(list(cab.entries().values())[-1], 2))
    fleet.through((cab.virtual, old.batch(1, 1)), (cab.virtual, later.all()))
    recover(fleet, cab, old.all())
    assert findings(fleet) == []
    assert fleet.rows("select unreplayed from journal order by id") == [(1,), (0,)]
