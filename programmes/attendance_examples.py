"""Golden examples of attendance: each a tap at a school's gate that a clerk can picture."""

import datetime
from typing import Final

from programmes.rulebook import Booked, Direction, Example, Facts, Place
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.roster import RosterRow, RuleTable

MEMBER: Final = RosterRow(Credential("00" * 16), "teacher", None, None, None)
_RULES: Final = (
    RuleTable(
        version="attendance/2026-04",
        valid_from=datetime.date(2026, 4, 1),
        parameters={"day_starts_at_place": {"night-school": 10}},
    ),
)
_MORNING_MS: Final = 1_780_440_120_000
"""2026-06-03 07:42 in Japan."""
_HOUR_MS: Final = 3_600_000
_EVENING_MS: Final = _MORNING_MS + 11 * _HOUR_MS + 23 * 60_000
"""19:05, 11 hours and 23 minutes later."""


def _facts(
    at_ms: int = _MORNING_MS,
    member: RosterRow | None = MEMBER,
    declared: Direction = "",
    booked: tuple[Booked, ...] = (),
    place: str = "school-1",
) -> Facts:
    at = Place(place, "school")
    return Facts(at_ms, at, member, _RULES, 60, declared=declared, booked=booked)


_IN: Final = (Booked(_MORNING_MS),)
_AWAY: Final = (*_IN, Booked(_MORNING_MS + 5 * _HOUR_MS, "away"))
_BACK: Final = (*_AWAY, Booked(_MORNING_MS + 6 * _HOUR_MS, "back"))

EXAMPLES: Final = (
    Example("first-at-7-42", _facts(), Outcome.ACCEPTED, Code.OK),
    Example("evening-after-morning", _facts(_EVENING_MS, booked=_IN), Outcome.ACCEPTED, Code.OK),
    Example(
        "away-pressed",
        _facts(_MORNING_MS + 5 * _HOUR_MS, declared="away", booked=_IN),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "back-after-away",
        _facts(_MORNING_MS + 6 * _HOUR_MS, booked=_AWAY),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example("evening-after-away", _facts(_EVENING_MS, booked=_BACK), Outcome.ACCEPTED, Code.OK),
    Example(
        "again-after-1-min",
        _facts(_MORNING_MS + 60_000, booked=_IN),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example(
        "out-pressed-after-1-min",
        _facts(_MORNING_MS + 60_000, declared="out", booked=(Booked(_MORNING_MS, "in"),)),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "yesterday-left-open",
        _facts(booked=(Booked(_MORNING_MS - 24 * _HOUR_MS),)),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "night-school",
        _facts(
            _MORNING_MS + 24 * _HOUR_MS,
            booked=(Booked(_MORNING_MS + 10 * _HOUR_MS),),
            place="night-school",
        ),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example("not-enrolled", _facts(member=None), Outcome.REFUSED, Code.UNKNOWN),
    Example(
        "retired-last-month",
        _facts(member=MEMBER._replace(valid_to=datetime.date(2026, 5, 31))),
        Outcome.REFUSED,
        Code.EXPIRED,
    ),
    Example(
        "reported-lost",
        _facts(member=MEMBER._replace(stopped_from_s=_MORNING_MS // 1000 - 60)),
        Outcome.REFUSED,
        Code.STOP_LISTED,
    ),
)
