"""Fixtures that any test may use: a free port and waiting with a deadline.

No test sleeps for a fixed time: it waits for what it means, and fails with words when that has not
come by the deadline.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import hypothesis
import pytest

from fleet import accounts
from hw.sim.site import free_ports
from tests.real_postgres import Postgres, start_postgres

T = TypeVar("T")

hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")  # how fast a machine is decides no test

# Many times what the slowest real part (mosquitto, Chromium) takes on two busy cores.
WITHIN_S = 15.0
# Short enough to be no part of what is measured, long enough to leave the cores to others.
PAUSE_S = 0.02


class Eventually(Protocol):
    """The type of the fixture `eventually`."""

    def __call__(self, probe: Callable[[], T], *, within_s: float = WITHIN_S, that: str = "") -> T:
        """The first true value of `probe()`; an AssertionError with `that` after `within_s`."""


class EventuallyAsync(Protocol):
    """The type of the fixture `eventually_async`: the same, for a probe that may be awaited."""

    async def __call__(
        self, probe: Callable[[], T | Awaitable[T]], *, within_s: float = WITHIN_S, that: str = ""
    ) -> T:
        """The first true value of `probe()`; an AssertionError with `that` after `within_s`."""


def _wait(probe: Callable[[], T], *, within_s: float = WITHIN_S, that: str = "") -> T:
    deadline = time.monotonic() + within_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(_late(within_s, that, value))
        time.sleep(PAUSE_S)
    return value


async def _wait_async(
    probe: Callable[[], T | Awaitable[T]], *, within_s: float = WITHIN_S, that: str = ""
) -> T:
    deadline = time.monotonic() + within_s
    while True:
        found = probe()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_late(within_s, that, value))
        await asyncio.sleep(PAUSE_S)


def _late(within_s: float, that: str, value: object) -> str:
    return f"not within {within_s} s: {that or 'the condition'} (last seen: {value!r})"


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Waits for a condition: `eventually(lambda: page.exists(), that="the page is there")`."""
    return _wait


@pytest.fixture(scope="session")
def eventually_async() -> EventuallyAsync:
    """Waits for a condition in an event loop: `await eventually_async(lambda: queue.empty())`."""
    return _wait_async


@pytest.fixture(scope="session", autouse=True)
def hashed_once() -> Iterator[None]:
    """Hash each password once: each hash takes a tenth of a second on purpose, and 64 MiB."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("hashed", "_right"):
            patch.setattr(accounts, name, functools.cache(getattr(accounts, name)))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests that stop none; without fsync, since no test cuts its power."""
    with start_postgres(fsync=False) as server:
        yield server


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Names TCP ports on 127.0.0.1 that nobody listens on, a new one at each call."""
    named: set[int] = set()

    def name() -> int:
        port = next(one for one in free_ports(len(named) + 1) if one not in named)
        named.add(port)
        return port

    return name
