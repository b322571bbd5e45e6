"""On what ordinance a programme's members consent, and to what: written once, the newest holds."""

import datetime
from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import consent
from fleet.consent import Basis, ConsentRefused, NewBasis
from fleet.web.data import PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import programme_of, programmes_of, require
from fleet.web.session import Flash, account_of, flash
from programmes.calendar import local_day, read_day

FIELDS: Final = {
    "ordinance": consent.TEXT_MAX,
    "article": consent.TEXT_MAX,
    "ordinance_date": 24,
    "wording": consent.WORDING_MAX,
    "wording_en": consent.WORDING_MAX,
    "contact": consent.TEXT_MAX,
    "valid_from": 10,
}
routes = web.RouteTableDef()


def _today(request: web.Request) -> datetime.date:
    return local_day(request.app[CLOCK].now_ms())


def _see(
    connection: sa.Connection, programme: str, day: datetime.date
) -> tuple[Basis | None, list[Basis]]:
    found = consent.bases(connection, programme)
    return consent.basis_on(connection, programme, day), found


async def _page(
    request: web.Request, programme: str, form: Form, status: int = 200
) -> web.Response:
    holds, found = await read(request.app[PERSONS], _see, programme, _today(request))
    return await render(
        request,
        "consent.html",
        status,
        section="/consent",
        programmes=programmes_of(request),
        programme=programme,
        holds=holds,
        bases=found,
        today=_today(request),
        form=form,
    )


@routes.get("/consent")
async def show(request: web.Request) -> web.Response:
    """The ground in force, all grounds, and the form for a new one."""
    form = empty_form(request, valid_from=_today(request).isoformat())
    return await _page(request, programme_of(request), form)


@routes.post("/consent/{programme}")
async def add(request: web.Request) -> web.Response:
    """Write a ground down."""
    programme = require(request, request.match_info["programme"])
    form = await read_form(request, FIELDS)
    form.require("ordinance", "article", "ordinance_date", "wording", "contact", "valid_from")
    dated, valid_from = _dated(form), form.day("valid_from")
    if form.errors or dated is None or valid_from is None:
        return await _page(request, programme, form, 422)
    new = NewBasis(
        form["ordinance"],
        form["article"],
        dated,
        form["wording"],
        form["contact"],
        valid_from,
        form["wording_en"],
    )
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[PERSONS], consent.add_basis, programme, new, who, now_ms)
    except ConsentRefused:  # a day that no ordinance has: all else was looked at above
        first, last = (one.isoformat() for one in consent.DAYS)
        field = "valid_from" if consent.DAYS[0] <= dated <= consent.DAYS[1] else "ordinance_date"
        form.refuse(field, "web.enrol.days-outside", first=first, last=last)
        return await _page(request, programme, form, 422)
    await flash(request, Flash("ok", "web.consent.added"))
    raise web.HTTPSeeOther(f"/consent?programme={programme}")


def _dated(form: Form) -> datetime.date | None:
    try:
        return read_day(form["ordinance_date"])
    except ValueError:
        form.refuse("ordinance_date", "web.form.no-birth-date")
        return None
