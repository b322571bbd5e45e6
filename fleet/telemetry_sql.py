"""Telemetry in the fleet's own database: minutes for two weeks, hours for a year.

Rules: a minute is added to its hour in the transaction that keeps it, once; a reader's row in
`telemetry_reader` is locked first, so two workers never add to one hour at once; where few are
members only the hour is written, and an hour is shown when it is over, so that nobody can watch it
grow minute by minute; what all readers together did is added up for each hour that is over.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from fleet import store
from fleet.schema import (
    counter_minute,
    entry_minute,
    online_change,
    online_hour,
    reader_state,
    stage_minute,
    telemetry_hour,
    telemetry_loss,
    telemetry_reader,
)
from fleet.telemetry import (
    HOUR_MS,
    HOURS_KEPT_MS,
    HOURS_SHOWN,
    MINUTES_KEPT_MS,
    REPORTS_SHOWN,
    Loss,
    Minute,
    Online,
    Recent,
    Steps,
    Sums,
    Tally,
    floor,
    in_time,
    may_be_kept,
)
from wire.messages import STAGES, Telemetry

EVERYONE: Final = ""
"""The reader of rows in `telemetry_hour` that stand for all readers."""
AGAIN_HOURS: Final = 3
"""Hours that are added up again each time: a reader sends the last two once it is back."""
CATCH_UP_HOURS: Final = 48
"""Hours that `dispatch` may have been away for without a hole in what all readers did."""


class SqlTelemetry:
    """The back end that needs no other server. Holds nothing, so any number may be used."""

    def keep(self, connection: sa.Connection, minutes: Sequence[Minute], now_ms: int) -> None:
        """Keep minutes in the caller's transaction."""
        losses: Counter[Loss] = Counter()
        for minute in sorted(minutes, key=lambda one: one.reader):
            if prepared := prepare(minute, now_ms, losses):
                fold(connection, prepared, losses)
        note_losses(connection, losses, now_ms)

    def tidy(self, connection: sa.Connection, now_ms: int) -> None:
        """Add up the hours that are over, note how many are online, and forget."""
        for hour_ms in _hours_to_add_up(connection, now_ms):
            _add_up(connection, hour_ms)
        note_online(connection, now_ms)
        forget(connection, now_ms)

    def read(
        self, connection: sa.Connection, steps: Steps, reader: str | None
    ) -> Mapping[int, Sums]:
        """Return what was reported by step, of hours that are over."""
        columns = telemetry_hour.c
        rows = connection.execute(
            sa.select(columns.hour_ms, columns.counters, columns.stages).where(
                columns.reader == (EVERYONE if reader is None else reader),
                columns.hour_ms >= steps.first_ms,
                columns.hour_ms < steps.end_ms,
            )
        )
        found: dict[int, Sums] = {}
        for row in rows:
            _add_row(found.setdefault(steps.of(row.hour_ms), Sums()), row)
        return found

    def recent(self, connection: sa.Connection, reader: str, by_hour: bool, now_ms: int) -> Recent:
        """Return a reader's last reports added up."""
        return (_recent_hours if by_hour else _recent_minutes)(connection, reader, now_ms)

    def online(self, connection: sa.Connection, steps: Steps) -> Mapping[int, Online]:
        """Return by step how many readers were online."""
        columns = online_hour.c
        inside = columns.hour_ms.between(steps.first_ms, steps.end_ms - 1)
        found: dict[int, Online] = {}
        for row in connection.execute(sa.select(online_hour).where(inside)):
            at, here = steps.of(row.hour_ms), Online(row.fewest, row.most)
            there = found.get(at, here)
            found[at] = Online(min(here.fewest, there.fewest), max(here.most, there.most))
        return found

    def close(self) -> None:
        """Nothing waits here."""


def prepare(minute: Minute, now_ms: int, losses: Counter[Loss]) -> Minute | None:
    """Return what of a minute may be kept, None for nothing; count what may not."""
    report = minute.report
    if not in_time(report.from_ms, now_ms):
        losses[Loss.CLOCK] += 1
        return None
    good = {name: value for name, value in report.counters.items() if may_be_kept(name)}
    losses[Loss.NAME] += len(report.counters) - len(good)
    kept = Telemetry(
        v=1, from_ms=report.from_ms, to_ms=report.to_ms, stages=report.stages, counters=good
    )
    return minute._replace(report=kept)


def fold(connection: sa.Connection, minute: Minute, losses: Counter[Loss]) -> int | None:
    """Add a minute to its hour, and keep it by itself where many are members.

    Returns the reader's hour before when this minute is the first of a later one.
    """
    reader, report, by_hour = minute
    last_ms = _lock_last(connection, reader)
    if report.from_ms <= last_ms:
        if by_hour:
            losses[Loss.LATE] += report.from_ms < last_ms
            return None
        if _is_kept(connection, reader, report.from_ms):
            return None
    if not by_hour:
        _keep_minute(connection, reader, report)
    hour_ms = floor(report.from_ms, HOUR_MS)
    sums = read_hour(connection, reader, hour_ms)
    sums.report(report)
    _write_hour(connection, reader, hour_ms, sums)
    if report.from_ms > last_ms:
        row = {"reader": reader, "last_from_ms": report.from_ms}
        store.upsert(connection, telemetry_reader, [row], key=["reader"], replace=["last_from_ms"])
    last_hour_ms = floor(last_ms, HOUR_MS)
    return last_hour_ms if 0 < last_hour_ms < hour_ms else None


def _lock_last(connection: sa.Connection, reader: str) -> int:
    """Return the start of the last minute that was added, 0 for none; the row is this worker's."""
    wanted = (
        sa.select(telemetry_reader.c.last_from_ms)
        .where(telemetry_reader.c.reader == reader)
        .with_for_update()
    )
    last_ms: int | None = connection.scalar(wanted)
    if last_ms is None:
        row = {"reader": reader, "last_from_ms": 0}
        store.insert_missing(connection, telemetry_reader, [row])
        last_ms = connection.scalar(wanted)
    return last_ms or 0


def _is_kept(connection: sa.Connection, reader: str, from_ms: int) -> bool:
    return any(
        connection.scalar(
            sa.select(sa.literal(1))
            .where(table.c.reader == reader, table.c.from_ms == from_ms)
            .limit(1)
        )
        for table in (counter_minute, stage_minute)
    )


def _keep_minute(connection: sa.Connection, reader: str, report: Telemetry) -> None:
    at = {"reader": reader, "from_ms": report.from_ms}
    store.insert_missing(
        connection,
        stage_minute,
        [
            {**at, "stage": stage, "counts": histogram.counts, "sum_us": histogram.sum_us}
            for stage, histogram in report.stages.items()
        ],
    )
    store.insert_missing(
        connection,
        counter_minute,
        [{**at, "name": name, "value": value} for name, value in report.counters.items()],
    )


def read_hour(connection: sa.Connection, reader: str, hour_ms: int) -> Sums:
    """Return what a reader reported of one hour so far."""
    sums = Sums()
    here = (telemetry_hour.c.reader == reader, telemetry_hour.c.hour_ms == hour_ms)
    row = connection.execute(sa.select(telemetry_hour).where(*here)).one_or_none()
    if row is not None:
        _add_row(sums, row)
    return sums


def _add_row(sums: Sums, row: Any) -> None:
    for name, value in row.counters.items():
        sums.count(name, value)
    for stage, (sum_us, sparse) in row.stages.items():
        counts = Tally().counts
        for bucket, count in sparse.items():
            counts[int(bucket)] = count
        sums.time(stage, counts, sum_us)


def _write_hour(connection: sa.Connection, reader: str, hour_ms: int, sums: Sums) -> None:
    stages = {
        stage: [tally.sum_us, {str(at): count for at, count in enumerate(tally.counts) if count}]
        for stage, tally in sums.stages.items()
    }
    row = {"reader": reader, "hour_ms": hour_ms, "counters": sums.counters, "stages": stages}
    store.upsert(
        connection,
        telemetry_hour,
        [row],
        key=["reader", "hour_ms"],
        replace=["counters", "stages"],
    )


def note_losses(connection: sa.Connection, losses: Mapping[Loss, int], now_ms: int) -> None:
    """Count what was dropped, in the fleet's present hour."""
    hour_ms = floor(now_ms, HOUR_MS)
    rows = [
        {"hour_ms": hour_ms, "reason": reason.value, "count": count}
        for reason, count in sorted(losses.items())
        if count
    ]
    store.upsert(connection, telemetry_loss, rows, key=["hour_ms", "reason"], add=["count"])


def read_losses(connection: sa.Connection, steps: Steps) -> dict[int, Counter[str]]:
    """Return by step and reason what the fleet dropped."""
    columns = telemetry_loss.c
    inside = columns.hour_ms.between(steps.first_ms, steps.end_ms - 1)
    found: dict[int, Counter[str]] = {}
    wanted = sa.select(columns.hour_ms, columns.reason, columns["count"]).where(inside)
    for hour_ms, reason, count in connection.execute(wanted):
        found.setdefault(steps.of(hour_ms), Counter())[reason] += count
    return found


# --- by dispatch ---------------------------------------------------------------------------------


def _hours_to_add_up(connection: sa.Connection, now_ms: int) -> Iterable[int]:
    """Return the last hours that are over, and earlier ones that were not added up yet."""
    end_ms = floor(now_ms, HOUR_MS)
    first_ms = end_ms - CATCH_UP_HOURS * HOUR_MS
    columns = telemetry_hour.c
    done = set(
        connection.scalars(
            sa.select(columns.hour_ms).where(
                columns.reader == EVERYONE, columns.hour_ms >= first_ms
            )
        )
    )
    again_ms = end_ms - AGAIN_HOURS * HOUR_MS
    return (at for at in range(first_ms, end_ms, HOUR_MS) if at >= again_ms or at not in done)


def _add_up(connection: sa.Connection, hour_ms: int) -> None:
    sums = Sums()
    columns = telemetry_hour.c
    rows = connection.execute(
        sa.select(columns.counters, columns.stages).where(
            columns.hour_ms == hour_ms, columns.reader != EVERYONE
        )
    )
    for row in rows:
        _add_row(sums, row)
    _write_hour(connection, EVERYONE, hour_ms, sums)


def note_online(connection: sa.Connection, now_ms: int) -> int:
    """Note how many readers are online now, in the present hour; return it."""
    wanted = sa.select(sa.func.count()).select_from(reader_state).where(reader_state.c.online)
    now = connection.execute(wanted).scalar_one()
    hour_ms = floor(now_ms, HOUR_MS)
    row = connection.execute(
        sa.select(online_hour).where(online_hour.c.hour_ms == hour_ms)
    ).one_or_none()
    fewest, most = (min(row.fewest, now), max(row.most, now)) if row else (now, now)
    store.upsert(
        connection,
        online_hour,
        [{"hour_ms": hour_ms, "fewest": fewest, "most": most}],
        key=["hour_ms"],
        replace=["fewest", "most"],
    )
    return now


def forget(connection: sa.Connection, now_ms: int) -> None:
    """Drop minutes older than MINUTES_KEPT_MS and hours older than HOURS_KEPT_MS."""
    for column in (
        stage_minute.c.from_ms,
        counter_minute.c.from_ms,
        entry_minute.c.minute_ms,
        online_change.c.at_ms,
    ):
        connection.execute(sa.delete(column.table).where(column < now_ms - MINUTES_KEPT_MS))
    for table in (telemetry_hour, telemetry_loss, online_hour):
        connection.execute(sa.delete(table).where(table.c.hour_ms < now_ms - HOURS_KEPT_MS))


# --- one reader's last reports -------------------------------------------------------------------


def _recent_hours(connection: sa.Connection, reader: str, now_ms: int) -> Recent:
    columns = telemetry_hour.c
    rows = connection.execute(
        sa.select(columns.counters, columns.stages)
        .where(columns.reader == reader, columns.hour_ms < floor(now_ms, HOUR_MS))
        .order_by(columns.hour_ms.desc())
        .limit(HOURS_SHOWN)
    ).all()
    sums = Sums()
    for row in rows:
        _add_row(sums, row)
    return Recent(len(rows), sums)


def _recent_minutes(connection: sa.Connection, reader: str, _now_ms: int) -> Recent:
    minutes: set[int] = set()
    for table in (stage_minute, counter_minute):
        starts = sa.select(table.c.from_ms).where(table.c.reader == reader).distinct()
        last = starts.order_by(table.c.from_ms.desc()).limit(REPORTS_SHOWN)
        minutes.update(connection.execute(last).scalars())
    reported = sorted(minutes)[-REPORTS_SHOWN:]
    sums = Sums()
    if not reported:
        return Recent(0, sums)
    since_ms = reported[0]
    stages, counters = stage_minute.c, counter_minute.c
    for stage, counts, sum_us in connection.execute(
        sa.select(stages.stage, stages.counts, stages.sum_us).where(
            stages.reader == reader, stages.from_ms >= since_ms
        )
    ):
        if stage in STAGES:
            sums.time(stage, counts, sum_us)
    for name, value in connection.execute(
        sa.select(counters.name, sa.func.sum(counters.value))
        .where(counters.reader == reader, counters.from_ms >= since_ms)
        .group_by(counters.name)
    ):
        sums.count(name, int(value))
    return Recent(len(reported), sums)
