"""A reader's mobile network: passes everything, falls silent when cut, goes on when mended."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hw.sim.network import HOST, Network, Relay

SOON_S = 0.2
DEADLINE_S = 5


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def relay(echo_port: int) -> AsyncIterator[tuple[Relay, int]]:
    relay = Relay(echo_port)
    yield relay, await relay.start()
    await relay.close()


async def say(
    words: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within_s: float
) -> bytes:
    writer.write(words)
    return await asyncio.wait_for(reader.readexactly(len(words)), within_s)


async def test_what_is_sent_comes_through_both_ways(relay: tuple[Relay, int]) -> None:
    connection = await asyncio.open_connection(HOST, relay[1])
    assert await say(b"x" * 200_000, *connection, DEADLINE_S) == b"x" * 200_000
    connection[1].close()


async def test_a_cut_is_silent_and_what_waited_comes_through_afterwards(
    relay: tuple[Relay, int],
) -> None:
    reader, writer = await asyncio.open_connection(HOST, relay[1])
    await say(b"before", reader, writer, DEADLINE_S)
    relay[0].cut()
    with pytest.raises(TimeoutError):
        await say(b"during", reader, writer, SOON_S)
    relay[0].mend()
    assert await asyncio.wait_for(reader.readexactly(6), DEADLINE_S) == b"during"
    writer.close()


async def test_a_new_connection_during_a_cut_leads_nowhere_until_it_is_mended(
    relay: tuple[Relay, int],
) -> None:
    relay[0].cut()
    reader, writer = await asyncio.open_connection(HOST, relay[1])
    with pytest.raises(TimeoutError):
        await say(b"hello", reader, writer, SOON_S)
    relay[0].mend()
    assert await asyncio.wait_for(reader.readexactly(5), DEADLINE_S) == b"hello"
    writer.close()


async def test_a_reader_sees_its_connection_closed_when_the_fleet_is_down() -> None:
    closed = await asyncio.start_server(lambda _r, _w: None, HOST, 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    relay = Relay(port)
    reader, writer = await asyncio.open_connection(HOST, await relay.start())
    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    writer.close()
    await relay.close()


async def test_closing_ends_connections_that_are_open(echo_port: int) -> None:
    relay = Relay(echo_port)
    reader, writer = await asyncio.open_connection(HOST, await relay.start())
    await say(b"open", reader, writer, DEADLINE_S)
    await relay.close()
    assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    writer.close()


async def test_two_cuts_at_once_end_with_the_later_one(echo_port: int) -> None:
    network = Network(echo_port, echo_port)
    await network.start()
    long = asyncio.create_task(network.cut_for(0.3))
    await network.cut_for(0.05)
    silent = [network.silent]
    await long
    silent.append(network.silent)
    assert silent == [True, False]
    assert network.cuts == 2
    await network.close()
