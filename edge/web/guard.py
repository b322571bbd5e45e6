"""What keeps foreign pages out of the local one.

A browser on this machine may show a page of anybody's. Such a page can send requests here, and by
DNS rebinding even read the answers, unless the server looks at the name that it was called by
(OWASP, «DNS rebinding»; Fetch standard on `Origin` and Fetch Metadata on `Sec-Fetch-Site`).
"""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


PATH_MAX: Final = 60
"""Characters; a file's name has at most 255 bytes, and one that is longer is no file of ours."""


def guard(port: int, *hosts: str) -> Middleware:
    """Return a middleware that answers only under these names; without any, this machine's own."""
    hosts = hosts or ("127.0.0.1", "localhost")
    names = {f"{host}:{port}" for host in hosts}

    @web.middleware
    async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get(hdrs.HOST) not in names:
            raise web.HTTPMisdirectedRequest(text=f"this page is known as {hosts[0]} alone")
        if len(request.path) > PATH_MAX:
            raise web.HTTPNotFound
        return await handler(request)

    return _guard


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set HEADERS on every answer, errors and streams too (a signal handler of aiohttp)."""
    response.headers.update(HEADERS)


def same_origin(request: web.Request, needed: bool = True) -> None:
    """Refuse what does not come from our own page.

    Browsers send `Origin` with every POST; equipment of the vehicle sends none, which is allowed
    where it is not `needed`. Raises HTTPForbidden.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if (origin is None and needed) or origin not in (None, f"http://{request.host}"):
        raise web.HTTPForbidden(text="only this reader's own page may do this")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="only this reader's own page may do this")
