"""A broker that loses, repeats, delays and reorders: a proxy before mosquitto, at MQTT level.

It ends the reader's TLS with a certificate of the same authority and opens its own to mosquitto
with the reader's certificate, so both ends meet what they would meet. Of the PUBLISH packets with
QoS 1 in both directions a seeded dice loses some, sends some twice, and holds some back until later
ones have passed. What it loses from a client it acknowledges itself, as the stock mosquitto was
measured to do for a subscriber that was too slow. All other packets pass as they are.

Packets: MQTT 5.0, 2.1.4 (remaining length) and 3.3 (PUBLISH), 3.4 (PUBACK).
"""

import asyncio
import contextlib
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.edge.rig import Authority, Broker

CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
HELD_S: Final = (0.02, 0.3)
"""How long a packet is held back; those behind it overtake it."""


@dataclass
class Odds:
    """How often a PUBLISH meets each fate, of 1; the rest passes."""

    lost: float = 0.0
    twice: float = 0.0
    held: float = 0.0


@dataclass
class ChaosBroker:
    """Listens on a port of its own for readers. `fates` counts what was done."""

    broker: Broker
    odds: Odds
    seed: int
    reader: str
    fates: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._tasks: set[asyncio.Task[None]] = set()
        authority = self.broker.authority
        self._inside = ssl.create_default_context(cafile=str(authority.root))
        self._inside.load_cert_chain(*_issued(authority, self.reader))
        self._outside = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=str(authority.root)
        )
        self._outside.load_cert_chain(*_issued(authority, "localhost"))
        self._outside.verify_mode = ssl.CERT_REQUIRED

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._serve, "localhost", self.port, ssl=self._outside
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(
            "localhost", self.broker.readers_port, ssl=self._inside
        )
        up = _Way(self, "up", reader, inner_writer, writer)
        down = _Way(self, "down", inner_reader, writer, inner_writer)
        task = asyncio.ensure_future(_first_of(up.run(), down.run()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for one in (writer, inner_writer):
            one.close()

    def fate(self) -> str:
        """Throw the dice."""
        drawn = self._rng.random()
        for name in ("lost", "twice", "held"):
            drawn -= getattr(self.odds, name)
            if drawn < 0:
                return name
        return "passed"

    def hold_s(self) -> float:
        """Say how long a packet is held back."""
        return self._rng.uniform(*HELD_S)


@dataclass
class _Way:
    """One direction of one connection."""

    chaos: ChaosBroker
    name: str
    source: asyncio.StreamReader
    target: asyncio.StreamWriter
    back: asyncio.StreamWriter

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                packet = await read_packet(self.source)
                if packet[0] >> 4 != PUBLISH or not packet[0] & 0x06:
                    self._send(packet)
                    continue
                fate = self.chaos.fate()
                self.chaos.fates[f"{self.name} {fate}"] += 1
                if fate == "lost":
                    self.back.write(puback_of(packet))
                elif fate == "held":
                    loop.call_later(self.chaos.hold_s(), self._send, packet)
                else:
                    self._send(packet)
                    if fate == "twice":
                        self._send_again(packet)

    def _send(self, packet: bytes) -> None:
        if not self.target.is_closing():
            self.target.write(packet)

    def _send_again(self, packet: bytes) -> None:
        """Send a PUBLISH once more, as a broker does that did not get the PUBACK (DUP)."""
        self._send(bytes((packet[0] | 0x08,)) + packet[1:])


def _issued(authority: Authority, name: str) -> tuple[Path, Path]:
    """Return the files of a certificate that was issued before."""
    stem = authority.folder / name.replace("/", "-")
    return stem.with_suffix(".pem"), stem.with_suffix(".key")


async def _first_of(*ways: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_packet(source: asyncio.StreamReader) -> bytes:
    """Return one whole packet."""
    head = await source.readexactly(2)
    while head[-1] & 0x80:
        head += await source.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    return head + await source.readexactly(length)


def packet_id(packet: bytes) -> bytes:
    """Return a PUBLISH's packet identifier, which stands behind its topic."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    at += 1
    return packet[at + 2 + int.from_bytes(packet[at : at + 2]) :][:2]


def puback_of(packet: bytes) -> bytes:
    """Return the PUBACK (reason: success) of a PUBLISH."""
    return bytes((PUBACK << 4, 2)) + packet_id(packet)


@contextlib.asynccontextmanager
async def chaos_broker(
    broker: Broker, odds: Odds, seed: int, reader: str
) -> AsyncIterator[ChaosBroker]:
    """Run one until the block ends."""
    chaos = ChaosBroker(broker, odds, seed, reader)
    await chaos.open()
    try:
        yield chaos
    finally:
        await chaos.close()
