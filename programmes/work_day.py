"""A day of work from all its marks: when a person was there, what became of every mark, what lacks.

Rules: the whole day is derived anew from what is known, so the order of arrival changes nothing ·
a declared direction holds before the order of the day · reads of one card within the repeat window
are one mark, at the time of the first, also at two gates · a leaving that was forgotten is never
invented: its interval stays open and it is asked about · an answer holds only where something
lacks, the latest of several: a tap that arrives later says more · marks that cannot both be true
count for nothing, and of two the surer one holds · no mark vanishes · who was there when a trip
departed and shows up no more, or comes back later, left with it.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final, Literal, NamedTuple

import msgspec

from programmes.rulebook import Direction
from programmes.work_day_rules import DayRules, Days
from programmes.work_marks import Correction, Mark, Standing, standing
from wire.entries import Heading

State = Literal["absent", "present", "away"]
Became = Literal["in", "out", "away", "back", "double", "voided", "contradictory"]
Doubt = Literal["", "clock", "order", "answered"]
"""Why a mark is contradictory: its clock was so wrong that its day is not known; another mark may
have been before it or after it and says something else; it answers what nothing asks any more."""

UNSURE_MS_MAX: Final = 6 * 3_600_000
"""A mark that may be off by more has no place in a day: half of the day to either side."""

_MOVES: Final[Mapping[tuple[State, Heading], tuple[State, Heading | None]]] = {
    ("absent", "in"): ("present", None),
    ("absent", "out"): ("absent", "in"),
    ("absent", "away"): ("away", "in"),
    ("absent", "back"): ("present", "away"),
    ("present", "in"): ("present", "out"),
    ("present", "out"): ("absent", None),
    ("present", "away"): ("away", None),
    ("present", "back"): ("present", "away"),
    ("away", "in"): ("present", None),
    ("away", "out"): ("absent", "back"),
    ("away", "away"): ("away", "back"),
    ("away", "back"): ("present", None),
}
"""What follows, and what must have happened before it that nobody marked."""
_NEXT: Final[Mapping[State, Heading]] = {"absent": "in", "present": "out", "away": "back"}
_LACKS_AT_END: Final[Mapping[State, Heading | None]] = {
    "absent": None,
    "present": "out",
    "away": "back",
}


class Reading(NamedTuple):
    """What became of one mark."""

    standing: Standing
    became: Became
    doubt: Doubt = ""
    of: str = ""
    """The mark that a double repeats."""
    is_derived: bool = False
    """Only the order of the day says that it is an arrival or a leaving."""


class Interval(NamedTuple):
    """A time of presence, between two marks."""

    from_ms: int
    to_ms: int | None
    """None while its end is not known."""
    opened_by: str
    closed_by: str = ""
    """The mark of its end; empty too when the departure of a trip ended it."""
    unsure_ms: int = 0
    """How far its length may be off, by the clocks of both ends."""


class Missing(NamedTuple):
    """Something that must have happened and that nobody marked."""

    what: Heading
    after_ms: int | None
    before_ms: int | None

    def holds(self, at_ms: int) -> bool:
        """True for an instant at which it may have been."""
        return (self.after_ms is None or self.after_ms < at_ms) and (
            self.before_ms is None or at_ms < self.before_ms
        )


class WorkDay(msgspec.Struct, frozen=True):
    """One person's day. Without a mark and without presence there is none."""

    day: datetime.date
    readings: tuple[Reading, ...]
    """Every mark of the day, in the order of time."""
    intervals: tuple[Interval, ...]
    missing: tuple[Missing, ...]
    ends: State
    """As what the person was last seen; on a trip over night, in all its days together."""

    @property
    def is_contested(self) -> bool:
        """True when the person objects to a correction and nobody has answered it."""
        return any(one.standing.is_contested for one in self.readings)

    @property
    def contradictory(self) -> tuple[Reading, ...]:
        """Return the marks that somebody has to look at."""
        return tuple(one for one in self.readings if one.became == "contradictory")


class WorkDays(NamedTuple):
    """All days of a person of which something is known, in order."""

    days: tuple[WorkDay, ...]
    undated: tuple[Reading, ...]
    """Marks of which not even the day is known: to be voided, and added where they belong."""
    unmatched: tuple[Correction, ...]


class Question(NamedTuple):
    """What to ask at the next tap."""

    day: datetime.date
    missing: Missing


def derive_days(
    marks: Iterable[Mark], corrections: Iterable[Correction], rules: DayRules
) -> WorkDays:
    """Return all days. Raises MarksRefused for two different things of one identity."""
    known = standing(marks, corrections)
    groups: dict[Days, list[Standing]] = defaultdict(list)
    undated = []
    for one in known.marks:
        if one.mark.unsure_ms > UNSURE_MS_MAX:
            undated.append(Reading(one, "voided") if one.is_void else _contradictory(one, "clock"))
        else:
            groups[rules.joined_at(rules.day_of(one.mark.at_ms, one.mark.place))].append(one)
    days = [day for joined in sorted(groups) for day in _days_of(groups[joined], joined, rules)]
    return WorkDays(tuple(days), tuple(undated), known.unmatched)


def questions(days: Iterable[WorkDay], today: datetime.date) -> tuple[Question, ...]:
    """Return what lacks of the days before today, the latest first."""
    found = [Question(one.day, lack) for one in days if one.day < today for lack in one.missing]
    return tuple(reversed(found))


def with_doubles(day: WorkDay, identity: str) -> tuple[str, ...]:
    """Return a mark and those that repeat it: whoever voids one event voids all of them."""
    return (identity, *(one.standing.mark.identity for one in day.readings if one.of == identity))


def _contradictory(one: Standing, doubt: Doubt) -> Reading:
    return Reading(one, "contradictory", doubt)


# --- one day, or the days that a trip joins -------------------------------------------------------


class _Head(NamedTuple):
    """Reads that are one mark."""

    first: Standing
    declared: Direction
    doubles: tuple[Standing, ...] = ()

    @property
    def at_ms(self) -> int:
        return self.first.mark.at_ms


class _Walk(NamedTuple):
    """What the heads of a day come to, in their order."""

    events: tuple[Heading, ...]
    intervals: tuple[Interval, ...]
    missing: tuple[Missing, ...]
    ends: State


def _days_of(marks: Sequence[Standing], days: Days, rules: DayRules) -> list[WorkDay]:
    readings = [Reading(one, "voided") for one in marks if one.is_void]
    heads = _heads([one for one in marks if not one.is_void], rules.repeat_window_s)
    departures = rules.departures(days)
    doubts = _doubts(heads, departures)
    walk = _walk([head for head in heads if head not in doubts], departures)
    events = iter(walk.events)
    for head in heads:
        if doubt := doubts.get(head):
            readings.append(_contradictory(head.first, doubt))
        else:
            readings.append(Reading(head.first, next(events), is_derived=not head.declared))
        readings += [Reading(one, "double", of=head.first.mark.identity) for one in head.doubles]
    return _by_day(sorted(readings, key=lambda one: one.standing.order), walk, days, rules)


def _heads(marks: Sequence[Standing], window_s: int) -> list[_Head]:
    """Join reads within the window of the first that do not declare another direction."""
    heads: list[_Head] = []
    for one in marks:
        last = heads[-1] if heads else None
        if (
            last is not None
            and one.mark.at_ms - last.at_ms < window_s * 1000
            and (not one.declared or not last.declared or one.declared == last.declared)
        ):
            declared = last.declared or one.declared
            heads[-1] = _Head(last.first, declared, (*last.doubles, one))
        else:
            heads.append(_Head(one, one.declared))
    return heads


def _doubts(heads: Sequence[_Head], departures: Sequence[int]) -> dict[_Head, Doubt]:
    """Return the heads that count for nothing, and why."""
    doubts: dict[_Head, Doubt] = {}
    for one, other in combinations(heads, 2):
        if _order_is_unknown(one, other):
            worst = max(one.first.mark.unsure_ms, other.first.mark.unsure_ms)
            unsure = (head for head in (one, other) if head.first.mark.unsure_ms == worst)
            doubts |= dict.fromkeys(unsure, "order")
    answers = [head for head in heads if head.first.mark.origin == "answer" and head not in doubts]
    if answers:
        sure = [head for head in heads if head not in doubts and head not in answers]
        open_ = list(_walk(sure, departures).missing)
        for head in sorted(answers, key=lambda one: one.first.said, reverse=True):
            asked = [one for one in open_ if one.what == head.declared and one.holds(head.at_ms)]
            if asked:
                open_.remove(asked[0])
            else:
                doubts[head] = "answered"
    return doubts


def _order_is_unknown(one: _Head, other: _Head) -> bool:
    """True when two marks declare different things and either may have been first."""
    if not one.declared or not other.declared or one.declared == other.declared:
        return False
    apart = other.at_ms - one.at_ms
    if one.first.mark.reader and one.first.mark.reader == other.first.mark.reader:
        return apart == 0
    return apart <= one.first.mark.unsure_ms + other.first.mark.unsure_ms


def _walk(heads: Sequence[_Head], departures: Sequence[int]) -> _Walk:
    state: State = "absent"
    opened: _Head | None = None
    last_ms: int | None = None
    events: list[Heading] = []
    intervals: list[Interval] = []
    missing: list[Missing] = []
    for number, head in enumerate(heads):
        left_ms = _left_with(departures, last_ms, heads[number:])
        if opened is not None and left_ms is not None:
            intervals.append(_interval(opened, None)._replace(to_ms=left_ms))
            state, opened = "away", None
        event = head.declared or _NEXT[state]
        following, lacks = _MOVES[state, event]
        if lacks:
            missing.append(Missing(lacks, last_ms, head.at_ms))
        if opened is not None:
            intervals.append(_interval(opened, None if lacks else head))
        opened = head if following == "present" else None
        events.append(event)
        state, last_ms = following, head.at_ms
    left_ms = _left_with(departures, last_ms, ())
    if opened is not None:
        intervals.append(_interval(opened, None)._replace(to_ms=left_ms))
    at_end = _LACKS_AT_END[state]
    if at_end and left_ms is None:
        missing.append(Missing(at_end, last_ms, None))
    ends = state if left_ms is None else "absent"
    return _Walk(tuple(events), tuple(intervals), tuple(missing), ends)


def _left_with(
    departures: Sequence[int], last_ms: int | None, ahead: Sequence[_Head]
) -> int | None:
    """Return the departure of a trip after the last mark, if whoever was there left with it.

    Then the next mark is a return. It is a leaving, of one who was there until then but for the
    trip, when it says so, or when no button was pressed and marks up to the next departure are odd.
    """
    next_ms = ahead[0].at_ms if ahead else None
    between = [
        ms
        for ms in departures
        if last_ms is not None and ms > last_ms and (next_ms is None or ms < next_ms)
    ]
    if not between or next_ms is None:
        return between[0] if between else None
    if declared := ahead[0].declared:
        return between[0] if declared in ("in", "back") else None
    stop_ms = min((ms for ms in departures if ms > next_ms), default=None)
    many = sum(stop_ms is None or head.at_ms < stop_ms for head in ahead)
    return None if many % 2 else between[0]


def _interval(opened: _Head, closed: _Head | None) -> Interval:
    first = opened.first.mark
    if closed is None:
        return Interval(first.at_ms, None, first.identity, unsure_ms=first.unsure_ms)
    end = closed.first.mark
    unsure_ms = first.unsure_ms + end.unsure_ms
    return Interval(first.at_ms, end.at_ms, first.identity, end.identity, unsure_ms)


# --- what belongs to which day --------------------------------------------------------------------


def _by_day(readings: Sequence[Reading], walk: _Walk, days: Days, rules: DayRules) -> list[WorkDay]:
    """Part what trips have joined; a day without a trip comes out whole."""
    marks = {one.standing.mark.identity: one.standing.mark for one in readings}
    day_of = {name: rules.day_of(mark.at_ms, mark.place) for name, mark in marks.items()}
    at_ms = {mark.at_ms: day_of[name] for name, mark in marks.items()}
    seen: dict[datetime.date, list[Reading]] = defaultdict(list)
    for one in readings:
        seen[day_of[one.standing.mark.identity]].append(one)
    parts: dict[datetime.date, list[Interval]] = defaultdict(list)
    for interval in walk.intervals:
        if rules.departures(days) and interval.to_ms is not None:
            span = (interval.from_ms, interval.to_ms)
            for day, (first, end) in rules.parts(span, marks[interval.opened_by].place):
                parts[day].append(interval._replace(from_ms=first, to_ms=end))
        else:
            parts[day_of[interval.opened_by]].append(interval)
    lacks: dict[datetime.date, list[Missing]] = defaultdict(list)
    for lack in walk.missing:
        known_ms = lack.before_ms if lack.after_ms is None else lack.after_ms
        lacks[at_ms[known_ms or 0]].append(lack)
    return [
        WorkDay(day, tuple(seen[day]), tuple(parts[day]), tuple(lacks[day]), walk.ends)
        for day in sorted(seen.keys() | parts.keys())
    ]
