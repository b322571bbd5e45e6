"""One's own safety: the password, second factors, and where else one is signed in."""

from io import BytesIO
from typing import Any, Final

import segno
import sqlalchemy as sa
from aiohttp import web
from markupsafe import Markup

from fleet import accounts, audit, second_factor, sessions
from fleet.accounts import PASSWORD_MAX, PASSWORD_MIN
from fleet.schema import account
from fleet.second_factor import FactorRefused
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number
from fleet.web.second_factor import (
    ANSWER_MAX,
    SEALER,
    TENANT,
    keep_challenge,
    require,
    site_of,
    take_challenge,
    takes_keys,
    token_of,
)
from fleet.web.session import ACCOUNTS, FIRST_PATH, Flash, account_of, flash, idle_ms
from fleet.web.signin import HASHES, LIMIT, PAUSE_S, TooManyWaiting

PATH: Final = "/security"
LABEL_MAX: Final = 40
"""Characters of a factor's name, such as «私のスマホ»."""
routes = web.RouteTableDef()


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """All of it."""
    return await _page(request, empty_form(request))


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    name, store = account_of(request).name, request.app[FLEET]
    token, now_ms = await token_of(request), request.app[CLOCK].now_ms()
    rows = await read(store, sessions.open_ones, name, now_ms, idle_ms(request))
    return await render(
        request,
        "security.html",
        status,
        section=PATH,
        form=form,
        factors=await read(store, second_factor.listed, name),
        sessions=[(row, sessions.is_key(token, row.token_sha256)) for row in rows],
        has_password=await read(store, _has_password, name),
        keys=takes_keys(request),
        least=PASSWORD_MIN,
    )


def _has_password(connection: sa.Connection, name: str) -> bool:
    password = sa.select(account.c.password).where(account.c.name == name)
    return bool(connection.scalar(password))


# --- the password --------------------------------------------------------------------------------


@routes.get(FIRST_PATH)
async def show_password(request: web.Request) -> web.Response:
    """The form alone: all that somebody sees who was given a password."""
    return await _password_page(request, empty_form(request))


async def _password_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    return await render(
        request, "password.html", status, section=PATH, form=form, least=PASSWORD_MIN
    )


@routes.post(FIRST_PATH)
async def change_password(request: web.Request) -> web.Response:
    """Take a new password from who knows the old one; every other session ends."""
    form = await read_form(request, dict.fromkeys(("password", "fresh", "again"), PASSWORD_MAX))
    form.require("password", "fresh", "again")
    name, limit = account_of(request).name, request.app[LIMIT]
    key = f"password {name.casefold()}"
    _judge(form)
    if form.errors:
        return await _password_page(request, form, 422)
    if not limit.reserve(key):
        form.refuse("password", "web.login.paused", minutes=PAUSE_S // 60)
        return await _password_page(request, form, 429)
    try:
        right = await request.app[HASHES].run(
            request.app[ACCOUNTS].has_password, name, form["password"]
        )
        if not right:
            form.refuse("password", "web.security.wrong")
            return await _password_page(request, form, 401)
        limit.succeeded(key)
        now_ms, token = request.app[CLOCK].now_ms(), await token_of(request)
        await change(request.app[FLEET], _change_password, name, form["fresh"], token, now_ms)
    except TooManyWaiting:
        form.refuse("password", "web.login.busy", seconds=5)
        return await _password_page(request, form, 429)
    await flash(request, Flash("ok", "web.security.changed"))
    raise web.HTTPSeeOther(PATH)


def _judge(form: Form) -> None:
    """Refuse what cannot be the new password."""
    if form["fresh"] and len(form["fresh"]) < PASSWORD_MIN:
        form.refuse("fresh", "web.security.short", least=PASSWORD_MIN)
    if form["fresh"] and form["fresh"] == form["password"]:
        form.refuse("fresh", "web.security.same")
    if form["again"] and form["again"] != form["fresh"]:
        form.refuse("again", "web.security.not-again")


def _change_password(
    connection: sa.Connection, name: str, fresh: str, token: str, at_ms: int
) -> None:
    accounts.set_password(connection, name, fresh)
    ended = sessions.end_all(connection, name, but=token)
    audit.note(connection, at_ms, name, "account.password-changed", name, f"{ended} sessions ended")


@routes.post(PATH + "/sessions")
async def end_others(request: web.Request) -> web.Response:
    """Sign out everywhere but here."""
    token, now_ms = await token_of(request), request.app[CLOCK].now_ms()
    name = account_of(request).name
    ended = await change(request.app[FLEET], _end_others, name, token, now_ms)
    await flash(request, Flash("ok", "web.security.ended", {"n": str(ended)}))
    raise web.HTTPSeeOther(PATH)


def _end_others(connection: sa.Connection, name: str, token: str, at_ms: int) -> int:
    ended = sessions.end_all(connection, name, but=token)
    audit.note(connection, at_ms, name, "account.sessions-ended", name, str(ended))
    return ended


# --- second factors ------------------------------------------------------------------------------


async def _require_old_factor(request: web.Request) -> None:
    """Who has a factor shows it before he changes any: an open screen is not enough."""
    if account_of(request).has_second:
        await require(request)


@routes.post(PATH + "/app")
async def begin_app(request: web.Request) -> web.Response:
    """Make a secret for an app, and show it."""
    await _require_old_factor(request)
    name, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(
            request.app[FLEET], second_factor.begin_totp, request.app[SEALER], name, now_ms
        )
    except FactorRefused as error:
        return await _refused(request, error)
    raise web.HTTPSeeOther(f"{PATH}/app")


async def _refused(request: web.Request, error: FactorRefused) -> web.Response:
    form = empty_form(request)
    form.refuse("second", f"web.second.refused.{error.reason}")
    return await _page(request, form, 409)


@routes.get(PATH + "/app")
async def show_app(request: web.Request) -> web.Response:
    """The picture for the app, and the form for its first code."""
    await _require_old_factor(request)
    return await _app_page(request, empty_form(request))


async def _app_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    name = account_of(request).name
    sealer = request.app[SEALER]
    secret = await read(request.app[FLEET], second_factor.waiting_totp, sealer, name)
    if secret is None:
        raise web.HTTPSeeOther(PATH)
    uri = second_factor.uri_of(secret, name, request.app[TENANT])
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return await render(
        request, "second-app.html", status, section=PATH, form=form, picture=qr(uri), secret=groups
    )


def qr(text: str) -> Markup:
    """Return a QR code as an SVG element; black on white also where the page is dark."""
    out = BytesIO()
    segno.make(text, micro=False).save(
        out, kind="svg", border=4, omitsize=True, light="#fff", xmldecl=False, svgns=False,
        svgclass="qr", lineclass=None,
    )  # fmt: skip
    return Markup(out.getvalue().decode())  # noqa: S704  made here, of numbers alone


@routes.post(PATH + "/app/confirm")
async def confirm_app(request: web.Request) -> web.Response:
    """Let the app count, as it showed the right code."""
    form = await read_form(request, {"label": LABEL_MAX, "second_code": 20})
    form.require("second_code")
    if form.errors:
        return await _app_page(request, form, 422)
    name, limit = account_of(request).name, request.app[LIMIT]
    key = f"second {name.casefold()}"
    if not limit.reserve(key):
        form.refuse("second_code", "web.second.refused.paused", minutes=PAUSE_S // 60)
        return await _app_page(request, form, 429)
    now_ms, sealer, store = request.app[CLOCK].now_ms(), request.app[SEALER], request.app[FLEET]
    label, code = form["label"], form["second_code"]
    try:
        await change(store, second_factor.confirm_totp, sealer, name, label, code, now_ms)
    except FactorRefused as error:
        form.refuse("second_code", f"web.second.refused.{error.reason}")
        return await _app_page(request, form, 409)
    limit.succeeded(key)
    return await _added(request)


async def _added(request: web.Request) -> web.Response:
    """It was just shown: this session need not show it again at once."""
    now_ms = request.app[CLOCK].now_ms()
    await change(request.app[FLEET], sessions.second_shown, await token_of(request), now_ms)
    await flash(request, Flash("ok", "web.security.added"))
    raise web.HTTPSeeOther(f"{PATH}#second")


@routes.get(PATH + "/key")
async def show_key(request: web.Request) -> web.Response:
    """What the browser asks a new key for."""
    await _require_old_factor(request)
    return await _key_page(request, empty_form(request))


async def _key_page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    if not takes_keys(request):
        raise web.HTTPSeeOther(PATH)
    args: tuple[Any, ...] = (site_of(request), account_of(request).name, request.app[TENANT])
    try:
        challenge, options = await read(request.app[FLEET], second_factor.creation_options, *args)
    except FactorRefused as error:
        return await _refused(request, error)
    await keep_challenge(request, challenge)
    return await render(
        request, "second-key.html", status, section=PATH, form=form, options=options
    )


@routes.post(PATH + "/key")
async def add_key(request: web.Request) -> web.Response:
    """Keep a new key."""
    await _require_old_factor(request)
    form = await read_form(request, {"label": LABEL_MAX, "second_answer": ANSWER_MAX})
    name, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        challenge = await take_challenge(request)
        await change(
            request.app[FLEET],
            second_factor.add_key,
            site_of(request),
            name,
            form["label"],
            challenge,
            form["second_answer"],
            now_ms,
        )
    except FactorRefused as error:
        form.refuse("label", f"web.second.refused.{error.reason}")
        return await _key_page(request, form, 409)
    return await _added(request)


@routes.post(PATH + r"/factors/{factor:\d+}/remove")
async def remove(request: web.Request) -> web.Response:
    """Take one factor away."""
    await _require_old_factor(request)
    name, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(
            request.app[FLEET], second_factor.remove, name, number(request, "factor"), now_ms
        )
    except FactorRefused as error:
        return await _refused(request, error)
    await flash(request, Flash("ok", "web.security.removed"))
    raise web.HTTPSeeOther(f"{PATH}#second")
