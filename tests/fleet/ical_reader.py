"""A strict reader of iCalendar as RFC 5545 has it: what it does not know is an error."""

import re
from dataclasses import dataclass, field

OCTETS = 75
_LINE = re.compile(
    r"(?P<name>[A-Z0-9-]+)(?P<parameters>(;[A-Z-]+=[^\":;,]+)*):(?P<value>.*)\Z", re.S
)
_ESCAPE = re.compile(r"\\(.)", re.S)


@dataclass
class Calendar:
    """Properties by name, those of events by uid."""

    properties: dict[str, str] = field(default_factory=dict)
    events: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def titles(self) -> list[str]:
        return [one["SUMMARY"] for one in self.events.values()]


def unfold(body: bytes) -> list[str]:
    """Return the content lines; raises AssertionError for what no calendar may hold."""
    assert body.endswith(b"\r\n")
    physical = body[:-2].split(b"\r\n")
    for one in physical:
        assert len(one) <= OCTETS, one
        assert not {*b"\r\n"} & {*one}, one
        one.decode()  # nothing is cut within a character
    lines: list[str] = []
    for one in physical:
        if one.startswith((b" ", b"\t")):
            lines[-1] += one[1:].decode()
        else:
            lines.append(one.decode())
    return lines


def unescape(value: str) -> str:
    """Return the text of a TEXT value; raises AssertionError when something is not escaped."""
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
    bare = _ESCAPE.sub("", value)
    assert not re.search(r"[\\;,]", bare), value

    def plain(found: re.Match[str]) -> str:
        assert found[1] in "\\;,nN", value
        return "\n" if found[1] in "nN" else found[1]

    return _ESCAPE.sub(plain, value)


def read(body: bytes) -> Calendar:
    """Return a calendar of events. Raises AssertionError for one that is not as it must be."""
    lines = unfold(body)
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-1] == "END:VCALENDAR"
    found, event = Calendar(), None
    for line in lines[1:-1]:
        parsed = _LINE.match(line)
        assert parsed is not None, line
        name, value = parsed["name"], parsed["value"]
        if line == "BEGIN:VEVENT":
            assert event is None
            event = dict[str, str]()
        elif line == "END:VEVENT":
            assert event is not None
            _check(event)
            assert event["UID"] not in found.events
            found.events[event["UID"]] = event
            event = None
        else:
            into = found.properties if event is None else event
            assert name not in into, line
            into[name] = unescape(value) if name in ("SUMMARY", "NAME", "X-WR-CALNAME") else value
            if name.startswith("DT"):
                day = r"\d{8}\Z" if parsed["parameters"] == ";VALUE=DATE" else r"\d{8}T\d{6}Z\Z"
                assert re.match(day, value), line
    assert event is None
    assert found.properties["VERSION"] == "2.0"
    assert "PRODID" in found.properties
    assert "METHOD" not in found.properties
    return found


def _check(event: dict[str, str]) -> None:
    assert {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY"} <= event.keys(), event
    assert event["DTSTART"] < event["DTEND"], event
    assert "T" in event["DTSTAMP"]
