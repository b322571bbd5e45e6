"""Golden examples of the senior bus pass: each a ride that a clerk can picture, under its table."""

import datetime
from typing import Final

from programmes.rulebook import Booked, Example, Facts, Place
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

_RULES: Final = (
    RuleTable(
        version="senior-pass/2026-04",
        valid_from=datetime.date(2026, 4, 1),
        parameters={
            "rider_pays_yen": 50,
            "from_time": "07:00:00",
            "to_time": "20:00:00",
            "lines_of_category": {"town": ["1", "2"]},
            "refuse_when_stale": True,
        },
    ),
)
_BUS: Final = Place("bus-1", "bus", "1")
_MEMBER: Final = RosterRow(
    Credential("00" * 16), "all", datetime.date(2026, 4, 1), datetime.date(2027, 3, 31), None
)
_NOON_MS: Final = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
_HOUR_MS: Final = 3_600_000
_LIMITED: Final = (
    RuleTable(
        version="senior-pass/2026-04-730",
        valid_from=datetime.date(2026, 4, 1),
        parameters={
            "rider_pays_yen": 50,
            "rides_per_year": 730,
            "without_usage": "accept-within-cap",
        },
    ),
)


def _year(times: int, age_h: int | None = 0, own: int = 0, year: str = "2026") -> Facts:
    """A ride under the limit: so many were counted, in a file of so many hours."""
    age_s = None if age_h is None else age_h * 3600
    used = {year: Used(times, own=own)}
    return Facts(_NOON_MS, _BUS, _MEMBER, _LIMITED, 60, used=used, usage_age_s=age_s)


def _facts(
    at_ms: int = _NOON_MS,
    member: RosterRow | None = _MEMBER,
    place: Place = _BUS,
    roster_age_s: int = 60,
    booked: tuple[Booked, ...] = (),
) -> Facts:
    return Facts(at_ms, place, member, _RULES, roster_age_s, booked=booked)


EXAMPLES: Final = (
    Example("valid-at-noon", _facts(), Outcome.ACCEPTED, Code.OK, 50),
    Example("not-enrolled", _facts(member=None), Outcome.REFUSED, Code.UNKNOWN),
    Example("ended-on-31-march", _facts(at_ms=1_806_548_400_000), Outcome.REFUSED, Code.EXPIRED),
    Example(
        "begins-next-month",
        _facts(member=_MEMBER._replace(valid_from=datetime.date(2026, 7, 1))),
        Outcome.REFUSED,
        Code.NOT_YET,
    ),
    Example(
        "stopped-an-hour-ago",
        _facts(member=_MEMBER._replace(stopped_from_s=_NOON_MS // 1000 - 3600)),
        Outcome.REFUSED,
        Code.STOP_LISTED,
    ),
    Example(
        "town-pass-on-line-8",
        _facts(member=_MEMBER._replace(category="town"), place=Place("bus-2", "bus", "8")),
        Outcome.REFUSED,
        Code.WRONG_PLACE,
    ),
    Example("at-six", _facts(at_ms=_NOON_MS - 6 * _HOUR_MS), Outcome.REFUSED, Code.NOT_NOW),
    Example(
        "again-after-30-s",
        _facts(booked=(Booked(_NOON_MS - 30_000),)),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example(
        "power-cut-5-min-ago",
        _facts(booked=(Booked(_NOON_MS - 300_000, perhaps_not_shown=True),)),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example("list-of-73-h", _facts(roster_age_s=73 * 3600), Outcome.REFUSED, Code.STALE),
    Example("ride-730", _year(729), Outcome.ACCEPTED, Code.OK, 50),
    Example("ride-731", _year(730), Outcome.REFUSED, Code.USED_UP),
    Example("first-of-new-year", _year(730, year="2025"), Outcome.ACCEPTED, Code.OK),
    Example("second-without-usage", _year(1, age_h=None, own=1), Outcome.ACCEPTED, Code.OK),
    Example("seventh-with-old-usage", _year(306, age_h=25, own=6), Outcome.REFUSED, Code.STALE),
)
