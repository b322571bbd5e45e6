"""The card half's side of the Unix socket: who shows what was decided hears it first.

Upheld: nothing here waits. A listener that is slow loses whole lines, which are counted, and never
holds up a card; a line that is not of the contract ends the connection. One `link` is connected at
a time: a newcomer takes the place of the former one, which may be a dead process's.
"""

import contextlib
import os
import select
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge.durable import file_mode
from edge.panel import LINE_BYTES_MAX, SOCKET_NAME, UNREADABLE, FromLink, FromTap

OUT_BYTES_MAX: Final = 256 * 1024
"""Waiting for a slow listener: some 500 lines, a minute of a busy door."""
READ_BYTES: Final = 64 * 1024
"""Taken in at once; what is more waits in the socket until the next round."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[FromLink]] = msgspec.json.Decoder(FromLink)


class Panel:
    """The listening socket and the one connection. Used by one thread."""

    def __init__(self, state: Path) -> None:
        """Listen in the state folder. Raises OSError."""
        self._path = state / SOCKET_NAME
        self._path.unlink(missing_ok=True)  # the journal's lock says that no other agent runs
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        former = os.umask(0o777 & ~file_mode(state))  # from the first moment
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(former)
        self._listener.listen(1)
        self._link: socket.socket | None = None
        self._in = bytearray()
        self._out = bytearray()
        self.dropped = 0
        """Lines that a listener was too slow for; set back by who has reported them."""

    def wait(self, seconds: float) -> None:
        """Return when somebody connects or says something, at the latest after so long."""
        select.select([self._listener, *([self._link] if self._link else [])], [], [], seconds)

    @property
    def is_heard(self) -> bool:
        """False when nobody is connected: what is said now is lost."""
        return self._link is not None

    def newcomer(self) -> bool:
        """Take in a connection that waits; True when there is a new one to be greeted."""
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:
            return False
        link.setblocking(False)
        self._disconnect()
        self._link = link
        return True

    def say(self, said: FromTap) -> None:
        """Hand one message to the listener, if there is one and it keeps up."""
        line = _encoder.encode(said) + b"\n"
        if self._link is None:
            return
        if len(self._out) + len(line) > OUT_BYTES_MAX:
            self.dropped += 1
            return
        self._out += line
        self._flush()

    def heard(self) -> Sequence[FromLink]:
        """Return what was said since the last call, in order."""
        self._flush()
        if self._link is None:
            return ()
        try:
            data = self._link.recv(READ_BYTES)
        except BlockingIOError:
            return ()
        except OSError:
            data = b""
        if not data:
            self._disconnect()
            return ()
        self._in += data
        return self._lines()

    def _lines(self) -> list[FromLink]:
        """Decode the complete lines; the first that is not of the contract ends the connection."""
        *lines, rest = self._in.split(b"\n")
        self._in = rest
        said: list[FromLink] = []
        try:
            for line in lines:
                if len(line) > LINE_BYTES_MAX:
                    raise msgspec.DecodeError("line too long")
                said.append(_decoder.decode(line))
        except UNREADABLE:
            self._disconnect()
        if len(self._in) > LINE_BYTES_MAX:
            self._disconnect()
        return said

    def _flush(self) -> None:
        if self._link is None or not self._out:
            return
        try:
            del self._out[: self._link.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._link:
            self._link.close()
        self._link = None
        self._in, self._out = bytearray(), bytearray()

    def close(self) -> None:
        """Say goodbye and take the socket away."""
        self._flush()
        self._disconnect()
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
