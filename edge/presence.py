"""When a card that is found is a new presentation, and when it still lies there.

Upheld: a card left lying is one presentation, also when it is found by another random id each
time, and also when it gave no identifier at all; taking it away is none · a card that is swapped
for another one without a pause is a presentation of its own. What a card was found by can be its
identifier (FeliCa, tokens), so only a keyed hash of it is remembered, and only until the field is
empty.
"""

import hashlib
import secrets
from typing import Final

from edge.frontends import Card, Technology
from edge.identify import Identified
from wire.codes import Code

EMPTY_ROUNDS: Final = 2
"""So many rounds without a card mean that it was taken away; a single one may be a lost frame."""
CROWDED_ROUNDS: Final = 3
"""In a row, some 100 ms: a single one is the instant in which a card enters the field."""
REMEMBERED_MAX: Final = 64
"""Cards that came one after the other without a pause; the field was never empty between them."""

_TRY_AGAIN: Final = frozenset((Code.HOLD_AGAIN, Code.DEVICE_FAULT))
"""The card was not understood, for no fault of its own: as long as it lies there it is asked again
in each round, and answered when it is understood."""


class Presence:
    """What has lain in the field since it was last empty."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._seen: dict[bytes, None] = {}
        self._answered: set[Technology] = set()
        self._lying: set[Technology] = set()
        self._empty_rounds = 0
        self._crowded_rounds = 0

    @property
    def is_empty(self) -> bool:
        """No card was asked since the field was empty: the next one is answered, whatever it is."""
        return not self._seen

    def crowded(self) -> bool:
        """Several cards answered at once; True when their holder is to be told so, once."""
        self._empty_rounds = 0
        self._crowded_rounds += 1
        return self._crowded_rounds == CROWDED_ROUNDS

    def nothing_found(self) -> None:
        """One full round found no card."""
        self._empty_rounds += 1
        if self._crowded_rounds < CROWDED_ROUNDS:
            self._crowded_rounds = 0
        if self._empty_rounds >= EMPTY_ROUNDS:
            self._forget()

    def still_lies(self, card: Card) -> bool:
        """True when the card that was just found has been dealt with; it need not be asked."""
        self._empty_rounds = 0
        if self._crowded_rounds < CROWDED_ROUNDS:
            self._crowded_rounds = 0
        return card.technology in self._lying or self._id(card) in self._seen

    def must_be_lifted(self) -> None:
        """Take whatever comes by a technology that was answered for the card that lies there.

        Until the field is empty. For a desk: what was held before it asked is no answer, nor is
        its answer anything else afterwards, even if the card is found by another random id.
        """
        self._lying |= self._answered

    def may_be_leaving(self, card: Card) -> bool:
        """True when a card of this technology was answered and the field was not empty since.

        The one that was just found may be that card, under another random id: when it is torn
        away, its holder takes it back and needs no «hold again».
        """
        return card.technology in self._answered

    def is_new(self, card: Card, identified: Identified) -> bool:
        """Remember a card that was asked; False when it is the one that still lies there."""
        if identified.code is Code.HOLD_AGAIN and self.may_be_leaving(card):
            return False
        match = identified.match
        # by the scheme it was found by and the older key: the same when a second scheme is not read
        what = match.under[-1] if match else f"{card.technology} {identified.code}"
        name = self._hash(b"what", what.encode())
        known = name in self._seen
        if len(self._seen) >= 2 * REMEMBERED_MAX:
            self._forget()
        self._seen[name] = None
        if identified.code not in _TRY_AGAIN:
            self._seen[self._id(card)] = None
            self._answered.add(card.technology)
        return not known

    def _forget(self) -> None:
        self._crowded_rounds = 0
        self._seen.clear()
        self._answered.clear()
        self._lying.clear()

    def _id(self, card: Card) -> bytes:
        return self._hash(card.technology.encode(), card.sensed_id)

    def _hash(self, label: bytes, data: bytes) -> bytes:
        return hashlib.blake2b(label + b"\0" + data, key=self._secret, digest_size=16).digest()
