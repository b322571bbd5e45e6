"""One MQTT 5 connection for asyncio, over paho: the same at both ends of the wire.

Rules: version 5 only, since under 3.1.1 a publish that the broker's rules deny looks like a
success; no session, so nothing stale is delivered after a restart; a message is acknowledged by
whoever handled it, after it is safe (`acknowledge`); a lost connection ends this object, and the
caller opens a new one after its own back-off.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wire.limits import PAYLOAD_BYTES_MAX

KEEPALIVE_S: Final = 20
"""A dead link is noticed within 1.5 times this; mobile carriers drop idle flows after minutes."""
CONNECT_TIMEOUT_S: Final = 10.0
"""TCP, TLS and CONNACK together: eight round trips of a bad mobile link."""
ANSWER_TIMEOUT_S: Final = 15.0
"""For a PUBACK or SUBACK: less than the keep-alive, so a stuck broker is left, not waited for."""


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


@dataclass
class Connection:
    """An open connection, between `open` and `close`; `closed` is set when it has broken."""

    endpoint: Endpoint
    will: Will | None = None
    receive_maximum: int = 100
    """Messages that the broker may hand over before one is acknowledged; bounds `messages`."""
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    why_closed: str = ""

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answers: dict[int, asyncio.Future[Sequence[ReasonCode]]] = {}
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ticker: asyncio.Task[None] | None = None
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.endpoint.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.tls_set_context(self.endpoint.tls)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self.will:
            client.will_set(self.will.topic, self.will.payload, qos=1, retain=True)
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

        def connect() -> None:
            self._client.connect(
                self.endpoint.host,
                self.endpoint.port,
                KEEPALIVE_S,
                clean_start=True,
                properties=properties,
            )

        try:
            await self._loop.run_in_executor(None, connect)
            self._ticker = self._loop.create_task(self._tick())
            await asyncio.wait_for(self._opened, CONNECT_TIMEOUT_S)
        except MqttError:
            await self.close()
            raise
        except (OSError, TimeoutError, ValueError) as error:
            await self.close()
            raise MqttError(f"{self.endpoint.host}:{self.endpoint.port}: {error}") from error

    async def subscribe(self, *topics: str) -> None:
        """Subscribe with QoS 1. Raises MqttRefused when one of the topics is denied."""
        result, mid = self._client.subscribe([(topic, 1) for topic in topics])
        for topic, code in zip(topics, await self._answer(result, mid), strict=True):
            if code.is_failure:
                raise MqttRefused(f"subscribe {topic}", code)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's answer; it means «received», not «safe».

        Raises MqttRefused when the broker's rules deny it, MqttError when the connection breaks.
        """
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        (code,) = await self._answer(info.rc, info.mid)
        if code.is_failure:
            raise MqttRefused(f"publish {topic}", code)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that this message is safe here."""
        if not self.closed.is_set():
            self._client.ack(message.mid, message.qos)

    async def close(self) -> None:
        """Say goodbye, so that the last will is not sent; harmless when already closed."""
        if self._client.is_connected():
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closed.wait(), 1.0)
        if self._ticker:
            self._ticker.cancel()
        self._end("closed")

    async def _answer(self, result: MQTTErrorCode, mid: int | None) -> Sequence[ReasonCode]:
        if result is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None or self.closed.is_set():
            raise MqttError(self.why_closed or paho.error_string(result))
        answer: asyncio.Future[Sequence[ReasonCode]] = self._loop.create_future()
        self._answers[mid] = answer
        try:
            return await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
        except TimeoutError as error:
            raise MqttError(f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
        finally:
            self._answers.pop(mid, None)

    def _end(self, why: str) -> None:
        if self.closed.is_set():
            return
        self.why_closed = why
        self.closed.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(MqttError(why))

    async def _tick(self) -> None:
        while not self.closed.is_set():
            await asyncio.sleep(1.0)
            if self._client.loop_misc() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._end("the broker did not answer the keep-alive")

    # What paho calls. `open` connects in a thread, so sockets are handed to the loop safely.

    def _socket_opened(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.add_reader, sock, self._readable, sock)

    def _socket_closed(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        number = sock.fileno()

        def forget() -> None:
            self._loop.remove_reader(number)
            self._loop.remove_writer(number)
            self._end(self.why_closed or "the connection was lost")

        if number >= 0:
            self._call(forget)

    def _want_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._call(self._loop.add_writer, sock, self._client.loop_write)

    def _unwant_write(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        self._call(self._loop.remove_writer, sock)

    def _call(self, callback: Any, *arguments: Any) -> None:
        """Call at once in the loop's own thread, else hand over."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            callback(*arguments)
        else:
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _readable(self, sock: ssl.SSLSocket) -> None:
        """Read on while TLS holds decrypted bytes, which no selector would tell of."""
        self._client.loop_read()
        while sock.fileno() >= 0 and sock.pending():
            self._client.loop_read()

    def _connected(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if self._opened.done():
            return
        if code.is_failure:
            self._opened.set_exception(MqttRefused("connect", code))
        else:
            self._opened.set_result(None)

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self.why_closed = self.why_closed or f"disconnected: {code}"
        if not self._opened.done():
            self._opened.set_exception(MqttError(self.why_closed))
        self._call(self._end, self.why_closed)

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._resolve(mid, [code])

    def _subscribed(
        self, _client: paho.Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._resolve(mid, codes)

    def _resolve(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        answer = self._answers.get(mid)
        if answer and not answer.done():
            answer.set_result(codes)

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.messages.put_nowait(
            Message(message.topic, bytes(message.payload), message.mid, message.qos)
        )
