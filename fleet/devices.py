"""The listener for readers: rosters, usage, sealed keys and names, over TLS with certificates.

Rules: no certificate of our root, no connection; the certificate's fingerprint is looked up in the
registry at each request, so a revoked one is refused at the next; a reader gets the programmes of
its own place and nothing tells it that there are others. Errors are JSON:
`{"error": code, "hint": sentence}`.
"""

import asyncio
import functools
import hashlib
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet import usage_rows
from fleet.config import Config
from fleet.differences import Differences
from fleet.grants import Role
from fleet.roster_files import by_hash, by_version, open_rows, rows_path
from fleet.schema import gate_names, place, reader
from fleet.store import Store, open_fleet
from wire import door
from wire.roster import ROSTER
from wire.rows_delta import encode_delta
from wire.usage import USAGE

log: Final = structlog.get_logger("fleet.devices")

CONNECTIONS_MAX: Final = 500
"""Half of the files that a process may usually open (1,024); a reader asks for a few seconds and
tries again later, each at its own moment."""
SHUTDOWN_S: Final = 5.0
"""For what is being sent; a reader whose roster is cut off fetches it again."""
REQUEST_BYTES_MAX: Final = 1024
"""Readers only ask; nothing is taken in here."""
VERSION_DIGITS_MAX: Final = 15
LOOK_UPS_AT_ONCE: Final = 4
"""Threads that read the registry: a look-up takes some 0.2 ms."""
ROSTERS_AT_ONCE: Final = 2
"""Threads that find rosters, usage and what has changed: the latter takes 0.1 to 1 s in a
million."""
PIECE_BYTES: Final = 64 * 1024
"""Of a roster's rows read and sent at a time; a slow reader holds up nobody else."""
_SHA256: Final = re.compile("[0-9a-f]{64}")
T = TypeVar("T")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Device(NamedTuple):
    """The reader at the other end."""

    name: str
    place: str
    programmes: list[str]
    keys_sealed: bytes | None


class _Answer(NamedTuple):
    """A roster's head and the file of its rows, or a delta and None."""

    sha256: bytes
    start: bytes
    rows: BinaryIO | None


class Refusal(Exception):
    """An answer that says no: status, stable code, and what to do."""

    def __init__(self, status: int, code: str, hint: str) -> None:
        super().__init__(code)
        self.status: Final = status
        self.code: Final = code
        self.hint: Final = hint


_NOT_ENROLLED: Final = (
    403,
    "not-enrolled",
    "this certificate is not in service: import the registry again, or enrol the reader anew",
)
_BAD_FROM: Final = (
    400,
    "bad-from",
    "`from` is a SHA-256 in hex: of the head of a roster that is held, of the rows of a usage file",
)
_NOT_FOUND: Final = (404, "not-found", "ask for what twin/desired names")


class Devices:
    """What readers may ask for."""

    def __init__(self, state: Path, store: Store) -> None:
        self._state = state
        self._store = store
        self._of_rosters = Differences(functools.partial(open_rows, state))
        self._of_usage = Differences(functools.partial(usage_rows.open_rows, store))
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, thread_name_prefix="registry")
        self._readers = ThreadPoolExecutor(ROSTERS_AT_ONCE, thread_name_prefix="rosters")

    def application(self) -> web.Application:
        """Return the web application; it closes the store at its end."""
        app = web.Application(middlewares=[_errors_as_json], client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get("/v1/rosters/{programme}/{version}", self._roster)
        app.router.add_get("/v1/usage/{programme}", self._usage)
        app.router.add_get("/v1/keys", self._keys)
        app.router.add_get("/v1/names", self._names)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._threads.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self._store.close()

    async def _device(self, request: web.Request) -> Device:
        print_ = fingerprint(request)
        return await self._in_thread(self._look_up, print_, threads=self._threads)

    def _look_up(self, print_: str) -> Device:
        with self._store.read() as connection:
            row = connection.execute(
                sa.select(reader.c.name, reader.c.place, place.c.programmes, reader.c.keys_sealed)
                .join(place, reader.c.place == place.c.name)
                .where(reader.c.fingerprint == print_, reader.c.revoked_at_ms.is_(None))
            ).one_or_none()
        if row is None:
            raise Refusal(*_NOT_ENROLLED)
        return Device(*row)

    async def _roster(self, request: web.Request) -> web.StreamResponse:
        """A roster, or what has changed since the one that is held (`from`: its head's SHA-256)."""
        device = await self._device(request)
        programme, version = request.match_info["programme"], request.match_info["version"]
        if not (version.isascii() and version.isdigit()) or len(version) > VERSION_DIGITS_MAX:
            raise Refusal(*_NOT_FOUND)
        if programme not in device.programmes:
            raise Refusal(*_NOT_FOUND)
        asked = (programme, device.place, int(version), _held(request))
        answer = await self._in_thread(self._answer, *asked, threads=self._readers)
        headers = {"ETag": f'"{answer.sha256.hex()}"', "Cache-Control": "private"}
        if answer.rows is None:
            return web.Response(body=answer.start, content_type=ROSTER.delta_type, headers=headers)
        with answer.rows as rows:
            return await _whole(request, answer.start, rows, headers)

    def _answer(self, programme: str, place: str, version: int, held: bytes) -> _Answer:
        """Return what is sent. Raises Refusal for what is not, or no longer, there."""
        with self._store.read() as connection:
            kept = by_version(connection, programme, place, version)
            base = by_hash(connection, programme, place, held) if held else None
        if kept is None:
            raise Refusal(*_NOT_FOUND)
        if base is not None:
            change = self._of_rosters.between(programme, base.rows_sha256, kept.rows_sha256)
            if change is not None:
                return _Answer(kept.sha256, encode_delta(held, kept.head, change), None)
        try:
            return _Answer(
                kept.sha256,
                kept.head,
                rows_path(self._state, programme, kept.rows_sha256).open("rb"),
            )
        except FileNotFoundError:
            raise Refusal(*_NOT_FOUND) from None

    async def _in_thread(
        self, work: Callable[..., T], *arguments: object, threads: ThreadPoolExecutor
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    async def _usage(self, request: web.Request) -> web.StreamResponse:
        """The newest usage file, or what has changed since the one held (`from`: of its rows)."""
        device = await self._device(request)
        programme = request.match_info["programme"]
        if programme not in device.programmes:
            raise Refusal(*_NOT_FOUND)
        asked = (programme, device.place, _held(request))
        body, content_type = await self._in_thread(self._told, *asked, threads=self._readers)
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return web.Response(body=body, headers=headers)

    def _told(self, programme: str, place: str, held: bytes) -> tuple[bytes, str]:
        """Return what is sent of usage, and its type. Raises Refusal when there is nothing."""
        with self._store.read() as connection:
            head = usage_rows.newest(connection, programme, place)
            alike = head and held and usage_rows.is_alike(connection, programme, held, head)
        if head and alike:
            change = self._of_usage.between(programme, held, head.rows_sha256)
            if change is not None:
                return encode_delta(held, head.head, change), USAGE.delta_type
        with self._store.read() as connection:
            file = usage_rows.file_of(connection, programme, place)
        if file is None:
            raise Refusal(*_NOT_FOUND)
        return file, "application/octet-stream"

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return _sealed((await self._device(request)).keys_sealed)

    async def _names(self, request: web.Request) -> web.StreamResponse:
        device = await self._device(request)
        return _sealed(await self._in_thread(self._named, device.name, threads=self._threads))

    def _named(self, name: str) -> bytes | None:
        wanted = sa.select(gate_names.c.sealed).where(gate_names.c.reader == name)
        with self._store.read() as connection:
            found: bytes | None = connection.scalar(wanted)
        return found


def _sealed(file: bytes | None) -> web.Response:
    """Answer with what this reader alone can open. Raises Refusal when there is none."""
    if file is None:
        raise Refusal(*_NOT_FOUND)
    digest = hashlib.sha256(file).hexdigest()
    return web.Response(
        body=file,
        content_type="application/octet-stream",
        headers={"ETag": f'"{digest}"', "Cache-Control": "no-store"},
    )


def _held(request: web.Request) -> bytes:
    """Return the hash of what the reader holds, empty for nothing. Raises Refusal."""
    held = request.query.get("from", "")
    if held and not _SHA256.fullmatch(held):
        raise Refusal(*_BAD_FROM)
    return bytes.fromhex(held)


async def _whole(
    request: web.Request, head: bytes, rows: BinaryIO, headers: dict[str, str]
) -> web.StreamResponse:
    """Send a head and the rows behind it."""
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/octet-stream"
    response.content_length = len(head) + os.fstat(rows.fileno()).st_size
    await response.prepare(request)
    await response.write(head)
    while piece := rows.read(PIECE_BYTES):
        await response.write(piece)
    await response.write_eof()
    return response


def fingerprint(request: web.Request) -> str:
    """Return the SHA-256 of the client's certificate, in hex. Raises Refusal when there is none."""
    transport = request.transport
    tls: Any = transport.get_extra_info("ssl_object") if transport else None
    certificate = tls.getpeercert(binary_form=True) if tls else None
    if not certificate:
        raise Refusal(*_NOT_ENROLLED)
    return hashlib.sha256(certificate).hexdigest()


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        log.info("refused", path=request.path, code=refusal.code)
        return _json(refusal.status, refusal.code, refusal.hint)
    except web.HTTPException as error:
        if error.status == 404:
            return _json(*_NOT_FOUND)
        return _json(error.status, "not-possible", error.reason)


def _json(status: int, code: str, hint: str) -> web.Response:
    return web.json_response({"error": code, "hint": hint}, status=status)


def server_tls(config: Config) -> ssl.SSLContext:
    """Return a context that asks every client for a certificate of our root."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.server_certificate, config.server_key)
    return context


async def serve(config: Config) -> None:
    """Run the listener until cancelled. Raises StoreUnusable, OSError when the port is taken."""
    store = open_fleet(config.databases, Role.DEVICES)
    runner = door.runner(Devices(config.state_folder, store).application(), SHUTDOWN_S)
    await runner.setup()
    try:
        await door.Door(
            runner,
            config.devices_host,
            config.devices_port,
            CONNECTIONS_MAX,
            server_tls(config),
        ).start()
        log.info("devices ready", port=config.devices_port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
