"""What readers measure about themselves: one small store interface with two back ends.

Rules: ingest never waits for a telemetry store and never fails because of one; what is dropped is
counted (`Loss`) and shown; nothing is kept finer than by the minute, nor finer than by the hour
where a programme has few members (`fleet.grain`); a tag is a reader, a programme, a code or a
stage, and never a person or a credential; the same minute again changes nothing.

`fleet.telemetry_sql` keeps it in tables, `fleet.telemetry_influx` in an InfluxDB.
"""

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import sqlalchemy as sa

from fleet.config import Config
from fleet.store import Store
from wire.clock import Clock
from wire.messages import HISTOGRAM_EDGES_US, STAGES, Telemetry

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
ZONE_MS: Final = 9 * HOUR_MS
"""Days begin at midnight in Japan, which knows no summer time."""
MINUTES_KEPT_MS: Final = 14 * DAY_MS
"""Two weeks: long enough to compare a day with the same day of last week."""
HOURS_KEPT_MS: Final = 400 * DAY_MS
"""A year and the month beside it, to compare with the same month of last year."""
AHEAD_MS: Final = HOUR_MS
"""How far ahead of the fleet's clock a reader's may be; a later minute is dropped and counted."""
REPORTS_SHOWN: Final = 60
"""Of one reader: the last reports that are added up, an hour of it being connected."""
HOURS_SHOWN: Final = 24
"""The same of a reader that is counted by the hour."""
BUCKETS: Final = len(HISTOGRAM_EDGES_US) + 1
_NAME: Final = re.compile(r"[a-z]+(?:[.-][a-z]+)*")
"""Letters, dots and hyphens: no number fits into a name, so no credential and no card does."""
_NAME_MAX: Final = 40
"""Characters of a counter's name (edge.telemetry)."""


class TelemetryRefused(ValueError):
    """A minute that is not taken in: it times a stage that nobody knows."""

    reason = "telemetry"


class TelemetryUnavailable(RuntimeError):
    """The telemetry store does not answer, or not with what was asked for; the rest works on."""


class Loss(enum.StrEnum):
    """Why the fleet dropped something that a reader reported."""

    CLOCK = "clock"
    """Its minute is in the future, or older than what is kept by the minute."""
    LATE = "late"
    """Counted by the hour, and its hour has a later minute already."""
    NAME = "name"
    """A counter whose name could hold a number."""
    FULL = "full"
    """The telemetry server was away or slow for so long that the buffer was full."""
    REFUSED = "refused"
    """The telemetry server does not take this at all."""


class Minute(NamedTuple):
    """One reported minute, and whether its reader is counted by the hour."""

    reader: str
    report: Telemetry
    by_hour: bool


@dataclass(slots=True)
class Tally:
    """How long one stage took: counts per bucket of HISTOGRAM_EDGES_US, and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    sum_us: int = 0

    def add(self, counts: Iterable[int], sum_us: int) -> None:
        """Add another histogram."""
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        self.sum_us += sum_us

    @property
    def count(self) -> int:
        """How many were timed."""
        return sum(self.counts)

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


@dataclass(slots=True)
class Sums:
    """Reports added up: counters by name, stages of STAGES by name."""

    counters: dict[str, int] = field(default_factory=dict)
    stages: dict[str, Tally] = field(default_factory=dict)

    def count(self, name: str, value: int) -> None:
        """Add to one counter."""
        self.counters[name] = self.counters.get(name, 0) + value

    def time(self, stage: str, counts: Iterable[int], sum_us: int) -> None:
        """Add to one stage."""
        self.stages.setdefault(stage, Tally()).add(counts, sum_us)

    def report(self, report: Telemetry) -> None:
        """Add one minute."""
        for name, value in report.counters.items():
            self.count(name, value)
        for stage, histogram in report.stages.items():
            self.time(stage, histogram.counts, histogram.sum_us)


class Recent(NamedTuple):
    """A reader's last reports added up, and how many: minutes, or hours where few are members."""

    reports: int
    sums: Sums


class Online(NamedTuple):
    """How many readers were online at once."""

    fewest: int
    most: int


class Steps(NamedTuple):
    """A stretch of time in equal steps: whole hours, or days that begin at midnight in Japan."""

    first_ms: int
    end_ms: int
    """The end of the last hour that is over; the last day may be a part of one."""
    step_ms: int

    @property
    def starts(self) -> range:
        """When each step begins."""
        return range(self.first_ms, self.end_ms, self.step_ms)

    def of(self, at_ms: int) -> int:
        """Return the start of the step that an instant is in."""
        return at_ms - (at_ms - self.first_ms) % self.step_ms


def last_hours(hours: int, now_ms: int) -> Steps:
    """Return the last whole hours; the present one is not over and is never shown."""
    end_ms = floor(now_ms, HOUR_MS)
    return Steps(end_ms - hours * HOUR_MS, end_ms, HOUR_MS)


def last_days(days: int, now_ms: int) -> Steps:
    """Return the last days in Japan, today's hours that are over included."""
    end_ms = floor(now_ms, HOUR_MS)
    today_ms = floor(end_ms - 1 + ZONE_MS, DAY_MS) - ZONE_MS
    return Steps(today_ms - (days - 1) * DAY_MS, end_ms, DAY_MS)


class TelemetryStore(Protocol):
    """Where telemetry rests. Every method but `close` may be called from several threads."""

    def keep(self, connection: sa.Connection, minutes: Sequence[Minute], now_ms: int) -> None:
        """Keep minutes; in the caller's transaction as far as it uses the fleet's database.

        Never waits for another server and never fails because of one.
        """

    def tidy(self, connection: sa.Connection, now_ms: int) -> None:
        """Down-sample, note how many are online and forget; by `dispatch`, about once a minute."""

    def read(
        self, connection: sa.Connection, steps: Steps, reader: str | None
    ) -> Mapping[int, Sums]:
        """Return what one reader, or all, reported by step; empty steps are left out.

        Raises TelemetryUnavailable, as all reading does.
        """

    def recent(self, connection: sa.Connection, reader: str, by_hour: bool, now_ms: int) -> Recent:
        """Return a reader's last REPORTS_SHOWN minutes, or its last HOURS_SHOWN whole hours."""

    def online(self, connection: sa.Connection, steps: Steps) -> Mapping[int, Online]:
        """Return by step how many readers were online."""

    def close(self) -> None:
        """Send what waits, as far as that takes a few seconds, and stop."""


def check(report: Telemetry) -> None:
    """Raise TelemetryRefused for a minute that is not to be kept."""
    unknown = set(report.stages) - set(STAGES)
    if unknown:
        raise TelemetryRefused(f"unknown stages: {', '.join(sorted(unknown))}")


def may_be_kept(name: str) -> bool:
    """True for the name of a counter in which nothing personal fits."""
    return len(name) <= _NAME_MAX and _NAME.fullmatch(name) is not None


def floor(at_ms: int, step_ms: int) -> int:
    """Return the start of the minute or hour that an instant is in."""
    return at_ms - at_ms % step_ms


def in_time(from_ms: int, now_ms: int) -> bool:
    """True for a minute that is neither in the future nor too old to be kept."""
    return floor(now_ms, HOUR_MS) - MINUTES_KEPT_MS + HOUR_MS <= from_ms <= now_ms + AHEAD_MS


def open_telemetry(config: Config, fleet: Store, clock: Clock) -> TelemetryStore:
    """Return the store that the configuration names. `close` it when done.

    Raises ConfigRefused when its token cannot be read.
    """
    if config.telemetry is None:
        from fleet.telemetry_sql import SqlTelemetry  # noqa: PLC0415  it stands on this module

        return SqlTelemetry()
    from fleet.telemetry_influx import InfluxTelemetry  # noqa: PLC0415  a client of 0.3 s and 20 MB

    return InfluxTelemetry(config.telemetry, fleet, clock)
