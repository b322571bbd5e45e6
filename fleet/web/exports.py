"""A list as a file for spreadsheets, in three formats: just what the page shows, in its columns."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from aiohttp import web
from yarl import URL

from fleet import tables
from fleet.tables import Cell, Format, TableRefused
from fleet.web.session import Flash, flash, inside

SEND_S: Final = 120.0
"""For a browser to take a file: 20 MB over a branch office's 1.5 Mbit/s. Until then the list may
hold a transaction open, and one that stays open keeps the database from tidying up."""
_BY_FORMAT: Final = {one.value: one for one in Format}


def format_of(request: web.Request) -> Format:
    """Return the format that `?format=` asks for; CSV in UTF-8 when it asks for none."""
    return _BY_FORMAT.get(request.query.get("format", ""), Format.UTF8)


async def download(
    request: web.Request, name: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]
) -> web.StreamResponse:
    """Return rows as a file in the format that is asked for. `name`: in ASCII, without suffix.

    A text is a text, a number a number, a day a day; nothing is taken for a formula.
    """
    format_ = format_of(request)
    return await send(request, name, format_, tables.write(format_, heads, rows))


async def send(
    request: web.Request,
    name: str,
    format_: Format,
    pieces: Iterator[bytes],
    within_s: float = SEND_S,
) -> web.StreamResponse:
    """Return a file that is made in pieces, each in a thread, as the browser takes them.

    A browser that takes longer than `within_s` is cut off: it shows the file as not complete.

    Shift_JIS is made whole before the first byte leaves, 12 MB of 100,000 members: only then is it
    known whether all of it can be written; if not, the page it came from says so.
    """
    try:
        if format_ is Format.CP932:
            pieces = iter(await asyncio.to_thread(list, pieces))
        piece = await asyncio.to_thread(next, pieces, None)
    except TableRefused as error:
        written = {key: str(value) for key, value in error.arguments.items()}
        await flash(request, Flash("bad", f"web.import.wrong.{error.code}", written))
        raise web.HTTPSeeOther(_back(request)) from error
    response = web.StreamResponse(
        headers={"Content-Disposition": f'attachment; filename="{name}{format_.suffix}"'}
    )
    response.content_type = format_.content_type
    if format_ is not Format.XLSX:
        response.charset = "utf-8" if format_ is Format.UTF8 else "Shift_JIS"
    with contextlib.suppress(ConnectionError):  # the browser has gone; nobody waits for the rest
        await response.prepare(request)
        ends_s = asyncio.get_running_loop().time() + within_s
        try:
            while piece is not None:
                async with asyncio.timeout_at(ends_s):  # around no thread: it could not be stopped
                    await response.write(piece)
                piece = await asyncio.to_thread(next, pieces, None)
            async with asyncio.timeout_at(ends_s):
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
    return response


def _back(request: web.Request) -> str:
    """Return the page from which a file was asked for, on this site."""
    came = URL(request.headers.get("Referer", ""))
    return inside(str(came.relative())) if came.host and came.authority == request.host else "/"
