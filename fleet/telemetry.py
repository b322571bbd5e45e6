"""What readers measure about themselves, and how much was taken in, kept for a while.

One small interface before the tables, so that another store can take its place: `keep`, `stages`,
`counters`, `entries_by_minute`, `forget`. No person, no credential and no single tap is in here.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import store
from fleet.schema import counter_minute, entry_minute, stage_minute
from wire.messages import HISTOGRAM_EDGES_US, STAGES, Telemetry

KEPT_MS: Final = 14 * 24 * 3_600_000
"""Two weeks: long enough to compare a day with the same day of last week."""
COUNTERS_MAX: Final = 64
"""Counters of one minute (wire.messages.Telemetry)."""


class TelemetryRefused(ValueError):
    """A minute that is not taken in: unknown stage, or too many counters."""

    reason = "telemetry"


class Stage(NamedTuple):
    """A stage's histogram over some minutes of some readers."""

    counts: tuple[int, ...]
    """35 buckets of wire.messages.HISTOGRAM_EDGES_US."""
    sum_us: int

    @property
    def presentations(self) -> int:
        """How many presentations were timed."""
        return sum(self.counts)

    def quantile_us(self, share: float) -> int | None:
        """Return the upper edge of the bucket that holds this share (0 to 1); None when empty.

        What is slower than the last edge answers with the last edge.
        """
        if not self.presentations:
            return None
        wanted, so_far = share * self.presentations, 0
        for edge, count in zip(HISTOGRAM_EDGES_US, self.counts, strict=False):
            so_far += count
            if so_far >= wanted:
                return edge
        return HISTOGRAM_EDGES_US[-1]


def keep(connection: sa.Connection, reader: str, minute: Telemetry) -> None:
    """Keep one minute; the same minute again changes nothing. Raises TelemetryRefused."""
    unknown = set(minute.stages) - set(STAGES)
    if unknown or len(minute.counters) > COUNTERS_MAX:
        raise TelemetryRefused(f"unknown stages {sorted(unknown)} or too many counters")
    store.insert_missing(
        connection,
        stage_minute,
        [
            {
                "reader": reader,
                "from_ms": minute.from_ms,
                "stage": stage,
                "counts": histogram.counts,
                "sum_us": histogram.sum_us,
            }
            for stage, histogram in minute.stages.items()
        ],
    )
    store.insert_missing(
        connection,
        counter_minute,
        [
            {"reader": reader, "from_ms": minute.from_ms, "name": name, "value": value}
            for name, value in minute.counters.items()
        ],
    )


def stages(connection: sa.Connection, since_ms: int, reader: str | None = None) -> dict[str, Stage]:
    """Return the histograms since an instant, of one reader or of all, in the order of STAGES."""
    wanted = sa.select(stage_minute.c.stage, stage_minute.c.counts, stage_minute.c.sum_us).where(
        stage_minute.c.from_ms >= since_ms
    )
    if reader is not None:
        wanted = wanted.where(stage_minute.c.reader == reader)
    sums: dict[str, Stage] = {}
    for row in connection.execute(wanted):
        sums[row.stage] = _add(sums.get(row.stage), row.counts, row.sum_us)
    return {stage: sums[stage] for stage in STAGES if stage in sums}


def _add(stage: Stage | None, counts: Sequence[int], sum_us: int) -> Stage:
    if stage is None:
        return Stage(tuple(counts), sum_us)
    both = tuple(one + other for one, other in zip(stage.counts, counts, strict=True))
    return Stage(both, stage.sum_us + sum_us)


def counters(
    connection: sa.Connection, since_ms: int, reader: str | None = None
) -> Mapping[str, int]:
    """Return the counters since an instant, by name, of one reader or of all."""
    wanted = (
        sa.select(counter_minute.c.name, sa.func.sum(counter_minute.c.value))
        .where(counter_minute.c.from_ms >= since_ms)
        .group_by(counter_minute.c.name)
        .order_by(counter_minute.c.name)
    )
    if reader is not None:
        wanted = wanted.where(counter_minute.c.reader == reader)
    return {name: int(value) for name, value in connection.execute(wanted)}


def entries_by_minute(
    connection: sa.Connection, since_ms: int, reader: str | None = None
) -> list[tuple[int, int]]:
    """Return (minute, new entries) since an instant, in order; minutes without any are left out."""
    wanted = (
        sa.select(entry_minute.c.minute_ms, sa.func.sum(entry_minute.c.count))
        .where(entry_minute.c.minute_ms >= since_ms)
        .group_by(entry_minute.c.minute_ms)
        .order_by(entry_minute.c.minute_ms)
    )
    if reader is not None:
        wanted = wanted.where(entry_minute.c.reader == reader)
    return [(minute_ms, int(count)) for minute_ms, count in connection.execute(wanted)]


def forget(connection: sa.Connection, now_ms: int) -> None:
    """Drop what is older than KEPT_MS."""
    for column in (stage_minute.c.from_ms, counter_minute.c.from_ms, entry_minute.c.minute_ms):
        connection.execute(sa.delete(column.table).where(column < now_ms - KEPT_MS))
