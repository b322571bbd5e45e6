"""A reader's mobile network: a TCP relay that can fall silent, as radio does.

A cut loses no connection at once and says nothing to anybody: bytes wait, new connections are
taken but lead nowhere. When the network is back, what waited goes on. So both ends must notice by
their own timeouts, as in a tunnel.
"""

import asyncio
import contextlib
from typing import Final

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 * 1024
CONNECTIONS_MAX: Final = 64
"""Of one reader at a time: it needs two. Beyond, a new one is closed."""


class Relay:
    """One way from a reader to one port of the fleet."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._through = asyncio.Event()
        self._through.set()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Begin to listen on loopback; return the port. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, HOST, port)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def silent(self) -> bool:
        """True while the network is cut."""
        return not self._through.is_set()

    def cut(self) -> None:
        """Let nothing through any more, in either direction."""
        self._through.clear()

    def mend(self) -> None:
        """Let everything through again, also what waited."""
        self._through.set()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._server:
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._open.add(task)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            pass  # closed by `close`: the stream server would report it as an error
        finally:
            self._open.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._through.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._to_port)
        except OSError:
            return  # nobody listens there: the reader sees its connection closed
        try:
            await self._both(
                asyncio.create_task(self._carry(reader, far_writer)),
                asyncio.create_task(self._carry(far_reader, writer)),
            )
        finally:
            far_writer.close()

    async def _both(self, *ways: asyncio.Task[None]) -> None:
        """Until one side hangs up; the other is told by closing."""
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._through.wait()
                writer.write(data)
                await writer.drain()
            await self._through.wait()  # a hang-up is not heard through a cut either


class Network:
    """What connects one reader with the fleet: its ways to the broker and to the devices port."""

    def __init__(self, broker_port: int, devices_port: int) -> None:
        self._relays = (Relay(broker_port), Relay(devices_port))
        self.broker_port = 0
        self.devices_port = 0
        self.cuts = 0
        self._silent_until_s = 0.0

    async def start(self) -> None:
        """Begin to listen; `broker_port` and `devices_port` are then those that the reader uses."""
        self.broker_port, self.devices_port = [await relay.start() for relay in self._relays]

    @property
    def silent(self) -> bool:
        """True while the network is cut."""
        return self._relays[0].silent

    async def cut_for(self, seconds: float) -> None:
        """Cut the network for so long; a second cut meanwhile ends with the later of both."""
        self.cuts += 1
        loop = asyncio.get_running_loop()
        self._silent_until_s = max(self._silent_until_s, loop.time() + seconds)
        for relay in self._relays:
            relay.cut()
        await asyncio.sleep(seconds)
        if loop.time() >= self._silent_until_s:
            self.mend()

    def mend(self) -> None:
        """Bring the network back at once."""
        self._silent_until_s = 0.0
        for relay in self._relays:
            relay.mend()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        for relay in self._relays:
            await relay.close()
