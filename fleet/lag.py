"""How long the fleet's own parts take: measured by who does it, kept as a few overwritten rows.

Rules: a measurement is never waited for by a reader; a figure is an integer with its unit in its
name; no reader and no person is in here. `ingest` writes its own once a minute from memory,
`dispatch` those of database and broker every ten seconds; the console reads them.
"""

import enum
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from fleet import store
from fleet.schema import lag

KEPT_MS: Final = 10 * 60_000
"""How long the rows of a process that is gone stay: longer than any restart."""


class Figure(enum.StrEnum):
    """What is measured, and by what it is counted; `lag.<figure>` in `locale/`."""

    DATABASE_COMMIT_US = "database.commit_us"
    """A transaction that writes a few rows, from its begin to the end of its commit."""
    DATABASE_OLDEST_MS = "database.oldest_ms"
    """How long the oldest transaction has been open (PostgreSQL)."""
    BROKER_ROUND_TRIP_US = "broker.round_trip_us"
    """From a request to the broker's answer."""
    BROKER_DROPPED = "broker.dropped"
    """Messages that the broker has dropped since its start (mosquitto)."""
    INGEST_GROUPS = "ingest.groups"
    """Groups committed in the last minute."""
    INGEST_COMMIT_P50_US = "ingest.commit_p50_us"
    """From a group's beginning to the end of its commit: decided and written."""
    INGEST_COMMIT_P99_US = "ingest.commit_p99_us"
    INGEST_OLDEST_MS = "ingest.oldest_ms"
    """The longest that a message of the last minute had waited here when it was committed."""
    INGEST_ANSWER_P50_US = "ingest.answer_p50_us"
    """From a commit until the broker has the acknowledgements."""
    INGEST_ANSWER_P99_US = "ingest.answer_p99_us"


class Minute:
    """What an ingest worker measured since it was last asked.

    A minute holds at most 60,000 groups, since none takes less than 1 ms.
    """

    def __init__(self) -> None:
        self._commits_us: list[int] = []
        self._answers_us: list[int] = []
        self._oldest_ns = 0

    def committed(self, took_ns: int, oldest_ns: int) -> None:
        """Note one group: how long it took, and how old its oldest message was at its commit."""
        self._commits_us.append(took_ns // 1000)
        self._oldest_ns = max(self._oldest_ns, oldest_ns)

    def answered(self, took_ns: int) -> None:
        """Note how long after its commit a group was answered."""
        self._answers_us.append(took_ns // 1000)

    def take(self) -> dict[Figure, int]:
        """Return the figures and begin the next minute; a minute without a group has few."""
        commits, self._commits_us = sorted(self._commits_us), []
        answers, self._answers_us = sorted(self._answers_us), []
        oldest_ns, self._oldest_ns = self._oldest_ns, 0
        found = {Figure.INGEST_GROUPS: len(commits)}
        if commits:
            found |= {
                Figure.INGEST_COMMIT_P50_US: quantile(commits, 0.5),
                Figure.INGEST_COMMIT_P99_US: quantile(commits, 0.99),
                Figure.INGEST_OLDEST_MS: oldest_ns // 1_000_000,
            }
        if answers:
            found |= {
                Figure.INGEST_ANSWER_P50_US: quantile(answers, 0.5),
                Figure.INGEST_ANSWER_P99_US: quantile(answers, 0.99),
            }
        return found


class Growth:
    """By how much a counter of another program grew, which begins at 0 with each start of it."""

    def __init__(self) -> None:
        self._last: int | None = None

    def to(self, now: int) -> int:
        """Return the growth since the last call; of the first one nothing is known."""
        last, self._last = self._last, now
        if last is None:
            return 0
        return now - last if now >= last else now


def quantile(ordered: list[int], share: float) -> int:
    """Return the value below which this share of sorted values lies; of one, that one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def note(
    connection: sa.Connection, process: str, figures: Mapping[Figure, int], at_ms: int
) -> None:
    """Write figures in the place of what the same process wrote before."""
    rows = [
        {"name": figure.value, "process": process, "value": value, "at_ms": at_ms}
        for figure, value in sorted(figures.items())
    ]
    store.upsert(connection, lag, rows, key=["name", "process"], replace=["value", "at_ms"])


def forget(connection: sa.Connection, now_ms: int) -> None:
    """Drop what nobody has written for KEPT_MS."""
    connection.execute(lag.delete().where(lag.c.at_ms < now_ms - KEPT_MS))


_OLDEST: Final = sa.text(
    "SELECT CAST(extract(epoch FROM max(clock_timestamp() - xact_start)) * 1000 AS bigint)"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
"""A user without pg_read_all_stats sees the times of its own sessions alone (28.2.3)."""


def oldest_transaction_ms(connection: sa.Connection) -> int | None:
    """Return for how long the oldest transaction beside this one is open.

    None on SQLite, and when none is open.
    """
    if connection.dialect.name != "postgresql":
        return None
    found = connection.scalar(_OLDEST)
    return None if found is None else int(found)
