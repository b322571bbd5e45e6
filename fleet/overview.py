"""What operators see at one look, read under the console's grant; see `fleet.readers`.

Eight small queries, a few ms for a thousand readers: each console asks once a second.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fleet.alarms import AlarmKind
from fleet.readers import ROWS, STATE, ReaderRow, ReaderState, reader_row, wanted_rosters
from fleet.schema import (
    alarm,
    conflict,
    entry_minute,
    gap,
    journal,
    place,
    quarantine,
    reader,
    reader_state,
)
from wire.codes import Code

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
MINUTES_SHOWN: Final = 60
"""The chart of entries: the last hour."""
TROUBLED_MAX: Final = 50
"""Readers, gaps and alarms named on the first screen; the counts stay whole."""


@dataclass(frozen=True, slots=True)
class Minute:
    """Entries that the ledger took in within one minute."""

    at_ms: int
    accepted: int
    refused: int
    repeats: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.accepted + self.refused + self.repeats


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of one journal that the ledger has not got."""

    id: int
    reader: str
    journal: str
    first: int
    last: int
    missing: int
    cause: str
    opened_ms: int
    closed_ms: int | None
    how: str
    closed_by: str
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person has to look at, until somebody says that it is done."""

    id: int
    kind: str
    subject: str
    reader: str
    detail: str
    first_ms: int
    last_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole first screen, as data."""

    by_state: dict[ReaderState, int]
    unready_offline: int
    """Offline readers that were not ready when they left."""
    waiting: int
    gaps_open: int
    missing: int
    conflicts: int
    quarantined: int
    entries: int
    """Taken in within the chart's hour; of places counted by the hour, in the last whole one."""
    troubled: tuple[ReaderRow, ...]
    gaps: tuple[Gap, ...]
    alarms: tuple[Alarm, ...]
    minutes: tuple[Minute, ...]

    @property
    def active(self) -> int:
        """Readers that are not revoked."""
        return sum(n for state, n in self.by_state.items() if state is not ReaderState.REVOKED)


def read_overview(connection: sa.Connection, now_ms: int) -> Overview:
    """Return the first screen's data: eight small queries, a few ms for a thousand readers."""
    counted = connection.execute(
        sa.select(
            STATE.label("state"),
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(reader_state.c.waiting), 0),
            sa.func.sum(sa.case((reader_state.c.ready.is_(sa.false()), 1), else_=0)),
        )
        .select_from(reader)
        .outerjoin(reader_state, reader_state.c.reader == reader.c.name)
        .group_by("state")
    ).all()
    by_state = {ReaderState(state): count for state, count, _, _ in counted}
    gaps_open, missing = connection.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(gap.c.missing), 0)).where(
            gap.c.closed_at_ms.is_(None)
        )
    ).one()
    minutes = read_minutes(connection, now_ms)
    return Overview(
        by_state={state: by_state.get(state, 0) for state in ReaderState},
        unready_offline=sum(n for state, _, _, n in counted if state == ReaderState.OFFLINE),
        waiting=sum(waiting for _, _, waiting, _ in counted),
        gaps_open=gaps_open,
        missing=missing,
        conflicts=_count(connection, conflict),
        quarantined=_count(connection, quarantine),
        entries=sum(minute.total for minute in minutes) + _last_hour(connection, now_ms),
        troubled=_troubled(connection, now_ms),
        gaps=read_gaps(connection, limit=TROUBLED_MAX),
        alarms=read_alarms(connection),
        minutes=minutes,
    )


def _last_hour(connection: sa.Connection, now_ms: int) -> int:
    """Return how much came in the last hour that is over where only hours are counted."""
    hour_ms = now_ms // HOUR_MS * HOUR_MS - HOUR_MS
    found = connection.scalar(
        sa.select(sa.func.sum(entry_minute.c["count"]))
        .join(reader, reader.c.name == entry_minute.c.reader)
        .join(place, place.c.name == reader.c.place)
        .where(entry_minute.c.minute_ms == hour_ms, entry_minute.c.code != "", place.c.by_hour)
    )
    return int(found or 0)


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _troubled(connection: sa.Connection, now_ms: int) -> tuple[ReaderRow, ...]:
    """Readers that are neither fine nor revoked, and those whose twin reported a trouble."""
    fine = (ReaderState.READY.value, ReaderState.REVOKED.value)
    trouble = reader_state.c.reported["trouble"].as_string()
    rows = connection.execute(
        ROWS.where(sa.or_(STATE.not_in(fine), trouble != ""))
        .order_by(STATE.desc(), reader.c.name)
        .limit(TROUBLED_MAX)
    ).all()
    wanted = wanted_rosters(connection) if rows else {}
    return tuple(reader_row(row, wanted, now_ms) for row in rows)


_REPEAT: Final = entry_minute.c.code == Code.REPEAT.value
_ACCEPTED: Final = sa.or_(
    entry_minute.c.code == Code.OK.value,
    entry_minute.c.code.startswith("press.", autoescape=True),
)


def _sum(*where: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((sa.and_(*where), entry_minute.c.count), else_=0))


def read_minutes(
    connection: sa.Connection, now_ms: int, reader_name: str | None = None
) -> tuple[Minute, ...]:
    """Return the last MINUTES_SHOWN minutes, oldest first, those without entries included.

    Places that are counted by the hour are left out.
    """
    last = now_ms // MINUTE_MS * MINUTE_MS
    first = last - (MINUTES_SHOWN - 1) * MINUTE_MS
    query = (
        sa.select(
            entry_minute.c.minute_ms,
            _sum(_ACCEPTED),
            _sum(sa.not_(_ACCEPTED), sa.not_(_REPEAT)),
            _sum(_REPEAT),
        )
        .join(reader, reader.c.name == entry_minute.c.reader)
        .join(place, place.c.name == reader.c.place)
        .where(
            entry_minute.c.minute_ms.between(first, last),
            entry_minute.c.code.not_in(("", Code.DESK.value)),
            sa.not_(place.c.by_hour),
        )
        .group_by(entry_minute.c.minute_ms)
    )
    if reader_name is not None:
        query = query.where(entry_minute.c.reader == reader_name)
    found = {row[0]: Minute(*row) for row in connection.execute(query)}
    return tuple(
        found.get(at, Minute(at, 0, 0, 0)) for at in range(first, last + MINUTE_MS, MINUTE_MS)
    )


_GAP_COLUMNS: Final = (
    gap.c.id,
    journal.c.reader,
    journal.c.journal,
    gap.c.first,
    gap.c.last,
    gap.c.missing,
    gap.c.cause,
    gap.c.opened_at_ms,
    gap.c.closed_at_ms,
    sa.func.coalesce(gap.c.how, ""),
    sa.func.coalesce(gap.c.closed_by, ""),
    sa.func.coalesce(gap.c.why, ""),
)
_ALARM_COLUMNS: Final = (
    alarm.c.id,
    alarm.c.kind,
    alarm.c.subject,
    sa.func.coalesce(alarm.c.reader, ""),
    alarm.c.detail,
    alarm.c.first_at_ms,
    alarm.c.last_at_ms,
    alarm.c.count,
)


def read_gaps(
    connection: sa.Connection,
    *where: sa.ColumnElement[bool],
    limit: int,
    closed: bool = False,
) -> tuple[Gap, ...]:
    """Return open gaps, oldest first; with `closed` the closed ones after them."""
    query = (
        sa.select(*_GAP_COLUMNS)
        .join(journal, journal.c.id == gap.c.journal_id)
        .where(*where)
        .order_by(gap.c.closed_at_ms.is_not(None), gap.c.opened_at_ms, gap.c.id)
        .limit(limit)
    )
    if not closed:
        query = query.where(gap.c.closed_at_ms.is_(None))
    rows: Iterable[Any] = connection.execute(query)
    return tuple(Gap(*row) for row in rows)


def find_gap(connection: sa.Connection, gap_id: int) -> Gap | None:
    """Return one gap, open or closed."""
    found = read_gaps(connection, gap.c.id == gap_id, limit=1, closed=True)
    return found[0] if found else None


def read_alarms(connection: sa.Connection, reader_name: str | None = None) -> tuple[Alarm, ...]:
    """Return what nobody has cleared yet, latest first, at most TROUBLED_MAX.

    Alarms of gaps are left out: the gaps themselves are listed.
    """
    query = (
        sa.select(*_ALARM_COLUMNS)
        .where(alarm.c.cleared_at_ms.is_(None), alarm.c.kind != AlarmKind.GAP.value)
        .order_by(alarm.c.last_at_ms.desc())
        .limit(TROUBLED_MAX)
    )
    if reader_name is not None:
        query = query.where(alarm.c.reader == reader_name)
    return tuple(Alarm(*row) for row in connection.execute(query))


def find_alarm(connection: sa.Connection, alarm_id: int) -> tuple[Alarm, bool] | None:
    """Return one alarm and whether somebody has cleared it."""
    query = sa.select(*_ALARM_COLUMNS, alarm.c.cleared_at_ms).where(alarm.c.id == alarm_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else (Alarm(*row[:-1]), row[-1] is not None)
