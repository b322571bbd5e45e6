"""A reader with an antenna, for the tests of the agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.sim.antenna import Antenna
from tests.edge.reader_kit import ReaderKit, make_reader


@pytest.fixture
def antenna() -> Iterator[Antenna]:
    with Antenna(poll_ms={"A": 2.0, "B": 2.0, "F": 2.0}) as opened:
        yield opened


@pytest.fixture
def kit(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    return make_reader(tmp_path / "bus-1", antenna.device)
