"""Paper: a page for the counter's printer, made as PDF from a template of `fleet/web/templates`.

Rules: nothing is fetched while a page is made, neither from the network nor from a file; a few
pages are made at once and a few more wait, beside the threads that read the databases; a template
gets plain values and the sentences of one language.
"""

import asyncio
import datetime
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import jinja2
from babel.dates import format_date

from programmes.calendar import era_date
from programmes.texts import Language, say

AT_ONCE: Final = 2
"""Pages made at the same time: a slip keeps a core busy for 0.2 to 0.3 s, as measured."""
WAITING_MAX: Final = 20
"""Pages made or waiting; the last of so many comes after some three seconds."""
_TEMPLATES: Final = Path(__file__).parent / "web" / "templates"
_DAY_PATTERNS: Final[dict[Language, str]] = {"ja": "y年M月d日", "en": "d MMMM y"}


class PaperBusy(RuntimeError):
    """So many pages are being made that one more would keep somebody waiting: try again."""


class Press:
    """Makes pages for one process; `pdf` may be called by many at a time."""

    def __init__(self) -> None:
        self._under_way = 0
        self._threads = ThreadPoolExecutor(AT_ONCE, "paper")

    async def pdf(self, template: str, language: Language, **context: Any) -> bytes:
        """Return a page as PDF. Raises PaperBusy."""
        if self._under_way >= WAITING_MAX:
            raise PaperBusy("the printer's pages are all being made: try again in a few seconds")
        self._under_way += 1
        make = functools.partial(to_pdf, template, language, **context)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, make)
        finally:
            self._under_way -= 1


def to_pdf(template: str, language: Language, **context: Any) -> bytes:
    """Return a page as PDF; it takes a core for a while, so pages of the office use `Press`."""
    from weasyprint import HTML  # 0.9 s and 40 MB, once, only for those who print
    from weasyprint.urls import URLFetcher

    nowhere = URLFetcher(allowed_protocols=())
    made: bytes = HTML(
        string=to_html(template, language, **context), url_fetcher=nowhere
    ).write_pdf()
    return made


def to_html(template: str, language: Language, **context: Any) -> str:
    """Return a page as WeasyPrint reads it: `t` says a sentence, `day` writes a day."""
    return (
        _environment()
        .get_template(template)
        .render(
            language=language,
            t=lambda message, **arguments: say(message, language, **arguments),
            day=lambda date: written_day(date, language),
            **context,
        )
    )


def written_day(date: datetime.date, language: Language) -> str:
    """Return a day in full: in Japanese also as eras are counted, 2026年4月1日（令和8年）."""
    shown = str(format_date(date, _DAY_PATTERNS[language], locale=language))
    if language == "en":
        return shown
    year_of_era, _, _ = era_date(date).partition("年")
    return f"{shown}（{year_of_era}年）"


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
