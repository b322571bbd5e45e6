"""The network half of the agent: it brings the journal to the ledger and the rosters to the reader.

    kazasu-edge link CONFIG

Its parts run side by side and start again, each by itself, after their own failures: the line to
the card half (`tapline.py`), the connection to the broker (`session.py`, with `uplink.py` as its
judgement), the fetching of rosters and keys (`pull.py`), the minute's telemetry, the time, the
place (`gps.py`), the local page (`web/`). Upheld: no NFC and no programme key is here · nothing
that happens here stops a tap · what a crash loses here (marks, counters) is only a saving · one
network half alone in a state folder: two would take the connection from each other for ever.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from edge.backoff import Backoff
from edge.board import Board
from edge.clock import ReaderClock
from edge.config import Config, ConfigRefused, read_config
from edge.desk import Desk
from edge.durable import make_folder, replace_file
from edge.gps import Gps
from edge.identity import Identity, IdentityRefused, read_identity
from edge.journal import FOLDER, last_entry
from edge.lock import LINK_LOCK, InUse, hold
from edge.notify import Notify
from edge.panel import (
    Aboard,
    Appended,
    AtGate,
    Condition,
    Counted,
    DeskAnswered,
    FareAnswer,
    FromTap,
    GateActed,
    RideActed,
    Shown,
    Stranger,
)
from edge.pull import Pull
from edge.requests import Requests
from edge.session import Session
from edge.shelf import Shelf
from edge.tapline import TapLine
from edge.telemetry import EVERY_S, Meter
from edge.uplink import Marks, Uplink
from edge.web.app import serve
from edge.web.cab import Cab
from edge.web.tablet_door import serve_tablets
from wire.clock import Clock, SystemClock
from wire.messages import Triage
from wire.mqtt import MqttError
from wire.release import VERSION

MARKS_FILE: Final = "uplink.json"
MARKS_EVERY_S: Final = 10.0
"""Between two writes of the marks: they spare resending, and are worth no more wear than that."""
STEADY_S: Final = 30.0
"""A connection that lived this long was a good one: the next try is quick again."""
TIME_EVERY_S: Final = 1.0
"""The machine's clock is looked at this often, until the fleet has said the time."""
NICE: Final = 10
"""The card half gets a processor ten times as readily: a passenger waits for it."""
PART_CAP_S: Final = 30.0
"""The rarest restart of a part that fails at once, such as a page whose port is taken."""

_log = logging.getLogger(__name__)


class Link:
    """All parts and what they share."""

    def __init__(self, config: Config, identity: Identity, clock: Clock) -> None:
        """Nothing is opened yet."""
        self._config = config
        self._state = Path(config.state)
        last = last_entry(self._state / FOLDER, config.reader)
        self._time = ReaderClock(clock, last[1].entry.at_ms if last else 0)
        self._line = TapLine(self._state, self._heard)
        self._requests = Requests(
            self._time, self._line.say, self._asked, at_a_desk=config.place_kind == "desk"
        )
        self._board = Board(self._time.now_ms, self._line.say, self._requests)
        self._cab = Cab.of(self._board, config)
        self._pull = Pull(config, identity, self._time, self._line.say, self._pulled)
        self._shelf = Shelf(self._state / FOLDER, config.reader)
        self._marks_kept = Marks()
        self._desk = Desk(
            identity=identity,
            clock=self._time,
            agent=VERSION,
            shelf=self._shelf,
            uplink=Uplink(),
            board=self._board,
            pull=self._pull,
            meter=Meter(self._time.now_ms()),
            requests=self._requests,
        )
        self._notify = Notify()
        self._gps = Gps(config.gpsd, self._line.say, self._desk.now_s, self._desk.meter.count)

    async def run(self) -> None:
        """Run all parts until cancelled.

        Raises InUse when another network half runs here, OSError when the state folder is unusable.
        """
        make_folder(self._state)
        with hold(self._state / LINK_LOCK):
            self._start()
            await self._run_parts()

    async def _run_parts(self) -> None:
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "tap": self._line.run,
            "broker": self._connect,
            "pull": self._pull.run,
            "minutes": self._minutes,
            "marks": self._keep_marks,
            "time": self._follow_time,
            "gps": self._gps.run,
            "page": lambda: serve(self._board, self._config, self._cab),
            "tablets": self._serve_tablets,
        }
        tasks = [asyncio.create_task(_keep(name, part), name=name) for name, part in parts.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            self._notify.stopping()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._board.close()
            self._write_marks()
            self._shelf.close()

    def _start(self) -> None:
        self._pull.start()
        self._marks_kept = self._desk.uplink.marks = read_marks(self._state / MARKS_FILE)
        unreadable = self._board.today.read(
            self._state / FOLDER, self._config.reader, self._board.now_ms()
        )
        if unreadable:
            self._desk.meter.count("uplink.journal-unreadable", unreadable)
        self._desk.count_waiting()

    # the parts

    async def _serve_tablets(self) -> None:
        if self._cab and self._config.tablet_host:
            await serve_tablets(self._cab)
        await asyncio.Event().wait()

    async def _connect(self) -> None:
        """Keep one connection to the broker."""
        backoff, desk = Backoff(), self._desk
        while True:
            self._notify.alive()
            began_s = desk.now_s()
            try:
                await Session(desk, self._notify.alive).run()
            except MqttError as error:
                desk.meter.count("broker.lost")
                _log.info("broker: %s", error)
            if desk.now_s() - began_s >= STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _follow_time(self) -> None:
        """Notice when the machine's clock is set; the card half writes such jumps down."""
        while True:
            await asyncio.sleep(TIME_EVERY_S)
            self._time.take_machine_time()

    async def _minutes(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._desk.meter.cut(self._desk.clock.now_ms())
            self._desk.outbox.set()

    async def _keep_marks(self) -> None:
        while True:
            await asyncio.sleep(MARKS_EVERY_S)
            self._write_marks()

    def _write_marks(self) -> None:
        marks = self._desk.uplink.marks
        if marks == self._marks_kept:
            return
        try:
            replace_file(self._state / MARKS_FILE, msgspec.json.encode(marks))
        except OSError as error:
            self._desk.meter.count("uplink.marks-unwritten")
            _log.warning("%s: %s", MARKS_FILE, error)
        else:
            self._marks_kept = marks

    # what the card half says

    def _heard(self, said: FromTap | None) -> None:
        """Take in one word of the card half; None: it is gone."""
        match said:
            case Shown():
                self._desk.meter.shown(said)
                self._board.shown(said)
            case Appended():
                self._desk.count_waiting()
                self._desk.entries.set()
                self._desk.status.set()
                self._board.changed()
            case Stranger():
                fields = msgspec.structs.asdict(said)
                self._desk.triage.append(Triage(v=1, **fields))
                self._desk.outbox.set()
            case Counted():
                self._desk.meter.count(said.name)
            case DeskAnswered():
                self._requests.heard(said)
            case Aboard() | FareAnswer() | RideActed():
                self._board.drives.heard(said)
            case AtGate() | GateActed():
                self._board.gate.heard(said)
            case Condition() | None:
                self._turned(said)

    def _turned(self, condition: Condition | None) -> None:
        """The card half is otherwise now; None: it is gone."""
        was_there = self._board.condition is not None
        self._board.condition = self._pull.condition = condition
        self._pull.settle()
        self._board.changed()
        self._desk.status.set()
        self._desk.reported.set()
        if condition is None:
            self._requests.card_half_went()
            self._board.drives.gone()
            self._board.gate.gone()
        elif not was_there:
            self._requests.card_half_came()
            self._board.reach(self._board.online)
            self._gps.card_half_came()

    def _asked(self) -> None:
        self._desk.outbox.set()
        self._board.changed()

    def _pulled(self) -> None:
        self._desk.reported.set()


def read_marks(path: Path) -> Marks:
    """Return the marks as they were kept; none when they are gone or damaged: all is sent again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Marks)
    except FileNotFoundError:
        return Marks()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("%s is begun anew: %s", path, error)
        return Marks()


async def _keep(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part for ever: again, later and later, after what the network or the disk did to it."""
    backoff = Backoff(cap_s=PART_CAP_S)
    while True:
        try:
            await part()
        except OSError as error:
            _log.warning("%s: %s", name, error)
        await asyncio.sleep(backoff.next_s())


async def run(config: Config, identity: Identity, clock: Clock) -> None:
    """Run until SIGTERM or SIGINT, then say goodbye. Raises InUse or OSError."""
    running = asyncio.ensure_future(Link(config, identity, clock).run())
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main(argv: list[str] | None = None, clock: Clock | None = None) -> int:
    """Run the network half; return the exit status.

    2: configuration or identity are unusable, or another network half runs in this state folder.
    """
    parser = argparse.ArgumentParser("kazasu-edge link", description="the network half")
    parser.add_argument("config", type=Path, help="the reader's edge.toml")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="link: %(message)s")
    if os.getpriority(os.PRIO_PROCESS, 0) < NICE:  # systemd has seen to it, and forbids it
        os.nice(NICE)
    try:
        config = read_config(arguments.config)
        identity = read_identity(config)
        asyncio.run(run(config, identity, clock or SystemClock()))
    except (ConfigRefused, IdentityRefused, InUse) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{arguments.config}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
