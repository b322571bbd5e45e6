"""Attendance (出退勤): a time, and the direction that a person declared; nothing is invented.

An entry holds the instant and the declared direction, if a button was pressed before. Whether it
was an arrival or a leaving is derived from the whole day, later, and never stored as a fact. The
reader only greets with what its own marks of the day make of this one, and asks about what they
lack of an earlier day. Working time is never refused for an old list or an unsure clock: the entry
says how sure the clock was.
"""

import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from programmes.attendance_day import see
from programmes.attendance_examples import EXAMPLES, MEMBER
from programmes.calendar import local, local_day, start_of_day_ms
from programmes.rulebook import (
    REPEAT_WINDOW_S_MAX,
    Booked,
    Decision,
    Example,
    Facts,
    Parameter,
    Place,
    Rulebook,
    Seen,
    is_repeat,
    is_stopped,
    read_parameters,
    refuse,
    rule_for,
    rule_in_force,
)
from programmes.work_day_rules import DayRules
from wire.codes import Code, Outcome
from wire.entries import Name
from wire.roster import RuleTable

NAME: Final = "attendance"
MORNING_ENDS_H: Final = 11
"""Before this hour an arrival is greeted with おはようございます."""
PLACES_MAX: Final = 20
"""Places with an hour of their own: a city has one night school or two."""
PlaceHours = Annotated[
    dict[Name, Annotated[int, Meta(ge=0, le=12)]], Meta(min_length=1, max_length=PLACES_MAX)
]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a clerk sets for a period."""

    day_starts_at_hour: Annotated[int, Meta(ge=0, le=12)] = 4
    """An hour at which nobody works: a leaving at 00:30 still belongs to the day before."""
    day_starts_at_place: PlaceHours | None = None
    """Places whose day begins at another hour, such as a night school."""
    repeat_window_s: Annotated[int, Meta(ge=5, le=REPEAT_WINDOW_S_MAX)] = 120
    """A second tap inside it is the same arrival or leaving."""

    @property
    def days(self) -> DayRules:
        """How marks fall into days."""
        return DayRules(
            self.day_starts_at_hour, self.day_starts_at_place or {}, self.repeat_window_s
        )


def decide(facts: Facts) -> Decision:
    """Decide one presentation. Raises RuleTableRefused for a table that does not fit."""
    table, rules = _in_force(facts)
    code = _obstacle(facts, rules.days.day_of(facts.at_ms, facts.place.name))
    if code is not None:
        return refuse(code, table.version)
    if is_repeat(facts, rules.repeat_window_s) and _same_direction(facts):
        seen = see(facts, rules.days, is_new=False)
        return Decision(Outcome.REPEAT, Code.REPEAT, f"{NAME}.repeat", table.version, seen=seen)
    seen = see(facts, rules.days)
    shown, arguments = _greeting(facts, seen)
    return Decision(Outcome.ACCEPTED, Code.OK, shown, table.version, arguments=arguments, seen=seen)


def see_now(facts: Facts) -> Seen:
    """Return what the gate shows of a card. Raises RuleTableRefused."""
    return see(facts, _in_force(facts)[1].days, is_new=False)


def _in_force(facts: Facts) -> tuple[RuleTable, Parameters]:
    """Return the table of the working day: a leaving at 00:30 on 1 April is still of March.

    The hour at which a day starts stands in the table itself, so the table of the calendar's day
    says whether the day before is meant; the first table of all also serves the night before it.
    """
    table = rule_for(facts.rules, local_day(facts.at_ms), clock_known=facts.clock_known)
    rules = read_parameters(table, Parameters)
    day = rules.days.day_of(facts.at_ms, facts.place.name)
    if day < table.valid_from and any(other.valid_from <= day for other in facts.rules):
        table = rule_in_force(facts.rules, day)
        rules = read_parameters(table, Parameters)
    return table, rules


def _obstacle(facts: Facts, day: datetime.date) -> Code | None:
    member = facts.member
    if member is None:
        return Code.UNKNOWN
    if is_stopped(facts, member):
        return Code.STOP_LISTED
    if facts.clock_known and member.valid_from and day < member.valid_from:
        return Code.NOT_YET
    if facts.clock_known and member.valid_to and day > member.valid_to:
        return Code.EXPIRED
    return None


def _same_direction(facts: Facts) -> bool:
    """False when a person now declares another direction than before: that is no repeat."""
    return not facts.declared or facts.declared == facts.booked[-1].declared


def _greeting(facts: Facts, seen: Seen) -> tuple[str, dict[str, str]]:
    """Return the sentence; how long the day was is said at its end, when it is certain."""
    told = {"time": f"{local(facts.at_ms):%H:%M}"}
    if seen.heading == "out" and seen.minutes is not None:
        hours, minutes = divmod(seen.minutes, 60)
        return f"{NAME}.out-today", told | {"hours": f"{hours}", "minutes": f"{minutes}"}
    if seen.heading == "in" and local(facts.at_ms).hour < MORNING_ENDS_H:
        return f"{NAME}.morning", told
    return f"{NAME}.{seen.heading}", told


DESCRIBED: Final = (
    Parameter("day_starts_at_hour", "hour"),
    Parameter("day_starts_at_place", "place-hours"),
    Parameter("repeat_window_s", "seconds"),
)


def edges(table: RuleTable) -> tuple[Example, ...]:
    """Return the taps at this table's limits and what its words promise."""
    window = read_parameters(table, Parameters).repeat_window_s
    at_ms = start_of_day_ms(table.valid_from, 12)
    found = []
    for ago_s, outcome, code in (
        (window - 1, Outcome.REPEAT, Code.REPEAT),
        (window, Outcome.ACCEPTED, Code.OK),
    ):
        booked = (Booked(at_ms - 1000 * ago_s),)
        facts = Facts(at_ms, Place("school-1", "school"), MEMBER, (table,), 0, booked=booked)
        found.append(Example("again-after", facts, outcome, code, None, {"n": f"{ago_s:,}"}))
    return tuple(found)


RULEBOOK: Final = Rulebook(
    NAME,
    decide,
    Parameters,
    DESCRIBED,
    EXAMPLES,
    edges,
    looks_back_s=REPEAT_WINDOW_S_MAX,
    see=see_now,
)
