"""Where the vehicle is, to some 100 m: the part of the network half that listens to gpsd.

gpsd speaks JSON, a line each (gpsd_json(5)); of all it says only `TPV`, a fix, is looked at, and of
that only latitude and longitude, rounded to 0.001 degrees at once. What is then a wire.entries.Spot
goes to the card half, which writes it into taps and rides.

Rules: the exact position is kept nowhere, logged nowhere and shown nowhere · a spot is said when it
changes, and empty when there was no fix for a minute: who was last seen at the station is not at
the station for ever · whatever gpsd says, or whoever says it in its place, no other part stops.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from edge.backoff import Backoff
from edge.panel import UNREADABLE, Position
from wire.entries import Spot

WATCH: Final = b'?WATCH={"enable":true,"json":true}\n'
FIX: Final = 2
"""From this mode of a TPV on there is a position: 2D; 3 has a height too."""
LOST_S: Final = 60.0
"""Without a fix for so long nobody knows where the vehicle is: at 60 km/h it has gone 1 km."""
LINE_BYTES_MAX: Final = 64 * 1024
"""The longest thing that gpsd says is a sky of 72 satellites: 10 kB."""
LINES_PER_S_MAX: Final = 200
"""A receiver at 10 Hz makes 30; who says more is no gpsd of ours, and is left alone for a while."""
WATCH_EVERY_S: Final = 1.0
CAP_S: Final = 30.0
"""The rarest try to connect: gpsd is on this machine or in this vehicle."""

_log = logging.getLogger(__name__)


class _Report(msgspec.Struct, frozen=True):
    """What is read of one line; it has other members, which are not."""

    kind: str = msgspec.field(name="class")
    mode: int = 0
    lat: float | None = None
    lon: float | None = None


_decoder: Final = msgspec.json.Decoder(_Report)


class NotGpsd(Exception):
    """What speaks there is not gpsd, or is out of its mind."""


def spot_of(line: bytes) -> str:
    """Return the rounded position of one line of gpsd's; empty when it has none."""
    try:
        report = _decoder.decode(line)
    except UNREADABLE:
        return ""
    if report.kind != "TPV" or report.mode < FIX or report.lat is None or report.lon is None:
        return ""
    try:
        return msgspec.convert(f"{report.lat:.3f},{report.lon:.3f}", Spot)
    except msgspec.ValidationError:
        return ""


class Gps:
    """Keeps a connection to gpsd and tells the card half where the vehicle is."""

    def __init__(
        self,
        address: str,
        say: Callable[[Position], bool],
        now_s: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`address` is as in the configuration; empty: there is no gpsd, and nothing is ever said.

        `say` hands a spot to `tap`, False when it is not there; `now_s`: monotonic time.
        """
        self._address = address
        self._say, self._now_s, self._count = say, now_s, count
        self._said: str | None = None
        """What the card half holds; None when that is not known."""
        self._spot = ""
        self._fix_s = now_s()

    async def run(self) -> None:
        """Follow gpsd, for ever."""
        if not self._address:
            await asyncio.Event().wait()
        watch = asyncio.create_task(self._watch())
        try:
            await self._connect()
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        """Notice that nobody knows the spot any more, and a card half that heard nothing yet."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self._tell()

    async def _connect(self) -> None:
        """Connect, listen, and connect again."""
        backoff = Backoff(cap_s=CAP_S)
        while True:
            try:
                await self._listen(backoff)
            except (OSError, UnicodeError, NotGpsd) as error:  # UnicodeError: of a host's name
                self._count("gpsd.lost")
                _log.info("gpsd: %s", str(error) or "it says nothing")
            await asyncio.sleep(backoff.next_s())

    def card_half_came(self) -> None:
        """Tell a card half that has just started where the vehicle is."""
        self._said = None
        if self._address:
            self._tell()

    async def _listen(self, backoff: Backoff) -> None:
        """Hear gpsd until it is gone. Raises OSError, UnicodeError or NotGpsd."""
        host, _, port = self._address.rpartition(":")
        async with asyncio.timeout(LOST_S):
            reader, writer = await asyncio.open_connection(host, int(port), limit=LINE_BYTES_MAX)
        try:
            writer.write(WATCH)
            await self._follow(reader, backoff)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _follow(self, reader: asyncio.StreamReader, backoff: Backoff) -> None:
        second_s, lines = self._now_s(), 0
        while line := await self._line(reader):
            if spot := spot_of(line):
                self._spot, self._fix_s = spot, self._now_s()
                backoff.reset()
            self._tell()
            lines += 1
            if self._now_s() - second_s >= 1:
                second_s, lines = self._now_s(), 0
            elif lines > LINES_PER_S_MAX:
                raise NotGpsd(f"more than {LINES_PER_S_MAX} lines in a second")
        raise NotGpsd("it has hung up")

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next line; empty at the end. Raises OSError or NotGpsd."""
        try:
            async with asyncio.timeout(LOST_S):
                return await reader.readline()
        except ValueError:  # of StreamReader, for a line beyond its limit
            raise NotGpsd(f"a line of more than {LINE_BYTES_MAX} bytes") from None

    def _tell(self) -> None:
        """Say where the vehicle is, unless the card half knows it already."""
        if self._now_s() - self._fix_s >= LOST_S:
            self._spot = ""
        elif not self._spot:
            return  # just started: what the card half heard before may still be true
        if self._spot != self._said and self._say(Position(spot=self._spot)):
            self._said = self._spot
