"""What runs beside the pages: streams of changes that a page leaves, and the line of sign-ins."""

import asyncio
import logging
import threading

import pytest
from aiohttp import ClientError, ClientSession, web

from fleet.web import live
from fleet.web.signin import HASHES_MAX, WAITING_MAX, HashQueue, TooManyWaiting

DEADLINE_S = 20


@pytest.mark.asyncio
async def test_a_page_that_leaves_while_its_stream_begins_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[BaseException | None] = []

    async def leave(request: web.Request, response: web.StreamResponse) -> None:
        assert request.transport
        request.transport.close()

    async def listen(request: web.Request) -> web.StreamResponse:
        try:
            response = await live.stream(request, "x", lambda: 0)
        except BaseException as error:
            ended.append(error)
            raise
        ended.append(None)
        return response

    app = web.Application()
    app[live.LIVE] = live.Live()
    app.router.add_get("/live", listen)
    app.on_response_prepare.append(leave)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with caplog.at_level(logging.INFO):
        async with ClientSession() as browser:
            with pytest.raises(ClientError):
                await browser.get(f"http://127.0.0.1:{runner.addresses[0][1]}/live")
    await runner.cleanup()
    assert set(ended) == {None}  # the browser asks a second time
    assert app[live.LIVE].listeners == 0
    assert caplog.records == []


@pytest.mark.asyncio
async def test_few_passwords_are_hashed_at_once_and_few_wait() -> None:
    queue, go = HashQueue(), threading.Event()
    lock, running, most = threading.Lock(), 0, 0

    def hash_one() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert go.wait(DEADLINE_S)
        with lock:
            running -= 1

    tasks = [asyncio.create_task(queue.run(hash_one)) for _ in range(HASHES_MAX + WAITING_MAX)]
    await asyncio.sleep(0)
    assert queue.full
    with pytest.raises(TooManyWaiting):
        await queue.run(hash_one)
    go.set()
    await asyncio.gather(*tasks)
    queue.close()
    assert most <= HASHES_MAX
    assert not queue.full
