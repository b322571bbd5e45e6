"""The operators' console: readers and counts, no person. Its database role refuses the rest."""

from aiohttp import web

from fleet.config import Config
from fleet.grants import Role
from fleet.store import Store, open_fleet
from fleet.telemetry import open_telemetry
from fleet.web import closing, first_screen, ledger_page, reader_page, readers_page
from fleet.web.app import build, run_until_stopped
from fleet.web.charts import TELEMETRY, Telemetry
from fleet.web.data import FLEET
from fleet.web.session import Page, Site
from wire.clock import Clock

SITE = Site(
    name="console",
    role="operator",
    pages=(
        Page("/", "web.first.title"),
        Page("/readers", "web.readers.title"),
        Page("/ledger", "web.ledger.title"),
    ),
)
ROUTES = (
    first_screen.routes,
    readers_page.routes,
    reader_page.routes,
    ledger_page.routes,
    closing.routes,
)


def application(config: Config, store: Store, clock: Clock) -> web.Application:
    """Return the console's application on an open database."""
    app = build(SITE, ROUTES, store, config, clock)
    app[FLEET] = store
    app[reader_page.TENANT] = config.tenant
    app[TELEMETRY] = Telemetry(open_telemetry(config, store, clock), store)
    app.on_cleanup.append(_close_telemetry)
    return app


async def _close_telemetry(app: web.Application) -> None:
    """End the connections to the telemetry store (a clean-up hook)."""
    app[TELEMETRY].store.close()


def run(config: Config, clock: Clock) -> None:
    """Serve the console on its port until the process is told to stop."""
    store = open_fleet(config.databases, Role.CONSOLE)
    try:
        run_until_stopped(application(config, store, clock), config.console_port)
    finally:
        store.close()
