"""Lists that are saved: a browser that takes no more is cut off, and what it held is let go."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web

from fleet.tables import Format
from fleet.web.exports import send

PIECE = bytes(256 * 1024)
DEADLINE_S = 20
"""For this machine, busy as it may be."""


@pytest.mark.asyncio
async def test_a_browser_that_stalls_is_cut_off_and_the_list_is_closed() -> None:
    let_go = asyncio.Event()
    loop = asyncio.get_running_loop()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield PIECE
        finally:
            loop.call_soon_threadsafe(let_go.set)

    async def save(request: web.Request) -> web.StreamResponse:
        return await send(request, "list", Format.UTF8, pieces(), within_s=0.3)

    app = web.Application()
    app.router.add_get("/list.csv", save)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2], limit=1024)
    try:
        writer.write(b"GET /list.csv HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readline()
        async with asyncio.timeout(DEADLINE_S):
            await let_go.wait()
        taken = await reader.read()
        assert not taken.endswith(b"0\r\n\r\n")  # no last chunk: the browser knows of the cut
    finally:
        writer.close()
        await runner.cleanup()
