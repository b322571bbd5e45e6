"""MQTT 5.0 as a client of ours speaks it: packets to bytes and bytes to packets, nothing else.

Rules: no socket and no clock; what the broker sends is read in whatever pieces it comes; what it
may not send is a ProtocolError that names the rule, and nothing after it is believed. Only what we
use is here: quality of service 1 out, 0 and 1 in, no topic aliases, no session.

Section numbers are those of MQTT Version 5.0, OASIS Standard, 7 March 2019.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

PACKET_BYTES_MAX: Final = 268_435_460
"""The largest packet there is: 4 bytes of remaining length count so far (2.1.4), and the head."""
STRING_BYTES_MAX: Final = 65_535
MID_MAX: Final = 65_535
_QOS_1: Final = 0x02
_RETAIN: Final = 0x01
_VARINT_BYTES_MAX: Final = 4
_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x82
_CONNACK, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 0x20, 0x40, 0x90, 0xD0, 0xE0
PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
"""Of a client that leaves as planned: the broker throws its will away (3.14.4)."""

_RECEIVE_MAXIMUM: Final = 0x21
_MAXIMUM_PACKET_SIZE: Final = 0x27
_SERVER_KEEP_ALIVE: Final = 0x13
_NUMBERS: Final = {0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1, 0x13: 2, 0x21: 2, 0x22: 2}
_NUMBERS_LONG: Final = {0x11: 4, 0x27: 4}
_TEXTS: Final = {0x12: 1, 0x15: 1, 0x16: 1, 0x1A: 1, 0x1C: 1, 0x1F: 1, 0x26: 2}
"""How many strings each of these properties is; the properties of a CONNACK are all three tables
(3.2.2.3)."""

REASONS: Final = {
    0x00: "Success",
    0x01: "Granted QoS 1",
    0x02: "Granted QoS 2",
    0x04: "Disconnect with will message",
    0x10: "No matching subscribers",
    0x11: "No subscription found",
    0x80: "Unspecified error",
    0x81: "Malformed packet",
    0x82: "Protocol error",
    0x83: "Implementation specific error",
    0x84: "Unsupported protocol version",
    0x85: "Client identifier not valid",
    0x86: "Bad user name or password",
    0x87: "Not authorized",
    0x88: "Server unavailable",
    0x89: "Server busy",
    0x8A: "Banned",
    0x8B: "Server shutting down",
    0x8C: "Bad authentication method",
    0x8D: "Keep alive timeout",
    0x8E: "Session taken over",
    0x8F: "Topic filter invalid",
    0x90: "Topic name invalid",
    0x91: "Packet identifier in use",
    0x92: "Packet identifier not found",
    0x93: "Receive maximum exceeded",
    0x94: "Topic alias invalid",
    0x95: "Packet too large",
    0x96: "Message rate too high",
    0x97: "Quota exceeded",
    0x98: "Administrative action",
    0x99: "Payload format invalid",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
    0x9C: "Use another server",
    0x9D: "Server moved",
    0x9E: "Shared subscriptions not supported",
    0x9F: "Connection rate exceeded",
    0xA0: "Maximum connect time",
    0xA1: "Subscription identifiers not supported",
    0xA2: "Wildcard subscriptions not supported",
}
"""Section 2.4."""
_FAILURE_FROM: Final = 0x80


class ProtocolError(ValueError):
    """The broker sent what no broker may send; the sentence says what."""


class Reason(int):
    """A reason code (2.4)."""

    @property
    def is_failure(self) -> bool:
        """Something was refused."""
        return self >= _FAILURE_FROM

    def __str__(self) -> str:
        return REASONS.get(int(self), f"reason 0x{int(self):02x}")


SUCCESS: Final = Reason(0x00)
NOT_AUTHORIZED: Final = Reason(0x87)
KEEP_ALIVE_TIMEOUT: Final = Reason(0x8D)
PACKET_TOO_LARGE: Final = Reason(0x95)


class ConnAck(NamedTuple):
    """The broker's answer to CONNECT, with the limits that it sets."""

    reason: Reason
    receive_maximum: int = 65_535
    packet_bytes_max: int = PACKET_BYTES_MAX
    keepalive_s: int | None = None
    """What it wants in the place of what was asked for."""


class Publish(NamedTuple):
    """A message; `mid` is 0 where it need not be acknowledged."""

    topic: str
    payload: bytes
    mid: int
    retained: bool


class PubAck(NamedTuple):
    """The broker's answer to one publish."""

    mid: int
    reason: Reason


class SubAck(NamedTuple):
    """The broker's answer to a subscribe: one reason a topic, in order."""

    mid: int
    reasons: Sequence[Reason]


class PingResp(NamedTuple):
    """The broker is there."""


class Disconnect(NamedTuple):
    """The broker ends the connection."""

    reason: Reason


Packet = ConnAck | Publish | PubAck | SubAck | PingResp | Disconnect


# --- out -----------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    """Encode a variable byte integer (1.5.5)."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > STRING_BYTES_MAX:
        raise ValueError(f"a string of {len(raw)} bytes; MQTT takes {STRING_BYTES_MAX}")
    return len(raw).to_bytes(2) + raw


def connect(
    client_id: str,
    keepalive_s: int,
    receive_maximum: int,
    packet_bytes_max: int,
    will: tuple[str, bytes] | None = None,
) -> bytes:
    """CONNECT (3.1): a clean start, no session afterwards; the will is kept, with QoS 1."""
    flags = 0x02  # clean start
    if will:
        flags |= 0x04 | 0x08 | 0x20  # there is one, QoS 1, retained (3.1.2.5 to 3.1.2.7)
    properties = bytes([_RECEIVE_MAXIMUM]) + receive_maximum.to_bytes(2)
    properties += bytes([_MAXIMUM_PACKET_SIZE]) + packet_bytes_max.to_bytes(4)
    head = _string("MQTT") + bytes([5, flags]) + keepalive_s.to_bytes(2)
    body = head + _varint(len(properties)) + properties + _string(client_id)
    if will:
        topic, payload = will
        body += b"\0" + _string(topic) + _string(payload)
    return bytes([_CONNECT]) + _varint(len(body)) + body


def publish(mid: int, topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    """PUBLISH with QoS 1 (3.3). Raises ValueError for a topic that is too long."""
    name = topic.encode()
    if len(name) > STRING_BYTES_MAX:
        raise ValueError(f"a topic of {len(name)} bytes; MQTT takes {STRING_BYTES_MAX}")
    head = _PUBLISH | _QOS_1 | (_RETAIN if retain else 0)
    size = _varint(len(name) + len(payload) + 5)
    here = (bytes((head,)), size, len(name).to_bytes(2), name, mid.to_bytes(2), b"\0", payload)
    return b"".join(here)


def puback(mid: int) -> bytes:
    """PUBACK of a message that is safe here (3.4)."""
    return b"\x40\x02" + mid.to_bytes(2)


def subscribe(mid: int, topics: Sequence[str]) -> bytes:
    """SUBSCRIBE with QoS 1 (3.8)."""
    body = mid.to_bytes(2) + b"\0" + b"".join(_string(topic) + b"\x01" for topic in topics)
    return bytes([_SUBSCRIBE]) + _varint(len(body)) + body


# --- in ------------------------------------------------------------------------------------------


@dataclass
class Inbox:
    """Puts together what arrives; `packet_bytes_max` is what the broker was told in CONNECT."""

    packet_bytes_max: int

    def __post_init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete now. Raises ProtocolError."""
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        try:
            while at < end:
                size, begins = _size(data, at)
                stops = begins + size
                if stops - at > self.packet_bytes_max:
                    raise ProtocolError(
                        f"a packet of {stops - at} bytes; {self.packet_bytes_max} were allowed"
                    )
                if not begins or stops > end:
                    break
                head, body, at = data[at], data[begins:stops], stops
                yield _read(head, body)
        finally:
            self._rest = data[at:]


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return the remaining length (2.1.4) and where the rest begins; (0, 0) when it is not whole.

    `at` is the packet's first byte.
    """
    size = shift = 0
    for place in range(at + 1, min(at + 1 + _VARINT_BYTES_MAX, len(data))):
        byte = data[place]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, place + 1
        shift += 7
    if len(data) > at + _VARINT_BYTES_MAX:
        raise ProtocolError("a remaining length of more than four bytes")
    return 0, 0


def _read(head: int, body: bytes) -> Packet:
    try:
        if head & 0xF0 == _PUBLISH:
            return _read_publish(head, body)
        if head == _PUBACK:
            return PubAck(_mid(body), Reason(body[2]) if len(body) > 2 else SUCCESS)
        if head == _CONNACK:
            return _read_connack(body)
        if head == _SUBACK:
            at = _behind_properties(body, 2)
            return SubAck(_mid(body), [Reason(code) for code in body[at:]])
        if head == _PINGRESP and not body:
            return PingResp()
        if head == _DISCONNECT:
            return Disconnect(Reason(body[0]) if body else SUCCESS)
    except IndexError as error:
        raise ProtocolError(f"a packet that ends too soon (type 0x{head:02x})") from error
    except UnicodeDecodeError as error:
        raise ProtocolError("a topic that is not UTF-8") from error
    raise ProtocolError(f"a packet that no broker sends us (type 0x{head:02x})")


def _read_publish(head: int, body: bytes) -> Publish:
    qos = head & 0x06
    if qos > _QOS_1:
        raise ProtocolError("a message with QoS 2, for which nobody asked")
    at = 2 + (body[0] << 8 | body[1])
    topic = body[2:at].decode()
    mid = 0
    if qos:
        mid = body[at] << 8 | body[at + 1]
        at += 2
        if not mid:
            raise ProtocolError("a message with the identifier 0")
    if body[at]:
        at = _behind_properties(body, at)
    else:
        at += 1
    if not topic or "\0" in topic:
        raise ProtocolError("a message without a topic, or with U+0000 in it")
    return Publish(topic, body[at:], mid, bool(head & _RETAIN))


def _read_connack(body: bytes) -> ConnAck:
    reason, end = Reason(body[1]), _behind_properties(body, 2)
    _, at = _size(body, 1)
    found: dict[int, int] = {}
    while at < end:
        name, at = body[at], at + 1
        if width := _NUMBERS.get(name) or _NUMBERS_LONG.get(name):
            found[name] = int.from_bytes(body[at : at + width])
            at += width
        elif strings := _TEXTS.get(name):
            for _ in range(strings):
                at += 2 + (body[at] << 8 | body[at + 1])
        else:
            raise ProtocolError(f"a CONNACK with the property 0x{name:02x}")
    if at != end:
        raise ProtocolError("a CONNACK whose properties are longer than they say")
    receive_maximum = found.get(_RECEIVE_MAXIMUM, 65_535)
    packet_bytes_max = found.get(_MAXIMUM_PACKET_SIZE, PACKET_BYTES_MAX)
    if not receive_maximum or not packet_bytes_max:
        raise ProtocolError("a CONNACK that allows nothing")
    return ConnAck(reason, receive_maximum, packet_bytes_max, found.get(_SERVER_KEEP_ALIVE))


def _behind_properties(body: bytes, at: int) -> int:
    """Return where the bytes behind the properties begin, whose length stands at `at` (2.2.2)."""
    size, begins = _size(body, at - 1)
    if not begins or begins + size > len(body):
        raise IndexError("properties")
    return begins + size


def _mid(body: bytes) -> int:
    mid = body[0] << 8 | body[1]
    if not mid:
        raise ProtocolError("an answer to the identifier 0")
    return mid
