"""The second factor, shown: after the password by whoever has one, and before anything is approved.

`await require(request)` at the head of an approver's action lets it pass when a factor was shown in
this session within FRESH_MS; otherwise the factor is asked for, and the action goes on afterwards
with all that its form held (the browser sends it again, by status 307). An approver without any
factor is led to where he sets one up; a form waits on its page until he has.
"""

import base64
from typing import Final, NoReturn
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp_session import get_session
from yarl import URL

from fleet import second_factor, sessions
from fleet.sealing import Sealer
from fleet.second_factor import FRESH_MS, FactorRefused
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, check_fields, empty_form, read_post
from fleet.web.held import Fields, fields_of
from fleet.web.pages import CLOCK, render
from fleet.web.session import (
    NEXT_MAX,
    SECOND_PATH,
    Flash,
    account_of,
    came_by_tls,
    flash,
    inside,
)
from fleet.web.signin import LIMIT, PAUSE_S
from fleet.web.words import language_of

SEALER: Final = web.AppKey("sealer", Sealer)
ORIGIN: Final = web.AppKey("origin", str)
"""Where browsers reach the office, such as https://office.example; empty: as each request says."""
TENANT: Final = web.AppKey("tenant", str)
"""What an app shows beside the digits."""
CHALLENGE_MS: Final = 5 * 60_000
"""To find the key in the bag; the browser itself asks for one minute."""
ANSWER_MAX: Final = 4_000
"""Characters of a key's answer: about 900 bytes, with a long certificate 2,500."""
_OURS: Final = ("second_code", "second_answer", "second_next", "second_again")
routes = web.RouteTableDef()


async def require(request: web.Request) -> None:
    """Let an approver's action pass, or ask for the second factor and come back to it.

    Raises HTTPSeeOther (a page), or HTTPUnauthorized whose body asks (a form that was handed in).
    """
    account = account_of(request)
    if not account.has_second:
        await _send_to_set_up(request)
    shown_ms = account.second_at_ms
    if shown_ms is not None and request.app[CLOCK].now_ms() - shown_ms <= FRESH_MS:
        return
    if request.method in ("GET", "HEAD"):
        back = str(request.rel_url)
        raise web.HTTPSeeOther(URL(SECOND_PATH).with_query(next=back[:NEXT_MAX]))
    if "HX-Request" in request.headers:
        raise web.HTTPUnauthorized(headers={"HX-Redirect": SECOND_PATH})
    form = empty_form(request, second_next=request.path, second_again="yes")
    asked = await _ask(request, form, 401)
    raise web.HTTPUnauthorized(text=asked.text, content_type="text/html")


async def _send_to_set_up(request: web.Request) -> NoReturn:
    """Lead to the page for a first factor; what a form held stays on a page that sends it again."""
    if request.method in ("GET", "HEAD") or "HX-Request" in request.headers:
        await flash(request, Flash("warn", "web.second.needed"))
        raise web.HTTPSeeOther("/security#second")
    held = await _held(request)
    page = await render(request, "second-missing.html", 401, path=request.path, held=held)
    raise web.HTTPUnauthorized(text=page.text, content_type="text/html")


def site_of(request: web.Request) -> second_factor.Site:
    """Return where this browser is, as a security key is told."""
    origin = request.app[ORIGIN]
    if not origin:
        origin = f"{'https' if came_by_tls(request) else 'http'}://{request.host}"
    return second_factor.Site(urlsplit(origin).hostname or "", origin)


def takes_keys(request: web.Request) -> bool:
    """True where a browser lets keys be used: by TLS and a name, or at `localhost`."""
    site = site_of(request)
    by_name = any(one.isalpha() for one in site.rp_id.rpartition(".")[2])
    return by_name and (site.origin.startswith("https://") or site.rp_id == "localhost")


async def keep_challenge(request: web.Request, challenge: bytes) -> None:
    """Keep what a key is to sign until it answers, in the browser's sealed cookie."""
    session = await get_session(request)
    text = base64.b64encode(challenge).decode()
    session["challenge"] = {"bytes": text, "at_ms": request.app[CLOCK].now_ms()}


async def take_challenge(request: web.Request) -> bytes:
    """Return the challenge, once. Raises FactorRefused when it is too old, or there is none."""
    kept = (await get_session(request)).pop("challenge", None)
    if kept is None or request.app[CLOCK].now_ms() - kept["at_ms"] > CHALLENGE_MS:
        raise FactorRefused("late")
    return base64.b64decode(kept["bytes"])


@routes.get(SECOND_PATH)
async def show(request: web.Request) -> web.Response:
    """Ask for the factor."""
    if not account_of(request).has_second:
        raise web.HTTPSeeOther("/security#second")
    return await _ask(request, empty_form(request, second_next=request.query.get("next", "")))


@routes.post(SECOND_PATH)
async def check(request: web.Request) -> web.Response:
    """Take the factor and go on: to a page, or with the form that was handed in before."""
    limits = dict(zip(_OURS, (20, ANSWER_MAX, NEXT_MAX, 3), strict=True))
    form = check_fields(language_of(request), await read_post(request), limits)
    account = account_of(request)
    limit, key = request.app[LIMIT], f"second {account.name.casefold()}"
    if not limit.reserve(key):
        form.refuse("second_code", "web.second.refused.paused", minutes=PAUSE_S // 60)
        return await _ask(request, form, 429)
    try:
        await _check(request, form)
    except FactorRefused as error:
        form.refuse("second_code", f"web.second.refused.{error.reason}")
        return await _ask(request, form, 401)
    limit.succeeded(key)
    await change(request.app[FLEET], sessions.second_shown, await token_of(request), _now(request))
    target = inside(form["second_next"])
    raise (web.HTTPTemporaryRedirect if form["second_again"] else web.HTTPSeeOther)(target)


async def token_of(request: web.Request) -> str:
    """Return the token of this browser's session."""
    return str((await get_session(request))["session"])


def _now(request: web.Request) -> int:
    return request.app[CLOCK].now_ms()


async def _check(request: web.Request, form: Form) -> None:
    """Raise FactorRefused unless the code or the key's answer is right."""
    name, store = account_of(request).name, request.app[FLEET]
    if answer := form["second_answer"]:
        challenge = await take_challenge(request)
        await change(store, second_factor.check_key, site_of(request), name, challenge, answer)
    else:
        sealer = request.app[SEALER]
        await change(
            store, second_factor.check_totp, sealer, name, form["second_code"], _now(request)
        )


async def _ask(request: web.Request, form: Form, status: int = 200) -> web.Response:
    """The page that asks; what another form held stands hidden in it."""
    name, options = account_of(request).name, ""
    store = request.app[FLEET]
    kinds = {row.kind for row in await read(store, second_factor.listed, name)}
    if second_factor.WEBAUTHN in kinds and takes_keys(request):
        found = await read(store, second_factor.request_options, site_of(request), name)
        if found is not None:
            await keep_challenge(request, found[0])
            options = found[1]
    return await render(
        request,
        "second.html",
        status,
        form=form,
        kinds=kinds,
        options=options,
        held=await _held(request) if form["second_again"] else [],
    )


async def _held(request: web.Request) -> Fields:
    """Return the fields of the form that goes on afterwards, without ours and without files."""
    fields = await fields_of(request, *_OURS)
    if fields is None:
        raise web.HTTPBadRequest
    return fields
