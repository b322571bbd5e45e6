"""A contactless PC/SC reader and what lies on it, as Debian's `vpcd` shows them to pcscd.

vpcd is a driver of pcscd that takes its card from a TCP connection (vsmartcard,
virtualsmartcard/src/vpcd/vpcd.h): a connection is a card, its end takes the card away, a message is
two bytes of length (big-endian) and as many bytes, and one byte alone is no APDU but a control.
Upheld: the card is activated and asked as by a reader of that kind, frame by frame and in the time
that frames take · what PC/SC part 3 has a reader answer, the reader answers: the ATR and the id.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from functools import reduce
from operator import xor
from threading import Condition, Thread

from hw.sim.air import FIELD_ON_US, exchange_us
from hw.sim.cards import Card
from hw.sim.pcd import Activated, Blocks, NoAnswer, find, frame_waiting_us

HOST = "127.0.0.1"

# Control messages (vpcd.h). All but the last want no answer.
OFF, ON, RESET, ATR = 0, 1, 2, 4

# How often the reader looks into its field, and for a pcscd that is away.
POLL_S = 0.02

# A whole APDU, extended length (ISO/IEC 7816-3, 12.1.3), or its answer fits vpcd's length.
MESSAGE = struct.Struct(">H")

# PC/SC part 3 supplemental document: RID of the PC/SC workgroup, then the standard and the name.
STORAGE_CARD = bytes.fromhex("804F0CA000000306")
STORAGE_NAMES = {"F": bytes.fromhex("11003B"), "A": bytes.fromhex("030003")}  # FeliCa, Type 2 tag

# PC/SC part 3, 3.2.2.1.3: GET DATA of the card's id; P1 01 asks for historical bytes.
GET_DATA = b"\xff\xca"
DONE = b"\x90\x00"
FUNCTION_NOT_SUPPORTED = b"\x6a\x81"
UNKNOWN_INSTRUCTION = b"\x6d\x00"


def answer_to_reset(card: Activated) -> bytes:
    """Return the ATR by which a PC/SC reader names a contactless card (PC/SC part 3, 3.1.3.2.3)."""
    storage = STORAGE_CARD + STORAGE_NAMES.get(card.technology[-1], bytes(3)) + bytes(4)
    historical = storage if card.historical is None else card.historical
    atr = bytes([0x80 | len(historical), 0x80, 0x01]) + historical
    return b"\x3b" + atr + bytes([reduce(xor, atr)])


class VirtualReader:
    """A reader at a port of vpcd on this machine, served by a thread of its own until closed.

    `kbit_s_max` is the fastest bit rate that it offers a Type B card: 106, 212 or 424. `air` gives
    the microseconds of an exchange. `interrupt` is called, from threads of the reader, before and
    after a card comes and after it has left, as a real reader tells pcscd; vpcd has no way to, and
    pcscd looks every 0.4 s. A second call is to return when the look of the first has ended: a card
    that comes before pcscd 1.9.9 has seen the former one leave is perhaps never seen.
    A pcscd that is away or is started again is waited for: what lies on the reader is there when it
    comes. All methods may be called from any thread.
    """

    def __init__(
        self,
        port: int,
        *,
        kbit_s_max: int = 424,
        air: Callable[[str, int, int], int] = exchange_us,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.port = port
        self._interrupt = interrupt
        self._kbit_s_max = kbit_s_max
        self._air = air
        self._card: Card | None = None
        self._connection: socket.socket | None = None
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._serve, name=f"reader {port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "VirtualReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def place(self, card: Card) -> None:
        """Put a card on the reader, and take away what lay there."""
        self._put(card)

    def remove(self) -> None:
        """Take away what lies there; an answer that is still on its way is lost."""
        self._put(None)

    def close(self) -> None:
        """Take everything away and stop."""
        self._closed = True
        self._put(None)
        self._thread.join()

    def _put(self, card: Card | None) -> None:
        with self._changed:
            self._card = card
            if self._connection:
                _hang_up(self._connection)
            self._changed.notify_all()

    def _serve(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._card or self._closed)
                card = self._card
            if card:
                self._lies(card)
                self._gone_within(card, POLL_S)

    def _gone_within(self, card: Card, seconds: float) -> bool:
        """Wait so long; True at once when the card is taken away."""
        with self._changed:
            return self._changed.wait_for(lambda: self._card is not card, seconds)

    def _lies(self, card: Card) -> None:
        """Be the card in vpcd's slot until one of them leaves, or falls silent."""
        field = _Field(card, self._kbit_s_max, self._air, self._gone_within)
        with contextlib.suppress(NoAnswer, OSError):
            field.power()
            self._interrupt()
            with socket.create_connection((HOST, self.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._connected(card, connection):
                    _converse(connection, field)
        if self._connection:
            self._connection = None
            self._interrupt()

    def _connected(self, card: Card, connection: socket.socket) -> bool:
        """Take note of a connection that `remove` is to end; False if it came too late."""
        with self._changed:
            if self._card is not card:
                return False
            self._connection = connection
        # pcscd asks for the ATR while it looks, so nobody may wait for it here.
        Thread(target=self._interrupt, name=f"interrupt {self.port}", daemon=True).start()
        return True


class _Field:
    """One card in the field of one reader."""

    def __init__(
        self,
        card: Card,
        kbit_s_max: int,
        air: Callable[[str, int, int], int],
        gone_within: Callable[[Card, float], bool],
    ) -> None:
        self._card = card
        self._kbit_s_max = kbit_s_max
        self._air = air
        self._gone_within = gone_within
        self._wait_us = 0
        self._blocks: Blocks | None = None
        self.atr = b""

    def power(self) -> None:
        """Switch the field off and on, find the card and activate it. Raises NoAnswer."""
        self.off()
        self._wait(time.monotonic() + FIELD_ON_US / 1e6)
        found = find(self._exchange, self._kbit_s_max)
        if found is None:
            raise NoAnswer("there is no card")
        self._found = found
        self._wait_us = frame_waiting_us(found.fwi)
        self.atr = answer_to_reset(found)
        if found.historical is not None:
            self._blocks = Blocks(self._exchange, found)

    def off(self) -> None:
        """Switch the field off."""
        self._card.reset()
        self._blocks = None
        self._wait_us = 0

    def process(self, apdu: bytes) -> bytes:
        """Answer an APDU, oneself or by the card. Raises NoAnswer."""
        if apdu[:2] == GET_DATA:
            return self._data(apdu[2:3])
        if self._blocks is None:
            return UNKNOWN_INSTRUCTION
        return self._blocks.transceive(apdu)

    def _data(self, what: bytes) -> bytes:
        if what == b"\x00":
            return self._found.id + DONE
        if what == b"\x01" and self._found.historical is not None:
            return self._found.historical + DONE
        return FUNCTION_NOT_SUPPORTED

    def _exchange(self, technology: str, frame: bytes) -> bytes:
        started_s = time.monotonic()
        reply = self._card.answer(technology, frame)
        if reply is None:
            self._wait(started_s + self._wait_us / 1e6)
            raise NoAnswer("silence")
        took_us = self._air(technology, len(frame), len(reply.data)) + reply.cpu_us
        self._wait(started_s + took_us / 1e6)
        return reply.data

    def _wait(self, until_s: float) -> None:
        if self._gone_within(self._card, until_s - time.monotonic()):
            raise NoAnswer("the card was taken away")


def _converse(connection: socket.socket, field: _Field) -> None:
    """Serve vpcd until it hangs up. Raises NoAnswer when the card is silent, and OSError."""
    while True:
        message = _received(connection)
        if message == bytes([ATR]):
            _send(connection, field.atr)
        elif message == bytes([OFF]):
            field.off()
        elif message in (bytes([ON]), bytes([RESET])):
            field.power()
        else:
            _send(connection, field.process(message))


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(MESSAGE.pack(len(message)) + message)


def _received(connection: socket.socket) -> bytes:
    (length,) = MESSAGE.unpack(_bytes(connection, MESSAGE.size))
    return _bytes(connection, length)


def _bytes(connection: socket.socket, count: int) -> bytes:
    """Receive so many bytes. Raises ConnectionError when the other side hangs up.

    vpcd 3.3 sends length and message apart; without an acknowledgement at once the second would
    wait for 40 ms (Nagle's algorithm against delayed acknowledgements), and the kernel forgets
    TCP_QUICKACK after each use.
    """
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("vpcd hung up")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data += part
    return data


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it hung up before us
