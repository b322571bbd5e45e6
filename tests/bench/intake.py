"""Taking entries in: the fleet's own path against one INSERT statement for each row."""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.disk import TAP
from tests.bench.figures import Table, quantile
from tests.fleet.virtual import NOON_MS, VirtualFleet, bus, make_fleet
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import encode
from wire.envelope import Purpose
from wire.limits import BATCH_ENTRIES_MAX
from wire.messages import Status
from wire.mqtt import Message
from wire.topics import Leaf

GROUPS: Final = 20
READERS: Final = ("bus-1", "bus-2")
STATUSES: Final = 50
CARDS: Final = 500
"""Different cards in the taps; each comes again in the ledger's own count of bookings."""


def batches(fleet: VirtualFleet) -> Iterator[list[Message]]:
    """Groups of one full, signed batch of each reader, in order."""
    journals = [(fleet.reader(name), fleet.reader(name).journal()) for name in READERS]
    for group in range(GROUPS):
        messages = []
        for reader, journal in journals:
            first = len(journal.entries) + 1 if group else 1
            for _ in range(BATCH_ENTRIES_MAX - (len(journal.entries) if not group else 0)):
                n = len(journal.entries)
                journal.tap(
                    at_ms=NOON_MS + 1000 * n,
                    code=Code.OK,
                    scheme=Scheme.COMMON_AP,
                    key_epoch=1,
                    credential=f"{n % CARDS:032x}",
                    category="all",
                    rider_pays_yen=50,
                    rule="senior-pass/2026-04",
                )
            messages.append(reader.message(journal.batch(first, len(journal.entries))))
        yield messages


def ours(folder: Path) -> list[float]:
    """Entries per second of each group: verify, chain, store, mark, commit, acknowledge."""
    fleet = make_fleet(folder)
    rates = []
    try:
        for messages in batches(fleet):
            started = time.perf_counter()
            done = fleet.take(*messages)
            rates.append(len(READERS) * BATCH_ENTRIES_MAX / (time.perf_counter() - started))
            assert len(done.acks) == len(READERS)
    finally:
        fleet.close()
    return rates


def row_by_row(folder: Path) -> list[float]:
    """One statement and one commit for each entry, nothing verified: what a web hook would do."""
    body = encode(TAP)
    rates = []
    with contextlib.closing(sqlite3.connect(folder / "rows.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(
            "CREATE TABLE entry (reader TEXT, n INTEGER, body BLOB, UNIQUE(reader, n))"
        )
        for group in range(GROUPS):
            started = time.perf_counter()
            for n in range(BATCH_ENTRIES_MAX):
                number = group * BATCH_ENTRIES_MAX + n
                database.execute("INSERT INTO entry VALUES (?, ?, ?)", ("bus-1", number, body))
            rates.append(BATCH_ENTRIES_MAX / (time.perf_counter() - started))
    return rates


def statuses(folder: Path) -> list[float]:
    """Statuses per second of each group: what one `dispatch` hears of all readers of a tenant."""
    fleet = make_fleet(folder / "statuses", [bus(f"bus-{n}") for n in range(STATUSES)])
    rates = []
    try:
        readers = [fleet.reader(f"bus-{n}") for n in range(STATUSES)]
        journals = [reader.journal().id for reader in readers]
        for group in range(GROUPS):
            messages = [
                reader.say(
                    Purpose.STATUS,
                    Status(
                        v=1, online=True, at_ms=NOON_MS + group, agent="a", journal=one, n=group + 1
                    ),
                    Leaf.STATUS,
                )
                for reader, one in zip(readers, journals, strict=True)
            ]
            started = time.perf_counter()
            fleet.hear(*messages)
            rates.append(STATUSES / (time.perf_counter() - started))
    finally:
        fleet.close()
    return rates


def bench(beside: Path) -> Table:
    """Measure on the disk that holds `beside`."""
    with tempfile.TemporaryDirectory(dir=beside, prefix=".bench-") as name:
        folder = Path(name)
        found = {
            "ingest: signatures, chain, commit, acknowledgement": ours(folder),
            "one INSERT and commit a row, nothing verified": row_by_row(folder),
            "dispatch: statuses, verified and kept": statuses(folder),
        }
    rows = [
        [how, f"{quantile(rates, 0.5):,.0f}", f"{quantile(rates, 0.05):,.0f}"]
        for how, rates in found.items()
    ]
    return Table(
        "Taking entries in",
        f"Entries (and statuses) per second over {GROUPS} groups, each of one full batch "
        f"({BATCH_ENTRIES_MAX} entries) of {len(READERS)} readers, or a status of {STATUSES}; one "
        "process, SQLite. Limited by Python's work for each entry (decode, chain, decide, row) and "
        "by SQLite's two indexes.",
        ["how", "median", "slowest of twenty"],
        rows,
    )
