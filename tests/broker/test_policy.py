"""What the real broker lets whom do, with the configuration that provisioning writes."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.authority import Authority, pem
from provisioning.broker import PACKET_OVERHEAD_BYTES
from tests.real import HOST, Broker, RealTown, make_town, start_mosquitto
from wire.limits import PAYLOAD_BYTES_MAX
from wire.mqtt import Connection, Endpoint, MqttError, MqttRefused, Will, client_tls
from wire.mqtt_packets import PACKET_BYTES_MAX
from wire.topics import DOWN, UP, Leaf, ReaderName, every_reader, topic

BUS_1, BUS_2 = ReaderName("kazasu-shi", "bus-1"), ReaderName("kazasu-shi", "bus-2")
NOT_AUTHORISED = 135
DEADLINE_S = 5.0


@contextlib.asynccontextmanager
async def opened(connection: Connection) -> AsyncIterator[Connection]:
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


async def next_message(connection: Connection) -> tuple[str, bytes]:
    message = await asyncio.wait_for(connection.messages.get(), DEADLINE_S)
    connection.acknowledge(message)
    return message.topic, message.payload


async def refused(connection: Connection, where: str) -> int:
    with pytest.raises(MqttRefused) as refusal:
        await connection.publish(where, b"x")
    return refusal.value.reason


def certified(
    folder: Path, by: Authority, name: str, key: ec.EllipticCurvePrivateKey | None = None
) -> tuple[Path, Path]:
    """A client certificate that this authority should never have signed, as two PEM files."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    at = datetime.datetime.now(datetime.UTC)
    certificate, private = folder / "odd.pem", folder / "odd.key"
    certificate.write_bytes(pem(by.issue_client(name, key.public_key(), at)))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


def authority(folder: Path, stem: str) -> Authority:
    return Authority.at(folder, stem, "any", datetime.datetime.now(datetime.UTC))


# --- a reader and its own topics ------------------------------------------------------------------


@pytest.mark.parametrize("leaf", UP)
async def test_what_a_reader_says_on_its_own_leaf_reaches_the_fleet(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with opened(town.fleet(broker)) as fleet, opened(town.reader("bus-1", broker)) as bus:
        await fleet.subscribe(every_reader(leaf))
        await bus.publish(topic(BUS_1, leaf), b"said")
        assert await next_message(fleet) == (topic(BUS_1, leaf), b"said")


@pytest.mark.parametrize("leaf", DOWN)
async def test_what_the_fleet_says_to_a_reader_reaches_it(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with opened(town.fleet(broker)) as fleet, opened(town.reader("bus-1", broker)) as bus:
        await bus.subscribe(topic(BUS_1, leaf))
        await fleet.publish(topic(BUS_1, leaf), b"said")
        assert await next_message(bus) == (topic(BUS_1, leaf), b"said")


@pytest.mark.parametrize("leaf", [*UP, *DOWN])
async def test_a_reader_writes_no_leaf_of_another_reader(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with opened(town.reader("bus-1", broker)) as bus:
        assert await refused(bus, topic(BUS_2, leaf)) == NOT_AUTHORISED


@pytest.mark.parametrize("leaf", DOWN)
async def test_a_reader_does_not_speak_for_the_fleet_to_itself(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with opened(town.reader("bus-1", broker)) as bus:
        assert await refused(bus, topic(BUS_1, leaf)) == NOT_AUTHORISED


@pytest.mark.parametrize(
    "where", ["kazasu/1/kazasu-shi/bus-1/new-leaf", "kazasu/1/kazasu-shi/bus-1", "$SYS/x", "other"]
)
async def test_a_topic_that_no_list_names_is_closed(
    town: RealTown, broker: Broker, where: str
) -> None:
    async with opened(town.reader("bus-1", broker)) as bus:
        assert await refused(bus, where) == NOT_AUTHORISED


@pytest.mark.parametrize("leaf", [*UP, *DOWN])
async def test_a_reader_reads_nothing_of_another_reader_by_whatever_subscription(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with (
        opened(town.fleet(broker)) as fleet,
        opened(town.reader("bus-2", broker)) as other,
        opened(town.reader("bus-1", broker)) as bus,
    ):
        # mosquitto grants any subscription and checks each delivery, so what counts is what comes.
        await bus.subscribe(topic(BUS_2, leaf), every_reader(leaf), "#", topic(BUS_1, Leaf.ACK))
        speaker = other if leaf in UP else fleet
        await speaker.publish(topic(BUS_2, leaf), b"for others")
        await fleet.publish(topic(BUS_1, Leaf.ACK), b"for you")
        assert await next_message(bus) == (topic(BUS_1, Leaf.ACK), b"for you")


# --- names and certificates -----------------------------------------------------------------------


@pytest.mark.parametrize("leaf", [*UP, *DOWN])
async def test_a_certificate_with_a_name_of_one_level_may_do_nothing(
    town: RealTown, broker: Broker, tmp_path: Path, leaf: Leaf
) -> None:
    by = authority(town.folder / "authority", "root")
    files = certified(tmp_path, by, "bus-1")
    async with (
        opened(town.client(broker.readers_port, *files)) as odd,
        opened(town.fleet(broker)) as fleet,
    ):
        assert await refused(odd, f"kazasu/1/bus-1/{leaf}") == NOT_AUTHORISED
        assert await refused(odd, topic(BUS_1, leaf)) == NOT_AUTHORISED
        await odd.subscribe("#")
        if leaf in DOWN:
            await fleet.publish(topic(BUS_1, leaf), b"not for you")
        # By the time that this is answered, whatever the broker had for this client is here.
        assert await refused(odd, f"kazasu/1/bus-1/{leaf}") == NOT_AUTHORISED
        assert odd.messages.empty()


@pytest.mark.parametrize("name", ["+/+", "kazasu-shi/+", "#"])
async def test_a_certificate_with_a_wildcard_for_a_name_may_do_nothing(
    town: RealTown, broker: Broker, tmp_path: Path, name: str
) -> None:
    by = authority(town.folder / "authority", "root")
    files = certified(tmp_path, by, name)
    with contextlib.suppress(MqttRefused):
        async with opened(town.client(broker.readers_port, *files)) as odd:
            assert await refused(odd, topic(BUS_1, Leaf.ENTRIES)) == NOT_AUTHORISED


async def test_no_certificate_no_session(town: RealTown, broker: Broker) -> None:
    root = town.folder / "authority" / "root.pem"
    tls = ssl.create_default_context(cafile=str(root))
    for port in (broker.readers_port, broker.fleet_port):
        with pytest.raises(MqttError):
            await Connection(Endpoint(HOST, port, tls)).open()


async def test_a_certificate_of_another_root_opens_no_session(
    town: RealTown, broker: Broker, tmp_path: Path
) -> None:
    stranger = authority(tmp_path, "stranger")
    for name, port in ((str(BUS_1), broker.readers_port), ("fleet", broker.fleet_port)):
        files = certified(tmp_path, stranger, name)
        with pytest.raises(MqttError):
            await town.client(port, *files).open()


async def test_a_servers_certificate_is_no_readers(town: RealTown, broker: Broker) -> None:
    home = town.folder / "server"
    with pytest.raises(MqttError):
        await town.client(broker.readers_port, home / "server.pem", home / "server.key").open()


async def test_a_client_that_trusts_another_root_does_not_talk_to_this_broker(
    town: RealTown, broker: Broker
) -> None:
    home = town.folder / "readers" / "bus-1"
    operators = town.folder / "authority" / "operators.pem"
    tls = client_tls(str(operators), str(home / "reader.pem"), str(home / "reader.key"))
    with pytest.raises(MqttError, match="certificate"):
        await Connection(Endpoint(HOST, broker.readers_port, tls)).open()


# --- client ids -----------------------------------------------------------------------------------


async def test_no_reader_throws_another_off_by_its_client_id(
    town: RealTown, broker: Broker
) -> None:
    async with opened(town.reader("bus-1", broker)) as bus:
        async with opened(town.reader("bus-2", broker, client_id=str(BUS_1))) as other:
            await other.publish(topic(BUS_2, Leaf.STATUS), b"I am here")
            await bus.publish(topic(BUS_1, Leaf.STATUS), b"I am still here")
        assert not bus.closed.is_set()


async def test_a_reader_cannot_open_a_session_at_the_fleets_listener(
    town: RealTown, broker: Broker
) -> None:
    home = town.folder / "readers" / "bus-1"
    with pytest.raises(MqttError):
        await town.client(
            broker.fleet_port, home / "reader.pem", home / "reader.key", client_id="ingest-1"
        ).open()


async def test_the_fleet_can_take_over_the_session_of_a_reader(
    town: RealTown, broker: Broker
) -> None:
    bus = town.reader("bus-1", broker)
    await bus.open()
    async with opened(town.fleet(broker, client_id=str(BUS_1))):
        await asyncio.wait_for(bus.closed.wait(), DEADLINE_S)
    await bus.close()


# --- the fleet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", UP)
async def test_the_fleet_does_not_speak_for_readers(
    town: RealTown, broker: Broker, leaf: Leaf
) -> None:
    async with opened(town.fleet(broker)) as fleet:
        assert await refused(fleet, topic(BUS_1, leaf)) == NOT_AUTHORISED


async def test_the_fleet_reads_only_what_readers_say_and_one_figure_of_the_broker(
    town: RealTown, broker: Broker
) -> None:
    async with opened(town.fleet(broker)) as fleet, opened(town.reader("bus-1", broker)) as bus:
        await fleet.subscribe("#", "$SYS/#")
        for leaf in DOWN:
            await fleet.publish(topic(BUS_1, leaf), b"down")
        up = topic(BUS_1, Leaf.ENTRIES)
        await bus.publish(up, b"up")
        heard = [await next_message(fleet) for _ in range(2)]
        assert sorted(heard) == [("$SYS/broker/publish/messages/dropped", b"0"), (up, b"up")]


async def test_another_name_of_the_operators_root_may_do_nothing(
    town: RealTown, broker: Broker, tmp_path: Path
) -> None:
    by = authority(town.folder / "authority", "operators")
    for name in ("fleet-2", "kazasu-shi/bus-1"):
        files = certified(tmp_path, by, name)
        async with opened(town.client(broker.fleet_port, *files)) as odd:
            assert await refused(odd, topic(BUS_1, Leaf.ACK)) == NOT_AUTHORISED
            assert await refused(odd, topic(BUS_1, Leaf.ENTRIES)) == NOT_AUTHORISED


async def test_workers_of_the_fleet_share_a_subscription(town: RealTown, broker: Broker) -> None:
    async with opened(town.fleet(broker)) as one, opened(town.fleet(broker)) as two:
        for worker in (one, two):
            await worker.subscribe(f"$share/ingest/{every_reader(Leaf.ENTRIES)}")
        async with opened(town.reader("bus-1", broker)) as bus:
            for number in range(4):
                await bus.publish(topic(BUS_1, Leaf.ENTRIES), bytes([number]))
        got = [await next_message(worker) for worker in (one, two) for _ in range(2)]
        assert sorted(payload for _, payload in got) == [bytes([n]) for n in range(4)]


# --- last will ------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def severable(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A relay to a port of the broker; setting the event breaks what goes through it."""
    cut = asyncio.Event()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        finally:
            sink.transport.abort()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, port)
        both = [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))]
        pumps.update(both)
        await cut.wait()
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        cut.set()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*pumps, return_exceptions=True)


async def test_the_last_will_of_a_reader_that_is_cut_off_reaches_the_fleet(
    town: RealTown, broker: Broker
) -> None:
    home = town.folder / "readers" / "bus-1"
    will = Will(topic(BUS_1, Leaf.STATUS), b"gone")
    async with (
        opened(town.fleet(broker)) as fleet,
        severable(broker.readers_port) as (port, cut),
    ):
        bus = town.client(port, home / "reader.pem", home / "reader.key", will=will)
        await bus.open()
        await fleet.subscribe(every_reader(Leaf.STATUS))
        while not fleet.messages.empty():
            await next_message(fleet)
        cut.set()
        while (said := await next_message(fleet)) != (topic(BUS_1, Leaf.STATUS), b"gone"):
            assert said[1] != b"gone"
        await bus.close()


async def test_a_last_will_on_the_topic_of_another_reader_is_never_said(
    town: RealTown, broker: Broker
) -> None:
    home = town.folder / "readers" / "bus-1"
    will = Will(topic(BUS_2, Leaf.STATUS), b"bus-2 is gone, says bus-1")
    async with (
        opened(town.fleet(broker)) as fleet,
        severable(broker.readers_port) as (port, cut),
        opened(town.reader("bus-2", broker)) as other,
    ):
        await fleet.subscribe(every_reader(Leaf.STATUS))
        liar = town.client(port, home / "reader.pem", home / "reader.key", will=will)
        with contextlib.suppress(MqttRefused):
            await liar.open()
        cut.set()
        await asyncio.wait_for(liar.closed.wait(), DEADLINE_S)
        # The broker has let go of the liar when its name can be used again.
        async with opened(town.reader("bus-1", broker)):
            await other.publish(topic(BUS_2, Leaf.STATUS), b"here")
            while (said := await next_message(fleet)) != (topic(BUS_2, Leaf.STATUS), b"here"):
                assert b"says bus-1" not in said[1]
        await liar.close()


# --- limits ---------------------------------------------------------------------------------------


async def test_the_largest_payload_of_the_contract_passes(town: RealTown, broker: Broker) -> None:
    largest = bytes(PAYLOAD_BYTES_MAX)
    async with opened(town.fleet(broker)) as fleet, opened(town.reader("bus-1", broker)) as bus:
        await fleet.subscribe(every_reader(Leaf.ENTRIES))
        await bus.publish(topic(BUS_1, Leaf.ENTRIES), largest)
        assert await next_message(fleet) == (topic(BUS_1, Leaf.ENTRIES), largest)


async def test_a_packet_over_the_limit_ends_the_connection_and_reaches_nobody(
    town: RealTown, broker: Broker
) -> None:
    async with opened(town.fleet(broker)) as fleet:
        await fleet.subscribe(every_reader(Leaf.ENTRIES))
        too_much = bytes(PAYLOAD_BYTES_MAX + PACKET_OVERHEAD_BYTES)
        bus = town.reader("bus-1", broker)
        await bus.open()
        with pytest.raises(MqttRefused, match="Packet too large"):  # the broker has told its limit
            await bus.publish(topic(BUS_1, Leaf.ENTRIES), too_much)
        bus._packet_bytes_max = PACKET_BYTES_MAX  # as one who does not care
        with pytest.raises(MqttError, match="disconnected"):
            await bus.publish(topic(BUS_1, Leaf.ENTRIES), too_much)
        assert bus.closed.is_set()
        await bus.close()
        async with opened(town.reader("bus-1", broker)) as bus:
            await bus.publish(topic(BUS_1, Leaf.ENTRIES), b"small")
        assert await next_message(fleet) == (topic(BUS_1, Leaf.ENTRIES), b"small")


def test_what_waits_for_an_absent_reader_of_messages_is_bounded_twice(town: RealTown) -> None:
    lines = (town.folder / "broker" / "mosquitto.conf").read_text("utf-8").splitlines()
    limits = {key: int(value) for key, value in (line.split() for line in lines if "max_q" in line)}
    assert limits["max_queued_messages"] > 0
    assert limits["max_queued_bytes"] > PAYLOAD_BYTES_MAX


async def test_nothing_is_remembered_over_a_restart_of_the_broker(tmp_path: Path) -> None:
    town = make_town(tmp_path / "local", "bus-1")
    with start_mosquitto(town.folder / "broker") as broker:
        async with opened(town.reader("bus-1", broker)) as bus:
            await bus.publish(topic(BUS_1, Leaf.STATUS), b"before", retain=True)
    with start_mosquitto(town.folder / "broker") as broker:
        async with opened(town.fleet(broker)) as fleet, opened(town.reader("bus-1", broker)) as bus:
            await fleet.subscribe(every_reader(Leaf.STATUS))
            await bus.publish(topic(BUS_1, Leaf.STATUS), b"after", retain=True)
            assert await next_message(fleet) == (topic(BUS_1, Leaf.STATUS), b"after")
