"""The bytes of one MQTT connection, for asyncio: packets over TLS, both ways, and the keep-alive.

Rules: what is said before the event loop comes round is written together; what waits to be written
has a limit; when either side has been quiet for too long the broker is asked whether it is there,
and one that does not answer is left. An end is told once. What packets mean stands in `wire.mqtt`.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from wire import mqtt_packets as packets
from wire.limits import PAYLOAD_BYTES_MAX
from wire.mqtt_packets import KEEP_ALIVE_TIMEOUT, Inbox, Packet, PingResp, ProtocolError

TICK_S: Final = 1.0
"""How often the keep-alive is looked at: often enough for its 20 s."""
IN_FLIGHT_MAX: Final = 100
"""Publishes waiting for the broker's answer at one time, or fewer where it says so; the rest wait
here: at most what the caller has sent and not awaited."""
OUT_BYTES_MAX: Final = (IN_FLIGHT_MAX + 2) * 2 * PAYLOAD_BYTES_MAX
"""Waiting to be written: all that may be in flight at once, and its answers. A broker that makes it
more asks and does not listen."""
READ_BYTES: Final = 64 * 1024
"""Read at one time: TLS hands out at most one record of 16 KiB."""


class Stream:
    """A socket that has been dialled, read and written from now until `end`."""

    def __init__(
        self,
        sock: ssl.SSLSocket,
        keepalive_s: float,
        take: Callable[[Packet], None],
        ended: Callable[[str], None],
    ) -> None:
        """`take` gets each packet but PINGRESP and may raise ProtocolError; `ended` is told why."""
        self.keepalive_s = keepalive_s
        self._socket = sock
        self._take = take
        self._ended = ended
        self._inbox = Inbox(2 * PAYLOAD_BYTES_MAX)
        self._out = bytearray()
        """At most OUT_BYTES_MAX."""
        self._writing = False
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._said_s = self._heard_s = self._loop.time()
        self._asked_s: float | None = None
        """Since when a PINGREQ waits for its answer."""
        self._loop.add_reader(sock, self._readable)
        self._ticker = self._loop.create_task(self._tick())

    @property
    def packet_bytes_max(self) -> int:
        """Longest packet that is read."""
        return self._inbox.packet_bytes_max

    def say(self, packet: bytes) -> None:
        """Write a packet with all that is said before the event loop comes round to it."""
        if self._over.is_set():
            return
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out += packet
        if len(self._out) > OUT_BYTES_MAX:
            self.end("disconnected: the broker asks and does not listen")

    def flush(self) -> None:
        """Write what can be written now; the rest when there is room."""
        if self._over.is_set():
            return
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
                self._said_s = self._loop.time()
        except ssl.SSLWantReadError:
            return  # TLS itself wants to hear first: `_readable` goes on
        except ssl.SSLWantWriteError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket, self.flush)
            return
        except OSError as error:
            self.end(f"disconnected: {error}")
            return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

    def end(self, why: str) -> None:
        """Close the socket at once; what was not written is lost."""
        if self._over.is_set():
            return
        self._over.set()
        self._out.clear()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._ticker.cancel()
        self._ended(why)

    def _readable(self) -> None:
        """Read on while TLS holds decrypted bytes, which no selector would tell of."""
        if self._out and not self._writing:
            self.flush()
        try:
            while not self._over.is_set():
                data = self._socket.recv(READ_BYTES)
                if not data:
                    self.end("disconnected: the broker closed the connection")
                    return
                self._heard_s = self._loop.time()
                for packet in self._inbox.feed(data):
                    if isinstance(packet, PingResp):
                        self._asked_s = None
                    else:
                        self._take(packet)
                    if self._over.is_set():
                        return
                if not self._socket.pending():
                    return
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ProtocolError) as error:
            self.end(f"disconnected: {error}")

    async def _tick(self) -> None:
        """Ask whether the broker is there when it has been quiet on either side for too long."""
        while not self._over.is_set():
            await asyncio.sleep(TICK_S)
            now_s = self._loop.time()
            if self._asked_s is None:
                if now_s - min(self._said_s, self._heard_s) >= self.keepalive_s:
                    self._asked_s = now_s
                    self.say(packets.PINGREQ)
            elif now_s - self._asked_s >= self.keepalive_s:
                self.end(f"disconnected: {KEEP_ALIVE_TIMEOUT}")
