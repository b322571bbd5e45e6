"""How long each stage of a presentation took, in µs, by the names in wire.messages.STAGES."""

from edge.frontends import FrontEnd
from wire.clock import Clock


class Stages:
    """A stopwatch that starts when a card was found; `times_us` is what was timed of the card.

    The time that the front end spent waiting for the card and the air is told apart, so that
    `host` is what this program needed itself. `show` and `total` end where the answer is about to
    be handed to the socket: what is sent cannot say how long its own sending took (some 10 µs).
    """

    def __init__(self, clock: Clock, front_end: FrontEnd | None, times_us: dict[str, int]) -> None:
        self._clock = clock
        self._front_end = front_end
        self._waited_before_ns = front_end.waited_ns if front_end else 0
        self._started_ns = self._last_ns = clock.monotonic_ns()
        self._card_us = times_us
        self._us: dict[str, int] = {}

    def end(self, stage: str) -> None:
        """A stage is over; the next one begins."""
        now_ns = self._clock.monotonic_ns()
        self._us[stage] = (now_ns - self._last_ns) // 1000
        self._last_ns = now_ns

    def all_us(self) -> dict[str, int]:
        """End `show` and return every stage, with `host` and `total`."""
        self.end("show")
        total_ns = self._last_ns - self._started_ns
        waited_ns = self._front_end.waited_ns - self._waited_before_ns if self._front_end else 0
        return {
            **self._card_us,
            **self._us,
            "host": (total_ns - waited_ns) // 1000,
            "total": total_ns // 1000,
        }
