"""A device's end of a serial line, the other end of which is a pty that looks like a UART.

The host's speed is what termios of the pty says; data and a change of speed are not ordered, on a
pty as on a USB adapter. The line knows nothing of what it carries, and of time only that it waits
for the host no longer than it is told: pace is the device's affair.
"""

import contextlib
import os
import select
import termios
import tty
from pathlib import Path

# A byte is a start bit, eight data bits and a stop bit.
BITS_PER_BYTE = 10

READ_BYTES_MAX = 4096  # what a pty holds

# termios speaks of speeds by codes of its own.
_SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[0] == "B" and name[1:].isdigit()
}


class SerialLine:
    """One pty, plugged in or not. All but `wake` belongs to the device's thread.

    With `link`, a symbolic link of that name leads to the pty whenever it is plugged in, as udev
    keeps one; else the path is the pty's own and a new one each time.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._link = link
        self._master = self._slave = -1
        self._woken, self._waker = os.pipe()
        self.plug()

    @property
    def path(self) -> str:
        """What the host opens. Raises OSError when the line is unplugged and has no link."""
        return str(self._link) if self._link else os.ttyname(self._slave)

    @property
    def host_baud(self) -> int:
        """The host's speed in bits per second; 0 when it has none or the line is unplugged."""
        if self._master < 0:
            return 0
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    @property
    def plugged(self) -> bool:
        """False while the pty is away."""
        return self._master >= 0

    @property
    def watched(self) -> list[int]:
        """The descriptors that a `read` waits for, for one who waits for others beside them."""
        return [self._woken] if self._master < 0 else [self._woken, self._master]

    def plug(self) -> None:
        """Make a new pty. The device holds its other end too, so that a host may come and go."""
        self.unplug()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        if self._link:
            if self._link.is_symlink():  # of a device that was never closed
                self._link.unlink()
            self._link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Take the pty away, also from a host that has it open."""
        if self._master < 0:
            return
        if self._link:
            self._link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def close(self) -> None:
        """Give all back."""
        self.unplug()
        os.close(self._woken)
        os.close(self._waker)

    def wake(self) -> None:
        """Let a `read` that waits return, or the next one; called from any thread."""
        os.write(self._waker, b"\0")

    def read(self, within_s: float | None) -> bytes:
        """Return what the host has sent; empty after so long, or when woken."""
        ready = select.select(self.watched, [], [], within_s)[0]
        if self._woken in ready:
            os.read(self._woken, READ_BYTES_MAX)
        return os.read(self._master, READ_BYTES_MAX) if self._master in ready else b""

    def write(self, data: bytes) -> None:
        """Send to the host. What it does not read in time is lost: there is no flow control."""
        if self._master >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)
