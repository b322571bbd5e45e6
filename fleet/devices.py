"""The listener for readers: rosters and sealed keys, over TLS with the reader's own certificate.

Rules: no certificate of our root, no connection; the certificate's fingerprint is looked up in the
registry at each request, so a revoked one is refused at the next; a reader gets the programmes of
its own place and nothing tells it that there are others. Errors are JSON:
`{"error": code, "hint": sentence}`.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
import structlog
from aiohttp import web

from fleet.config import Config
from fleet.grants import Role
from fleet.rosters import roster_path
from fleet.schema import place, reader, roster
from fleet.store import Store, open_fleet
from wire.topics import parse_name

log: Final = structlog.get_logger("fleet.devices")

REQUEST_BYTES_MAX: Final = 1024
"""Readers only ask; nothing is taken in here."""
VERSION_DIGITS_MAX: Final = 15
LOOK_UPS_AT_ONCE: Final = 4
"""Threads that read the registry: a look-up takes some 0.2 ms."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Device(NamedTuple):
    """The reader at the other end."""

    name: str
    place: str
    programmes: list[str]
    keys_sealed: bytes | None


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
_NOT_FOUND: Final = (404, "not-found", "ask for what twin/desired names")


class Devices:
    """What readers may ask for."""

    def __init__(self, state: Path, store: Store) -> None:
        self._state = state
        self._store = store
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, thread_name_prefix="registry")

    def application(self) -> web.Application:
        """Return the web application; it closes the store at its end."""
        app = web.Application(middlewares=[_errors_as_json], client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get("/v1/rosters/{programme}/{version}", self._roster)
        app.router.add_get("/v1/keys", self._keys)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._threads.shutdown(wait=True)
        self._store.close()

    async def _device(self, request: web.Request) -> Device:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._look_up, fingerprint(request))

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
        device = await self._device(request)
        programme, version = request.match_info["programme"], request.match_info["version"]
        if not (version.isascii() and version.isdigit()) or len(version) > VERSION_DIGITS_MAX:
            raise Refusal(*_NOT_FOUND)
        try:
            parse_name(programme)
        except ValueError:
            raise Refusal(*_NOT_FOUND) from None
        if programme not in device.programmes:
            raise Refusal(*_NOT_FOUND)
        loop = asyncio.get_running_loop()
        number = int(version)
        if not await loop.run_in_executor(self._threads, self._built, programme, device, number):
            raise Refusal(*_NOT_FOUND)
        path = roster_path(self._state, programme, device.place, number)
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": "private"}
        return web.FileResponse(path, headers=headers)

    def _built(self, programme: str, device: Device, version: int) -> bool:
        with self._store.read() as connection:
            found = connection.scalar(
                sa.select(roster.c.version).where(
                    roster.c.programme == programme,
                    roster.c.place == device.place,
                    roster.c.version == version,
                )
            )
        return found is not None

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        device = await self._device(request)
        if device.keys_sealed is None:
            raise Refusal(*_NOT_FOUND)
        digest = hashlib.sha256(device.keys_sealed).hexdigest()
        return web.Response(
            body=device.keys_sealed,
            content_type="application/octet-stream",
            headers={"ETag": f'"{digest}"', "Cache-Control": "no-store"},
        )


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
    runner = web.AppRunner(Devices(config.state_folder, store).application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, config.devices_host, config.devices_port, ssl_context=server_tls(config)
        )
        await site.start()
        log.info("devices ready", port=config.devices_port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
