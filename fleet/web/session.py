"""Who is at the browser: an encrypted cookie that names a session which the server still knows.

A session ends on the server, at sign-out, after SESSION_S, and in the office after half an hour
without anybody, whatever the browser keeps. Each process has a cookie and a key of its own, so a
console's session opens no office. Every POST carries the session's token; account, role, rights
and whose own account it is are looked up again at each request. A form that comes too late is held
until its owner has signed in again. Who was given a password chooses his own first; a second factor
is shown before all else.
"""

import asyncio
import hmac
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp_session import Session, get_session
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from yarl import URL

from fleet.accounts import Account, Accounts
from fleet.rights import OfficeRole
from fleet.web.data import PERSONS, read
from fleet.web.forms import is_text, read_post
from fleet.web.held import HELD, HELD_PATH, fields_of
from fleet.work_accounts import member_of_account

SESSION_S: Final = 12 * 3600
"""The longest shift; then the password is asked for again."""
KEY_BYTES: Final = 32
NEXT_MAX: Final = 200
"""Characters of an address to come back to; of a longer one only the page is kept."""
FLASHES_MAX: Final = 4
"""Messages kept for the next page; a cookie holds 4 kB."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Page:
    """One place in the navigation, for those who hold one of these roles; none named: everyone.

    `programme`: in this one; empty: in any. `group`: under which word it stands; empty: for itself.
    `is_own`: for whoever has an account of his own days instead.
    """

    path: str
    label: str
    roles: frozenset[OfficeRole] = frozenset()
    programme: str = ""
    group: str = ""
    is_own: bool = False

    def is_for(self, account: Account) -> bool:
        """True for somebody who may open it."""
        if self.is_own or account.is_own_only:
            return self.is_own and account.member_id is not None
        if self.programme:
            return account.rights.may(self.programme, *self.roles)
        return not self.roles or not self.roles.isdisjoint(account.rights.roles)


class Group(NamedTuple):
    """Pages that stand under one word of the navigation."""

    label: str
    pages: list[Page]

    def holds(self, section: str) -> bool:
        """True when the page that is shown is one of these."""
        return any(page.path == section for page in self.pages)


@dataclass(frozen=True)
class Site:
    """One of the two web processes."""

    name: str
    role: str
    pages: tuple[Page, ...]
    needs: Mapping[str, frozenset[OfficeRole]] | None = None
    """Who may open what, by the first part of the path; empty: everyone. A path whose first part
    is not named is refused. None: the role of the site is enough for all of it."""
    own: str = ""
    """The first part of the paths of a member's own days: for those whose account is bound."""
    idle_ms: int | None = None
    """Without anybody for so long a session ends. None: a wall shows the console all day."""

    def groups_of(self, account: Account) -> list[Group]:
        """Return the navigation of one account."""
        groups: dict[str, Group] = {}
        for page in self.pages:
            if page.is_for(account):
                label = page.group or page.label
                groups.setdefault(label, Group(label, [])).pages.append(page)
        return list(groups.values())

    def refuses(self, path: str, account: Account) -> str:
        """Return why this account may not open the path, as an error page has it; empty: it may."""
        if self.needs is None:
            return ""
        first = "/" + path.split("/")[1]
        if first == self.own:
            return "right" if account.member_id is None else ""
        if account.by_card and first not in _OPEN_BY_CARD:
            return "by-card"
        roles = self.needs.get(first)
        is_open = roles is not None and not (roles and roles.isdisjoint(account.rights.roles))
        return "" if is_open else "right"


@dataclass(frozen=True)
class Flash:
    """One message about what was just done, shown on the next page; `undo` is a path to POST to."""

    kind: str
    message: str
    arguments: dict[str, str] = field(default_factory=dict)
    undo: str = ""


SITE: Final = web.AppKey("site", Site)
ACCOUNTS: Final = web.AppKey("accounts", Accounts)
ACCOUNT: Final = web.RequestKey("account", Account)
"""The signed-in account, in a request."""
STATIC_PATH_MAX: Final = 60
"""Characters; a file's name has at most 255 bytes, and one that is longer is no file of ours."""
PROVIDER: Final = "oidc"
"""In a session: its owner signed in at the city's provider, and needs no password here."""
LEFT_PATH: Final = "/oidc/left"
"""Where somebody goes on signing out who had signed in by the city's provider."""
CARD_PATH: Final = "/login/card"
"""Where somebody signs in by card and PIN, at a browser that stands at a desk."""
PUBLIC: Final = frozenset(
    {
        *("/login", "/healthz", "/oidc", "/oidc/back", LEFT_PATH),
        *(CARD_PATH, f"{CARD_PATH}/now", f"{CARD_PATH}/pin", f"{CARD_PATH}/stop"),
    }
)
FIRST_PATH: Final = "/security/password"
"""Where a password is chosen: all that opens to somebody who was given one."""
SECOND_PATH: Final = "/second"
"""Where the second factor is shown: all that opens before it was."""
_OPEN_BY_CARD: Final = frozenset({"/", SECOND_PATH, HELD_PATH, "/logout"})
"""Beside his own days: all that opens to somebody who signed in by card and PIN."""
_SAFE: Final = frozenset({"GET", "HEAD"})
_NOT_HELD: Final = frozenset({"logout", "security", SECOND_PATH[1:]})
"""By the first part of the path: forms with secrets in them, and what needs no going on."""


class _Storage(EncryptedCookieStorage):
    """The cookie, marked Secure whenever the browser came by TLS (also to a proxy in front).

    Bytes that are no text are no cookie of ours.
    """

    def load_cookie(self, request: web.Request) -> str | None:
        cookie = super().load_cookie(request)
        return cookie if cookie is not None and is_text(cookie) else None

    async def save_session(
        self, request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        await super().save_session(request, response, session)
        cookie = response.cookies.get(self.cookie_name)
        if cookie is not None and came_by_tls(request):
            cookie["secure"] = True


def came_by_tls(request: web.Request) -> bool:
    """True when the browser came by TLS; the header can only make cookies stricter."""
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"


def session_key(path: Path) -> bytes:
    """Return the key in this file, made on first use, mode 0600.

    Raises OSError, and ValueError when the file is not KEY_BYTES long.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise ValueError(f"{path} is damaged: delete it, everyone signs in again") from None
        return key
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    return key


def storage(site: Site, key: bytes) -> EncryptedCookieStorage:
    """Return where sessions travel: one cookie per process, for no script and no other site."""
    return _Storage(
        key,
        cookie_name=f"kazasu_{site.name}",
        max_age=SESSION_S,
        httponly=True,
        samesite="Strict",
    )


async def csrf_token(request: web.Request) -> str:
    """Return the session's token, making one on first use."""
    session = await get_session(request)
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


async def flash(request: web.Request, flashed: Flash) -> None:
    """Keep a message for the next page."""
    session = await get_session(request)
    kept = [*session.get("flashes", []), vars(flashed)]
    session["flashes"] = kept[-FLASHES_MAX:]


async def take_flashes(request: web.Request) -> list[Flash]:
    """Return the messages kept for this page, and forget them."""
    session = await get_session(request)
    if "flashes" not in session:
        return []
    kept: list[dict[str, Any]] = session.pop("flashes")
    return [Flash(**one) for one in kept]


def idle_ms(request: web.Request) -> int:
    """Return after how long without anybody a session of this site ends."""
    return request.app[SITE].idle_ms or SESSION_S * 1000


def account_of(request: web.Request) -> Account:
    """Return who is signed in; only for pages behind the guard."""
    return request[ACCOUNT]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody past without a session of this process's role, and no POST without its token."""
    if request.path.startswith("/static/"):
        if len(request.path) > STATIC_PATH_MAX:
            raise web.HTTPNotFound
        return await handler(request)
    session = await get_session(request)
    if token := session.get("session"):
        found = await asyncio.to_thread(
            request.app[ACCOUNTS].account,
            str(token),
            request.app[SITE].idle_ms,
            present=_somebody_is_there(request),
        )
        if found is not None:
            request[ACCOUNT] = await _bound(request, found)
    if request.method not in _SAFE:
        sent = str((await read_post(request)).get("csrf", ""))
        if (
            not hmac.compare_digest(sent.encode(), str(session.get("csrf", "")).encode())
            or not sent
        ):
            raise web.HTTPForbidden(reason="csrf")
    if request.path in PUBLIC:
        return await handler(request)
    if ACCOUNT not in request:
        await _hold(request, str(session.get("who", "")))
    _require_account(request)
    _require_first_steps(request, by_password=session.get("by") != PROVIDER)
    _require_right(request)
    if request.method not in _SAFE:
        await request.app[HELD].sent(account_of(request).name, request)
    return await handler(request)


async def _bound(request: web.Request, account: Account) -> Account:
    """Return the account with whose own it is, where there are members."""
    if PERSONS not in request.app:
        return account
    member_id = await read(request.app[PERSONS], member_of_account, account.name)
    return account._replace(member_id=member_id)


def _somebody_is_there(request: web.Request) -> bool:
    """False for what a page asks by itself (its live parts); whatever a person does counts."""
    live = "HX-Request" in request.headers or request.path.endswith("/live")
    return request.method not in _SAFE or not live


async def _hold(request: web.Request, who: str) -> None:
    """Keep what was typed by somebody whose session has ended, and lead to signing in for it."""
    if not who or request.method in _SAFE or "HX-Request" in request.headers:
        return
    if request.match_info.http_exception is not None:
        return
    if request.path.split("/")[1] in _NOT_HELD or (fields := await fields_of(request)) is None:
        return
    request.app[HELD].hold(who, str(request.rel_url), fields)
    raise web.HTTPSeeOther(URL("/login").with_query(next=HELD_PATH))


def _require_account(request: web.Request) -> None:
    account = request.get(ACCOUNT)
    if account is None:
        raise _to_login(request)
    if account.role != request.app[SITE].role:
        raise web.HTTPForbidden(reason="role")


def _require_right(request: web.Request) -> None:
    account, site = account_of(request), request.app[SITE]
    if why := site.refuses(request.path, account):
        raise web.HTTPForbidden(reason=why)


def _require_first_steps(request: web.Request, *, by_password: bool) -> None:
    """Lead to the password that must be changed, and to the second factor, before anything else."""
    account = account_of(request)
    if request.path == "/logout":
        return
    if account.has_second and account.second_at_ms is None:
        if request.path.partition("/")[2].partition("/")[0] != SECOND_PATH[1:]:
            raise _to(SECOND_PATH, request)
    elif account.must_change and by_password and request.path != FIRST_PATH:
        raise web.HTTPSeeOther(FIRST_PATH)


def _to_login(request: web.Request) -> web.HTTPException:
    """A page goes to the sign-in page and comes back; see `_to`."""
    return _to("/login", request)


def _to(path: str, request: web.Request) -> web.HTTPException:
    """Lead to a page and back; a part of a page tells htmx to go there."""
    if "HX-Request" in request.headers:
        return web.HTTPUnauthorized(headers={"HX-Redirect": path})
    wish = request.rel_url.without_query_params("lang")
    if request.method not in _SAFE or str(wish) == "/":
        return web.HTTPSeeOther(path)
    back = str(wish) if len(str(wish)) <= NEXT_MAX else request.path
    return web.HTTPSeeOther(URL(path).with_query(next=back))


def inside(path: str) -> str:
    """Return a path of this site; whatever else was asked for becomes the first page."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"
