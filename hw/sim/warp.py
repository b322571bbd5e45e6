"""The town's clock: faster than real, the same in every process of a demo, also after a restart.

`TownClock` is a `wire.clock.Clock`, and says how it leaps (`wire.clock.Leaping`), so that a reader
takes no leap for a clock that was set. While the town is open its hand jumps, once a second, so
that it goes `rate` times as fast as a real clock; between two jumps, before and after it is a real
one. The anchor is the machine's monotonic clock, which all processes of a boot share, and the
moments of opening and closing lie in a file that every process maps, so they are heard of at once.
Only timestamps are warped: durations stay real.

    python -m hw.sim.warp ANCHOR module:function ARGUMENTS...

starts a program's own main with this clock, as `main(arguments, clock)`.
"""

import importlib
import mmap
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Final, Self

import msgspec

_MOMENT: Final = struct.Struct("=Q")
_MOMENTS: Final = struct.Struct("=QQ")
"""Of opening and of closing, in monotonic ns, 0 before; eight aligned bytes are written at once."""
JUMP_NS: Final = 1_000_000_000
"""Between two jumps. A message on its way would be late by its real delay times the rate, and a
reader would set its clock by each answer; between two jumps nothing is warped."""


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process tells another about the town's clock; travels as JSON."""

    file: str
    started_ns: int
    """Monotonic, when the town showed `town_ms`."""
    town_ms: int
    rate: float

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class TownClock:
    """The clocks of a process in the town."""

    def __init__(self, anchor: Anchor) -> None:
        """Maps the anchor's file. Raises OSError when it is not there."""
        self.anchor: Final = anchor
        with Path(anchor.file).open("r+b") as file:
            self._moments = mmap.mmap(file.fileno(), _MOMENTS.size)

    @classmethod
    def started(cls, file: Path, town_ms: int, rate: float) -> Self:
        """Start the town's clock at an instant; `file` is made anew."""
        file.write_bytes(bytes(_MOMENTS.size))
        return cls(Anchor(str(file), time.monotonic_ns(), town_ms, rate))

    def open_town(self) -> None:
        """Let the time run faster from now on, in every process."""
        _MOMENT.pack_into(self._moments, 0, time.monotonic_ns())

    def close_town(self) -> None:
        """Let the time run as fast as it really does from now on, in every process."""
        _MOMENT.pack_into(self._moments, _MOMENT.size, time.monotonic_ns())

    def now_ms(self) -> int:
        """See wire.clock.Clock."""
        now_ns = time.monotonic_ns()
        jumped_ns = self._jumps(now_ns) * JUMP_NS * (self.anchor.rate - 1)
        return self.anchor.town_ms + round((now_ns - self.anchor.started_ns + jumped_ns) / 1e6)

    @property
    def leap_ms(self) -> int:
        """See wire.clock.Leaping."""
        return round(JUMP_NS * (self.anchor.rate - 1) / 1e6)

    def leapt_ms(self) -> int:
        """See wire.clock.Leaping."""
        return round(self._jumps(time.monotonic_ns()) * JUMP_NS * (self.anchor.rate - 1) / 1e6)

    def _jumps(self, now_ns: int) -> int:
        """How often the hand has jumped by a moment."""
        opened_ns, closed_ns = _MOMENTS.unpack_from(self._moments)
        if not opened_ns:
            return 0
        return int(max(0, min(closed_ns or now_ns, now_ns) - opened_ns) // JUMP_NS)

    def monotonic_ns(self) -> int:
        """See wire.clock.Clock. Real: a second of waiting is a second."""
        return time.monotonic_ns()

    def real_s_until(self, town_ms: int) -> float:
        """Return the real seconds until the town shows an instant, when it is open by then.

        Exact as if its hand did not jump; negative when the instant is over.
        """
        now_ns = time.monotonic_ns()
        opened_ns = _MOMENTS.unpack_from(self._moments)[0] or now_ns
        opened_at_ms = self.anchor.town_ms + (opened_ns - self.anchor.started_ns) / 1e6
        return (town_ms - opened_at_ms) / 1000 / self.anchor.rate - (now_ns - opened_ns) / 1e9


def warped(clock: TownClock, target: str, *arguments: str) -> list[str]:
    """Return the command that starts `module:function` with this clock, its output unbuffered."""
    return [sys.executable, "-u", "-m", __name__, str(clock.anchor), target, *arguments]


def main(argv: list[str]) -> int:
    """Start `module:function` with the town's clock; its result is the exit status."""
    anchor, target, *arguments = argv
    clock = TownClock(msgspec.json.decode(anchor, type=Anchor))
    module, _, function = target.partition(":")
    sys.argv = [target, *arguments]
    try:
        status = getattr(importlib.import_module(module), function)(arguments, clock)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
