"""The HTTP API for the city's other systems, in the office's process, under /api/1.

Rules: the door below stands before everything that pages have: no cookie is read or set, no
session opens it, and a token opens no page; whoever has no token in use is told nothing, not even
what there is; a client reaches its one programme and what its scopes name; so many requests a
second, bodies of so many bytes; each look at a person stands in the audit under its name.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec
import sqlalchemy as sa
import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web import RequestPayloadError

from fleet import api_clients, openapi, webhook_sender
from fleet.api_clients import Client
from fleet.web import api_enrolment, api_members, api_programme
from fleet.web.api_base import (
    BASE,
    BODY_BYTES_MAX,
    Asked,
    Operation,
    Refused,
    problem,
    read_struct,
    refuse_numbers,
)
from fleet.web.data import FLEET, PERSONS, read
from fleet.web.forms import BODY_S, is_text
from fleet.web.pace import Pace
from fleet.web.pages import CLOCK
from fleet.web.session import Handler

OPERATIONS: Final = (
    *api_members.OPERATIONS,
    *api_enrolment.OPERATIONS,
    *api_programme.OPERATIONS,
)
DOCUMENT_PATH: Final = f"{BASE}/openapi.json"
"""The only path that is told to everyone: it says what could be asked, and nothing of anybody."""
REQUESTS_BURST: Final = 200
REQUESTS_PER_S: Final = 20
"""Of one client: a list of 10,000 members in five seconds' worth of pages, and no more than a
tenth of what the office can answer."""
_BEARER: Final = "bearer "


CLIENT: Final = web.RequestKey("api-client", Client)
PACE: Final = web.AppKey("api-pace", Pace)
DOCUMENT: Final = web.AppKey("api-document", bytes)


def open_door(app: web.Application) -> None:
    """Serve the API in the office's application, before all that pages have; tell webhooks."""
    app[PACE] = Pace(app[CLOCK], REQUESTS_PER_S, REQUESTS_BURST, api_clients.CLIENTS_MAX)
    app[DOCUMENT] = msgspec.json.encode(openapi.document(OPERATIONS))
    app.middlewares.insert(0, door)
    app.cleanup_ctx.append(_tell)
    app.router.add_get(DOCUMENT_PATH, _document)
    for operation in OPERATIONS:
        served = _serve(operation)
        app.router.add_route(operation.method, f"{BASE}{operation.path}", served)


async def _tell(app: web.Application) -> AsyncIterator[None]:
    async with webhook_sender.sending(app[PERSONS], app[CLOCK]):
        yield


@web.middleware
async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what is under /api/ by the rules of the API; pass all else on to the pages."""
    if not request.path.startswith("/api/") and request.path != "/api":
        return await handler(request)
    try:
        return await _answer(request)
    except Refused as refused:
        return problem(
            refused.code, refused.field, reason=refused.reason, sentence=refused.sentence
        )
    except web.HTTPException as error:
        return _of_status(error)
    except sa.exc.OperationalError:
        structlog.get_logger().exception("api.busy", path=request.path, method=request.method)
        return problem("busy")
    except Exception:  # noqa: BLE001  the log has it all; a system gets a reference
        reference = secrets.token_hex(4)
        structlog.get_logger().exception(
            "api.failed", path=request.path, method=request.method, reference=reference
        )
        return problem("failed", reference=reference)


async def _answer(request: web.Request) -> web.StreamResponse:
    if request.path == DOCUMENT_PATH and request.method in ("GET", "HEAD"):
        return await _document(request)
    client = await _client(request)
    if wait_s := request.app[PACE].wait_s(client.name):
        response = problem("too-many")
        response.headers["Retry-After"] = str(int(wait_s) + 1)
        return response
    request[CLIENT] = client
    return await request.match_info.handler(request)


async def _client(request: web.Request) -> Client:
    sent = request.headers.get("Authorization", "")
    if sent[: len(_BEARER)].lower() != _BEARER:
        raise Refused("unauthorized")
    token = sent[len(_BEARER) :].strip()
    found = await read(request.app[FLEET], api_clients.by_token, token)
    if found is None:
        raise Refused("unauthorized")
    return found


def _of_status(error: web.HTTPException) -> web.Response:
    code = {404: "not-found", 405: "method", 413: "too-large", 408: "too-slow"}.get(error.status)
    if code is None:
        code = "malformed" if 400 <= error.status < 500 else "failed"
    response = problem(code)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


async def _document(request: web.Request) -> web.Response:
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


def _serve(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def served(request: web.Request) -> web.StreamResponse:
        client = request[CLIENT]
        if operation.scope not in client.scopes:
            raise Refused("scope", operation.scope.value)
        path = dict(request.match_info)
        _require_text([*path.values(), *request.query.keys(), *request.query.values()])
        refuse_numbers(path)
        query, body = _query(request, operation), await _body(request, operation)
        return await operation.handler(Asked(request, client, query, body, path))

    return served


def _require_text(sent: Iterable[str]) -> None:
    if any("\0" in one or not is_text(one) for one in sent):
        raise Refused("malformed")


def _query(request: web.Request, operation: Operation) -> msgspec.Struct | None:
    """Return the parameters of the address; one that is unknown, or named twice, is refused."""
    if len(request.query) != len(set(request.query)):
        raise Refused("invalid")
    if operation.query is None:
        if request.query:
            raise Refused("invalid", next(iter(request.query))[:100])
        return None
    return read_struct(operation.query, dict(request.query), strict=False)


async def _body(request: web.Request, operation: Operation) -> msgspec.Struct | None:
    if operation.body is None:
        return None
    if request.content_type != "application/json":
        raise Refused("media-type")
    plain = await _read(request)
    return read_struct(operation.body, plain)


async def _read(request: web.Request) -> Any:
    """Return the JSON that was sent. Raises Refused when it is too long, too slow or none."""
    try:
        async with asyncio.timeout(BODY_S):
            sent = await request.content.read(BODY_BYTES_MAX + 1)
            while len(sent) <= BODY_BYTES_MAX and not request.content.at_eof():
                sent += await request.content.read(BODY_BYTES_MAX + 1 - len(sent))
    except TimeoutError:
        raise Refused("too-slow") from None
    except (ConnectionError, RequestPayloadError, BadHttpMessage):
        raise Refused("malformed") from None
    if len(sent) > BODY_BYTES_MAX:
        raise Refused("too-large")
    try:
        return msgspec.json.decode(sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("malformed") from None
