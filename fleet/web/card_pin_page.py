"""カードとPIN: a member sets the PIN beside his card, changes it, or takes it away.

Rules: whose PIN it is comes from the account alone; an open screen is not enough, the password is
typed once more, or the provider has been asked a short while ago; who may do anything in the office
has none.
"""

from typing import Final

import sqlalchemy as sa
from aiohttp import web

from fleet import card_pin, sessions
from fleet.card_pin import FAILURES_MAX, PIN_MAX, PIN_MIN, PinRefused
from fleet.schema import account
from fleet.second_factor import FRESH_MS
from fleet.web.card_sign_in_page import PIN_FIELD
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.own_data import own_member
from fleet.web.pages import CLOCK, render
from fleet.web.second_factor import SEALER, require, token_of
from fleet.web.session import ACCOUNTS, Flash, account_of, flash
from fleet.web.signin import BUSY_S, HASHES, LIMIT, PAUSE_S, TooManyWaiting

PATH: Final = "/security/card-pin"
_PASSWORD: Final = {"password": 256}
_PINS: Final = {"pin": PIN_FIELD, "pin_again": PIN_FIELD}
routes = web.RouteTableDef()


def _require_own_only(request: web.Request) -> int:
    """Return whose PIN this is. Raises HTTPForbidden for who may do more than see his own days."""
    if not account_of(request).is_own_only:
        raise web.HTTPForbidden(reason="right")
    return own_member(request)


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """How it stands, and the form; after the second factor of whoever has one."""
    _require_own_only(request)
    if account_of(request).has_second:
        await require(request)
    return await _page(request, empty_form(request))


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    member_id = _require_own_only(request)
    return await render(
        request,
        "card_pin.html",
        status,
        section="/security",
        form=form,
        kept=await read(request.app[PERSONS], card_pin.kept, member_id),
        has_password=await read(request.app[FLEET], _has_password, account_of(request).name),
        least=PIN_MIN,
        most=PIN_MAX,
        tries=FAILURES_MAX,
    )


def _has_password(connection: sa.Connection, name: str) -> bool:
    kept = sa.select(account.c.password).where(account.c.name == name)
    return bool(connection.scalar(kept))


@routes.post(PATH)
async def keep(request: web.Request) -> web.Response:
    """Take a new PIN from who knows the password; an old one and its wrong tries count no more."""
    member_id = _require_own_only(request)
    if _lacks_second(request):
        raise web.HTTPSeeOther(PATH)  # without the form: a PIN is held by no page
    form = await read_form(request, _PASSWORD | _PINS)
    pin, store = card_pin.plain(form["pin"]), request.app[PERSONS]
    form.require("pin", "pin_again")
    if form["pin"] and form["pin_again"] and card_pin.plain(form["pin_again"]) != pin:
        form.refuse("pin_again", "web.card-pin.refused.again")
    try:
        await read(store, card_pin.check, member_id, pin)
    except PinRefused as refused:
        form.refuse("pin", f"web.card-pin.refused.{refused.reason}", least=PIN_MIN, most=PIN_MAX)
    if status := await _prove(request, form):
        return await _page(request, form, status)
    name, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        sealed = await request.app[HASHES].run(card_pin.seal, request.app[SEALER], member_id, pin)
        await change(store, card_pin.keep, member_id, name, sealed, now_ms)
    except TooManyWaiting:
        form.refuse("pin", "web.login.busy", seconds=BUSY_S)
        return await _page(request, form, 429)
    except PinRefused:
        raise web.HTTPForbidden(reason="right") from None
    await flash(request, Flash("ok", "web.card-pin.kept"))
    raise web.HTTPSeeOther(PATH)


@routes.post(PATH + "/remove")
async def remove(request: web.Request) -> web.Response:
    """Let the card open nothing. Whoever sits at an open screen may: it takes only away."""
    member_id = _require_own_only(request)
    name, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    await change(request.app[PERSONS], card_pin.remove, member_id, name, now_ms)
    await flash(request, Flash("ok", "web.card-pin.removed"))
    raise web.HTTPSeeOther(PATH)


def _lacks_second(request: web.Request) -> bool:
    """True for one whose second factor was not shown a short while ago."""
    who, now_ms = account_of(request), request.app[CLOCK].now_ms()
    shown_ms = who.second_at_ms
    return who.has_second and (shown_ms is None or now_ms - shown_ms > FRESH_MS)


async def _prove(request: web.Request, form: Form) -> int:
    """Refuse unless the owner himself is here; return the status of what is wrong, else 0."""
    name, limit = account_of(request).name, request.app[LIMIT]
    if not await read(request.app[FLEET], _has_password, name):
        if not await _is_fresh(request):
            form.refuse("pin", "web.card-pin.refused.stale", minutes=FRESH_MS // 60_000)
        return 422 if form.errors else 0
    form.require("password")
    if form.errors:
        return 422
    key = f"password {name.casefold()}"
    if not limit.reserve(key):
        form.refuse("password", "web.login.paused", minutes=PAUSE_S // 60)
        return 429
    try:
        accounts, typed = request.app[ACCOUNTS], form["password"]
        right = await request.app[HASHES].run(accounts.has_password, name, typed)
    except TooManyWaiting:
        form.refuse("password", "web.login.busy", seconds=BUSY_S)
        return 429
    if not right:
        form.refuse("password", "web.security.wrong")
        return 401
    limit.succeeded(key)
    return 0


async def _is_fresh(request: web.Request) -> bool:
    """True when the provider was asked a short while ago."""
    now_ms = request.app[CLOCK].now_ms()
    row = await read(request.app[FLEET], sessions.find, await token_of(request), now_ms)
    return row is not None and now_ms - row.begun_at_ms <= FRESH_MS
