"""The agent of one reader for the soak: real but for card, screen, network and clock.

Its own lists, usage, journal on a disk, memory and uplink; what people do at it is written where
they stand (`tests.soak.cab`, `tests.soak.school_gate`).
"""

import itertools
from pathlib import Path
from typing import Final

from edge.backoff import Backoff
from edge.clock import ReaderClock
from edge.config import Config
from edge.history import rebuild
from edge.identify import Identified
from edge.journal import FOLDER, journals, last_entry, read_whole
from edge.journal_writer import Journal
from edge.keeper import Keeper
from edge.panel import RosterCurrent
from edge.ride import Riding
from edge.roster import FOLDER as LISTS
from edge.roster import KEYS, Match, Rosters
from edge.shelf import Shelf
from edge.uplink import Marks, Uplink
from edge.usage import OwnEntries, Usage
from tests.fleet.virtual import VirtualReader
from wire.clock import Clock
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import JournalId
from wire.messages import Ack
from wire.mqtt import Message

Ref = tuple[str, int]
"""Journal and number of an entry."""


class Agent:
    """One reader's agent, which ends and begins again with what its card holds."""

    def __init__(
        self, programme: str, virtual: VirtualReader, config: Config, clock: Clock, right: Clock
    ) -> None:
        """`clock`: the machine's own, which may be wrong; `right`: that of the network."""
        self.name: Final = config.place
        self.virtual: Final = virtual
        self._programme, self._config, self._clock, self._right = programme, config, clock, right
        self._state = Path(config.state)
        self._folder = self._state / FOLDER
        self._boots = itertools.count(1)

    def provide(self, roster: bytes, keys: bytes) -> None:
        """Bring list and keys, as the network half does."""
        (self._state / LISTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._state / LISTS / f"{self._programme}.roster").write_bytes(roster)
        (self._state / KEYS).write_bytes(keys)

    def begin(self) -> None:
        """Switch it on, with what its card holds."""
        boot, reader, folder = f"b{next(self._boots)}", self._config.reader, self._folder
        found = last_entry(folder, reader)
        self._time = ReaderClock(self._clock, found[1].entry.at_ms if found else 0)
        self._own, self._riding = OwnEntries(), Riding()
        history = rebuild(folder, reader, self._own, self._riding, boot)
        journal = Journal(folder, reader, boot, "1", self._time.stamp)
        self._rosters = Rosters(self._config)
        self._usage = Usage(self._config, self._rosters.fleet_key)
        refused = [*self._rosters.load(), *self._usage.load()]
        assert not refused, refused
        self._keeper = Keeper(
            journal, history, self._own, self._riding, self._time, self._clock, lambda _: None
        )
        assert self._keeper.begin()
        self._shelf = Shelf(folder, reader)
        self._uplink = Uplink(Marks(), Backoff(draw=lambda: 0.0))
        self._uplink.connected()

    def end(self) -> None:
        """Switch it off, or let it die: what is on its card stays."""
        self._keeper.journal.close()
        self._shelf.close()

    def identified(self, serial: str) -> tuple[Identified, Match]:
        """Return what its lists say of a card, also by the name under which it is remembered."""
        match = self._rosters.look_up(Scheme.COMMON_AP, bytearray(serial.encode()))
        identified = Identified(Code.OK if match.member else Code.UNKNOWN, match)
        under = self._keeper.history.names(self._programme, match.under)
        return identified, match._replace(under=under)

    # --- what the network half does --------------------------------------------------------------

    def meet(self) -> None:
        """Have a connection: the fleet's time, and its word on the list."""
        now_ms = self._right.now_ms()
        if step_ms := self._time.take_fleet_time(now_ms):
            self._keeper.stepped(step_ms)
        version = self._rosters.versions()[self._programme]
        self._rosters.take_current(RosterCurrent(self._programme, version, now_ms))

    def send(self) -> Message | None:
        """Return the batch to be sent now."""
        batch = self._uplink.take(self._shelf.views(), self._right.monotonic_ns() / 1e9)
        return None if batch is None else self.virtual.message(batch)

    def hear(self, ack: Ack) -> None:
        """Take in an acknowledgement, and remove what was delivered a week ago."""
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
