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
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from programmes.area import holds, read_area
from programmes.calendar import fiscal_year, fiscal_year_of, local, local_day, start_of_day_ms
from programmes.enrolment import (
    AgeBy,
    Applicant,
    Condition,
    Ends,
    Enrolment,
    last_day,
    old_enough,
    old_enough_or_ground,
    resident,
)
from programmes.rides import RideExample, RideFacts, RiderFacts, Rides, Settlement
from programmes.rulebook import (
    Decision,
    Example,
    Facts,
    NotTogether,
    Parameter,
    Place,
    Rulebook,
    is_stopped,
    read_parameters,
    refuse,
    rule_for,
    rule_in_force,
)
from programmes.taxi_examples import ENROLMENTS, EXAMPLES, RIDES
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

NAME: Final = "taxi"
MONTHS: Final = 12

TimeOfDay = Annotated[datetime.time, Meta(tz=False)]
Yen = Annotated[int, Meta(ge=0, le=100_000)]
Rounding = Literal["down", "up", "nearest"]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a clerk sets for a period."""

    solo_percent: Annotated[int, Meta(ge=0, le=100)] = 50
    """The share of the fare that the city pays for one who rides alone."""
    solo_cap_yen: Yen = 1_000
    shared_each_yen: Yen = 500
    """For each of several riders; together never more than the fare."""
    step_yen: Annotated[int, Meta(ge=1, le=10_000)] = 10
    """What the city pays for a rider is a multiple of it: 10 yen of a meter, 500 of a ticket that
    gives no change."""
    rounding: Rounding = "down"
    """Of the share of one who rides alone, to a step."""
    rides_per_day: Annotated[int, Meta(ge=1, le=100)] | None = 2
    rides_per_year: Annotated[int, Meta(ge=1, le=10_000)] | None = 120
    yen_per_year: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """What the city pays for a rider in a fiscal year: a book of tickets, a balance."""
    credited: Literal["by-year", "by-month"] = "by-year"
    """Whether the year's sum is there at once, or a twelfth of it from each month on."""
    part_year: Literal["whole", "by-month"] = "whole"
    """What who is enrolled for a part of the year may use: all, or a twelfth for each month that
    the enrolment touches (rounded up)."""
    from_time: TimeOfDay = datetime.time(7, 0)
    to_time: TimeOfDay = datetime.time(18, 0)
    """Hours in which a ride may begin, local time; both ends' minutes are included."""
    discounts: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=40)], Annotated[int, Meta(ge=1, le=100)]],
        Meta(max_length=20),
    ] = {}
    """Other discounts that companies give, in percent of the meter's fare (障害者割引: 10)."""
    discount_first: bool = True
    """True: the subsidy is reckoned from what the discount leaves; False: from the meter's fare."""
    area: Annotated[list[Annotated[str, Meta(max_length=20)]], Meta(max_length=200)] = []
    """The town's outline as corners `latitude,longitude`; one end of a ride lies in it. Empty: not
    looked at."""
    stale_after_h: Annotated[int, Meta(ge=1, le=720)] = 72
    refuse_when_stale: bool = False
    accept_with_unknown_clock: bool = True
    without_usage: Literal["accept", "accept-within-cap", "refuse"] = "accept-within-cap"
    """What a reader does that has no usage file, or an old one."""
    usage_stale_after_h: Annotated[int, Meta(ge=1, le=144)] = 24
    rides_without_usage: Annotated[int, Meta(ge=1, le=1_000)] = 6
    """The cap: rides of one card that a reader accepts by itself since the ledger last counted."""
    from_age: Annotated[int, Meta(ge=1, le=120)] | None = 75
    age_by: AgeBy = "day"
    age_or_ground: bool = True
    """True: who is younger is enrolled on another ground, which a clerk has seen (a disability, a
    licence that was returned)."""
    residents_only: bool = True
    valid_until: Ends = "open"

    def __post_init__(self) -> None:
        """Refuse what could let no ride happen, or pay nothing that the words promise."""
        if self.from_time > self.to_time:
            raise NotTogether("to_time", "from_time is after to_time")
        for name in ("solo_cap_yen", "shared_each_yen"):
            if getattr(self, name) % self.step_yen:
                raise NotTogether(name, f"{name} is no multiple of step_yen")
        if self.yen_per_year is not None and self.yen_per_year < self.step_yen:
            raise NotTogether("yen_per_year", "yen_per_year is less than step_yen")
        if self.credited == "by-month" and self.yen_per_year is None:
            raise NotTogether("credited", "credited by-month needs yen_per_year")
        try:
            read_area(tuple(self.area))
        except ValueError as error:
            raise NotTogether("area", str(error)) from error


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


class Left(msgspec.Struct, frozen=True):
    """What a member may still use at an instant; None where nothing limits him."""

    day: int | None = None
    """Rides."""
    year: int | None = None
    yen: int | None = None

    @classmethod
    def of(
        cls, rules: Parameters, member: RosterRow, at_ms: int, used: Mapping[str, Used]
    ) -> "Left":
        """Return what is left before a ride that begins at `at_ms`."""
        day_name, year_name = periods(at_ms)
        today, year = used.get(day_name, Used()), used.get(year_name, Used())
        months = _months_of(member, at_ms) if rules.part_year == "by-month" else MONTHS
        rides, yen = rules.rides_per_year, rules.yen_per_year
        return cls(
            None if rules.rides_per_day is None else rules.rides_per_day - today.times,
            None if rides is None else _part(rides, months) - year.times,
            None if yen is None else _credited(rules, yen, member, months, at_ms) - year.yen,
        )

    def spent(self, rules: Parameters) -> str:
        """Return what is used up: `day`, `year` or `yen`; empty when a ride is left."""
        if self.day is not None and self.day < 1:
            return "day"
        if self.year is not None and self.year < 1:
            return "year"
        return "yen" if self.yen is not None and self.yen < rules.step_yen else ""

    def after_one_more(self, yen: int = 0) -> dict[str, str]:
        """Return what the sentence names, after one more ride for which the city pays `yen`."""
        said = {}
        if self.day is not None:
            said["day"] = f"{self.day - 1:,}"
        if self.year is not None:
            said["year"] = f"{self.year - 1:,}"
        if self.yen is not None:
            said["yen"] = f"{self.yen - yen:,}"
        return said


def _part(whole: int, months: int) -> int:
    """Return the part of a year's allowance, rounded up: no month is worth nothing."""
    return -(-whole * months // MONTHS)


def _month_of_year(day: datetime.date) -> int:
    """Return the month of the fiscal year, 0 (April) to 11 (March)."""
    return (day.month - 4) % MONTHS


def _months_of(member: RosterRow, at_ms: int) -> int:
    """Return how many months of the fiscal year an enrolment touches, 1 to 12."""
    year = fiscal_year_of(at_ms)
    first, last = 0, MONTHS - 1
    if member.valid_from and fiscal_year(member.valid_from) == year:
        first = _month_of_year(member.valid_from)
    if member.valid_to and fiscal_year(member.valid_to) == year:
        last = _month_of_year(member.valid_to)
    return max(1, last - first + 1)


def _credited(rules: Parameters, yen: int, member: RosterRow, months: int, at_ms: int) -> int:
    """Return what of the year's yen is there by now."""
    if rules.credited == "by-year":
        return _part(yen, months)
    first = 0
    if rules.part_year == "by-month" and member.valid_from:
        is_new = fiscal_year(member.valid_from) == fiscal_year_of(at_ms)
        first = _month_of_year(member.valid_from) if is_new else 0
    return _part(yen, max(1, _month_of_year(local_day(at_ms)) - first + 1))


def _obstacle(
    facts: Facts, rules: Parameters, member: RosterRow, day: datetime.date
) -> Code | None:
    if is_stopped(facts, member):
        return Code.STOP_LISTED
    if not facts.clock_known:
        return None if rules.accept_with_unknown_clock else Code.CLOCK_UNKNOWN
    if member.valid_from and day < member.valid_from:
        return Code.NOT_YET
    if member.valid_to and day > member.valid_to:
        return Code.EXPIRED
    if rules.refuse_when_stale and facts.roster_age_s > rules.stale_after_h * 3600:
        return Code.STALE
    now, first, last = (
        time.replace(second=0, microsecond=0)
        for time in (local(facts.at_ms).time(), rules.from_time, rules.to_time)
    )
    return None if first <= now <= last else Code.NOT_NOW


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


# --- what is counted, and how it is described ----------------------------------------------------


def periods(at_ms: int) -> tuple[str, str]:
    """Return day and fiscal year in which a ride counts, as `2026-06-03` and `2026`."""
    return local_day(at_ms).isoformat(), str(fiscal_year_of(at_ms))


def near(at_ms: int, rules: Sequence[RuleTable]) -> Mapping[str, Used]:
    """Return from what usage on readers must know of a member: whoever has ridden at all.

    What remains is said at every ride, and who is enrolled for a month alone has a twelfth, so no
    threshold would do. Raises RuleTableRefused.
    """
    table = read_parameters(rule_in_force(rules, local_day(at_ms)), Parameters)
    day, year = periods(at_ms)
    found = {}
    if table.rides_per_day is not None:
        found[day] = Used()
    if table.rides_per_year is not None or table.yen_per_year is not None:
        found[year] = Used()
    return found


def allowance(at_ms: int, rules: Sequence[RuleTable]) -> Mapping[str, Used]:
    """Return what a member of the whole year may use at most. Raises RuleTableRefused."""
    table = read_parameters(rule_in_force(rules, local_day(at_ms)), Parameters)
    day, year = periods(at_ms)
    found = {}
    if table.rides_per_day is not None:
        found[day] = Used(table.rides_per_day)
    if table.rides_per_year is not None or table.yen_per_year is not None:
        found[year] = Used(table.rides_per_year or 0, table.yen_per_year or 0)
    return found


DESCRIBED: Final = (
    Parameter("solo_percent", "percent"),
    Parameter("solo_cap_yen", "yen"),
    Parameter("shared_each_yen", "yen"),
    Parameter("step_yen", "yen"),
    Parameter("rounding", "choice"),
    Parameter("rides_per_day", "times"),
    Parameter("rides_per_year", "times"),
    Parameter("yen_per_year", "yen"),
    Parameter("credited", "choice"),
    Parameter("part_year", "choice"),
    Parameter("from_time", "time"),
    Parameter("to_time", "time"),
    Parameter("discounts", "percents"),
    Parameter("discount_first", "yes-no"),
    Parameter("area", "area"),
    Parameter("from_age", "age"),
    Parameter("age_by", "choice"),
    Parameter("age_or_ground", "yes-no"),
    Parameter("residents_only", "yes-no"),
    Parameter("valid_until", "choice"),
    Parameter("refuse_when_stale", "yes-no"),
    Parameter("stale_after_h", "hours"),
    Parameter("accept_with_unknown_clock", "yes-no"),
    Parameter("without_usage", "choice"),
    Parameter("usage_stale_after_h", "hours"),
    Parameter("rides_without_usage", "times"),
)


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


# --- who is enrolled -----------------------------------------------------------------------------


def conditions(table: RuleTable, applicant: Applicant, day: datetime.date) -> tuple[Condition, ...]:
    """Return the conditions of an enrolment on a day. Raises RuleTableRefused."""
    rules = read_parameters(table, Parameters)
    found = []
    if rules.from_age is not None:
        judge = old_enough_or_ground if rules.age_or_ground else old_enough
        found.append(judge(rules.from_age, rules.age_by, applicant, day))
    if rules.residents_only:
        found.append(resident(applicant))
    return tuple(found)


def ends(table: RuleTable, day: datetime.date) -> datetime.date | None:
    """Return the last day of an enrolment that begins on a day. Raises RuleTableRefused."""
    return last_day(read_parameters(table, Parameters).valid_until, day)


def discounts(table: RuleTable) -> Sequence[str]:
    """Return the names of the other discounts. Raises RuleTableRefused."""
    return tuple(read_parameters(table, Parameters).discounts)


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
