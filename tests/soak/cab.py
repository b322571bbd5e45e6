"""One taxi's reader for the soak: real but for card, screen, network and clock.

The agent's own rosters, usage, journal on a disk, list of the ride, uplink and real rulebook; what
is written here is only what a driver and his riders do.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.backoff import Backoff
from edge.clock import ReaderClock
from edge.config import Config
from edge.decide import Circumstances, decide, tap_entry
from edge.history import rebuild
from edge.identify import Identified
from edge.journal import FOLDER, journals, last_entry, read_whole
from edge.journal_writer import Journal
from edge.keeper import Keeper
from edge.panel import (
    CancelRide,
    Fare,
    FareAnswer,
    FromTap,
    RideActed,
    RiderRef,
    RosterCurrent,
    TakeOff,
    TurnShift,
)
from edge.ride import Moment, Rides, Riding
from edge.roster import FOLDER as LISTS
from edge.roster import KEYS, Rosters
from edge.shelf import Shelf
from edge.unsent import batches, read_signer
from edge.uplink import Marks, Uplink
from edge.usage import SUFFIX, OwnEntries, Usage
from programmes.rulebook import Place
from tests.fleet.virtual import HandClock, VirtualReader
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import JournalId, Tap
from wire.envelope import Purpose
from wire.messages import Ack, Status
from wire.mqtt import Message
from wire.topics import Leaf

TAXI: Final = "taxi"
Ref = tuple[str, int]
"""Journal and number of an entry."""


class Cab:
    """One taxi with its reader."""

    def __init__(self, virtual: VirtualReader, config: Config, clock: HandClock) -> None:
        self.name: Final = config.place
        self.virtual: Final = virtual
        self.reader_us = 0.0
        """What deciding and keeping has taken since it was last set to 0."""
        self._config, self._clock = config, clock
        self._state = Path(config.state)
        self._folder = self._state / FOLDER
        self._boots = 0
        self._said: list[FromTap] = []

    # --- its tablet ------------------------------------------------------------------------------

    def provide(self, roster: bytes, keys: bytes) -> None:
        """Bring list and keys, as the network half does."""
        (self._state / LISTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._state / LISTS / f"{TAXI}.roster").write_bytes(roster)
        (self._state / KEYS).write_bytes(keys)

    def begin(self) -> None:
        """Switch the tablet on, with what its card holds."""
        self._boots += 1
        boot, reader, folder = f"b{self._boots}", self._config.reader, self._folder
        found = last_entry(folder, reader)
        self._time = ReaderClock(self._clock, found[1].entry.at_ms if found else 0)
        self._own, riding = OwnEntries(), Riding()
        history = rebuild(folder, reader, self._own, riding, boot)
        journal = Journal(folder, reader, boot, "1", self._time.stamp)
        self._rosters = Rosters(self._config)
        self._usage = Usage(self._config, self._rosters.fleet_key)
        refused = [*self._rosters.load(), *self._usage.load()]
        assert not refused, refused
        self._keeper = Keeper(
            journal, history, self._own, riding, self._time, self._clock, lambda _: None
        )
        self._rides = Rides(
            riding,
            self._keeper.keep,
            lambda: self._keeper.journal.id,
            self._said.append,
            lambda: self._rosters.holdings,
        )
        assert self._keeper.begin()
        self._shelf = Shelf(folder, reader)
        self._uplink = Uplink(Marks(), Backoff(draw=lambda: 0.0))
        self._uplink.connected()

    def end(self) -> None:
        """Switch it off, or let it die: what is on its card stays."""
        self._keeper.journal.close()
        self._shelf.close()

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
        match = self._rosters.look_up(Scheme.COMMON_AP, bytearray(serial.encode()))
        identified = Identified(Code.OK if match.member else Code.UNKNOWN, match)
        match = match._replace(under=self._keeper.history.names(TAXI, match.under))
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

    def meet(self, usage: bytes | None) -> None:
        """Have a connection: the fleet's time, its word on the list, a usage file."""
        now_ms = self._clock.now_ms()
        self._time.take_fleet_time(now_ms)
        self._rosters.take_current(RosterCurrent(TAXI, self._rosters.versions()[TAXI], now_ms))
        if usage is not None:
            (self._state / LISTS / f"{TAXI}.{SUFFIX}").write_bytes(usage)
            refused = self._usage.load()
            assert not refused, refused

    def send(self) -> Message | None:
        """Return the batch to be sent now."""
        batch = self._uplink.take(self._shelf.views(), self._clock.monotonic_ns() / 1e9)
        return None if batch is None else self.virtual.message(batch)

    def hear(self, ack: Ack) -> None:
        """Take in an acknowledgement, and remove what was delivered a week ago."""
        self._uplink.hear(ack, self._shelf.known(), self._clock.monotonic_ns() / 1e9)
        self._keeper.prune(self._folder, JournalId(ack.journal))

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

    def waits(self) -> int:
        """Return how many entries the ledger has not acknowledged."""
        return self._shelf.waiting(self._uplink.marks)

    def written(self) -> dict[Ref, bytes]:
        """Return all entries on its card."""
        return {
            (file.journal, kept.n): kept.body
            for file in journals(self._folder)
            for kept in read_whole(file, self._config.reader)
        }
