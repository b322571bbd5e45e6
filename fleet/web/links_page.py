"""他システムとの連携: which other systems may ask, and which are told; for administrators.

Where data of members go is decided by who administers the programme, not by each clerk; an
administrator sees no member here: deliveries name registration numbers and nothing else. A token
and a secret are shown once, on the answer to the form that made them, and nowhere again.
"""

from typing import Any, Final

import msgspec
import sqlalchemy as sa
from aiohttp import web

from fleet import api_clients, webhooks
from fleet.api_clients import ClientRefused, Scope
from fleet.rights import OfficeRole
from fleet.schema import webhook
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, empty_form, read_form, read_post
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number, programmes_of, require
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import language_of
from fleet.webhook_addresses import URL_MAX, WebhookRefused, is_private
from fleet.webhook_events import Event
from programmes.texts import say

PATH: Final = "/links"
ADMIN: Final = (OfficeRole.ADMIN,)
MARKS: Final = {
    "idle": "ok",
    "sending": "info",
    "failing": "warn",
    "given-up": "bad",
    "ended": "off",
}
"""The shape of each state of a webhook."""
_FIELD: Final = {"name": "client", "taken": "client", "programme": "programme", "scopes": "scopes"}
"""Beside which field a refused client is explained."""
routes = web.RouteTableDef()


def _by(request: web.Request) -> tuple[str, int]:
    return account_of(request).name, request.app[CLOCK].now_ms()


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    mine = programmes_of(request, *ADMIN)
    language = language_of(request)
    return await render(
        request,
        "links.html",
        status,
        section=PATH,
        clients=await read(request.app[FLEET], api_clients.everyone, mine),
        hooks=await read(request.app[PERSONS], webhooks.everyone, mine),
        programmes=[(name, say(f"web.programme.{name}", language)) for name in mine],
        scopes=list(Scope),
        chosen=set(form["scopes"].split()),
        is_private=is_private,
        marks=MARKS,
        form=form,
    )


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Both lists, and the forms for new ones."""
    return await _page(request, empty_form(request))


async def _shown_once(request: web.Request, kind: str, name: str, secret: str) -> web.Response:
    return await render(
        request, "links_once.html", 201, section=PATH, kind=kind, name=name, secret=secret
    )


@routes.post(f"{PATH}/clients")
async def add_client(request: web.Request) -> web.Response:
    """Add a client; its token is on the answer."""
    form = await read_form(request, {"client": api_clients.NAME_MAX, "programme": 32})
    sent = await read_post(request)
    scopes = [scope for scope in Scope if f"scope-{scope}" in sent]
    form.values["scopes"] = " ".join(scopes)
    form.require("client", "programme")
    if not scopes:
        form.refuse("scopes", "web.links.refused.scopes")
    if form.errors:
        return await _page(request, form, 422)
    programme = require(request, form["programme"], *ADMIN)
    try:
        token = await change(
            request.app[FLEET], api_clients.add, form["client"], programme, scopes, *_by(request)
        )
    except ClientRefused as error:
        form.refuse(_FIELD.get(error.reason, "client"), f"web.links.refused.{error.reason}")
        return await _page(request, form, 409)
    return await _shown_once(request, "client", form["client"], token)


def _require_mine(connection: sa.Connection, name: str, mine: tuple[str, ...]) -> None:
    if name not in [one.name for one in api_clients.everyone(connection, mine)]:
        raise web.HTTPNotFound


@routes.post(f"{PATH}/clients/{{name}}/end")
async def end_client(request: web.Request) -> web.Response:
    """Let its token open nothing from now on."""
    name, mine = request.match_info["name"], programmes_of(request, *ADMIN)
    await read(request.app[FLEET], _require_mine, name, mine)
    try:
        await change(request.app[FLEET], api_clients.end, name, *_by(request))
    except ClientRefused:
        await flash(request, Flash("warn", "web.links.client-gone"))
    else:
        await flash(request, Flash("ok", "web.links.client-ended", {"name": name}))
    raise web.HTTPSeeOther(PATH)


@routes.post(f"{PATH}/webhooks")
async def add_webhook(request: web.Request) -> web.Response:
    """Add an address; its secret is on the answer."""
    form = await read_form(request, {"url": URL_MAX, "programme": 32})
    form.require("url", "programme")
    if form.errors:
        return await _page(request, form, 422)
    programme = require(request, form["programme"], *ADMIN)
    try:
        _, secret = await change(
            request.app[PERSONS], webhooks.add, programme, form["url"], *_by(request)
        )
    except WebhookRefused as error:
        form.refuse("url", f"web.links.refused.{error.reason}")
        return await _page(request, form, 409)
    return await _shown_once(request, "webhook", form["url"], webhooks.written(secret))


def _programme(connection: sa.Connection, webhook_id: int) -> str | None:
    wanted = sa.select(webhook.c.programme).where(webhook.c.id == webhook_id)
    found: str | None = connection.scalar(wanted)
    return found


async def _in_reach(request: web.Request) -> tuple[int, str]:
    """Return the webhook in the address and its programme. Raises HTTPNotFound."""
    webhook_id = number(request, "webhook")
    programme = await read(request.app[PERSONS], _programme, webhook_id)
    if programme is None:
        raise web.HTTPNotFound
    return webhook_id, require(request, programme, *ADMIN)


def _see(connection: sa.Connection, webhook_id: int, programme: str) -> tuple[Any, list[Any]]:
    every = webhooks.everyone(connection, [programme])
    one = next(found for found in every if found.id == webhook_id)
    told = [
        (row, msgspec.json.decode(row.body, type=Event))
        for row in webhooks.told(connection, webhook_id)
    ]
    return one, told


@routes.get(rf"{PATH}/webhooks/{{webhook:\d+}}")
async def show_webhook(request: web.Request) -> web.Response:
    """What one address was told last, and what waits for it."""
    one, told = await read(request.app[PERSONS], _see, *await _in_reach(request))
    return await render(
        request,
        "links_webhook.html",
        section=PATH,
        one=one,
        told=told,
        is_private=is_private(one.url),
        marks=MARKS,
    )


@routes.post(rf"{PATH}/webhooks/{{webhook:\d+}}/go-on")
async def go_on(request: web.Request) -> web.Response:
    """Try at once what waits first."""
    webhook_id, _ = await _in_reach(request)
    try:
        await change(request.app[PERSONS], webhooks.go_on, webhook_id, *_by(request))
    except WebhookRefused as error:
        await flash(request, Flash("warn", f"web.links.refused.{error.reason}"))
    else:
        await flash(request, Flash("ok", "web.links.tried-again"))
    raise web.HTTPSeeOther(f"{PATH}/webhooks/{webhook_id}")


@routes.post(rf"{PATH}/webhooks/{{webhook:\d+}}/end")
async def end_webhook(request: web.Request) -> web.Response:
    """Tell an address nothing more."""
    webhook_id, _ = await _in_reach(request)
    try:
        await change(request.app[PERSONS], webhooks.end, webhook_id, *_by(request))
    except WebhookRefused as error:
        await flash(request, Flash("warn", f"web.links.refused.{error.reason}"))
    else:
        await flash(request, Flash("ok", "web.links.webhook-ended"))
    raise web.HTTPSeeOther(PATH)
