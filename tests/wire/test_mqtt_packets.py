"""MQTT 5.0 packets against the standard's own layout, in pieces, and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import mqtt_packets as packets
from wire.mqtt_packets import (
    ConnAck,
    Disconnect,
    Inbox,
    Packet,
    PingResp,
    ProtocolError,
    PubAck,
    Publish,
    Reason,
    SubAck,
)

LIMIT = 1_000_000
ANSWERS: list[tuple[str, Packet]] = [
    ("20 03 00 00 00", ConnAck(Reason(0))),
    ("20 06 00 00 03 21 00 14", ConnAck(Reason(0), receive_maximum=20)),
    (
        "20 0b 01 00 08 27 00 01 00 00 13 00 0a",
        ConnAck(Reason(0), packet_bytes_max=65_536, keepalive_s=10),
    ),
    # All that a broker may add (3.2.2.3): expiry, alias maximum, QoS, retain, client id, wildcard,
    # identifiers, shared, reason, user property, response information, reference, authentication.
    (
        "20 43 00 87 40 11 00 00 00 05 22 00 0a 24 01 25 01 12 00 02 61 62 28 01 29 01 2a 01"
        " 1f 00 02 6e 6f 26 00 01 6b 00 01 76 1a 00 01 72 1c 00 01 73 15 00 01 6d 16 00 01 64"
        " 21 00 07 13 00 1e 26 00 01 6b 00 01 77",
        ConnAck(Reason(0x87), receive_maximum=7, keepalive_s=30),
    ),
    ("40 02 00 07", PubAck(7, Reason(0))),
    ("40 03 00 07 10", PubAck(7, Reason(0x10))),
    ("40 04 ff ff 87 00", PubAck(65_535, Reason(0x87))),
    ("90 05 00 01 00 01 87", SubAck(1, [Reason(1), Reason(0x87)])),
    ("90 0a 00 01 05 1f 00 02 6e 6f 01 01", SubAck(1, [Reason(1), Reason(1)])),
    ("d0 00", PingResp()),
    ("e0 00", Disconnect(Reason(0))),
    ("e0 01 8e", Disconnect(Reason(0x8E))),
    ("e0 02 8b 00", Disconnect(Reason(0x8B))),
    ("30 06 00 01 74 00 68 69", Publish("t", b"hi", 0, False)),
    ("31 04 00 01 74 00", Publish("t", b"", 0, True)),
    ("32 08 00 01 74 00 2a 00 68 69", Publish("t", b"hi", 42, False)),
    ("3b 0d 00 01 74 00 2a 05 02 00 00 00 3c 68 69", Publish("t", b"hi", 42, True)),  # sent again
]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def fed(data: bytes, limit: int = LIMIT) -> list[Packet]:
    return list(Inbox(limit).feed(data))


@pytest.mark.parametrize(("text", "packet"), ANSWERS)
def test_what_a_broker_says_is_read(text: str, packet: Packet) -> None:
    assert fed(raw(text)) == [packet]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_pieces_come_to_the_same_as_the_whole(sizes: list[int]) -> None:
    whole = b"".join(raw(text) for text, _ in ANSWERS)
    inbox, found, at = Inbox(LIMIT), [], 0
    for size in [*sizes, len(whole)]:
        found += list(inbox.feed(whole[at : at + size]))
        at += size
    assert found == [packet for _, packet in ANSWERS]


@pytest.mark.parametrize("size", [0, 121, 122, 16_377, 16_378, 131_072])
def test_a_message_of_any_size_is_read_as_it_was_written(size: int) -> None:
    written = packets.publish(9, "kazasu/1/t/bus-1/entries", b"x" * size, retain=True)
    assert fed(written) == [Publish("kazasu/1/t/bus-1/entries", b"x" * size, 9, True)]
    assert fed(written[:-1]) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("00 00", "no broker sends"),
        ("10 00", "no broker sends"),  # CONNECT
        ("d0 01 00", "no broker sends"),
        ("62 02 00 01", "no broker sends"),  # PUBREL
        ("f0 00", "no broker sends"),  # AUTH, for which nobody asked
        ("34 06 00 01 74 00 01 00", "QoS 2"),
        ("36 06 00 01 74 00 01 00", "QoS 2"),
        ("32 06 00 01 74 00 00 00", "identifier 0"),
        ("40 02 00 00", "identifier 0"),
        ("30 03 00 00 00", "without a topic"),
        ("30 04 00 01 00 00", "U\\+0000"),
        ("30 04 00 01 ff 00", "not UTF-8"),
        ("30 03 00 09 74", "ends too soon"),
        ("30 05 00 01 74 09 00", "ends too soon"),
        ("40 01 00", "ends too soon"),
        ("20 01 00", "ends too soon"),
        ("20 03 00 00 07", "ends too soon"),
        ("20 05 00 00 02 21 00", "longer than they say"),
        ("20 05 00 00 02 01 00", "property 0x01"),
        ("20 06 00 00 03 21 00 00", "allows nothing"),
        ("30 ff ff ff ff 01", "more than four bytes"),
        ("30 ff ff ff 7f", "were allowed"),
    ],
)
def test_what_no_broker_may_say_is_an_error_that_says_what(text: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        fed(raw(text))


@given(st.binary(max_size=300))
def test_noise_is_packets_or_an_error_and_nothing_else(noise: bytes) -> None:
    try:
        found = fed(noise, limit=200)
    except ProtocolError:
        return
    assert sum(1 for _ in found) <= len(noise) // 2


def test_a_packet_larger_than_allowed_is_refused_before_it_has_arrived() -> None:
    with pytest.raises(ProtocolError, match="were allowed"):
        fed(packets.publish(1, "t", b"x" * 500)[:4], limit=400)


def test_connecting_is_written_as_the_standard_has_it() -> None:
    plain = packets.connect("bus-1", 20, 256, 65_536)
    assert plain == raw(
        "10 1a 00 04 4d 51 54 54 05 02 00 14 08 21 01 00 27 00 01 00 00 00 05 62 75 73 2d 31"
    )
    willing = packets.connect("", 20, 20, 65_536, ("t", b"gone"))
    assert willing == raw(
        "10 1f 00 04 4d 51 54 54 05 2e 00 14 08 21 00 14 27 00 01 00 00 00 00"
        " 00 00 01 74 00 04 67 6f 6e 65"
    )


def test_subscribing_publishing_and_answering_are_written_as_the_standard_has_them() -> None:
    assert packets.subscribe(1, ["a/b"]) == raw("82 09 00 01 00 00 03 61 2f 62 01")
    assert packets.publish(10, "a/b", b"hi") == raw("32 0a 00 03 61 2f 62 00 0a 00 68 69")
    assert packets.puback(258) == raw("40 02 01 02")
    assert raw("c0 00") == packets.PINGREQ
    assert raw("e0 00") == packets.DISCONNECT


def test_a_topic_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="MQTT takes"):
        packets.publish(1, "x" * 65_536, b"")
    with pytest.raises(ValueError, match="MQTT takes"):
        packets.subscribe(1, ["x" * 65_536])


def test_a_reason_has_its_name_and_knows_whether_it_refuses() -> None:
    assert str(Reason(0x87)) == "Not authorized"
    assert Reason(0x87).is_failure
    assert not Reason(0x10).is_failure
    assert str(Reason(0xFF)) == "reason 0xff"
