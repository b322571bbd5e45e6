"""One reader's own record: timings, journals, connections, counters, what was not taken in.

Read under the console's grant, like `fleet.readers`. A quantile is read from a histogram whose
buckets grow by √2, so it is at most 41 % too high; it is the upper edge of its bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet.schema import (
    bad_message,
    counter_minute,
    journal,
    online_change,
    quarantine,
    quarantine_hour,
    stage_minute,
)
from wire.messages import HISTOGRAM_EDGES_US, STAGES

REPORTS_SHOWN: Final = 60
"""Timings and counters are those of the reader's last reports: an hour of it being connected."""
ROWS_MAX: Final = 50
"""Journals, connections and reasons of quarantine shown of one reader; the latest."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage took, over the last reports: counts per bucket of HISTOGRAM_EDGES_US."""

    name: str
    counts: tuple[int, ...]
    sum_us: int

    @property
    def count(self) -> int:
        """How many were timed."""
        return sum(self.counts)

    @property
    def mean_us(self) -> float:
        """The mean; 0 when nothing was timed."""
        return self.sum_us / self.count if self.count else 0.0

    def quantile_us(self, share: float) -> float | None:
        """Return the time within which this share (0 to 1) was done.

        None when it is slower than the last edge, 0 when nothing was timed.
        """
        wanted, seen = share * self.count, 0
        for count, edge in zip(self.counts, HISTOGRAM_EDGES_US, strict=False):
            seen += count
            if seen >= wanted:
                return float(edge) if self.count else 0.0
        return None


@dataclass(frozen=True, slots=True)
class Journal:
    """One journal at the ledger: a start of the agent."""

    journal: str
    started_ms: int | None
    agent: str
    through: int
    seen: int
    claimed: int
    superseded: bool

    @property
    def behind(self) -> int:
        """Numbers that the reader wrote and the ledger has not accounted for."""
        return max(0, self.claimed - self.through)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Messages that could not be read or verified for one reason; nobody reads their bytes here."""

    topic: str
    reason: str
    detail: str
    count: int
    """How often such a message came, the same bytes again included."""
    last_ms: int
    first: int | None
    last: int | None
    """The journal's numbers that one of them accounts for; None for several of them."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Messages of one kind that were not taken in."""

    leaf: str
    reason: str
    count: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class OnlineChange:
    """The reader came online, or went."""

    at_ms: int
    online: bool


@dataclass(frozen=True, slots=True)
class Record:
    """All of it for one reader."""

    stages: tuple[Stage, ...]
    counters: tuple[tuple[str, int], ...]
    reported_minutes: tuple[int, ...]
    """Starts of its last reports, oldest first."""
    journals: tuple[Journal, ...]
    quarantined: tuple[Quarantined, ...]
    """By reason, the latest first."""
    dropped: int
    """Further ones that were counted and not kept, since the hour's room was taken."""
    refused: tuple[Refused, ...]
    online_changes: tuple[OnlineChange, ...]
    """The newest first."""


def read_record(connection: sa.Connection, name: str) -> Record:
    """Return one reader's record as of now; `name` is `tenant/reader`."""
    reported = _reported(connection, name)
    since = reported[0] if reported else 0
    return Record(
        stages=_stages(connection, name, since),
        counters=_counters(connection, name, since),
        reported_minutes=reported,
        journals=_journals(connection, name),
        quarantined=_quarantined(connection, name),
        dropped=_dropped(connection, name),
        refused=_refused(connection, name),
        online_changes=_online_changes(connection, name),
    )


def _stages(connection: sa.Connection, name: str, since: int) -> tuple[Stage, ...]:
    columns = stage_minute.c
    rows = connection.execute(
        sa.select(columns.stage, columns.counts, columns.sum_us).where(
            columns.reader == name, columns.from_ms >= since
        )
    )
    added: dict[str, tuple[list[int], int]] = {}
    for stage, counts, sum_us in rows:
        sums, total = added.get(stage, ([0] * (len(HISTOGRAM_EDGES_US) + 1), 0))
        added[stage] = [a + b for a, b in zip(sums, counts, strict=True)], total + sum_us
    return tuple(
        Stage(stage, tuple(added[stage][0]), added[stage][1]) for stage in STAGES if stage in added
    )


def _counters(connection: sa.Connection, name: str, since: int) -> tuple[tuple[str, int], ...]:
    columns = counter_minute.c
    rows: Sequence[Any] = connection.execute(
        sa.select(columns.name, sa.func.sum(columns.value))
        .where(columns.reader == name, columns.from_ms >= since)
        .group_by(columns.name)
        .order_by(columns.name)
    ).all()
    return tuple((counter, value) for counter, value in rows)


def _reported(connection: sa.Connection, name: str) -> tuple[int, ...]:
    minutes: set[int] = set()
    for table in (stage_minute, counter_minute):
        starts = sa.select(table.c.from_ms).where(table.c.reader == name).distinct()
        last = starts.order_by(table.c.from_ms.desc()).limit(REPORTS_SHOWN)
        minutes.update(connection.execute(last).scalars())
    return tuple(sorted(minutes)[-REPORTS_SHOWN:])


def _journals(connection: sa.Connection, name: str) -> tuple[Journal, ...]:
    columns = journal.c
    rows = connection.execute(
        sa.select(
            columns.journal,
            columns.started_at_ms,
            columns.agent,
            columns.through,
            columns.seen,
            columns.claimed,
            columns.superseded,
        )
        .where(columns.reader == name)
        .order_by(columns.id.desc())
        .limit(ROWS_MAX)
    )
    return tuple(Journal(*row) for row in rows)


def _quarantined(connection: sa.Connection, name: str) -> tuple[Quarantined, ...]:
    columns, last_ms = quarantine.c, sa.func.max(quarantine.c.received_at_ms)
    single = sa.func.count() == 1
    rows = connection.execute(
        sa.select(
            columns.topic,
            columns.reason,
            columns.detail,
            sa.func.sum(columns.times),
            last_ms,
            sa.case((single, sa.func.min(columns.first))),
            sa.case((single, sa.func.max(columns.last))),
        )
        .where(columns.reader == name)
        .group_by(columns.topic, columns.reason, columns.detail)
        .order_by(last_ms.desc())
        .limit(ROWS_MAX)
    )
    return tuple(Quarantined(*row) for row in rows)


def _dropped(connection: sa.Connection, name: str) -> int:
    columns = quarantine_hour.c
    return (
        connection.scalar(sa.select(sa.func.sum(columns.dropped)).where(columns.reader == name))
        or 0
    )


def _refused(connection: sa.Connection, name: str) -> tuple[Refused, ...]:
    columns = bad_message.c
    rows = connection.execute(
        sa.select(columns.leaf, columns.reason, columns.count, columns.last_at_ms)
        .where(columns.reader == name)
        .order_by(columns.last_at_ms.desc())
        .limit(ROWS_MAX)
    )
    return tuple(Refused(*row) for row in rows)


def _online_changes(connection: sa.Connection, name: str) -> tuple[OnlineChange, ...]:
    columns = online_change.c
    rows = connection.execute(
        sa.select(columns.at_ms, columns.online)
        .where(columns.reader == name)
        .order_by(columns.at_ms.desc())
        .limit(ROWS_MAX)
    )
    return tuple(OnlineChange(*row) for row in rows)
