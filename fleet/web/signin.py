"""Signing in and out. Guessing is slow: few failures per account and per address, then a pause.

A role that does not belong to this process is told so plainly, with status 403 and no session.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from aiohttp import web
from aiohttp_session import get_session, new_session

from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import render
from fleet.web.session import ACCOUNTS, SESSION_S, SITE
from wire.clock import Clock

FAILURES_MAX: Final = 5
"""A person mistypes twice or three times; a guesser needs thousands."""
PAUSE_S: Final = 300
"""With 5 tries each 5 minutes a guesser has 1,440 a day: less than one word of a small list."""
WATCHED_MAX: Final = 10_000
"""Names and addresses remembered, about 1 MB; beyond it the longest unused is forgotten."""
_FIELDS: Final = {"account": 64, "password": 200, "next": 200}


class SignInLimit:
    """Counts failed sign-ins per account and per address; durations by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[int]] = OrderedDict()

    def _recent(self, key: str) -> list[int]:
        since = self._clock.monotonic_ns() - PAUSE_S * 1_000_000_000
        return [at for at in self._failures.get(key, []) if at > since]

    def paused(self, *keys: str) -> bool:
        """True when one of these has failed FAILURES_MAX times within PAUSE_S."""
        return any(len(self._recent(key)) >= FAILURES_MAX for key in keys)

    def failed(self, *keys: str) -> None:
        """Count one failure for each of these."""
        for key in keys:
            self._failures[key] = [*self._recent(key), self._clock.monotonic_ns()]
            self._failures.move_to_end(key)
        while len(self._failures) > WATCHED_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of these."""
        for key in keys:
            self._failures.pop(key, None)


LIMIT: Final = web.AppKey("sign_in_limit", SignInLimit)
routes = web.RouteTableDef()


@routes.get("/login")
async def show(request: web.Request) -> web.Response:
    """The form."""
    form = empty_form(request, next=request.query.get("next", ""))
    return await render(request, "login.html", form=form)


@routes.post("/login")
async def sign_in(request: web.Request) -> web.Response:
    """Begin a session, or say one sentence that tells a guesser nothing."""
    form = await read_form(request, _FIELDS)
    form.require("account", "password")
    if form.errors:
        return await _again(request, form, 422)
    limit = request.app[LIMIT]
    keys = (f"account {form['account'].casefold()}", f"address {request.remote}")
    if limit.paused(*keys):
        form.refuse("account", "web.login.paused", minutes=PAUSE_S // 60)
        return await _again(request, form, 429)
    accounts = request.app[ACCOUNTS]
    account = await asyncio.to_thread(accounts.sign_in, form["account"], form["password"])
    if account is None:
        limit.failed(*keys)
        form.refuse("account", "web.login.wrong")
        return await _again(request, form, 401)
    limit.succeeded(*keys)
    if account.role != request.app[SITE].role:
        raise web.HTTPForbidden(reason="role")
    session = await new_session(request)
    session["session"] = await asyncio.to_thread(accounts.begin, account, SESSION_S)
    raise web.HTTPSeeOther(_inside(form["next"]))


def _inside(path: str) -> str:
    """Return a path of this site; whatever else was asked for becomes the first page."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"


async def _again(request: web.Request, form: Form, status: int) -> web.Response:
    return await render(request, "login.html", status=status, form=form)


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    """End the session on the server, then in the browser."""
    session = await get_session(request)
    await asyncio.to_thread(request.app[ACCOUNTS].end, str(session["session"]))
    session.invalidate()
    raise web.HTTPSeeOther("/login")
