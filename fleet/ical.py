"""iCalendar (RFC 5545): one calendar of events, written exactly.

Rules: every line ends in CRLF and has at most 75 octets, a longer one is folded between two
characters (3.1); text is escaped (3.3.11), and what no text may hold is left out; a day is a DATE
without a zone, the day after the last one ends it; an instant is UTC. There is no METHOD: a feed is
read, nobody is invited. What has the same uid is the same event in each reading.
"""

import datetime
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "text/calendar"
LINE_OCTETS: Final = 75
"""Of a line without its CRLF (RFC 5545, 3.1)."""
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""CONTROL of RFC 5545 without the tab; line feeds are escaped."""
_ESCAPED: Final = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


class Event(NamedTuple):
    """Something of whole days, or from one instant to another."""

    uid: str
    """Of this event alone, wherever calendars meet: letters, digits, and `-.@`."""
    summary: str
    begins: datetime.date | int
    """The first day, or an instant (ms since 1970)."""
    ends: datetime.date | int
    """The last day, or an instant: the same kind as `begins`."""
    changed_ms: int
    """When it became what it is (DTSTAMP, since there is no METHOD)."""
    is_busy: bool = False
    """True for time that is taken."""


def write(name: str, refresh_h: int, events: Iterable[Event]) -> bytes:
    """Return a calendar of this name, to be read again after so many hours."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Kazasu//Kazasu//JA",
        "CALSCALE:GREGORIAN",
        f"NAME:{escape(name)}",
        f"X-WR-CALNAME:{escape(name)}",
        f"REFRESH-INTERVAL;VALUE=DURATION:PT{refresh_h}H",
        f"X-PUBLISHED-TTL:PT{refresh_h}H",
        *(line for one in events for line in _event(one)),
        "END:VCALENDAR",
    ]
    return "".join(f"{fold(line)}\r\n" for line in lines).encode()


def _event(one: Event) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{one.uid}"
    yield f"DTSTAMP:{_instant(one.changed_ms)}"
    if isinstance(one.begins, int) and isinstance(one.ends, int):
        yield f"DTSTART:{_instant(one.begins)}"
        yield f"DTEND:{_instant(one.ends)}"
    elif isinstance(one.begins, datetime.date) and isinstance(one.ends, datetime.date):
        yield f"DTSTART;VALUE=DATE:{one.begins:%Y%m%d}"
        yield f"DTEND;VALUE=DATE:{one.ends + datetime.timedelta(days=1):%Y%m%d}"
    else:
        raise TypeError(f"{one.uid}: two days, or two instants")
    yield f"SUMMARY:{escape(one.summary)}"
    yield f"TRANSP:{'OPAQUE' if one.is_busy else 'TRANSPARENT'}"
    yield "END:VEVENT"


def _instant(at_ms: int) -> str:
    when = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
    return f"{when:%Y%m%dT%H%M%SZ}"


def escape(text: str) -> str:
    """Return a TEXT value: one line, whatever was given."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return _FORBIDDEN.sub("", plain).translate(_ESCAPED)


def fold(line: str) -> str:
    """Return a line as lines of at most LINE_OCTETS, each but the first after one blank."""
    found, octets = [""], 0
    for one in line:
        size = len(one.encode())
        if octets + size > LINE_OCTETS:
            found.append(" ")
            octets = 1
        found[-1] += one
        octets += size
    return "\r\n".join(found)
