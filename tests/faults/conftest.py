"""Some faults need rights that a machine may not give: those tests are left out loudly, by name.

A test marked `needs_power_cuts` runs where ext4 can be mounted from a file (root, loop devices),
one marked `needs_mounts` where a tmpfs can be.
"""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.faults import power, small

PROBES: Final[dict[str, Callable[[Path], str | None]]] = {
    "needs_power_cuts": power.why_not,
    "needs_mounts": small.why_not,
}
_LEFT_OUT: Final[list[str]] = []


def pytest_configure(config: pytest.Config) -> None:
    for marker in PROBES:
        config.addinivalue_line("markers", f"{marker}: left out, and named, without these rights")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker, probe in PROBES.items():
        wanting = [item for item in items if item.get_closest_marker(marker)]
        if wanting and (why := _why_not(probe)):
            items[:] = [item for item in items if item not in wanting]
            config.hook.pytest_deselected(items=wanting)
            _LEFT_OUT.extend(f"NOT RUN {item.nodeid}: {why}" for item in wanting)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _LEFT_OUT:
        terminalreporter.write_line(line, red=True)


def _why_not(probe: Callable[[Path], str | None]) -> str | None:
    with tempfile.TemporaryDirectory(prefix="kz-") as folder:
        try:
            return probe(Path(folder))
        except subprocess.SubprocessError as error:
            return str(error)
