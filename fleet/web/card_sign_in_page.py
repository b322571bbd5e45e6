"""Signing in by card and PIN, at a browser that stands at a desk: the card first, then the digits.

Rules: only a browser that a clerk has bound asks its desk's reader, one at a time and few times in
a while; what waits is for this browser alone, and once; what the card is known as never reaches it.
An unknown card, one that is not good now, a wrong PIN, one that is locked and an account that may
do more than see its own days get one sentence after the same work.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp_session import get_session

from fleet import card_pin, desk_wait
from fleet.accounts import Account
from fleet.desk_browsers import Browser
from fleet.desk_wait import DeskBusy, DeskRefused, FoundCard, State, Wait
from fleet.sessions import BY_CARD, BY_CARD_S
from fleet.web.at_desk import browser_of
from fleet.web.data import PERSONS, change, read
from fleet.web.desk_browsers_page import desks_of
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.second_factor import SEALER
from fleet.web.session import ACCOUNTS, CARD_PATH, NEXT_MAX, inside
from fleet.web.signin import (
    BUSY_S,
    DESK,
    HASHES,
    LIMIT,
    PAUSE_S,
    TooManyWaiting,
    again,
    begin_session,
)
from programmes import attendance
from wire.clock import patience_ms

PURPOSE: Final = "sign-in"
HOLD_MS: Final = 60_000
"""To take the card out; half of what a clerk's client has, for others wait for the reader."""
TYPE_MS: Final = 60_000
"""From the card to the PIN: a card that was held and left is soon nobody's to guess at."""
PIN_FIELD: Final = 24
"""Characters of what is typed: twelve digits with blanks between them."""
_KEPT: Final = "card"
"""In the browser's sealed cookie: which wait is its own, and where it goes afterwards."""
routes = web.RouteTableDef()


@dataclass(frozen=True)
class Mine:
    """What this browser waits for; `_desk_wait.html` shows it."""

    browser: Browser
    wait: Wait
    label: str
    """The reader's."""


async def _mine(request: web.Request) -> Mine | None:
    """Return what this browser waits for; None when that is nothing, or it is bound to no desk."""
    kept, browser = (await get_session(request)).get(_KEPT), await browser_of(request)
    if kept is None or browser is None:
        return None
    at_ms = patience_ms(request.app[CLOCK])
    store, who = request.app[PERSONS], browser.waits_as
    try:
        wait = await read(store, desk_wait.look, str(kept["wait"]), who, at_ms)
    except DeskRefused:
        return None
    _, label = (await desks_of(request)).get(browser.reader, (None, browser.reader))
    return Mine(browser, wait, label)


async def _refused(request: web.Request, form: Form, why: str, status: int) -> web.Response:
    """The sign-in page, with the sentence that says what to do.

    The cookie stays as it is: of a button pressed twice the second answer takes no session away.
    """
    kept = (await get_session(request)).get(_KEPT)
    if kept and "next" not in form.values:
        form.values["next"] = str(kept["next"])
    form.refuse("card", f"web.by-card.{why}", minutes=PAUSE_S // 60, seconds=BUSY_S)
    return await again(request, form, status)


# --- the card ------------------------------------------------------------------------------------


@routes.post(CARD_PATH)
async def begin(request: web.Request) -> web.Response:
    """Let the desk's reader ask for a card."""
    form = await read_form(request, {"next": NEXT_MAX})
    browser = await browser_of(request)
    if browser is None:
        return await _refused(request, form, "unbound", 403)
    desk, _ = (await desks_of(request)).get(browser.reader, (None, ""))
    if desk is None or not desk.online or not desk.hears:
        return await _refused(request, form, "away", 409)
    limit, key = request.app[LIMIT], DESK + browser.reader
    if not limit.reserve(key):
        return await _refused(request, form, "paused", 429)
    try:
        wait = await _begin(request, browser)
    except DeskBusy:
        limit.gave_back(key)
        return await _refused(request, form, "in-use", 409)
    (await get_session(request))[_KEPT] = {"wait": wait, "next": form["next"]}
    raise web.HTTPSeeOther(CARD_PATH)


async def _begin(request: web.Request, browser: Browser) -> str:
    """Return the id of a new wait of this browser. Raises DeskBusy."""
    clock = request.app[CLOCK]
    what = (browser.reader, attendance.NAME, PURPOSE, browser.waits_as)
    return await change(
        request.app[PERSONS],
        desk_wait.begin,
        *what,
        patience_ms(clock),
        clock.now_ms(),
        wait_ms=HOLD_MS,
        by=browser.noted_as,
    )


@routes.get(CARD_PATH)
async def show(request: web.Request) -> web.Response:
    """The card is waited for, or was read and the PIN is asked for, or nothing comes of it."""
    return await _page(request, empty_form(request))


async def _page(request: web.Request, form: Form, status: int = 200) -> web.Response:
    mine = await _mine(request)
    if mine is None:
        raise web.HTTPSeeOther("/login")
    wish = str((await get_session(request))[_KEPT]["next"])
    return await render(request, "card_sign_in.html", status, form=form, desk=mine, wish=wish)


@routes.get(CARD_PATH + "/now")
async def now(request: web.Request) -> web.Response:
    """The waiting part as it is now; when nobody waits any more the page is loaded again."""
    mine = await _mine(request)
    if mine is None or mine.wait.state is not State.WAITING:
        return web.Response(content_type="text/html", headers={"HX-Redirect": CARD_PATH})
    return await render(request, "_card_now.html", desk=mine)


@routes.post(CARD_PATH + "/stop")
async def stop(request: web.Request) -> web.Response:
    """Wait no more; what was read is forgotten."""
    if mine := await _mine(request):
        what = (mine.wait.id, mine.browser.waits_as)
        await change(request.app[PERSONS], desk_wait.drop, *what)
    (await get_session(request)).pop(_KEPT, None)
    raise web.HTTPSeeOther("/login")


# --- the PIN -------------------------------------------------------------------------------------


class _NotOpened(Exception):
    """No session begins; `why` is a word of `locale/` (web.by-card.…)."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.why: Final = why
        self.status: Final = status


@routes.post(CARD_PATH + "/pin")
async def sign_in(request: web.Request) -> web.Response:
    """Begin a short session of the card's holder, or say one sentence that tells nothing."""
    form = await read_form(request, {"pin": PIN_FIELD})
    form.require("pin")
    if form.errors:
        return await _page(request, form, 422)
    if request.app[HASHES].full:
        form.refuse("pin", "web.login.busy", seconds=BUSY_S)
        return await _page(request, form, 429)
    try:
        account = await _open(request, card_pin.plain(form["pin"]))
    except _NotOpened as refused:
        return await _refused(request, form, refused.why, refused.status)
    wish = str((await get_session(request))[_KEPT]["next"])
    await begin_session(request, account, BY_CARD, BY_CARD_S, BY_CARD)
    raise web.HTTPSeeOther(inside(wish))


async def _open(request: web.Request, pin: str) -> Account:
    """Use the card that was held, once; return the account that it opens. Raises _NotOpened."""
    mine, limit = await _mine(request), request.app[LIMIT]
    try:
        if mine is None:
            raise _NotOpened("over", 409)
        cards = await _take(request, mine)
        keys = [_key(one) for one in cards]
        if not limit.reserve(*keys):
            raise _NotOpened("paused", 429)
        account = await _judge(request, cards, pin)
    except DeskRefused:
        raise _NotOpened("over", 409) from None
    except TooManyWaiting:
        raise _NotOpened("over", 429) from None
    if account is None:
        raise _NotOpened("wrong", 401)
    limit.succeeded(*keys)
    limit.gave_back(DESK + mine.browser.reader)
    return account


def _key(one: FoundCard) -> str:
    """Under what a card's tries are counted: not what it is known as."""
    return f"card {hashlib.sha256(one.credential.encode()).hexdigest()}"


async def _take(request: web.Request, mine: Mine) -> list[FoundCard]:
    """Return what the card is known as, once. Raises DeskRefused."""
    since_ms = patience_ms(request.app[CLOCK]) - TYPE_MS
    what = (mine.wait.id, mine.browser.waits_as, attendance.NAME, since_ms)
    return await change(request.app[PERSONS], desk_wait.take, *what)


async def _judge(request: web.Request, cards: list[FoundCard], pin: str) -> Account | None:
    """Return the account that card and PIN open. Raises TooManyWaiting."""
    store, now_ms = request.app[PERSONS], request.app[CLOCK].now_ms()
    known = [one.credential for one in cards]
    tried = await change(store, card_pin.begin_try, known, now_ms)
    right = await request.app[HASHES].run(card_pin.is_right, request.app[SEALER], tried, pin)
    name = await change(store, card_pin.settle, tried, now_ms, right=right)
    return await asyncio.to_thread(request.app[ACCOUNTS].sign_in_by_card, name)
