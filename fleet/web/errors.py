"""What a person sees when something cannot be shown: plain words, what to do, and no trace.

An unexpected failure gets a reference that stands in the log beside its trace; so does a database
that is full or away, which is none of ours and has sentences of its own.
"""

import secrets
from typing import Final

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet.store import is_full
from fleet.web.pages import render
from fleet.web.session import Handler

_KNOWN: Final = {
    "csrf": "csrf",
    "role": "role",
    "right": "right",
    "by-card": "by-card",
    400: "400",
    403: "403",
    404: "404",
    405: "404",
    408: "400",
    413: "413",
    503: "503",
}
"""By reason (ours) or status: which sentences of `locale/` are said."""
AWAY_S: Final = 60
"""A database that is started again is back in seconds."""


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a page; redirects and answers pass."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.status == 401:
            raise
        code = _KNOWN.get(error.reason) or _KNOWN.get(error.status, "500")
        response = await render(request, "message.html", error.status, code=code, reference="")
        response.headers.extend(
            {
                name: error.headers[name]
                for name in ("Retry-After", "Allow")
                if name in error.headers
            }
        )
        return response
    except sa.exc.OperationalError as error:
        code = "full" if is_full(error) else "away"
        response = await _failed(request, 503, code)
        response.headers["Retry-After"] = str(AWAY_S)
        return response
    except Exception:  # noqa: BLE001  the log has it all; a person gets a page
        return await _failed(request, 500, "500")


async def _failed(request: web.Request, status: int, code: str) -> web.Response:
    """The page for a failure that is being handled, which goes into the log."""
    reference = secrets.token_hex(4)
    structlog.get_logger().exception(
        "page.failed", path=request.path, method=request.method, reference=reference
    )
    return await render(request, "message.html", status, code=code, reference=reference)
