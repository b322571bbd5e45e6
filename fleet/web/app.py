"""One web process: its middlewares in order, its hooks, its limits, and how it runs.

It listens on loopback alone; whoever opens it to a network puts a TLS proxy in front.
"""

import asyncio
import signal
from collections.abc import Iterable
from typing import Final

import aiohttp_session
import sqlalchemy as sa
from aiohttp import web

from fleet.accounts import Accounts
from fleet.config import Config
from fleet.schema import revision
from fleet.store import Store
from fleet.web import errors, headers, live, pages, signin
from fleet.web.data import FLEET
from fleet.web.forms import BODY_BYTES_MAX
from fleet.web.held import HELD, HeldForms
from fleet.web.session import ACCOUNTS, SITE, Site, guard, session_key, storage
from fleet.web.words import DEFAULT_LANGUAGE
from wire import door
from wire.clock import Clock

HOST: Final = "127.0.0.1"
CONNECTIONS_MAX: Final = 500
"""Half of the files that a process may usually open (1,024): 200 streams and room for pages."""
SHUTDOWN_S: Final = 2.0
"""Answers take milliseconds; streams are ended first."""


def build(
    site: Site, routes: Iterable[web.RouteTableDef], store: Store, config: Config, clock: Clock
) -> web.Application:
    """Return the application of one process; `store` is the database without persons."""
    key = session_key(config.state_folder / f"session-{site.name}.key")
    app = web.Application(
        client_max_size=BODY_BYTES_MAX,
        middlewares=[
            aiohttp_session.session_middleware(storage(site, key)),
            headers.remember_choices,
            errors.plain_errors,
            guard,
        ],
    )
    app[ACCOUNTS] = Accounts(store, clock)
    app[SITE], app[FLEET], app[pages.CLOCK] = site, store, clock
    app[DEFAULT_LANGUAGE] = config.language
    app[HELD] = HeldForms(clock)
    app[signin.LIMIT] = signin.SignInLimit(clock)
    app[signin.HASHES] = signin.HashQueue()
    app[live.LIVE] = live.Live()
    pages.set_up(app)
    app.on_response_prepare.append(headers.add_headers)
    app.cleanup_ctx.extend((live.keep_looking, signin.keep_threads))
    app.on_shutdown.append(live.end_streams)
    app.router.add_static("/static", pages.HERE / "static")
    app.router.add_get("/healthz", healthy)
    for table in (signin.routes, *routes):
        app.add_routes(table)
    return app


async def healthy(request: web.Request) -> web.Response:
    """Say that this process answers and its database can be read; 500 otherwise."""
    await asyncio.to_thread(_look, request.app[FLEET])
    return web.json_response({"status": "ok", "site": request.app[SITE].name})


def _look(store: Store) -> None:
    with store.read() as connection:
        connection.execute(sa.select(revision.c.name).limit(1)).all()


def run_until_stopped(app: web.Application, port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    asyncio.run(_serve(app, port))


async def _serve(app: web.Application, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = door.runner(app, SHUTDOWN_S)
    await runner.setup()
    try:
        await door.Door(runner, HOST, port, CONNECTIONS_MAX).start()
        await stopped.wait()
    finally:
        await runner.cleanup()
