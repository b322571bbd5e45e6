"""A listener for HTTP that no caller can keep for himself: aiohttp with its limits set.

Rules: a connection on which no whole request comes within REQUEST_S is closed, also one that says
a little now and then; more than `most` connections at once are not taken, and the ones that are
open go on; a TLS handshake has HANDSHAKE_S. How long a request's body may take is the matter of
whoever reads it.
"""

import asyncio
import ssl
from typing import Final

from aiohttp import web

REQUEST_S: Final = 20.0
"""From the connection or the last answer to the end of a request's head: a mobile link needs two or
three seconds, and a browser that waits longer between two pages connects again."""
HANDSHAKE_S: Final = 10.0
"""As wire.mqtt allows for a connection: eight round trips of a bad mobile link."""


def runner(app: web.Application, shutdown_s: float) -> web.AppRunner:
    """Return what runs an application behind a Door; an answer has `shutdown_s` at the end."""
    return web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_s, keepalive_timeout=REQUEST_S
    )


class _Full(asyncio.Protocol):
    """A connection too many: closed without a word, so that it costs nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Door(web.BaseSite):
    """One address that a runner listens on; `start` raises OSError when the port is taken."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        most: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        if runner.server is None:
            raise RuntimeError("call runner.setup() first")
        self._http: Final = runner.server
        self._address: Final = (host, port)
        self._most: Final = most

    @property
    def name(self) -> str:
        """The address for people."""
        return f"{'https' if self._ssl_context else 'http'}://{self._address[0]}:{self._address[1]}"

    def _take(self) -> asyncio.Protocol:
        return _Full() if len(self._http.connections) >= self._most else self._http()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._take,
            *self._address,
            ssl=self._ssl_context,
            ssl_handshake_timeout=HANDSHAKE_S if self._ssl_context else None,
        )
