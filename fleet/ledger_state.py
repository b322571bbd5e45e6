"""How the ledger itself stands: what is missing, what contradicts, what was proven, how far behind.

Read under the console's grant, like `fleet.readers`: counts and reasons, no entry and no person.
`read_present` is small and asked each second; `read_past` counts through tables and is asked for
now and then.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet.alarms import AlarmKind
from fleet.overview import Alarm, Gap, read_gaps
from fleet.schema import (
    alarm,
    audit_run,
    finding,
    gap,
    journal,
    lag,
    ledger_epoch,
    ledger_month,
    quarantine,
    quarantine_hour,
    retention,
    retired_month,
)

ROWS_MAX: Final = 50
"""Rows of each list; the counts stay whole."""
RESTORED_KINDS: Final = (
    AlarmKind.FORK,
    AlarmKind.ROLLED_BACK,
    AlarmKind.OLD_JOURNAL,
    AlarmKind.HISTORY_LOST,
)
"""What happens to journals when a disk was copied, set back or exchanged."""
FINDING_KINDS: Final = ("replay", "roster-lag", "allowance")


@dataclass(frozen=True, slots=True)
class Event:
    """A journal that was forked, set back or lost, and whether somebody has dealt with it."""

    alarm: Alarm
    cleared_ms: int | None
    cleared_by: str
    why: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Messages set aside for one reason: how many, and when the last one came."""

    reason: str
    count: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What the last `audit verify` found."""

    at_ms: int
    who: str
    reader: str
    from_ms: int | None
    to_ms: int | None
    verdict: str
    entries: int
    exceptions: tuple[tuple[str, int], ...]
    faults: tuple[tuple[str, int], ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Lag:
    """One figure of how the fleet keeps up, of one process."""

    name: str
    process: str
    value: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Present:
    """What may change at any moment."""

    gaps_open: int
    missing: int
    gaps: tuple[Gap, ...]
    closed: tuple[Gap, ...]
    """Those that were closed last."""
    events: tuple[Event, ...]
    quarantined: tuple[Reason, ...]
    dropped: int
    """Messages that were counted and not kept, since the hour's room was taken."""
    audit: Audit | None
    lag: tuple[Lag, ...]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One life of the ledger."""

    epoch: str
    began_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Month:
    """Entries received in one month; gone when it was dropped after its time."""

    month: str
    entries: int
    gone_ms: int | None
    by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How long entries are kept, who said so and why."""

    months: int
    at_ms: int
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Past:
    """What changes slowly."""

    findings: tuple[tuple[str, int], ...]
    """How many of each of FINDING_KINDS, and of kinds that came later."""
    unreplayed: int
    epochs: tuple[Epoch, ...]
    months: tuple[Month, ...]
    kept: Kept | None


def read_present(connection: sa.Connection) -> Present:
    """Return what the page's live part shows."""
    gaps_open, missing = connection.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(gap.c.missing), 0)).where(
            gap.c.closed_at_ms.is_(None)
        )
    ).one()
    dropped = connection.scalar(sa.select(sa.func.sum(quarantine_hour.c.dropped)))
    return Present(
        gaps_open=gaps_open,
        missing=int(missing),
        gaps=read_gaps(connection, limit=ROWS_MAX),
        closed=_closed(connection),
        events=_events(connection),
        quarantined=_quarantined(connection),
        dropped=int(dropped or 0),
        audit=_audit(connection),
        lag=_lag(connection),
    )


def read_past(connection: sa.Connection) -> Past:
    """Return what is counted through whole tables."""
    by_kind = sa.select(finding.c.kind, sa.func.count()).group_by(finding.c.kind)
    counted: dict[str, int] = {row[0]: row[1] for row in connection.execute(by_kind)}
    kinds = (*FINDING_KINDS, *sorted(set(counted) - set(FINDING_KINDS)))
    unreplayed = connection.scalar(sa.select(sa.func.sum(journal.c.unreplayed)))
    return Past(
        findings=tuple((kind, counted.get(kind, 0)) for kind in kinds),
        unreplayed=int(unreplayed or 0),
        epochs=_epochs(connection),
        months=_months(connection),
        kept=_kept(connection),
    )


def _closed(connection: sa.Connection) -> tuple[Gap, ...]:
    newest = (
        sa.select(gap.c.id)
        .where(gap.c.closed_at_ms.is_not(None))
        .order_by(gap.c.closed_at_ms.desc())
        .limit(ROWS_MAX)
    )
    found = read_gaps(connection, gap.c.id.in_(newest), limit=ROWS_MAX, closed=True)
    return tuple(sorted(found, key=lambda one: one.closed_ms or 0, reverse=True))


def _events(connection: sa.Connection) -> tuple[Event, ...]:
    columns = alarm.c
    rows = connection.execute(
        sa.select(alarm)
        .where(columns.kind.in_([kind.value for kind in RESTORED_KINDS]))
        .order_by(columns.cleared_at_ms.is_not(None), columns.last_at_ms.desc())
        .limit(ROWS_MAX)
    )
    return tuple(
        Event(
            Alarm(
                row.id,
                row.kind,
                row.subject,
                row.reader or "",
                row.detail,
                row.first_at_ms,
                row.last_at_ms,
                row._mapping["count"],
            ),
            row.cleared_at_ms,
            row.cleared_by or "",
            row.why or "",
        )
        for row in rows
    )


def _quarantined(connection: sa.Connection) -> tuple[Reason, ...]:
    columns, last_ms = quarantine.c, sa.func.max(quarantine.c.received_at_ms)
    rows = connection.execute(
        sa.select(columns.reason, sa.func.sum(columns.times), last_ms)
        .group_by(columns.reason)
        .order_by(last_ms.desc())
        .limit(ROWS_MAX)
    )
    return tuple(Reason(reason, int(count), at_ms) for reason, count, at_ms in rows)


def _audit(connection: sa.Connection) -> Audit | None:
    newest = sa.select(audit_run).order_by(audit_run.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    return Audit(
        at_ms=row.at_ms,
        who=row.who,
        reader=row.reader or "",
        from_ms=row.from_ms,
        to_ms=row.to_ms,
        verdict=row.verdict,
        entries=row.entries,
        exceptions=tuple(sorted(row.exceptions.items())),
        faults=tuple(sorted(row.faults.items())),
        digest=row.digest.hex(),
    )


def _lag(connection: sa.Connection) -> tuple[Lag, ...]:
    columns = (lag.c.name, lag.c.process, lag.c.value, lag.c.at_ms)
    rows = connection.execute(sa.select(*columns).order_by(lag.c.name, lag.c.process))
    return tuple(Lag(*row) for row in rows)


def _epochs(connection: sa.Connection) -> tuple[Epoch, ...]:
    columns = ledger_epoch.c
    rows = connection.execute(
        sa.select(columns.epoch, columns.began_at_ms, columns.reason)
        .order_by(columns.id.desc())
        .limit(ROWS_MAX)
    )
    return tuple(Epoch(*row) for row in rows)


def _months(connection: sa.Connection) -> tuple[Month, ...]:
    present = sa.select(ledger_month.c.month, ledger_month.c.entries)
    lines = retired_month.c
    gone = sa.select(lines.month, lines.entries, lines.at_ms, lines.who)
    found = {
        month: Month(month, entries, None, "") for month, entries in connection.execute(present)
    }
    found |= {row.month: Month(*row) for row in connection.execute(gone)}
    return tuple(found[month] for month in sorted(found, reverse=True))[:ROWS_MAX]


def _kept(connection: sa.Connection) -> Kept | None:
    columns = retention.c
    newest = (
        sa.select(columns.months, columns.at_ms, columns.who, columns.why)
        .order_by(columns.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    return None if row is None else Kept(*row)
