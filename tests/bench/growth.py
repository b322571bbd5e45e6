"""How the way into the ledger grows: from 10 to 1,000 readers, and over 10,000 to 10,000,000 rows.

Rows are filled in by PostgreSQL itself, over the two years before now, for the same members and
readers as those who then tap; the measured entries come the usual way, through broker and ingest.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from tests.bench.disk import TAP
from tests.bench.figures import Table, quantile
from tests.bench.pipeline import SETTINGS, Ours
from tests.real_postgres import Postgres, start_postgres
from wire.entries import encode
from wire.limits import BATCH_ENTRIES_MAX

READERS: Final = (10, 100, 1_000)
ROWS: Final = (10_000, 100_000, 1_000_000, 10_000_000)
ENTRIES: Final = 40_000
"""Entries in full batches, whatever the number of readers; at least one batch of each."""
LONE: Final = 1_000
"""Lone entries, at RATE a second."""
RATE: Final = 200.0
DAYS: Final = 730
QUIET_MS: Final = 40 * 86_400_000
"""Between the filled rows and now: no ride of theirs is in a measured one's repeat window."""
IN_ONE_JOURNAL: Final = 1_000
_FILL_JOURNALS: Final = """
INSERT INTO fleet.journal (reader, journal, received_at_ms, through, seen, claimed, superseded,
                           spans, whole)
SELECT 'kazasu-shi/bus-' || mod(g, %(readers)s), md5('fill' || g), 0, %(each)s, %(each)s, %(each)s,
       true, '[[1, %(each)s]]', true
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g RETURNING id
"""
_FILL: Final = """
INSERT INTO fleet.entry (journal_id, n, hash, body, received_at_ms, kind, at_ms, clock, programme,
                         outcome, code, credential, scheme, category, rider_pays_yen, rule,
                         roster_version)
SELECT %(first)s + g / %(each)s, 1 + mod(g, %(each)s), decode(md5(g::text) || md5(g::text), 'hex'),
       %(body)s, at_ms + 60000, 'tap', at_ms, 'synchronised', 'senior-pass', 'accepted', 'ok',
       (%(cards)s::text[])[1 + mod(g, %(members)s)], 'common-ap', 'all', 50,
       'senior-pass/2026-04', 1
FROM (SELECT g, %(from_ms)s + (g::double precision / %(rows)s * %(span_ms)s)::bigint AS at_ms
      FROM generate_series(0, %(rows)s - 1) g) rows
"""


def fill(server: Postgres, name: str, ours: Ours, rows: int) -> None:
    """Add rows to the ledger, spread over DAYS before now."""
    span_ms = DAYS * 86_400_000
    from_ms = int(time.time() * 1000) - span_ms - QUIET_MS
    journals = -(-rows // IN_ONE_JOURNAL)
    with server.administrator(name) as database:
        stood = _one(database, "SELECT count(*) FROM fleet.journal")
        added = database.execute(
            _FILL_JOURNALS % {"readers": ours.readers, "each": IN_ONE_JOURNAL, "first": stood + 1,
                              "last": stood + journals}
        ).fetchall()  # fmt: skip
        for day in range(0, DAYS + 2, 20):
            database.execute("SELECT fleet.ensure_month(%s)", (from_ms + day * 86_400_000,))
        database.execute(
            _FILL,
            {
                "first": added[0][0],
                "each": IN_ONE_JOURNAL,
                "body": encode(TAP),
                "cards": ours.cards,
                "members": len(ours.cards),
                "from_ms": from_ms,
                "span_ms": span_ms,
                "rows": rows,
            },
        )
        for rest in ("VACUUM ANALYZE", "CHECKPOINT"):  # as a ledger that has stood for a while
            database.execute(rest)


def _one(database: psycopg.Connection, question: str) -> int:
    found = database.execute(question).fetchone()
    return int(found[0]) if found else 0


def _row(what: str, ours: Ours, server: Postgres, name: str) -> list[str]:
    batches = max(1, ENTRIES // ours.readers // BATCH_ENTRIES_MAX)
    full = ours.run(1, batches, BATCH_ENTRIES_MAX)
    lone = ours.run(1, max(1, LONE // ours.readers), 1, RATE)
    with server.administrator(name) as database:
        size = _one(database, f"SELECT pg_database_size('{name}')")
        stored = _one(database, "SELECT count(*) FROM fleet.entry")
    waits = [f"{quantile(lone.us, share) / 1000:.1f}" for share in (0.5, 0.99)]
    return [what, f"{full.rate:,.0f}", *waits, f"{size / stored:,.0f}" if stored > 100_000 else "–"]


def _by_readers(folder: Path, server: Postgres) -> Iterator[list[str]]:
    for readers in READERS:
        name = server.empty()
        ours = Ours(folder / f"readers-{readers}", server.url(name), readers)
        yield _row(f"{readers:,} readers, empty ledger", ours, server, name)


def _by_rows(folder: Path, server: Postgres) -> Iterator[list[str]]:
    name = server.empty()
    ours = Ours(folder / "rows", server.url(name), 100)
    stood = 0
    for rows in ROWS:
        fill(server, name, ours, rows - stood)
        stood = rows
        yield _row(f"100 readers, {rows:,} rows before", ours, server, name)


def bench(beside: Path) -> Table:
    """Measure on the disk that holds `beside`."""
    with (
        tempfile.TemporaryDirectory(dir=beside, prefix=".bench-") as temporary,
        start_postgres(settings=SETTINGS) as server,
    ):
        rows = [*_by_readers(Path(temporary), server), *_by_rows(Path(temporary), server)]
    return Table(
        "How it grows",
        f"PostgreSQL, one worker. Entries a second in batches of {BATCH_ENTRIES_MAX}; the wait for "
        f"the answer to a lone entry at {RATE:.0f} a second; bytes of the whole database an entry. "
        "Limited as above. Rows that stood before were filled in, vacuumed and on the disk.",
        ["ledger", "entries/s", "answer p50 ms", "p99 ms", "bytes/entry"],
        rows,
    )
