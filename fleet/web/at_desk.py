"""Which desk this browser stands at, as a clerk has said of it: where cards may be asked for."""

from typing import Final

from aiohttp import web

from fleet import desk_browsers
from fleet.desk_browsers import BOUND_S, Browser
from fleet.web.data import PERSONS, read
from fleet.web.pages import CLOCK
from fleet.web.session import came_by_tls

COOKIE: Final = "kazasu_browser"
"""Holds the token; for no script. Lax: a link on the town's own pages leads to the sign-in too."""


async def browser_of(request: web.Request) -> Browser | None:
    """Return the bound browser that this is; None for any other, and where there are no members."""
    token = request.cookies.get(COOKIE, "")
    if not token or PERSONS not in request.app:
        return None
    now_ms = request.app[CLOCK].now_ms()
    return await read(request.app[PERSONS], desk_browsers.of_token, token, now_ms)


def keep(request: web.Request, answer: web.StreamResponse, token: str) -> None:
    """Let this browser be the one with this token."""
    answer.set_cookie(
        COOKIE,
        token,
        max_age=BOUND_S,
        httponly=True,
        samesite="Lax",
        secure=came_by_tls(request),
    )


def forget(answer: web.StreamResponse) -> None:
    """Let this browser be any other one."""
    answer.del_cookie(COOKIE)
