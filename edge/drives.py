"""What the driver asks of the card half, in the network half: a question, and its own answer.

Rules: as `edge/asks.py` has them · a fare names the riders that the driver saw, so nothing is
settled twice · a ride that was settled stays on the screen until somebody taps or goes on, even
when its answer came late.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.asks import Asks, NoAnswer
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

Act = TakeOff | CancelRide | TurnShift


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
    _asks: Asks = field(init=False)

    def __post_init__(self) -> None:
        self._asks = Asks(self.say)

    async def fare(
        self, riders: list[RiderRef], fare_yen: int, discount: str, *, keep: bool
    ) -> FareAnswer:
        """Reckon a ride, or settle it (`keep`). Raises NoAnswer."""
        answer = await self._asks.ask(Fare(0, riders, fare_yen, discount, keep))
        if isinstance(answer, FareAnswer):
            return answer
        raise NoAnswer("answered as something else was asked")

    async def act(self, act: Act) -> NotDone:
        """Have something done; return why it was not, empty when it is durable. Raises NoAnswer.

        The act's own number does not matter.
        """
        answer = await self._asks.ask(act)
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
        self._asks.heard(said)

    def gone(self) -> None:
        """The card half is not there any more: nobody will be answered."""
        self.aboard = None
        self._asks.gone()
        self.changed()

    def go_on(self) -> None:
        """Take what was settled last off the screen."""
        if self.settled:
            self.settled = None
            self.changed()
