"""The processes that work on files of members: one a file, ended with the office that began it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet import import_jobs
from fleet.config import Config
from fleet.store import Store
from fleet.web.data import PERSONS, change
from fleet.web.pages import CLOCK
from wire.clock import Clock

SOURCES: Final = Path(__file__).parents[2]
"""Where `fleet` lies, so that the child runs the very code that began it."""
FORGET_S: Final = 600.0
"""What is kept for a day may lie ten minutes longer."""


class Children:
    """The working processes of one office."""

    def __init__(self, config: Config, persons: Store, clock: Clock) -> None:
        self._databases = config.databases
        self._persons = persons
        self._clock = clock
        self._running: dict[asyncio.Task[None], asyncio.subprocess.Process] = {}

    async def start(self, job: int, at_ms: int, body: bytes | bytearray) -> None:
        """Let a process of its own work on a job, with the file that it is to look at, if any."""
        where = str(self._databases.state.resolve()), self._databases.url
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fleet.import_work",
            *where,
            str(job),
            str(at_ms),
            stdin=asyncio.subprocess.PIPE,
            cwd=SOURCES,
        )
        task = asyncio.create_task(self._see_through(process, job, body))
        self._running[task] = process
        task.add_done_callback(lambda done: self._running.pop(done, None))

    async def _see_through(
        self, process: asyncio.subprocess.Process, job: int, body: bytes | bytearray
    ) -> None:
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):  # it died: its row will say so
                process.stdin.write(body)
                await process.stdin.drain()
            process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()
        if await process.wait():  # one that came to its end may end when the next step has begun
            await change(self._persons, import_jobs.cut, job, self._clock.now_ms())

    async def stop(self) -> None:
        """End them all; what they had not finished leaves nothing, and its row says so."""
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await self.join()

    async def join(self) -> None:
        """Wait until all have come to their end."""
        await asyncio.gather(*self._running, return_exceptions=True)


CHILDREN: Final = web.AppKey("import_children", Children)


async def keep(app: web.Application) -> AsyncIterator[None]:
    """Forget in time what is kept of files, and end the working processes with the office."""
    forgetting = asyncio.create_task(_forget(app))
    yield
    forgetting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await forgetting
    await app[CHILDREN].stop()


async def _forget(app: web.Application) -> None:
    """Forget in time, and settle what an erasure could not; a database that is busy, later."""
    persons = app[PERSONS]
    while True:
        try:
            if persons.owes:
                await asyncio.to_thread(persons.settle)
            await change(persons, import_jobs.forget, app[CLOCK].now_ms())
        except sa.exc.OperationalError as error:
            structlog.get_logger().warning("import.not-forgotten", error=str(error.orig))
        await asyncio.sleep(FORGET_S)
