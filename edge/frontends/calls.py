"""Calls that have no time limit of their own, made on a thread so that their caller has one.

Upheld: a caller waits no longer than it says · one call at a time, in order · what a call returns
or raises after its caller has left is thrown away · a call that never returns holds its thread and
nothing else, not even the end of the program.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

CLOSE_S_MAX: Final = 0.2
"""How long `close` waits for the last calls; they are made all the same when it does not."""

_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class Late(Exception):
    """The call has not returned in time."""


class Calls:
    """Where one caller's calls are made, one after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._late: Future[Any] | None = None
        self._late_since_s = 0.0
        self._thread = Thread(target=self._make, name="calls", daemon=True)
        self._thread.start()

    def call(self, within_s: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns, or raise what it raises.

        Raises Late, and does not call when time is over.
        """
        if within_s <= 0:
            raise Late(f"no time left for {function.__name__}")
        call = self.last(function, *arguments)
        try:
            return call.result(within_s)
        except TimeoutError as error:
            if not call.cancel():  # it has begun
                self._late, self._late_since_s = call, time.monotonic()
            raise Late(f"{function.__name__} did not return within {within_s:.3f} s") from error

    def late_s(self, wait_s: float) -> float:
        """Say for how long a call has been late, and 0 when it returns within `wait_s`."""
        if self._late is None:
            return 0.0
        if not wait([self._late], wait_s).done:
            return time.monotonic() - self._late_since_s
        self._late = None
        return 0.0

    def last(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a function be called after all others, whoever waits for it."""
        call: Future[Any] = Future()
        self._calls.put((call, function, arguments))
        return call

    def close(self) -> None:
        """End the thread when all that was asked is done; do not wait for long."""
        self._calls.put(None)
        self._thread.join(CLOSE_S_MAX)

    def _make(self) -> None:
        while asked := self._calls.get():
            call, function, arguments = asked
            if call.set_running_or_notify_cancel():
                try:
                    call.set_result(function(*arguments))
                except Exception as error:  # noqa: BLE001  its caller's: those behind it go on
                    call.set_exception(error)
