"""Writing lines to an InfluxDB from one thread, out of a bounded buffer.

Rules: whoever puts lines never waits; a batch is tried again until the server takes it, refuses it
for good, or the process ends; the oldest lines give way meanwhile; everything dropped is counted
in the fleet's own database, where it stays when the server is gone.
"""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import structlog
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from fleet.config import ConfigRefused, TelemetryServer
from fleet.store import Store
from fleet.telemetry import Loss
from fleet.telemetry_lines import Buffer
from fleet.telemetry_sql import note_losses
from wire.clock import Clock

LINES_MAX: Final = 50_000
"""Lines that wait while the server is away: five minutes of 1,000 readers, 10 MB."""
BATCH_LINES: Final = 5_000
"""Lines in one request, about 1 MB: InfluxDB's own advice."""
WRITE_TIMEOUT_MS: Final = 10_000
BACKOFF_S: Final = (1.0, 30.0)
"""The first and the longest pause before a batch is tried again."""
PAUSE_S_MAX: Final = 60.0
"""The longest pause that a server may ask for (Retry-After)."""
NOTE_EVERY_S: Final = 10.0
"""How often what was dropped is written down."""
CLOSE_S: Final = 5.0
"""How long the end of the process may wait for what is still to be sent."""
FAILED: Final = (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What a server that is away, slow, refusing or broken comes to."""
_FOR_GOOD: Final = frozenset({400, 413, 422})
"""The server understands us and takes these lines not now and not later."""
_WRITTEN: Final = 204
"""What every InfluxDB says to a write; a page to sign in at says 200."""

log: Final = structlog.get_logger("fleet.telemetry")


def connect(server: TelemetryServer, timeout_ms: int) -> Any:
    """Return a client with the token as it stands in its file now. Raises ConfigRefused."""
    token: Any = None
    if server.token_file:
        try:
            token = Path(server.token_file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigRefused(f"telemetry.token_file {server.token_file}: {error}") from error
        if not token:  # also in the instant in which somebody writes another one into it
            raise ConfigRefused(f"telemetry.token_file {server.token_file} is empty")
    return InfluxDBClient(url=server.url, token=token, org=server.organisation, timeout=timeout_ms)


def plain(error: BaseException) -> str:
    """Return one line about an error; a server's page is not repeated, and no token is in it."""
    status, reason = getattr(error, "status", None), getattr(error, "reason", None)
    if status:
        return f"the telemetry server answered {status} {reason or ''}".strip()
    if isinstance(error, urllib3.exceptions.HTTPError):
        return f"no answer of the telemetry server ({type(error).__name__})"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


class Writer:
    """One thread that writes what is put; `backoff_s` is its shortest and longest pause."""

    def __init__(
        self,
        server: TelemetryServer,
        fleet: Store,
        clock: Clock,
        room: int = LINES_MAX,
        backoff_s: tuple[float, float] = BACKOFF_S,
        timeout_ms: int = WRITE_TIMEOUT_MS,
    ) -> None:
        """Raises ConfigRefused when the token cannot be read."""
        self._server, self._fleet, self._clock = server, fleet, clock
        self._backoff_s, self._timeout_ms = backoff_s, timeout_ms
        self._client = connect(server, timeout_ms)
        self._buffer = Buffer(room)
        self._losses: Counter[Loss] = Counter()
        self._ending = threading.Event()
        self._in_flight = 0
        self._noted_ns = clock.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many lines wait; those being written are not among them."""
        return len(self._buffer)

    def put(self, lines: Sequence[bytes]) -> None:
        """Add lines to what is to be written; the oldest give way when there are too many."""
        self._buffer.put(lines)

    def close(self) -> None:
        """Write what can be written within CLOSE_S; count the rest as dropped."""
        self._ending.set()
        self._buffer.end()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():  # in the middle of a request that nobody answers
            self._losses[Loss.FULL] += self._in_flight + len(self._buffer)
            self._note(0)

    def _run(self) -> None:
        while True:
            batch = self._buffer.take(BATCH_LINES, NOTE_EVERY_S)
            self._in_flight = len(batch)
            if batch:
                self._write(batch)
                self._in_flight = 0
            elif self._ending.is_set():
                break
            self._note(NOTE_EVERY_S)
        self._note(0)
        self._client.close()

    def _write(self, batch: list[bytes]) -> None:
        """Write one batch, again and again; when the process ends, once more and never again."""
        pause_s, told = self._backoff_s[0], False
        while True:
            last = self._ending.is_set()
            error = self._post(b"\n".join(batch))
            if error is None:
                return
            status = getattr(error, "status", None)
            if status in _FOR_GOOD or last:
                self._losses[Loss.REFUSED if status in _FOR_GOOD else Loss.FULL] += len(batch)
                log.error("telemetry not taken", lines=len(batch), error=plain(error))
                return
            if not told:
                log.warning("telemetry waits for its server", error=plain(error))
                told = True
            self._renew(status)
            asked_s = _retry_after_s(error)
            self._ending.wait(asked_s or random.uniform(pause_s / 2, pause_s))  # noqa: S311  jitter
            pause_s = min(2 * pause_s, self._backoff_s[1])
            self._note(NOTE_EVERY_S)

    def _post(self, body: bytes) -> Exception | None:
        """Write lines; return why that failed."""
        try:
            with self._client.write_api(write_options=SYNCHRONOUS) as api:
                api.write(
                    bucket=self._server.database,
                    org=self._server.organisation,
                    record=body,
                    write_precision=WritePrecision.MS,
                )
        except FAILED as error:
            return error
        status = self._client.api_client.last_response.status
        return None if status == _WRITTEN else ValueError(f"no InfluxDB answers with {status}")

    def _renew(self, status: int | None) -> None:
        """Read the token again after it was refused: it may have been changed."""
        if status not in (401, 403):
            return
        with contextlib.suppress(ConfigRefused):  # it is being replaced; the old one is tried
            fresh = connect(self._server, self._timeout_ms)
            self._client.close()
            self._client = fresh

    def _note(self, every_s: float) -> None:
        """Write down what was dropped, at most every `every_s`; when that fails, later."""
        now_ns = self._clock.monotonic_ns()
        self._losses[Loss.FULL] += self._buffer.dropped()
        if now_ns - self._noted_ns < every_s * 1e9 or not any(self._losses.values()):
            return
        self._noted_ns = now_ns
        try:
            with self._fleet.write() as connection:
                note_losses(connection, self._losses, self._clock.now_ms())
        except sa.exc.OperationalError as error:
            log.error("what telemetry dropped is noted later", error=str(error.orig))
            return
        self._losses.clear()


def _retry_after_s(error: BaseException) -> float | None:
    """Return how long the server asks to be left alone, bounded; None when it does not say."""
    headers = getattr(error, "headers", None)
    asked = str(headers.get("Retry-After", "")) if headers else ""
    return min(float(asked), PAUSE_S_MAX) if asked.isascii() and asked.isdigit() else None
