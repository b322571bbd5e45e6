"""Making one entry durable: the journal against the floor and against a database."""

import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Final

from edge.clock import Stamp
from edge.journal_writer import Journal
from tests.bench.figures import Table, spread, timed_us
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential, Scheme
from wire.entries import Tap, encode

RUNS: Final = 500
TAP: Final = Tap(
    v=1,
    n=1,
    at_ms=1_780_440_120_000,
    mono_ms=1_000_000,
    clock=ClockState.SYNCHRONISED,
    programme="senior-pass",
    outcome=Outcome.ACCEPTED,
    code=Code.OK,
    shown="senior-pass.accepted",
    scheme=Scheme.COMMON_AP,
    key_epoch=1,
    credential=Credential("0123456789abcdef" * 2),
    category="all",
    rider_pays_yen=50,
    rule="senior-pass/2026-04",
    roster=12,
    roster_age_s=40,
    duty="1-0645",
    stop="市役所前",
)


def _now() -> Stamp:
    return Stamp(1_780_440_120_000, time.monotonic_ns() // 1_000_000, ClockState.SYNCHRONISED)


def journal(folder: Path) -> list[float]:
    """The agent's own: encode, chain, one O_DSYNC write."""
    book = Journal(folder / "journal", "kazasu-shi/bus-1", "boot", "bench", _now)
    book.append(TAP)
    try:
        return timed_us(lambda: book.append(TAP), RUNS)
    finally:
        book.close()


def bare_append(folder: Path) -> list[float]:
    """The floor: write the same bytes and fdatasync."""
    body = encode(TAP)
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append() -> None:
        os.write(fd, body)
        os.fdatasync(fd)

    try:
        return timed_us(append, RUNS)
    finally:
        os.close(fd)


def sqlite_wal(folder: Path) -> list[float]:
    """The usual alternative: one row and one commit, WAL, synchronous FULL."""
    database = sqlite3.connect(folder / "journal.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE entry (n INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    insert = "INSERT INTO entry (body) VALUES (?)"
    try:
        return timed_us(lambda: database.execute(insert, (encode(TAP),)), RUNS)
    finally:
        database.close()


def bench(beside: Path) -> Table:
    """Measure on the disk that holds `beside`."""
    with tempfile.TemporaryDirectory(dir=beside, prefix=".bench-") as name:
        folder = Path(name)
        rows = [
            ["journal (encode, chain, O_DSYNC)", *spread(journal(folder), digits=0)],
            ["bare append + fdatasync", *spread(bare_append(folder), digits=0)],
            ["SQLite, WAL, FULL", *spread(sqlite_wal(folder), digits=0)],
        ]
    size = len(encode(TAP))
    return Table(
        "Keeping an entry",
        f"µs until an entry of {size} bytes is on the disk, {RUNS} times each, one by one. "
        "Limited by the flush of the device.",
        ["how", "p50", "p95", "p99"],
        rows,
    )
