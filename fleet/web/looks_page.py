"""誰が誰を見たか: who looked at which member, for auditors of the programme."""

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa
from aiohttp import web

from fleet import looks
from fleet.looks import EXPORT_ROWS_MAX, PAGE_ROWS, Asked
from fleet.rights import OfficeRole
from fleet.store import AnyRow
from fleet.web.data import PERSONS, change
from fleet.web.exports import download
from fleet.web.forms import Form, check_fields
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of
from fleet.web.session import account_of
from fleet.web.words import language_of, today
from programmes.calendar import local
from programmes.texts import Language, NoSuchText, say

PATH: Final = "/looks"
DAYS_BEFORE: Final = 6
"""Shown at first: a week with today."""
DAYS_MAX: Final = 366
FIRST_DAY: Final = datetime.date(2000, 1, 2)
"""Nothing was written down before; nor is anything after today."""
PAGES_MAX: Final = 10_000
_FIELDS: Final = {"from": 10, "to": 10, "who": 64, "number": 32, "kind": 40}
routes = web.RouteTableDef()


def _asked(request: web.Request) -> tuple[Form, Asked]:
    """Return the filter, and what it asks for; days that are none are those shown at first."""
    form = check_fields(language_of(request), request.query, _FIELDS)
    last_day = today(request.app[CLOCK].now_ms())
    last = min(max(form.day("to") or last_day, FIRST_DAY), last_day)
    first = max(form.day("from") or last - datetime.timedelta(DAYS_BEFORE), FIRST_DAY)
    if first > last:
        form.refuse("to", "web.form.ends-before-start")
        first = last
    elif (last - first).days > DAYS_MAX:
        form.refuse("from", "web.looks.too-long", days=DAYS_MAX)
        first = last - datetime.timedelta(DAYS_MAX)
    form.values |= {"from": first.isoformat(), "to": last.isoformat()}
    programme = programme_of(request, OfficeRole.AUDITOR)
    return form, Asked(programme, first, last, form["who"], form["number"], form["kind"])


def word_of(what: str, language: Language) -> str:
    """Return what was done, in words; its stable word when this version has none."""
    try:
        return say(f"web.look.{what}", language)
    except NoSuchText:
        return what


def _page_number(request: web.Request) -> int:
    text = request.query.get("page", "1")
    return min(int(text), PAGES_MAX) if text.isascii() and text.isdigit() and text != "0" else 1


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Lines and counts; that they were looked at is a line itself."""
    form, asked = _asked(request)
    page = _page_number(request)
    total, rows, counts, kinds = await change(
        request.app[PERSONS], _look, asked, page, *_by(request)
    )
    language = form.language
    return await render(
        request,
        "looks.html",
        section=PATH,
        form=form,
        programmes=programmes_of(request, OfficeRole.AUDITOR),
        programme=asked.programme,
        rows=rows,
        total=total,
        counts=counts,
        kinds=[(kind, word_of(kind, language)) for kind in kinds],
        word=lambda what: word_of(what, language),
        page_number=page,
        pages=max(1, -(-total // PAGE_ROWS)),
        export=f"{PATH}/export?{urlencode({**form.values, 'programme': asked.programme})}",
        export_max=EXPORT_ROWS_MAX,
    )


class _Shown(NamedTuple):
    total: int
    rows: Sequence[AnyRow]
    counts: list[looks.Count]
    kinds: list[str]


def _look(connection: sa.Connection, asked: Asked, page: int, who: str, at_ms: int) -> _Shown:
    total, rows = looks.lines(connection, asked, PAGE_ROWS, (page - 1) * PAGE_ROWS)
    counts, kinds = looks.counts(connection, asked), looks.kinds(connection, asked)
    looks.note(connection, asked, who, at_ms, export=False)
    return _Shown(total, rows, counts, kinds)


def _by(request: web.Request) -> tuple[str, int]:
    return account_of(request).name, request.app[CLOCK].now_ms()


@routes.get(PATH + "/export")
async def export(request: web.Request) -> web.StreamResponse:
    """The same lines, all pages of them."""
    form, asked = _asked(request)
    rows = await change(request.app[PERSONS], _export, asked, *_by(request))
    names = ("when", "who", "what", "subject", "detail")
    heads = [say(f"web.looks.{name}", form.language) for name in names]
    cells = (
        (
            local(row.at_ms).isoformat(timespec="seconds"),
            row.who,
            word_of(row.what, form.language),
            row.subject.partition(" ")[2],
            row.detail,
        )
        for row in rows
    )
    return await download(request, f"looks-{asked.programme}-{asked.first}", heads, cells)


def _export(connection: sa.Connection, asked: Asked, who: str, at_ms: int) -> Sequence[AnyRow]:
    _, rows = looks.lines(connection, asked, EXPORT_ROWS_MAX)
    looks.note(connection, asked, who, at_ms, export=True)
    return rows
