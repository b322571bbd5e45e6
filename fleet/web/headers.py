"""What every answer carries, so that a browser trusts nothing but these pages.

No inline script or style, nothing from elsewhere, no frame around a page, no page kept in a cache.
"""

from typing import Final

from aiohttp import web

from fleet.web.session import Handler, came_by_tls
from fleet.web.words import LANGUAGE_COOKIE, LANGUAGE_COOKIE_S, language_of

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
async def remember_language(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep a language that was asked for by `?lang=` in the browser, also on the way to sign in."""
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        _keep_language(request, redirect)
        raise
    _keep_language(request, response)
    return response


def _keep_language(request: web.Request, response: web.StreamResponse) -> None:
    if request.query.get("lang") and not response.prepared:
        response.set_cookie(
            LANGUAGE_COOKIE,
            language_of(request),
            max_age=LANGUAGE_COOKIE_S,
            httponly=True,
            samesite="Lax",
            secure=came_by_tls(request),
        )
