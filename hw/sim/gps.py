"""A vehicle's GPS receiver: plays a track as NMEA 0183 on a serial line; Debian's gpsd reads it.

A track is where the vehicle is at which second; between two points it goes straight, before the
first and after the last it stands. Where a point has no position, such as in a garage, the receiver
has no fix until the next. What a reader meets is the real gpsd on a port of its own.
"""

import asyncio
import contextlib
import datetime
import functools
import itertools
import operator
import os
import time
import tty
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hw.sim.services import Service, leashed, listens, system_program

EVERY_S: Final = 1.0
"""What a receiver does when nobody has told it otherwise."""
BAUD: Final = "9600"
"""gpsd is told, as it would else look for the speed of a line that has none."""

NOBODY: Final = 65_534
"""Debian's user and group without any right (Debian Policy, 9.2.2)."""


class Point(NamedTuple):
    """Where a vehicle is, in degrees (WGS 84); without a position: it has no fix."""

    at_s: float
    latitude: float | None
    longitude: float | None


Track = Sequence[Point]


ROUND: Final = (
    Point(0, 36.3831, 139.0727),
    Point(120, 36.3895, 139.0605),
    Point(200, 36.3990, 139.0480),
    Point(230, None, None),
    Point(240, 36.4021, 139.0492),
    Point(360, 36.3912, 139.0683),
    Point(480, 36.3831, 139.0727),
)
"""A taxi's round: the station, the city hall, a hospital with a garage, and back, at 40 km/h."""


class Fix(NamedTuple):
    """A position that the receiver knows."""

    latitude: float
    longitude: float


def where(track: Track, at_s: float) -> Fix | None:
    """Return where the vehicle is at a second of its track; None without a fix."""
    before = [point for point in track if point.at_s <= at_s] or list(track[:1])
    after = [point for point in track if point.at_s > at_s]
    here, there = before[-1], after[0] if after else before[-1]
    if here.latitude is None or here.longitude is None:
        return None
    if there.latitude is None or there.longitude is None or there.at_s <= here.at_s:
        return Fix(here.latitude, here.longitude)
    part = min(1.0, max(0.0, (at_s - here.at_s) / (there.at_s - here.at_s)))
    return Fix(
        here.latitude + part * (there.latitude - here.latitude),
        here.longitude + part * (there.longitude - here.longitude),
    )


def nmea(fix: Fix | None, at: datetime.datetime) -> bytes:
    """Return what a receiver says of one second: GGA, GSA and RMC (NMEA 0183, 4.1)."""
    place = (
        f"{_degrees(fix.latitude, 2, 'NS')},{_degrees(fix.longitude, 3, 'EW')}" if fix else ",,,"
    )
    time, day = f"{at:%H%M%S}.00", f"{at:%d%m%y}"
    seen = ",".join(f"{satellite:02}" for satellite in range(1, 9)) + ",,,," if fix else "," * 11
    return b"".join(
        map(
            _sentence,
            (
                f"GPGGA,{time},{place},{'1,08,1.0,112.0,M,40.0,M' if fix else '0,00,99.9,,M,,M'},,",
                f"GPGSA,A,{3 if fix else 1},{seen},{'1.5,1.0,1.1' if fix else '99.9,99.9,99.9'}",
                f"GPRMC,{time},{'A' if fix else 'V'},{place},0.0,0.0,{day},,,{'A' if fix else 'N'}",
            ),
        )
    )


def _degrees(value: float, digits: int, sides: str) -> str:
    """Return degrees and minutes as NMEA writes them: 3623.3400,N."""
    whole, minutes = divmod(round(abs(value) * 600_000), 600_000)
    return f"{whole:0{digits}}{minutes / 10_000:07.4f},{sides[value < 0]}"


def _sentence(body: str) -> bytes:
    check = functools.reduce(operator.xor, body.encode())
    return f"${body}*{check:02X}\r\n".encode()


@contextlib.asynccontextmanager
async def receiving(
    track: Track, port: int, log: Path, now_s: Callable[[], float]
) -> AsyncIterator[Service]:
    """Play a track to a gpsd that listens on a port of this machine; `now_s`: seconds of the track.

    Raises ServiceDied when gpsd does not start.
    """
    device, line = os.openpty()
    tty.setraw(line)
    os.set_blocking(device, False)
    command = [system_program("gpsd"), "-N", "-n", "-b", "-s", BAUD, "-f", "8N1", "-S", str(port)]
    command += ["-P", str(log.with_suffix(".pid")), os.ttyname(line)]
    gpsd = Service("gpsd", _as_nobody(command, line), log)
    playing = asyncio.create_task(_play(track, device, now_s))
    try:
        await gpsd.start()
        await gpsd.until(lambda: listens(port))
        yield gpsd
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await gpsd.stop()
        os.close(device)
        os.close(line)


@contextlib.asynccontextmanager
async def driving(ports: Mapping[str, int], logs: Path) -> AsyncIterator[None]:
    """Let vehicles drive the ROUND, each elsewhere on it, with a gpsd at each one's port.

    Raises ServiceDied when one does not start.
    """
    length_s = ROUND[-1].at_s
    async with contextlib.AsyncExitStack() as receivers:
        for number, (vehicle, port) in enumerate(ports.items()):
            ahead_s = number * length_s / len(ports)
            log = logs / f"{vehicle}-gpsd.log"
            now_s = functools.partial(_around, length_s, ahead_s)
            await receivers.enter_async_context(receiving(ROUND, port, log, now_s))
        yield


def _around(length_s: float, ahead_s: float) -> float:
    return (time.monotonic() + ahead_s) % length_s


def _as_nobody(command: Sequence[str], line: int) -> Sequence[str]:
    """Return a command that runs as `nobody`, with its line, where it would run as root.

    gpsd leaves root by itself, but the kernel then forgets whose end is to be its end.
    """
    if os.getuid() != 0:
        return command
    os.fchown(line, NOBODY, -1)
    ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return ["setpriv", *ids, *leashed(command)]


async def _play(track: Track, device: int, now_s: Callable[[], float]) -> None:
    for _ in itertools.count():
        at = datetime.datetime.now(datetime.UTC)
        with contextlib.suppress(BlockingIOError):  # nobody reads: a receiver does not wait
            os.write(device, nmea(where(track, now_s()), at))
        await asyncio.sleep(EVERY_S)
