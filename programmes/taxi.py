"""Taxi subsidy (マイタク): riders tap, the driver types the fare, the city pays a part of it.

Two functions. `decide` lets a rider onto the list of the ride that is under way; rules upheld, in
this order: unknown · stop-listed · clock unknown · not yet valid · expired · stale roster · hours ·
already on the list (repeat) · used up today · used up this year · accepted. `settle` divides the
fare when the meter has been read; the ride counts then, and is of the day on which it began. A
ride of which neither end lies in the town is refused; one whose ends are not known is paid.

All of 前橋市 マイタク since 2016, and its neighbours, are tables of `Parameters`: alone a share of
the fare up to a cap, together a fixed amount each and never more than the fare; books of tickets
(吉岡町, 八戸市) are a share of 100 % in whole steps out of a yearly sum; a balance is credited by
the year or by the month. Upheld: money is whole yen · the city never pays more than the fare ·
nobody is billed afterwards: what a reader accepted is paid.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from programmes.area import holds, read_area
from programmes.calendar import is_within, local_day
from programmes.enrolment import Enrolment
from programmes.rides import RideFacts, RiderFacts, Rides, Settlement
from programmes.rulebook import (
    Decision,
    Facts,
    Rulebook,
    is_stopped,
    read_parameters,
    refuse,
    rule_for,
    untimely,
)
from programmes.taxi_edges import edges, ride_edges
from programmes.taxi_examples import ENROLMENTS, EXAMPLES, RIDES
from programmes.taxi_rules import (
    DESCRIBED,
    NAME,
    Left,
    Parameters,
    allowance,
    conditions,
    discounts,
    ends,
    near,
    periods,
)
from wire.codes import Code, Outcome
from wire.entries import Used
from wire.roster import RosterRow

__all__ = ("NAME", "RULEBOOK", "Left", "Parameters", "conditions", "decide", "periods", "settle")


# --- a rider taps --------------------------------------------------------------------------------


def decide(facts: Facts) -> Decision:
    """Decide one presentation. Raises RuleTableRefused for a table that does not fit."""
    day = local_day(facts.at_ms)
    table = rule_for(facts.rules, day, clock_known=facts.clock_known)
    rules = read_parameters(table, Parameters)
    member = facts.member
    if member is None:
        return refuse(Code.UNKNOWN, table.version)
    if (code := _obstacle(facts, rules, member, day)) is not None:
        return refuse(code, table.version)
    if facts.riding:
        return Decision(Outcome.REPEAT, Code.REPEAT, f"{NAME}.repeat", table.version)
    left = Left.of(rules, member, facts.at_ms, facts.used) if facts.clock_known else Left()
    if spent := left.spent(rules):
        return Decision(Outcome.REFUSED, Code.USED_UP, f"{NAME}.used-up-{spent}", table.version)
    if facts.clock_known and _knows_too_little(facts, rules):
        return Decision(Outcome.REFUSED, Code.STALE, f"{NAME}.usage-not-known", table.version)
    said = left.after_one_more()
    kinds = "-".join(("boarded", *said))
    shown = f"{NAME}.{kinds}"
    return Decision(Outcome.ACCEPTED, Code.OK, shown, table.version, arguments=said)


def _obstacle(
    facts: Facts, rules: Parameters, member: RosterRow, day: datetime.date
) -> Code | None:
    if is_stopped(facts, member):
        return Code.STOP_LISTED
    if code := untimely(facts, member, rules, day):
        return code
    if facts.clock_known and not is_within(facts.at_ms, rules.from_time, rules.to_time):
        return Code.NOT_NOW
    return None


def _knows_too_little(facts: Facts, rules: Parameters) -> bool:
    """True when the city does not let a reader accept on what it still knows."""
    age_s = facts.usage_age_s
    is_old = age_s is None or age_s > rules.usage_stale_after_h * 3600
    if rules.without_usage == "accept" or not is_old or not _is_limited(rules):
        return False
    own = facts.used.get(periods(facts.at_ms)[1], Used()).own
    return rules.without_usage == "refuse" or own >= rules.rides_without_usage


def _is_limited(rules: Parameters) -> bool:
    limits = (rules.rides_per_day, rules.rides_per_year, rules.yen_per_year)
    return any(limit is not None for limit in limits)


# --- the driver has read the meter ---------------------------------------------------------------


def settle(facts: RideFacts) -> Settlement:
    """Divide the fare of one ride. Raises RuleTableRefused for a table that does not fit.

    Who was accepted at the door rides on; only a balance of yen can make his part smaller.
    """
    day = local_day(facts.boarded_at_ms)
    table = rule_for(facts.rules, day, clock_known=facts.clock_known)
    rules = read_parameters(table, Parameters)
    discount_yen = _discount(rules, facts)
    leaves_yen = facts.fare_yen - discount_yen
    if _is_elsewhere(rules, facts):
        nothing = (0,) * len(facts.riders)
        said = {"pays": f"{leaves_yen:,}"}
        return Settlement(
            Outcome.REFUSED,
            Code.WRONG_PLACE,
            f"{NAME}.elsewhere",
            table.version,
            nothing,
            discount_yen,
            leaves_yen,
            said,
        )
    basis = leaves_yen if rules.discount_first else facts.fare_yen
    wanted = _alone(rules, basis) if len(facts.riders) == 1 else rules.shared_each_yen
    most = [min(wanted, _balance(rules, rider, facts)) for rider in facts.riders]
    parts = _divide(most, leaves_yen, rules.step_yen)
    rest = leaves_yen - sum(parts)
    said = {"subsidy": f"{sum(parts):,}", "pays": f"{rest:,}"}
    return Settlement(
        Outcome.ACCEPTED,
        Code.OK,
        f"{NAME}.settled",
        table.version,
        parts,
        discount_yen,
        rest,
        said,
        tuple(_left(rules, *one, facts) for one in zip(facts.riders, parts, strict=True)),
    )


def _left(rules: Parameters, rider: RiderFacts, yen: int, facts: RideFacts) -> Mapping[str, str]:
    """Return what a rider may still use after this ride."""
    if rider.member is None or not facts.clock_known:
        return {}
    left = Left.of(rules, rider.member, facts.boarded_at_ms, rider.used)
    return left.after_one_more(yen)


def _discount(rules: Parameters, facts: RideFacts) -> int:
    """Return another discount in yen, rounded down to 10 yen as a meter shows it.

    A name that the table does not hold is worth nothing (the tablet offers the table's own).
    """
    percent = rules.discounts.get(facts.discount, 0)
    return facts.fare_yen * percent // 1000 * 10


def _alone(rules: Parameters, basis: int) -> int:
    """Return the share of one who rides alone, in whole steps, within the cap."""
    hundredths, step = basis * rules.solo_percent, 100 * rules.step_yen
    steps, over = divmod(hundredths, step)
    if over and (rules.rounding == "up" or (rules.rounding == "nearest" and 2 * over >= step)):
        steps += 1
    return min(steps * rules.step_yen, rules.solo_cap_yen)


def _divide(most: Sequence[int], fare_yen: int, step: int) -> tuple[int, ...]:
    """Return each rider's part: as even as it goes, none over his `most`, all within the fare.

    Who may have least is served first, so that what he leaves goes to the others.
    """
    parts = [0] * len(most)
    left = fare_yen
    for served, rider in enumerate(sorted(range(len(most)), key=lambda rider: most[rider])):
        even = left // (len(most) - served)
        parts[rider] = max(0, min(most[rider], even)) // step * step
        left -= parts[rider]
    return tuple(parts)


def _balance(rules: Parameters, rider: RiderFacts, facts: RideFacts) -> int:
    """Return what of the year's yen a rider has left; the whole fare where nothing limits it."""
    if rules.yen_per_year is None or rider.member is None or not facts.clock_known:
        return facts.fare_yen
    left = Left.of(rules, rider.member, facts.boarded_at_ms, rider.used)
    return left.yen or 0


def _is_elsewhere(rules: Parameters, facts: RideFacts) -> bool:
    """True when both ends are known and neither lies in the town."""
    if not rules.area or not facts.on or not facts.off:
        return False
    area = read_area(tuple(rules.area))
    return not holds(area, facts.on) and not holds(area, facts.off)


RULEBOOK: Final = Rulebook(
    NAME,
    decide,
    Parameters,
    DESCRIBED,
    EXAMPLES,
    edges,
    periods=periods,
    near=near,
    allowance=allowance,
    looks_back_s=0,
    rides=Rides(settle, RIDES, ride_edges, discounts),
    enrolment=Enrolment(conditions, ends, ENROLMENTS),
)
