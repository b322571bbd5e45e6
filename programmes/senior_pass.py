"""Senior bus pass (敬老パス): a gate without a clerk; a valid pass rides for a fixed fare.

Rules upheld, in this order, so that the sentence names the first thing a rider can act on:
unknown · stop-listed · clock unknown · not yet valid · expired · stale roster · line · hours ·
repeat · accepted. A rider without a working card is let on by the driver's 「提示のみ」 and counted
on the same counters. Pattern of the scheme: 姫路市 (50 yen a ride) and 名古屋市 敬老パス.
"""

import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from programmes.calendar import local, local_day
from programmes.rulebook import (
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
    rule_for,
)
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.roster import RosterRow, RuleTable

NAME: Final = "senior-pass"


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
    repeat_window_s: Annotated[int, Meta(ge=5, le=1800)] = 120
    """A second tap inside it is the same boarding."""
    stale_after_h: Annotated[int, Meta(ge=1, le=720)] = 72
    refuse_when_stale: bool = False
    """False: the city bears what an old list lets through."""
    accept_with_unknown_clock: bool = True
    """A rider is not left at the stop because a bus has lost the time."""

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
    return Decision(
        Outcome.ACCEPTED,
        Code.OK,
        f"{NAME}.accepted" if rules.rider_pays_yen else f"{NAME}.accepted-free",
        table.version,
        rules.rider_pays_yen,
        {"yen": f"{rules.rider_pays_yen:,}"} if rules.rider_pays_yen else {},
    )


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
    return rules.from_time <= now and now.replace(second=0, microsecond=0) <= rules.to_time


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
)

RULEBOOK: Final = Rulebook(NAME, decide, Parameters, EXAMPLES, fare)
