"""wire.mqtt against brokers that no program is: what they say ends the connection, nothing more."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from tests.edge.rig import Authority, until
from wire import mqtt, mqtt_stream
from wire.mqtt import Connection, Endpoint, MqttError, MqttRefused, client_tls

CONNACK = bytes.fromhex("20 03 00 00 00")
SUBSCRIBE, PUBLISH = 0x82, 0x32
Script = Callable[[bytes], bytes]
"""Returns what the broker says to a packet."""


class Strange:
    """A broker that says what a script says."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.script: Script = lambda packet: CONNACK if packet[0] == 0x10 else b""
        self.reads = True
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while self.reads:
                head = await reader.readexactly(1)
                size = shift = 0
                while True:
                    (byte,) = await reader.readexactly(1)
                    size |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                writer.write(self.script(head + await reader.readexactly(size)))
                await writer.drain()

    def say(self, data: bytes) -> None:
        """Say something that nobody asked for."""
        self._writers[-1].write(data)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Endpoint]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*self.authority.issue("localhost"))
        server = await asyncio.start_server(self.serve, "localhost", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        ours = client_tls(str(self.authority.root), *self.authority.issue("bus-1"))
        try:
            yield Endpoint("localhost", port, ours)
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()


@pytest.fixture
async def broker(tmp_path: Path) -> Strange:
    return Strange(tmp_path)


def answering(**said: bytes) -> Script:
    """A script by the kind of packet; identifiers are the packet's own (`$$`)."""

    def script(packet: bytes) -> bytes:
        if packet[0] == 0x10:
            return said.get("connect", CONNACK)
        if packet[0] == SUBSCRIBE:
            return said.get("subscribe", b"").replace(b"$$", packet[1:3])
        if packet[0] == PUBLISH:
            at = 3 + packet[2]
            return said.get("publish", b"").replace(b"$$", packet[at : at + 2])
        return b""

    return script


Act = Callable[[Connection], Coroutine[None, None, None]]
SUBSCRIBING: Act = lambda connection: connection.subscribe("a", "b")  # noqa: E731
PUBLISHING: Act = lambda connection: connection.publish("t", b"x")  # noqa: E731


@pytest.mark.parametrize(
    ("script", "act"),
    [
        (answering(subscribe=b"\x90\x04$$\x00\x01"), SUBSCRIBING),  # one reason for two topics
        (answering(subscribe=b"\x90\x06$$\x00\x01\x01\x01"), SUBSCRIBING),
        (answering(subscribe=b"\x40\x02$$"), SUBSCRIBING),  # a PUBACK
        (answering(publish=b"\x90\x04$$\x00\x01"), PUBLISHING),  # a SUBACK
        (answering(publish=b"\x62\x02$$"), PUBLISHING),  # a PUBREL
        (answering(publish=CONNACK), PUBLISHING),
    ],
)
async def test_an_answer_to_something_else_ends_the_connection(
    broker: Strange, script: Script, act: Act
) -> None:
    broker.script = script
    async with broker.listening() as endpoint:
        connection = Connection(endpoint)
        await connection.open()
        with pytest.raises(MqttError, match="disconnected") as error:
            await asyncio.wait_for(act(connection), 5)
        assert not isinstance(error.value, MqttRefused)
        assert connection.closed.is_set()
        await connection.close()


async def test_a_message_before_the_welcome_is_not_believed(broker: Strange) -> None:
    broker.script = answering(connect=bytes.fromhex("30 04 00 01 74 00") + CONNACK)
    async with broker.listening() as endpoint:
        with pytest.raises(MqttError, match="before the CONNACK"):
            await Connection(endpoint).open()


async def test_a_broker_that_keeps_nobody_alive_is_asked_all_the_same(broker: Strange) -> None:
    broker.script = answering(connect=bytes.fromhex("20 06 00 00 03 13 00 00"))
    async with broker.listening() as endpoint:
        connection = Connection(endpoint)
        await connection.open()
        assert connection._stream
        assert connection._stream.keepalive_s == mqtt.KEEPALIVE_S
        await connection.close()


async def test_a_broker_that_speaks_and_does_not_listen_is_left(
    broker: Strange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_stream, "OUT_BYTES_MAX", 2_000)
    message = bytes.fromhex("32 06 00 01 74 00 01 00")
    broker.script = answering(connect=CONNACK + message * 5_000)
    async with broker.listening() as endpoint:
        connection = Connection(endpoint, messages_max=1)
        with contextlib.suppress(MqttError):
            await connection.open()
        await until(connection.closed.is_set, "it is left")
        assert "does not listen" in connection.why_closed
        await connection.close()


async def test_what_nobody_waits_for_any_more_is_not_sent_and_stops_nothing(
    broker: Strange,
) -> None:
    allows_one = bytes.fromhex("20 0b 00 00 08 21 00 01 27 00 00 00 40")  # and 64 bytes
    held: list[bytes] = []

    def script(packet: bytes) -> bytes:
        if packet[0] == 0x10:
            return allows_one
        if packet[0] != PUBLISH:
            return b""
        held.append(packet)
        return b"" if len(held) == 1 else b"\x40\x02" + packet[4:6]

    broker.script = script
    async with broker.listening() as endpoint:
        connection = Connection(endpoint)
        await connection.open()
        first = connection.send("t", b"one")
        given_up = [connection.send("t", b"x" * 100), connection.send("t", b"two")]
        last = connection.send("t", b"three")
        for one in given_up:
            one.cancel()
        await until(lambda: held, "the first is there")
        broker.say(b"\x40\x02" + held[0][4:6])
        await asyncio.wait_for(asyncio.gather(first, last), 5)
        assert [packet[7:] for packet in held] == [b"one", b"three"]
        await connection.close()


async def test_closing_that_is_cancelled_leaves_nothing_open(broker: Strange) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with broker.listening() as endpoint:
        connection = Connection(endpoint)
        await connection.open()
        broker.reads = False  # the goodbye is not answered
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        assert connection.closed.is_set()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before, "all is closed")
