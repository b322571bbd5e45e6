"""Golden examples of the taxi subsidy: each a tap or a ride that a clerk can picture.

The dated tables are 前橋市 マイタク as published since 2016, and neighbours with books of tickets
(吉岡町: 72 of 500 yen; 八戸市: 48 of 680 yen) or a balance.
"""

import datetime
from typing import Any, Final

from programmes.enrolment import Applicant, EnrolmentExample
from programmes.rides import RideExample, RideFacts, RiderFacts
from programmes.rulebook import Example, Facts, Place
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable


def _table(version: str, year: int, month: int = 4, day: int = 1, **parameters: Any) -> RuleTable:
    return RuleTable(f"taxi/{version}", datetime.date(year, month, day), parameters)


MAEBASHI_2016: Final = _table("2016-01", 2016, 1, 23)
"""Two rides a day, 120 a year, 7 to 18 o'clock; half the fare up to 1,000 yen, or 500 each."""
MAEBASHI_2021: Final = _table("2021-04", 2021, rides_per_year=70, to_time="19:00:00")
"""70 rides a year, until 19 o'clock."""
IN_TOWN: Final = _table(
    "2021-town",
    2021,
    rides_per_year=70,
    to_time="19:00:00",
    area=["36.450,138.980", "36.450,139.180", "36.310,139.180", "36.310,138.980"],
)
"""The same with an outline, here a square around the town."""
YOSHIOKA: Final = _table(
    "yoshioka",
    2021,
    solo_percent=100,
    solo_cap_yen=1_000,
    shared_each_yen=500,
    step_yen=500,
    rides_per_day=None,
    rides_per_year=None,
    yen_per_year=36_000,
)
"""72 tickets of 500 yen: two for one who rides alone, one each together; no change is given."""
HACHINOHE: Final = _table(
    "hachinohe",
    2021,
    solo_percent=100,
    solo_cap_yen=680,
    shared_each_yen=680,
    step_yen=680,
    rides_per_day=None,
    rides_per_year=None,
    yen_per_year=48 * 680,
)
"""48 tickets of 680 yen, one a ride and rider; no change is given."""
BY_MONTH: Final = _table(
    "by-month",
    2021,
    solo_percent=100,
    solo_cap_yen=2_000,
    shared_each_yen=2_000,
    step_yen=100,
    rides_per_day=None,
    rides_per_year=None,
    yen_per_year=24_000,
    credited="by-month",
)
"""24,000 yen a year, of which 2,000 come each month and stay until March."""
PART_YEAR: Final = _table("part-year", 2021, rides_per_year=70, part_year="by-month")
DISCOUNT: Final = _table("discount", 2021, discounts={"障害者割引": 10})
DISCOUNT_AFTER: Final = _table(
    "discount-after", 2021, discounts={"障害者割引": 10}, discount_first=False
)

_TAXI: Final = Place("taxi-1", "taxi")
_MEMBER: Final = RosterRow(Credential("00" * 16), "", None, None, None)
_HOUR_MS: Final = 3_600_000
_NOON_MS: Final = 1_622_689_200_000
"""2021-06-03 12:00 in Japan."""
_NOON_2016_MS: Final = 1_464_922_800_000
"""2016-06-03 12:00 in Japan."""
_IN: Final = "36.389,139.060"
"""前橋市役所."""
_OUT: Final = "36.322,138.950"
"""West of the square."""


def _tap(
    table: RuleTable = MAEBASHI_2021,
    at_ms: int = _NOON_MS,
    member: RosterRow | None = _MEMBER,
    today: int = 0,
    year: int = 0,
    yen: int = 0,
    own: int = 0,
    age_s: int | None = 0,
    *,
    riding: bool = False,
) -> Facts:
    day = "2021-06-03" if at_ms > _NOON_2016_MS + 24 * _HOUR_MS else "2016-06-03"
    used = {day: Used(today, own=own), day[:4]: Used(year, yen, own)}
    return Facts(at_ms, _TAXI, member, (table,), 60, used=used, usage_age_s=age_s, riding=riding)


def _taps() -> tuple[Example, ...]:
    yes, no = (Outcome.ACCEPTED, Code.OK), (Outcome.REFUSED, Code.USED_UP)
    late = 6 * _HOUR_MS
    new = RosterRow(Credential("00" * 16), "", datetime.date(2021, 6, 1), None, None)
    leaves = RosterRow(Credential("00" * 16), "", None, datetime.date(2021, 9, 30), None)
    tomorrow = RosterRow(Credential("00" * 16), "", datetime.date(2021, 6, 4), None, None)
    gone = RosterRow(Credential("00" * 16), "", None, datetime.date(2021, 6, 2), None)
    stopped = RosterRow(Credential("00" * 16), "", None, None, 1_600_000_000)
    return (
        Example("first-today", _tap(), *yes),
        Example("second-today", _tap(today=1, year=1), *yes),
        Example("third-today", _tap(today=2, year=2), *no),
        Example("ride-70", _tap(year=69), *yes),
        Example("ride-71", _tap(year=70), *no),
        Example("ride-120", _tap(MAEBASHI_2016, _NOON_2016_MS, year=119), *yes),
        Example("ride-121", _tap(MAEBASHI_2016, _NOON_2016_MS, year=120), *no),
        Example("at-18-01", _tap(at_ms=_NOON_MS + late + 60_000), *yes),
        Example(
            "at-18-01-in-2016",
            _tap(MAEBASHI_2016, _NOON_2016_MS + late + 60_000),
            Outcome.REFUSED,
            Code.NOT_NOW,
        ),
        Example(
            "at-19-01",
            _tap(at_ms=_NOON_MS + late + _HOUR_MS + 60_000),
            Outcome.REFUSED,
            Code.NOT_NOW,
        ),
        Example("before-seven", _tap(at_ms=_NOON_MS - late), Outcome.REFUSED, Code.NOT_NOW),
        Example("on-the-list", _tap(riding=True), Outcome.REPEAT, Code.REPEAT),
        Example("unknown", _tap(member=None), Outcome.REFUSED, Code.UNKNOWN),
        Example("stopped", _tap(member=stopped), Outcome.REFUSED, Code.STOP_LISTED),
        Example("not-yet", _tap(member=tomorrow), Outcome.REFUSED, Code.NOT_YET),
        Example("over", _tap(member=gone), Outcome.REFUSED, Code.EXPIRED),
        Example("since-june-ride-59", _tap(PART_YEAR, member=new, year=58), *yes),
        Example("since-june-ride-60", _tap(PART_YEAR, member=new, year=59), *no),
        Example("until-september-ride-35", _tap(PART_YEAR, member=leaves, year=34), *yes),
        Example("until-september-ride-36", _tap(PART_YEAR, member=leaves, year=35), *no),
        Example("last-ticket", _tap(YOSHIOKA, yen=35_500), *yes),
        Example("no-ticket", _tap(YOSHIOKA, yen=36_000), *no),
        Example("no-usage", _tap(own=5, age_s=None), *yes),
        Example("no-usage-over-cap", _tap(own=6, age_s=None), Outcome.REFUSED, Code.STALE),
    )


EXAMPLES: Final = _taps()


def _ride(
    fare: int,
    riders: int = 1,
    table: RuleTable = MAEBASHI_2021,
    at_ms: int = _NOON_MS,
    yen: int = 0,
    on: str = "",
    off: str = "",
    discount: str = "",
) -> RideFacts:
    used = {"2021": Used(1, yen)} if yen else {}
    some = tuple(RiderFacts(_MEMBER, used, 0) for _ in range(riders))
    return RideFacts(
        at_ms + 900_000, at_ms, some, fare, (table,), 60, discount=discount, on=on, off=off
    )


def _paid(story: str, facts: RideFacts, subsidy: int, pays: int) -> RideExample:
    return RideExample(story, facts, Outcome.ACCEPTED, Code.OK, subsidy, pays)


RIDES: Final = (
    _paid("alone-1500", _ride(1_500), 750, 750),
    _paid("alone-2600", _ride(2_600), 1_000, 1_600),
    _paid("alone-710", _ride(710), 350, 360),
    _paid("two-1200", _ride(1_200, 2), 1_000, 200),
    _paid("three-1200", _ride(1_200, 3), 1_200, 0),
    _paid("four-2600", _ride(2_600, 4), 2_000, 600),
    _paid("into-town", _ride(1_500, table=IN_TOWN, on=_OUT, off=_IN), 750, 750),
    _paid("out-of-town", _ride(1_500, table=IN_TOWN, on=_IN, off=_OUT), 750, 750),
    _paid("place-unknown", _ride(1_500, table=IN_TOWN, on=_OUT), 750, 750),
    RideExample(
        "elsewhere",
        _ride(1_500, table=IN_TOWN, on=_OUT, off=_OUT),
        Outcome.REFUSED,
        Code.WRONG_PLACE,
        0,
        1_500,
    ),
    _paid("two-tickets-alone", _ride(1_300, table=YOSHIOKA), 1_000, 300),
    _paid("one-ticket-no-change", _ride(900, table=YOSHIOKA), 500, 400),
    _paid("one-ticket-each", _ride(1_300, 2, YOSHIOKA), 1_000, 300),
    _paid("last-ticket-alone", _ride(1_300, table=YOSHIOKA, yen=35_500), 500, 800),
    _paid("ticket-680", _ride(1_400, table=HACHINOHE), 680, 720),
    _paid("ticket-680-fare-600", _ride(600, table=HACHINOHE), 0, 600),
    _paid("third-month-balance", _ride(7_000, table=BY_MONTH, yen=4_500), 1_500, 5_500),
    _paid("discount-first", _ride(2_000, table=DISCOUNT, discount="障害者割引"), 900, 900),
    _paid("discount-after", _ride(1_000, table=DISCOUNT_AFTER, discount="障害者割引"), 500, 400),
)

_JUNE_3: Final = datetime.date(2026, 6, 3)
_FROM_75: Final = _table("2026-04", 2026)


def _born(year: int, month: int, day: int, *, ground: bool = False) -> Applicant:
    return Applicant(datetime.date(year, month, day), is_resident=True, has_ground=ground)


ENROLMENTS: Final = (
    EnrolmentExample("75歳の市民", _born(1951, 6, 3), _JUNE_3, _FROM_75, True),
    EnrolmentExample("75歳の誕生日の前日", _born(1951, 6, 4), _JUNE_3, _FROM_75, True),
    EnrolmentExample("74歳の市民", _born(1951, 6, 5), _JUNE_3, _FROM_75, False),
    EnrolmentExample(
        "運転免許証を返納した68歳", _born(1958, 1, 1, ground=True), _JUNE_3, _FROM_75, True
    ),
    EnrolmentExample("市外の80歳", Applicant(datetime.date(1946, 1, 1)), _JUNE_3, _FROM_75, False),
)
