"""Bad cards and bad front ends, and after each of them a good card that must be read.

Whatever is held: nobody waits past the deadline, nothing but the documented exceptions comes out,
and what comes out is the identity of a card that was held, or none.
"""

import random
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from edge.frontends import Card as Found
from edge.frontends import Crowded, FrontEndFault
from edge.identify import CARD_MS_MAX, Identified, identify
from hw.sim.card import Card
from hw.sim.cards import TornAway
from tests.fuzz.card_front_ends import Bench
from tests.fuzz.held import ALL, Good, Members, Tally
from tests.fuzz.weak_cards import Broken, Exchanged, Fading, Noise, Watched
from wire.clock import SystemClock

LATER_S: Final = 0.4
"""How much later than a deadline a busy machine may be."""
TRIES: Final = 3
"""Of a front end that is mended, and of a good card: a stall of the machine is no finding."""
GOOD_S_MAX: Final = 5.0
"""For a good card to be found; it takes 20 ms."""
LOOK_AGAIN: Final = 0.2
"""Of the cards that are torn away; for these the search goes on until their time is over."""
HARMED: Final = 0.25
"""Of all cases the front end fails too."""
ANSWERS_MAX: Final = 10
"""Of a card, from the poll to the end of two schemes; by PC/SC a little more."""
KINDS: Final = ("broken", "fading", "noise", "exchanged", "torn", "two")


class Case(NamedTuple):
    """What is held at once, and whose cards these are."""

    kind: str
    cards: list[Card]
    of: list[Good]
    exact: bool
    """Nothing that they say is changed."""


class Fuzz:
    """One front end and its members. `tally` is written while `run` runs."""

    def __init__(self, bench: Bench, members: Members, tally: Tally) -> None:
        self._bench = bench
        self._members = members
        self._tally = tally
        self._rng = random.Random()
        self._clock = SystemClock()

    def run(self, times: int, seed: int) -> Iterator[Tally]:
        """Hold so many bad cards, and a good one after each; yield after each pair."""
        for n in range(times):
            self._rng.seed(seed << 32 | n)
            case = self._drawn()
            try:
                self._hold(case)
                self._bench.calm()
                self._good()
            except Exception as error:  # noqa: BLE001  # whatever comes out is the finding
                self._tally.blame(f"{case.kind}, seed {seed}, case {n}: {error!r}")
                self._bench.mend()
            self._tally.times += 1
            yield self._tally

    def _drawn(self) -> Case:
        rng, alone = self._rng, self._bench.alone
        kind = rng.choice(KINDS)
        first, second = rng.sample([*self._members.cards, *self._members.strangers], 2)
        share = rng.choice((0.03, 0.1, 0.3))
        of_cards = random.Random(rng.random())  # theirs alone: they answer in another thread
        fading = Fading(first, of_cards, share)
        cards: list[Card] = [fading]
        match kind:
            case "broken":
                cards = [Broken(first, of_cards, share)]
            case "noise" if not alone:
                cards = [fading, Noise(fading, of_cards, share)]
            case "exchanged":
                cards = [Exchanged([fading, second], of_cards, ANSWERS_MAX)]
            case "torn":
                cards = [TornAway(first, frames=rng.randint(0, ANSWERS_MAX))]
            case "two" if not alone:
                cards = [fading, second]
        of = [first, second] if kind in ("exchanged", "two") else [first]
        return Case(kind, cards, of, exact=kind != "broken")

    def _hold(self, case: Case) -> None:
        """Hold it, let the front end fail now and then, and judge what comes out."""
        rng, bench = self._rng, self._bench
        changed = False
        cards = case.cards
        if rng.random() < HARMED:
            harm, at = bench.harm(rng), rng.randint(0, ANSWERS_MAX)
            changed = harm.changes
            if at and not bench.alone:
                cards = [Watched(cards[0], at, harm.act), *cards[1:]]
            else:
                harm.act()
        bench.place(*cards)
        try:
            identified = self._identified(bench.found_s, look_again=rng.random() < LOOK_AGAIN)
        except FrontEndFault:
            self._tally.faults += 1
            bench.calm()
            self._mend()
            return
        finally:
            bench.place()
        if identified is None:
            self._tally.none += 1
        else:
            exact = case.exact and not changed
            self._members.judge(identified, case.of, self._tally, exact=exact)

    def _identified(self, found_s: float, *, look_again: bool) -> Identified | None:
        """Look for a card for so long, and ask the first one; None when there is none."""
        end_s = time.monotonic() + found_s
        found = self._sense()
        while found is None and time.monotonic() < end_s:
            found = self._sense()
        if found is None:
            return None
        began_s = time.monotonic()
        try:
            return identify(
                found, self._bench.front_end, self._members.rosters, self._clock, look_again
            )
        finally:
            took_s = time.monotonic() - began_s
            self._tally.longest_s = max(self._tally.longest_s, took_s)
            assert took_s < CARD_MS_MAX / 1000 + self._bench.margin_s + LATER_S

    def _sense(self) -> Found | None:
        try:
            return self._bench.front_end.sense(ALL)
        except Crowded:
            return None

    def _mend(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._bench.mend()
            except FrontEndFault:
                if not left:
                    raise
            else:
                return

    def _good(self) -> None:
        """A good card is read, in the first of a few tries that the machine has time for."""
        card = self._rng.choice(self._members.cards)
        identified = None
        for _ in range(TRIES):
            self._bench.place(card)
            try:
                identified = self._identified(GOOD_S_MAX, look_again=True)
            except FrontEndFault:  # what went wrong with the case before takes effect only now
                self._mend()
            self._bench.place()
            if identified and self._members.is_read(identified, card):
                return
        raise AssertionError(f"a good card was not read: {identified and identified.code}")
