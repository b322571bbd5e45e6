"""Telemetry as InfluxDB's line protocol, and the bounded buffer in which lines wait.

Three measurements: `kazasu_counter` (tags reader and code; field value), `kazasu_stage` (tags
reader and stage; fields b00 to b34, counts per bucket of HISTOGRAM_EDGES_US, and sum_us) and
`kazasu_online` (field online). Times are ms. A point that is written again replaces itself, so
what is sent twice counts once.
Line protocol: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from fleet.telemetry import BUCKETS, Sums

COUNTER: Final = "kazasu_counter"
STAGE: Final = "kazasu_stage"
ONLINE: Final = "kazasu_online"
BUCKET_FIELDS: Final = tuple(f"b{bucket:02}" for bucket in range(BUCKETS))
_ESCAPED: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})


def lines_of(reader: str, at_ms: int, sums: Sums) -> Iterator[bytes]:
    """Yield what one reader reported of the minute or hour that begins at `at_ms`."""
    tag = reader.translate(_ESCAPED)
    for code, value in sums.counters.items():
        yield f"{COUNTER},reader={tag},code={code} value={value}i {at_ms}".encode()
    for stage, tally in sums.stages.items():
        counts = zip(BUCKET_FIELDS, tally.counts, strict=True)
        fields = ",".join(f"{name}={count}i" for name, count in counts)
        line = f"{STAGE},reader={tag},stage={stage} {fields},sum_us={tally.sum_us}i {at_ms}"
        yield line.encode()


def line_of_online(online: int, at_ms: int) -> bytes:
    """Return how many readers are online, as a line."""
    return f"{ONLINE} online={online}i {at_ms}".encode()


class Buffer:
    """Lines that wait, at most `room`; the oldest give way and are counted. Safe in threads."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._ended = False

    def put(self, lines: Sequence[bytes]) -> None:
        """Add lines; never waits for more than a moment."""
        with self._changed:
            self._lines.extend(lines)
            while len(self._lines) > self._room:
                self._lines.popleft()
                self._dropped += 1
            self._changed.notify()

    def take(self, most: int, wait_s: float) -> list[bytes]:
        """Remove and return up to `most` of the oldest lines; none after `wait_s` without any."""
        with self._changed:
            if not self._lines and not self._ended:
                self._changed.wait(wait_s)
            return [self._lines.popleft() for _ in range(min(most, len(self._lines)))]

    def end(self) -> None:
        """Let nobody wait in `take` any more."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def dropped(self) -> int:
        """Return how many gave way since this was asked last."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def __len__(self) -> int:
        """How many lines wait."""
        with self._changed:
            return len(self._lines)
