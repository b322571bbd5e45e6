"""The reader's box as the card half has it: its front end, and all that a reader head does for it.

    front end   opened and brought back by `frontends/recovery.py`, behind a head or without one
    face        lamp and buzzer: `face.py`
    senses      ignition, lid, temperature, battery: `senses.py`
    watch       the head cuts the supply of a computer whose loop hangs: the ladder's last rung

Upheld: nothing waits for a head longer than one request; one that is gone costs nothing until the
front end's recovery has opened it again · a head that was opened anew is told everything anew · the
watch is off after an orderly stop, and on after any other end · the machine is switched off after
the journal is closed · without a head all this is nothing.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.config import Config
from edge.durable import replace_file
from edge.face import Face
from edge.frontends.opening import head_of, open_front_end
from edge.frontends.power import power_cycle
from edge.frontends.recovery import Recovering
from edge.head import HeadGone, HeadRefused
from edge.looks import standing
from edge.senses import Senses
from wire import headlink
from wire.clock import Clock
from wire.headlink import Op

SENSE_S: Final = 3
"""Between two looks at ignition and lid when no event has come: one that was lost heals before the
head's own 10 s for a vehicle that leaves, and an idle agent is heard (firmware/face.py)."""
WATCH_S: Final = 120
"""Of three watchdogs the last: systemd's takes a loop that is silent for 20 s, the SoC's a kernel
that is silent for 15 s, after which a Pi takes a minute to ask again, its disk checked."""
POWEROFF: Final = "poweroff"
"""In the state folder: the machine is asked to switch itself off (edge/systemd)."""
NAME_MAX: Final = 40
"""Characters of a front end's name (edge.panel.Condition)."""

_log = logging.getLogger("kazasu.box")


class Box:
    """One reader's hardware. Used by the thread that decides; `counted` is told what happens."""

    def __init__(self, config: Config, clock: Clock, counted: Callable[[str], None]) -> None:
        """Nothing is opened yet."""
        path = config.front_end
        self._path, self._state = path, Path(config.state)
        self._clock, self._counted = clock, counted
        self._head = head = head_of(path)
        self.front_end: Final = Recovering(
            lambda: open_front_end(path, config.felica_system, head),
            lambda: not (head and head.is_open) and power_cycle(path),
            clock,
            counted,
        )
        self.face: Final = Face(head, clock, aloud=config.buzzer)
        self._senses = Senses(config.place_kind)
        self._opening = 0
        self._sense_ns = self._began_ns = 0
        self._healthy = False

    @property
    def name(self) -> str:
        """The front end's path, and the firmware of the head before it while that is there."""
        hello = self._head.hello if self._head else None
        firmware = " " + ".".join(map(str, hello.firmware)) if hello else ""
        return self._path[: NAME_MAX - len(firmware)] + firmware

    @property
    def leaves(self) -> bool:
        """True when the vehicle's journey is over, or the mains are."""
        return self._senses.leaves(self._clock.monotonic_ns())

    def watch(self, ready: bool, online: bool, heard: bool) -> None:
        """Between two cards: keep the head told and watching.

        `ready`: riders can tap; `online`: as `link` said last; `heard`: there is a `link`.
        """
        if self._head is None:
            return
        if self._head.is_open:
            self._keep_told()
            self._sense()
            self.face.stand(standing(ready=ready, online=online and heard))
        if heard:
            self._senses.tell(self._counted)

    def _keep_told(self) -> None:
        """Tell a head that was opened anew what it has to know, and that its firmware works."""
        head = self._head
        if head and head.hello and head.openings != self._opening:
            began_ns = self._clock.monotonic_ns() - head.hello.up_ms * 1_000_000
            if self._opening and began_ns > self._began_ns:
                self._counted("head.restarted")
            self._began_ns = self._clock.monotonic_ns()
            self._opening, self._sense_ns, self._healthy = head.openings, 0, False
            self._ask(headlink.WATCH, WATCH_S)
        if self.front_end.device and not self._healthy:
            self._healthy = True
            self._ask(headlink.HEALTHY)

    def _sense(self) -> None:
        now_ns = self._clock.monotonic_ns()
        changed = self._head and self._head.events.pop(headlink.STATE, None)
        if changed or now_ns >= self._sense_ns:
            self._sense_ns = now_ns + SENSE_S * 1_000_000_000
            if sensed := self._ask(headlink.SENSE):
                self._senses.take(now_ns, *sensed)

    def _ask(self, op: Op, *values: object) -> tuple[Any, ...] | None:
        """Ask a head that is there; None: it is gone, or does not do that."""
        return self._reach(op, *values) if self._head and self._head.is_open else None

    def _reach(self, op: Op, *values: object) -> tuple[Any, ...] | None:
        """Likewise, and look first for one that was gone."""
        if self._head is None:
            return None
        try:
            return self._head.ask(op, *values)
        except (HeadGone, HeadRefused) as error:
            _log.info("%s", error)
            return None

    def close(self, *, orderly: bool) -> None:
        """Field off, and let the head go, once the journal is closed.

        `orderly`: somebody wanted this end. Where the journey is over, the machine is switched off.
        """
        leaves = self.leaves
        self.front_end.close()
        if orderly or leaves:
            self.face.off()
            # One that has not heard of the journey's end watches on, and brings the machine back.
            if not leaves or self._reach(headlink.POWER, headlink.OFF) is not None:
                self._reach(headlink.WATCH, 0)
        if leaves:
            with contextlib.suppress(OSError):  # the head cuts it after its own time
                replace_file(self._state / POWEROFF, b"")
        if self._head:
            self._head.close()
