from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.virtual import VirtualFleet, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path)
    yield made
    made.close()
