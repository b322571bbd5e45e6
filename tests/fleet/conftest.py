"""A fleet on each of the two databases: what is promised on one is promised on the other."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.config import Databases
from fleet.grants import Role
from fleet.store import Store, open_fleet
from tests.fleet.ride_kit import MakeTaxis, taxi_fleet
from tests.fleet.virtual import VirtualFleet, make_fleet
from tests.real_postgres import Postgres
from tests.real_sqlite import migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Where a test's two migrated databases are: files, or a PostgreSQL."""
    if request.param == "sqlite":
        yield migrated(Databases(tmp_path))
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.migrated(tmp_path)
    yield made
    server.drop(made)


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> Iterator[Databases]:
    """A migrated PostgreSQL alone."""
    made = postgres.migrated(tmp_path)
    yield made
    postgres.drop(made)


@pytest.fixture
def opened(server: Databases) -> Iterator[Callable[[Role], Store]]:
    """Opens stores that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_one(role: Role) -> Store:
            store = open_fleet(server, role)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path, database=databases.url)
    yield made
    made.close()


@pytest.fixture
def make(databases: Databases, tmp_path: Path) -> Iterator[MakeTaxis]:
    """Makes one fleet of two taxis, with these rules."""
    made: list[VirtualFleet] = []

    def make(**rules: Any) -> VirtualFleet:
        made.append(taxi_fleet(tmp_path, databases.url, **rules))
        return made[0]

    yield make
    made[0].close()
