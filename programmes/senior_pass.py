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
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from programmes.calendar import fiscal_year_of, local, local_day
from programmes.rulebook import (
    REPEAT_WINDOW_S_MAX,
    Booked,
    Decision,
    Example,
    Facts,
    Place,
    Rulebook,
    is_repeat,
    is_stopped,
    read_parameters,
    refuse,
    rides_between_feeds,
    rule_for,
    rule_in_force,
)
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

    def __post_init__(self) -> None:
        """Refuse hours that no ride could fall into."""
        if self.from_time > self.to_time:
            raise ValueError("from_time is after to_time: a pass over midnight is not provided for")


def decide(facts: Facts) -> Decision:
    """Decide one presentation. Raises RuleTableRefused for a table that does not fit."""
    day = local_day(facts.at_ms)
    table = rule_for(facts, day)
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
    before that what could be ridden until readers know of it. At 730 rides, 120 s: from 711 on.
    Raises RuleTableRefused.
    """
    table = read_parameters(rule_in_force(rules, local_day(at_ms)), Parameters)
    if table.rides_per_year is None:
        return {}
    margin = FEW_LEFT + rides_between_feeds(table.repeat_window_s)
    return {str(fiscal_year_of(at_ms)): Used(max(0, table.rides_per_year - margin))}


def _obstacle(facts: Facts, rules: Parameters, day: datetime.date) -> Code | None:
    member = facts.member
    if member is None:
        return Code.UNKNOWN
    if is_stopped(facts, member):
        return Code.STOP_LISTED
    if code := _untimely(facts, member, rules, day):
        return code
    lines = rules.lines_of_category.get(member.category)
    if lines is not None and facts.place.line and facts.place.line not in lines:
        return Code.WRONG_PLACE
    if facts.clock_known and not _in_service(facts, rules):
        return Code.NOT_NOW
    return None


def _untimely(
    facts: Facts, member: RosterRow, rules: Parameters, day: datetime.date
) -> Code | None:
    """Return what speaks against this day; a clock that is not known says nothing about it."""
    if not facts.clock_known:
        return None if rules.accept_with_unknown_clock else Code.CLOCK_UNKNOWN
    if member.valid_from and day < member.valid_from:
        return Code.NOT_YET
    if member.valid_to and day > member.valid_to:
        return Code.EXPIRED
    if rules.refuse_when_stale and facts.roster_age_s > rules.stale_after_h * 3600:
        return Code.STALE
    return None


def _in_service(facts: Facts, rules: Parameters) -> bool:
    now = local(facts.at_ms).time()
    if now < rules.from_time:
        return False
    return now <= rules.to_time or now.replace(second=0, microsecond=0) <= rules.to_time


def fare(table: RuleTable) -> int:
    """Return what a rider pays whom the driver lets on, in yen. Raises RuleTableRefused."""
    return read_parameters(table, Parameters).rider_pays_yen


_RULES: Final = (
    RuleTable(
        version="senior-pass/2026-04",
        valid_from=datetime.date(2026, 4, 1),
        parameters={
            "rider_pays_yen": 50,
            "from_time": "07:00:00",
            "to_time": "20:00:00",
            "lines_of_category": {"town": ["1", "2"]},
            "refuse_when_stale": True,
        },
    ),
)
_BUS: Final = Place("bus-1", "bus", "1")
_MEMBER: Final = RosterRow(
    Credential("00" * 16), "all", datetime.date(2026, 4, 1), datetime.date(2027, 3, 31), None
)
_NOON_MS: Final = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
_HOUR_MS: Final = 3_600_000
_LIMITED: Final = (
    RuleTable(
        version="senior-pass/2026-04-730",
        valid_from=datetime.date(2026, 4, 1),
        parameters={
            "rider_pays_yen": 50,
            "rides_per_year": 730,
            "without_usage": "accept-within-cap",
        },
    ),
)


def _year(times: int, age_h: int | None = 0, own: int = 0, year: str = "2026") -> Facts:
    """A ride under the limit: so many were counted, in a file of so many hours."""
    age_s = None if age_h is None else age_h * 3600
    used = {year: Used(times, own=own)}
    return Facts(_NOON_MS, _BUS, _MEMBER, _LIMITED, 60, used=used, usage_age_s=age_s)


def _facts(
    at_ms: int = _NOON_MS,
    member: RosterRow | None = _MEMBER,
    place: Place = _BUS,
    roster_age_s: int = 60,
    booked: tuple[Booked, ...] = (),
) -> Facts:
    return Facts(at_ms, place, member, _RULES, roster_age_s, booked=booked)


EXAMPLES: Final = (
    Example("有効なパスで正午に乗る", _facts(), Outcome.ACCEPTED, Code.OK, 50),
    Example("台帳にないカード", _facts(member=None), Outcome.REFUSED, Code.UNKNOWN),
    Example(
        "3月31日で切れたパスを4月1日に使う",
        _facts(at_ms=1_806_548_400_000),
        Outcome.REFUSED,
        Code.EXPIRED,
    ),
    Example(
        "来月からのパス",
        _facts(member=_MEMBER._replace(valid_from=datetime.date(2026, 7, 1))),
        Outcome.REFUSED,
        Code.NOT_YET,
    ),
    Example(
        "1時間前に止められたカード",
        _facts(member=_MEMBER._replace(stopped_from_s=_NOON_MS // 1000 - 3600)),
        Outcome.REFUSED,
        Code.STOP_LISTED,
    ),
    Example(
        "市内線だけのパスで郊外線に乗る",
        _facts(member=_MEMBER._replace(category="town"), place=Place("bus-2", "bus", "8")),
        Outcome.REFUSED,
        Code.WRONG_PLACE,
    ),
    Example(
        "朝6時に使う（利用は7時から）",
        _facts(at_ms=_NOON_MS - 6 * _HOUR_MS),
        Outcome.REFUSED,
        Code.NOT_NOW,
    ),
    Example(
        "30秒前に受け付けたカードをもう一度かざす",
        _facts(booked=(Booked(_NOON_MS - 30_000),)),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example(
        "停電の直前に受け付けたかもしれないカードを5分後にかざす",
        _facts(booked=(Booked(_NOON_MS - 300_000, perhaps_not_shown=True),)),
        Outcome.REPEAT,
        Code.REPEAT,
    ),
    Example(
        "名簿が73時間更新されていない",
        _facts(roster_age_s=73 * 3600),
        Outcome.REFUSED,
        Code.STALE,
    ),
    Example("今年度の730回目に乗る", _year(729), Outcome.ACCEPTED, Code.OK, 50),
    Example("今年度に730回乗ったあとに乗る", _year(730), Outcome.REFUSED, Code.USED_UP),
    Example(
        "昨年度に730回乗った人が今年度初めて乗る",
        _year(730, year="2025"),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "利用回数の届かない車で2回目に乗る（車だけの上限は6回）",
        _year(1, age_h=None, own=1),
        Outcome.ACCEPTED,
        Code.OK,
    ),
    Example(
        "利用回数が25時間前のままの車で7回目に乗る（車だけの上限は6回）",
        _year(306, age_h=25, own=6),
        Outcome.REFUSED,
        Code.STALE,
    ),
)

RULEBOOK: Final = Rulebook(
    NAME, decide, Parameters, EXAMPLES, fare, periods, near, looks_back_s=REPEAT_WINDOW_S_MAX
)
