"""The taxi subsidy's rule table: its parameters, what a member has left under it, who is enrolled.

`taxi` decides and settles with it; `taxi_edges` makes examples of its limits.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from programmes.area import read_area
from programmes.calendar import fiscal_year, fiscal_year_of, local_day
from programmes.enrolment import (
    AgeBy,
    Applicant,
    Condition,
    Ends,
    last_day,
    old_enough,
    old_enough_or_ground,
    resident,
)
from programmes.rulebook import (
    NotTogether,
    Parameter,
    read_parameters,
    rule_in_force,
)
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


# --- what a member has left ----------------------------------------------------------------------


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


# --- what is counted -----------------------------------------------------------------------------


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
