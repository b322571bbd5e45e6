"""What the network half has on its desk: everything that outlives a connection, and what it says.

Rules: a status and a report tell what is true at this moment · a disk that cannot be read is
counted, and stops neither.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from edge.board import Board
from edge.clock import ReaderClock
from edge.identity import Identity
from edge.pull import Pull
from edge.requests import Requests
from edge.shelf import Shelf
from edge.telemetry import Meter
from edge.uplink import Uplink
from wire.messages import Status, Triage, TwinReported

TRIAGE_MAX: Final = 50
"""Strangers' cards that wait for a connection; the oldest is forgotten first."""

_log = logging.getLogger(__name__)


@dataclass
class Desk:
    """All that a session speaks of, and the events that make it speak."""

    identity: Identity
    clock: ReaderClock
    """The reader's time as the card half has it too: by the floor and the fleet's word."""
    agent: str
    """Name and version of this program."""
    shelf: Shelf
    uplink: Uplink
    board: Board
    pull: Pull
    meter: Meter
    requests: Requests
    """What a clerk asks of this reader."""
    triage: deque[Triage] = field(default_factory=lambda: deque(maxlen=TRIAGE_MAX))
    entries: asyncio.Event = field(default_factory=asyncio.Event)
    """The journal has grown, or the uplink is free."""
    status: asyncio.Event = field(default_factory=asyncio.Event)
    """The status may have changed."""
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    """What of the desired state is true may have changed."""
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    """A minute of telemetry, a stranger's card or an answer to a desk waits."""

    def now_s(self) -> float:
        """Return the monotonic time in seconds."""
        return self.clock.monotonic_ns() / 1e9

    def count_waiting(self) -> None:
        """Look again how much the fleet has not acknowledged; a disk error is counted."""
        try:
            self.board.waiting = self.shelf.waiting(self.uplink.marks)
        except OSError as error:
            self.meter.count("uplink.journal-unreadable")
            _log.warning("the journal cannot be counted: %s", error)

    def make_status(self, online: bool) -> Status:
        """Return how this reader is."""
        condition, last = self.board.condition, None
        try:
            last = self.shelf.last()
        except OSError as error:
            self.meter.count("uplink.journal-unreadable")
            _log.warning("the journal's tip cannot be read: %s", error)
        now_ms = self.clock.now_ms()
        versions = condition.rosters if condition else {}
        return Status(
            v=1,
            online=online,
            at_ms=now_ms,
            agent=self.agent,
            front_end=condition.front_end if condition else "",
            ready=self.board.ready,
            trouble=None if self.board.ready else self.board.trouble,
            journal=last[0] if last else None,
            n=last[1].n if last else 0,
            tip=last[1].tip if last else None,
            waiting=self.board.waiting,
            rosters=self.pull.twin.held(versions, now_ms),
        )

    def make_report(self) -> TwinReported:
        """Return what of the desired state is true."""
        condition, now_ms = self.board.condition, self.clock.now_ms()
        return TwinReported(
            v=1,
            at_ms=now_ms,
            agent=self.agent,
            rosters=self.pull.twin.held(condition.rosters if condition else {}, now_ms),
            keys=condition.keys if condition else None,
            trouble=self.pull.trouble,
        )
