"""The cards in a reader's field, however the reader is reached: placed, asked, heard.

Upheld: a card loses its power with the field and when it is placed; a card that left before its
answer was out is silent; the transcript holds each frame that reached a card or came from one.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from hw.sim.card import Card
from hw.sim.isodep import Reply


class Frame(NamedTuple):
    """One frame on the air while a card was in the field; `at_us` is the monotonic clock."""

    at_us: int
    to_card: bool
    technology: str
    data: bytes


class Asked(NamedTuple):
    """What the cards in the field are about to answer to one frame; empty: nobody does."""

    cards: tuple[Card, ...]
    replies: list[Reply]


class Field:
    """A field that holds cards. All methods may be called from any thread and return at once.

    `transcript` is called with each `Frame`, in the thread that asks.
    """

    def __init__(self, transcript: Callable[[Frame], None] | None = None) -> None:
        self._transcript = transcript
        self._cards: tuple[Card, ...] = ()
        self._lock = Lock()  # cards are placed and reset under it, and answer under it

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards in the field."""
        return self._cards

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others, in the field."""
        with self._lock:
            self._cards = cards
            self._reset()

    def lose_power(self) -> None:
        """Let every card forget what is not stored."""
        with self._lock:
            self._reset()

    def _reset(self) -> None:
        for card in self._cards:
            card.reset()

    def ask(self, technology: str, frame: bytes) -> Asked:
        """Let the cards hear a frame (without CRC) and say what they will answer."""
        with self._lock:
            cards = self._cards
            replies = [reply for card in cards if (reply := card.answer(technology, frame))]
        if cards:
            self._record(True, technology, frame)
        return Asked(cards, replies)

    def hear(self, asked: Asked, technology: str, data: bytes) -> bytes:
        """Return the answer that is out now; empty when the cards have changed meanwhile."""
        if self._cards is not asked.cards:
            return b""
        self._record(False, technology, data)
        return data

    def _record(self, to_card: bool, technology: str, data: bytes) -> None:
        if self._transcript:
            self._transcript(Frame(time.monotonic_ns() // 1000, to_card, technology, data))
