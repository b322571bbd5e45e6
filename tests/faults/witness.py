"""Who stands before the screen: writes down all that a reader said, until its process is gone."""

import contextlib
import select
import socket
import time
from pathlib import Path
from typing import Final

import msgspec

from edge.panel import SOCKET_NAME, FromTap, Pressed

PRESSES: Final = b"".join(
    msgspec.json.encode(Pressed(button="present-only")) + b"\n" for _ in range(8)
)
"""Pressed at once: the reader journals one after the other, a few ms of work."""
PRESS_EVERY_S: Final = 0.006
"""So the reader finds time to look for cards as well."""
LAST_WORDS_S: Final = 10.0
_decoder: Final[msgspec.json.Decoder[FromTap]] = msgspec.json.Decoder(FromTap)


class Witness:
    """A `link` that presses without pause and remembers; for one life of a card half."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._said = bytearray()
        self._pressed_s = 0.0

    def connect(self, state: Path) -> None:
        """Return when the reader listens."""
        end_s = time.monotonic() + LAST_WORDS_S
        while not self._connect(state):
            assert time.monotonic() < end_s, "the reader does not listen"
            time.sleep(0.001)

    def watch(self, state: Path, until_s: float, press: bool = True) -> None:
        """Listen and press until an instant of the monotonic clock, or until the reader is gone."""
        while (left_s := until_s - time.monotonic()) > 0:
            if self._socket is None and not self._connect(state):
                time.sleep(min(left_s, 0.001))
                continue
            assert self._socket
            now_s = time.monotonic()
            if press and now_s - self._pressed_s > PRESS_EVERY_S:
                self._pressed_s = now_s
                self._press()
            can_hear, _, _ = select.select([self._socket], [], [], min(left_s, PRESS_EVERY_S))
            if can_hear and not self._hear():
                return

    def _connect(self, state: Path) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(state / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return False
        connection.setblocking(False)
        self._socket = connection
        return True

    def _press(self) -> None:
        assert self._socket
        self._socket.setblocking(True)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(PRESSES)
        self._socket.setblocking(False)

    def _hear(self) -> bool:
        assert self._socket
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._said += data
        return bool(data)

    def ended(self) -> list[FromTap]:
        """Hear what is left after the reader's end; return all that it ever said."""
        if self._socket:
            self._socket.settimeout(LAST_WORDS_S)
            while self._hear():
                pass
            self._socket.close()
        self._socket = None
        return self.heard()

    def heard(self) -> list[FromTap]:
        """Return all that was said so far, the whole lines."""
        while self._socket and select.select([self._socket], [], [], 0)[0] and self._hear():
            pass
        lines = bytes(self._said).split(b"\n")[:-1]
        return [_decoder.decode(line) for line in lines]
