"""A question to the card half, in the network half: each has a number, and its own answer.

Rules: a late answer answers nobody else · who waits too long is told so and asks again: what is
asked names what was seen, so nothing is done twice.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from edge.panel import FareAnswer, FromLink, GateAct, GateActed, RideAct, RideActed

ANSWER_S: Final = 3.0
"""For the card half to answer: its worst disk sync is far below (as edge.web.app.CONFIRM_S)."""

Answer = FareAnswer | RideActed | GateActed


class NoAnswer(Exception):
    """The card half is not there, or silent: what was asked is perhaps done all the same."""


@dataclass
class Asks:
    """What was asked and is not answered yet. `say` hands it over; False when nobody is there."""

    say: Callable[[FromLink], bool]
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Answer]] = field(default_factory=dict)

    async def ask(self, asked: RideAct | GateAct) -> Answer:
        """Ask under a number of its own and return the answer. Raises NoAnswer."""
        asked = replace(asked, ask=next(self._numbers))
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

    def heard(self, answer: Answer) -> None:
        """Give an answer to whoever waits for it."""
        waiting = self._waiting.get(answer.ask)
        if waiting and not waiting.done():
            waiting.set_result(answer)

    def gone(self) -> None:
        """The card half is not there any more: nobody will be answered."""
        for waiting in self._waiting.values():
            waiting.cancel()
