"""One broker and one town for all broker tests: starting it is the slow part."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Broker, RealTown, make_town, start_mosquitto


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> RealTown:
    folder: Path = tmp_path_factory.mktemp("town") / "local"
    return make_town(folder, "bus-1", "bus-2")


@pytest.fixture(scope="session")
def broker(town: RealTown) -> Iterator[Broker]:
    with start_mosquitto(town.folder / "broker") as broker:
        yield broker
