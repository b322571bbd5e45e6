"""One presentation as somebody at a bench wants to see it: kind, schemes, exchanges, times."""

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edge.frontends import Card, CardGone, FrontEnd, Technology
from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading
from wire.credential import Scheme

CARD_S_MAX: Final = 0.9
"""For one scheme: twice what a tap has, so that a slow card is seen to be slow, and still with the
deadlines of a tap (`edge/frontends/isodep.py`, UNHURRIED_S), whose times are to be shown."""
KINDS: Final = {
    ("106B", "B381A1"): "my-number-card",
    ("106B", "B38191"): "resident-card",
    ("106B", "9181C1"): "driving-licence",
}
"""By technology and protocol info, the end of what a card says of itself (pcsc-tools' list of ATRs,
as libnfc reads them). Others are told by their technology alone."""
ATR_OF_TYPE_B: Final = "3B888001"
"""Behind a PC/SC reader it is in the card's ATR, before MBLI and check sum (edge/frontends/atr.py).
"""
READ: Final = "read"
NO_IDENTIFIER: Final = "none"
TORN: Final = "torn"


@dataclass(frozen=True)
class Exchange:
    """One command and its answer, as sent; `answer` is empty when none came."""

    command: bytes
    answer: bytes
    us: int

    def masked(self) -> str:
        """Return the answer with its data hidden: what identifies a person leaves no bench."""
        if not self.answer:
            return "-"
        status = self.answer[-2:].hex().upper()
        return f"[{len(self.answer) - 2} B] {status}" if len(self.answer) > 2 else status


@dataclass
class Observed:
    """One presentation."""

    technology: Technology
    about: str
    kind: str
    sensed_mark: str
    """Of what it was found by: another one each time for a card whose id is random."""
    mark: str
    """Of its identifier, or else of what it was found by. Nothing can be learnt from a mark."""
    schemes: dict[Scheme, str] = field(default_factory=dict)
    """READ, NO_IDENTIFIER (another shape, or not on this card) or TORN by scheme."""
    exchanges: list[Exchange] = field(default_factory=list)
    times_us: dict[str, int] = field(default_factory=dict)
    """By the names in wire.messages.STAGES; `total` from being found to the first identifier."""


class _Recorded:
    """A card whose exchanges are written down."""

    def __init__(self, card: Card, exchanges: list[Exchange]) -> None:
        self.technology, self.about = card.technology, card.about
        self.sensed_id, self.speaks_apdu = card.sensed_id, card.speaks_apdu
        self.times_us = card.times_us
        self._card, self._exchanges = card, exchanges

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """See edge.frontends.Card."""
        started_ns, answer = time.monotonic_ns(), b""
        try:
            answer = self._card.transceive(apdu, within_s)
        finally:
            took_us = (time.monotonic_ns() - started_ns) // 1000
            self._exchanges.append(Exchange(apdu, answer, took_us))
        return answer


class Observer:
    """Finds cards and reads them by every scheme that fits, or by the first that reads them."""

    def __init__(
        self,
        front_end: FrontEnd,
        schemes: Iterable[CardScheme],
        technologies: tuple[Technology, ...],
        *,
        first_only: bool = False,
    ) -> None:
        self._front_end = front_end
        self._schemes = list(schemes)
        self._technologies = technologies
        self._first_only = first_only
        self._secret = secrets.token_bytes(32)

    def look(self) -> Observed | None:
        """Return what lies there. Raises Crowded or FrontEndFault."""
        card = self._front_end.sense(self._technologies)
        return self._read(card) if card else None

    def _read(self, card: Card) -> Observed:
        started_ns = time.monotonic_ns()
        protocol = card.about[16:22] if card.about.startswith(ATR_OF_TYPE_B) else card.about[-6:]
        kind = KINDS.get((card.technology, protocol), card.technology)
        sensed = self._mark(card.sensed_id)
        seen = Observed(card.technology, card.about, kind, sensed, sensed)
        recorded = _Recorded(card, seen.exchanges)
        for scheme in self._schemes:
            if scheme.technology != card.technology:
                continue
            seen.schemes[scheme.name] = self._by(scheme, recorded, seen)
            if READ in seen.schemes.values() and not seen.times_us:
                total_us = (time.monotonic_ns() - started_ns) // 1000
                seen.times_us = {**card.times_us, "total": total_us}
                if self._first_only:
                    break
        return seen

    def _by(self, scheme: CardScheme, card: Card, seen: Observed) -> str:
        if scheme.commands and not card.speaks_apdu:
            return NO_IDENTIFIER
        deadline_s = time.monotonic() + CARD_S_MAX
        try:
            reading = Reading(card, scheme.commands, lambda: deadline_s - time.monotonic())
            identifier = scheme.read(reading)
        except NoIdentifier:
            return NO_IDENTIFIER
        except CardGone:
            return TORN
        if seen.mark == seen.sensed_mark:
            seen.mark = self._mark(identifier)
        identifier[:] = bytes(len(identifier))
        return READ

    def _mark(self, identifier: bytes | bytearray) -> str:
        return hashlib.blake2b(identifier, key=self._secret, digest_size=3).hexdigest()
