"""The town's calendar: the one place where an instant becomes a day.

Instants travel and rest as UTC; only here do they become local days. The fiscal year begins on
1 April. A person reaches an age at the end of the day before the birthday (年齢計算ニ関スル法律,
Act No. 50 of 1902, with article 143 of the Civil Code): one born on 1 April is a year older from
31 March on for rules that count whole days, and one born on 29 February on 28 February.
"""

import datetime
import functools
import re
import unicodedata
from typing import Final
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("Asia/Tokyo")
"""Every Japanese municipality; UTC+9 without summer time."""
FISCAL_YEAR_STARTS: Final = (4, 1)
_HOUR_MS: Final = 3_600_000
_ERAS: Final = (
    (datetime.date(2019, 5, 1), "令和"),
    (datetime.date(1989, 1, 8), "平成"),
    (datetime.date(1926, 12, 25), "昭和"),
    (datetime.date(1912, 7, 30), "大正"),
    (datetime.date(1868, 1, 25), "明治"),
)
"""First days of the eras (元号を改める政令 of 2019 and 1989; 詔書 before)."""


@functools.lru_cache(64)  # a decision asks for the same instant several times
def local(at_ms: int) -> datetime.datetime:
    """Return an instant (UTC, ms since 1970) on the town's wall clock."""
    return datetime.datetime.fromtimestamp(at_ms / 1000, ZONE)


def is_within(at_ms: int, first: datetime.time, last: datetime.time) -> bool:
    """True from one time of day to another on the wall clock; the minutes of both are included."""
    now, begin, end = (
        one.replace(second=0, microsecond=0) for one in (local(at_ms).time(), first, last)
    )
    return begin <= now <= end


def local_day(at_ms: int, starts_at_hour: int = 0) -> datetime.date:
    """Return the day an instant belongs to, for a place whose day starts at this hour (0 to 23).

    Quick, since a whole local hour lies in one day.
    """
    return _day_of_hour(at_ms // _HOUR_MS - starts_at_hour)


@functools.lru_cache(maxsize=4_096)
def _day_of_hour(hour: int) -> datetime.date:
    return local(hour * _HOUR_MS).date()


def start_of_day_ms(day: datetime.date, starts_at_hour: int = 0) -> int:
    """Return the instant at which a local day starts, in ms since 1970."""
    start = datetime.datetime.combine(day, datetime.time(starts_at_hour), ZONE)
    return round(start.timestamp() * 1000)


def fiscal_year(day: datetime.date) -> int:
    """Return the fiscal year (年度): 31 March 2027 is in 2026, 1 April 2027 in 2027."""
    return day.year if (day.month, day.day) >= FISCAL_YEAR_STARTS else day.year - 1


@functools.lru_cache(maxsize=4_096)
def _fiscal_year_of_hour(hour: int) -> int:
    return fiscal_year(_day_of_hour(hour))


def fiscal_year_of(at_ms: int) -> int:
    """Return the fiscal year of an instant; quick, since a local hour lies in one of them."""
    return _fiscal_year_of_hour(at_ms // _HOUR_MS)


def age_on(born: datetime.date, day: datetime.date) -> int:
    """Return the legal age on a day, for rules that grant a right from the day an age is reached.

    The age is reached at the end of the day before the birthday, so that whole day counts.
    """
    tomorrow = day + datetime.timedelta(days=1)
    had_birthday = (tomorrow.month, tomorrow.day) >= (born.month, born.day)
    return tomorrow.year - born.year - (0 if had_birthday else 1)


def age_reached(born: datetime.date, age: int) -> datetime.date:
    """Return the first day on which `age_on` is so many years; ValueError after 9999."""
    try:
        birthday = born.replace(year=born.year + age)
    except ValueError:  # 29 February in a year that has none
        birthday = datetime.date(born.year + age, 3, 1)
    return birthday - datetime.timedelta(days=1)


def fiscal_year_end(day: datetime.date) -> datetime.date:
    """Return 31 March of the fiscal year of a day."""
    return datetime.date(fiscal_year(day) + 1, 3, 31)


_ERA_LETTERS: Final = {"R": "令和", "H": "平成", "S": "昭和", "T": "大正", "M": "明治"}
_WRITTEN: Final = re.compile(
    r"(?:(令和?|平成?|昭和?|大正?|明治?|[RHSTM])(元|\d{1,2})|(\d{4}))"
    r"[年./-](\d{1,2})[月./-](\d{1,2})日?\Z",
    re.ASCII,
)
_SHORT: Final = re.compile(r"(?:([RHSTM])(\d\d)|(\d{4}))(\d\d)(\d\d)\Z", re.ASCII)
"""S150401 and 19400401, as on cards of the pension and of the library."""


def read_day(text: str) -> datetime.date:
    """Return a day as people write it: 1940-04-01, 1940/4/1, S15.4.1, 昭和15年4月1日, 19400401.

    Full-width characters and blanks are taken too. Raises ValueError for what is no day, and for a
    year that its era never had (昭和64年1月8日); the days on which 明治 and 大正 ended are in both.
    """
    plain = "".join(unicodedata.normalize("NFKC", text).upper().split())
    found = _WRITTEN.match(plain) or _SHORT.match(plain)
    if found is None:
        raise ValueError(f"{text!r} is no day")
    era, year_of_era, year, month, of_month = found.groups()
    if era is None:
        return datetime.date(int(year), int(month), int(of_month))
    name = next(one for one in _ERA_LETTERS.values() if one[0] == _ERA_LETTERS.get(era, era)[0])
    index = next(index for index, (_, one) in enumerate(_ERAS) if one == name)
    first = _ERAS[index][0]
    nth = 1 if year_of_era == "元" else int(year_of_era)
    day = datetime.date(first.year + nth - 1, int(month), int(of_month))
    next_first = _ERAS[index - 1][0] if index else datetime.date.max
    shared = name in ("明治", "大正") and day == next_first
    if not first <= day < next_first and not shared:
        raise ValueError(f"{text!r}: {name} had no such day")
    return day


def era_date(day: datetime.date) -> str:
    """Return a day as Japanese write it: 令和8年4月1日; the first year is 元年.

    Raises ValueError before 明治 was counted in this calendar (1868-01-25).
    """
    for first, name in _ERAS:
        if day >= first:
            year = day.year - first.year + 1
            return f"{name}{'元' if year == 1 else year}年{day.month}月{day.day}日"
    raise ValueError(f"{day} is before the first era of this calendar")


def is_school_day(day: datetime.date) -> bool:
    """True from Monday to Friday unless a national holiday (国民の祝日に関する法律)."""
    import jpholiday  # it would cost each start of a reader 20 ms

    return day.weekday() < 5 and not jpholiday.is_holiday(day)


def holidays(first: datetime.date, last: datetime.date) -> list[tuple[datetime.date, str]]:
    """Return the national holidays from one day to another, with their names (Japanese only)."""
    import jpholiday

    return list(jpholiday.between(first, last))
