"""One taxi's reader for the soak: real but for card, screen, network and clock.

The agent's own rosters, usage, journal on a disk, list of the ride, uplink and real rulebook; what
is written here is only what a driver and his riders do.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.config import Config
from edge.decide import Circumstances, decide, tap_entry
from edge.panel import (
    CancelRide,
    Fare,
    FareAnswer,
    FromTap,
    RideActed,
    RiderRef,
    TakeOff,
    TurnShift,
)
from edge.ride import Moment, Rides
from edge.roster import FOLDER as LISTS
from edge.unsent import batches, read_signer
from edge.usage import SUFFIX
from programmes.rulebook import Place
from tests.fleet.virtual import HandClock, VirtualReader
from tests.soak.agent import Agent, Ref
from wire.entries import Tap
from wire.envelope import Purpose
from wire.messages import Status
from wire.mqtt import Message
from wire.topics import Leaf

TAXI: Final = "taxi"


class Cab(Agent):
    """One taxi with its reader."""

    def __init__(self, virtual: VirtualReader, config: Config, clock: HandClock) -> None:
        super().__init__(TAXI, virtual, config, clock, clock)
        self.reader_us = 0.0
        """What deciding and keeping has taken since it was last set to 0."""
        self._said: list[FromTap] = []

    # --- its tablet ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Switch the tablet on, with what its card holds."""
        super().begin()
        self._rides = Rides(
            self._riding,
            self._keeper.keep,
            lambda: self._keeper.journal.id,
            self._said.append,
            lambda: self._rosters.holdings,
        )

    def unsent(self) -> Iterator[bytes]:
        """Yield what is on the card of a tablet that is off, as `kazasu-edge unsent` writes it."""
        signer = read_signer(Path(self._config.key))
        return batches(self._state, self._config.reader, signer)

    def lose_card(self) -> None:
        """Destroy the card of a tablet that is off, its journal with it."""
        shutil.rmtree(self._folder)

    # --- what the driver and his riders do -------------------------------------------------------

    def _now(self, spot: str) -> Circumstances:
        place = Place(self.name, TAXI, "")
        return Circumstances(self._time.stamp(), place, duty="", stop="", declared="", spot=spot)

    def tap(self, serial: str, spot: str) -> Tap:
        """Let a rider hold a card, as `edge.tap` decides and keeps it."""
        now, at_ms = self._now(spot), self._time.now_ms()
        began_ns = time.perf_counter_ns()
        identified, match = self.identified(serial)
        booked = self._keeper.history.of(TAXI, match.under, at_ms)
        counted = self._usage.of(match, self._own, at_ms)
        riding = self._rides.riding.is_aboard(match.under, at_ms)
        made = decide(identified, match.holding, booked, counted, now, riding=riding)
        entry = tap_entry(TAXI, identified, match.holding, made, counted, now, riding=riding)
        n = self._keeper.keep(entry)
        self.reader_us += (time.perf_counter_ns() - began_ns) / 1000
        assert n, "not kept"
        return entry

    def aboard(self) -> list[RiderRef]:
        """Return who is on the list, as the tablet shows it."""
        now_ms = self._time.now_ms()
        return [RiderRef(*ref) for ref in self._rides.riding.aboard(now_ms)]

    def settle(self, fare_yen: int, discount: str, spot: str) -> FareAnswer:
        """Type the fare, look at what it comes to, and settle."""
        riders = self.aboard()
        asked = (Fare(1, riders, fare_yen, discount, keep) for keep in (False, True))
        shown, kept = (self._ask(one, spot) for one in asked)
        assert isinstance(shown, FareAnswer)
        assert isinstance(kept, FareAnswer)
        assert (kept.refused, kept.n > 0) == ("", True)
        assert shown.subsidies_yen == kept.subsidies_yen, "another amount than was shown"
        return kept

    def take_off(self, rider: RiderRef) -> None:
        """Take a rider off the list."""
        self._must(TakeOff(2, rider.journal, rider.n))

    def cancel(self, ride: Ref, why: str) -> None:
        """Take a settled ride back."""
        self._must(CancelRide(3, ride[0], ride[1], why))  # type: ignore[arg-type]

    def shift(self, driver: str, *, began: bool) -> None:
        """Begin or end a shift."""
        self._must(TurnShift(4, began, driver))

    def _must(self, asked: TakeOff | CancelRide | TurnShift) -> None:
        said = self._ask(asked, "")
        assert isinstance(said, RideActed)
        assert said.refused == ""

    def _ask(self, asked: Fare | TakeOff | CancelRide | TurnShift, spot: str) -> FromTap:
        moment = Moment(self._time.stamp(), spot)
        self._said.clear()
        began_ns = time.perf_counter_ns()
        self._rides.hear(asked, moment)
        self.reader_us += (time.perf_counter_ns() - began_ns) / 1000
        return next(one for one in self._said if isinstance(one, FareAnswer | RideActed))

    # --- what the network half does --------------------------------------------------------------

    def take_usage(self, usage: bytes) -> None:
        """Bring a usage file, as the network half does."""
        (self._state / LISTS / f"{TAXI}.{SUFFIX}").write_bytes(usage)
        refused = self._usage.load()
        assert not refused, refused

    def status(self) -> Message:
        """Return what this reader says of itself now."""
        journal = self._keeper.journal
        body = Status(
            v=1,
            online=True,
            at_ms=self._clock.now_ms(),
            agent="1",
            ready=True,
            journal=journal.id,
            n=journal.n,
        )
        return self.virtual.say(Purpose.STATUS, body, Leaf.STATUS)
