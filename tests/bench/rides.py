"""Rides: from the driver's last key to the answer, and what taking them in costs beside taps."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from tests.bench.figures import Table, quantile
from tests.fleet.ride_kit import Cab, add_rider, make_cab, taxi_fleet
from tests.fleet.virtual import Journal, VirtualFleet, VirtualReader
from wire.codes import Code
from wire.entries import Tap

RIDES: Final = 1_000
CARDS: Final = 20
BATCH: Final = 80
"""Entries: rides of one rider and their taps, in 64 KiB with room to spare."""
FREE: Final[dict[str, Any]] = {
    "rides_per_day": 100,
    "rides_per_year": 10_000,
    "without_usage": "accept",
}
"""Limits are in force, so all is counted and looked at, and nobody meets them."""


def drive(fleet: VirtualFleet, folder: Path) -> tuple[Cab, list[float]]:
    """Let a cab settle its rides; return ms from the fare to the answer, the entry on the disk."""
    cards = [add_rider(fleet, f"{number}") for number in range(CARDS)]
    cab = make_cab(fleet, folder)
    found = []
    for n in range(RIDES):
        assert cab.tap(cards[n % CARDS]) is Code.OK
        started = time.perf_counter()
        answer = cab.fare(1_500)
        found.append(1000 * (time.perf_counter() - started))
        assert answer.n
        cab.clock.pass_s(5)
    return cab, found


def intake(fleet: VirtualFleet, reader: VirtualReader, journal: Journal) -> list[float]:
    """Return entries per second of each batch."""
    rates = []
    for first in range(1, len(journal.entries) - BATCH, BATCH):
        message = reader.message(journal.batch(first, first + BATCH - 1))
        started = time.perf_counter()
        assert fleet.take(message).created == BATCH
        rates.append(BATCH / (time.perf_counter() - started))
    return rates


def taps_of(cab: Cab, reader: VirtualReader) -> Journal:
    """Return as many taps, of another cab, none of which became a ride."""
    journal = reader.journal()
    taps = [one for one in cab.entries().values() if isinstance(one, Tap)]
    for one in (*taps, *taps):
        journal.write(replace(one, n=len(journal.entries) + 1))
    return journal


def _row(what: str, found: Sequence[float], digits: int) -> list[str]:
    return [what, *(f"{quantile(found, share):,.{digits}f}" for share in (0.5, 0.95))]


def bench(beside: Path) -> Table:
    """Measure on the disk that holds `beside`."""
    with tempfile.TemporaryDirectory(dir=beside, prefix=".bench-") as name:
        folder = Path(name)
        fleet = taxi_fleet(folder, **FREE)
        try:
            cab, fares = drive(fleet, folder)
            journal = Journal(cab.virtual.name, cab.journal.id)
            for entry in cab.entries().values():
                journal.write(entry)
            other = fleet.reader("taxi-2")
            alone = intake(fleet, other, taps_of(cab, other))
            riding = intake(fleet, cab.virtual, journal)
        finally:
            fleet.close()
    ratio = quantile(alone, 0.5) / quantile(riding, 0.5)
    return Table(
        "Rides",
        f"{RIDES:,} rides of one rider in one cab, on the disk. From the fare to the answer: "
        "settled, kept with one synchronous write, said. Taking in: one reader's batches of "
        f"{BATCH} entries, SQLite, every tap decided and every ride settled again; half of the "
        "entries are rides, each with its rows for money. So an entry costs "
        f"{ratio:.1f} times as much as where all are taps; a cab has some thirty rides a day.",
        ["what", "median", "95 of 100 (of rates: the fastest)"],
        [
            _row("fare to answer, ms", fares, 2),
            _row("taps taken in, entries per second", alone, 0),
            _row("taps and rides taken in, entries per second", riding, 0),
        ],
    )
