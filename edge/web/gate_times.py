"""Which times a school's gate offers for a mark that is missing: pure."""

import datetime
from typing import Final, NamedTuple

from edge.panel import GateQuestion
from programmes.calendar import ZONE, local, local_day
from wire.entries import Heading

CHOICES_MAX: Final = 12
"""Times on one screen, in two rows of six."""
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
MINUTES: Final = (0, 10, 20, 30, 40, 50)
"""Of any hour: who remembers it better than to ten minutes tells the office."""


class _Usual(NamedTuple):
    begins: datetime.time
    step_min: int


USUAL: Final[dict[Heading, _Usual]] = {
    "in": _Usual(datetime.time(6, 30), 15),
    "out": _Usual(datetime.time(17, 0), 30),
    "away": _Usual(datetime.time(10, 0), 30),
    "back": _Usual(datetime.time(12, 0), 30),
}
"""Where the times begin that are offered first, and how far apart they are."""


class Time(NamedTuple):
    """One that can be chosen; `is_next` says that it is after the midnight of its day of work."""

    at_ms: int
    is_next: bool

    @property
    def text(self) -> str:
        """「17:30」."""
        return f"{local(self.at_ms):%-H:%M}"

    @property
    def hour(self) -> int:
        """Of the day."""
        return local(self.at_ms).hour


def choices(asked: GateQuestion) -> list[Time]:
    """Return the likeliest times, in order: from the usual one on, or the last that there are."""
    usual = USUAL[asked.missing]
    step_ms = usual.step_min * MINUTE_MS
    some = list(range(asked.from_ms // step_ms * step_ms + step_ms, asked.to_ms, step_ms))
    begins = datetime.datetime.combine(asked.day, usual.begins, ZONE)
    later = [at_ms for at_ms in some if at_ms >= begins.timestamp() * 1000]
    chosen = later[:CHOICES_MAX] or some[-CHOICES_MAX:]
    return [_time(at_ms, asked) for at_ms in chosen]


def hours(asked: GateQuestion) -> list[Time]:
    """Return every hour in which it may have been."""
    first = asked.from_ms // HOUR_MS * HOUR_MS
    return [_time(at_ms, asked) for at_ms in range(first, asked.to_ms, HOUR_MS)]


def _time(at_ms: int, asked: GateQuestion) -> Time:
    return Time(at_ms, local_day(at_ms) > asked.day)
