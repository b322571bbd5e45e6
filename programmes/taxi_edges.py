"""The taxi subsidy at the limits of a table: taps and rides whose answers follow from its words."""

import datetime
import itertools
from collections.abc import Iterator

import msgspec

from programmes.calendar import start_of_day_ms
from programmes.rides import RideExample, RideFacts, RiderFacts
from programmes.rulebook import (
    Example,
    Facts,
    Place,
    read_parameters,
)
from programmes.taxi_rules import (
    MONTHS,
    Parameters,
    periods,
)
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable


def edges(table: RuleTable) -> tuple[Example, ...]:
    """Return the rides at this table's limits and what its words promise."""
    rules = read_parameters(table, Parameters)
    return tuple(itertools.chain(_hours(table, rules), _counts(table, rules)))


def _ride(table: RuleTable, time: datetime.time) -> Facts:
    """A rider taps on the table's first day."""
    since_s = time.hour * 3600 + time.minute * 60 + time.second
    at_ms = start_of_day_ms(table.valid_from) + 1000 * since_s
    return Facts(at_ms, Place("taxi-1", "taxi"), _member(), (table,), 0, usage_age_s=0)


def _member() -> RosterRow:
    return RosterRow(Credential("00" * 16), "", None, None, None)


def _is_there_at_once(rules: Parameters) -> bool:
    """True when a month's part of the year's yen is enough for a ride, so every month's is."""
    return rules.yen_per_year is None or rules.yen_per_year >= rules.step_yen * MONTHS


def _noon(rules: Parameters) -> datetime.time:
    """Return noon, as long as rides may begin then: so examples differ by one thing alone."""
    return min(max(datetime.time(12), rules.from_time), rules.to_time)


def _hours(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    for story, time, minutes, outcome, code in (
        ("first-minute", rules.from_time, 0, Outcome.ACCEPTED, Code.OK),
        ("last-minute", rules.to_time, 0, Outcome.ACCEPTED, Code.OK),
        ("minute-before", rules.from_time, -1, Outcome.REFUSED, Code.NOT_NOW),
        ("minute-after", rules.to_time, 1, Outcome.REFUSED, Code.NOT_NOW),
    ):
        moved = datetime.datetime.combine(table.valid_from, time)
        moved += datetime.timedelta(minutes=minutes)
        is_paid = outcome is Outcome.REFUSED or _is_there_at_once(rules)
        if is_paid and moved.date() == table.valid_from:
            said = {"time": f"{moved:%-H:%M}"}
            yield Example(story, _ride(table, moved.time()), outcome, code, None, said)


def _counts(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    facts = _ride(table, _noon(rules))
    day, year = periods(facts.at_ms)
    for story, period, limit in (
        ("nth-today", day, rules.rides_per_day),
        ("nth-this-year", year, rules.rides_per_year),
    ):
        if limit is None:
            continue
        last, over = (
            msgspec.structs.replace(facts, used={period: Used(times)})
            for times in (limit - 1, limit)
        )
        if _is_there_at_once(rules):
            said = {"n": f"{limit:,}"}
            yield Example(story, last, Outcome.ACCEPTED, Code.OK, None, said)
        said = {"n": f"{limit + 1:,}"}
        yield Example(story, over, Outcome.REFUSED, Code.USED_UP, None, said)


def ride_edges(table: RuleTable) -> tuple[RideExample, ...]:
    """Return what this table's words promise: alone at the cap, together, never over the fare.

    None where a balance of yen decides too: there what a rider gets hangs on what he has left.
    """
    rules = read_parameters(table, Parameters)
    if rules.yen_per_year is not None:
        return ()
    at_ms = _ride(table, _noon(rules)).at_ms
    cap, each = rules.solo_cap_yen, rules.shared_each_yen
    rides = []
    if rules.solo_percent and cap:
        capped = -(-cap * 100 // rules.solo_percent)
        rides += [("alone", 1, capped, cap), ("alone", 1, 2 * capped, cap)]
    if each:
        rides += [("together", 3, 3 * each + 100, 3 * each), ("together", 3, 2 * each, 2 * each)]
    return tuple(
        RideExample(
            story,
            RideFacts(at_ms, at_ms, (RiderFacts(_member()),) * riders, fare, (table,)),
            Outcome.ACCEPTED,
            Code.OK,
            subsidy,
            fare - subsidy,
            {"riders": f"{riders}", "fare": f"{fare:,}", "subsidy": f"{subsidy:,}"},
        )
        for story, riders, fare, subsidy in rides
    )
