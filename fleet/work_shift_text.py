"""Scheduled hours as people write them: `08:15-16:45/12:15-13:00`, in tables and in forms.

Rules: hours, then a slash and the breaks in them; several joined by `+`; 休 is a day off, 法 a
statutory rest day; past midnight hours go on after 24:00; what is written out is read back the
same. Single days are a line each, the day and its hours: `2026-07-03 21:00-31:00`.
"""

import datetime
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from programmes.calendar import read_day
from programmes.spans import Span, joined, length, without
from programmes.work_hours import DAY_OFF, REST_DAY, Shift

SHIFT_MAX: Final = 120
"""Characters of one day: eight spans of hours need 95."""
_TIMES: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})\Z", re.ASCII)
_SHIFTS: Final = {"休": DAY_OFF, "off": DAY_OFF, "法": REST_DAY, "rest": REST_DAY}


class ShiftRefused(ValueError):
    """These are no hours of a day, or of no day."""


def read(text: str) -> Shift:
    """Return the hours of one day. Raises ShiftRefused."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if (known := _SHIFTS.get(plain)) is not None:
        return known
    told, _, pauses = plain.partition("/")
    hours = [_span(part) for part in told.split("+")]
    breaks = [_span(part) for part in pauses.split("+")] if pauses else []
    if length(without(breaks, hours)):
        raise ShiftRefused(text)
    return Shift(hours=tuple(without(hours, breaks)), breaks=tuple(breaks))


def _span(text: str) -> Span:
    found = _TIMES.match(text.replace(" ", ""))
    if found is None:
        raise ShiftRefused(text)
    first_h, first_min, end_h, end_min = map(int, found.groups())
    first, end = first_h * 60 + first_min, end_h * 60 + end_min
    if not 0 <= first < end <= 2_880 or max(first_min, end_min) > 59:
        raise ShiftRefused(text)
    return first, end


def write(shift: Shift) -> str:
    """Return the hours of one day as `read` takes them."""
    if not shift.hours:
        return "法" if shift.is_rest_day else "休"
    hours = _written(joined((*shift.hours, *shift.breaks)))
    return f"{hours}/{_written(shift.breaks)}" if shift.breaks else hours


def _written(spans: list[Span] | tuple[Span, ...]) -> str:
    return "+".join(
        f"{first // 60:02}:{first % 60:02}-{end // 60:02}:{end % 60:02}" for first, end in spans
    )


def read_days(text: str) -> dict[datetime.date, Shift]:
    """Return single days, a line each; empty lines say nothing.

    Raises ShiftRefused with the line that is no day with hours, or names a day again.
    """
    found: dict[datetime.date, Shift] = {}
    for line in text.splitlines():
        told = unicodedata.normalize("NFKC", line).split(maxsplit=1)
        if not told:
            continue
        try:
            day, shift = read_day(told[0]), read(told[1])
        except (ValueError, IndexError) as error:
            raise ShiftRefused(line) from error
        if day in found:
            raise ShiftRefused(line)
        found[day] = shift
    return found


def write_days(days: Mapping[datetime.date, Shift]) -> str:
    """Return single days as `read_days` takes them, in their order."""
    return "\n".join(f"{day} {write(days[day])}" for day in sorted(days))
