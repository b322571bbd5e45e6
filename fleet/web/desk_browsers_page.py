"""カードでログインするパソコン: a clerk binds the browser he sits at to a desk's reader."""

from typing import Final

from aiohttp import web

from fleet import desk_browsers, desk_wait
from fleet.desk_browsers import LABEL_MAX, BrowserRefused
from fleet.desk_wait import Desk
from fleet.web import at_desk
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number, require
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes import attendance

PATH: Final = "/desk/browsers"
routes = web.RouteTableDef()


async def desks_of(request: web.Request) -> dict[str, tuple[Desk, str]]:
    """Return the desks at which staff cards are read, by reader, with their names."""
    found = await read(request.app[FLEET], desk_wait.desks, attendance.NAME)
    english = language_of(request) == "en"
    return {one.reader: (one, one.label_en if english else one.label_ja) for one in found}


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    now_ms = request.app[CLOCK].now_ms()
    return await render(
        request,
        "desk_browsers.html",
        status,
        section="/desk",
        form=form,
        desks=await desks_of(request),
        here=await at_desk.browser_of(request),
        browsers=await read(request.app[PERSONS], desk_browsers.listed, now_ms),
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Whether this browser is one, and which others there are."""
    require(request, attendance.NAME)
    return await _page(request, empty_form(request))


@routes.post(PATH)
async def bind(request: web.Request) -> web.Response:
    """Bind this browser; what it was bound to before ends."""
    require(request, attendance.NAME)
    form = await read_form(request, {"desk_reader": 64, "browser_label": LABEL_MAX})
    form.require("desk_reader", "browser_label")
    if form["desk_reader"] and form["desk_reader"] not in await desks_of(request):
        form.refuse("desk_reader", "web.desk.refused.choose")
    if not form["browser_label"].isprintable():
        form.refuse("browser_label", "web.browsers.refused.label")
    if form.errors:
        return await _page(request, form, 422)
    who, now_ms, store = account_of(request).name, request.app[CLOCK].now_ms(), request.app[PERSONS]
    if before := await at_desk.browser_of(request):
        await change(store, desk_browsers.end, before.id, who, now_ms)
    what = (form["desk_reader"], form["browser_label"], who, now_ms)
    try:
        token = await change(store, desk_browsers.bind, *what)
    except BrowserRefused as refused:
        form.refuse("desk_reader", f"web.browsers.refused.{refused}")
        return await _page(request, form, 409)
    await flash(request, Flash("ok", "web.browsers.bound"))
    answer = web.HTTPSeeOther(PATH)
    at_desk.keep(request, answer, token)
    raise answer


@routes.post(PATH + r"/{browser:\d+}/end")
async def end(request: web.Request) -> web.Response:
    """Let nobody sign in by card at a browser any more, from wherever the clerk sits."""
    require(request, attendance.NAME)
    here, browser = await at_desk.browser_of(request), number(request, "browser")
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    if not await change(request.app[PERSONS], desk_browsers.end, browser, who, now_ms):
        raise web.HTTPNotFound
    await flash(request, Flash("ok", "web.browsers.ended"))
    answer = web.HTTPSeeOther(PATH)
    if here is not None and here.id == browser:
        at_desk.forget(answer)
    raise answer
