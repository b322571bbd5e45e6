"""wire.mqtt against a real mosquitto with mutual TLS."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.edge.rig import Authority, Broker, free_port, running_broker, silent_listener, until
from wire import mqtt, mqtt_stream
from wire.limits import PAYLOAD_BYTES_MAX
from wire.mqtt import Connection, Endpoint, MqttError, MqttRefused, Will, client_tls
from wire.topics import Leaf, ReaderName, every_reader, topic

BUS, OTHER = ReaderName("kazasu-shi", "bus-1"), ReaderName("kazasu-shi", "bus-2")
NOT_AUTHORISED, TOO_LARGE = 135, 149


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(tmp_path) as broker:
        yield broker


@pytest.fixture
async def reader(broker: Broker) -> AsyncIterator[Connection]:
    connection = Connection(broker.reader(str(BUS)))
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
async def fleet(broker: Broker) -> AsyncIterator[Connection]:
    connection = Connection(broker.fleet())
    await connection.open()
    yield connection
    await connection.close()


async def arrived(connection: Connection) -> mqtt.Message:
    return await asyncio.wait_for(connection.messages.get(), 5)


async def test_what_is_published_arrives(reader: Connection, fleet: Connection) -> None:
    await fleet.subscribe(every_reader(Leaf.ENTRIES), every_reader(Leaf.STATUS))
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"one")
    message = await arrived(fleet)
    assert (message.topic, message.payload) == ("kazasu/1/kazasu-shi/bus-1/entries", b"one")
    fleet.acknowledge(message)


@pytest.mark.parametrize("size", [16_384, 16_385, 50_000, PAYLOAD_BYTES_MAX])
async def test_a_message_of_many_tls_records_arrives_whole_in_both_directions(
    reader: Connection, fleet: Connection, size: int
) -> None:
    payload = os.urandom(size)
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    await reader.subscribe(topic(BUS, Leaf.ACK))
    await reader.publish(topic(BUS, Leaf.ENTRIES), payload)
    assert (await arrived(fleet)).payload == payload
    await fleet.publish(topic(BUS, Leaf.ACK), payload)
    assert (await arrived(reader)).payload == payload


async def test_a_burst_of_messages_in_one_tls_record_is_read_without_waiting_for_more(
    reader: Connection, fleet: Connection
) -> None:
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    bodies = [b"%d" % number for number in range(200)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    publishing = [reader.publish(topic(BUS, Leaf.ENTRIES), body) for body in bodies]
    sent = asyncio.gather(*publishing)
    got = []
    for _ in bodies:
        message = await arrived(fleet)
        fleet.acknowledge(message)
        got.append(message.payload)
    await sent
    assert got == bodies
    assert loop.time() - began < 2.0  # Nagle's 40 ms for each would be 8 s


async def test_a_publish_to_another_readers_topic_is_refused_by_reason_code(
    reader: Connection,
) -> None:
    with pytest.raises(MqttRefused) as refused:
        await reader.publish(topic(OTHER, Leaf.ENTRIES), b"x")
    assert refused.value.reason == NOT_AUTHORISED
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"x")  # the connection lives on


async def test_a_subscription_to_another_readers_topic_brings_nothing(
    reader: Connection, fleet: Connection
) -> None:
    with contextlib.suppress(MqttRefused):  # a broker may refuse now, or deliver nothing
        await reader.subscribe(topic(OTHER, Leaf.ACK))
    await reader.subscribe(topic(BUS, Leaf.ACK))
    await fleet.publish(topic(OTHER, Leaf.ACK), b"not yours")
    await fleet.publish(topic(BUS, Leaf.ACK), b"yours")
    assert (await arrived(reader)).payload == b"yours"
    assert reader.messages.empty()


async def test_a_certificate_of_another_root_is_refused(broker: Broker, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path / "foreign", "foreign").issue(str(BUS))
    tls = client_tls(str(broker.authority.root), certificate, key)
    with pytest.raises(MqttError):
        await Connection(Endpoint("localhost", broker.readers_port, tls)).open()


async def test_a_broker_of_another_root_is_not_trusted(broker: Broker, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign", "foreign")
    tls = client_tls(str(foreign.root), *foreign.issue(str(BUS)))
    with pytest.raises(MqttError, match="CERTIFICATE_VERIFY_FAILED"):
        await Connection(Endpoint("localhost", broker.readers_port, tls)).open()


async def test_a_broker_under_another_name_is_not_trusted(broker: Broker) -> None:
    endpoint = Endpoint("127.0.0.1", broker.readers_port, broker.reader(str(BUS)).tls)
    with pytest.raises(MqttError, match="IP address mismatch"):
        await Connection(endpoint).open()


async def test_nobody_there_is_an_error_that_can_be_retried(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = client_tls(str(authority.root), *authority.issue(str(BUS)))
    with pytest.raises(MqttError, match="Errno 111"):
        await Connection(Endpoint("localhost", free_port(), tls)).open()


async def test_a_peer_that_never_answers_is_left_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.2)
    authority = Authority(tmp_path)
    tls = client_tls(str(authority.root), *authority.issue(str(BUS)))
    with silent_listener() as port, pytest.raises(MqttError, match="no answer within"):
        await Connection(Endpoint("localhost", port, tls)).open()


async def test_opening_can_be_cancelled_at_once_and_leaves_nothing_open(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = client_tls(str(authority.root), *authority.issue(str(BUS)))
    before = len(os.listdir("/proc/self/fd"))
    with silent_listener() as port:
        connection = Connection(Endpoint("localhost", port, tls))
        opening = asyncio.create_task(connection.open())
        await until(lambda: len(os.listdir("/proc/self/fd")) > before + 1, "the socket is there")
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_killed_broker_ends_the_connection_and_whoever_waits(
    broker: Broker, reader: Connection
) -> None:
    assert broker.process
    broker.process.send_signal(signal.SIGSTOP)
    waiting = asyncio.create_task(reader.publish(topic(BUS, Leaf.ENTRIES), b"x" * 60_000))
    await asyncio.sleep(0)
    broker.stop(signal.SIGKILL)
    with pytest.raises(MqttError):
        await asyncio.wait_for(waiting, 5)
    assert reader.closed.is_set()
    with pytest.raises(MqttError):
        await reader.publish(topic(BUS, Leaf.ENTRIES), b"y")


async def test_a_stuck_broker_is_left_when_it_does_not_answer_a_publish(
    broker: Broker, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "ANSWER_TIMEOUT_S", 0.2)
    assert broker.process
    broker.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(MqttError, match="no answer within"):
            await reader.publish(topic(BUS, Leaf.ENTRIES), b"x")
        assert reader.closed.is_set()
    finally:
        broker.process.send_signal(signal.SIGCONT)


async def test_a_stuck_broker_is_noticed_by_the_keep_alive(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "KEEPALIVE_S", 1)
    monkeypatch.setattr(mqtt_stream, "TICK_S", 0.1)
    reader = Connection(broker.reader(str(BUS)))
    await reader.open()
    assert broker.process
    broker.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.wait_for(reader.closed.wait(), 5)
    finally:
        broker.process.send_signal(signal.SIGCONT)
        await reader.close()
    assert "Keep alive timeout" in reader.why_closed


async def test_an_idle_connection_is_kept_alive(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "KEEPALIVE_S", 1)
    monkeypatch.setattr(mqtt_stream, "TICK_S", 0.1)
    reader = Connection(broker.reader(str(BUS)))
    await reader.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.closed.wait(), 2.5)
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"x")
    await reader.close()


async def test_a_second_connection_of_the_same_reader_takes_over(
    broker: Broker, reader: Connection
) -> None:
    second = Connection(broker.reader(str(BUS)))
    await second.open()
    await asyncio.wait_for(reader.closed.wait(), 5)  # mosquitto 2.0.11 gives no reason
    await second.publish(topic(BUS, Leaf.ENTRIES), b"x")
    await second.close()


async def test_the_will_is_sent_when_the_process_dies_and_not_after_a_goodbye(
    broker: Broker, fleet: Connection, tmp_path: Path
) -> None:
    await fleet.subscribe(every_reader(Leaf.STATUS))
    polite = Connection(broker.reader(str(OTHER)), Will(topic(OTHER, Leaf.STATUS), b"never"))
    await polite.open()
    await polite.close()
    assert polite.why_closed == "disconnected: Normal disconnection"
    rude = Connection(broker.reader(str(BUS)), Will(topic(BUS, Leaf.STATUS), b"gone"))
    await rude.open()
    assert rude._stream
    rude._stream._socket.shutdown(socket.SHUT_RDWR)
    message = await arrived(fleet)
    assert (message.topic, message.payload) == (topic(BUS, Leaf.STATUS), b"gone")
    await rude.close()
    late = Connection(broker.fleet())
    await late.open()
    await late.subscribe(every_reader(Leaf.STATUS))
    assert (await arrived(late)).payload == b"gone"  # retained
    await late.close()


async def test_receive_maximum_stops_the_broker_until_something_is_acknowledged(
    broker: Broker, reader: Connection
) -> None:
    fleet = Connection(broker.fleet(), receive_maximum=3)
    await fleet.open()
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    for number in range(10):
        await reader.publish(topic(BUS, Leaf.ENTRIES), b"%d" % number)
    await until(lambda: fleet.messages.qsize() == 3, "three are handed over")
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"10")  # a round trip later, still three
    assert fleet.messages.qsize() == 3
    got = []
    for _ in range(11):
        message = await arrived(fleet)
        got.append(int(message.payload))
        fleet.acknowledge(message)
    assert got == list(range(11))
    await fleet.close()


async def test_nothing_is_kept_for_an_absent_subscriber(broker: Broker, reader: Connection) -> None:
    fleet = Connection(broker.fleet("worker-1"))
    await fleet.open()
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"unacknowledged")
    await arrived(fleet)
    await fleet.close()
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"while absent")
    again = Connection(broker.fleet("worker-1"))
    await again.open()
    await again.subscribe(every_reader(Leaf.ENTRIES))
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"fresh")
    assert (await arrived(again)).payload == b"fresh"
    await again.close()


async def test_two_workers_share_a_subscription(broker: Broker, reader: Connection) -> None:
    workers = [Connection(broker.fleet()) for _ in range(2)]
    for worker in workers:
        await worker.open()
        await worker.subscribe(f"$share/ingest/{every_reader(Leaf.ENTRIES)}")
    for number in range(10):
        await reader.publish(topic(BUS, Leaf.ENTRIES), b"%d" % number)
    await until(lambda: sum(worker.messages.qsize() for worker in workers) == 10, "ten arrive")
    assert all(worker.messages.qsize() for worker in workers)
    for worker in workers:
        await worker.close()


async def test_a_message_too_large_for_the_broker_is_refused_and_the_connection_lives_on(
    reader: Connection,
) -> None:
    with pytest.raises(MqttRefused) as refused:
        await reader.publish(topic(BUS, Leaf.ENTRIES), b"x" * (3 * PAYLOAD_BYTES_MAX))
    assert refused.value.reason == TOO_LARGE
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"x")


async def test_what_does_not_fit_is_dropped_counted_and_does_not_stop_the_rest(
    broker: Broker, reader: Connection
) -> None:
    fleet = Connection(broker.fleet(), messages_max=5)
    await fleet.open()
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    for number in range(20):
        await reader.publish(topic(BUS, Leaf.ENTRIES), b"%d" % number)
    await until(lambda: fleet.dropped == 15, "fifteen are dropped")
    kept = [await arrived(fleet) for _ in range(5)]
    assert [int(message.payload) for message in kept] == list(range(5))
    for message in kept:
        fleet.acknowledge(message)
    await reader.publish(topic(BUS, Leaf.ENTRIES), b"later")
    assert (await arrived(fleet)).payload == b"later"
    await fleet.close()


async def test_more_than_the_broker_takes_at_once_is_sent_in_order_and_answered(
    reader: Connection, fleet: Connection
) -> None:
    await fleet.subscribe(every_reader(Leaf.ENTRIES))
    here = topic(BUS, Leaf.ENTRIES)
    answers = [reader.send(here, b"%d" % number) for number in range(3 * mqtt_stream.IN_FLIGHT_MAX)]
    assert not any(code.is_failure for code in await reader.answers(*answers))
    for number in range(len(answers)):
        message = await arrived(fleet)
        assert int(message.payload) == number
        fleet.acknowledge(message)


async def test_what_still_waits_to_be_sent_is_told_that_the_connection_broke(
    reader: Connection,
) -> None:
    here = topic(BUS, Leaf.ENTRIES)
    answers = [reader.send(here, b"%d" % number) for number in range(3 * mqtt_stream.IN_FLIGHT_MAX)]
    await reader.close()
    ends = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(ends[-1], MqttError)


async def test_a_message_says_whether_the_broker_had_kept_it(
    broker: Broker, reader: Connection, fleet: Connection
) -> None:
    await fleet.publish(topic(BUS, Leaf.TWIN_DESIRED), b"kept", retain=True)
    await reader.subscribe(topic(BUS, Leaf.TWIN_DESIRED))
    assert (await arrived(reader)).retained
    await fleet.publish(topic(BUS, Leaf.TWIN_DESIRED), b"live", retain=True)
    assert not (await arrived(reader)).retained
