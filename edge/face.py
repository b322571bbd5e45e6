"""What the reader head's lamp and buzzer show, as the card half knows it.

Upheld: a card waits for one request at most, and for none while the head is away · what stands
between two cards is said once, and again to a head that was opened anew; the head lets an answer
end first · a reader without a head has no face, and needs no other code.
"""

from typing import Final

from edge.head import Head, HeadGone, HeadRefused
from edge.looks import Meaning, answer
from wire import headlink
from wire.clock import Clock
from wire.codes import Code, Outcome

FAULT_MS: Final = 10_000
"""The fault of a single card stands as long as the screen shows a refusal (web/static/page.js), or
until the next card; the head would leave it for ever."""


class Face:
    """The face of `head`; `aloud`: answers sound. Used by the thread that decides."""

    def __init__(self, head: Head | None, clock: Clock, *, aloud: bool = True) -> None:
        self._head, self._clock, self._aloud = head, clock, aloud
        self._stands: Meaning | None = None
        """What stands at the head; None: it is to be told."""
        self._opening = 0
        self._fault_until_ns = 0

    def stand(self, meaning: Meaning) -> None:
        """Show this between two cards; costs nothing while it is shown already."""
        if self._head is None or not self._head.is_open:
            return
        if self._opening != self._head.openings:
            self._opening, self._stands, self._fault_until_ns = self._head.openings, None, 0
        if meaning == self._stands or self._clock.monotonic_ns() < self._fault_until_ns:
            return
        if self._show(meaning):
            self._stands = meaning

    def reading(self) -> None:
        """A card is being read; should it leave without an answer, what stands is told again."""
        if self._show("reading"):
            self._stands = None

    def answer(self, outcome: Outcome, code: Code) -> None:
        """Show what became of a card."""
        meaning = answer(outcome, code)
        self._fault_until_ns = 0
        if self._show(meaning, self._aloud) and meaning == "fault":
            self._stands = None
            self._fault_until_ns = self._clock.monotonic_ns() + FAULT_MS * 1_000_000

    def off(self) -> None:
        """Nobody is meant to come here."""
        self._show("off")

    def _show(self, meaning: Meaning, aloud: bool = False) -> bool:
        """Say it to a head that is there; False when nobody has heard it."""
        if self._head is None or not self._head.is_open:
            return False
        try:
            self._head.ask(headlink.SHOW, headlink.MEANINGS.index(meaning), int(aloud))
        except HeadRefused:
            return True  # it is there, and knows no such meaning: asking again helps nobody
        except HeadGone:
            return False  # the front end's recovery opens it again
        return True
