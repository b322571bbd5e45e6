"""Whole conversations with a Type B card, in this process: block by block, over a bad air.

Two kinds of card: one that says something else than it should, check sums and all, and good ones of
which frames get lost, late or garbled, and that are taken away for another one at any frame.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Final

from edge.card_proof import Outcome, Result, prove
from edge.frontends import Crowded, Technology
from edge.frontends.isodep import Atqb, Garbled, Silence, TypeBCard
from edge.identify import identify
from edge.schemes.desk_allowlist import VERIFY
from hw.sim.card import Card
from hw.sim.mynumber import MyNumberCard
from tests.edge.reader_kit import my_number_card
from tests.fuzz.held import Members, Tally
from tests.fuzz.weak_cards import Broken, Exchanged, Fading
from wire.card_proof import Challenge, Purpose
from wire.clock import SystemClock

CHALLENGE: Final = Challenge(
    v=1,
    purpose=Purpose.ENROL,
    reader="kazasu-shi/desk-1",
    programme="senior-pass",
    expires_ms=1_780_455_600_000,
    nonce=bytes(range(32)),
)
PIN: Final = b"1234"
"""Of every simulated card."""
WUPB: Final = bytes.fromhex("050008")
FRAME_S: Final = 0.003
"""What an exchange takes in this air's own time."""
ANSWERS_MAX: Final = 8
"""Before another card lies there: a card that is read by both schemes gives six."""


class OwnTime(SystemClock):
    """A clock that goes on with what happens on the air."""

    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns


class ShortAir:
    """A front end for one Type B card, with no wire between them and a time of its own."""

    def __init__(self, card: Card, rng: random.Random, garbled: float) -> None:
        self.waited_ns = 0
        self.clock = OwnTime()
        self._card = card
        self._rng = rng
        self._garbled = garbled
        self._former: TypeBCard | None = None

    def sense(self, technologies: Sequence[Technology]) -> TypeBCard | None:
        self._card.reset()
        try:
            atqb = Atqb.parse(self.exchange(WUPB, FRAME_S))
        except (Silence, Garbled):
            return None
        if atqb is None:
            raise Crowded
        self._former = TypeBCard(atqb, self, 0, self._former)
        return self._former

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        reply = self._card.answer("106B", frame)
        self.clock.ns += round(1e9 * (within_s if reply is None else FRAME_S))
        if reply is None:
            raise Silence
        if self._rng.random() < self._garbled:
            raise Garbled
        return reply.data

    def restart(self) -> None:
        return

    def close(self) -> None:
        return


class Conversations:
    """Cases over one set of members; each takes what it needs from the source of chance."""

    def __init__(self, members: Members, rng: random.Random) -> None:
        self._members = members
        self._rng = rng
        self.cases: Final[dict[Callable[[Tally], None], int]] = {
            self.broken: 10,
            self.held: 10,
            self.proof_over_the_air: 1,
        }
        """By their weight: what costs less is tried more often."""

    def broken(self, tally: Tally) -> None:
        """A broken card is an identity or none; a member who was not there it is not."""
        card = self._rng.choice((*self._members.my_number_cards, *self._members.strangers))
        air = ShortAir(Broken(card, self._rng, self._rng.choice((0.1, 0.5))), self._rng, 0.02)
        self._identify(air, [card], tally, exact=False)

    def held(self, tally: Tally) -> None:
        """The right identity or none: of two cards that were exchanged, the one that was read."""
        rng, members = self._rng, self._members
        share = rng.choice((0.02, 0.1, 0.3))
        held = rng.sample([*members.my_number_cards, *members.strangers], rng.randint(1, 3))
        fading = [Fading(card, rng, share) for card in held]
        air = ShortAir(Exchanged(fading, rng, ANSWERS_MAX), rng, garbled=share / 2)
        self._identify(air, held, tally, exact=True)

    def _identify(
        self, air: ShortAir, held: Sequence[MyNumberCard], tally: Tally, *, exact: bool
    ) -> None:
        found = _found(air)
        if found is None:
            tally.none += 1
            return
        look_again = self._rng.random() < 0.5
        identified = identify(found, air, self._members.rosters, air.clock, look_again)
        self._members.judge(identified, held, tally, exact)

    def proof_over_the_air(self, tally: Tally) -> None:
        """Whatever gets lost, a PIN is tried once at most, and a proof is the card's own."""
        rng = self._rng
        card = my_number_card(int(self._members.my_number_cards[0].data.serial), 0)
        air = ShortAir(Fading(card, rng, rng.choice((0.01, 0.05))), rng, garbled=0.01)
        found = _found(air)
        if found is None:
            tally.none += 1
            return
        pin = rng.choice((PIN, b"4321"))
        result = prove(found, CHALLENGE, bytearray(pin), air.clock)
        assert len([command for command, _ in card.apdus if command.startswith(VERIFY)]) <= 1
        count_proof(result, tally)
        if result.outcome is Outcome.OK:
            assert pin == PIN
            assert result.proof
            assert result.proof.certificate == card.certificate


def _found(air: ShortAir) -> TypeBCard | None:
    with contextlib.suppress(Crowded):
        return air.sense(("106B",))
    return None


def count_proof(result: Result, tally: Tally) -> None:
    """Count an outcome at a desk, which must make sense."""
    assert result.tries_left is None or 0 <= result.tries_left <= 15
    tally.right += result.outcome is Outcome.OK
    tally.none += result.outcome is not Outcome.OK
