"""A school's gate for tests: a reader whose clock can be set on, and a teacher before it."""

import datetime
import itertools
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge.panel import (
    AnswerGiven,
    AtGate,
    Declared,
    GateActed,
    GateLeft,
    GateStays,
    NotDone,
    Redirected,
    Shown,
)
from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from programmes.calendar import ZONE
from tests.edge.reader_kit import ATTENDANCE, Link, ReaderKit, lift, make_reader, my_number_card
from tests.edge.rig import Authority, free_port
from tests.edge.taxi_kit import Taxi
from wire.entries import Answer, Heading, Redirect

TEACHERS = [my_number_card(serial) for serial in (1, 2)]


def at(text: str) -> int:
    """Return an instant of June 2026 in Japan, written as `3 07:42`."""
    day, clock = text.split()
    moment = datetime.datetime.fromisoformat(f"2026-06-{int(day):02}T{clock}")
    return int(moment.replace(tzinfo=ZONE).timestamp() * 1000)


class SchoolClock:
    """Runs slowly, from another moment on, and is set on from night to morning.

    Both of its clocks are: a reader cannot tell that from a night.
    """

    def __init__(self, begins_ms: int) -> None:
        self._began_ns = time.monotonic_ns()
        self._began_ms, self._on_ms = begins_ms, 0

    def now_ms(self) -> int:
        return self._began_ms + self._ran_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return self._began_ns + self._ran_ns()

    def _ran_ns(self) -> int:
        ran_ns = (time.monotonic_ns() - self._began_ns) // SLOWNESS
        return ran_ns + self._on_ms * 1_000_000

    def set_on(self, *, seconds: float) -> None:
        self._on_ms += int(seconds * 1000)

    def until(self, text: str) -> None:
        ahead_ms = at(text) - self.now_ms()
        assert ahead_ms >= 0, text
        self._on_ms += ahead_ms


PATIENT: Final = """
import sys
from edge.tap import main
from tests.edge.gate_kit import SchoolClock
from wire.clock import SystemClock
sys.exit(main(sys.argv[1:], SchoolClock(SystemClock().now_ms())))
"""
"""A card half with the clock of this file."""
SLOWNESS: Final = 50
"""People have eight minutes for what they have ten seconds for: a machine with other work is no
quicker than that."""


class WholeGate(Taxi):
    """Both halves of a school's reader, as processes."""

    def start(self, half: str) -> None:
        if half != "tap":
            super().start(half)
            return
        command = [sys.executable, "-c", PATIENT, str(self.kit.folder / "edge.toml")]
        self.processes[half] = subprocess.Popen(command)


def make_gate(
    folder: Path, antenna: Antenna, *cards: MyNumberCard, rules: Any = None, **files: Any
) -> ReaderKit:
    """Make the reader of a school whose list has these teachers; `files` are keys of its file."""
    kit = make_reader(folder, antenna.device, kind="school", programmes=(ATTENDANCE,), **files)
    kit.enrol(*(cards or TEACHERS), programme=ATTENDANCE, **(rules or {}))
    return kit


def make_whole_gate(folder: Path, antenna: Antenna) -> WholeGate:
    """Make one with all that both halves need; nobody answers where its broker would be."""
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("kazasu-shi/bus-1")
    files = {"authority": authority.root, "certificate": certificate, "key": key}
    named = {name: str(path) for name, path in files.items()}
    kit = make_gate(folder / "school", antenna, page_port=free_port(), **named)
    return WholeGate(kit, antenna, TEACHERS)


class Gate:
    """A teacher at the gate: holds cards, presses, and reads what is on the screen."""

    def __init__(self, link: Link, antenna: Antenna) -> None:
        self.link, self._antenna = link, antenna
        self._asks = itertools.count(1)
        link.ready()

    @property
    def screen(self) -> AtGate:
        """What was said last, when all has been done that was asked."""
        self.link.settled()
        return [said for said in self.link.heard if isinstance(said, AtGate)][-1]

    @property
    def sentence(self) -> str:
        """What was shown last."""
        return [said for said in self.link.heard if isinstance(said, Shown)][-1].message

    def hold(self, card: MyNumberCard = TEACHERS[0], pressed: Heading | None = None) -> str:
        """Hold a card, take it away, and return what was shown."""
        if pressed:
            self.link.say(Declared(direction=pressed))
            self.link.settled()
        self._antenna.place(card)
        message = self.link.shown().message
        lift(self._antenna)
        return message

    def redirect(self, direction: Heading, of: AtGate | None = None) -> NotDone:
        seen = of or self.screen
        ask = next(self._asks)
        self.link.say(Redirected(ask, seen.journal, seen.n, direction))
        return self._acted(ask)

    def answer(self, claimed_at_ms: int | None, of: AtGate | None = None) -> NotDone:
        seen = of or self.screen
        ask = next(self._asks)
        self.link.say(AnswerGiven(ask, seen.journal, seen.n, claimed_at_ms))
        return self._acted(ask)

    def stay(self) -> None:
        seen = self.screen
        self.link.say(GateStays(seen.journal, seen.n))
        self.link.settled()

    def leave(self) -> None:
        self.link.say(GateLeft())
        self.link.settled()

    def _acted(self, ask: int) -> NotDone:
        return self.link.until(GateActed, lambda said: said.ask == ask).refused


def said(kit: ReaderKit) -> Sequence[Redirect | Answer]:
    return [one.entry for one in kit.entries() if isinstance(one.entry, Redirect | Answer)]
