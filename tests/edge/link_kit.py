"""A reader's folder, a small fleet and a card half, for the tests of the network half."""

import asyncio
import contextlib
import hashlib
import io
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509 import load_pem_x509_certificate

from edge.clock import Stamp
from edge.config import Config, read_config
from edge.identity import read_identity
from edge.journal import FOLDER
from edge.journal_writer import Journal
from edge.link import Link
from edge.panel import SOCKET_NAME, Appended, Condition, FromLink, FromTap
from tests.edge.rig import Broker, free_port, until
from wire.clock import Clock, ClockState, SystemClock
from wire.credential import Credential
from wire.desk import DeskAnswer, DeskRequest
from wire.entries import ClockStep, Used, chain
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import (
    Ack,
    Batch,
    RosterWanted,
    Status,
    Telemetry,
    Triage,
    TwinDesired,
    TwinReported,
)
from wire.mqtt import Connection
from wire.roster import (
    ROSTER,
    ROW,
    RosterHeader,
    RosterRow,
    build_roster,
)
from wire.rows import FileKind, Rows, RowsRefused
from wire.rows_delta import difference, encode_delta
from wire.topics import UP, Leaf, ReaderName, every_reader, parse_topic, topic
from wire.usage import USAGE, UsageHeader, UsageRow, build_usage, pack_usage, row_bytes

T = TypeVar("T")
READER = ReaderName("kazasu-shi", "bus-1")
PASS = "senior-pass"
DAY_AND_YEAR = ["2026", "2026-06-03"]
READY = Condition(
    ready=True, trouble=None, front_end="udp", clock=ClockState.SYNCHRONISED, rosters={PASS: 3}
)


def stamp() -> Stamp:
    return Stamp(SystemClock().now_ms(), 0, ClockState.SYNCHRONISED)


@dataclass
class Reader:
    """One reader's folder, with a journal that the test writes."""

    folder: Path
    broker: Broker
    kind: str = "bus"
    devices_port: int = field(default_factory=free_port)
    page_port: int = field(default_factory=free_port)
    fleet: Signer = field(default_factory=lambda: Signer(ed25519.Ed25519PrivateKey.generate()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self.broker.authority.issue(str(READER))
        public = self.fleet._key.public_key()
        (self.folder / "fleet.pub").write_bytes(
            public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self.file = self.folder / "edge.toml"
        self.file.write_text(
            f"""
reader = "{READER}"
place = "bus-1"
place_kind = "{self.kind}"
programmes = ["{PASS}"]
front_end = "udp:127.0.0.1:1"
technologies = ["106B"]
broker_host = "localhost"
broker_port = {self.broker.readers_port}
devices_url = "https://localhost:{self.devices_port}"
page_port = {self.page_port}
authority = "{self.broker.authority.root}"
certificate = "{certificate}"
key = "{key}"
"""
        )
        _, sealing = self.broker.authority.issue("sealing")
        Path(sealing).rename(self.folder / "sealing.key")
        self.key = load_pem_x509_certificate(Path(certificate).read_bytes()).public_key()

    @property
    def config(self) -> Config:
        return read_config(self.file)

    @property
    def state(self) -> Path:
        return Path(self.config.state)

    def journal(self) -> Journal:
        return Journal(self.state / FOLDER, str(READER), "boot", "test", stamp)


def fill(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.append(ClockStep(v=1, n=1, step_ms=1, **stamp()._asdict()))


@contextlib.asynccontextmanager
async def running_link(reader: Reader, clock: Clock | None = None) -> AsyncIterator[Link]:
    config = reader.config
    link = Link(config, read_identity(config), clock or SystemClock())
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class Fleet:
    """Takes in batches as the ledger does, and signs what it says."""

    reader: Reader
    epoch: str = "1" * 32
    answers: bool = True
    """Sends acknowledgements for what it commits."""
    ledger: dict[str, dict[int, bytes | None]] = field(default_factory=lambda: defaultdict(dict))
    """Bytes by number, None for a number that was declared lost."""
    order: list[tuple[str, int]] = field(default_factory=list)
    """Numbers in the order of their first commit."""
    batches: list[Batch] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    minutes: list[Telemetry] = field(default_factory=list)
    strangers: list[Triage] = field(default_factory=list)
    reports: list[TwinReported] = field(default_factory=list)
    answered: list[DeskAnswer] = field(default_factory=list)

    async def open(self) -> None:
        self.connection = Connection(self.reader.broker.fleet())
        await self.connection.open()
        await self.connection.subscribe(*(every_reader(leaf) for leaf in UP))
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.connection.close()

    async def _work(self) -> None:
        while True:
            message = await self.connection.messages.get()
            self.connection.acknowledge(message)
            name, leaf = parse_topic(message.topic)
            assert name == READER
            match leaf:
                case Leaf.ENTRIES:
                    self.batches.append(self._open(message.payload, Purpose.BATCH, Batch))
                    self.commit(self.batches[-1])
                    if self.answers:
                        await self.acknowledge(self.batches[-1].journal)
                case Leaf.STATUS:
                    self.statuses.append(self._open(message.payload, Purpose.STATUS, Status))
                case Leaf.TELEMETRY:
                    self.minutes.append(self._open(message.payload, Purpose.TELEMETRY, Telemetry))
                case Leaf.TRIAGE:
                    self.strangers.append(self._open(message.payload, Purpose.TRIAGE, Triage))
                case Leaf.COMMAND_RESULT:
                    self.answered.append(
                        self._open(message.payload, Purpose.DESK_ANSWER, DeskAnswer)
                    )
                case Leaf.TWIN_REPORTED:
                    self.reports.append(
                        self._open(message.payload, Purpose.TWIN_REPORTED, TwinReported)
                    )

    def _open(self, payload: bytes, purpose: Purpose, kind: type[T]) -> T:
        key = self.reader.key
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return open_envelope(payload, purpose, str(READER), key, kind)

    def commit(self, batch: Batch) -> None:
        """Verify the chain and keep what is new; the same number with other bytes is a failure."""
        rows = self.ledger[batch.journal]
        tip = batch.before
        for n in range(batch.first, batch.first + batch.lost):
            self._keep(rows, batch.journal, n, None)
        for n, raw in enumerate(batch.entries, batch.first + batch.lost):
            tip = chain(tip, bytes(raw))
            self._keep(rows, batch.journal, n, bytes(raw))
        assert tip == batch.tip

    def _keep(
        self, rows: dict[int, bytes | None], journal: str, n: int, body: bytes | None
    ) -> None:
        if n not in rows:
            self.order.append((journal, n))
        assert rows.setdefault(n, body) == body

    def through(self, journal: str) -> int:
        rows = self.ledger[journal]
        return next(n for n in range(len(rows) + 2) if n + 1 not in rows)

    async def acknowledge(self, journal: str, by: Signer | None = None) -> None:
        ack = Ack(
            v=1,
            epoch=self.epoch,
            journal=journal,
            through=self.through(journal),
            at_ms=SystemClock().now_ms(),
        )
        payload = (by or self.reader.fleet).seal(Purpose.ACK, str(READER), ack)
        await self.connection.publish(topic(READER, Leaf.ACK), payload)

    async def ask(self, request: DeskRequest, by: Signer | None = None) -> None:
        payload = (by or self.reader.fleet).seal(Purpose.DESK_REQUEST, str(READER), request)
        await self.connection.publish(topic(READER, Leaf.COMMAND), payload)

    def wish(
        self,
        rosters: list[RosterWanted],
        at_ms: int,
        keys: bytes | None = None,
        names: bytes | None = None,
    ) -> bytes:
        desired = TwinDesired(v=1, at_ms=at_ms, rosters=rosters, keys=keys, names=names)
        return self.reader.fleet.seal(Purpose.TWIN_DESIRED, str(READER), desired)

    async def desire(self, payload: bytes) -> None:
        await self.connection.publish(topic(READER, Leaf.TWIN_DESIRED), payload, retain=True)


@contextlib.asynccontextmanager
async def running_fleet(reader: Reader) -> AsyncIterator[Fleet]:
    fleet = Fleet(reader)
    await fleet.open()
    try:
        yield fleet
    finally:
        await fleet.close()


class CardHalf:
    """The far end of the Unix socket."""

    def __init__(self, state: Path) -> None:
        self._path = state / SOCKET_NAME
        self.heard: list[FromLink] = []
        self.writer: asyncio.StreamWriter | None = None
        self.greeting: list[FromTap] = [READY]

    async def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._greet, self._path)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        for message in self.greeting:
            self.say(message)
        decoder = msgspec.json.Decoder(FromLink)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                self.heard.append(decoder.decode(line))
        writer.close()

    def say(self, message: FromTap) -> None:
        assert self.writer
        self.writer.write(msgspec.json.encode(message) + b"\n")

    def appended(self, journal: Journal) -> None:
        self.say(Appended(journal=journal.id, n=journal.n, tip=journal.tip))

    async def connected(self) -> None:
        await until(lambda: self.writer, "link has connected to tap")

    async def close(self) -> None:
        self._server.close()
        if self.writer:
            self.writer.close()
        await self._server.wait_closed()


@contextlib.asynccontextmanager
async def running_tap(reader: Reader) -> AsyncIterator[CardHalf]:
    tap = CardHalf(reader.state)
    await tap.open()
    try:
        yield tap
    finally:
        await tap.close()


def roster_file(
    reader: Reader,
    version: int = 3,
    by: Signer | None = None,
    programme: str = PASS,
    rows: int = 10,
) -> bytes:
    header = RosterHeader(
        v=1,
        programme=programme,
        place="bus-1",
        version=version,
        at_ms=0,
        key_epoch=1,
        schemes=[],
        categories=["all"],
        rules=[],
        triage=False,
        rows=0,
        rows_sha256=b"\0" * 32,
    )
    members = [RosterRow(f"{n:032x}", "all", None, None, None) for n in range(rows)]  # type: ignore[arg-type]
    return build_roster(header, members, READER.tenant, by or reader.fleet)


def wanted(data: bytes, version: int = 3, programme: str = PASS) -> RosterWanted:
    return RosterWanted(programme=programme, version=version, sha256=named(data))


def named(data: bytes) -> bytes:
    """Return the hash by which a roster file is known; what is none has one of its own."""
    try:
        return hashlib.sha256(ROSTER.read_head(io.BytesIO(data))).digest()
    except RowsRefused:
        return hashlib.sha256(data).digest()


def delta_of(old: bytes, new: bytes) -> bytes:
    """Return what turns one roster file into another."""
    return _delta(ROSTER, old, new, ROW.size, named(old))


def usage_file(
    reader: Reader, at_ms: int, rides: dict[int, int], by: Signer | None = None
) -> bytes:
    """Return a usage file of a day and year, of these members."""
    header = UsageHeader(
        v=1, programme=PASS, place=READER.reader, at_ms=at_ms, periods=DAY_AND_YEAR,
        marks={}, rows=0, rows_sha256=bytes(32),
    )  # fmt: skip
    rows = [
        UsageRow(Credential(hashlib.sha256(b"%d" % n).hexdigest()[:32]), {"2026": Used(times)})
        for n, times in rides.items()
    ]
    return build_usage(header, pack_usage(rows, header.periods), READER.tenant, by or reader.fleet)


def usage_delta_of(old: bytes, new: bytes) -> bytes:
    """Return what turns one such file into another."""
    return _delta(USAGE, old, new, row_bytes(DAY_AND_YEAR), named_usage(old))


def named_usage(data: bytes) -> bytes:
    """Return the hash by which a usage file is known."""
    file = io.BytesIO(data)
    USAGE.read_head(file)
    return hashlib.sha256(file.read()).digest()


def _delta(kind: FileKind, old: bytes, new: bytes, size: int, name: bytes) -> bytes:
    files = [io.BytesIO(data) for data in (old, new)]
    heads = [kind.read_head(file) for file in files]
    rests = [file.read() for file in files]
    before, after = (Rows(rest, 0, len(rest) // size, size) for rest in rests)
    change = difference(before, after, len(new))
    assert change is not None
    return encode_delta(name, heads[1], change)


@dataclass
class Devices:
    """The fleet's HTTPS listener for readers."""

    reader: Reader
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    deltas: dict[str, bytes] = field(default_factory=dict)
    """By address with its query."""
    cut_at: int | None = None
    """Breaks the connection after so many bytes."""

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        authority = self.reader.broker.authority
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.root))
        context.load_cert_chain(*authority.issue("localhost"))
        context.verify_mode = ssl.CERT_REQUIRED
        site = web.TCPSite(self._runner, "localhost", self.reader.devices_port, ssl_context=context)
        await site.start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        delta = self.deltas.get(request.path_qs)
        if (body := delta or self.files.get(request.path)) is None:
            error = {"error": "not-found", "hint": "this place has no such roster"}
            return web.json_response(error, status=404)
        response = web.StreamResponse()
        kind = USAGE if "/usage/" in request.path else ROSTER
        response.content_type = kind.delta_type if delta else "application/octet-stream"
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: self.cut_at])
        if self.cut_at is not None:
            assert request.transport
            request.transport.close()
        return response

    async def close(self) -> None:
        await self._runner.cleanup()


@contextlib.asynccontextmanager
async def running_devices(reader: Reader) -> AsyncIterator[Devices]:
    devices = Devices(reader)
    await devices.open()
    try:
        yield devices
    finally:
        await devices.close()
