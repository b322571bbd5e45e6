"""How the lines and figures of a report are written, on a page, in a file and on paper alike."""

import datetime
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from aiohttp import web
from babel.dates import format_date

from fleet import reports
from fleet.reports import Line, Period
from fleet.web.organisations import company_names
from fleet.web.triage_page import place_labels
from fleet.web.words import language_of, number
from programmes.calendar import era_date, local
from programmes.texts import Language, NoSuchText, say

_MONTHS: Final[dict[Language, str]] = {"ja": "y年M月", "en": "MMM y"}


class Words:
    """How a report's lines and cells are written, on the page and in a file alike."""

    def __init__(
        self,
        language: Language,
        places: Mapping[str, str],
        companies: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`companies`: what those that have a name are called."""
        self._language, self._places = language, places
        self.companies: Final = companies

    def year(self, year: int) -> str:
        """Return a fiscal year: 令和8年度（2026年4月〜2027年3月）."""
        era = era_date(datetime.date(year, 4, 1)).partition("年")[0]
        return say("web.report.year", self._language, era=era, year=str(year), next=str(year + 1))

    def month(self, month: str) -> str:
        """Return `2026-06` as 2026年6月."""
        day = reports.first_day(month)
        return str(format_date(day, _MONTHS[self._language], locale=self._language))

    def period(self, of: Period) -> str:
        """Return a period in words."""
        return self.month(of.month) if of.month else self.year(of.year)

    def stretch(self, months: Sequence[str]) -> str:
        """Return months that follow one another: 2026年4月〜2026年6月."""
        first, last = self.month(months[0]), self.month(months[-1])
        if first == last:
            return first
        return say("web.report.stretch", self._language, first=first, last=last)

    def key(self, table: str, key: str) -> str:
        """Return what a line of a table is about."""
        if table == "months":
            return self.month(key)
        if table == "place":
            return self._places.get(key, key)
        if table == "hour":
            return say("web.report.hour", self._language, hour=str(int(key)))
        if table == "category":
            return key or say("web.report.no-category", self._language)
        return _known(f"web.report.{table}.{key}", key, self._language)

    def instant(self, at_ms: int) -> str:
        """Return an instant on the town's clock with its day, whole also in a file of last year."""
        return f"{local(at_ms):%Y-%m-%d %H:%M}"

    def number(self, value: int) -> str:
        """Return a number with its thousands grouped."""
        return number(value, self._language)

    def cell(self, line: Line, column: str) -> str:
        """Return one figure."""
        if column not in line.values:
            return say("web.report.none", self._language)
        value = line.values[column]
        if value is None:
            why = "web.report.withheld" if line.for_others else "web.report.few"
            return say(why, self._language)
        return f"{value / 10:.1f}%" if column == "share" else number(value, self._language)


def _known(message: str, otherwise: str, language: Language) -> str:
    """Return a sentence, or the bare word for a code that came later than this program."""
    try:
        return say(message, language)
    except NoSuchText:
        return otherwise


async def words_of(request: web.Request) -> Words:
    """Return how a report is written in the language of the request."""
    companies = await company_names(request)
    return Words(language_of(request), await place_labels(request), companies)
