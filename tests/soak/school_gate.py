"""One gate's reader for the soak: real but for card, screen, network and clock.

The agent's own lists, journal on a disk, memory of the week, rulebook, uplink and gate; what is
written here is only what people at it do.
"""

import itertools
from dataclasses import dataclass
from typing import Final

from edge.config import Config
from edge.decide import Circumstances, decide, tap_entry
from edge.gate import Gate
from edge.panel import AnswerGiven, AtGate, FromTap, GateActed, GateLeft, Redirected
from programmes.rulebook import Direction, Place
from tests.fleet.virtual import HandClock, VirtualReader
from tests.soak.agent import Agent
from tests.soak.school_town import SCHOOL
from wire.entries import Heading, Tap


@dataclass
class OffClock:
    """A machine's clock that may be wrong, beside the right one."""

    right: HandClock
    ahead_ms: int = 0

    def now_ms(self) -> int:
        return self.right.now_ms() + self.ahead_ms

    def monotonic_ns(self) -> int:
        return self.right.monotonic_ns()


class SchoolGate(Agent):
    """One gate with its reader."""

    def __init__(self, virtual: VirtualReader, config: Config, right: HandClock) -> None:
        self.clock: Final = OffClock(right)
        super().__init__(SCHOOL, virtual, config, self.clock, right)
        self.stands = AtGate()
        """Who stands there, as the screen shows it."""
        self._asks = itertools.count(1)
        self._acted = GateActed(0, "")

    # --- its reader ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Switch it on, with what its card holds."""
        super().begin()
        self._gate = Gate(
            self._keeper.keep,
            lambda: self._keeper.journal.id,
            self._hear_gate,
            self._keeper.history,
            lambda: self._rosters.holdings,
            self._now,
            self.clock,
            lambda programme, credentials: "",
        )

    def _hear_gate(self, said: FromTap) -> None:
        if isinstance(said, AtGate):
            self.stands = said
        elif isinstance(said, GateActed):
            self._acted = said

    # --- what people do --------------------------------------------------------------------------

    def _now(self, declared: Direction = "") -> Circumstances:
        place = Place(self.name, "school", "")
        return Circumstances(self._time.stamp(), place, duty="", stop="", declared=declared)

    def tap(self, serial: str, declared: Direction = "") -> Tap:
        """Let somebody hold a card, as `edge.tap` decides and keeps it."""
        now = self._now(declared)
        identified, match = self.identified(serial)
        history = self._keeper.history
        past = (SCHOOL, match.under, now.stamp.at_ms)
        counted = self._usage.of(match, self._own, now.stamp.at_ms)
        booked, answered = history.of(*past), history.answered(*past)
        made = decide(identified, match.holding, booked, counted, now, answered=answered)
        entry = tap_entry(SCHOOL, identified, match.holding, made, counted, now)
        assert self._keeper.keep(entry), "not kept"
        self._gate.tapped(entry, made.seen)
        return entry

    def turn(self, direction: Heading) -> None:
        """Give the tap on the screen another direction."""
        self._must(Redirected(next(self._asks), self.stands.journal, self.stands.n, direction))

    def answer(self, claimed_ms: int | None) -> None:
        """Answer the question on the screen; None: not known."""
        self._must(AnswerGiven(next(self._asks), self.stands.journal, self.stands.n, claimed_ms))

    def leave(self) -> None:
        """«あとで», or just go."""
        self._gate.hear(GateLeft(), self._time.stamp())

    def _must(self, said: Redirected | AnswerGiven) -> None:
        self._gate.hear(said, self._time.stamp())
        assert self._acted == GateActed(said.ask, ""), (said, self._acted)
