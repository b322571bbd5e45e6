"""One fleet on each database for all examples of a file: hostile data piles up in it."""

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.fleet.virtual import VirtualFleet, bus, desk, make_fleet
from tests.real_postgres import Postgres
from tests.web.conftest import warned_once

__all__ = ["warned_once"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualFleet]:
    """A town of two buses and a desk."""
    folder = tmp_path_factory.mktemp("fuzzed")
    places = [bus("bus-1"), bus("bus-2"), desk("desk-1")]
    if request.param == "sqlite":
        made = make_fleet(folder, places)
        yield made
        made.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    databases = server.migrated(folder)
    made = make_fleet(folder, places, databases.url)
    yield made
    made.close()
    server.drop(databases)


@pytest.fixture(autouse=True, scope="module")
def connections_left_open() -> Iterator[None]:
    """Collect what callers left half open when a door's loop ended, before other tests run.

    asyncio does not close a connection that is in its TLS handshake; it warns when it is collected.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
