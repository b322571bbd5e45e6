"""SIGKILL of ingest and dispatch at any instant, on both databases, while readers send."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.faults.fleet_kills import READERS, town
from tests.faults.fleet_zygote import FleetZygote
from tests.faults.writer_kills import Tally
from tests.real_postgres import Postgres

KILLS: Final = 20
"""Of the fleet on each database; of the broker half as many."""
SEED: Final = 20_261_124


@pytest.fixture(scope="module")
def zygote() -> Iterator[FleetZygote]:
    with FleetZygote() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Postgres | None:
    """None stands for SQLite."""
    if request.param == "sqlite":
        return None
    found: Postgres = request.getfixturevalue("postgres")
    return found


def assert_nothing_was_lost(tally: Tally, kills: int) -> None:
    assert tally.wrong == []
    assert tally.kills == kills
    assert tally.shown == tally.entries
    assert tally.taps > READERS * kills  # the kills fell into work


def test_twenty_kills_of_the_fleet_lose_nothing_and_count_nothing_twice(
    zygote: FleetZygote, server: Postgres | None
) -> None:
    tally = Tally()
    town(zygote, server, KILLS, SEED, tally)
    assert_nothing_was_lost(tally, KILLS)


def test_ten_kills_of_the_broker_lose_nothing_and_count_nothing_twice(
    zygote: FleetZygote, server: Postgres | None
) -> None:
    tally = Tally()
    town(zygote, server, KILLS // 2, SEED, tally, broker=True)
    assert_nothing_was_lost(tally, KILLS // 2)
