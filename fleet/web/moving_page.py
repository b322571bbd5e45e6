"""Campaigns: members move from one scheme to another; how far that is, and who is missing.

Nobody is shown before who is missing is asked for; that look, and the export, are on record.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from fleet import campaigns, terms
from fleet.campaigns import Missing, Progress
from fleet.scheme_facts import FACTS
from fleet.schemes import TEXT_MAX
from fleet.terms import Campaign, SchemeRefused
from fleet.web.data import PERSONS, change, read
from fleet.web.exports import download
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from programmes.calendar import local_day
from programmes.texts import say
from wire.credential import Scheme

SHOWN_MAX: Final = 100
"""Missing members on the page; all are in the export."""
EXPORTED_MAX: Final = 100_000
"""Lines of the export, about 6 MB; the command line writes more."""
_COLUMNS: Final = ("registration_number", "name", "kana")
_START: Final = {"from_scheme": 20, "to_scheme": 20, "until": 10}
routes = web.RouteTableDef()


async def _campaign(request: web.Request, programme: str) -> Campaign | None:
    return (await read(request.app[PERSONS], terms.latest)).get(programme)


async def _missing(request: web.Request, of: Campaign, limit: int) -> list[Missing]:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    return await change(request.app[PERSONS], campaigns.see_missing, of, limit, who, now_ms)


async def _page(
    request: web.Request, programme: str, form: Form, status: int = 200
) -> web.Response:
    of = await _campaign(request, programme)
    far: Progress | None = None
    missing: list[Missing] = []
    asked = "missing" in request.query
    if of is not None:
        day = local_day(request.app[CLOCK].now_ms())
        far = await read(request.app[PERSONS], campaigns.progress, of, day)
        missing = await _missing(request, of, SHOWN_MAX) if asked else []
    return await render(
        request,
        "moving.html",
        status,
        section="/moving",
        programmes=programmes_of(request),
        programme=programme,
        far=far,
        asked=asked,
        missing=missing,
        schemes=_choices(request),
        form=form,
        apart=far is not None and _technology(far, 0) != _technology(far, 1),
    )


def _technology(far: Progress, which: int) -> str:
    return FACTS[(far.of.from_scheme, far.of.to_scheme)[which]].technology


def _choices(request: web.Request) -> list[tuple[str, str]]:
    language = language_of(request)
    return [(scheme.value, say(f"web.scheme.{scheme}", language)) for scheme in Scheme]


@routes.get("/moving")
async def show(request: web.Request) -> web.Response:
    """One programme's newest campaign, and the form for the next one."""
    return await _page(request, programme_of(request), empty_form(request))


@routes.get("/moving.csv")
async def export(request: web.Request) -> web.StreamResponse:
    """All who are missing, in the page's columns."""
    of = await _campaign(request, programme_of(request))
    found = await _missing(request, of, EXPORTED_MAX) if of else []
    language = language_of(request)
    heads = [say(f"web.field.{column}", language) for column in _COLUMNS]
    rows = [(one.registration_number, one.name, one.kana) for one in found]
    return await download(request, "missing", heads, rows)


def _programme(request: web.Request) -> str:
    """Return the programme in the path; one that is not in reach is not found."""
    return require(request, request.match_info["programme"])


@routes.post("/moving/{programme}/start")
async def start(request: web.Request) -> web.Response:
    """Begin a campaign."""
    programme = _programme(request)
    form = await read_form(request, _START)
    form.require(*_START)
    until = form.day("until")
    pair = form["from_scheme"], form["to_scheme"]
    if not set(pair) <= set(Scheme):
        form.refuse("to_scheme", "web.moving.cannot")
    if form.errors or until is None:
        return await _page(request, programme, form, 422)
    leaves, joins = map(Scheme, pair)
    return await _do(request, programme, form, "to_scheme", campaigns.start, leaves, joins, until)


@routes.post("/moving/{programme}/stop")
async def stop(request: web.Request) -> web.Response:
    """Stop it, with a reason."""
    programme = _programme(request)
    form = await read_form(request, {"why": TEXT_MAX})
    form.require("why")
    if form.errors:
        return await _page(request, programme, form, 422)
    return await _do(request, programme, form, "why", campaigns.stop, form["why"])


async def _do(
    request: web.Request,
    programme: str,
    form: Form,
    field: str,
    what: Callable[..., None],
    *arguments: object,
) -> web.Response:
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[PERSONS], what, programme, *arguments, who, now_ms)
    except SchemeRefused as error:
        form.refuse(field, f"web.moving.refused.{error.reason}")
        return await _page(request, programme, form, 409)
    done = "web.moving.started" if what is campaigns.start else "web.moving.stopped"
    await flash(request, Flash("ok", done))
    raise web.HTTPSeeOther(f"/moving?programme={programme}")
