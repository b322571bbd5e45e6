"""Two hundred readers as one process: each has one message in flight, as a reader has.

`python -m tests.bench.load PORT FILE [--rate N]` plays a pickled `dict[topic, list[payload]]` over
a plain listener of the broker. A message to `…/entries` is followed by the next one of that topic
when `…/ack` has answered it; others when the broker has taken them. With `--rate` the messages of
all topics together are begun at that many a second, else as fast as they are answered. Prints one
JSON line: seconds, messages, and the µs from publishing to the answer.
"""

import argparse
import itertools
import json
import pickle
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

ACKS: Final = "kazasu/1/+/+/ack"
ENDS_IN_S_MAX: Final = 600.0


def _at_once(_client: mqtt.Client, _data: object, sock: Any) -> None:
    """Let no packet wait for the answer to the one before, as our readers do (wire.dial).

    Without this Nagle's wait is what is measured: 22 ms for an echo at 200 messages a second.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Readers:
    """All topics with what is still to be sent; one thread, the client's loop is driven here."""

    def __init__(self, messages: dict[str, list[bytes]], rate: float) -> None:
        self._left = {topic: deque(payloads) for topic, payloads in messages.items()}
        self._rate = rate
        self._sent_ns: dict[str, int] = {}
        self._of_message: dict[int, str] = {}
        self._open = sum(map(len, messages.values()))
        self._listening = False
        self.took_us: list[float] = []
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, client_id="load"
        )
        self.client.max_inflight_messages_set(65_535)
        self.client.on_socket_open = _at_once
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_message = self._acknowledged
        self.client.on_publish = self._taken

    def _send(self, topic: str) -> bool:
        """Publish the next message of a topic; False when it has none or waits for an answer."""
        if topic in self._sent_ns or not self._left[topic]:
            return False
        self._sent_ns[topic] = time.perf_counter_ns()
        sent = self.client.publish(topic, self._left[topic].popleft(), qos=1)
        self._of_message[sent.mid] = topic
        return True

    def _answered(self, topic: str) -> None:
        began = self._sent_ns.pop(topic, None)
        if began is None:
            return
        self.took_us.append((time.perf_counter_ns() - began) / 1000)
        self._open -= 1
        if not self._rate:
            self._send(topic)

    def _connected(self, *_: Any) -> None:
        self.client.subscribe(ACKS, qos=1)

    def _subscribed(self, *_: Any) -> None:
        self._listening = True

    def _acknowledged(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._answered(message.topic.removesuffix("ack") + "entries")

    def _taken(self, _client: mqtt.Client, _data: object, mid: int, *_: Any) -> None:
        topic = self._of_message.pop(mid, "")
        if topic and not topic.endswith("/entries"):
            self._answered(topic)

    def play(self, port: int) -> float:
        """Send everything and wait for every answer; return the seconds that it took."""
        self.client.connect("127.0.0.1", port)
        while not self._listening:
            self.client.loop(0.1)
        began = time.perf_counter()
        turns = itertools.cycle(self._left)
        if not self._rate:
            for _, topic in zip(range(len(self._left)), turns, strict=False):
                self._send(topic)
        count = 0
        while self._open:
            if time.perf_counter() - began > ENDS_IN_S_MAX:
                raise TimeoutError(f"{self._open} messages were never answered")
            wait_s = 0.1
            if self._rate and any(self._left.values()):
                wait_s = max(0.0, began + count / self._rate - time.perf_counter())
                if not wait_s:
                    count += self._send(next(turns))
            self.client.loop(wait_s)
        return time.perf_counter() - began


def main() -> None:
    """Play one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    readers = Readers(pickle.loads(options.file.read_bytes()), options.rate)
    took_s = readers.play(options.port)
    found = {"s": took_s, "messages": len(readers.took_us), "us": readers.took_us}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
