"""Who stands at a school's gate, in the network half: as the card half told it last."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.asks import Asks
from edge.panel import AtGate, FromLink, GateAct, GateActed, NotDone

NOBODY = AtGate()


@dataclass
class GateScreen:
    """What the gate's page shows beside the sentence, and what is asked of the card half."""

    say: Callable[[FromLink], bool]
    changed: Callable[[], None]
    """Called when what a page shows is no longer what is."""
    person: AtGate = NOBODY
    _asks: Asks = field(init=False)

    def __post_init__(self) -> None:
        self._asks = Asks(self.say)

    async def act(self, act: GateAct) -> NotDone:
        """Have something written down; return why it was not, empty when it is durable.

        The act's own number does not matter. Raises NoAnswer.
        """
        return (await self._asks.ask(act)).refused

    def heard(self, said: AtGate | GateActed) -> None:
        """Take in what the card half says."""
        if isinstance(said, GateActed):
            self._asks.heard(said)
        elif said != self.person:
            self.person = said
            self.changed()

    def gone(self) -> None:
        """The card half is not there any more: nobody will be answered."""
        self._asks.gone()
        if self.person != NOBODY:
            self.person = NOBODY
            self.changed()
