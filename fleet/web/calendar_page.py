"""カレンダーに出す: the secret addresses of one's own days and of the schools one works for.

Rules: whose they are comes from the account alone; an address is shown once, and a new one ends the
old; what it shows and who else could read it is said before it is made.
"""

from typing import Final

from aiohttp import web

from fleet import work_feeds
from fleet.web.data import PERSONS, change, read
from fleet.web.feed_door import ROUTE
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.organisations import company_names
from fleet.web.pages import CLOCK, render
from fleet.web.second_factor import ORIGIN
from fleet.web.session import Flash, account_of, came_by_tls, flash
from fleet.web.words import language_of
from fleet.work_acts import WorkRefused

PATH: Final = "/security/calendar"
_FIELDS: Final = {"organisation": 32}
routes = web.RouteTableDef()


async def _page(
    request: web.Request, form: Form, status: int = 200, made: str = "", of: str = ""
) -> web.Response:
    """Show all addresses; `made`: a new one, for the only time, of a school or of oneself."""
    account = account_of(request)
    feeds = await read(request.app[PERSONS], work_feeds.of_account, account.name)
    return await render(
        request,
        "calendar.html",
        status,
        section="/security",
        form=form,
        kinds=work_feeds.open_to(account),
        feeds={one.organisation: one for one in feeds},
        names=await company_names(request),
        made=made,
        of=of,
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Which addresses there are."""
    return await _page(request, empty_form(request))


@routes.post(f"{PATH}/make")
async def make(request: web.Request) -> web.Response:
    """Make an address, and show it once."""
    form = await read_form(request, _FIELDS)
    now_ms, of = request.app[CLOCK].now_ms(), form["organisation"]
    said = (account_of(request), of, language_of(request), now_ms)
    try:
        token = await change(request.app[PERSONS], work_feeds.make, *said)
    except WorkRefused as error:
        if error.reason == "feed":
            raise web.HTTPNotFound from error
        form.refuse("organisation", f"work.refused.{error.reason}")
        return await _page(request, form, 409)
    address = f"{_origin(request)}{ROUTE.format(token=token)}"
    return await _page(request, form, made=address, of=of)


def _origin(request: web.Request) -> str:
    """Return under which name the office is reached."""
    if origin := request.app[ORIGIN]:
        return origin
    return f"{'https' if came_by_tls(request) else 'http'}://{request.host}"


@routes.post(f"{PATH}/end")
async def end(request: web.Request) -> web.Response:
    """Let an address open nothing from now on."""
    form = await read_form(request, _FIELDS)
    said = (account_of(request).name, form["organisation"], request.app[CLOCK].now_ms())
    await change(request.app[PERSONS], work_feeds.end, *said)
    await flash(request, Flash("ok", "web.calendar.ended"))
    raise web.HTTPSeeOther(PATH)
