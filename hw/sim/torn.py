"""Cards that are pulled away too early."""

import time
from collections.abc import Callable, Iterator

from hw.sim.card import Card
from hw.sim.isodep import Reply


class TornAway:
    """A card that is pulled away too early: after `frames` answers, or `ms` after the first.

    An answer that would take longer than the time left is never sent. It does not come back.
    """

    def __init__(self, card: Card, *, frames: int | None = None, ms: float | None = None) -> None:
        self._card = card
        self._frames = frames
        self._ms = ms
        self.answers = 0
        """How many it has given."""
        self._first_s = 0.0
        self._gone = False

    def reset(self) -> None:
        """See `Card`."""
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        """See `Card`."""
        reply = None if self._gone else self._card.answer(technology, frame)
        if reply is None:
            return None
        now_s = time.monotonic()
        self._first_s = self._first_s or now_s
        elapsed_ms = 1000 * (now_s - self._first_s) + reply.cpu_us / 1000
        self._gone = self.answers == self._frames or (
            self._ms is not None and elapsed_ms >= self._ms
        )
        if self._gone:
            return None
        self.answers += 1
        return reply


def every_cut(card: Callable[[], Card], use: Callable[[Card], None]) -> Iterator[TornAway]:
    """Give a card for each frame at which its use can be cut off: after 0 answers, 1 and so on.

    `use` holds a card over a reader until it is done with. It is first called with one that stays,
    to count its answers; the caller uses those that are given.
    """
    whole = TornAway(card())
    use(whole)
    for frames in range(whole.answers):
        yield TornAway(card(), frames=frames)
