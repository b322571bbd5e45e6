"""The network half's end of the Unix socket to the card half (`edge.panel`).

Rules: the card half may be started, killed and started again at any time: the line is dialled
again · what is said while nobody listens is not kept, and the caller is told so · a line that is
not of the contract ends the connection.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edge.panel import LINE_BYTES_MAX, SOCKET_NAME, UNREADABLE, FromLink, FromTap

REDIAL_S: Final = 0.3
"""Between two tries: both ends are on one machine, and passengers wait for the page."""
WRITE_BYTES_MAX: Final = 64 * 1024
"""Said and not yet taken: `tap` reads at least every 100 ms, so it hangs when this is reached."""

_log = logging.getLogger(__name__)
_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[FromTap]] = msgspec.json.Decoder(FromTap)


class TapLine:
    """Keeps one connection to `tap` and hands on what it says; `changed(None)` when it is gone."""

    def __init__(self, state: Path, changed: Callable[[FromTap | None], None]) -> None:
        self._path = state / SOCKET_NAME
        self._changed = changed
        self._writer: asyncio.StreamWriter | None = None

    def say(self, message: FromLink) -> bool:
        """Say one thing; False when there is nobody to hear it."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return False
        if writer.transport.get_write_buffer_size() > WRITE_BYTES_MAX:
            writer.transport.abort()
            return False
        writer.write(_encoder.encode(message) + b"\n")
        return True

    async def run(self) -> None:
        """Dial, listen, and dial again; for ever."""
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(
                    self._path, limit=LINE_BYTES_MAX
                )
                await self._listen(reader)
            except (OSError, ValueError) as error:
                _log.debug("tap: %s", error)
            finally:
                await self._hang_up()
            await asyncio.sleep(REDIAL_S)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hand lines on until the end. Raises ValueError for one that is too long or unknown."""
        while line := await reader.readline():
            try:
                message = _decoder.decode(line)
            except UNREADABLE as error:
                raise ValueError(f"not of the contract: {error}") from error
            self._changed(message)

    async def _hang_up(self) -> None:
        if (writer := self._writer) is None:
            return
        self._writer = None
        self._changed(None)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
