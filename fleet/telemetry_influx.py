"""Telemetry in an InfluxDB: written through our own bounded buffer, read by InfluxQL.

Rules: `keep` puts lines into the writer's buffer and returns. Where few are members an hour is
added up in the fleet's database, and leaves it when it is over.

Writing is `POST /api/v2/write` (InfluxDB 1.8, 2 and 3), reading `GET /query` (all of them).
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from fleet.config import TelemetryServer
from fleet.store import Store
from fleet.telemetry import (
    DAY_MS,
    HOUR_MS,
    HOURS_SHOWN,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    REPORTS_SHOWN,
    Loss,
    Minute,
    Online,
    Recent,
    Steps,
    Sums,
    TelemetryUnavailable,
    floor,
)
from fleet.telemetry_lines import (
    BUCKET_FIELDS,
    COUNTER,
    ONLINE,
    STAGE,
    line_of_online,
    lines_of,
)
from fleet.telemetry_sql import fold, forget, note_losses, note_online, prepare, read_hour
from fleet.telemetry_writer import FAILED, Writer, connect, plain
from wire.clock import Clock

READ_TIMEOUT_MS: Final = 3_000
"""A page waits this long for its charts, and then shows what it has without them."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""A year of days of all readers is about 1 MB."""


class InfluxTelemetry:
    """The back end with a server of its own; its writer starts with what is first kept."""

    def __init__(self, server: TelemetryServer, fleet: Store, clock: Clock) -> None:
        """Raises ConfigRefused when the token cannot be read."""
        self._server, self._fleet, self._clock = server, fleet, clock
        self._reader = connect(server, READ_TIMEOUT_MS)
        self._writer: Writer | None = None
        self._starting = threading.Lock()

    @property
    def writer(self) -> Writer:
        """The thread that writes; a process that only reads has none."""
        with self._starting:
            if self._writer is None:
                self._writer = Writer(self._server, self._fleet, self._clock)
            return self._writer

    def keep(self, connection: sa.Connection, minutes: Sequence[Minute], now_ms: int) -> None:
        """Hand minutes to the writer; hours of small places are added up in the database first."""
        losses: Counter[Loss] = Counter()
        lines: list[bytes] = []
        for minute in sorted(minutes, key=lambda one: one.reader):
            prepared = prepare(minute, now_ms, losses)
            if prepared is None:
                continue
            at_ms, sums = prepared.report.from_ms, Sums()
            if prepared.by_hour:
                over_ms = fold(connection, prepared, losses)
                if over_ms is None:
                    continue
                at_ms, sums = over_ms, read_hour(connection, minute.reader, over_ms)
            else:
                sums.report(prepared.report)
            lines += lines_of(minute.reader, at_ms, sums)
        note_losses(connection, losses, now_ms)
        if lines:
            self.writer.put(lines)

    def tidy(self, connection: sa.Connection, now_ms: int) -> None:
        """Say how many are online, and forget what the fleet's own tables have too long."""
        online = note_online(connection, now_ms)
        self.writer.put([line_of_online(online, floor(now_ms, MINUTE_MS))])
        forget(connection, now_ms)

    def read(
        self, _connection: sa.Connection, steps: Steps, reader: str | None
    ) -> Mapping[int, Sums]:
        """Return what one reader, or all, reported by step."""
        return self._sums(steps.first_ms, steps.end_ms, reader, _time(steps))

    def recent(self, _connection: sa.Connection, reader: str, by_hour: bool, now_ms: int) -> Recent:
        """Return a reader's last reports added up."""
        step_ms, most = (HOUR_MS, HOURS_SHOWN) if by_hour else (MINUTE_MS, REPORTS_SHOWN)
        end_ms = floor(now_ms, HOUR_MS) if by_hour else now_ms + DAY_MS
        where = f"{_between(now_ms - MINUTES_KEPT_MS, end_ms)} AND reader = {_literal(reader)}"
        (found,) = self._ask(
            f"SELECT sum(value) FROM {COUNTER} WHERE {where} "  # noqa: S608  constants and a literal
            f"GROUP BY time({step_ms}ms) fill(none) ORDER BY time DESC LIMIT {most}"
        )
        starts = [_whole(row[0]) for series in found for row in series.values]
        if not starts:
            return Recent(0, Sums())
        added = self._sums(min(starts), end_ms, reader, "")
        return Recent(len(starts), next(iter(added.values()), Sums()))

    def online(self, _connection: sa.Connection, steps: Steps) -> Mapping[int, Online]:
        """Return by step how many readers were online."""
        (found,) = self._ask(
            f"SELECT min(online), max(online) FROM {ONLINE} "  # noqa: S608  numbers and constants
            f"WHERE {_between(steps.first_ms, steps.end_ms)} GROUP BY {_time(steps)} fill(none)"
        )
        rows = [row for series in found for row in series.values]
        return {_whole(row[0]): Online(_whole(row[1]), _whole(row[2])) for row in rows}

    def close(self) -> None:
        """End the writer and close connections."""
        with self._starting:
            if self._writer is not None:
                self._writer.close()
        self._reader.close()

    def _sums(self, first_ms: int, end_ms: int, reader: str | None, time: str) -> dict[int, Sums]:
        where = _between(first_ms, end_ms)
        if reader is not None:
            where += f" AND reader = {_literal(reader)}"
        by = f"{time}, " if time else ""
        fields = ", ".join(f"sum({name})" for name in (*BUCKET_FIELDS, "sum_us"))
        counted, timed = self._ask(
            f"SELECT sum(value) FROM {COUNTER} WHERE {where} GROUP BY {by}code fill(none)",  # noqa: S608
            f"SELECT {fields} FROM {STAGE} WHERE {where} GROUP BY {by}stage fill(none)",  # noqa: S608
        )
        found: dict[int, Sums] = {}
        for series in counted:
            for at, value in series.values:
                found.setdefault(_whole(at), Sums()).count(series.tags["code"], _whole(value))
        for series in timed:
            for at, *counts, sum_us in series.values:
                sums = found.setdefault(_whole(at), Sums())
                sums.time(series.tags["stage"], [_whole(one) for one in counts], _whole(sum_us))
        return found

    def _ask(self, *statements: str) -> list[list["_Series"]]:
        """Return the series of each statement. Raises TelemetryUnavailable, saying why."""
        asked = {"db": self._server.database, "q": "; ".join(statements), "epoch": "ms"}
        try:
            answer: Any = self._reader.api_client.call_api(
                "/query",
                "GET",
                query_params=asked,
                header_params={"Accept": "application/json"},
                _preload_content=False,
                _return_http_data_only=True,
            )
            with contextlib.closing(answer):
                body = answer.read(ANSWER_BYTES_MAX + 1, decode_content=True)
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError("the answer is too long")
            results = msgspec.json.decode(body, type=_Answer).results
            if len(results) != len(statements):
                raise ValueError("an answer is missing")
        except FAILED as error:
            raise TelemetryUnavailable(plain(error)) from error
        for result in results:
            if result.error:
                raise TelemetryUnavailable(result.error)
        return [result.series for result in results]


class _Series(msgspec.Struct):
    """Rows of one group: a time in ms, then what was selected."""

    values: list[list[float | None]]
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result]


def _between(first_ms: int, end_ms: int) -> str:
    return f"time >= {first_ms}ms AND time < {end_ms}ms"


def _time(steps: Steps) -> str:
    return f"time({steps.step_ms}ms, {steps.first_ms % steps.step_ms}ms)"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _whole(value: float | None) -> int:
    """Return a number of an answer; a field that no point had is null there."""
    return int(value or 0)
