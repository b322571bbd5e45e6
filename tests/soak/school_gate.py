"""One gate's reader for the soak: real but for card, screen, network and clock.

The agent's own lists, journal on a disk, memory of the week, rulebook, uplink and gate; what is
written here is only what people at it do.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.backoff import Backoff
from edge.clock import ReaderClock
from edge.config import Config
from edge.decide import Circumstances, decide, tap_entry
from edge.gate import Gate
from edge.history import rebuild
from edge.identify import Identified
from edge.journal import FOLDER, journals, last_entry, read_whole
from edge.journal_writer import Journal
from edge.keeper import Keeper
from edge.panel import AnswerGiven, AtGate, FromTap, GateActed, GateLeft, Redirected, RosterCurrent
from edge.ride import Riding
from edge.roster import FOLDER as LISTS
from edge.roster import KEYS, Rosters
from edge.shelf import Shelf
from edge.uplink import Marks, Uplink
from edge.usage import OwnEntries, Usage
from programmes.rulebook import Direction, Place
from tests.fleet.virtual import HandClock, VirtualReader
from tests.soak.school_town import SCHOOL, Ref
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Heading, JournalId, Tap
from wire.messages import Ack
from wire.mqtt import Message


@dataclass
class OffClock:
    """A machine's clock that may be wrong, beside the right one."""

    right: HandClock
    ahead_ms: int = 0

    def now_ms(self) -> int:
        return self.right.now_ms() + self.ahead_ms

    def monotonic_ns(self) -> int:
        return self.right.monotonic_ns()


class SchoolGate:
    """One gate with its reader."""

    def __init__(self, virtual: VirtualReader, config: Config, right: HandClock) -> None:
        self.name: Final = config.place
        self.virtual: Final = virtual
        self.clock: Final = OffClock(right)
        self.stands = AtGate()
        """Who stands there, as the screen shows it."""
        self._config, self._right = config, right
        self._state = Path(config.state)
        self._folder = self._state / FOLDER
        self._boots, self._asks = itertools.count(1), itertools.count(1)
        self._acted = GateActed(0, "")

    # --- its reader ------------------------------------------------------------------------------

    def provide(self, roster: bytes, keys: bytes) -> None:
        """Bring list and keys, as the network half does."""
        (self._state / LISTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._state / LISTS / f"{SCHOOL}.roster").write_bytes(roster)
        (self._state / KEYS).write_bytes(keys)

    def begin(self) -> None:
        """Switch it on, with what its card holds."""
        boot, reader, folder = f"b{next(self._boots)}", self._config.reader, self._folder
        found = last_entry(folder, reader)
        self._time = ReaderClock(self.clock, found[1].entry.at_ms if found else 0)
        self._own, riding = OwnEntries(), Riding()
        history = rebuild(folder, reader, self._own, riding, boot)
        journal = Journal(folder, reader, boot, "1", self._time.stamp)
        self._rosters = Rosters(self._config)
        self._usage = Usage(self._config, self._rosters.fleet_key)
        refused = [*self._rosters.load(), *self._usage.load()]
        assert not refused, refused
        self._keeper = Keeper(
            journal, history, self._own, riding, self._time, self.clock, lambda _: None
        )
        self._gate = Gate(
            self._keeper.keep,
            lambda: self._keeper.journal.id,
            self._hear_gate,
            history,
            lambda: self._rosters.holdings,
            self._now,
            self.clock,
        )
        assert self._keeper.begin()
        self._shelf = Shelf(folder, reader)
        self._uplink = Uplink(Marks(), Backoff(draw=lambda: 0.0))
        self._uplink.connected()

    def end(self) -> None:
        """Switch it off: what is on its card stays."""
        self._keeper.journal.close()
        self._shelf.close()

    def _hear_gate(self, said: FromTap) -> None:
        if isinstance(said, AtGate):
            self.stands = said
        elif isinstance(said, GateActed):
            self._acted = said

    # --- what people do --------------------------------------------------------------------------

    def _now(self, declared: Direction = "") -> Circumstances:
        place = Place(self.name, "school", "")
        return Circumstances(self._time.stamp(), place, duty="", stop="", declared=declared)

    def tap(self, serial: str, declared: Direction = "") -> Tap:
        """Let somebody hold a card, as `edge.tap` decides and keeps it."""
        now = self._now(declared)
        match = self._rosters.look_up(Scheme.COMMON_AP, bytearray(serial.encode()))
        identified = Identified(Code.OK if match.member else Code.UNKNOWN, match)
        history = self._keeper.history
        match = match._replace(under=history.names(SCHOOL, match.under))
        past = (SCHOOL, match.under, now.stamp.at_ms)
        counted = self._usage.of(match, self._own, now.stamp.at_ms)
        booked, answered = history.of(*past), history.answered(*past)
        made = decide(identified, match.holding, booked, counted, now, answered=answered)
        entry = tap_entry(SCHOOL, identified, match.holding, made, counted, now)
        assert self._keeper.keep(entry), "not kept"
        self._gate.tapped(entry, made.seen)
        return entry

    def turn(self, direction: Heading) -> None:
        """Give the tap on the screen another direction."""
        self._must(Redirected(next(self._asks), self.stands.journal, self.stands.n, direction))

    def answer(self, claimed_ms: int | None) -> None:
        """Answer the question on the screen; None: not known."""
        self._must(AnswerGiven(next(self._asks), self.stands.journal, self.stands.n, claimed_ms))

    def leave(self) -> None:
        """«あとで», or just go."""
        self._gate.hear(GateLeft(), self._time.stamp())

    def _must(self, said: Redirected | AnswerGiven) -> None:
        self._gate.hear(said, self._time.stamp())
        assert self._acted == GateActed(said.ask, ""), (said, self._acted)

    # --- what the network half does --------------------------------------------------------------

    def meet(self) -> None:
        """Have a connection: the fleet's time, and its word on the list."""
        now_ms = self._right.now_ms()
        if step_ms := self._time.take_fleet_time(now_ms):
            self._keeper.stepped(step_ms)
        self._rosters.take_current(RosterCurrent(SCHOOL, self._rosters.versions()[SCHOOL], now_ms))

    def send(self) -> Message | None:
        """Return the batch to be sent now."""
        batch = self._uplink.take(self._shelf.views(), self._right.monotonic_ns() / 1e9)
        return None if batch is None else self.virtual.message(batch)

    def hear(self, ack: Ack) -> None:
        """Take in an acknowledgement."""
        self._uplink.hear(ack, self._shelf.known(), self._right.monotonic_ns() / 1e9)
        self._keeper.prune(self._folder, JournalId(ack.journal))

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
