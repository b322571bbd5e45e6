"""How a front end that fails comes back by itself, one rung of a ladder after the other.

    sense again → restart the device → close it and open it again, ever slower → power-cycle it

A PN532 behind the reader head is restarted by its reset line; what is power-cycled is then the
head, on its USB port, and only while it cannot be reached. A ladder cannot climb when the loop on
it hangs: then systemd kills the agent, the SoC's watchdog the kernel, and last of all the head, to
whom the loop's own requests are the sign of life, cuts the computer's supply (edge/box.py).

Upheld: one that finds cards and fails when it talks to them climbs too · nobody waits here longer
than a restart takes · while the device is away the agent goes on listening and says so · each rung
is counted, so that operators see a loose cable before it breaks · a device that nobody used for a
while is tested before somebody needs it.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from edge.frontends import Card, FrontEnd, FrontEndFault, Technology
from wire.clock import Clock

AGAIN: Final = "front-end.sensed-again"
RESTARTED: Final = "front-end.restarted"
REOPENED: Final = "front-end.reopened"
POWER_CYCLED: Final = "front-end.power-cycled"
FAULT: Final = "front-end.fault"
SELF_TEST: Final = "front-end.self-tested"
"""What is counted, by the names that telemetry carries."""

RESTART_AT: Final = 2
REOPEN_AT: Final = 3
"""Faults in a row: the first is answered by sensing again (a hiccup on the line)."""
POWER_CYCLE_EVERY: Final = 3
"""Openings in a row that led to no working poll."""
BACKOFF_MS_FIRST: Final = 500
BACKOFF_MS_MAX: Final = 30_000
"""A device that was plugged in again works within half a minute, and a dead one costs nothing."""
SELF_TEST_MS: Final = 600_000
"""Without a card for so long. Type B polling was reported to slow down after hours (nfcpy's
tracker, 62), which a restart ends; it takes a tenth of a second."""

_log = logging.getLogger("kazasu.front-end")


class Recovering:
    """A front end that is opened when needed and again after faults.

    `open_front_end` raises FrontEndFault. `power_cycle` says whether it could. `counted` is told of
    each rung.
    """

    def __init__(
        self,
        open_front_end: Callable[[], FrontEnd],
        power_cycle: Callable[[], bool],
        clock: Clock,
        counted: Callable[[str], None],
    ) -> None:
        self._open_front_end = open_front_end
        self._power_cycle = power_cycle
        self._clock = clock
        self._counted = counted
        self.device: FrontEnd | None = None
        """The open front end; None while it is away."""
        self._faults = 0
        self._in_vain = 0
        self._opened_before = False
        self._backoff_ms = BACKOFF_MS_FIRST
        self._not_before_ns = 0
        self._tested_ns = clock.monotonic_ns()
        self._told = ""

    def sense(self, technologies: Sequence[Technology]) -> Card | None:
        """Look for a card (see FrontEnd.sense); None also while the front end is away."""
        if self.device is None:
            self._open()
        if self.device is None:
            return None
        try:
            card = self.device.sense(technologies)
            if card is None:
                self._test(self.device)
            else:
                self._tested_ns = self._clock.monotonic_ns()
        except FrontEndFault as error:
            self.failed(error)
            return None
        if card is None or not card.speaks_apdu:  # else there may be a fault in talking to it
            self._faults, self._in_vain, self._backoff_ms = 0, 0, BACKOFF_MS_FIRST
            self._told = ""
        return card

    def _test(self, device: FrontEnd) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._tested_ns >= SELF_TEST_MS * 1_000_000:
            self._tested_ns = now_ns
            self._counted(SELF_TEST)
            device.restart()

    def failed(self, error: FrontEndFault) -> None:
        """Take note of a fault, and climb one rung."""
        self._tell(error)
        self._counted(FAULT)
        self._faults += 1
        if self._faults < RESTART_AT:
            self._counted(AGAIN)
        elif self._faults < REOPEN_AT and self._restarted():
            self._counted(RESTARTED)
        else:
            self._let_go()

    def _restarted(self) -> bool:
        try:
            if self.device is None:
                return False
            self.device.restart()
        except FrontEndFault:
            return False
        return True

    def _let_go(self) -> None:
        if self.device is not None:
            self.device.close()
            self.device = None
        self._wait_longer()

    def _open(self) -> None:
        if self._clock.monotonic_ns() < self._not_before_ns:
            return
        try:
            self._in_vain += 1
            self.device = self._open_front_end()
        except FrontEndFault as error:
            self._tell(error)
            self._wait_longer()
            return
        if self._opened_before:
            self._counted(REOPENED)
        self._opened_before = True
        self._tested_ns = self._clock.monotonic_ns()
        self._faults = REOPEN_AT - 1  # one more fault before it ever worked closes it again

    def _tell(self, error: FrontEndFault) -> None:
        """Write down what is wrong and what to do, once as long as it is the same."""
        if str(error) != self._told:
            self._told = str(error)
            _log.warning("%s", error)

    def _wait_longer(self) -> None:
        self._not_before_ns = self._clock.monotonic_ns() + self._backoff_ms * 1_000_000
        self._backoff_ms = min(2 * self._backoff_ms, BACKOFF_MS_MAX)
        every_third = self._in_vain and self._in_vain % POWER_CYCLE_EVERY == 0
        if every_third and self._power_cycle():
            self._counted(POWER_CYCLED)

    def close(self) -> None:
        """Let the device go."""
        if self.device:
            self.device.close()
        self.device = None
