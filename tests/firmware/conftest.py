"""Collects each test in parts/ twice: by CPython, and by MicroPython's unix port in a small heap.

Those tests are plain functions without pytest's features, since MicroPython has no pytest. Each
runs in a process of its own, which finds the firmware's modules and headlink flat, as they lie on
the head.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firmware.interpreters import INTERPRETERS

ROOT = Path(__file__).parents[2]
PARTS = Path(__file__).with_name("parts")
RUNNER = Path(__file__).with_name("runner.py")
MODULES = f"{ROOT / 'firmware'}:{ROOT / 'wire'}"
WITHIN_S = 60


class Twice(pytest.File):
    """A file of tests that both interpreters run."""

    def collect(self) -> Iterator[pytest.Item]:
        """Each function by each interpreter."""
        for function in re.findall(r"^def (test_\w+)\(\)", self.path.read_text(), re.MULTILINE):
            for interpreter in INTERPRETERS:
                yield Once.from_parent(self, name=f"{function}[{interpreter}]")


class Once(pytest.Item):
    """One function by one interpreter."""

    def runtest(self) -> None:
        """Run it; what it said is what it failed with."""
        function, _, interpreter = self.name.rstrip("]").partition("[")
        with tempfile.TemporaryDirectory() as folder:  # where a test writes
            ran = subprocess.run(
                [*INTERPRETERS[interpreter], RUNNER, self.path, function],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": MODULES, "MICROPYPATH": f"{MODULES}:.frozen"},
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=False,
            )
        if ran.returncode:
            pytest.fail(f"{interpreter}:\n{ran.stdout}{ran.stderr}", pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where a failure is told from."""
        return self.path, 0, self.name


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Twice | None:
    """A file of tests in parts/ is none of pytest's own modules."""
    if module_path.parent == PARTS and isinstance(parent, pytest.Collector):
        return Twice.from_parent(parent, path=module_path)
    return None
