"""The PN532's host interface, a high-speed UART (HSU): pace, speed, sleep, and packets.

Upheld: bytes take as long as at the chip's speed, and are noise when the host has another one · an
answer to the host is never early, and waiting too long somewhere does not add up · of a frame that
was begun and not ended nothing is left after a silence.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from hw.sim.pn532_frames import Decoder
from hw.sim.serial_line import BITS_PER_BYTE, SerialLine

BAUD_AFTER_RESET: Final = 115200

# Out of power-down by the fifth rising edge on the line (UM0701-02, 7.2.11): a byte 55 has five of
# them, a byte 00 its stop bit's alone. Bytes until then are lost.
WAKING_EDGES: Final = 5
HSU_WAKES: Final = 0x10  # in WakeUpEnable of PowerDown

# A frame that was begun is forgotten after a silence of so many bytes: longer than any frame.
GAP_BYTES: Final = 300

PACKETS_MAX: Final = 16  # of the host that wait; it has one command under way

# Without pace nothing lasts longer, but what would last for ever.
UNPACED_US_MAX: Final = 200


class Interrupted(Exception):
    """What the chip does has ended: something else is to be done."""


class Uart:
    """One interface after power-on: asleep, at BAUD_AFTER_RESET. Belongs to the chip's thread.

    `obey` is called whenever the line was looked at; True: orders were carried out, so that
    whatever goes on is interrupted. `paced=False`: nothing takes time.
    """

    def __init__(self, line: SerialLine, obey: Callable[[], bool], *, paced: bool) -> None:
        self.baud = BAUD_AFTER_RESET
        self.next_baud: int | None = None
        """The speed that the host has asked for."""
        self.wakes: int | None = HSU_WAKES
        """WakeUpEnable while the chip is asleep; None while it is awake."""
        self.clock_s = time.monotonic()
        """The instant that the chip has come to."""
        self.packets: deque[tuple[bytes, float]] = deque(maxlen=PACKETS_MAX)
        """What the host has sent and nobody has handled: packet and instant of arrival."""
        self._line = line
        self._obey = obey
        self._paced = paced
        self._decoder = Decoder()
        self._edges = 0
        self._arrived_s = self.clock_s  # the last byte of the host

    def wait_us(self, us: float) -> None:
        """Let time pass for a command. Raises Interrupted as soon as the host sends a packet."""
        self._pass(us)
        while not self.packets and (left_s := self._left_s()) > 0:
            self.listen(left_s)
        if self.packets:
            raise Interrupted

    def send(self, data: bytes) -> None:
        """Send to the host; meanwhile it may send too, which is kept. Raises Interrupted."""
        self._pass(1e6 * self._line_s(data))
        while (left_s := self._left_s()) > 0:
            self.listen(left_s)
        if self._line.host_baud == self.baud:
            self._line.write(data)

    def next_packet(self) -> bytes | None:
        """Return the next packet, and be at the instant of its arrival; None after having waited.

        Raises Interrupted after orders.
        """
        if not self.packets:
            self.listen(math.inf)
            return None
        packet, self.clock_s = self.packets.popleft()
        return packet

    def _pass(self, us: float) -> None:
        """Set the clock forward, from where it was."""
        if not self._paced:
            self.clock_s = time.monotonic()
            us = us if math.isinf(us) else min(us, UNPACED_US_MAX)
        self.clock_s += us / 1e6

    def _left_s(self) -> float:
        return self.clock_s - time.monotonic()

    def listen(self, within_s: float) -> None:
        """Take in what the host sends. Raises Interrupted after orders."""
        data = self._line.read(None if math.isinf(within_s) else within_s)
        if self._obey():
            raise Interrupted
        if data:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        host_baud = self._line.host_baud
        if host_baud == self.next_baud:
            self.take_speed()
        if host_baud != self.baud:
            self._decoder.forget()
            return
        now_s = time.monotonic()
        if now_s - self._arrived_s > GAP_BYTES * BITS_PER_BYTE / self.baud:
            self._decoder.forget()
        self._arrived_s = max(now_s, self._arrived_s) + self._line_s(data)
        if self.wakes is not None:
            data = self._wake_up(data, self.wakes)
        packets = self._decoder.feed(data)
        self.packets.extend((packet, self._arrived_s) for packet in packets)

    def _line_s(self, data: bytes) -> float:
        return len(data) * BITS_PER_BYTE / self.baud if self._paced else 0.0

    def take_speed(self) -> None:
        """Go over to the speed that the host asked for: at its ACK, or when its line is there.

        Data and a change of speed are not ordered, and nfcpy throws its ACK away while it opens the
        line anew.
        """
        if self.next_baud:
            self.baud, self.next_baud = self.next_baud, None

    def sleep(self, wakes: int) -> None:
        """Go to sleep; `wakes` is WakeUpEnable."""
        self.wakes, self._edges = wakes, 0
        self._decoder.forget()

    def _wake_up(self, data: bytes, wakes: int) -> bytes:
        """Count edges; what is left of the data once the chip is awake."""
        if not wakes & HSU_WAKES:
            return b""
        for at, byte in enumerate(data, 1):
            bits = f"0{f'{byte:08b}'[::-1]}1"  # start bit, low bit first, stop bit
            self._edges += bits.count("01")
            if self._edges >= WAKING_EDGES:
                self.wakes = None
                return data[at:]
        return b""
