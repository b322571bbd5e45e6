"""Tells systemd that a half has started, works, and ends (sd_notify(3)).

Rules: a half says so itself, from the loop that does its work, never from a timer beside it: when
that loop hangs, nothing is said, and systemd starts the half again · nothing here waits or fails:
without systemd, or with one that does not listen, a half works as ever.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
SAYS_PER_PERIOD: Final = 3
"""Two may be lost or late before systemd acts; sd_watchdog_enabled(3) asks for two at least."""


class Notify:
    """One half's line to systemd. Used by one thread."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the address from the environment; without one nothing is ever said."""
        environment = os.environ if environment is None else environment
        self._now_ns = now_ns
        self._every_ns = _microseconds(environment.get(WATCHDOG, "")) * 1000 // SAYS_PER_PERIOD
        self._said_ns: int | None = None
        self._address = environment.get(SOCKET, "")
        if self._address.startswith("@"):  # unix(7): an abstract address
            self._address = "\0" + self._address[1:]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket:
            self._socket.setblocking(False)

    def alive(self) -> None:
        """Say that one round of the work is done; the first time also that the half is ready."""
        now_ns = self._now_ns()
        if self._said_ns is None:
            self._say(b"READY=1\nWATCHDOG=1")
        elif not self._every_ns or now_ns - self._said_ns < self._every_ns:
            return
        else:
            self._say(b"WATCHDOG=1")
        self._said_ns = now_ns

    def stopping(self) -> None:
        """Say that the half ends, the last that is said."""
        self._say(b"STOPPING=1")
        if self._socket:
            self._socket.close()
        self._socket = None

    def _say(self, words: bytes) -> None:
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.sendto(words, self._address)


def _microseconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
