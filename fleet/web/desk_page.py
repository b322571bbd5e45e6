"""Whose card is this: held at the desk's reader, it opens its holder's record in one programme."""

import sqlalchemy as sa
from aiohttp import web

from fleet import audit, desk_wait
from fleet.desk_wait import DeskRefused
from fleet.schema import card, member
from fleet.web.data import PERSONS, change
from fleet.web.desk_wait_page import FIELDS, DeskPart, handle
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.session import account_of

PURPOSE = "look-up"
routes = web.RouteTableDef()


async def _page(
    request: web.Request, programme: str, form: Form, said: str = "", part: DeskPart | None = None
) -> web.Response:
    return await render(
        request,
        "desk.html",
        409 if said else 200,
        section="/desk",
        programmes=programmes_of(request),
        programme=programme,
        said=said,
        desk=part or await handle(request, programme, PURPOSE, form, submits=True),
    )


@routes.get("/desk")
async def show(request: web.Request) -> web.Response:
    """Before a card was held."""
    return await _page(request, programme_of(request), empty_form(request))


def _holder(
    connection: sa.Connection, wait: str, programme: str, who: str, at_ms: int
) -> int | None:
    """Use the card that was held; return its member, None when nobody has it in this programme."""
    found = desk_wait.take(connection, wait, who, programme)
    row = connection.execute(
        sa.select(member.c.id, member.c.registration_number)
        .join(card, card.c.member_id == member.c.id)
        .where(
            card.c.programme == programme, card.c.credential.in_(one.credential for one in found)
        )
        .order_by(card.c.id.desc())
        .limit(1)
    ).one_or_none()
    number = row.registration_number if row else "-"
    audit.note_person(connection, at_ms, who, "member.sought-by-card", f"{programme} {number}")
    return row.id if row else None


@routes.post("/desk/find")
async def find(request: web.Request) -> web.StreamResponse:
    """Open the record of whoever held the card."""
    form = await read_form(request, FIELDS | {"programme": 32})
    programme = require(request, form["programme"])
    part = await handle(request, programme, PURPOSE, form, submits=True)
    if part.pressed:
        return await _page(request, programme, form, part=part)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    what = (form["wait"], programme, who, now_ms)
    try:
        found = await change(request.app[PERSONS], _holder, *what)
    except DeskRefused:
        return await _page(request, programme, form, "again", part)
    if found is None:
        return await _page(request, programme, empty_form(request), "nobody")
    raise web.HTTPSeeOther(f"/members/{found}")
