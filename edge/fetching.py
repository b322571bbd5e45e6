"""Bringing a file from the fleet: whole, or by what has changed since the one that is held.

Rules: over HTTPS with the reader's certificate · a file is verified before it takes the place of
the one before, whether it came whole or was made of what had changed · what had changed and cannot
be used is no matter: the whole file is fetched.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

import aiohttp
import msgspec

from edge.config import Config
from edge.durable import PARTIAL, replacing
from edge.identity import Identity
from wire.envelope import MessageRefused
from wire.rows import FileKind
from wire.rows_delta import Base, apply_delta

ERROR_BYTES_MAX: Final = 4096
"""Of an error's JSON; the rest is not read."""
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
"""Without one byte: a mobile link that was lost, not a slow one."""
FETCH_TIMEOUT_S: Final = 900.0
"""A whole roster: a million rows are 28 MB, at 0.5 Mbit/s that takes 450 s."""
T = TypeVar("T")

_log = logging.getLogger(__name__)


class FetchFailed(Exception):
    """What was wanted did not come; the sentence is for the operator, and it is tried again."""


class DeltaUnusable(FetchFailed):
    """What has changed cannot be merged into what is held; the whole file can be fetched."""


class Source(NamedTuple):
    """Where a file of rows comes from."""

    session: aiohttp.ClientSession
    address: str
    kind: FileKind
    bytes_max: int


def open_session(config: Config, identity: Identity) -> aiohttp.ClientSession:
    """Return a session with the device listener; close it."""
    timeout = aiohttp.ClientTimeout(
        total=FETCH_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
    )
    connector = aiohttp.TCPConnector(ssl=identity.tls, limit=1)
    return aiohttp.ClientSession(
        config.devices_url, connector=connector, timeout=timeout, auto_decompress=False
    )


async def bring(source: Source, path: Path, base: Base | None, verify: Callable[[Path], T]) -> T:
    """Make the file at `path` what the fleet has: by what has changed since `base`, or whole.

    Returns what `verify` says of the new file before it takes its place, beside the loop; that
    raises FetchFailed. Raises that, ClientError or OSError: then what was there stays.
    """
    if base is not None:
        try:
            return await _bring(source, path, base, verify)
        except DeltaUnusable as error:
            _log.warning("%s: fetching it whole: %s", path.name, error)
    return await _bring(source, path, None, verify)


async def _bring(source: Source, path: Path, base: Base | None, verify: Callable[[Path], T]) -> T:
    address = f"{source.address}?from={base.name.hex()}" if base else source.address
    came = path.with_name(path.name + PARTIAL)
    with replacing(path) as file:
        content_type = await download(source.session, address, file, source.bytes_max)
        if base is None or content_type != source.kind.delta_type:
            return await asyncio.to_thread(verify, came)
        try:
            await asyncio.to_thread(_merge, base, came, source.kind)
            return await asyncio.to_thread(verify, came)
        except (FetchFailed, MessageRefused) as error:
            raise DeltaUnusable(str(error)) from error


def _merge(base: Base, came: Path, kind: FileKind) -> None:
    """Turn what came from a delta into the file. Raises RowsRefused or OSError."""
    with replacing(came) as made:
        apply_delta(base, came, made, kind)


async def download(session: aiohttp.ClientSession, address: str, file: BinaryIO, limit: int) -> str:
    """Write what lies at an address into a file; return its type.

    Raises FetchFailed, ClientError or OSError.
    """
    async with session.get(address, allow_redirects=False) as response:
        if response.status != 200:
            raise FetchFailed(await _refusal(response))
        size = 0
        async for piece in response.content.iter_chunked(65_536):
            size += len(piece)
            if size > limit:
                raise FetchFailed(f"more than the {limit} bytes that are allowed")
            file.write(piece)
    file.flush()
    return response.content_type


async def _refusal(response: aiohttp.ClientResponse) -> str:
    """Return the device listener's own hint, or at least the status."""
    raw = await response.content.read(ERROR_BYTES_MAX)
    try:
        error = msgspec.json.decode(raw, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = {}
    return f"HTTP {response.status} {error.get('error', '')} {error.get('hint', '')}".strip()
