"""A form that brings a file: read once, straight into memory, never more than its page allows."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import BodyPartReader, web

UPLOAD_S: Final = 120.0
"""For a file to arrive: 20 MB over a branch office's 1.5 Mbit/s."""
PARTS_MAX: Final = 20
"""Fields beside the file; each has the limit of a whole form."""
_CHUNK_BYTES: Final = 256 * 1024

LIMIT: Final[web.AppKey[Callable[[web.Request], int]]] = web.AppKey("upload_limit")
"""How many bytes a file may have that comes with this request; 0: it brings none."""
_SENT: Final[web.RequestKey[Mapping[str, object]]] = web.RequestKey("sent")


class Upload(NamedTuple):
    """One file of a form."""

    name: str
    body: bytearray


def limit_of(request: web.Request) -> int:
    """Return how large a file this request may bring; 0: none, as nearly all."""
    return request.app[LIMIT](request) if LIMIT in request.app else 0


async def read_upload(request: web.Request, limit: int) -> Mapping[str, object]:
    """Return the fields of a form with a file. Raises HTTPRequestEntityTooLarge, ValueError."""
    if _SENT not in request:
        if (request.content_length or 0) > limit + _CHUNK_BYTES:
            raise web.HTTPRequestEntityTooLarge(limit, request.content_length or 0)
        request[_SENT] = await _read(request, limit)
    return request[_SENT]


async def _read(request: web.Request, limit: int) -> dict[str, object]:
    if request.content_type != "multipart/form-data":
        raise ValueError("a file comes in a form of several parts")
    sent: dict[str, object] = {}
    parts = await request.multipart()
    while (part := await parts.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None or len(sent) >= PARTS_MAX:
            raise ValueError("a form has a few named fields")
        if part.filename is None:
            sent[part.name] = (await part.read(decode=True)).decode()
        else:
            sent[part.name] = Upload(part.filename, await _file(part, limit))
    return sent


async def _file(part: BodyPartReader, limit: int) -> bytearray:
    body = bytearray()
    while some := await part.read_chunk(_CHUNK_BYTES):
        if len(body) + len(some) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(body) + len(some))
        body += some
    return body
