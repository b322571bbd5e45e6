"""Cards as a bad air and bad luck show them; `hw.sim` makes the good ones.

What a card says wrongly with a right check sum (`Broken`) may be anything. What only gets lost,
late or garbled on the way, or comes from another card in its place, is never another identity.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from hw.sim.card import Card
from hw.sim.isodep import Reply
from tests.fuzz.mutate import mutated

FORMER_MAX: Final = 8
"""Former answers that may come again."""


class Broken:
    """A card that says something else with a share of its answers, check sum and all."""

    def __init__(self, card: Card, rng: random.Random, share: float) -> None:
        self._card = card
        self._rng = rng
        self._share = share
        self._former: deque[bytes] = deque(maxlen=FORMER_MAX)

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        if reply is None:
            return None
        self._former.append(reply.data)
        if self._rng.random() >= self._share:
            return reply
        return reply._replace(data=mutated(reply.data, self._rng, self._former))


class Fading:
    """A card at the edge of the field: it misses frames, and readers miss its answers.

    Now and then one of Type B gives the answer before once more, in the place of the one that is
    due. (No older one: where one speaks at a time nothing can be two blocks late. The answers of
    the others are due at their instant and cannot be late at all.)
    """

    def __init__(self, card: Card, rng: random.Random, share: float) -> None:
        self._card = card
        self._rng = rng
        self._share = share
        self._before = b""
        self.answers = 0
        """How many it has given."""

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        happens = self._rng.random() / self._share
        if happens < 0.4:
            return None
        reply = self._card.answer(technology, frame)
        if reply is None or happens < 0.8:
            return None
        self.answers += 1
        before, self._before = self._before, reply.data
        late = happens < 1 and before and technology.endswith("B")
        return reply._replace(data=before) if late else reply


class Noise:
    """Answers at the same time as a card, now and then: a reader hears neither."""

    def __init__(self, beside: Fading, rng: random.Random, share: float) -> None:
        self._beside = beside
        self._rng = rng
        self._share = share
        self._answers = 0

    def reset(self) -> None:
        return

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        answered, self._answers = self._beside.answers != self._answers, self._beside.answers
        if not answered or self._rng.random() >= self._share:
            return None
        return Reply(self._rng.randbytes(self._rng.randint(1, 30)))


class Exchanged:
    """Cards that are held one after the other, without a pause: the next one after some answers.

    One that has just come has no power from before, and so has been selected by nobody.
    """

    def __init__(self, cards: Sequence[Card], rng: random.Random, answers_max: int) -> None:
        self._waiting = deque(cards)
        self._rng = rng
        self._answers_max = answers_max
        self._next()

    def _next(self) -> None:
        self._card = self._waiting.popleft()
        self._card.reset()
        self._left = self._rng.randint(0, self._answers_max)

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        if self._left == 0 and self._waiting:
            self._next()
        reply = self._card.answer(technology, frame)
        self._left -= reply is not None
        return reply


class Watched:
    """A card at whose nth answer something else happens, such as a fault of the front end."""

    def __init__(self, card: Card, at: int, act: Callable[[], None]) -> None:
        self._card = card
        self._left = at
        self._act = act

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        self._left -= reply is not None
        if reply and self._left == 0:
            self._act()
        return reply
