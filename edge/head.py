"""The reader head as the agent sees it: one request at a time over USB, by wire/headlink.

Upheld: a request is sent again until it is answered or its time is over; the head does it once · no
call lasts longer than its time and LINK_S · a head that was unplugged or has begun anew is found
again by what it is, at the next request, and greeted before anything else · what an event says is
kept, the latest of each kind. Used by one thread.
"""

import errno
import fcntl
import os
import re
import select
import termios
import time
import tty
from glob import escape, glob
from typing import Any, Final, NamedTuple

from wire import headlink
from wire.headlink import ERROR, EVENT, REQUEST, Op

BY_ID: Final = "/dev/serial/by-id/usb-Kazasu_Reader_head_{}-if00"
"""Where udev puts a head by maker, product and the chip's own number (systemd, 60-serial.rules)."""
LINK_S: Final = 0.3
"""Beyond what an operation takes by itself: five times that a frame is sent again."""
AGAIN_S: Final = 0.06
"""Without an answer a request is sent again: an answer comes within 2 ms, and what takes longer at
the head is neither begun again nor disturbed by that."""
HELLO_S: Final = 1.0
"""For a head that has just been plugged in."""
READ_BYTES: Final = 4096
REASONS: Final = {
    headlink.UNKNOWN: "its firmware is too old for that",
    headlink.MALFORMED: "it does not take these values",
    headlink.NOT_NOW: "not in this state, or not while something else goes on",
    headlink.SILENT: "the PN532 behind it does not answer (wired? switched to HSU?)",
    headlink.GARBLED: "what the PN532 answers comes damaged",
    headlink.NO_COMMAND: "the PN532 knows no such command",
    headlink.NO_HELLO: "it has begun anew",
}


class HeadGone(OSError):
    """The head cannot be reached; the next request looks for it anew."""


class HeadRefused(OSError):
    """The head answered with an error; `errno` is one of wire/headlink's."""


class Hello(NamedTuple):
    """What the head says of itself; see wire.headlink.HELLO."""

    protocol: int
    firmware: tuple[int, int, int]
    board: int
    reset_cause: int
    up_ms: int
    unique_id: str


class Head:
    """The head at `where`: a device's path, its number, or empty for the one that is there."""

    def __init__(self, where: str = "") -> None:
        self._where = where
        self._fd = -1
        self._seq = int.from_bytes(os.urandom(1))
        self._stream = headlink.Stream()
        self.hello: Hello | None = None
        """As it was greeted last; None: it is not open."""
        self.openings = 0
        """How often it was greeted: after each, nothing holds that it was told before."""
        self.events: dict[Op, tuple[Any, ...]] = {}
        """The latest of each kind; whoever has dealt with one takes it out."""

    @property
    def is_open(self) -> bool:
        """False: the next request looks for it first."""
        return self.hello is not None

    def ask(
        self, op: Op, *values: object, tail: bytes = b"", within_s: float = 0.0
    ) -> tuple[Any, ...]:
        """Return what the head answers to an operation that takes it so long at most.

        Raises HeadGone or HeadRefused.
        """
        try:
            if not self.is_open:
                self._open()
            return self._ask(op, op.ask(*values, tail=tail), within_s + LINK_S)
        except HeadRefused as refused:
            if self.is_open and refused.errno != headlink.NO_HELLO:
                raise
            raise self._gone("it has begun anew") from refused
        except OSError as error:
            raise self._gone(error.strerror) from error

    def hear(self, within_s: float = 0.0) -> bool:
        """Take in events; True as soon as there is one. Raises HeadGone."""
        if self.is_open:
            try:
                self._receive(within_s)
            except OSError as error:
                raise self._gone(error.strerror) from error
        return bool(self.events)

    def _gone(self, why: str | None) -> HeadGone:
        self.close()
        return HeadGone(errno.EIO, f"the reader head cannot be reached ({why})")

    def close(self) -> None:
        """Let the device go; never raises."""
        self.hello = None
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> None:
        self._stream = headlink.Stream()
        self._fd = os.open(found(self._where), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tty.setraw(self._fd)
        except BlockingIOError as error:
            raise OSError(errno.EBUSY, "another program uses it: stop the agent first") from error
        except termios.error as error:
            raise OSError(*error.args) from error
        protocol, one, two, three, board, cause, up_ms, number = self._ask(
            headlink.HELLO, b"", HELLO_S
        )
        if protocol != headlink.PROTOCOL:
            raise OSError(
                errno.EPROTO, f"it speaks protocol {protocol}, not {headlink.PROTOCOL}: update it"
            )
        self.events.clear()
        self.openings += 1
        self.hello = Hello(protocol, (one, two, three), board, cause, up_ms, number.hex())

    def _ask(self, op: Op, payload: bytes, within_s: float) -> tuple[Any, ...]:
        self._seq = (self._seq + 1) & 0xFF
        line = b"\0" + headlink.pack(REQUEST, self._seq, op.code, payload)  # ends what was cut off
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._write(line)
            again_s = time.monotonic() + min(AGAIN_S, left_s)
            while (wait_s := again_s - time.monotonic()) > 0:
                for kind, seq, code, came in self._receive(wait_s):
                    if seq != self._seq or code != op.code:
                        continue  # of a request that was given up
                    if kind == ERROR:
                        error = came[0] if came else 0
                        raise HeadRefused(error, f"{op.name}: {REASONS.get(error, 'refused')}")
                    return tuple(op.read_answered(came))
        raise OSError(errno.ETIMEDOUT, "it does not answer")

    def _write(self, line: bytes) -> None:
        """Send what finds room; the rest is damaged, and the whole is sent again."""
        try:
            os.write(self._fd, line)
        except BlockingIOError:
            return

    def _receive(self, within_s: float) -> list[tuple[int, int, int, bytes]]:
        """Return the answers that have come, and keep the events. Raises OSError."""
        if not select.select([self._fd], [], [], within_s)[0]:
            return []
        if not (data := os.read(self._fd, READ_BYTES)):
            raise OSError(errno.ENODEV, "it was unplugged")
        answers = []
        for frame in self._stream.feed(data):
            kind, _, code, payload = frame
            op = headlink.BY_CODE.get(code)
            if kind == EVENT and op in headlink.EVENTS:
                self._keep(op, payload)
            elif kind in (headlink.RESPONSE, ERROR):
                answers.append(frame)
        return answers

    def _keep(self, op: Op, payload: bytes) -> None:
        try:
            self.events[op] = op.read_answered(payload)
        except headlink.Damaged:
            return  # of a newer head: its state can be asked for


def named(path: str) -> str | None:
    """Return where a front end's path says that its head is; None when it names none."""
    found = re.fullmatch("head(?::([^@]+))?(?:@.*)?", path)
    return (found[1] or "") if found else None


def found(where: str) -> str:
    """Return the path of a head's device. Raises OSError with what to do."""
    if where.startswith("/"):
        return where
    paths = sorted(glob(BY_ID.format(escape(where) or "*")))
    if not paths:
        raise OSError(errno.ENODEV, "none is plugged in")
    if len(paths) > 1:
        raise OSError(errno.EEXIST, "there are several: name one by its number (head:NUMBER)")
    return paths[0]
