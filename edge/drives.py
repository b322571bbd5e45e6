"""What the driver asks of the card half, in the network half: a question, and its own answer.

Rules: an answer is known by its number, so a late one answers nobody else · who waits too long is
told so and asks again: a fare names the riders that he saw, so nothing is settled twice · a ride
that was settled stays on the screen until somebody taps or goes on, even when its answer came late.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from edge.panel import (
    Aboard,
    CancelRide,
    Fare,
    FareAnswer,
    FromLink,
    NotDone,
    RideActed,
    RiderRef,
    TakeOff,
    TurnShift,
)

ANSWER_S: Final = 3.0
"""For the card half to answer: its worst disk sync is far below (as edge.web.app.CONFIRM_S)."""

Act = TakeOff | CancelRide | TurnShift
Answer = FareAnswer | RideActed


class NoAnswer(Exception):
    """The card half is not there, or silent: what was asked is perhaps done all the same."""


@dataclass
class Drives:
    """The ride that is under way, as the card half told it last, and what is asked of it."""

    say: Callable[[FromLink], bool]
    changed: Callable[[], None]
    """Called when what a page shows is no longer what is."""
    aboard: Aboard | None = None
    """None while the card half is not there."""
    settled: FareAnswer | None = None
    """The ride that was settled last, until somebody taps or goes on."""
    _asks: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)

    async def fare(
        self, riders: list[RiderRef], fare_yen: int, discount: str, *, keep: bool
    ) -> FareAnswer:
        """Reckon a ride, or settle it (`keep`). Raises NoAnswer."""
        answer = await self._ask(Fare(next(self._asks), riders, fare_yen, discount, keep))
        if isinstance(answer, FareAnswer):
            return answer
        raise NoAnswer("answered as something else was asked")

    async def act(self, act: Act) -> NotDone:
        """Have something done; return why it was not, empty when it is durable. Raises NoAnswer.

        The act's own number does not matter.
        """
        answer = await self._ask(replace(act, ask=next(self._asks)))
        return answer.refused

    def heard(self, said: Aboard | FareAnswer | RideActed) -> None:
        """Take in what the card half says."""
        if isinstance(said, Aboard):
            if said.riders:
                self.settled = None
            if said != self.aboard:
                self.aboard = said
                self.changed()
            return
        if isinstance(said, FareAnswer) and said.n:
            self.settled = said
            self.changed()
        waiting = self._waiting.get(said.ask)
        if waiting and not waiting.done():
            waiting.set_result(said)

    def gone(self) -> None:
        """The card half is not there any more: nobody will be answered."""
        self.aboard = None
        for waiting in self._waiting.values():
            waiting.cancel()
        self.changed()

    def go_on(self) -> None:
        """Take what was settled last off the screen."""
        if self.settled:
            self.settled = None
            self.changed()

    async def _ask(self, asked: Fare | Act) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[asked.ask] = future
        try:
            if not self.say(asked):
                raise NoAnswer("the card half is not there")
            done, _ = await asyncio.wait([future], timeout=ANSWER_S)
            if not done or future.cancelled():
                raise NoAnswer("the card half does not answer")
            return future.result()
        finally:
            del self._waiting[asked.ask]
