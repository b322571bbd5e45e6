"""The scripts are the developer's whole interface: short, plain sh, told by -h, run anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.joinpath("scripts").iterdir(), ROOT / ".ci" / "run"])
# A person reads it in one sitting; scripts/setup, which explains itself, is the longest.
LINES_MAX = 150

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


def run(*command: str | Path, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@each_script
def test_a_script_is_executable_posix_sh_that_stops_at_the_first_failure(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/bin/sh\n# ")
    assert "\nset -eu\n" in text
    assert 'cd -- "$(dirname -- "$0")/.."' in text
    assert len(text.splitlines()) <= LINES_MAX
    assert run("sh", "-n", script).stderr == ""


@each_script
def test_a_script_says_what_it_does_in_a_few_lines_from_any_folder(script: Path) -> None:
    told = run(script, "-h")
    lines = told.stdout.splitlines()
    assert told.returncode == 0
    assert 2 <= len(lines) <= 5
    assert lines[0].startswith(f"{script.relative_to(ROOT)}")


def test_an_unknown_check_or_group_is_refused_by_name() -> None:
    refused = run(ROOT / "scripts" / "setup", "everything")
    assert refused.returncode == 2
    assert "everything" in refused.stderr
