"""Hours of work of a day and of a month, each with the terms that add up to it.

在校等時間 (worked) = presence + duty elsewhere (校外業務) + work at home (在宅・持ち帰り) − breaks
− self-study outside hours (自己研鑽); 時間外在校等時間 (outside hours) = worked − scheduled hours
+ leave within them + what of them was not worked. The source is the guideline under article 7 of
給特法 (文部科学省告示第1号, 2020) with its questions and answers.

Rules: every instant is first cut to its minute, as pages show it; so every figure is in whole
minutes, is what a person gets who subtracts the times on the page, and no sum is rounded (one
interval is less than a minute off, as often up as down) · an instant counts once: presence before
duty elsewhere before work at home; a break is taken off only where work was counted, self-study
only there, outside scheduled hours and not in a break · no figure of a day is below zero: what was
not worked of scheduled hours is a term of its own and lessens no other day · an interval whose end
is not known counts nothing, and the day says what lacks.
"""

import datetime
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from programmes.calendar import is_school_day, start_of_day_ms
from programmes.spans import Span, joined, length, within, without
from programmes.work_day import WorkDay
from programmes.work_day_rules import DayRules

Kind = Literal["off-site", "home", "study", "leave"]
"""校外業務, 在宅・持ち帰り, 自己研鑽, 休暇 (of hours, of half a day, of the whole day)."""
TermName = Literal[
    "presence", "off-site", "home", "break", "study", "worked", "scheduled", "leave", "short"
]
Lack = Literal["in", "out", "away", "back", "day"]
"""What nobody marked; `day`: scheduled hours of which nothing at all is known."""
MinuteOfDay = Annotated[int, Meta(ge=0, le=2_880)]
"""Since the midnight at which the date begins; a night's shift goes on past 1,440."""

_MINUTE_MS: Final = 60_000
_ONE_DAY: Final = datetime.timedelta(days=1)
_is_school_day = functools.lru_cache(4_096)(is_school_day)
"""A month of a town's schools asks for the same thirty days a thousand times."""


class Shift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scheduled hours of one day, without its breaks."""

    hours: tuple[tuple[MinuteOfDay, MinuteOfDay], ...] = ()
    breaks: tuple[tuple[MinuteOfDay, MinuteOfDay], ...] = ()
    is_rest_day: bool = False
    """法定休日: work on it is counted apart for office staff."""


FULL_DAY: Final = Shift(hours=((495, 735), (780, 1_005)), breaks=((735, 780),))
"""8:15 to 16:45 with 45 minutes of break: 7 h 45."""
DAY_OFF: Final = Shift()
REST_DAY: Final = Shift(is_rest_day=True)


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When one person is to work."""

    week: tuple[Shift, Shift, Shift, Shift, Shift, Shift, Shift] = (
        FULL_DAY, FULL_DAY, FULL_DAY, FULL_DAY, FULL_DAY, DAY_OFF, REST_DAY,
    )  # fmt: skip
    """From Monday on; a national holiday from Monday to Friday is a day off."""
    on_days: Mapping[datetime.date, Shift] = {}
    """What holds instead on single days: shifts by list, 振替, the days of a substitute."""

    def on(self, day: datetime.date) -> Shift:
        """Return the shift of a day."""
        if (special := self.on_days.get(day)) is not None:
            return special
        is_holiday = day.weekday() < 5 and not _is_school_day(day)
        return DAY_OFF if is_holiday else self.week[day.weekday()]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person declares beside the marks; who and why are kept with it by who stores it."""

    kind: Kind
    from_ms: int
    to_ms: int


class Term(NamedTuple):
    """One line of a sum."""

    name: TermName
    minutes: int
    """With its sign."""


class DayHours(msgspec.Struct, frozen=True):
    """The hours of one day."""

    day: datetime.date
    worked: tuple[Term, ...]
    """Presence, off-site, home, break, study; those of zero too."""
    outside: tuple[Term, ...]
    """Worked, scheduled, leave, short."""
    missing: tuple[Lack, ...] = ()
    unsure_ms: int = 0
    """How far presence may be off by clocks that were not sure."""
    is_rest_day: bool = False

    @property
    def worked_min(self) -> int:
        """在校等時間."""
        return sum(term.minutes for term in self.worked)

    @property
    def outside_min(self) -> int:
        """時間外在校等時間."""
        return sum(term.minutes for term in self.outside)


class Given(NamedTuple):
    """All that the hours of one person's month depend on."""

    days: tuple[WorkDay, ...]
    entries: tuple[Entry, ...] = ()
    pattern: Pattern = Pattern()
    rules: DayRules = DayRules()
    breaks: Mapping[datetime.date, tuple[Span, ...]] = {}
    """The breaks of days on which they were others than scheduled, in ms; none taken: empty."""


class MonthHours(msgspec.Struct, frozen=True):
    """The hours of one month, the sum of its days."""

    first: datetime.date
    days: tuple[DayHours, ...]

    @property
    def worked(self) -> tuple[Term, ...]:
        """在校等時間 by terms."""
        return _added(day.worked for day in self.days)

    @property
    def outside(self) -> tuple[Term, ...]:
        """時間外在校等時間 by terms."""
        return _added(day.outside for day in self.days)

    @property
    def worked_min(self) -> int:
        """在校等時間."""
        return sum(day.worked_min for day in self.days)

    @property
    def outside_min(self) -> int:
        """時間外在校等時間."""
        return sum(day.outside_min for day in self.days)

    @property
    def rest_day_min(self) -> int:
        """What of it was on rest days (法定休日)."""
        return sum(day.outside_min for day in self.days if day.is_rest_day)

    @property
    def incomplete(self) -> tuple[DayHours, ...]:
        """Return the days of which something is missing: the month may be more than it says."""
        return tuple(day for day in self.days if day.missing)


def month_hours(first: datetime.date, given: Given, through: datetime.date) -> MonthHours:
    """Return the hours of the month that begins on `first`, up to a day that is over.

    A month that lies after it has no days.
    """
    last = (first.replace(day=28) + 4 * _ONE_DAY).replace(day=1) - _ONE_DAY
    return MonthHours(first, tuple(hours_between(first, min(last, through), given)))


def hours_between(first: datetime.date, last: datetime.date, given: Given) -> Iterator[DayHours]:
    """Yield the hours of each day from a first to a last one."""
    known = {one.day: one for one in given.days}
    entries: dict[datetime.date, list[Entry]] = {}
    for entry in given.entries:
        entries.setdefault(given.rules.day_of(entry.from_ms), []).append(entry)
    day = first
    while day <= last:
        here = known.get(day) or WorkDay(day, (), (), (), "absent")
        yield day_hours(here, given.pattern.on(day), entries.get(day, ()), given.breaks)
        day += _ONE_DAY


def day_hours(
    work_day: WorkDay,
    shift: Shift,
    entries: Iterable[Entry] = (),
    breaks: Mapping[datetime.date, tuple[Span, ...]] | None = None,
) -> DayHours:
    """Return the hours of one day; `entries` are those of this day."""
    by_kind: dict[Kind, list[Span]] = {"off-site": [], "home": [], "study": [], "leave": []}
    for entry in entries:
        by_kind[entry.kind].append(_minutes((entry.from_ms, entry.to_ms)))
    own_breaks = (breaks or {}).get(work_day.day)
    pauses = (
        _of_day(work_day.day, shift.breaks)
        if own_breaks is None
        else [_minutes(span) for span in own_breaks]
    )
    hours = _of_day(work_day.day, shift.hours)
    presence = joined(
        _minutes((one.from_ms, one.to_ms)) for one in work_day.intervals if one.to_ms is not None
    )
    elsewhere = without(by_kind["off-site"], presence)
    home = without(by_kind["home"], [*presence, *elsewhere])
    counted = [*presence, *elsewhere, *home]
    leave = within(by_kind["leave"], hours)
    study = without(within(by_kind["study"], counted), [*without(hours, leave), *pauses])
    worked = (
        Term("presence", length(presence)),
        Term("off-site", length(elsewhere)),
        Term("home", length(home)),
        Term("break", -length(within(pauses, counted))),
        Term("study", -length(study)),
    )
    lacks: tuple[Lack, ...] = tuple(one.what for one in work_day.missing)
    if without(hours, leave) and not (work_day.readings or counted):
        lacks = ("day",)
    return DayHours(
        work_day.day,
        worked,
        _outside(sum(term.minutes for term in worked), length(hours), length(leave)),
        lacks,
        sum(one.unsure_ms for one in work_day.intervals if one.to_ms is not None),
        shift.is_rest_day,
    )


def _outside(worked: int, scheduled: int, leave: int) -> tuple[Term, ...]:
    return (
        Term("worked", worked),
        Term("scheduled", -scheduled),
        Term("leave", leave),
        Term("short", max(0, scheduled - leave - worked)),
    )


def _minutes(span: Span) -> Span:
    return span[0] // _MINUTE_MS, span[1] // _MINUTE_MS


def _of_day(day: datetime.date, spans: Iterable[Span]) -> list[Span]:
    midnight = start_of_day_ms(day) // _MINUTE_MS
    return joined((midnight + first, midnight + end) for first, end in spans)


def _added(sums: Iterable[tuple[Term, ...]]) -> tuple[Term, ...]:
    found: dict[TermName, int] = {}
    for terms in sums:
        for term in terms:
            found[term.name] = found.get(term.name, 0) + term.minutes
    return tuple(Term(name, minutes) for name, minutes in found.items())
