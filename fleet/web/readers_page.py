"""The list of readers, and its export.

What is searched, filtered and sorted stands in the address, and the export gives exactly the rows
and columns that the page shows.
"""

from typing import Any, Final

from aiohttp import web

from fleet.readers import (
    READERS_PER_PAGE,
    SORTS,
    ReaderQuery,
    ReaderRow,
    ReaderState,
    list_readers,
)
from fleet.web.data import FLEET, read
from fleet.web.exports import download
from fleet.web.first_screen import KIND_OF_STATE
from fleet.web.forms import check_fields
from fleet.web.pages import CLOCK, render
from fleet.web.words import language_of
from programmes.calendar import local
from programmes.texts import Language, say

KINDS: Final = ("bus", "taxi", "school", "desk", "kiosk")
PAGE_MAX: Final = 1_000
"""Half a million readers; a greater number in an address is a mistake."""
COLUMNS: Final = (
    "name",
    "place",
    "kind",
    "state",
    "heard",
    "waiting",
    "roster",
    "gaps",
)
"""The columns, on the page and in the export alike."""
routes = web.RouteTableDef()


def _query(request: web.Request) -> ReaderQuery:
    """Return the wish in the address; what cannot be meant is left out.

    Redirects to the list without its search when that has the form of an individual number.
    """
    form = check_fields(language_of(request), request.query, {"search": 60})
    if form.errors:
        raise web.HTTPSeeOther("/readers")
    wish = request.query
    return ReaderQuery(
        search=form["search"],
        state=wish.get("state", "") if wish.get("state") in set(ReaderState) else "",
        kind=wish.get("kind", "") if wish.get("kind") in KINDS else "",
        sort=wish.get("sort", "") if wish.get("sort") in SORTS else "urgency",
        descending=wish.get("order") == "down",
        page=_page(wish.get("page", "")),
    )


def _page(text: str) -> int:
    """Return the page that is wished for; what is no number, or a mistaken one, is the first."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(PAGE_MAX)):
        return 1
    return min(max(1, int(text)), PAGE_MAX)


def cells(row: ReaderRow, language: Language) -> dict[str, str]:
    """Return one row as texts, in the columns' order, for the export."""
    heard = f"{local(row.heard_ms):%Y-%m-%d %H:%M:%S}" if row.heard_ms else ""
    return {
        "name": row.short,
        "place": row.label_en if language == "en" else row.label_ja,
        "kind": say(f"web.kind.{row.kind}", language),
        "state": say(f"web.state.{row.state}", language),
        "heard": heard,
        "waiting": str(row.waiting),
        "roster": say("web.roster.late" if row.late else "web.roster.current", language)
        if row.rosters
        else "",
        "gaps": str(row.gaps),
    }


async def _rows(request: web.Request) -> dict[str, Any]:
    query = _query(request)
    now_ms = request.app[CLOCK].now_ms()
    total, rows = await read(request.app[FLEET], list_readers, query, now_ms)
    language = language_of(request)
    return {
        "query": query,
        "total": total,
        "rows": [(row, cells(row, language)) for row in rows],
        "pages": max(1, -(-total // READERS_PER_PAGE)),
        "columns": COLUMNS,
    }


@routes.get("/readers")
async def show(request: web.Request) -> web.Response:
    """The list."""
    return await render(
        request,
        "readers.html",
        section="/readers",
        states=list(ReaderState),
        kinds=KINDS,
        kind_of_state=KIND_OF_STATE,
        **await _rows(request),
    )


@routes.get("/readers.csv")
async def export(request: web.Request) -> web.StreamResponse:
    """The same rows and columns as a file."""
    found = await _rows(request)
    language = language_of(request)
    heads = [say(f"web.column.{column}", language) for column in COLUMNS]
    rows = [[shown[column] for column in COLUMNS] for _, shown in found["rows"]]
    return await download(request, "readers", heads, rows)
