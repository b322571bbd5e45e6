"""The fixtures that other tests wait with can fail, and say why."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest


def test_waiting_gives_the_first_true_value(eventually: Any) -> None:
    answers = iter([0, 0, 7])
    assert eventually(lambda: next(answers)) == 7


def test_waiting_too_long_fails_with_what_was_meant(eventually: Any) -> None:
    with pytest.raises(AssertionError, match=r"not within 0.05 s: the lamp is green .*'red'"):
        eventually(lambda: "" or None, within_s=0.05, that="the lamp is green (not 'red')")


async def test_waiting_leaves_the_event_loop_running(eventually_async: Any) -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, done.set)
    assert await eventually_async(done.is_set)

    async def settled() -> bool:
        return done.is_set()

    assert await eventually_async(settled)


def test_ports_are_free_and_not_named_twice(free_port: Callable[[], int]) -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))
