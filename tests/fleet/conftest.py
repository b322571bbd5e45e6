"""A fleet on each of the two databases: what is promised on one is promised on the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.config import Databases
from tests.fleet.virtual import VirtualFleet, make_fleet
from tests.real_postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Where a test's two databases are: files that are not made yet, or a migrated PostgreSQL."""
    if request.param == "sqlite":
        yield Databases(tmp_path)
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.migrated(tmp_path)
    yield made
    server.drop(made)


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path, database=databases.url)
    yield made
    made.close()
