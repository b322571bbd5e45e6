"""Signing in and out. Guessing is slow: few failures per account and per address, then a pause.

An attempt counts as a failure before its password is looked at, so that attempts sent at the same
moment pass the limit no further than one after another; few passwords are hashed at once. A role
that does not belong to this process is told so plainly, with status 403 and no session.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from aiohttp import web
from aiohttp_session import get_session, new_session

from fleet.accounts import Account
from fleet.web.at_desk import browser_of
from fleet.web.browsers import agent_of
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.held import HELD, HELD_PATH
from fleet.web.pages import render
from fleet.web.session import (
    ACCOUNTS,
    LEFT_PATH,
    NEXT_MAX,
    PROVIDER,
    SESSION_S,
    SITE,
    Flash,
    account_of,
    flash,
    inside,
)
from wire.clock import Clock

FAILURES_MAX: Final = 5
"""A person mistypes twice or three times; a guesser needs thousands."""
ADDRESS_FAILURES_MAX: Final = 50
"""A whole counter hall may share one address; with 5 an account, it is a tenth of all guesses."""
DESK_FAILURES_MAX: Final = 20
"""Cards that a desk's reader is asked for in vain: more than a staff room in the morning mistypes,
and with one shared computer a school 5,760 a day, spread over all its cards, of which each takes
five (fleet.card_pin)."""
_ADDRESS: Final = "address "
DESK: Final = "desk "
"""Before a reader, in a key of the limit."""
PAUSE_S: Final = 300
"""With 5 tries each 5 minutes a guesser has 1,440 a day: less than one word of a small list."""
ADDRESS_CHARACTERS_MAX: Final = 45
"""Of an IPv6 address, at its longest."""
WATCHED_MAX: Final = 10_000
"""Names and addresses remembered, about 1 MB; beyond it the longest unused is forgotten."""
HASHES_MAX: Final = 2
"""Passwords hashed at once: argon2id takes 64 MiB and, on a small server, 0.1 s of two cores."""
WAITING_MAX: Final = 8
"""Further ones in line, so that nobody waits longer than about a second."""
BUSY_S: Final = 5
_FIELDS: Final = {"account": 64, "password": 200, "next": NEXT_MAX}


class SignInLimit:
    """Counts failed sign-ins per account and per address; durations by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[int]] = OrderedDict()

    def _recent(self, key: str) -> list[int]:
        since = self._clock.monotonic_ns() - PAUSE_S * 1_000_000_000
        return [at for at in self._failures.get(key, []) if at > since]

    def paused(self, *keys: str) -> bool:
        """True when one of these has failed too often within PAUSE_S."""
        return any(len(self._recent(key)) >= _failures_max(key) for key in keys)

    def reserve(self, *keys: str) -> bool:
        """Count an attempt as failed for each of these, in advance; False when one is paused."""
        if self.paused(*keys):
            return False
        for key in keys:
            self._failures[key] = [*self._recent(key), self._clock.monotonic_ns()]
            self._failures.move_to_end(key)
        while len(self._failures) > WATCHED_MAX:
            self._failures.popitem(last=False)
        return True

    def gave_back(self, key: str) -> None:
        """Count the newest attempt of this as no failure; older ones stay."""
        if recent := self._recent(key)[:-1]:
            self._failures[key] = recent
        else:
            self._failures.pop(key, None)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of these."""
        for key in keys:
            self._failures.pop(key, None)


def _failures_max(key: str) -> int:
    if key.startswith(DESK):
        return DESK_FAILURES_MAX
    return ADDRESS_FAILURES_MAX if key.startswith(_ADDRESS) else FAILURES_MAX


def address_of(request: web.Request) -> str:
    """Return where a browser is: as the proxy in front says, which alone reaches this process."""
    by_proxy = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return _ADDRESS + (by_proxy[:ADDRESS_CHARACTERS_MAX] or str(request.remote))


P = ParamSpec("P")
T = TypeVar("T")


class TooManyWaiting(Exception):
    """WAITING_MAX sign-ins wait already: try again in BUSY_S."""


class HashQueue:
    """Runs what hashes a password: HASHES_MAX at once, WAITING_MAX in line, no more."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(HASHES_MAX, thread_name_prefix="sign-in")
        self._here = 0

    @property
    def full(self) -> bool:
        """True when the next one would have to be sent away."""
        return self._here >= HASHES_MAX + WAITING_MAX

    async def run(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `do` returns, when its turn has come. Raises TooManyWaiting."""
        if self.full:
            raise TooManyWaiting
        self._here += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(do, *args, **kwargs))
        finally:
            self._here -= 1

    def close(self) -> None:
        """Let those in line go; what is being hashed ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


LIMIT: Final = web.AppKey("sign_in_limit", SignInLimit)
HASHES: Final = web.AppKey("sign_in_hashes", HashQueue)
PROVIDER_LABEL: Final = web.AppKey("provider_label", str)
"""What the button of the city's provider says; left out where there is none."""
routes = web.RouteTableDef()


async def keep_threads(app: web.Application) -> AsyncIterator[None]:
    """End the threads that hash with the application (a cleanup context)."""
    yield
    app[HASHES].close()


@routes.get("/login")
async def show(request: web.Request) -> web.Response:
    """The form."""
    form = empty_form(request, next=request.query.get("next", ""))
    return await again(request, form)


@routes.post("/login")
async def sign_in(request: web.Request) -> web.Response:
    """Begin a session, or say one sentence that tells a guesser nothing."""
    form = await read_form(request, _FIELDS)
    form.require("account", "password")
    if form.errors:
        return await again(request, form, 422)
    limit, hashes, accounts = request.app[LIMIT], request.app[HASHES], request.app[ACCOUNTS]
    keys = (f"account {form['account'].casefold()}", address_of(request))
    if hashes.full:
        form.refuse("account", "web.login.busy", seconds=BUSY_S)
        return await again(request, form, 429)
    if not limit.reserve(*keys):
        form.refuse("account", "web.login.paused", minutes=PAUSE_S // 60)
        return await again(request, form, 429)
    account = await hashes.run(accounts.sign_in, form["account"], form["password"])
    if account is None:
        form.refuse("account", "web.login.wrong")
        return await again(request, form, 401)
    limit.succeeded(*keys)
    if account.role != request.app[SITE].role:
        raise web.HTTPForbidden(reason="role")
    await begin_session(request, account)
    raise web.HTTPSeeOther(inside(form["next"]))


async def begin_session(
    request: web.Request, account: Account, by: str = "", seconds: int = SESSION_S, how: str = ""
) -> None:
    """Begin a session for somebody who has proved who he is; an older one of this browser ends.

    Its pages still open go on when they are his: their forms carry the token of the older one.
    """
    accounts, before = request.app[ACCOUNTS], await get_session(request)
    csrf = before.get("csrf") if before.get("who") == account.name else None
    if token := before.get("session"):
        await asyncio.to_thread(accounts.end, str(token))
    session = await new_session(request)
    if csrf:
        session["csrf"] = csrf
    session["session"] = await asyncio.to_thread(
        accounts.begin, account, seconds, agent_of(request), how
    )
    session["by"], session["who"] = by, account.name


async def again(request: web.Request, form: Form, status: int = 200) -> web.Response:
    """The form, with what is wrong with it."""
    provider = request.app.get(PROVIDER_LABEL, "")
    held = form["next"] == HELD_PATH
    desk = await browser_of(request)
    return await render(
        request, "login.html", status, form=form, provider=provider, held=held, desk=desk
    )


@routes.get(HELD_PATH)
async def go_on(request: web.Request) -> web.Response:
    """Show that what was typed is still there, and send it when its owner says so."""
    held = request.app[HELD].of(account_of(request).name)
    if held is None:
        await flash(request, Flash("warn", "web.held.gone"))
        raise web.HTTPSeeOther("/")
    first = "/" + held.path[1:].partition("/")[0]
    return await render(request, "held.html", section=first, form_held=held)


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    """End the session on the server, then in the browser."""
    session = await get_session(request)
    by = session.get("by")
    await asyncio.to_thread(request.app[ACCOUNTS].end, str(session["session"]))
    request.app[HELD].forget(account_of(request).name)
    session.invalidate()
    raise web.HTTPSeeOther(LEFT_PATH if by == PROVIDER else "/login")
