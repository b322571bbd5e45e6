"""What was ridden today on this vehicle, for the driver who hands in the cash.

Rules: no person and no credential is taken out of an entry · it is read from the journal whenever
it is asked for, so a restart changes nothing · a ride that was taken back stays on the list, struck
through, and counts in no sum.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from edge.journal import JOURNAL_HOURS_MAX, journals, read_whole
from programmes.calendar import local_day, start_of_day_ms
from wire.entries import Cancel, Entry, Ride

SHOWN_MAX: Final = 200
"""Rides on the list: three times what a taxi drives in a day; the sums count all."""


class RideRow(NamedTuple):
    """One ride, without who it was."""

    journal: str
    n: int
    at_ms: int
    driver: str
    riders: int
    fare_yen: int
    discount_yen: int
    subsidy_yen: int
    riders_pay_yen: int
    taken_back: str = ""
    """Why; empty when it counts."""


class Sum(NamedTuple):
    """What rides come to together."""

    rides: int = 0
    fare_yen: int = 0
    discount_yen: int = 0
    subsidy_yen: int = 0
    riders_pay_yen: int = 0

    def with_ride(self, row: RideRow) -> "Sum":
        """Return the sum with one more ride."""
        return Sum(
            self.rides + 1,
            self.fare_yen + row.fare_yen,
            self.discount_yen + row.discount_yen,
            self.subsidy_yen + row.subsidy_yen,
            self.riders_pay_yen + row.riders_pay_yen,
        )


class RidesToday(NamedTuple):
    """The latest first, with the sum of what counts, and each driver's."""

    rows: list[RideRow]
    total: Sum
    drivers: dict[str, Sum]


def rides_today(folder: Path, reader: str, now_ms: int) -> RidesToday:
    """Read the rides of the local day from the journals in a folder."""
    day_ms = start_of_day_ms(local_day(now_ms))
    earliest_ms = day_ms - JOURNAL_HOURS_MAX * 3_600_000
    rows: dict[tuple[str, int], RideRow] = {}
    for file in journals(folder):
        if file.started_ms >= earliest_ms:
            for kept in read_whole(file, reader):
                _take(rows, file.journal, kept.entry, day_ms)
    counted = [row for row in rows.values() if not row.taken_back]
    return RidesToday(list(rows.values())[: -SHOWN_MAX - 1 : -1], *_sums(counted))


def _take(rows: dict[tuple[str, int], RideRow], journal: str, entry: Entry, day_ms: int) -> None:
    if isinstance(entry, Ride) and entry.at_ms >= day_ms:
        rows[journal, entry.n] = RideRow(
            journal,
            entry.n,
            entry.at_ms,
            entry.driver,
            len(entry.riders),
            entry.fare_yen,
            entry.discount_yen,
            entry.subsidy_yen,
            entry.riders_pay_yen,
        )
    elif isinstance(entry, Cancel):
        of = entry.of_journal, entry.of_n
        if of in rows:
            rows[of] = rows[of]._replace(taken_back=entry.why)


def _sums(rows: Iterable[RideRow]) -> tuple[Sum, dict[str, Sum]]:
    total, drivers = Sum(), defaultdict[str, Sum](Sum)
    for row in rows:
        total = total.with_ride(row)
        drivers[row.driver] = drivers[row.driver].with_ride(row)
    return total, dict(drivers)
