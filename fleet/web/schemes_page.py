"""By which schemes a programme knows cards, on what ground, until when; switching them on and off.

What is stated here cannot be changed afterwards: the form says so, and it stands in the audit.
"""

import datetime
from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import schemes
from fleet.scheme_facts import CHECKED_ON, FACTS
from fleet.schemes import NewStatement, Row, Statement
from fleet.terms import SchemeRefused
from fleet.web.data import PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.session import Flash, account_of, flash
from programmes.calendar import local_day
from wire.credential import Scheme

MARKS: Final = {
    "on": "ok",
    "ends-soon": "warn",
    "leaving": "info",
    "ended": "bad",
    "not-yet": "info",
    "off": "off",
}
"""The shape of each state of `schemes.Row`."""
_DATES: Final = dict.fromkeys(("ground_date", "valid_from", "valid_to"), 10)
_STATEMENT: Final = dict.fromkeys(("signed_by", "office", "ground"), schemes.TEXT_MAX) | _DATES
routes = web.RouteTableDef()


def _today(request: web.Request) -> datetime.date:
    return local_day(request.app[CLOCK].now_ms())


@routes.get("/schemes")
async def show(request: web.Request) -> web.Response:
    """Every scheme of one programme."""
    programme = programme_of(request)
    rows = await read(request.app[PERSONS], schemes.overview, programme, _today(request))
    return await render(
        request,
        "schemes.html",
        section="/schemes",
        programmes=programmes_of(request),
        programme=programme,
        rows=rows,
        marks=MARKS,
    )


def _named(request: web.Request) -> tuple[str, Scheme]:
    """Return programme and scheme in the address; what is not known is not found."""
    programme, scheme = request.match_info["programme"], request.match_info["scheme"]
    if scheme not in set(Scheme):
        raise web.HTTPNotFound
    return require(request, programme), Scheme(scheme)


def _see(
    connection: sa.Connection, programme: str, scheme: Scheme, day: datetime.date
) -> tuple[Row, list[Statement]]:
    rows = schemes.overview(connection, programme, day)
    told = [one for one in schemes.statements(connection, programme) if one.scheme == scheme]
    return next(row for row in rows if row.scheme is scheme), told


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    programme, scheme = _named(request)
    row, told = await read(request.app[PERSONS], _see, programme, scheme, _today(request))
    return await render(
        request,
        "scheme.html",
        status,
        section="/schemes",
        row=row,
        told=told,
        facts=FACTS[scheme],
        checked_on=CHECKED_ON,
        marks=MARKS,
        form=form,
    )


@routes.get("/schemes/{programme}/{scheme}")
async def show_one(request: web.Request) -> web.Response:
    """One scheme: what is known of it, what was stated, and the forms."""
    return await _page(request, empty_form(request, valid_from=_today(request).isoformat()))


@routes.post("/schemes/{programme}/{scheme}/state")
async def state(request: web.Request) -> web.Response:
    """Switch it on by a statement."""
    programme, scheme = _named(request)
    form = await read_form(request, _STATEMENT)
    form.require("signed_by", "office", "ground", "ground_date", "valid_from")
    ground_date, valid_from, valid_to = (form.day(name) for name in _DATES)
    if valid_from and valid_to and valid_to < valid_from:
        form.refuse("valid_to", "web.form.ends-before-start")
    if form.errors or ground_date is None or valid_from is None:
        return await _page(request, form, 422)
    new = NewStatement(
        form["signed_by"], form["office"], form["ground"], ground_date, valid_from, valid_to
    )
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[PERSONS], schemes.state, programme, [scheme], new, who, now_ms)
    except SchemeRefused:  # a day that no roster can carry: all else was looked at above
        form.refuse("valid_from", "web.form.no-day")
        return await _page(request, form, 422)
    await flash(request, Flash("ok", "web.scheme.stated"))
    raise web.HTTPSeeOther(f"/schemes/{programme}/{scheme}")


@routes.post("/schemes/{programme}/{scheme}/end")
async def end(request: web.Request) -> web.Response:
    """Switch it off with a day."""
    programme, scheme = _named(request)
    form = await read_form(request, {"why": schemes.TEXT_MAX, "last_day": 10})
    form.require("why", "last_day")
    last = form.day("last_day")
    if form.errors or last is None:
        return await _page(request, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(
            request.app[PERSONS], schemes.end, programme, scheme, last, form["why"], who, now_ms
        )
    except SchemeRefused:
        form.refuse("last_day", "web.scheme.not-beyond")
        return await _page(request, form, 409)
    await flash(request, Flash("ok", "web.scheme.ended"))
    raise web.HTTPSeeOther(f"/schemes/{programme}/{scheme}")
