"""Where a vehicle is: by the real gpsd, which reads a receiver that plays a track."""

import asyncio
import contextlib
import datetime
import itertools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import ConfigRefused, read_config
from edge.gps import LINE_BYTES_MAX, LINES_PER_S_MAX, LOST_S, WATCH, Gps, spot_of
from edge.panel import FromLink, Position
from hw.sim.gps import Fix, Point, nmea, receiving, where
from hw.sim.services import Service
from tests.edge.link_kit import READY, Reader, running_link, running_tap
from tests.edge.rig import free_port, running_broker, until
from wire.entries import Spot

STATION = Point(0, 36.38312, 139.07268)
CITY_HALL = Point(100, 36.38951, 139.06049)
GARAGE = Point(200, None, None)
OUT_AGAIN = Point(300, 36.39044, 139.06049)
TRACK = [STATION, CITY_HALL, GARAGE, OUT_AGAIN]
AT_STATION, AT_CITY_HALL, AT_OUT_AGAIN = "36.383,139.073", "36.390,139.060", "36.390,139.060"


@dataclass
class Vehicle:
    """What drives along the track, and the two halves of its reader."""

    port: int = field(default_factory=free_port)
    track_s: float = 0.0
    ahead_s: float = 0.0
    """How much further the reader's time is than the machine's."""
    tap_there: bool = True
    heard: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gps = Gps(f"127.0.0.1:{self.port}", self._say, self._now_s, self.counts.append)

    def _now_s(self) -> float:
        return asyncio.get_event_loop().time() + self.ahead_s

    def _say(self, said: Position) -> bool:
        if self.tap_there:
            self.heard.append(said.spot)
        return self.tap_there

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.gps.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def reads_another_fix(self) -> None:
        last_s = self.gps._fix_s
        await until(lambda: self.gps._fix_s > last_s, "another fix")

    async def reads_none_for(self, seconds: float) -> None:
        await until(lambda: self._now_s() - self.gps._fix_s > seconds, "no fix any more")

    async def hears(self, *spots: str) -> None:
        await until(lambda: self.heard == list(spots), f"{spots} (heard: {self.heard})")


@pytest.fixture
async def vehicle() -> Vehicle:
    return Vehicle()


@pytest.fixture
async def gpsd(vehicle: Vehicle, tmp_path: Path) -> AsyncIterator[Service]:
    log = tmp_path / "gpsd.log"
    async with receiving(TRACK, vehicle.port, log, lambda: vehicle.track_s) as service:
        yield service


# --- with Debian's gpsd --------------------------------------------------------------------------


async def test_a_spot_is_said_when_it_changes_and_emptied_a_minute_after_the_last_fix(
    vehicle: Vehicle, gpsd: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with vehicle.listening():
        await vehicle.hears(AT_STATION)
        vehicle.track_s = 1  # 13 m further
        for _ in range(3):
            await vehicle.reads_another_fix()
        assert vehicle.heard == [AT_STATION]
        vehicle.track_s = 100
        await vehicle.hears(AT_STATION, AT_CITY_HALL)
        vehicle.track_s = 250  # in the garage: no fix
        await vehicle.reads_none_for(2)
        assert vehicle.heard == [AT_STATION, AT_CITY_HALL]
        vehicle.ahead_s = LOST_S
        await vehicle.hears(AT_STATION, AT_CITY_HALL, "")
        vehicle.track_s = 300
        await vehicle.hears(AT_STATION, AT_CITY_HALL, "", AT_OUT_AGAIN)
    assert not vehicle.counts
    assert not [text for text in caplog.messages if "36.3" in text or "139.0" in text]


async def test_gpsd_may_die_and_come_back(vehicle: Vehicle, gpsd: Service) -> None:
    async with vehicle.listening():
        await vehicle.hears(AT_STATION)
        gpsd.kill()
        await until(lambda: vehicle.counts, "the connection is lost")
        vehicle.track_s = 100
        await vehicle.hears(AT_STATION, AT_CITY_HALL)
    assert set(vehicle.counts) == {"gpsd.lost"}


async def test_gpsd_may_start_after_the_reader(vehicle: Vehicle, tmp_path: Path) -> None:
    async with vehicle.listening():
        await until(lambda: vehicle.counts, "nobody is there")
        log = tmp_path / "gpsd.log"
        async with receiving(TRACK, vehicle.port, log, lambda: vehicle.track_s):
            await vehicle.hears(AT_STATION)


async def test_the_card_half_hears_the_spot_whenever_it_comes(
    vehicle: Vehicle, gpsd: Service
) -> None:
    vehicle.tap_there = False
    async with vehicle.listening():
        await until(lambda: vehicle.gps._spot, "a fix")
        assert vehicle.heard == []
        vehicle.tap_there = True
        await vehicle.hears(AT_STATION)
        vehicle.gps.card_half_came()
        await vehicle.hears(AT_STATION, AT_STATION)


async def test_nobody_knows_where_a_vehicle_is_that_never_had_a_fix(vehicle: Vehicle) -> None:
    async with vehicle.listening():
        await until(lambda: vehicle.counts, "nobody is there")
        vehicle.gps.card_half_came()
        assert vehicle.heard == []
        vehicle.ahead_s = LOST_S
        await vehicle.hears("")


async def test_the_network_half_tells_the_card_half(tmp_path: Path) -> None:
    port = free_port()
    async with running_broker(tmp_path / "broker") as broker:
        reader = Reader(tmp_path / "taxi-1", broker, kind="taxi")
        with reader.file.open("a") as file:
            file.write(f'gpsd = "127.0.0.1:{port}"\n')
        receiver = receiving(TRACK, port, tmp_path / "gpsd.log", lambda: 0)
        async with receiver, running_link(reader):
            await told_where_it_is(reader)
            await told_where_it_is(reader)  # a card half that was started again knows nothing


async def told_where_it_is(reader: Reader) -> None:
    async with running_tap(reader) as tap:
        await tap.connected()
        tap.say(READY)
        await until(lambda: spots(tap.heard), "it hears where it is")
        assert spots(tap.heard) == [AT_STATION]


def spots(heard: list[FromLink]) -> list[str]:
    return [one.spot for one in heard if isinstance(one, Position)]


# --- what may come instead of gpsd ---------------------------------------------------------------

TPV = b'{"class":"TPV","mode":3,"lat":36.38951,"lon":139.06049}\n'
Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff\xfe\x00\n{\n[]\nnull\n" + b'{"a":' * 20_000 + b"\n")
    await writer.drain()


async def _endless_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in itertools.count():
        writer.write(b"x" * LINE_BYTES_MAX)
        await writer.drain()


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in itertools.count():
        writer.write(b'{"class":"SKY"}\n' * LINES_PER_S_MAX)
        await writer.drain()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'{"class":"VERSION"')


@contextlib.asynccontextmanager
async def served(port: int, *servers: Server) -> AsyncIterator[None]:
    """One server for each connection in turn; the last also for all that follow."""
    left = list(servers)

    async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)
        writer.close()

    server = await asyncio.start_server(_serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize("bad", [_garbage, _endless_line, _flood, _hangs_up])
async def test_whoever_speaks_in_its_place_is_left_alone_and_tried_again(
    vehicle: Vehicle, bad: Server
) -> None:
    asked: list[bytes] = []

    async def _good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(TPV)
        await writer.drain()
        await reader.read()

    async with served(vehicle.port, bad, _good), vehicle.listening():
        await vehicle.hears(AT_CITY_HALL)
    assert vehicle.counts == ["gpsd.lost"]
    assert asked == [WATCH]


# --- one line ------------------------------------------------------------------------------------


def report(**members: object) -> bytes:
    good = {"class": "TPV", "mode": 3, "lat": 36.38951, "lon": 139.06049}
    return json.dumps(good | members).encode()


@pytest.mark.parametrize(
    ("latitude", "longitude", "spot"),
    [
        (36.38951, 139.06049, "36.390,139.060"),
        (36.3894999, 139.0604, "36.389,139.060"),
        (-33.85678, -70.5, "-33.857,-70.500"),
        (0, 0, "0.000,0.000"),
        (-0.0001, 5.00049, "-0.000,5.000"),
        (90, 180, "90.000,180.000"),
        (36, 139, "36.000,139.000"),
    ],
)
def test_a_position_is_rounded_to_a_hundred_metres(
    latitude: float, longitude: float, spot: str
) -> None:
    assert spot_of(report(lat=latitude, lon=longitude)) == spot
    assert spot_of(report(lat=latitude, lon=longitude, mode=2, alt=112.5, sats=[])) == spot


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{", b"[]", b"null", b"1", b'"TPV"', b"\xff\xff", b"\x00" * 100, b'{"class":',
        b"[" * 50_000, b'{"class":"TPV","mode":3,"lat":NaN,"lon":NaN}',
        b'{"class":"TPV","mode":3,"lat":1e999,"lon":139.0}',
        b'{"class":"TPV","mode":3,"lat":36.3,"lon":' + b"[" * 50_000,
        report(mode=0), report(mode=1), report(mode="3"), report(mode=True), report(mode=None),
        report(lat=None), report(lon=None), report(lat="36.4"), report(lat=[36.4]),
        report(lat=90.5), report(lat=-91), report(lon=180.5), report(lon=1e300),
        report(**{"class": "SKY"}), report(**{"class": 3}), report(**{"class": None}),
        b'{"mode":3,"lat":36.3,"lon":139.0}',
    ],
)  # fmt: skip
def test_what_is_no_fix_is_no_place(line: bytes) -> None:
    assert spot_of(line) == ""


@given(st.binary() | st.floats().flatmap(lambda at: st.just(json.dumps(
    {"class": "TPV", "mode": 3, "lat": at, "lon": at}).encode())))  # fmt: skip
def test_whatever_a_line_holds_it_is_a_spot_or_nothing(line: bytes) -> None:
    msgspec.convert(spot_of(line), Spot)


# --- the configuration, and the receiver itself --------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", ":2947", "localhost:", "localhost:0", "localhost:65536", "a b:1", "x:1\\n"],
)
async def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        reader = Reader(tmp_path / "taxi-1", broker, kind="taxi")
    text = reader.file.read_text()
    reader.file.write_text(f'{text}gpsd = "127.0.0.1:2947"\n')
    assert read_config(reader.file).gpsd == "127.0.0.1:2947"
    reader.file.write_text(f'{text}gpsd = "{address}"\n')
    with pytest.raises(ConfigRefused, match="gpsd"):
        read_config(reader.file)


def test_a_vehicle_goes_straight_between_two_points_and_stands_at_the_ends() -> None:
    assert where(TRACK, -5) == where(TRACK, 0) == Fix(36.38312, 139.07268)
    middle = where(TRACK, 50)
    assert middle
    assert middle == pytest.approx((36.386315, 139.066585))
    assert where(TRACK, 150) == Fix(36.38951, 139.06049)
    assert where(TRACK, 250) is None
    assert where(TRACK, 300) == where(TRACK, 9_999) == Fix(36.39044, 139.06049)


def test_a_receiver_speaks_as_the_standard_has_it() -> None:
    at = datetime.datetime(2026, 6, 3, 9, 5, 7, tzinfo=datetime.UTC)
    said = nmea(Fix(36.38951, -139.06049), at).decode().splitlines()
    assert said[0].startswith("$GPGGA,090507.00,3623.3706,N,13903.6294,W,1,08,")
    assert said[2].startswith("$GPRMC,090507.00,A,3623.3706,N,13903.6294,W,0.0,0.0,030626,,,A*")
    assert nmea(None, at).decode().splitlines()[2].startswith("$GPRMC,090507.00,V,,,,,0.0,0.0,")
