"""The town's calendar: the one place where an instant becomes a day.

Instants travel and rest as UTC; only here do they become local days. The fiscal year begins on
1 April. A person reaches an age at the end of the day before the birthday (年齢計算ニ関スル法律,
Act No. 50 of 1902, with article 143 of the Civil Code): one born on 1 April is a year older from
31 March on for rules that count whole days, and one born on 29 February on 28 February.
"""

import datetime
import functools
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
