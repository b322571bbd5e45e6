"""What becomes of an identified card, and the entry that says so: pure, microseconds.

Upheld: the first programme whose roster knows the card decides, and the entry names exactly one
programme · every decision carries rule version, roster version and age · a card that no roster
knows leaves no credential in the entry (strangers' cards leave nothing).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from edge.clock import Stamp
from edge.identify import Identified
from edge.panel import Stranger
from edge.roster import Holding, Match
from edge.usage import Counted
from programmes.calendar import local_day
from programmes.register import RULEBOOKS
from programmes.rulebook import (
    Answered,
    Booked,
    Decision,
    Direction,
    Facts,
    Place,
    RuleTableRefused,
    Seen,
    refuse,
    rule_in_force,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Press, Tap

Button = Literal["present-only", "device-fault"]


class Circumstances(NamedTuple):
    """What is true of the moment, whoever holds a card."""

    stamp: Stamp
    place: Place
    duty: str
    stop: str
    declared: Direction
    spot: str = ""


def decide(
    identified: Identified,
    holding: Holding | None,
    booked: list[Booked],
    counted: Counted,
    now: Circumstances,
    *,
    riding: bool = False,
    answered: Sequence[Answered] = (),
) -> Decision:
    """Decide one presentation. `holding` is the programme that it stands under, if there is one.

    A rule table that this program cannot work with is a fault of the reader, not of the card.
    """
    if holding is None:
        return refuse(identified.code)
    if identified.code is Code.DESK:
        return Decision(Outcome.REPEAT, Code.DESK, "desk.read")
    match = identified.match
    try:
        if match is None:
            return refuse(identified.code, _rule_version(holding, now.stamp.at_ms))
        return holding.rulebook.decide(
            Facts(
                at_ms=now.stamp.at_ms,
                place=now.place,
                member=match.member,
                rules=holding.roster.header.rules,
                roster_age_s=holding.age_s(now.stamp.at_ms),
                clock_known=now.stamp.clock is not ClockState.UNKNOWN,
                declared=now.declared,
                booked=booked,
                used=counted.used,
                usage_age_s=counted.age_s,
                riding=riding,
                answered=answered,
            )
        )
    except RuleTableRefused:
        return refuse(Code.DEVICE_FAULT)


def see(
    holding: Holding | None,
    booked: list[Booked],
    answered: Sequence[Answered],
    now: Circumstances,
) -> Seen | None:
    """Return what a gate shows of a card between two taps; None where nothing is shown."""
    if holding is None or holding.rulebook.see is None:
        return None
    facts = Facts(
        at_ms=now.stamp.at_ms,
        place=now.place,
        member=None,
        rules=holding.roster.header.rules,
        roster_age_s=holding.age_s(now.stamp.at_ms),
        clock_known=now.stamp.clock is not ClockState.UNKNOWN,
        booked=booked,
        answered=answered,
    )
    try:
        return holding.rulebook.see(facts)
    except RuleTableRefused:
        return None


def _rule_version(holding: Holding, at_ms: int) -> str:
    return rule_in_force(holding.roster.header.rules, local_day(at_ms)).version


def tap_entry(
    programme: str,
    identified: Identified,
    holding: Holding | None,
    decision: Decision,
    counted: Counted,
    now: Circumstances,
    *,
    riding: bool = False,
) -> Tap:
    """Return the entry of one presentation; its number is given by the journal.

    It carries what the decision rested on, so that the ledger can decide again exactly.
    """
    match = identified.match
    known = match if match and match.member else None
    return Tap(
        v=1,
        n=1,
        **now.stamp._asdict(),
        programme=programme,
        outcome=decision.outcome,
        code=decision.code,
        shown=decision.shown,
        scheme=match.scheme if match else None,
        key_epoch=known.key_epoch if known else 0,
        credential=known.credential if known else None,
        older_credential=known.older_credential if known else None,
        category=known.member.category if known and known.member else "",
        rider_pays_yen=decision.rider_pays_yen,
        declared=now.declared,
        rule=decision.rule,
        roster=holding.roster.header.version if holding else 0,
        roster_age_s=holding.age_s(now.stamp.at_ms) if holding else 0,
        line=now.place.line,
        duty=now.duty,
        stop=now.stop,
        used=dict(counted.used) if known else {},
        usage_age_s=counted.age_s if known else None,
        riding=riding and known is not None,
        spot=now.spot,
    )


def stranger(match: Match, journal: str, n: int, at_ms: int) -> Stranger | None:
    """Where triage is on, let a clerk assign a card that no roster knows; nothing is kept."""
    if match.member or not match.holding.roster.header.triage:
        return None
    return Stranger(
        at_ms=at_ms,
        programme=match.holding.rulebook.name,
        scheme=match.scheme,
        key_epoch=match.key_epoch,
        credential=match.credential,
        journal=journal,
        n=n,
    )


class Fare(NamedTuple):
    """What a person pays who is let on without a tap, and under which rule table."""

    rule: str
    rider_pays_yen: int | None


def fare(holding: Holding | None, at_ms: int) -> Fare:
    """Return the fare of the table in force; without one nobody knows it, and none is written."""
    if holding is None or holding.rulebook.fare is None:
        return Fare("", None)
    try:
        table = rule_in_force(holding.roster.header.rules, local_day(at_ms))
        return Fare(table.version, holding.rulebook.fare(table))
    except RuleTableRefused:
        return Fare("", None)


def press(
    programmes: Sequence[str], holdings: Sequence[Holding], button: Button, now: Circumstances
) -> tuple[Press, Decision] | None:
    """Return the entry of one press, and what is shown; None where no programme has a fare."""
    name = next((one for one in programmes if one in RULEBOOKS and RULEBOOKS[one].fare), None)
    if name is None:
        return None
    held = next((holding for holding in holdings if holding.rulebook.name == name), None)
    paid = fare(held, now.stamp.at_ms)
    counted = Decision(Outcome.ACCEPTED, Code.OK, f"press.{button}", paid.rule)
    return _press_entry(name, button, paid, now), counted


def _press_entry(programme: str, button: Button, paid: Fare, now: Circumstances) -> Press:
    """Return the entry of one press; its number is given by the journal."""
    return Press(
        v=1,
        n=1,
        **now.stamp._asdict(),
        programme=programme,
        button=button,
        rule=paid.rule,
        rider_pays_yen=paid.rider_pays_yen,
        duty=now.duty,
        stop=now.stop,
    )
