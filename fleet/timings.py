"""One reader's own record: timings, journals, connections, counters, what was not taken in.

Read under the console's grant, like `fleet.readers`. A quantile is read from a histogram whose
buckets grow by √2, so it is at most 41 % too high; it is the upper edge of its bucket. Timings and
counters come from the telemetry store, whichever it is; the rest from the fleet's database.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet.schema import (
    bad_message,
    journal,
    online_change,
    quarantine,
    quarantine_hour,
)
from fleet.telemetry import Recent, Tally
from wire.messages import STAGES

ROWS_MAX: Final = 50
"""Journals, connections and reasons of quarantine shown of one reader; the latest."""


@dataclass(frozen=True, slots=True)
class Timings:
    """A reader's last reports added up."""

    stages: tuple[tuple[str, Tally], ...]
    """By name, in the order of wire.messages.STAGES; only those that were timed."""
    counters: tuple[tuple[str, int], ...]
    reports: int
    """How many reports: minutes, or hours where few are members."""


def timings(recent: Recent) -> Timings:
    """Return a reader's last reports as they are shown."""
    stages = recent.sums.stages
    return Timings(
        tuple((stage, stages[stage]) for stage in STAGES if stage in stages),
        tuple(sorted(recent.sums.counters.items())),
        recent.reports,
    )


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
    """All of it for one reader that the fleet's own database has."""

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
    return Record(
        journals=_journals(connection, name),
        quarantined=_quarantined(connection, name),
        dropped=_dropped(connection, name),
        refused=_refused(connection, name),
        online_changes=_online_changes(connection, name),
    )


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
