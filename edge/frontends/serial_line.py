"""A serial line that carries PN532 frames, as nfcpy's chip class wants its transport.

nfcpy has one on pyserial. This one gives a frame back as soon as its last byte is there, waits no
longer than it is told to, and finds the next frame behind garbage (nfcpy's waits 50 ms at least
and takes whatever six bytes come first for a frame's head).
"""

import errno
import fcntl
import os
import select
import termios
import time
import tty
from typing import Final

START: Final = b"\x00\x00\xff"
"""Preamble and start code (PN532 user manual, UM0701-02, 6.2.1)."""
ACK: Final = b"\x00\x00\xff\x00\xff\x00"
NACK: Final = b"\x00\x00\xff\xff\x00\x00"
EXTENDED: Final = b"\xff\xff"
FRAME_BYTES_MAX: Final = 8 + 265 + 2
"""An extended frame's head, TFI and 264 bytes, check sum and postamble."""
WRITE_S_MAX: Final = 0.5
"""The longest frame takes 24 ms at 115,200 baud; a line that takes none is broken."""
SPEEDS: Final = {
    115_200: termios.B115200,
    230_400: termios.B230400,
    460_800: termios.B460800,
    921_600: termios.B921600,
}


class SerialLine:
    """One open serial device, locked against a second opener. Raises OSError in all methods."""

    TYPE = "TTY"

    def __init__(self, port: str, baudrate: int = 115_200) -> None:
        self.port = port
        self._buffer = bytearray()
        self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._lock()
            self._baudrate = baudrate
            self.baudrate = baudrate
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(errno.EBUSY, "another program uses it: stop the agent first") from error

    @property
    def baudrate(self) -> int:
        """Bits per second, both ways."""
        return self._baudrate

    @baudrate.setter
    def baudrate(self, value: int) -> None:
        try:
            tty.setraw(self._fd, termios.TCSANOW)
            mode = termios.tcgetattr(self._fd)
            mode[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            mode[4] = mode[5] = SPEEDS[value]
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            raise OSError(*error.args) from error
        self._buffer.clear()
        self._baudrate = value

    def read(self, timeout_ms: float) -> bytearray:
        """Return the next whole frame, from its preamble to its postamble.

        Raises OSError ETIMEDOUT when none came, and what the device raises.
        """
        deadline_s = time.monotonic() + timeout_ms / 1000
        while (frame := self._frame()) is None:
            wait_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._fd], [], [], wait_s)[0]:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if not (some := os.read(self._fd, 4096)):
                raise OSError(errno.EIO, "the line was unplugged")
            self._buffer += some
        return frame

    def _frame(self) -> bytearray | None:
        """Take the first whole frame out of what has come; drop what cannot begin one."""
        buffer = self._buffer
        while True:
            at = buffer.find(START)
            del buffer[: at if at >= 0 else max(0, len(buffer) - len(START) + 1)]
            if at < 0 or len(buffer) < len(ACK):
                return None
            size = _size(buffer)
            if size is None:
                return None
            if 0 < size <= FRAME_BYTES_MAX:
                break
            del buffer[0]  # no frame begins here
        if len(buffer) < size:
            return None
        frame = buffer[:size]
        del buffer[:size]
        return frame

    def write(self, frame: bytes | bytearray) -> None:
        """Send a frame; whatever came before it is forgotten."""
        self._buffer.clear()
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            raise OSError(*error.args) from error
        deadline_s = time.monotonic() + WRITE_S_MAX
        left = memoryview(bytes(frame))
        while left:
            wait_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([], [self._fd], [], wait_s)[1]:
                raise OSError(errno.ETIMEDOUT, "the line takes nothing")
            left = left[os.write(self._fd, left) :]

    def close(self) -> None:
        """Let the device go."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _size(head: bytearray) -> int | None:
    """Return a frame's whole size by its head; 0 when it is none, None when more must come."""
    if head.startswith((ACK, NACK)):
        return len(ACK)
    if head[3:5] != EXTENDED:
        return 5 + head[3] + 2 if (head[3] + head[4]) & 0xFF == 0 and head[3] else 0
    if len(head) < 8:
        return None
    if sum(head[5:8]) & 0xFF:
        return 0
    return 8 + int.from_bytes(head[5:7], "big") + 2
