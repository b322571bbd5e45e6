"""What every answer carries, so that a browser trusts nothing but these pages.

No inline script or style, nothing from elsewhere, no frame around a page, no page kept in a cache.
"""

from typing import Final

from aiohttp import web

from fleet.web.session import Handler, came_by_tls
from fleet.web.words import COOKIE_S, LANGUAGE_COOKIE, PROGRAMME_COOKIE, language_of
from programmes.register import RULEBOOKS

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Server": "kazasu",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
DESK_COOKIE: Final = "kazasu_desk"
"""At which desk's reader this browser reads cards: where a computer stands."""
CHOSEN_DESK: Final = web.RequestKey("desk", str)
"""Set by a page where a reader was chosen."""
STATIC_MAX_AGE_S: Final = 300
"""Style and scripts: long enough for a page's loads, short enough for an upgrade."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every answer; a signal, so that streams and errors have them too."""
    response.headers.update(_HEADERS)
    static = request.path.startswith("/static/")
    response.headers.setdefault(
        "Cache-Control", f"max-age={STATIC_MAX_AGE_S}" if static else "no-store"
    )


@web.middleware
async def remember_choices(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep what was asked for by `?lang=` or `?programme=`, also on the way to sign in.

    A clerk works in one programme for most of the day, on many pages, and at one desk.
    """
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        _keep_choices(request, redirect)
        raise
    _keep_choices(request, response)
    return response


def _keep_choices(request: web.Request, response: web.StreamResponse) -> None:
    if response.prepared:
        return
    if request.query.get("lang"):
        _keep(request, response, LANGUAGE_COOKIE, language_of(request))
    if (programme := request.query.get("programme", "")) in RULEBOOKS:
        _keep(request, response, PROGRAMME_COOKIE, programme)
    if desk := request.get(CHOSEN_DESK):
        _keep(request, response, DESK_COOKIE, desk)


def _keep(request: web.Request, response: web.StreamResponse, cookie: str, value: str) -> None:
    response.set_cookie(
        cookie,
        value,
        max_age=COOKIE_S,
        httponly=True,
        samesite="Lax",
        secure=came_by_tls(request),
    )
