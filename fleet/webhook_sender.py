"""Telling other systems, in the background of the office: one POST at a time for each webhook.

Rules: a delivery is signed as Standard Webhooks has it (headers webhook-id, webhook-timestamp and
webhook-signature: HMAC-SHA256 over id.timestamp.body); only an answer of 2xx within TRY_S is one;
no redirect is followed, no cookie kept, no proxy taken from the environment, and of an answer only
the status is read; the name is looked up here and every address it has is judged
(webhook_addresses.check_address), so that no name leads to this machine.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import sqlalchemy as sa
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from fleet import webhooks
from fleet.store import Store
from fleet.webhook_addresses import check_address, check_url, is_this_machine
from fleet.webhook_events import Event
from fleet.webhooks import Delivery
from wire.clock import Clock

TRY_S: Final = 10.0
"""For connection and answer: a receiver says yes before it works (Standard Webhooks: 15 to 30 s;
behind one that is slow the others of its own queue wait)."""
POLL_S: Final = 1.0
"""How soon after a change it is told."""
AT_ONCE_MAX: Final = 8
"""Deliveries under way, one a webhook."""
RUN_MAX: Final = 100
"""Deliveries of one webhook before the others are looked at again."""
FORGET_S: Final = 3_600.0
WHO: Final = "office"
"""In the audit, for what nobody did by hand."""


def signature(secret: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """Return the header webhook-signature of one delivery."""
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def headers_of(one: Delivery, now_ms: int) -> dict[str, str]:
    """Return what a delivery carries beside its body."""
    message_id, at_s = msgspec.json.decode(one.body, type=Event).id, now_ms // 1000
    return {
        "Content-Type": "application/json",
        "User-Agent": "kazasu",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signature(one.secret, message_id, at_s, one.body),
    }


class _Judging(AbstractResolver):
    """Looks names up, and refuses those that lead to where no other system is."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for one in found:
            address = ipaddress.ip_address(one["host"])
            check_address(address, this_machine=is_this_machine(host))
        return found

    async def close(self) -> None:
        await self._inner.close()


def _busy(error: sa.exc.SQLAlchemyError) -> None:
    said = str(getattr(error, "orig", error))
    structlog.get_logger().warning("webhooks.database", error=said)


class Sender:
    """Tells what is due until it is cancelled."""

    def __init__(self, persons: Store, clock: Clock) -> None:
        self._store = persons
        self._clock = clock
        self._under_way: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look every POLL_S what is due; end when cancelled, with what is under way."""
        connector = aiohttp.TCPConnector(resolver=_Judging(), use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=TRY_S)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=jar
        ) as http:
            forgotten_at = -FORGET_S
            try:
                while True:
                    now = asyncio.get_running_loop().time()
                    if now - forgotten_at >= FORGET_S:
                        forgotten_at = now
                        await self._quietly(self._forget)
                    await self._look(http)
                    await asyncio.sleep(POLL_S)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _quietly(self, work: Callable[[], int]) -> None:
        """Do it in a thread; a busy database is asked again later."""
        try:
            await asyncio.to_thread(work)
        except sa.exc.SQLAlchemyError as error:
            _busy(error)

    def _forget(self) -> int:
        with self._store.write() as connection:
            return webhooks.forget(connection, WHO, self._clock.now_ms())

    async def _look(self, http: aiohttp.ClientSession) -> None:
        try:
            due = await asyncio.to_thread(self._due)
        except sa.exc.SQLAlchemyError as error:
            _busy(error)
            return
        for webhook_id in due:
            if webhook_id not in self._under_way and len(self._under_way) < AT_ONCE_MAX:
                self._under_way.add(webhook_id)
                task = asyncio.create_task(self._tell(http, webhook_id))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Say what nobody expected; the delivery is tried again when its lease is over."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            structlog.get_logger().error("webhooks.failed", exc_info=error)

    def _due(self) -> list[int]:
        with self._store.read() as connection:
            return webhooks.due(connection, self._clock.now_ms())

    async def _tell(self, http: aiohttp.ClientSession, webhook_id: int) -> None:
        """Tell one webhook what is due, in order, until something fails or nothing is left."""
        try:
            one = await asyncio.to_thread(self._take, webhook_id)
            for _ in range(RUN_MAX):
                if one is None:
                    return
                error = await self._post(http, one)
                one = await asyncio.to_thread(self._settle, one, error)
        except sa.exc.SQLAlchemyError as error:
            _busy(error)
        finally:
            self._under_way.discard(webhook_id)

    def _take(self, webhook_id: int) -> Delivery | None:
        with self._store.write() as connection:
            return webhooks.take(connection, webhook_id, self._clock.now_ms())

    def _settle(self, one: Delivery, error: str) -> Delivery | None:
        """Write down what became of it and take the next, in one transaction."""
        now_ms = self._clock.now_ms()
        with self._store.write() as connection:
            if error:
                webhooks.failed(connection, one, error, now_ms)
                return None
            webhooks.done(connection, one, now_ms)
            return webhooks.take(connection, one.webhook_id, now_ms)

    async def _post(self, http: aiohttp.ClientSession, one: Delivery) -> str:
        """Send it; return what went wrong, or nothing."""
        try:
            host = urlsplit(one.url).hostname or ""
            check_url(one.url, this_machine=is_this_machine(host))
            async with http.post(
                one.url,
                data=one.body,
                headers=headers_of(one, self._clock.now_ms()),
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except TimeoutError:
            return f"no answer within {TRY_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return "" if 200 <= status < 300 else f"HTTP {status}"


@contextlib.asynccontextmanager
async def sending(persons: Store, clock: Clock) -> AsyncIterator[None]:
    """Tell in the background for as long as the block lasts."""
    task = asyncio.create_task(Sender(persons, clock).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
