"""カードなし乗車: a ride without a card or from a paper ticket, looked at before it is entered.

What is typed is kept from one slip to the next as far as it stays the same. Of a rider the company
learns whether he can be used, and why not; never a name.
"""

import datetime
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa
from aiohttp import web

from fleet import office_rides, rules, vehicles_check
from fleet.office_rides import MEDIA, Known, Looked, Named, NewRide, OfficeRideRefused
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.session import Flash, account_of, flash
from fleet.web.vehicles_check_page import vehicle_labels
from fleet.web.vehicles_reach import Company, company_of, require_writing
from fleet.web.words import language_of, number
from programmes.calendar import local_day, start_of_day_ms
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused, rule_in_force
from programmes.texts import say

PATH: Final = "/vehicles/enter"
SEATS: Final = 4
"""Riders of one slip: behind the driver of an ordinary taxi."""
FARE_YEN_MAX: Final = 200_000
"""Across a whole region; more is a slip of the pen."""
STAMP: Final = 32
STAYS: Final = ("reason", "day", "vehicle", "driver")
"""What the next slip of a stack has in common with this one."""
_RIDER: Final = {"number": 32, "letter": 4, "ticket": 20}
LIMITS: Final[Mapping[str, int]] = {
    "reason": 16,
    "day": 10,
    "time": 5,
    "vehicle": 32,
    "driver": 40,
    "fare": 12,
    "discount": 40,
    "why": 200,
    "seen": STAMP,
    **{f"{name}{seat}": most for seat in range(1, SEATS + 1) for name, most in _RIDER.items()},
}
routes = web.RouteTableDef()


class Slip(NamedTuple):
    """What the form names, before anybody knows whether it can be entered."""

    new: NewRide
    stamp: str
    """Of all that was typed: what is entered is what was looked at."""


# --- reading the form ----------------------------------------------------------------------------


def _labels(request: web.Request) -> dict[str, str]:
    language = language_of(request)
    return {
        name: say(f"web.office-ride.{name.rstrip('1234')}", language)
        for name in LIMITS
        if name != "why"
    }


def _fare(form: Form) -> int:
    text = unicodedata.normalize("NFKC", form["fare"]).replace(",", "").removesuffix("円").strip()
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= FARE_YEN_MAX:
        form.refuse("fare", "web.office-ride.no-fare", most=FARE_YEN_MAX)
        return 0
    return int(text)


def _boarded_ms(form: Form, now_ms: int) -> int:
    day = form.day("day")
    try:
        time = datetime.time.fromisoformat(form["time"])
    except ValueError:
        form.refuse("time", "web.office-ride.no-time")
        return 0
    if day is None:
        return 0
    at_ms = start_of_day_ms(day) + (time.hour * 60 + time.minute) * 60_000
    if day < office_rides.earliest(now_ms) or at_ms > now_ms:
        form.refuse("day", "web.office-ride.no-such-day", days=office_rides.DAYS_MAX)
    return at_ms


def _riders(form: Form) -> tuple[Named, ...]:
    """Return the riders named, one after another from the first seat."""
    found: list[Named] = []
    for seat in range(1, SEATS + 1):
        name, letter, ticket = (form[f"{each}{seat}"] for each in _RIDER)
        if not name:
            if letter or ticket or seat == 1:
                form.refuse(f"number{seat}", "web.office-ride.no-number")
            continue
        if not letter:
            form.refuse(f"letter{seat}", "web.office-ride.no-letter")
        if name in {one.number for one in found}:
            form.refuse(f"number{seat}", "web.office-ride.twice")
        if len(found) != seat - 1:
            form.refuse(f"number{seat - 1}", "web.office-ride.no-number")
        found.append(Named(name, letter, office_rides.plain_ticket(ticket)))
    return tuple(found)


def _slip(form: Form, company: Company, vehicles: Mapping[str, str], now_ms: int) -> Slip:
    for name in ("reason", "vehicle", "driver", "day", "time", "fare"):
        if not form[name]:
            label = say(f"web.office-ride.{name}", form.language)
            form.refuse(name, "web.form.required", field=label)
    if form["vehicle"] not in vehicles:
        form.refuse("vehicle", "web.office-ride.no-vehicle")
    if form["reason"] not in MEDIA:
        form.refuse("reason", "web.office-ride.no-reason")
    new = NewRide(
        company.programme,
        company.organisation,
        form["vehicle"],
        form["driver"],
        _boarded_ms(form, now_ms),
        _riders(form),
        _fare(form),
        form["discount"],
        form["reason"],
        form["why"],
    )
    typed = "\n".join(form[name] for name in LIMITS if name not in ("seen", "why"))
    return Slip(new, hashlib.sha256(typed.encode()).hexdigest()[:STAMP])


# --- looking and entering ------------------------------------------------------------------------


def _identify(
    people: sa.Connection, new: NewRide, who: str, at_ms: int, *, keep: bool
) -> list[Known | None]:
    found = office_rides.identify(people, new.programme, new.riders, who, at_ms)
    if not keep or None in found:
        return found
    return [
        one and office_rides.give_credential(people, new.programme, one, who, at_ms)
        for one in found
    ]


async def _members(
    request: web.Request, form: Form, new: NewRide, *, keep: bool
) -> Sequence[Known]:
    """Return the riders; a form with errors when one of them is nobody."""
    told = (new, account_of(request).name, request.app[CLOCK].now_ms())
    try:
        found = await change(request.app[PERSONS], _identify, *told, keep=keep)
    except OfficeRideRefused as refused:
        form.refuse(refused.field, f"web.office-ride.refused.{refused.reason}")
        return ()
    for seat, one in enumerate(found, 1):
        if one is None:
            form.refuse(f"number{seat}", "web.office-ride.nobody")
    return [one for one in found if one]


def _look(connection: sa.Connection, new: NewRide, riders: Sequence[Known]) -> Looked:
    looked = office_rides.look(connection, new, riders)
    office_rides.require(connection, new, looked)
    return looked


async def _page(
    request: web.Request, company: Company, form: Form, status: int = 200, **shown: Any
) -> web.Response:
    language = language_of(request)
    vehicles = await vehicle_labels(request, company)
    discounts = await read(request.app[FLEET], _discounts, company, request.app[CLOCK].now_ms())
    choose = [("", say("web.office-ride.choose", language))]
    return await render(
        request,
        "office_ride.html",
        status,
        section=PATH,
        company=company,
        form=form,
        seats=range(1, SEATS + 1),
        more=any(form[f"{each}{seat}"] for each in _RIDER for seat in range(2, SEATS + 1)),
        reasons=[(one, say(f"web.office-ride.reason.{one}", language)) for one in MEDIA],
        vehicles=choose + sorted(vehicles.items()),
        discounts=[
            ("", say("web.office-ride.no-discount", language)),
            *((one, one) for one in discounts),
        ],
        today=local_day(request.app[CLOCK].now_ms()),
        **{"looked": None, "stamp": "", "riders": (), **shown},
    )


def _discounts(connection: sa.Connection, company: Company, now_ms: int) -> Sequence[str]:
    book = RULEBOOKS[company.programme].rides
    try:
        table = rule_in_force(rules.load(connection, company.programme), local_day(now_ms))
        return book.discounts(table) if book else ()
    except RuleTableRefused:
        return ()


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """The empty form, with what stays from the slip before."""
    company = await company_of(request)
    require_writing(company)
    values = {name: request.query.get(name, "")[: LIMITS[name]] for name in STAYS}
    values["day"] = values["day"] or local_day(request.app[CLOCK].now_ms()).isoformat()
    values["reason"] = values["reason"] or "paper"
    return await _page(request, company, empty_form(request, **values))


@routes.post(PATH)
async def post(request: web.Request) -> web.Response:
    """Look at a slip; enter it once it was looked at as it stands."""
    company = await company_of(request)
    require_writing(company)
    form = await read_form(request, LIMITS, _labels(request))
    now_ms = request.app[CLOCK].now_ms()
    slip = _slip(form, company, await vehicle_labels(request, company), now_ms)
    keep = form["seen"] == slip.stamp
    riders = () if form.errors else await _members(request, form, slip.new, keep=keep)
    if form.errors:
        return await _page(request, company, form, 422)
    try:
        if keep and not await _lacks_reason(request, form, slip.new, riders):
            told = (slip.new, riders, account_of(request).name, now_ms)
            entered = await change(request.app[FLEET], office_rides.enter, *told)
            return await _entered(request, company, form, entered)
        looked = await read(request.app[FLEET], _look, slip.new, riders)
    except OfficeRideRefused as refused:
        form.refuse(refused.field or "day", f"web.office-ride.refused.{refused.reason}")
        return await _page(request, company, form, 409)
    status = 409 if form.errors else 200
    return await _page(
        request, company, form, status, looked=looked, stamp=slip.stamp, riders=slip.new.riders
    )


async def _lacks_reason(
    request: web.Request, form: Form, new: NewRide, riders: Sequence[Known]
) -> bool:
    """Refuse a form that enters a ride over an allowance without saying why."""
    looked = await read(request.app[FLEET], _look, new, riders)
    if looked.over and not new.why:
        form.refuse("why", "web.office-ride.refused.over-why")
    return bool(form.errors)


async def _entered(
    request: web.Request, company: Company, form: Form, entered: int
) -> web.Response:
    """Say what was entered, with a way back, and lay the next slip out."""
    found = await read(request.app[FLEET], vehicles_check.whole, entered)
    yen = found.ride.subsidy_yen if found else 0
    said = {"subsidy": number(yen, language_of(request))}
    back = f"/vehicles/rides/{entered}/undo"
    await flash(request, Flash("ok", "web.office-ride.entered", said, back))
    stays = {"company": company.organisation, **{name: form[name] for name in STAYS}}
    raise web.HTTPSeeOther(f"{PATH}?{urlencode(stays)}")
