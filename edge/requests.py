"""What a desk asks of this reader, in the network half: from the signed word to the card half.

Upheld: only a request that is newer than the last one, and whose time is not over, is handed on: a
replayed one changes nothing · only a reader that stands at a desk asks for cards · a request that
is said again brings the same answer again, if there was one, and else asks again: so neither a lost
message nor a restarted half leaves the clerk waiting · an answer is forgotten when nobody waits for
it any more.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from edge.clock import ReaderClock
from edge.panel import DeskAnswered, DeskAsked, DeskCancelled, DeskOver
from wire.desk import DeskAnswer, DeskRequest, DeskSaid
from wire.limits import DESK_WAIT_MS_MAX

ANSWERS_MAX: Final = 20
"""Answers that wait for a connection; the oldest is forgotten first, and asked for again."""
_LAST: Final = frozenset(DeskSaid) - {DeskSaid.ASKING, DeskSaid.HOLD_AGAIN, DeskSaid.TWO_CARDS}
"""After one of these the request is over for this reader."""


class Asking(NamedTuple):
    """What the reader's page shows: for whom it asks, and for how long still."""

    id: str
    purpose: str
    left_ms: int


class Requests:
    """The newest request and what became of it."""

    def __init__(
        self,
        clock: ReaderClock,
        say: Callable[[DeskAsked | DeskOver | DeskCancelled], bool],
        changed: Callable[[], None],
        *,
        at_a_desk: bool,
    ) -> None:
        """`say` hands one thing to the card half; `changed`: there is something to show or send."""
        self._clock, self._say, self._changed, self._at_a_desk = clock, say, changed, at_a_desk
        self._request: DeskRequest | None = None
        self._until_ns = 0
        self._newest_ms = 0
        self._last: DeskAnswer | None = None
        self._asks = False
        self.answers: deque[DeskAnswer] = deque(maxlen=ANSWERS_MAX)
        """To be sent."""

    @property
    def asking(self) -> Asking | None:
        """What is asked on the screen now."""
        left_ms = self._left_ms()
        if self._request is None or not self._asks or not left_ms:
            return None
        return Asking(self._request.id, self._request.purpose, left_ms)

    def hear(self, request: DeskRequest) -> bool:
        """Take in what the fleet asks, signed; False when it is a replay, too late or to come.

        One from far ahead would make all that follow look like replays.
        """
        now_ms = self._clock.patience_ms()
        if not self._newest_ms < request.at_ms <= now_ms + DESK_WAIT_MS_MAX:
            return False
        if request.expires_ms <= request.at_ms:
            self._newest_ms = request.at_ms
            self._take_back(request.id)
            return True
        if request.expires_ms <= now_ms:
            return False
        self._newest_ms = request.at_ms
        if self._request is None or self._request.id != request.id:
            self._request, self._last, self._asks = request, None, False
        left_ms = min(request.expires_ms - now_ms, DESK_WAIT_MS_MAX)
        self._until_ns = self._clock.monotonic_ns() + left_ms * 1_000_000
        self._ask()
        return True

    def heard(self, said: DeskAnswered) -> None:
        """Take in what the card half says of a request."""
        if self._request is None or self._request.id != said.id:
            return  # taken back meanwhile
        self._asks = said.said not in _LAST
        self._put(said.said, said)

    def card_half_came(self) -> None:
        """Tell a card half that has just started what is asked."""
        if self._request and not self._last and self._left_ms():
            self._ask()

    def card_half_went(self) -> None:
        """It asks for no card any more."""
        self._asks = False

    def cancel(self, request_id: str) -> bool:
        """Let somebody at the reader decline; False when the card half is not there."""
        return self._say(DeskCancelled(id=request_id))

    def _ask(self) -> None:
        request = self._request
        if request is None:
            return
        if self._last:
            self.answers.append(self._last)
            self._changed()
        elif not self._at_a_desk:
            self._put(DeskSaid.NOT_READY)
        elif not self._asks:
            self._say(DeskAsked(request.id, request.programme, max(1, self._left_ms())))

    def _put(self, said: DeskSaid, answered: DeskAnswered | None = None) -> None:
        request = self._request
        if request is None:
            return
        at_ms = answered.at_ms if answered else self._clock.now_ms()
        cards = answered.cards if answered else []
        answer = DeskAnswer(1, request.id, request.programme, at_ms, said, cards)
        self._last = answer if said in _LAST else None
        self.answers.append(answer)
        self._changed()

    def _take_back(self, request_id: str) -> None:
        if self._request and self._request.id == request_id:
            self._say(DeskOver(id=request_id))
            self._request, self._last, self._asks = None, None, False
            self._changed()

    def _left_ms(self) -> int:
        return max(0, (self._until_ns - self._clock.monotonic_ns()) // 1_000_000)
