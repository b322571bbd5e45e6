"""scripts/sabotage notices a promise whose test cannot fail.

It runs in a small repository of its own that holds a package of the same name as one of ours: that
its tests see the copy's code, and not the installed checkout's, is part of what is shown.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROMISE = "FARE_YEN = 100\n"
TESTS = """\
import subprocess, sys
from wire import fare

def test_the_fare_is_a_hundred():
    assert fare.FARE_YEN == 100

def test_a_child_process_says_the_same():
    child = [sys.executable, "-c", "from wire import fare; print(fare.FARE_YEN)"]
    assert subprocess.run(child, cwd="/", capture_output=True).stdout == b"100\\n"

def test_nothing():
    assert True
"""
DIFF = """\
# red: tests/test_fare.py::{test}
--- a/wire/fare.py
+++ b/wire/fare.py
@@ -1 +1 @@
-FARE_YEN = {was}
+FARE_YEN = 90
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "wire/__init__.py": "",
        "wire/fare.py": PROMISE,
        "tests/test_fare.py": TESTS,
        "pyproject.toml": '[tool.pytest]\npythonpath = ["."]\n',
        "scripts/setup": "#!/bin/sh\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "scripts" / "setup").chmod(0o755)
    (tmp_path / "tests" / "sabotage").mkdir()
    shutil.copy(ROOT / "scripts" / "sabotage", tmp_path / "scripts")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for command in (["init", "-q"], ["add", "wire", "tests", "scripts", "pyproject.toml"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    identity = ["-c", "user.name=House", "-c", "user.email=house@example.org"]
    subprocess.run(["git", *identity, "commit", "-q", "-m", "First"], cwd=tmp_path, check=True)
    return tmp_path


def sabotage(checkout: Path, **diffs: str) -> subprocess.CompletedProcess[str]:
    for name, text in diffs.items():
        (checkout / "tests" / "sabotage" / f"{name}.diff").write_text(text, encoding="utf-8")
    return subprocess.run(
        [checkout / "scripts" / "sabotage"],
        cwd="/", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_promise_whose_test_notices_passes_in_this_process_and_in_a_child(checkout: Path) -> None:
    told = sabotage(
        checkout,
        fare=DIFF.format(was=100, test="test_the_fare_is_a_hundred"),
        child=DIFF.format(was=100, test="test_a_child_process_says_the_same"),
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("red  ") == 2


def test_a_test_that_cannot_fail_is_named(checkout: Path) -> None:
    told = sabotage(checkout, weak=DIFF.format(was=100, test="test_nothing"))
    assert told.returncode == 1
    assert "STAYED GREEN   weak.diff" in told.stdout


def test_a_diff_that_no_longer_applies_is_named(checkout: Path) -> None:
    told = sabotage(checkout, old=DIFF.format(was=80, test="test_the_fare_is_a_hundred"))
    assert told.returncode == 1
    assert "NO LONGER APPLIES  old.diff" in told.stdout


def test_a_named_test_that_is_red_already_or_missing_stops_it(checkout: Path) -> None:
    told = sabotage(checkout, gone=DIFF.format(was=100, test="test_gone"))
    assert told.returncode == 1
    assert "must be green first" in told.stderr
    assert (checkout / "wire" / "fare.py").read_text(encoding="utf-8") == PROMISE
