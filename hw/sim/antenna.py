"""A reader's antenna: one UDP port where nfcpy's `udp:` driver finds the cards that are held there.

The driver sends `106B <hex>` for each frame and `RFOFF` when it switches its field off; it opens a
new socket at each `sense()`. Upheld: a card loses its power with the field; an answer takes as long
as on the air (`air.exchange_us`) and as the card thinks; a card that left before its answer was out
is silent; an empty poll takes as long as on a real front end, instead of the driver's second.
"""

import asyncio
import select
import socket
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Protocol

from hw.sim.air import FIELD_ON_US, TECHNOLOGIES, exchange_us
from hw.sim.cards import Card
from hw.sim.field import Field, Frame
from hw.sim.isodep import Reply

__all__ = ["HOST", "POLL_MS", "Antenna", "Frame", "hold"]

HOST = "127.0.0.1"
RFOFF = b"RFOFF"
DATAGRAM_BYTES_MAX = 1024  # what the driver itself takes

# What an empty poll costs a front end on a fast line, by technology. The driver takes the bare
# token `106B` for «no target» at once.
POLL_MS = {"A": 10.0, "B": 12.0, "F": 10.0}

# Ports are drawn until one has no name in /etc/services: the driver cannot parse a named one.
PORT_DRAWS_MAX = 20

Address = tuple[str, int]


class Holder(Protocol):
    """Where people hold cards to a reader: an antenna, or a head (`heads.py`)."""

    turn: asyncio.Lock
    """Whose turn it is: for people of one event loop who may not hold cards together."""

    @property
    def device(self) -> str:
        """The front end's path for the reader's configuration."""

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others."""

    def remove(self) -> None:
        """Take away what is held there."""

    def close(self) -> None:
        """Take the device away."""


class Antenna:
    """An antenna on a free port of this machine, served by a thread of its own until closed.

    `device` is the path for `nfc.ContactlessFrontend`. `poll_ms` is the time of an empty poll by
    technology letter. `transcript` is called from the antenna's thread with each `Frame`. `air`
    gives the microseconds of an exchange. All methods may be called from any thread and return at
    once, so one asyncio program drives many antennas.
    """

    def __init__(
        self,
        *,
        poll_ms: Mapping[str, float] = POLL_MS,
        transcript: Callable[[Frame], None] | None = None,
        air: Callable[[str, int, int], int] = exchange_us,
    ) -> None:
        self._poll_ms = poll_ms
        self._air = air
        self._field = Field(transcript)
        self._socket = _free_port()
        self._address: Address = self._socket.getsockname()
        self._reader: Address | None = None  # whose field is on
        self._ready_s = 0.0  # when the field has been on long enough
        self._held: tuple[bytes, Address] | None = None  # came while a card was thinking
        self._closed = False
        self.turn = asyncio.Lock()
        self._thread = Thread(target=self._serve, name=f"antenna {self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Antenna":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._address[1]

    @property
    def device(self) -> str:
        """The path by which nfcpy opens this antenna."""
        return f"udp:{HOST}:{self.port}"

    @property
    def card(self) -> Card | None:
        """The (first) card in the field."""
        cards = self._field.cards
        return cards[0] if cards else None

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others, over the antenna.

        Cards of different technologies are each found in their turn; two of one technology
        answer at once, and the reader hears neither.
        """
        self._field.place(*cards)

    def remove(self) -> None:
        """Take away what is held there. An answer that is still on its way is lost."""
        self.place()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._closed = True
        self._socket.sendto(b"", self._address)  # wakes the thread
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closed:
            datagram, reader = self._held or self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            self._held = None
            received_s = time.monotonic()
            if reader != self._reader or datagram == RFOFF:
                self._field_change(None if datagram == RFOFF else reader, received_s)
            if received := _parse(datagram):
                self._exchange(*received, reader, received_s)

    def _field_change(self, reader: Address | None, now_s: float) -> None:
        self._field.lose_power()
        self._reader = reader
        self._ready_s = now_s + FIELD_ON_US / 1e6

    def _exchange(self, technology: str, frame: bytes, reader: Address, received_s: float) -> None:
        """Let the cards answer a frame, in their time."""
        asked = self._field.ask(technology, frame)
        replies = asked.replies
        looking = _awaits_any_card(technology, frame)
        if replies:
            sent_s = max(received_s, self._ready_s)  # a reader waits before its first command
            due_s = sent_s + max(self._duration_us(technology, frame, r) for r in replies) / 1e6
        elif looking:
            due_s = received_s + self._poll_ms[technology[-1]] / 1000
        else:
            return
        if not self._pause(due_s, reader):
            return
        # Several answers collide, and a card that has left meanwhile is not heard either.
        alone = len(replies) == 1
        heard = self._field.hear(asked, technology, replies[0].data) if alone else b""
        if heard or looking:
            self._socket.sendto(f"{technology} {heard.hex()}".strip().encode(), reader)

    def _duration_us(self, technology: str, frame: bytes, reply: Reply) -> int:
        return self._air(technology, len(frame), len(reply.data)) + reply.cpu_us

    def _pause(self, due_s: float, reader: Address) -> bool:
        """Wait until an answer is due; False if the reader's field went off before.

        A card that thinks or sends is deaf to frames, so those that arrive meanwhile are dropped.
        """
        while (left_s := due_s - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left_s)[0]:
                datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
                if sender != reader or datagram == RFOFF:
                    self._held = datagram, sender
                    return False
        return True


async def hold(antenna: Holder, card: Card, seconds: float) -> None:
    """Hold a card over an antenna for so long, then take it away, also when cancelled."""
    antenna.place(card)
    try:
        await asyncio.sleep(seconds)
    finally:
        antenna.remove()


def _free_port() -> socket.socket:
    """Bind a socket to a port that the driver can parse; raises OSError when none is found."""
    for _ in range(PORT_DRAWS_MAX):
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((HOST, 0))
        if socket.getnameinfo(bound.getsockname(), socket.NI_NUMERICHOST)[1].isdigit():
            return bound
        bound.close()
    raise OSError(f"no UDP port without a name in /etc/services in {PORT_DRAWS_MAX} draws")


def _parse(datagram: bytes) -> tuple[str, bytes] | None:
    """Technology and frame of a datagram; None for what is no frame of a technology we know."""
    technology, _, text = datagram.decode("latin-1").partition(" ")
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        return None
    return (technology, frame) if technology in TECHNOLOGIES and frame else None


def _awaits_any_card(technology: str, frame: bytes) -> bool:
    """Tell the commands which look for a card: a front end itself reports that none answered."""
    if technology.endswith("A"):
        return frame[0] in (0x26, 0x52, 0x93, 0x95, 0x97)  # REQA, WUPA, anticollision
    if technology.endswith("B"):
        return len(frame) == 3 and frame[0] == 0x05  # REQB, WUPB
    return len(frame) == 6 and frame[1] == 0x00  # Polling
