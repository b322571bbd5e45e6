"""Attendance (出退勤): a time, and the direction that a person declared; nothing is invented.

An entry holds the instant and the declared direction, if a button was pressed before. Whether it
was an arrival or a leaving is derived from the whole day, later, and never stored as a fact. The
reader only greets with its best guess, and asks about a leaving that was forgotten. Working time
is never refused for an old list or an unsure clock: the entry says how sure the clock was.
"""

import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from programmes.calendar import local, local_day, start_of_day_ms
from programmes.rulebook import (
    REPEAT_WINDOW_S_MAX,
    Booked,
    Decision,
    Direction,
    Example,
    Facts,
    Parameter,
    Place,
    Rulebook,
    is_repeat,
    is_stopped,
    read_parameters,
    refuse,
    rule_for,
    rule_in_force,
)
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.roster import RosterRow, RuleTable

NAME: Final = "attendance"
MORNING_ENDS_H: Final = 11
"""Before this hour an arrival is greeted with おはようございます."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a clerk sets for a period."""

    day_starts_at_hour: Annotated[int, Meta(ge=0, le=12)] = 4
    """An hour at which nobody works: a leaving at 00:30 still belongs to the day before."""
    repeat_window_s: Annotated[int, Meta(ge=5, le=REPEAT_WINDOW_S_MAX)] = 120
    """A second tap inside it is the same arrival or leaving."""


def decide(facts: Facts) -> Decision:
    """Decide one presentation. Raises RuleTableRefused for a table that does not fit."""
    table, rules = _in_force(facts)
    code = _obstacle(facts, local_day(facts.at_ms, rules.day_starts_at_hour))
    if code is not None:
        return refuse(code, table.version)
    if is_repeat(facts, rules.repeat_window_s) and _same_direction(facts):
        return Decision(Outcome.REPEAT, Code.REPEAT, f"{NAME}.repeat", table.version)
    clock = {"time": f"{local(facts.at_ms):%H:%M}"}
    shown = _greeting(facts, rules)
    return Decision(Outcome.ACCEPTED, Code.OK, shown, table.version, arguments=clock)


def _in_force(facts: Facts) -> tuple[RuleTable, Parameters]:
    """Return the table of the working day: a leaving at 00:30 on 1 April is still of March.

    The hour at which a day starts stands in the table itself, so the table of the calendar's day
    says whether the day before is meant; the first table of all also serves the night before it.
    """
    table = rule_for(facts.rules, local_day(facts.at_ms), clock_known=facts.clock_known)
    rules = read_parameters(table, Parameters)
    day = local_day(facts.at_ms, rules.day_starts_at_hour)
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


def _greeting(facts: Facts, rules: Parameters) -> str:
    today = local_day(facts.at_ms, rules.day_starts_at_hour)
    earlier = [b for b in facts.booked if local_day(b.at_ms, rules.day_starts_at_hour) == today]
    direction = facts.declared or guess_direction(earlier)
    if direction == "out":
        return f"{NAME}.out"
    if not earlier and _left_open(facts, rules, today):
        return f"{NAME}.in-ask-out"
    return f"{NAME}.morning" if local(facts.at_ms).hour < MORNING_ENDS_H else f"{NAME}.in"


def guess_direction(earlier: list[Booked]) -> Direction:
    """Return the likeliest direction after today's earlier entries: the other one than the last.

    Only good for a greeting: a declared direction and the whole day say what really happened.
    """
    direction: Direction = "in"
    for booked in earlier:
        direction = "out" if (booked.declared or direction) == "in" else "in"
    return direction


def _left_open(facts: Facts, rules: Parameters, today: datetime.date) -> bool:
    """True when the last day before today on which this card was seen ends without a leaving."""
    days = [(local_day(b.at_ms, rules.day_starts_at_hour), b) for b in facts.booked]
    before = [day for day, _ in days if day < today]
    if not before:
        return False
    return guess_direction([b for day, b in days if day == max(before)]) == "out"


_RULES: Final = (
    RuleTable(version="attendance/2026-04", valid_from=datetime.date(2026, 4, 1), parameters={}),
)
_MEMBER: Final = RosterRow(Credential("00" * 16), "teacher", None, None, None)
_MORNING_MS: Final = 1_780_440_120_000
"""2026-06-03 07:42 in Japan."""
_HOUR_MS: Final = 3_600_000


def _facts(
    at_ms: int = _MORNING_MS,
    member: RosterRow | None = _MEMBER,
    declared: Direction = "",
    booked: tuple[Booked, ...] = (),
) -> Facts:
    return Facts(
        at_ms, Place("school-1", "school"), member, _RULES, 60, declared=declared, booked=booked
    )


EXAMPLES: Final = (
    Example("first-at-7-42", _facts(), Outcome.ACCEPTED, Code.OK),
    Example(
        "evening-after-morning",
        _facts(at_ms=_MORNING_MS + 11 * _HOUR_MS, booked=(Booked(_MORNING_MS),)),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "again-after-1-min",
        _facts(at_ms=_MORNING_MS + 60_000, booked=(Booked(_MORNING_MS),)),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example(
        "out-pressed-after-1-min",
        _facts(at_ms=_MORNING_MS + 60_000, declared="out", booked=(Booked(_MORNING_MS, "in"),)),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "yesterday-left-open",
        _facts(booked=(Booked(_MORNING_MS - 24 * _HOUR_MS),)),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example("not-enrolled", _facts(member=None), Outcome.REFUSED, Code.UNKNOWN),
    Example(
        "retired-last-month",
        _facts(member=_MEMBER._replace(valid_to=datetime.date(2026, 5, 31))),
        Outcome.REFUSED,
        Code.EXPIRED,
    ),
    Example(
        "reported-lost",
        _facts(member=_MEMBER._replace(stopped_from_s=_MORNING_MS // 1000 - 60)),
        Outcome.REFUSED,
        Code.STOP_LISTED,
    ),
)

DESCRIBED: Final = (
    Parameter("day_starts_at_hour", "hour"),
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
        facts = Facts(at_ms, Place("school-1", "school"), _MEMBER, (table,), 0, booked=booked)
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
)
