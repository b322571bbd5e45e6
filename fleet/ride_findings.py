"""Settling a ride again: with what the reader had, and with what the ledger had counted.

Rules: as `reconcile` has them; who had nothing left is found on the ride, never on his tap; of a
ride that cannot be settled again at least the caps of the table that it names are known.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from fleet.findings import Basis, Finding, Kind, Known, decide
from fleet.usage import Boarded
from programmes.register import RULEBOOKS
from programmes.rides import UNDER_WAY_MS, RideFacts, RiderFacts, Settlement
from programmes.rulebook import Decision, Facts, RuleTableRefused, refuse
from programmes.rulebook import Place as RulePlace
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Ride


def judge_ride(one: Ride, basis: Basis, known: Known) -> Sequence[Finding]:
    """Return what the ledger finds about a ride: settled otherwise, or over an allowance."""
    rides = basis.book.rides
    if rides is None or not _is_of_its_time(one):
        return _none_could(one)
    riders = [
        RiderFacts(basis.row(each.credential, each.older_credential), each.used, each.usage_age_s)
        for each in one.riders
    ]
    facts = RideFacts(
        one.at_ms,
        one.boarded_at_ms,
        riders,
        one.fare_yen,
        basis.roster.header.rules,
        one.roster_age_s,
        one.clock is not ClockState.UNKNOWN,
        one.discount,
        one.on,
        one.off,
    )
    try:
        settlement = rides.settle(facts)
    except RuleTableRefused:
        return _none_could(one)
    if not _same_ride(one, settlement):
        return (_ride_finding(one, "replay", settlement),)
    return _over(one, basis, known, facts)


def over_caps(one: Ride, known: Known) -> Sequence[Finding]:
    """Say so when no rider at all could have had so much under the table that a ride names.

    Of a ride that cannot be replayed nothing more is known; who names a table that the fleet never
    had, or none that settles rides, is at fault too: tables are never removed.
    """
    book_of = RULEBOOKS.get(one.programme)
    tables = [table for table in known.rules.get(one.programme, ()) if table.version == one.rule]
    if book_of is None or book_of.rides is None or not tables or not _is_of_its_time(one):
        return _none_could(one)
    most = RideFacts(
        one.at_ms,
        one.boarded_at_ms,
        [RiderFacts(None)] * len(one.riders),
        one.fare_yen,
        tables,
        clock_known=False,
        discount=one.discount,
    )
    try:
        made = book_of.rides.settle(most)
    except RuleTableRefused:
        return _none_could(one)
    is_due = one.discount_yen == made.discount_yen and one.subsidy_yen <= made.subsidy_yen
    return () if is_due else (_ride_finding(one, "replay", made),)


def _over(one: Ride, basis: Basis, known: Known, facts: RideFacts) -> Sequence[Finding]:
    """Say so when a rider had nothing left by what the ledger had counted before this ride."""
    if one.outcome is not Outcome.ACCEPTED or not facts.clock_known:
        return ()
    riders = []
    for each, rider in zip(one.riders, facts.riders, strict=True):
        boarded = Boarded(one.programme, one.boarded_at_ms, each.credential, each.older_credential)
        used = known.usage.of(boarded)
        if used is None:
            riders.append(rider)
            continue
        riders.append(replace(rider, used=used, usage_age_s=0))
        tap = Facts(
            one.boarded_at_ms,
            RulePlace("", "taxi"),
            rider.member,
            facts.rules,
            0,
            used=used,
            usage_age_s=0,
        )
        decision = decide(basis.book, tap)
        if decision is not None and decision.code is Code.USED_UP:
            return (Finding(one.n, "allowance", decision),)
    again = basis.book.rides.settle(replace(facts, riders=riders)) if basis.book.rides else None
    if again is None or again.subsidy_yen >= one.subsidy_yen:
        return ()
    return (_ride_finding(one, "allowance", again),)


def _is_of_its_time(one: Ride) -> bool:
    """True when the ride began so long before as a rider stays on a reader's list.

    Else it would count on a day whose allowance nobody has used. A clock that was set back while
    somebody rode may make the beginning the later instant.
    """
    return abs(one.at_ms - one.boarded_at_ms) <= UNDER_WAY_MS


def _none_could(one: Ride) -> Sequence[Finding]:
    """Say that no reader of ours could have settled this."""
    return (Finding(one.n, "replay", refuse(Code.NOT_ELIGIBLE)),)


def _ride_finding(one: Ride, kind: Kind, made: Settlement) -> Finding:
    decision = Decision(made.outcome, made.code, made.shown, made.rule, made.riders_pay_yen)
    return Finding(one.n, kind, decision)


def _same_ride(one: Ride, made: Settlement) -> bool:
    subsidies = tuple(rider.subsidy_yen for rider in one.riders)
    return (one.outcome, one.code, one.rule, subsidies, one.discount_yen) == (
        made.outcome,
        made.code,
        made.rule,
        made.subsidies_yen,
        made.discount_yen,
    )
