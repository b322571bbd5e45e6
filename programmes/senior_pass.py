"""Senior bus pass (敬老パス): a gate without a clerk; a valid pass rides for a fixed fare.

Rules upheld, in this order, so that the sentence names the first thing a rider can act on:
unknown · stop-listed · clock unknown · not yet valid · expired · stale roster · line · hours ·
repeat · used up · accepted. A rider without a working card is let on by the driver's 「提示のみ」
and counted on the same counters. Pattern of the scheme: 姫路市 (50 yen a ride) and 名古屋市
敬老パス (730 rides in a fiscal year).

Rides are counted in the fiscal year, limit or not, so that a limit set in the middle of a year
knows what came before. Upheld: nobody is told that the year is used up who may have a ride left ·
what remains is said only when it is certain and little · a reader that has lost the time does not
know the year, and refuses nobody for it.
"""

import datetime
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from programmes.calendar import fiscal_year_of, is_within, local_day, start_of_day_ms
from programmes.enrolment import (
    AgeBy,
    Applicant,
    Condition,
    Ends,
    Enrolment,
    EnrolmentExample,
    last_day,
    old_enough,
    resident,
)
from programmes.rulebook import (
    REPEAT_WINDOW_S_MAX,
    Booked,
    Decision,
    Example,
    Facts,
    NotTogether,
    Parameter,
    Place,
    Rulebook,
    is_repeat,
    is_stopped,
    read_parameters,
    refuse,
    rides_between_feeds,
    rule_for,
    rule_in_force,
    untimely,
)
from programmes.senior_pass_examples import EXAMPLES
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

NAME: Final = "senior-pass"
FEW_LEFT: Final = 10
"""From so many remaining rides on they are said: a week of an ordinary rider."""

TimeOfDay = Annotated[datetime.time, Meta(tz=False)]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a clerk sets for a period."""

    rider_pays_yen: Annotated[int, Meta(ge=0, le=2_000)]
    """What a pass holder pays for one ride."""
    city_pays_yen: Annotated[int, Meta(ge=0, le=2_000)] | None = None
    """What the city pays the transport company for one ride; it decides nothing at a reader. None:
    what a ride costs the city does not hang on the number of rides."""
    from_time: TimeOfDay = datetime.time(0, 0)
    to_time: TimeOfDay = datetime.time(23, 59, 59)
    """Hours of service of the pass, local time; both ends' minutes are included."""
    lines_of_category: dict[str, list[str]] = {}
    """Lines that a category may ride; a category that is not named rides every line."""
    repeat_window_s: Annotated[int, Meta(ge=5, le=REPEAT_WINDOW_S_MAX)] = 120
    """A second tap inside it is the same boarding."""
    stale_after_h: Annotated[int, Meta(ge=1, le=720)] = 72
    refuse_when_stale: bool = False
    """False: the city bears what an old list lets through."""
    accept_with_unknown_clock: bool = True
    """A rider is not left at the stop because a bus has lost the time."""
    rides_per_year: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Rides in a fiscal year; None: as many as anyone likes."""
    without_usage: Literal["accept", "accept-within-cap", "refuse"] = "accept"
    """What a reader does that has no usage file, or an old one: it cannot know what was ridden
    elsewhere. What it accepts too much, the city bears."""
    usage_stale_after_h: Annotated[int, Meta(ge=1, le=144)] = 24
    """At most six days: a reader keeps its own entries for seven."""
    rides_without_usage: Annotated[int, Meta(ge=1, le=1_000)] = 6
    """The cap: rides of one card that a reader accepts by itself since the ledger last counted."""
    from_age: Annotated[int, Meta(ge=1, le=120)] | None = None
    """Who is enrolled must be so old; None: the table says nothing about age."""
    age_by: AgeBy = "day"
    """津市 enrols who is 65 by 31 March, 姫路市 from the day itself on."""
    residents_only: bool = True
    """False where neighbouring towns take part by agreement."""
    valid_until: Ends = "fiscal-year-end"
    """Proposed at the counter; the clerk may write another day."""

    def __post_init__(self) -> None:
        """Refuse hours that no ride could fall into."""
        if self.from_time > self.to_time:
            raise NotTogether(
                "to_time", "from_time is after to_time: a pass over midnight is not provided for"
            )


def decide(facts: Facts) -> Decision:
    """Decide one presentation. Raises RuleTableRefused for a table that does not fit."""
    day = local_day(facts.at_ms)
    table = rule_for(facts.rules, day, clock_known=facts.clock_known)
    rules = read_parameters(table, Parameters)
    code = _obstacle(facts, rules, day)
    if code is not None:
        return refuse(code, table.version)
    if is_repeat(facts, rules.repeat_window_s):
        return Decision(Outcome.REPEAT, Code.REPEAT, f"{NAME}.repeat", table.version)
    shown = f"{NAME}.accepted" if rules.rider_pays_yen else f"{NAME}.accepted-free"
    said = {"yen": f"{rules.rider_pays_yen:,}"} if rules.rider_pays_yen else {}
    if rules.rides_per_year is not None and facts.clock_known:
        year = _this_year(facts)
        left = rules.rides_per_year - year.times - 1  # after this one
        if left < 0:
            return refuse(Code.USED_UP, table.version)
        if _knows_too_little(facts, rules, year):
            shown = f"{NAME}.usage-not-known"
            return Decision(Outcome.REFUSED, Code.STALE, shown, table.version)
        if left <= FEW_LEFT and not _usage_is_old(facts, rules):
            shown = f"{shown}-few" if left else f"{shown}-last"
            said |= {"left": str(left)} if left else {}
    return Decision(Outcome.ACCEPTED, Code.OK, shown, table.version, rules.rider_pays_yen, said)


def _this_year(facts: Facts) -> Used:
    return facts.used.get(str(fiscal_year_of(facts.at_ms)), Used())


def _usage_is_old(facts: Facts, rules: Parameters) -> bool:
    age_s = facts.usage_age_s
    return age_s is None or age_s > rules.usage_stale_after_h * 3600


def _knows_too_little(facts: Facts, rules: Parameters, year: Used) -> bool:
    """True when the city does not let a reader accept on what it still knows."""
    if rules.without_usage == "accept" or not _usage_is_old(facts, rules):
        return False
    return rules.without_usage == "refuse" or year.own >= rules.rides_without_usage


def periods(at_ms: int) -> tuple[str, ...]:
    """Return the fiscal year in which a ride counts, as `2026`."""
    return (str(fiscal_year_of(at_ms)),)


def near(at_ms: int, rules: Sequence[RuleTable]) -> Mapping[str, Used]:
    """Return from what number of rides on readers must know of a member; empty without a limit.

    So early that what remains is known exactly when it is little: FEW_LEFT before the end, and
    before that what could be ridden until readers know of it. At 730 rides, 120 s: from 710 on.
    Raises RuleTableRefused.
    """
    table = read_parameters(rule_in_force(rules, local_day(at_ms)), Parameters)
    if table.rides_per_year is None:
        return {}
    # the ride that is decided just then counts too
    margin = FEW_LEFT + 1 + rides_between_feeds(table.repeat_window_s)
    return {str(fiscal_year_of(at_ms)): Used(max(0, table.rides_per_year - margin))}


def allowance(at_ms: int, rules: Sequence[RuleTable]) -> Mapping[str, Used]:
    """Return how many rides the fiscal year has at most. Raises RuleTableRefused."""
    table = read_parameters(rule_in_force(rules, local_day(at_ms)), Parameters)
    limit = table.rides_per_year
    return {} if limit is None else {str(fiscal_year_of(at_ms)): Used(limit)}


def _obstacle(facts: Facts, rules: Parameters, day: datetime.date) -> Code | None:
    member = facts.member
    if member is None:
        return Code.UNKNOWN
    if is_stopped(facts, member):
        return Code.STOP_LISTED
    if code := untimely(facts, member, rules, day):
        return code
    lines = rules.lines_of_category.get(member.category)
    if lines is not None and facts.place.line and facts.place.line not in lines:
        return Code.WRONG_PLACE
    if facts.clock_known and not is_within(facts.at_ms, rules.from_time, rules.to_time):
        return Code.NOT_NOW
    return None


def fare(table: RuleTable) -> int:
    """Return what a rider pays whom the driver lets on, in yen. Raises RuleTableRefused."""
    return read_parameters(table, Parameters).rider_pays_yen


def city_pays(table: RuleTable) -> int:
    """Return what the city pays for one ride, in yen. Raises RuleTableRefused."""
    return read_parameters(table, Parameters).city_pays_yen or 0


DESCRIBED: Final = (
    Parameter("rider_pays_yen", "yen"),
    Parameter("city_pays_yen", "yen"),
    Parameter("rides_per_year", "times"),
    Parameter("from_age", "age"),
    Parameter("age_by", "choice"),
    Parameter("residents_only", "yes-no"),
    Parameter("valid_until", "choice"),
    Parameter("from_time", "time"),
    Parameter("to_time", "time"),
    Parameter("lines_of_category", "lines"),
    Parameter("repeat_window_s", "seconds"),
    Parameter("refuse_when_stale", "yes-no"),
    Parameter("stale_after_h", "hours"),
    Parameter("accept_with_unknown_clock", "yes-no"),
    Parameter("without_usage", "choice"),
    Parameter("usage_stale_after_h", "hours"),
    Parameter("rides_without_usage", "times"),
)
_CATEGORIES_SHOWN: Final = 3
"""Categories with lines of their own that are shown as examples: a page has one or two."""


def edges(table: RuleTable) -> tuple[Example, ...]:
    """Return the rides at this table's limits and what its words promise."""
    rules = read_parameters(table, Parameters)
    return tuple(itertools.chain(*(some(table, rules) for some in (_hours, _year, _again, _lines))))


def _ride(table: RuleTable, time: datetime.time, line: str = "", category: str = "") -> Facts:
    """A ride on the table's first day."""
    since_s = time.hour * 3600 + time.minute * 60 + time.second
    at_ms = start_of_day_ms(table.valid_from) + 1000 * since_s
    member = RosterRow(Credential("00" * 16), category, None, None, None)
    return Facts(at_ms, Place("bus-1", "bus", line), member, (table,), 0, usage_age_s=0)


def _hours(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    yen = rules.rider_pays_yen
    for story, time in (("first-minute", rules.from_time), ("last-minute", rules.to_time)):
        said = {"time": f"{time:%-H:%M}"}
        yield Example(story, _ride(table, time), Outcome.ACCEPTED, Code.OK, yen, said)
    for story, time, minutes in (
        ("minute-before", rules.from_time, -1),
        ("minute-after", rules.to_time, 1),
    ):
        moved = datetime.datetime.combine(table.valid_from, time)
        moved += datetime.timedelta(minutes=minutes)
        if moved.date() == table.valid_from:
            facts = _ride(table, moved.time())
            said = {"time": f"{moved:%-H:%M}"}
            yield Example(story, facts, Outcome.REFUSED, Code.NOT_NOW, None, said)


def _any_time(rules: Parameters) -> datetime.time:
    """Return noon, as long as the pass is good then: so examples differ by one thing alone."""
    return min(max(datetime.time(12), rules.from_time), rules.to_time)


def _year(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    limit = rules.rides_per_year
    if limit is None:
        return
    facts = _ride(table, _any_time(rules))
    period = str(fiscal_year_of(facts.at_ms))
    last, over = (
        msgspec.structs.replace(facts, used={period: Used(times)}) for times in (limit - 1, limit)
    )
    yen = rules.rider_pays_yen
    yield Example("nth-ride", last, Outcome.ACCEPTED, Code.OK, yen, {"n": f"{limit:,}"})
    said = {"n": f"{limit + 1:,}"}
    yield Example("nth-ride", over, Outcome.REFUSED, Code.USED_UP, None, said)


def _again(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    facts, window = _ride(table, _any_time(rules)), rules.repeat_window_s
    for ago_s, outcome, code in (
        (window - 1, Outcome.REPEAT, Code.REPEAT),
        (window, Outcome.ACCEPTED, Code.OK),
    ):
        again = msgspec.structs.replace(facts, booked=(Booked(facts.at_ms - 1000 * ago_s),))
        yield Example("again-after", again, outcome, code, None, {"n": f"{ago_s:,}"})


def _lines(table: RuleTable, rules: Parameters) -> Iterator[Example]:
    named = rules.lines_of_category
    every = {line for lines in named.values() for line in lines}
    for category, lines in list(named.items())[:_CATEGORIES_SHOWN]:
        for other in sorted(every.difference(lines))[:1]:
            facts = _ride(table, _any_time(rules), other, category)
            said = {"category": category, "line": other}
            yield Example("line", facts, Outcome.REFUSED, Code.WRONG_PLACE, None, said)


def conditions(table: RuleTable, applicant: Applicant, day: datetime.date) -> tuple[Condition, ...]:
    """Return the conditions of a pass for somebody on a day. Raises RuleTableRefused."""
    rules = read_parameters(table, Parameters)
    found = []
    if rules.from_age is not None:
        found.append(old_enough(rules.from_age, rules.age_by, applicant, day))
    if rules.residents_only:
        found.append(resident(applicant))
    return tuple(found)


def ends(table: RuleTable, day: datetime.date) -> datetime.date | None:
    """Return the last day of a pass that begins on a day. Raises RuleTableRefused."""
    return last_day(read_parameters(table, Parameters).valid_until, day)


def _from(age: int, by: AgeBy = "day") -> RuleTable:
    return RuleTable(
        version=f"senior-pass/2026-04-{age}",
        valid_from=datetime.date(2026, 4, 1),
        parameters={"rider_pays_yen": 50, "from_age": age, "age_by": by},
    )


def _born(year: int, month: int, day: int) -> Applicant:
    return Applicant(datetime.date(year, month, day), is_resident=True)


_JUNE_3: Final = datetime.date(2026, 6, 3)
ENROLMENTS: Final = (
    EnrolmentExample("70歳の市民", _born(1956, 6, 3), _JUNE_3, _from(70), True),
    EnrolmentExample("70歳の誕生日の前日", _born(1956, 6, 4), _JUNE_3, _from(70), True),
    EnrolmentExample("70歳の誕生日の2日前", _born(1956, 6, 5), _JUNE_3, _from(70), False),
    EnrolmentExample(
        "4月1日生まれの人が70歳になる年の3月31日",
        _born(1957, 4, 1),
        datetime.date(2027, 3, 31),
        _from(70),
        True,
    ),
    EnrolmentExample(
        "2月29日生まれの人が67歳になる年の2月28日",
        _born(1960, 2, 29),
        datetime.date(2027, 2, 28),
        _from(67),
        True,
    ),
    EnrolmentExample(
        "年度中に65歳になる64歳（年度末の年齢で見る）",
        _born(1962, 4, 1),
        _JUNE_3,
        _from(65, "fiscal-year-end"),
        True,
    ),
    EnrolmentExample(
        "翌年度の4月2日に65歳になる人（年度末の年齢で見る）",
        _born(1962, 4, 3),
        _JUNE_3,
        _from(65, "fiscal-year-end"),
        False,
    ),
    EnrolmentExample("市外の75歳", Applicant(datetime.date(1951, 1, 1)), _JUNE_3, _from(70), False),
    EnrolmentExample(
        "生年月日の分からない人", Applicant(None, is_resident=True), _JUNE_3, _from(70), False
    ),
)

RULEBOOK: Final = Rulebook(
    NAME,
    decide,
    Parameters,
    DESCRIBED,
    EXAMPLES,
    edges,
    fare=fare,
    city_pays=city_pays,
    periods=periods,
    near=near,
    allowance=allowance,
    looks_back_s=REPEAT_WINDOW_S_MAX,
    enrolment=Enrolment(conditions, ends, ENROLMENTS),
)
