"""How pages hear of changes: one task looks once a second and tells all who listen.

However many browsers are open, each thing that is watched is read once a second, by this process,
and only while someone watches it. What travels is the word «changed»; the page then asks for its
part with its own session, so nothing is ever pushed to someone who has signed out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import web
from aiohttp_sse import sse_response

POLL_S: Final = 1.0
"""How old a shown state may be; the tables read are small (a row a reader)."""
LISTENERS_MAX: Final = 200
"""Open streams of one process: about 20 kB each. Further pages are told to load again later."""
PING_S: Final = 15.0
"""A comment on an idle stream, so that proxies with the usual 60 s do not cut it."""

Read = Callable[[], object]
"""Returns the present state of what is watched; called in a thread; equal means unchanged."""


@dataclass
class _Watch:
    read: Read
    bells: set[asyncio.Event] = field(default_factory=set)
    seen: object = None
    known: bool = False


class TooManyListeners(Exception):
    """LISTENERS_MAX streams are open; the page works on, and is loaded again by hand."""


class Live:
    """The watched things of one process, by topic."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watch] = {}
        self._closing = asyncio.Event()

    @property
    def listeners(self) -> int:
        """Streams that are open now."""
        return sum(len(watch.bells) for watch in self._watched.values())

    @contextlib.asynccontextmanager
    async def listen(self, topic: str, read: Read) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever what `read` returns has changed.

        Raises TooManyListeners.
        """
        if self.listeners >= LISTENERS_MAX:
            raise TooManyListeners
        bell = asyncio.Event()
        watch = self._watched.setdefault(topic, _Watch(read))
        watch.bells.add(bell)
        try:
            if not watch.known:
                watch.seen, watch.known = await asyncio.to_thread(read), True
            yield bell
        finally:
            watch.bells.discard(bell)
            if not watch.bells:
                self._watched.pop(topic, None)

    async def look(self) -> None:
        """Read everything that is watched, once, and ring where it changed."""
        for topic, watch in list(self._watched.items()):
            try:
                state = await asyncio.to_thread(watch.read)
            except Exception as error:  # noqa: BLE001  a busy database is looked at again in a second
                structlog.get_logger().warning("live.read-failed", topic=topic, error=str(error))
                continue
            if watch.known and state != watch.seen:
                for bell in watch.bells:
                    bell.set()
            watch.seen, watch.known = state, True

    async def run(self) -> None:
        """Look every POLL_S until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        """Ring every bell for the last time: streams end."""
        self._closing.set()
        for watch in self._watched.values():
            for bell in watch.bells:
                bell.set()

    @property
    def closing(self) -> bool:
        """True from close() on."""
        return self._closing.is_set()


LIVE: Final = web.AppKey("live", Live)


async def stream(request: web.Request, topic: str, read: Read) -> web.StreamResponse:
    """Answer with a stream of «changed» events until the browser leaves or the process ends."""
    try:
        async with request.app[LIVE].listen(topic, read) as bell:
            return await _tell(request, bell)
    except TooManyListeners:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"}) from None


async def _tell(request: web.Request, bell: asyncio.Event) -> web.StreamResponse:
    """Pass on each ring; a browser that leaves in the middle of a word is no error."""
    live = request.app[LIVE]
    if request.transport is None:
        return web.Response()
    response: web.StreamResponse = web.Response()
    with contextlib.suppress(ConnectionResetError):  # also from the first byte of the answer
        async with sse_response(request, ping_interval=PING_S) as events:
            response = events
            await events.send("hello", event="hello")
            while events.is_connected() and not live.closing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), PING_S)
                    bell.clear()
                    await events.send("changed", event="changed")
    return response


async def keep_looking(app: web.Application) -> AsyncIterator[None]:
    """Run the one task for as long as the application lives (a cleanup context)."""
    task = asyncio.create_task(app[LIVE].run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def end_streams(app: web.Application) -> None:
    """End open streams before the server waits for them (a shutdown hook)."""
    app[LIVE].close()
