"""iCalendar as RFC 5545 has it, read back by a strict reader."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import ical
from fleet.ical import Event
from tests.fleet import ical_reader

DAY = datetime.date(2026, 7, 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


def kept(text: str) -> str:
    """Return what a TEXT value may hold of a text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(one for one in lines if one in "\t\n" or (one >= " " and one != "\x7f"))


@given(TEXTS)
def test_any_text_survives_being_escaped_and_folded(text: str) -> None:
    line = ical.fold(f"SUMMARY:{ical.escape(text)}")
    (unfolded,) = ical_reader.unfold(f"{line}\r\n".encode())
    assert ical_reader.unescape(unfolded.removeprefix("SUMMARY:")) == kept(text)


@given(st.lists(st.tuples(TEXTS, st.dates(DAY, datetime.date(2100, 1, 1))), max_size=5), TEXTS)
def test_any_calendar_is_one(days: list[tuple[str, datetime.date]], name: str) -> None:
    events = [Event(f"e-{n}@kazasu", text, day, day, 0) for n, (text, day) in enumerate(days)]
    found = ical_reader.read(ical.write(name, 1, events))
    assert found.titles == [kept(text) for text, _ in days]
    assert found.properties["X-WR-CALNAME"] == kept(name)


def test_days_are_dates_and_instants_utc() -> None:
    noon_ms = 1_782_788_400_000
    body = ical.write(
        "勤務",
        1,
        [
            Event("day@kazasu", "出張", DAY, datetime.date(2026, 7, 2), noon_ms),
            Event("hour@kazasu", "休暇", noon_ms, noon_ms + 3_600_000, noon_ms, is_busy=True),
        ],
    )
    assert body.decode() == "\r\n".join(
        [
            *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Kazasu//Kazasu//JA"),
            *("CALSCALE:GREGORIAN", "NAME:勤務", "X-WR-CALNAME:勤務"),
            *("REFRESH-INTERVAL;VALUE=DURATION:PT1H", "X-PUBLISHED-TTL:PT1H"),
            *("BEGIN:VEVENT", "UID:day@kazasu", "DTSTAMP:20260630T030000Z"),
            *("DTSTART;VALUE=DATE:20260701", "DTEND;VALUE=DATE:20260703"),
            *("SUMMARY:出張", "TRANSP:TRANSPARENT", "END:VEVENT"),
            *("BEGIN:VEVENT", "UID:hour@kazasu", "DTSTAMP:20260630T030000Z"),
            *("DTSTART:20260630T030000Z", "DTEND:20260630T040000Z"),
            *("SUMMARY:休暇", "TRANSP:OPAQUE", "END:VEVENT", "END:VCALENDAR", ""),
        ]
    )


def test_a_day_and_an_instant_make_no_event() -> None:
    with pytest.raises(TypeError):
        ical.write("x", 1, [Event("e@kazasu", "x", DAY, 1_000, 0)])
