"""What a desk asks of this reader, in the card half: the next card is for the clerk who waits.

Upheld: one request at a time, the newest · it begins and ends between two cards, never while one is
served · nobody waits longer than DESK_WAIT_MS_MAX, nor when this reader cannot read, nor when the
network half is gone, which would carry the answer · a card that lay there before is no answer, and
an answer is nothing else afterwards · what the card is known as leaves with the answer and is kept
nowhere.
"""

from collections.abc import Callable
from typing import Final

from edge.identify import Identified
from edge.panel import DeskAnswered, DeskAsked, DeskCancelled, DeskOver
from edge.presence import Presence
from edge.roster import Holding, Rosters
from wire.clock import Clock
from wire.codes import Code
from wire.desk import DeskCard, DeskSaid
from wire.limits import DESK_CARDS_MAX

_SAID: Final = {
    Code.DESK: DeskSaid.READ,
    Code.HOLD_AGAIN: DeskSaid.HOLD_AGAIN,
    Code.TWO_CARDS: DeskSaid.TWO_CARDS,
    Code.CARD_NOT_USABLE: DeskSaid.CARD_NOT_USABLE,
}
_GOES_ON: Final = frozenset({DeskSaid.ASKING, DeskSaid.HOLD_AGAIN, DeskSaid.TWO_CARDS})
"""The reader still asks after these."""


class Asked:
    """The present request, if there is one. Used by the thread that decides."""

    def __init__(
        self,
        rosters: Rosters,
        presence: Presence,
        clock: Clock,
        now_ms: Callable[[], int],
        say: Callable[[DeskAnswered], None],
    ) -> None:
        self._rosters, self._presence = rosters, presence
        self._clock, self._now_ms, self._say = clock, now_ms, say
        self._request: DeskAsked | None = None
        self._until_ns = 0

    @property
    def holding(self) -> Holding | None:
        """The programme that asks; None when nobody does."""
        return self._serving(self._request) if self._request else None

    def hear(self, said: DeskAsked | DeskOver | DeskCancelled, *, ready: bool) -> None:
        """Begin to ask, or ask no more. `ready`: this reader can read and keep what it reads."""
        if isinstance(said, DeskAsked):
            self._begin(said, ready=ready)
        elif self._request and self._request.id == said.id:
            if isinstance(said, DeskCancelled):
                self._answer(self._request, DeskSaid.CANCELLED)
            self._request = None

    def forget(self) -> None:
        """Whoever carries the answer is another one now, and asks again."""
        self._request = None

    def watch(self, *, heard: bool, ready: bool) -> None:
        """Give a request up between two cards; `heard`: the network half is there."""
        if self._request is None:
            return
        if not heard or self._clock.monotonic_ns() >= self._until_ns:
            self._request = None
        elif not ready or self.holding is None:
            self._answer(self._request, DeskSaid.NOT_READY)

    def answered(self, identified: Identified, *, kept: bool) -> None:
        """Say what a presentation came to; one that could not be kept is no answer."""
        if request := self._request:
            said = _SAID.get(identified.code, DeskSaid.NOT_READY) if kept else DeskSaid.NOT_READY
            self._answer(request, said, _cards(identified) if said is DeskSaid.READ else [])
            if said is DeskSaid.READ:
                self._presence.must_be_lifted()

    def _begin(self, request: DeskAsked, *, ready: bool) -> None:
        self._request = request
        self._until_ns = self._clock.monotonic_ns() + request.for_ms * 1_000_000
        if not ready or self.holding is None:
            self._answer(request, DeskSaid.NOT_READY)
            return
        self._presence.must_be_lifted()
        self._answer(request, DeskSaid.ASKING)

    def _answer(
        self, request: DeskAsked, said: DeskSaid, cards: list[DeskCard] | None = None
    ) -> None:
        """Say what became of the present request; most answers end it."""
        self._say(DeskAnswered(request.id, request.programme, self._now_ms(), said, cards or []))
        if said not in _GOES_ON:
            self._request = None

    def _serving(self, request: DeskAsked) -> Holding | None:
        named = (one for one in self._rosters.holdings if one.rulebook.name == request.programme)
        return next(named, None)


def _cards(identified: Identified) -> list[DeskCard]:
    """Return the card under each scheme that it answered to, the present key epoch first."""
    cards = [
        (place, DeskCard(match.scheme, epoch, one))
        for match in identified.desk
        for place, (epoch, one) in enumerate(zip(match.holding.epochs, match.under, strict=True))
    ]
    return [card for _, card in sorted(cards, key=lambda each: each[0])][:DESK_CARDS_MAX]
