"""What `ingest` and `dispatch` share towards the broker and the one lock each of them holds.

Rules: no session, so a restart begins with what readers send again; a lost broker is tried again
with growing pauses; so is a lost database, and meanwhile the broker is left, so that messages go
to other workers or stay with the readers; who lost his lock stops and asks for it again.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import sqlalchemy as sa
import structlog

from fleet.books import Letter
from fleet.config import Config
from fleet.store import StoreUnready, StoreUnusable
from fleet.workers import Held, Holding, Lost
from wire.mqtt import MESSAGES_MAX, Answer, Connection, Endpoint, MqttError, client_tls

log: Final = structlog.get_logger("fleet.broker")

PUBLISH_AT_ONCE: Final = 64
"""Publishes waiting for the broker's answer at one time, where nobody is in a hurry."""
RECEIVE_MAXIMUM: Final = 100
"""Messages that the broker hands over before one is acknowledged, where order is enough."""
BACKOFF_S: Final = 0.5
BACKOFF_S_MAX: Final = 15.0
STEADY_S: Final = 30.0
"""After so long without trouble the pauses begin small again."""
STANDBY_S: Final = 2.0
"""How often who stands by asks for the lock."""
WATCH_S: Final = 5.0
"""How often a process makes sure that it still holds its lock."""


class Backoff:
    """Growing pauses with jitter, that begin small again after STEADY_S without trouble."""

    def __init__(self) -> None:
        self._pause_s = BACKOFF_S
        self._since_s = asyncio.get_running_loop().time()

    async def pause(self) -> None:
        """Wait; the next time longer, up to BACKOFF_S_MAX."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._since_s > STEADY_S + self._pause_s:
            self._pause_s = BACKOFF_S
        await asyncio.sleep(random.uniform(self._pause_s / 2, self._pause_s))  # noqa: S311  jitter
        self._pause_s = min(2 * self._pause_s, BACKOFF_S_MAX)
        self._since_s = asyncio.get_running_loop().time()


async def until_first(*work: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends or raises; cancel the others, and raise what the first one raised."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hold(
    lock: Callable[[], AbstractContextManager[Holding]],
    work: Callable[[Holding], Coroutine[Any, Any, None]],
    *,
    standby: bool = False,
) -> None:
    """Work under a lock until cancelled; begin again when the database was away or the lock lost.

    Raises Held when another process holds the lock, unless this one is to stand by, and
    StoreUnusable or OperationalError when there never was a database to begin with; StoreUnready at
    any time, since nobody but a person can mend that.
    """
    begun, waiting, backoff = False, False, Backoff()
    while True:
        try:
            async with _entered(lock()) as holding:
                begun, waiting = True, False
                await until_first(work(holding), _watch(holding))
        except Held as error:
            if not standby:
                raise
            if not waiting:
                log.info("standing by", why=str(error))
            waiting = True
            await asyncio.sleep(STANDBY_S)
        except (sa.exc.OperationalError, StoreUnusable, Lost) as error:
            if not begun or isinstance(error, StoreUnready):
                raise
            log.error("left the broker, will begin again", error=str(error))
            await backoff.pause()


@contextlib.asynccontextmanager
async def _entered(lock: AbstractContextManager[Holding]) -> AsyncIterator[Holding]:
    """Take the lock without stopping the event loop: a server may be slow to answer."""
    with contextlib.ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, lock)


async def _watch(holding: Holding) -> None:
    while True:
        await asyncio.sleep(WATCH_S)
        await asyncio.to_thread(holding.require)


async def attend(
    config: Config,
    topics: Sequence[str],
    work: Callable[[Connection], Coroutine[Any, Any, None]],
    ready: str,
    *,
    receive_maximum: int = RECEIVE_MAXIMUM,
    messages_max: int = MESSAGES_MAX,
) -> None:
    """Stay connected until cancelled, with a subscription and `work` on each new connection.

    The client id is left to the broker, so any number of processes can be connected at once.
    """
    backoff = Backoff()
    tls = client_tls(config.authority, config.certificate, config.key)
    endpoint = Endpoint(config.broker_host, config.broker_port, tls)
    while True:
        connection = Connection(
            endpoint, receive_maximum=receive_maximum, messages_max=messages_max
        )
        try:
            await connection.open()
            await connection.subscribe(*topics)
            log.info(ready, port=config.broker_port)
            await until_first(work(connection), connection.closed.wait())
            raise MqttError(connection.why_closed)
        except MqttError as error:
            log.warning("broker", error=str(error))
        finally:
            await connection.close()
        await backoff.pause()


async def publish(connection: Connection, letters: Sequence[Letter]) -> None:
    """Publish, some at a time; what the broker's rules deny for one reader stops no other."""
    for start in range(0, len(letters), PUBLISH_AT_ONCE):
        some = letters[start : start + PUBLISH_AT_ONCE]
        await settle(connection, some, send(connection, some))


def send(connection: Connection, letters: Sequence[Letter]) -> list[Answer]:
    """Hand letters to the connection, in order; `settle` waits for what the broker says."""
    return [connection.send(one.topic, one.payload, retain=one.retain) for one in letters]


async def settle(connection: Connection, letters: Sequence[Letter], sent: Sequence[Answer]) -> None:
    """Wait for what the broker says to `sent`. Raises MqttError when the connection breaks."""
    for one, code in zip(letters, await connection.answers(*sent), strict=True):
        if code.is_failure:
            log.error("publish refused", topic=one.topic, error=str(code))
