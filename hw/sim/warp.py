"""The town's clock: faster than real, the same in every process of a demo, also after a restart.

`TownClock` is a `wire.clock.Clock`. It runs at real speed until the town is opened, then `rate`
times faster. The anchor is the machine's monotonic clock, which all processes of a boot share, and
the moment of opening lies in a file of eight bytes that every process maps, so it is heard of at
once. Only timestamps are warped: durations stay real.

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

_OPENED: Final = struct.Struct("=Q")
"""Monotonic ns at which the town was opened; 0 before. Eight aligned bytes are written at once."""


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
            self._opened = mmap.mmap(file.fileno(), _OPENED.size)

    @classmethod
    def started(cls, file: Path, town_ms: int, rate: float) -> Self:
        """Start the town's clock at an instant; `file` is made anew."""
        file.write_bytes(_OPENED.pack(0))
        return cls(Anchor(str(file), time.monotonic_ns(), town_ms, rate))

    def open_town(self) -> None:
        """Let the time run faster from now on, in every process."""
        _OPENED.pack_into(self._opened, 0, time.monotonic_ns())

    def now_ms(self) -> int:
        """See wire.clock.Clock."""
        now_ns = time.monotonic_ns()
        opened_ns = min(_OPENED.unpack_from(self._opened)[0] or now_ns, now_ns)
        real_ns = opened_ns - self.anchor.started_ns
        fast_ns = (now_ns - opened_ns) * self.anchor.rate
        return self.anchor.town_ms + round((real_ns + fast_ns) / 1e6)

    def monotonic_ns(self) -> int:
        """See wire.clock.Clock. Real: a second of waiting is a second."""
        return time.monotonic_ns()

    def real_s_until(self, town_ms: int) -> float:
        """Return the real seconds until the town shows an instant; negative when it is over."""
        return (town_ms - self.now_ms()) / 1000 / self.anchor.rate


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
