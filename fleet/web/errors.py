"""What a person sees when something cannot be shown: plain words, what to do, and no trace.

An unexpected failure gets a reference that stands in the log beside its trace.
"""

import secrets
from typing import Final

import structlog
from aiohttp import web

from fleet.web.pages import render
from fleet.web.session import Handler

_KNOWN: Final = {
    "csrf": "csrf",
    "role": "role",
    "right": "right",
    400: "400",
    403: "403",
    404: "404",
    405: "404",
    408: "400",
    413: "413",
    503: "503",
}
"""By reason (ours) or status: which sentences of `locale/` are said."""


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
    except Exception:  # noqa: BLE001  the log has it all; a person gets a page
        reference = secrets.token_hex(4)
        structlog.get_logger().exception(
            "page.failed", path=request.path, method=request.method, reference=reference
        )
        return await render(request, "message.html", 500, code="500", reference=reference)
