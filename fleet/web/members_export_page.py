"""Members as a file: all whom the search on the page finds, in three formats."""

from aiohttp import web

from fleet import members_export, registry, tables
from fleet.members_export import Wish
from fleet.web.data import FLEET, PERSONS, read
from fleet.web.exports import format_of, send
from fleet.web.members_page import search_of
from fleet.web.pages import CLOCK
from fleet.web.reach import programme_of
from fleet.web.session import account_of

routes = web.RouteTableDef()


@routes.get("/members.csv")
async def export(request: web.Request) -> web.StreamResponse:
    """The list without its end; `?columns=all`: every column that an import reads."""
    programme = programme_of(request)
    form = await search_of(request, programme)
    if form.errors or "search" not in request.query:  # the page says what is wrong
        raise web.HTTPSeeOther(str(request.rel_url.with_path("/members", keep_query=True)))
    epochs = await read(request.app[FLEET], registry.key_epochs)
    wish = Wish(
        programme,
        form["search"],
        epochs.get(programme, 1) if "unmoved" in request.query else 0,
        "ended" in request.query,
        request.query.get("columns", "") == "all",
    )
    by = account_of(request).name, request.app[CLOCK].now_ms()
    rows = members_export.rows(request.app[PERSONS], wish, form.language, *by)
    heads = members_export.heads(wish, form.language)
    format_ = format_of(request)
    return await send(request, programme, format_, tables.write(format_, heads, rows))
