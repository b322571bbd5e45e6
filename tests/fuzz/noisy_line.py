"""A serial line between a host and a PN532 that damages what the chip says, when it is told to."""

import os
import random
import select
import termios
import tty
from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Final, Self

from hw.sim.pn532_frames import frame
from tests.fuzz.mutate import mutated

READ_BYTES: Final = 4096
HEAD_BYTES: Final = 5
"""Preamble, start code, length and its check sum; behind the data come a check sum and a zero."""


class NoisyLine:
    """Its own pty, joined to the one at `port`; served by a thread until closed."""

    def __init__(self, port: str, rng: random.Random) -> None:
        self._rng = rng
        self._harm_in = 0
        self._harm: Callable[[bytes], bytes] = self._garbled
        self._late = b""
        self._before = b""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path: Final = os.ttyname(self._slave)
        self._chip = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._chip)
        attributes = termios.tcgetattr(self._chip)
        attributes[4] = attributes[5] = termios.B115200
        termios.tcsetattr(self._chip, termios.TCSANOW, attributes)
        self._wake, self._woken = os.pipe()
        self._thread = Thread(target=self._serve, name="noisy line", daemon=True)
        self._thread.start()

    def harm_next(self, pieces: int, *, changes: bool) -> None:
        """Damage the nth piece that the chip sends from now on; 0: none.

        `changes`: its bytes, with check sums or without; otherwise it is lost, late or repeated.
        """
        changing = (self._garbled, self._forged)
        self._harm = self._rng.choice(
            changing if changes else (self._lost, self._hold, self._twice)
        )
        self._harm_in = pieces

    def _garbled(self, data: bytes) -> bytes:
        return mutated(data, self._rng, (self._before,))

    def _forged(self, data: bytes) -> bytes:
        """Another packet, in a frame that is right."""
        packet = mutated(data[HEAD_BYTES:-2], self._rng, (self._before[HEAD_BYTES:-2],))
        return frame(packet or b"\xd5")

    def _lost(self, data: bytes) -> bytes:
        return b""

    def _hold(self, data: bytes) -> bytes:
        """It comes after the host's next command."""
        self._late = data
        return b""

    def _twice(self, data: bytes) -> bytes:
        return data + data

    def _serve(self) -> None:
        while True:
            ready = select.select([self._master, self._chip, self._wake], [], [])[0]
            if self._wake in ready:
                return
            if self._chip in ready:
                self._from_chip(os.read(self._chip, READ_BYTES))
            if self._master in ready:
                os.write(self._chip, os.read(self._master, READ_BYTES))
                late, self._late = self._late, b""
                os.write(self._master, late)

    def _from_chip(self, data: bytes) -> None:
        self._harm_in -= 1
        if self._harm_in == 0:
            data, self._before = self._harm(data), data
        else:
            self._before = data
        os.write(self._master, data)

    def close(self) -> None:
        os.write(self._woken, b"\0")
        self._thread.join()
        for fd in (self._master, self._slave, self._chip, self._wake, self._woken):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
