"""How times, spans and numbers are written for people, and in which language.

Instants rest in UTC and are shown on the town's wall clock in a `<time>` element that carries the
whole instant; nothing is put together from pieces of sentences.
"""

import datetime
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from markupsafe import Markup

from programmes.calendar import local, local_day
from programmes.texts import LANGUAGES, Language, NoSuchText, say

DEFAULT_LANGUAGE: Final = web.AppKey("language", str)
"""What the site shows to a browser that has not chosen."""
LANGUAGE_COOKIE: Final = "kazasu_language"
PROGRAMME_COOKIE: Final = "kazasu_programme"
COOKIE_S: Final = 365 * 24 * 3600
"""A year: the choice belongs to the browser, not to the session."""

_PATTERNS: Final[dict[Language, tuple[str, str, str]]] = {
    "ja": ("H:mm:ss", "M月d日 H:mm", "y年M月d日 H:mm"),
    "en": ("HH:mm:ss", "d MMM HH:mm", "d MMM y HH:mm"),
}
"""Babel's patterns for an instant of today, of this year, of another year."""
_DAY_PATTERNS: Final[dict[Language, str]] = {"ja": "y年M月d日（EEEEE）", "en": "EEE d MMM y"}


def language_of(request: web.Request) -> Language:
    """Return the page's language: `?lang=`, else the browser's earlier choice, else the site's."""
    default = request.app[DEFAULT_LANGUAGE]
    for wish in (request.query.get("lang"), request.cookies.get(LANGUAGE_COOKIE), default):
        for language in LANGUAGES:
            if wish == language:
                return language
    return "ja"


def address(request: web.Request, **changes: str) -> str:
    """Return the present page's address with some query parameters set, or left out when empty."""
    query = {key: value for key, value in request.query.items() if key not in changes}
    query |= {key: value for key, value in changes.items() if value}
    return f"{request.path}?{urlencode(query)}" if query else request.path


def moment(at_ms: int, language: Language, now_ms: int) -> Markup:
    """Return an instant as a `<time>` element, as short as today allows."""
    when, now = local(at_ms), local(now_ms)
    today, this_year, other = _PATTERNS[language]
    pattern = this_year if when.year == now.year else other
    if when.date() == now.date():
        pattern = today
    shown = format_datetime(when, pattern, locale=language)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="milliseconds"), shown
    )


def hour_minute(at_ms: int) -> Markup:
    """Return an instant as a `<time>` element of hour and minute, for lists of one day."""
    when = local(at_ms)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="milliseconds"), f"{when:%H:%M}"
    )


def step(at_ms: int, by_day: bool, language: Language) -> Markup:
    """Return the hour or the day that begins at an instant, as a `<time>` element."""
    return day(local_day(at_ms), language) if by_day else hour_minute(at_ms)


def step_label(at_ms: int, by_day: bool) -> str:
    """Return the same as short as the axis of a chart needs it: 6/3 or 09:00."""
    when = local(at_ms)
    return f"{when.month}/{when.day}" if by_day else f"{when:%H:%M}"


def day(date: datetime.date, language: Language) -> Markup:
    """Return a day as a `<time>` element."""
    shown = format_date(date, _DAY_PATTERNS[language], locale=language)
    return Markup('<time datetime="{}">{}</time>').format(date.isoformat(), shown)


def today(now_ms: int) -> datetime.date:
    """Return the local day of an instant."""
    return local_day(now_ms)


def span(seconds: float, language: Language) -> str:
    """Return a length of time in its largest one or two units, rounded down."""
    whole = max(0, int(seconds))
    if whole < 60:
        return say("web.span.seconds", language, n=whole)
    if whole < 3600:
        return say("web.span.minutes", language, n=whole // 60)
    if whole < 48 * 3600:
        return say("web.span.hours", language, hours=whole // 3600, minutes=whole % 3600 // 60)
    return say("web.span.days", language, n=whole // 86_400)


def hours(minutes: int) -> str:
    """Return minutes of work as hours and minutes: 192:30, and −0:45 below zero."""
    sign = "−" if minutes < 0 else ""
    return f"{sign}{abs(minutes) // 60}:{abs(minutes) % 60:02}"


def number(value: float, language: Language) -> str:
    """Return a number with its thousands grouped."""
    return format_decimal(value, locale=language)


def milliseconds(value_us: float) -> str:
    """Return a duration of a stage in ms: two figures below 10 ms, none above."""
    ms = value_us / 1000
    return f"{ms:.2f}" if ms < 1 else f"{ms:.1f}" if ms < 10 else f"{ms:.0f}"


def counter(name: str, language: Language) -> str:
    """Return what a reader's counter counts; empty for one that this fleet does not know yet."""
    try:
        return say(f"web.counter.{name}", language)
    except NoSuchText:
        return ""
