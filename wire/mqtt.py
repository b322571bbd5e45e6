"""One MQTT 5 connection for asyncio: the same at both ends of the wire.

Rules: version 5 only, since under 3.1.1 a publish that the broker's rules deny looks like a
success; no session, so nothing stale is delivered after a restart; a message is acknowledged by
whoever handled it, after it is safe (`acknowledge`); a lost connection ends this object, and the
caller closes it and opens a new one after its own back-off. Everything happens in one event loop,
without threads. The bytes and the keep-alive stand in `wire.mqtt_stream`, the packets in
`wire.mqtt_packets`.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wire import mqtt_packets as packets
from wire.dial import dial
from wire.mqtt_packets import (
    PACKET_TOO_LARGE,
    ConnAck,
    Disconnect,
    Packet,
    ProtocolError,
    PubAck,
    Publish,
    Reason,
    SubAck,
)
from wire.mqtt_stream import IN_FLIGHT_MAX, Stream

KEEPALIVE_S: Final = 20
"""The broker notices a dead link after 1.5 times this, we after twice (or at the first publish
that is not answered); mobile carriers drop idle flows after minutes."""
CONNECT_TIMEOUT_S: Final = 10.0
"""TCP, TLS and CONNACK together: eight round trips of a bad mobile link."""
ANSWER_TIMEOUT_S: Final = 15.0
"""For a PUBACK or SUBACK: less than the keep-alive, so a stuck broker is left, not waited for."""
CLOSE_TIMEOUT_S: Final = 1.0
"""For our goodbye to be heard; after that the broker may think that the link broke."""
MESSAGES_MAX: Final = 1_000
"""Kept for the caller: 25 MB of usual batches. A broker may hand over more than it was asked to:
mosquitto 2.0.11 was seen to send three messages for each one acknowledged. What does not fit is
acknowledged, dropped and counted: its sender hears nothing from the other end and says it again."""
_GOODBYE: Final = "Normal disconnection"


class MqttError(ConnectionError):
    """The connection cannot be used (any more): open a new one after a back-off."""


class MqttRefused(MqttError):
    """The broker said no; `reason` is its MQTT 5 reason code as a number (135: not authorised)."""

    def __init__(self, what: str, reason: Reason) -> None:
        super().__init__(f"{what}: {reason} ({int(reason)})")
        self.reason: Final = int(reason)


class Message(NamedTuple):
    """What arrived; hand it back to `acknowledge` when it is safe."""

    topic: str
    payload: bytes
    mid: int
    """0 where the broker waits for no answer."""
    retained: bool
    """The broker had kept it: nobody knows how old it is."""
    arrived_ns: int = 0
    """When it came, by the monotonic clock."""


@dataclass(frozen=True)
class Will:
    """What the broker publishes, retained, when this connection breaks."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class Endpoint:
    """Where the broker listens and how to be known there."""

    host: str
    port: int
    tls: ssl.SSLContext
    client_id: str = ""
    """Empty: the broker chooses, or takes the certificate's name."""


def client_tls(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return a context that trusts one authority alone and shows one certificate (PEM paths)."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


Answer = asyncio.Future[Sequence[Reason]]
"""Of the broker, to one publish or subscribe; an MqttError when the connection breaks before."""


class Awaited(NamedTuple):
    """What an identifier stands for until it is answered."""

    answer: Answer
    topics: int
    """How many a subscribe asked for; 0 for a publish."""


@dataclass
class Connection:
    """An open connection, between `open` and `close`; `closed` is set when it has broken.

    Make it in the loop that it is to live in, open it once, and close it in any case.
    """

    endpoint: Endpoint
    will: Will | None = None
    receive_maximum: int = 100
    """Messages that the broker is asked to hand over at most before one is acknowledged."""
    messages_max: int = MESSAGES_MAX
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    """What has arrived, at most `messages_max`."""
    dropped: int = 0
    """Messages that did not fit."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    why_closed: str = ""

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._awaited: dict[int, Awaited] = {}
        self._later: deque[tuple[str, bytes, bool, Answer]] = deque()
        self._in_flight_max = IN_FLIGHT_MAX
        self._packet_bytes_max = packets.PACKET_BYTES_MAX
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._joined = False
        """The broker has let us in, so it holds our will."""
        self._stream: Stream | None = None
        self._mid = 0

    async def open(self) -> None:
        """Connect. Raises MqttRefused when the broker says no, MqttError when it is not there."""
        host, port = self.endpoint.host, self.endpoint.port
        will = (self.will.topic, self.will.payload) if self.will else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                sock = await dial(host, port, self.endpoint.tls)
                stream = self._stream = Stream(sock, KEEPALIVE_S, self._take, self._end)
                stream.say(
                    packets.connect(
                        self.endpoint.client_id,
                        KEEPALIVE_S,
                        self.receive_maximum,
                        stream.packet_bytes_max,
                        will,
                    )
                )
                await self._opened
        except (MqttError, asyncio.CancelledError):
            await self.close()
            raise
        except (OSError, ValueError) as error:
            await self.close()
            why = str(error) or f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
            raise MqttError(f"{host}:{port}: {why}") from error

    async def subscribe(self, *topics: str) -> None:
        """Subscribe with QoS 1. Raises MqttRefused when one of the topics is denied."""
        answer: Answer = self._loop.create_future()
        if mid := self._free(answer):
            packet = packets.subscribe(mid, topics)
            self._awaited[mid] = Awaited(answer, len(topics))
            self._say(packet)
        (reasons,) = await self._in_time(answer)
        for topic, reason in zip(topics, reasons, strict=True):
            if reason.is_failure:
                raise MqttRefused(f"subscribe {topic}", reason)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's answer; it means «received», not «safe».

        Raises MqttRefused when the broker's rules deny it, MqttError when the connection breaks.
        """
        (reason,) = await self.answers(self.send(topic, payload, retain=retain))
        if reason.is_failure:
            raise MqttRefused(f"publish {topic}", reason)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> Answer:
        """Publish with QoS 1, in the order of the calls, without waiting: see `answers`."""
        answer: Answer = self._loop.create_future()
        if self._later or len(self._awaited) >= self._in_flight_max:
            self._later.append((topic, payload, retain, answer))
        else:
            self._send(topic, payload, retain, answer)
        return answer

    def _send(self, topic: str, payload: bytes, retain: bool, answer: Answer) -> None:
        if not (mid := self._free(answer)):
            return
        packet = packets.publish(mid, topic, payload, retain=retain)
        if len(packet) > self._packet_bytes_max:  # the broker would end the connection (3.2.2.3.6)
            answer.set_result([PACKET_TOO_LARGE])
            return
        self._awaited[mid] = Awaited(answer, 0)
        self._say(packet)

    async def answers(self, *sent: Answer) -> list[Reason]:
        """Wait for what the broker says to each `send`. Raises MqttError when it cannot."""
        return [reason for reasons in await self._in_time(*sent) for reason in reasons]

    def flush(self) -> None:
        """Write what was sent and acknowledged now, not when the event loop comes round to it."""
        if self._stream:
            self._stream.flush()

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that this message is safe here."""
        if message.mid:
            self._say(packets.puback(message.mid))

    async def close(self) -> None:
        """Say goodbye, so that the last will is not sent; harmless when already closed."""
        if self._joined and not self.closed.is_set():
            self.why_closed = f"disconnected: {_GOODBYE}"
            self._say(packets.DISCONNECT)
            self.flush()
        try:
            if self._joined:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await self.closed.wait()  # the broker ends it when it has heard us (3.14.4)
        finally:
            self._end("closed")

    def _free(self, answer: Answer) -> int:
        """Return an identifier that nothing stands under; 0 when the connection has ended."""
        if self.closed.is_set() or self._stream is None:
            answer.set_exception(MqttError(self.why_closed or "not connected"))
            return 0
        while True:
            self._mid = self._mid % packets.MID_MAX + 1
            if self._mid not in self._awaited:
                return self._mid

    async def _in_time(self, *sent: Answer) -> list[Sequence[Reason]]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await asyncio.gather(*sent)
        except TimeoutError as error:
            self._end(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
            raise MqttError(self.why_closed) from error

    def _end(self, why: str) -> None:
        if self.closed.is_set():
            return
        self.why_closed = self.why_closed or why
        self.closed.set()
        error = MqttError(self.why_closed)
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # `close` may be the only one that hears of it
        awaited = (one.answer for one in self._awaited.values())
        for answer in (*awaited, *(one[-1] for one in self._later)):
            if not answer.done():
                answer.set_exception(MqttError(self.why_closed))
        self._awaited.clear()
        self._later.clear()
        if self._stream:
            self._stream.end(why)

    def _say(self, packet: bytes) -> None:
        if self._stream:
            self._stream.say(packet)

    # --- what the broker says --------------------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        if not self._joined and not isinstance(packet, ConnAck | Disconnect):
            raise ProtocolError("something before the CONNACK")
        match packet:
            case Publish():
                self._arrived(packet)
            case PubAck(mid, reason):
                self._resolve(mid, [reason], 0)
            case SubAck(mid, reasons):
                self._resolve(mid, reasons, len(reasons))
            case ConnAck():
                self._connected(packet)
            case Disconnect(reason):
                self._end(f"disconnected: {reason}")

    def _connected(self, packet: ConnAck) -> None:
        if self._opened.done():
            if self._opened.cancelled():
                return
            raise ProtocolError("a second CONNACK")
        if packet.reason.is_failure:
            self._opened.set_exception(MqttRefused("connect", packet.reason))
            return
        self._in_flight_max = min(packet.receive_maximum, IN_FLIGHT_MAX)
        self._packet_bytes_max = packet.packet_bytes_max
        if packet.keepalive_s is not None and self._stream:
            # 0: the broker keeps none (3.1.2.10); we still want to know whether it is there.
            self._stream.keepalive_s = min(packet.keepalive_s or KEEPALIVE_S, KEEPALIVE_S)
        self._joined = True
        self._opened.set_result(None)

    def _resolve(self, mid: int, reasons: Sequence[Reason], topics: int) -> None:
        if awaited := self._awaited.get(mid):
            if awaited.topics != topics:
                raise ProtocolError(f"an answer for {topics} topics, not for {awaited.topics}")
            del self._awaited[mid]
            if not awaited.answer.done():
                awaited.answer.set_result(reasons)
        while self._later and len(self._awaited) < self._in_flight_max:
            later = self._later.popleft()
            if not later[-1].done():  # nobody waits for it any more
                self._send(*later)

    def _arrived(self, packet: Publish) -> None:
        if self.messages.qsize() >= self.messages_max:
            self.dropped += 1
            if packet.mid:
                self._say(packets.puback(packet.mid))
            return
        self.messages.put_nowait(Message(*packet, time.monotonic_ns()))
