"""How a front end that fails comes back by itself: sense again, then close and open, ever slower.

Upheld: nobody waits here; while the device is away the agent goes on listening and says so.
"""

from collections.abc import Callable, Sequence
from typing import Final

from edge.frontends import Card, FrontEnd, FrontEndFault, Technology
from wire.clock import Clock

FAULTS_MAX: Final = 2
"""The first fault is answered by sensing again (USB hiccup); the second by opening again."""
BACKOFF_MS_FIRST: Final = 500
BACKOFF_MS_MAX: Final = 30_000
"""A device that was plugged in again works within half a minute, and a dead one costs nothing."""


class Recovering:
    """A front end that is opened when needed and again after faults.

    `open_front_end` raises FrontEndFault. `counted` is told of `front-end.fault` and
    `front-end.reopened`.
    """

    def __init__(
        self,
        open_front_end: Callable[[], FrontEnd],
        clock: Clock,
        counted: Callable[[str], None],
    ) -> None:
        self._open_front_end = open_front_end
        self._clock = clock
        self._counted = counted
        self.device: FrontEnd | None = None
        """The open front end; None while it is away."""
        self._faults = 0
        self._opened_before = False
        self._backoff_ms = BACKOFF_MS_FIRST
        self._not_before_ns = 0

    def sense(self, technologies: Sequence[Technology]) -> Card | None:
        """Look for a card (see FrontEnd.sense); None also while the front end is away."""
        if self.device is None:
            self._open()
        if self.device is None:
            return None
        try:
            card = self.device.sense(technologies)
        except FrontEndFault:
            self.failed()
            return None
        self._faults, self._backoff_ms = 0, BACKOFF_MS_FIRST
        return card

    def failed(self) -> None:
        """Take note of a fault; after FAULTS_MAX in a row let the device go for a while."""
        self._counted("front-end.fault")
        self._faults += 1
        if self._faults >= FAULTS_MAX and self.device:
            self.device.close()
            self.device = None
            self._wait_longer()

    def _open(self) -> None:
        if self._clock.monotonic_ns() < self._not_before_ns:
            return
        try:
            self.device = self._open_front_end()
        except FrontEndFault:
            self._wait_longer()
            return
        if self._opened_before:
            self._counted("front-end.reopened")
        self._opened_before = True
        self._faults = FAULTS_MAX - 1  # one more fault before it ever worked closes it again

    def _wait_longer(self) -> None:
        self._not_before_ns = self._clock.monotonic_ns() + self._backoff_ms * 1_000_000
        self._backoff_ms = min(2 * self._backoff_ms, BACKOFF_MS_MAX)

    def close(self) -> None:
        """Let the device go."""
        if self.device:
            self.device.close()
        self.device = None
