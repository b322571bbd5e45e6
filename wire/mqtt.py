"""One MQTT 5 connection for asyncio, over paho: the same at both ends of the wire.

Rules: version 5 only, since under 3.1.1 a publish that the broker's rules deny looks like a
success; no session, so nothing stale is delivered after a restart; a message is acknowledged by
whoever handled it, after it is safe (`acknowledge`); a lost connection ends this object, and the
caller closes it and opens a new one after its own back-off. Everything happens in one event loop,
without threads.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wire.dial import dial
from wire.limits import PAYLOAD_BYTES_MAX

KEEPALIVE_S: Final = 20
"""The broker notices a dead link after 1.5 times this, we after twice (or at the first publish
that is not answered); mobile carriers drop idle flows after minutes."""
CONNECT_TIMEOUT_S: Final = 10.0
"""TCP, TLS and CONNACK together: eight round trips of a bad mobile link."""
ANSWER_TIMEOUT_S: Final = 15.0
"""For a PUBACK or SUBACK: less than the keep-alive, so a stuck broker is left, not waited for."""
CLOSE_TIMEOUT_S: Final = 1.0
"""For our last packet to leave; after that the broker will think that the link broke."""
IN_FLIGHT_MAX: Final = 100
"""Publishes waiting for the broker's answer at one time, or fewer where it says so; the rest wait
here: at most what the caller has sent and not awaited."""
MESSAGES_MAX: Final = 1_000
"""Kept for the caller: 25 MB of usual batches. A broker may hand over more than it was asked to:
mosquitto 2.0.11 was seen to send three messages for each one acknowledged. What does not fit is
acknowledged, dropped and counted: its sender hears nothing from the other end and says it again."""
TICK_S: Final = 1.0
"""How often the keep-alive is looked at: often enough for its 20 s."""


class MqttError(ConnectionError):
    """The connection cannot be used (any more): open a new one after a back-off."""


class MqttRefused(MqttError):
    """The broker said no; `reason` is its MQTT 5 reason code as a number (135: not authorised)."""

    def __init__(self, what: str, code: ReasonCode) -> None:
        super().__init__(f"{what}: {code} ({code.value})")
        self.reason: Final = code.value


class Message(NamedTuple):
    """What arrived; hand it back to `acknowledge` when it is safe."""

    topic: str
    payload: bytes
    mid: int
    qos: int
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


Answer = asyncio.Future[Sequence[ReasonCode]]
"""Of the broker, to one publish or subscribe; an MqttError when the connection breaks before."""


class _Client(paho.Client):
    """paho over a socket that is connected already: its own dialling blocks and needs a thread."""

    dialled: ssl.SSLSocket

    def _create_socket(self) -> ssl.SSLSocket:
        return self.dialled


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
        self._answers: dict[int, Answer] = {}
        self._later: deque[tuple[str, bytes, bool, Answer]] = deque()
        self._in_flight_max = IN_FLIGHT_MAX
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ticker: asyncio.Task[None] | None = None
        self._client = self._make_client()

    def _make_client(self) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.endpoint.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if self.will:
            client.will_set(self.will.topic, self.will.payload, qos=1, retain=True)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._unwant_write
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        return client

    async def open(self) -> None:
        """Connect. Raises MqttRefused when the broker says no, MqttError when it is not there."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.ReceiveMaximum = self.receive_maximum
        properties.MaximumPacketSize = 2 * PAYLOAD_BYTES_MAX

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                host, port = self.endpoint.host, self.endpoint.port
                self._client.dialled = await dial(host, port, self.endpoint.tls)
                self._client.connect(
                    host, port, KEEPALIVE_S, clean_start=True, properties=properties
                )
                self._ticker = self._loop.create_task(self._tick())
                await self._opened
        except (MqttError, asyncio.CancelledError):
            await self.close()
            raise
        except (OSError, ValueError) as error:
            await self.close()
            why = str(error) or f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
            raise MqttError(f"{self.endpoint.host}:{self.endpoint.port}: {why}") from error

    async def subscribe(self, *topics: str) -> None:
        """Subscribe with QoS 1. Raises MqttRefused when one of the topics is denied."""
        result, mid = self._client.subscribe([(topic, 1) for topic in topics])
        answer: Answer = self._loop.create_future()
        self._expect(result, mid, answer)
        (codes,) = await self._in_time(answer)
        for topic, code in zip(topics, codes, strict=True):
            if code.is_failure:
                raise MqttRefused(f"subscribe {topic}", code)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's answer; it means «received», not «safe».

        Raises MqttRefused when the broker's rules deny it, MqttError when the connection breaks.
        """
        (code,) = await self.answers(self.send(topic, payload, retain=retain))
        if code.is_failure:
            raise MqttRefused(f"publish {topic}", code)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> Answer:
        """Publish with QoS 1, in the order of the calls, without waiting: see `answers`."""
        answer: Answer = self._loop.create_future()
        if self._later or len(self._answers) >= self._in_flight_max:
            self._later.append((topic, payload, retain, answer))
        else:
            self._send(topic, payload, retain, answer)
        return answer

    def _send(self, topic: str, payload: bytes, retain: bool, answer: Answer) -> None:
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        self._expect(info.rc, info.mid, answer)

    async def answers(self, *sent: Answer) -> list[ReasonCode]:
        """Wait for what the broker says to each `send`. Raises MqttError when it cannot."""
        return [code for codes in await self._in_time(*sent) for code in codes]

    def flush(self) -> None:
        """Write what was sent and acknowledged now, not when the event loop comes round to it."""
        if not self.closed.is_set():
            self._client.loop_write()

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that this message is safe here."""
        if not self.closed.is_set():
            self._client.ack(message.mid, message.qos)

    async def close(self) -> None:
        """Say goodbye, so that the last will is not sent; harmless when already closed."""
        if self._client.is_connected() and not self.closed.is_set():
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.closed.wait()
        self._end("closed")
        if self._ticker:
            self._ticker.cancel()
        if sock := self._client.socket():
            self._forget(sock)
            sock.close()

    def _expect(self, result: MQTTErrorCode, mid: int | None, answer: Answer) -> None:
        if result is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None or self.closed.is_set():
            answer.set_exception(MqttError(self.why_closed or paho.error_string(result)))
        else:
            self._answers[mid] = answer

    async def _in_time(self, *sent: Answer) -> list[Sequence[ReasonCode]]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await asyncio.gather(*sent)
        except TimeoutError as error:
            self._end(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
            raise MqttError(self.why_closed) from error

    def _end(self, why: str) -> None:
        if self.closed.is_set():
            return
        self.why_closed = why
        self.closed.set()
        for answer in (*self._answers.values(), *(one[-1] for one in self._later)):
            if not answer.done():
                answer.set_exception(MqttError(why))
        self._answers.clear()
        self._later.clear()

    async def _tick(self) -> None:
        while not self.closed.is_set():
            await asyncio.sleep(TICK_S)
            self._client.loop_misc()

    def _forget(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)

    # What paho calls, always in the loop: whoever reads, writes or ticks is a callback of it.

    def _socket_opened(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._loop.add_reader(sock, self._readable, sock)

    def _socket_closed(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._forget(sock)

    def _want_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, self._client.loop_write)

    def _unwant_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _readable(self, sock: ssl.SSLSocket) -> None:
        """Read on while TLS holds decrypted bytes, which no selector would tell of."""
        self._client.loop_read()
        while sock.fileno() >= 0 and sock.pending():
            self._client.loop_read()

    def _connected(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if self._opened.done():
            return
        allowed = getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX)
        self._in_flight_max = min(allowed, IN_FLIGHT_MAX)
        if code.is_failure:
            self._opened.set_exception(MqttRefused("connect", code))
        else:
            self._opened.set_result(None)

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._end(f"disconnected: {code}")
        if not self._opened.done():
            self._opened.set_exception(MqttError(self.why_closed))

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._resolve(mid, [code])

    def _subscribed(
        self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._resolve(mid, codes)

    def _resolve(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        answer = self._answers.pop(mid, None)
        if answer and not answer.done():
            answer.set_result(codes)
        while self._later and len(self._answers) < self._in_flight_max:
            self._send(*self._later.popleft())

    def _arrived(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self.messages.qsize() >= self.messages_max:
            self.dropped += 1
            client.ack(message.mid, message.qos)
            return
        self.messages.put_nowait(
            Message(
                message.topic,
                bytes(message.payload),
                message.mid,
                message.qos,
                message.retain,
                time.monotonic_ns(),
            )
        )
