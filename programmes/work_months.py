"""Golden months of work: people of a school, each with a month that was worked out by hand.

The figures are written down, not calculated; how they came about stands in `locale/` under
`work.month.<story>.working`, for a teacher to check with a pencil. An ordinary day is from 7:45 to
17:15: 9:30 there, less 0:45 of break is 8:45, less 7:45 scheduled is 1:00 outside hours. June 2026
has 22 days from Monday to Friday and no holiday, so 22 ordinary days are 192:30 and 22:00.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from programmes.calendar import start_of_day_ms
from programmes.rulebook import Direction
from programmes.work_day import derive_days
from programmes.work_day_rules import DayRules, Trip
from programmes.work_hours import (
    DAY_OFF,
    FULL_DAY,
    REST_DAY,
    Entry,
    Given,
    Kind,
    MonthHours,
    Pattern,
    Shift,
    month_hours,
)
from programmes.work_limits import MonthFigure, RuleName, Staff, Standing
from programmes.work_marks import Add, Contest, Correction, Mark, Origin, Void

JUNE: Final = datetime.date(2026, 6, 1)
MARCH: Final = datetime.date(2026, 3, 1)
HOUR_MS: Final = 3_600_000


class Example(NamedTuple):
    """One person's month: what is known of it, and what it comes to."""

    story: str
    """Its words are `work.month.<story>`, how it was worked out `work.month.<story>.working`."""
    worked: str
    """在校等時間 in hours and minutes."""
    outside: str
    """時間外在校等時間."""
    marks: tuple[Mark, ...]
    """In the order in which they arrived."""
    days: Mapping[int, tuple[str, str]] = {}
    """The days that are not ordinary: worked and outside."""
    missing: tuple[int, ...] = ()
    """Days of which something is missing."""
    contested: tuple[int, ...] = ()
    standing: Standing = "within-30"
    broken: tuple[tuple[RuleName, str], ...] = ()
    """Limits that this month breaks, with the figure, after the months `before`."""
    month: datetime.date = JUNE
    corrections: tuple[Correction, ...] = ()
    entries: tuple[Entry, ...] = ()
    pattern: Pattern = Pattern()
    rules: DayRules = DayRules()
    staff: Staff = "teacher"
    is_special: bool = False
    before: tuple[str, ...] = ()
    """Outside hours of the months before."""

    @property
    def hours(self) -> MonthHours:
        """Return what the programme makes of it, after the month is over."""
        days = derive_days(self.marks, self.corrections, self.rules).days
        given = Given(days, self.entries, self.pattern, self.rules)
        return month_hours(self.month, given, datetime.date.max)

    @property
    def figures(self) -> tuple[MonthFigure, ...]:
        """Return the months before and this one, with the hours written down."""
        texts = (*self.before, self.outside)
        firsts = [self.month.replace(month=self.month.month - ago) for ago in range(len(texts))]
        return tuple(
            MonthFigure(first, minutes(text), is_special=self.is_special)
            for first, text in zip(reversed(firsts), texts, strict=True)
        )


def minutes(text: str) -> int:
    """Return hours and minutes as written, such as 192:30, in minutes."""
    hours, rest = text.split(":")
    return int(hours) * 60 + int(rest)


def at_ms(day: int, text: str, month: datetime.date = JUNE) -> int:
    """Return the instant of a time of day such as 07:45 or 07:45:40; 24:30 is after midnight."""
    hours, rest, *seconds = (int(part) for part in text.split(":"))
    since = (hours * 60 + rest) * 60 + sum(seconds)
    return start_of_day_ms(month.replace(day=day)) + 1000 * since


def tap(
    day: int,
    text: str,
    declared: Direction = "",
    gate: str = "front",
    month: datetime.date = JUNE,
    origin: Origin = "tap",
    unsure_ms: int = 0,
) -> Mark:
    """Return one mark, named after its gate, day and time."""
    return Mark(
        f"{gate}/{day}/{text}",
        at_ms(day, text, month),
        declared,
        place=f"school-{gate}",
        reader=gate if origin == "tap" else "",
        unsure_ms=unsure_ms,
        origin=origin,
    )


def _daily(
    days: Iterable[int],
    came: str = "07:45",
    left: str = "17:15",
    gate: str = "front",
    month: datetime.date = JUNE,
) -> tuple[Mark, ...]:
    times = (came, left)
    return tuple(tap(day, text, gate=gate, month=month) for day in days for text in times)


def _but(*others: int) -> list[int]:
    """Return the working days of June but for these."""
    return [day for day in range(1, 31) if day % 7 not in (6, 0) and day not in others]


def _entry(kind: Kind, day: int, began: str, ended: str) -> Entry:
    return Entry(kind, at_ms(day, began), at_ms(day, ended))


def _added(number: int, mark: Mark, who: str = "clerk") -> Add:
    return Add(number=number, who=who, at_ms=mark.at_ms + 24 * HOUR_MS, why="", added=mark)


def _voided(number: int, mark: Mark) -> Void:
    why, at = "", mark.at_ms + 24 * HOUR_MS
    return Void(number=number, who="vice-principal", at_ms=at, why=why, mark=mark.identity)


def _dates(shifts: Mapping[Shift, Sequence[int]]) -> dict[datetime.date, Shift]:
    return {JUNE.replace(day=day): shift for shift, days in shifts.items() for day in days}


_NIGHT: Final = Shift(((780, 1_020), (1_065, 1_290)), ((1_020, 1_065),))
"""13:00 to 21:30."""
_EARLY: Final = Shift(((405, 660), (705, 915)), ((660, 705),))
"""6:45 to 15:15."""
_LATE: Final = Shift(((630, 840), (885, 1_140)), ((840, 885),))
"""10:30 to 19:00."""
_MORNING: Final = Shift(((495, 735),))
"""8:15 to 12:15."""
_NO_DAYS: Final = (DAY_OFF, DAY_OFF, DAY_OFF, DAY_OFF, DAY_OFF, DAY_OFF, REST_DAY)
_ALL: Final = _daily(_but())


def _days() -> tuple[Example, ...]:
    """Return what the marks of single days may look like."""
    passing, manager_says = tap(5, "19:40"), tap(22, "16:45", "out", origin="manual")
    slow, right = tap(26, "05:45", unsure_ms=3 * HOUR_MS), tap(26, "07:45", origin="manual")
    answer = tap(16, "18:30", "out", origin="answer")
    by_hand = (tap(8, "07:30", "in", origin="manual"), tap(8, "18:00", "out", origin="manual"))
    late = tap(22, "20:15")
    offline = (tap(18, "07:46:10", gate="back"), tap(18, "17:15", gate="back"))
    return (
        Example(
            "night-school",
            "191:40",
            "21:10",
            _daily(_but(12, 26), "12:45", "21:45", "night")
            + _daily([12], "12:45", "24:30", "night")
            + _daily([26], "12:45", "29:10", "night"),
            {12: ("11:00", "3:15"), 26: ("15:40", "7:55")},
            pattern=Pattern((_NIGHT,) * 5 + (DAY_OFF, REST_DAY)),
            rules=DayRules(by_place={"school-night": 6}),
        ),
        Example(
            "overnight-trip",
            "200:10",
            "29:40",
            (*_daily(_but(10, 11)), tap(10, "06:10"), tap(11, "18:20")),
            {10: ("14:05", "6:20"), 11: ("11:05", "3:20")},
            entries=(
                _entry("off-site", 10, "07:00", "21:00"),
                _entry("off-site", 11, "06:30", "17:30"),
            ),
            rules=DayRules(trips=(Trip(at_ms(10, "07:00"), at_ms(11, "17:30")),)),
        ),
        Example("double-read", "192:30", "22:00", (*_ALL, tap(3, "07:45:40"))),
        Example(
            "two-gates",
            "192:30",
            "22:00",
            (*_daily(_but(18)), tap(18, "07:45"), *reversed(offline)),
            {18: ("8:45", "1:00")},
        ),
        Example(
            "forgotten-out",
            "183:45",
            "21:00",
            (*_daily(_but(16)), tap(16, "07:45")),
            {16: ("0:00", "0:00"), 17: ("8:45", "1:00")},
            missing=(16,),
        ),
        Example(
            "answered-out",
            "193:45",
            "23:15",
            (*_daily(_but(16)), tap(16, "07:45")),
            {16: ("10:00", "2:15")},
            corrections=(_added(1, answer, "herself"),),
        ),
        Example(
            "voided",
            "192:30",
            "22:00",
            (*_ALL, passing),
            {5: ("8:45", "1:00")},
            corrections=(_voided(1, passing),),
        ),
        Example(
            "added",
            "193:30",
            "23:00",
            _daily(_but(8)),
            {8: ("9:45", "2:00")},
            corrections=tuple(_added(number, one) for number, one in enumerate(by_hand)),
        ),
        Example(
            "contested",
            "192:00",
            "21:30",
            (*_daily(_but(22)), tap(22, "07:45"), late),
            {22: ("8:15", "0:30")},
            contested=(22,),
            corrections=(
                _voided(1, late),
                _added(2, manager_says, "vice-principal"),
                Contest(number=3, who="himself", at_ms=late.at_ms, why="", correction=2),
            ),
        ),
        Example(
            "wrong-clock",
            "192:30",
            "22:00",
            (*_daily(_but(26)), slow, tap(26, "17:15")),
            {26: ("8:45", "1:00")},
            corrections=(_voided(1, slow), _added(2, right)),
        ),
        Example(
            "out-and-back",
            "190:30",
            "22:00",
            (
                *_daily(_but()),
                *(tap(17, "13:30", "away"), tap(17, "15:30", "back")),
                *(tap(24, "14:00", "away"), tap(24, "16:00", "back")),
            ),
            {17: ("6:45", "1:00"), 24: ("8:45", "1:00")},
            entries=(
                _entry("leave", 17, "13:30", "15:30"),
                _entry("off-site", 24, "14:00", "16:00"),
            ),
        ),
        Example(
            "year-end",
            "191:10",
            "28:25",
            _daily([2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17, 18, 19], month=MARCH)
            + _daily([23, 24, 25, 26, 27, 30], month=MARCH)
            + _daily([31], left="24:40", month=MARCH)
            + _daily([1], month=datetime.date(2026, 4, 1)),
            {31: ("16:10", "8:25")},
            month=MARCH,
        ),
    )


def _people() -> tuple[Example, ...]:
    """Return what people may have agreed, and what they enter beside their marks."""
    thursdays, saturdays = (4, 11, 18, 25), (6, 13, 20)
    four_days = (_MORNING,) * 4 + (DAY_OFF, DAY_OFF, REST_DAY)
    shifts = {_EARLY: _but()[:11], _LATE: _but()[11:]}
    return (
        Example(
            "half-day-leave",
            "188:15",
            "21:30",
            _daily(_but(19)) + _daily([19], left="12:15"),
            {19: ("4:30", "0:30")},
            entries=(_entry("leave", 19, "12:15", "16:45"),),
        ),
        Example(
            "hourly-leave",
            "190:00",
            "21:30",
            _daily(_but(9)) + _daily([9], left="14:45"),
            {9: ("6:15", "0:30")},
            entries=(_entry("leave", 9, "14:45", "16:45"),),
        ),
        Example(
            "special-month",
            "258:30",
            "88:00",
            _daily(_but(), "07:15", "19:45"),
            {1: ("11:45", "4:00")},
            standing="over-80",
            broken=(("mean", "81:15"),),
            is_special=True,
            before=("74:30",),
        ),
        Example(
            "part-time",
            "81:00",
            "9:00",
            _daily([day for day in _but() if day % 7 != 5], "08:00", "12:30"),
            {1: ("4:30", "0:30")},
            pattern=Pattern(four_days),
        ),
        Example(
            "shift",
            "181:30",
            "11:00",
            _daily(shifts[_EARLY], "06:30", "15:30") + _daily(shifts[_LATE], "10:15", "19:15"),
            {1: ("8:15", "0:30"), 30: ("8:15", "0:30")},
            pattern=Pattern(_NO_DAYS, _dates(shifts)),
            staff="office",
        ),
        Example(
            "weekend-club",
            "209:30",
            "39:00",
            _ALL + _daily(saturdays, "08:45", "12:00"),
            {6: ("3:15", "3:15"), 28: ("7:15", "7:15")},
            standing="within-45",
            entries=(
                _entry("off-site", 28, "08:00", "12:00"),
                _entry("off-site", 28, "12:45", "16:00"),
            ),
        ),
        Example(
            "work-at-home",
            "197:00",
            "26:30",
            _ALL,
            {2: ("10:00", "2:15"), 23: ("9:30", "1:45")},
            entries=(
                *(_entry("home", day, "20:30", "21:45") for day in (2, 9, 16)),
                _entry("home", 23, "17:00", "18:00"),
            ),
        ),
        Example(
            "self-study",
            "195:00",
            "24:30",
            _daily(_but(*thursdays)) + _daily(thursdays, left="19:15"),
            {4: ("9:15", "1:30"), 25: ("9:45", "2:00")},
            entries=(
                *(_entry("study", day, "17:15", "18:45") for day in thursdays[:3]),
                _entry("study", 25, "16:00", "17:45"),
            ),
        ),
        Example(
            "substitute",
            "16:10",
            "0:40",
            _daily((24, 25), "08:00", "16:50"),
            {24: ("8:05", "0:20"), 25: ("8:05", "0:20")},
            pattern=Pattern(_NO_DAYS, _dates({FULL_DAY: (24, 25)})),
        ),
        Example(
            "holiday-work",
            "196:30",
            "26:00",
            _daily([*_but(29), 27]) + _daily([21], "09:00", "13:00"),
            {21: ("4:00", "4:00"), 27: ("8:45", "1:00"), 29: ("0:00", "0:00")},
            pattern=Pattern(on_days=_dates({FULL_DAY: (27,), DAY_OFF: (29,)})),
        ),
    )


EXAMPLES: Final = (*_days(), *_people())
