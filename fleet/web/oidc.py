"""Signing in by the city's provider, and out again.

The office's cookie is for no other site, so a browser that comes back from the provider does not
send it. What it keeps meanwhile lies sealed in a cookie of its own, for ten minutes; and the answer
to its coming back is a page that leads on, as a page of the office itself.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import structlog
from aiohttp import web

from fleet.config import Config
from fleet.sealing import Unsealable
from fleet.sign_in_oidc import PENDING_MS, OidcRefused, Pending, Provider
from fleet.web.forms import Form, empty_form
from fleet.web.pages import render
from fleet.web.second_factor import SEALER, site_of
from fleet.web.session import ACCOUNTS, LEFT_PATH, NEXT_MAX, PROVIDER, SITE, came_by_tls, inside
from fleet.web.signin import again, begin_session
from wire.clock import Clock

OIDC: Final = web.AppKey("oidc", Provider)
BACK: Final = "/oidc/back"
COOKIE: Final = "kazasu_oidc"
_PURPOSE: Final = "oidc"
_ANSWER_MAX: Final = 2_000
"""Characters of a code or a state that a provider sends; they have some dozen."""
routes = web.RouteTableDef()


def provider_of(config: Config, clock: Clock) -> Provider | None:
    """Return the provider of the configuration. Raises OSError when its secret cannot be read."""
    if config.oidc is None:
        return None
    secret = Path(config.oidc.client_secret_file).read_text("utf-8").strip()
    return Provider(config.oidc, secret, clock)


def _provider(request: web.Request) -> Provider:
    if OIDC not in request.app:
        raise web.HTTPNotFound
    return request.app[OIDC]


def _back(request: web.Request) -> str:
    return f"{site_of(request).origin}{BACK}"


@routes.get("/oidc")
async def begin(request: web.Request) -> web.Response:
    """Go to the provider."""
    wish = inside(request.query.get("next", "")[:NEXT_MAX])
    try:
        address, pending = await _provider(request).begin(_back(request), wish)
    except OidcRefused as error:
        return await _refused(request, error)
    answer = web.HTTPSeeOther(address)
    sealed = request.app[SEALER].seal(msgspec.json.encode(pending), _PURPOSE)
    answer.set_cookie(
        COOKIE,
        sealed.hex(),
        max_age=PENDING_MS // 1000,
        path="/oidc",
        httponly=True,
        samesite="Lax",
        secure=came_by_tls(request),
    )
    raise answer


@routes.get(BACK)
async def come_back(request: web.Request) -> web.Response:
    """Begin a session for the account that the provider's subject is bound to."""
    provider = _provider(request)
    try:
        pending = _pending(request)
        answer = {name: value[:_ANSWER_MAX] for name, value in request.query.items()}
        subject = await provider.finish(_back(request), pending, answer)
    except OidcRefused as error:
        return await _refused(request, error)
    bound = f"{provider.issuer} {subject}"
    accounts = request.app[ACCOUNTS]
    account = await asyncio.to_thread(accounts.sign_in_by, bound)
    if account is None or account.role != request.app[SITE].role:
        return await _refused(request, OidcRefused("unknown", subject))
    await begin_session(request, account, PROVIDER)
    page = await render(request, "message.html", code="oidc-done", reference="")
    return _forget(_leading_to(page, pending.next))


def _leading_to(page: web.Response, address: str) -> web.Response:
    """Let the page lead on by itself: what it asks for then, it asks for as ours."""
    page.headers["Refresh"] = f"0; url={address}"
    return page


def _pending(request: web.Request) -> Pending:
    """Return what this browser kept. Raises OidcRefused."""
    try:
        sealed = bytes.fromhex(request.cookies.get(COOKIE, ""))
        opened = request.app[SEALER].open(sealed, _PURPOSE)
        return msgspec.json.decode(opened, type=Pending)
    except (ValueError, Unsealable) as error:
        raise OidcRefused("late", "cookie") from error


def _forget(response: web.Response) -> web.Response:
    response.del_cookie(COOKIE, path="/oidc")
    return response


async def _refused(request: web.Request, error: OidcRefused) -> web.Response:
    """The sign-in page, with the sentence that says why and what to do."""
    structlog.get_logger().warning("oidc.refused", reason=error.reason, detail=error.detail)
    form: Form = empty_form(request, next="")
    label = _provider(request).label
    shown = error.detail if error.reason == "unknown" else ""
    form.refuse("oidc", f"web.oidc.refused.{error.reason}", label=label, subject=shown)
    return _forget(await again(request, form, 401))


@routes.get(LEFT_PATH)
async def leave(request: web.Request) -> web.Response:
    """End the provider's session too: a page of ours leads there, as a form of ours may not."""
    address = await _provider(request).end_address(f"{site_of(request).origin}/login")
    return _leading_to(
        await render(request, "message.html", code="oidc-left", reference=""), address
    )
