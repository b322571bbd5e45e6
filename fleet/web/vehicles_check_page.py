"""確認する乗車: rides that a company looks at again, each with why and what to do; and one ride."""

from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import office_rides, usage, vehicles, vehicles_check
from fleet.office_rides import OfficeRideRefused
from fleet.vehicles_check import DOUBTS, KINDS, NOT_SETTLED, PAIR, Span
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.session import Flash, account_of, flash
from fleet.web.vehicles_reach import Company, company_of, ride_in_reach
from fleet.web.words import language_of
from programmes.texts import say

PATH: Final = "/vehicles/check"
DAYS: Final = (7, 31, 92)
"""A week, a month of claims, a quarter."""
WHY_MAX: Final = 200
routes = web.RouteTableDef()


def labels_of(rows: list[Any], language: str) -> dict[str, str]:
    """Return the vehicles' names for people."""
    return {
        row.name: (row.label_en if language == "en" else row.label_ja) or row.name for row in rows
    }


async def vehicle_labels(request: web.Request, company: Company) -> dict[str, str]:
    """Return the names of a company's vehicles, by place."""
    store, told = request.app[FLEET], (company.programme, company.organisation)
    rows = await read(store, vehicles.places_of, *told)
    return labels_of(rows, language_of(request))


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """How many there are of each kind, and the rides of one kind or of all."""
    company = await company_of(request)
    days = next((n for n in DAYS if str(n) == request.query.get("days")), DAYS[0])
    kind = request.query.get("kind", "")
    kind = kind if kind in KINDS else ""
    told = (company.programme, company.organisation, days, request.app[CLOCK].now_ms())
    span = Span.of(*told)
    store = request.app[FLEET]
    by_hand = await read(store, vehicles_check.entered, span)
    cards = await read(request.app[PERSONS], usage.cards_of_members, list(by_hand))
    pairs = await read(store, vehicles_check.pairs, span, by_hand, cards)
    not_settled = await read(store, vehicles_check.not_settled, span)
    counts = await read(store, vehicles_check.counts, span)
    is_doubt = kind in DOUBTS or not kind
    return await render(
        request,
        "vehicles_check.html",
        section=PATH,
        company=company,
        days=days,
        all_days=DAYS,
        kind=kind,
        counts={NOT_SETTLED: len(not_settled), PAIR: len(pairs), **counts},
        not_settled=not_settled if kind in ("", NOT_SETTLED) else [],
        pairs=pairs if kind in ("", PAIR) else [],
        rides=await read(store, vehicles_check.doubtful, span, kind) if is_doubt else [],
        labels=await vehicle_labels(request, company),
    )


# --- one ride ------------------------------------------------------------------------------------


async def _ride_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    ride_id, is_city = await ride_in_reach(request)
    found = await read(request.app[FLEET], vehicles_check.whole, ride_id)
    if found is None:
        raise web.HTTPNotFound
    return await render(
        request,
        "vehicles_ride.html",
        status,
        section=PATH,
        found=found,
        one=found.ride,
        is_city=is_city,
        form=form,
    )


@routes.get(r"/vehicles/rides/{ride:\d+}")
async def show_ride(request: web.Request) -> web.Response:
    """One ride, and the form that takes it back."""
    return await _ride_page(request, empty_form(request))


@routes.post(r"/vehicles/rides/{ride:\d+}/take-back")
async def take_back(request: web.Request) -> web.Response:
    """Take a ride back, with a reason."""
    ride_id, is_city = await ride_in_reach(request)
    form = await read_form(request, {"why": WHY_MAX})
    form.require("why")
    if form.errors:
        return await _ride_page(request, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()

    def do(connection: sa.Connection) -> None:
        office_rides.take_back(connection, ride_id, who, form["why"], now_ms, is_city=is_city)

    try:
        await change(request.app[FLEET], do)
    except OfficeRideRefused as refused:
        form.refuse("why", f"web.office-ride.refused.{refused.reason}")
        return await _ride_page(request, form, 409)
    await flash(request, Flash("ok", "web.office-ride.taken-back"))
    raise web.HTTPSeeOther(f"/vehicles/rides/{ride_id}")


@routes.post(r"/vehicles/rides/{ride:\d+}/undo")
async def undo(request: web.Request) -> web.Response:
    """Take back what was just entered."""
    ride_id, _ = await ride_in_reach(request)
    why = say("web.office-ride.undo.why", language_of(request))
    told = (ride_id, account_of(request).name, why, request.app[CLOCK].now_ms())
    try:
        await change(request.app[FLEET], office_rides.undo, *told)
    except OfficeRideRefused as refused:
        await flash(request, Flash("warn", f"web.office-ride.refused.{refused.reason}"))
    else:
        await flash(request, Flash("ok", "web.office-ride.taken-back"))
    raise web.HTTPSeeOther(f"/vehicles/rides/{ride_id}")
