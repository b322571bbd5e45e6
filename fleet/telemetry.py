"""What readers measure about themselves, kept for a while.

One small interface before the tables, so that another store can take its place: `keep` and
`forget` here, reading in `timings`. No person, no credential and no single tap is in here.
"""

from typing import Final

import sqlalchemy as sa

from fleet import store
from fleet.schema import counter_minute, entry_minute, online_change, stage_minute
from wire.messages import STAGES, Telemetry

KEPT_MS: Final = 14 * 24 * 3_600_000
"""Two weeks: long enough to compare a day with the same day of last week."""


class TelemetryRefused(ValueError):
    """A minute that is not taken in: it times a stage that nobody knows."""

    reason = "telemetry"


def keep(connection: sa.Connection, reader: str, minute: Telemetry) -> None:
    """Keep one minute; the same minute again changes nothing. Raises TelemetryRefused."""
    unknown = set(minute.stages) - set(STAGES)
    if unknown:
        raise TelemetryRefused(f"unknown stages: {', '.join(sorted(unknown))}")
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


def forget(connection: sa.Connection, now_ms: int) -> None:
    """Drop what is older than KEPT_MS."""
    for column in (
        stage_minute.c.from_ms,
        counter_minute.c.from_ms,
        entry_minute.c.minute_ms,
        online_change.c.at_ms,
    ):
        connection.execute(sa.delete(column.table).where(column < now_ms - KEPT_MS))
