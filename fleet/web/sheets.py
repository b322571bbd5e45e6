"""A sheet of paper as an answer: PDF in the browser's own viewer, from where it is printed."""

from typing import Any, Final

from aiohttp import web

from fleet.paper import PaperBusy, Press
from fleet.web.words import language_of
from programmes.texts import LANGUAGES

PRESS: Final = web.AppKey("press", Press)
RETRY_S: Final = 5
"""What a full press takes to make what waits."""


async def sheet(request: web.Request, template: str, name: str, **context: Any) -> web.Response:
    """Return a template as PDF. `name` is the file's, in ASCII.

    It is in the page's language, or in that of `?paper=`: whoever is handed it may read another one
    than the clerk. Raises HTTPServiceUnavailable while too many are being made.
    """
    wish = request.query.get("paper", "")
    language = next((one for one in LANGUAGES if one == wish), language_of(request))
    try:
        body = await request.app[PRESS].pdf(template, language, **context)
    except PaperBusy as error:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": str(RETRY_S)}) from error
    return web.Response(
        body=body,
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}"'},
    )
