"""scripts/setup: brings what is missing, nothing twice, and says what to type when it may not.

The script runs in a copy, on a machine made of small programs first on the PATH that write down how
they were called: no package is fetched here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CALLED = 'echo "$(basename "$0") $*" >>"$CALLS"\n'
# Makes a .venv whose python writes down its calls, and says yes to the question for its version.
PYTHON3 = CALLED + 'case "$*" in *venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; esac\n'
NOT_ROOT = "echo 1000\n"


def debian_packages(group: str) -> list[str]:
    """Name the packages that `requirements/debian.txt` has for a group."""
    lines = (ROOT / "requirements" / "debian.txt").read_text("utf-8").splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    return [name for name, *groups in words if group in groups]


DEMO = debian_packages("demo")
MISSING = " ".join(name for name in DEMO if name != "python3-venv")
"""On a machine that has nothing of it but this."""


class Machine:
    """A checkout and the programs it meets."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.calls = folder / "calls"
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        shutil.copytree(ROOT / "requirements", self.checkout / "requirements")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)
        self.has("python3", PYTHON3)
        self.has("id", NOT_ROOT)
        self.has_packages(*debian_packages("dev"))

    def has(self, name: str, body: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{body}", encoding="utf-8")
        program.chmod(0o755)

    def has_packages(self, *names: str) -> None:
        self.has("dpkg-query", "".join(f"echo 'ii  {name}'\n" for name in names))

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            [self.checkout / "scripts" / "setup", *arguments],
            cwd="/", capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": path, "CALLS": str(self.calls)},
        )  # fmt: skip

    def called(self) -> list[str]:
        """The calls since the last question."""
        calls = self.calls.read_text(encoding="utf-8").splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if "pip install" in call]


def test_every_third_party_package_is_checked_against_its_hash(machine: Machine) -> None:
    assert machine.setup("demo").returncode == 0
    *third_parties, ours = installs(machine.called())
    assert len(third_parties) == 2
    assert all("--require-hashes" in call for call in third_parties)
    assert "--no-deps --no-build-isolation -e ." in ours


def test_the_second_time_installs_nothing(machine: Machine) -> None:
    machine.setup("dev")
    machine.called()
    assert machine.setup("dev").returncode == 0
    assert machine.setup("demo").returncode == 0, "dev holds all that demo needs"
    assert machine.called() == []


def test_a_changed_lock_is_installed(machine: Machine) -> None:
    machine.setup("demo")
    machine.called()
    with (machine.checkout / "requirements" / "edge.txt").open("a", encoding="utf-8") as lock:
        lock.write("# newer\n")
    machine.setup("demo")
    assert installs(machine.called())


def test_a_checkout_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    machine.setup("demo")
    machine.called()
    machine.checkout = machine.checkout.rename(machine.checkout.with_name("moved"))
    machine.setup("demo")
    assert "python3 -m venv --clear .venv" in machine.called()


def test_without_root_it_prints_the_line_to_type_and_stops(machine: Machine) -> None:
    machine.has_packages("python3-venv")
    machine.has("sudo", "exit 1\n")
    stopped = machine.setup("demo")
    assert stopped.returncode == 1
    line = f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {MISSING}"
    assert f"  {line}" in stopped.stderr.splitlines()
    assert machine.called() == []


def test_the_demo_brings_no_browser(machine: Machine) -> None:
    machine.has_packages(*DEMO)
    assert machine.setup("demo").returncode == 0
    machine.has("sudo", "exit 1\n")
    assert " chromium-headless-shell " in machine.setup("dev").stderr


def test_with_sudo_it_installs_what_is_missing_and_only_that(machine: Machine) -> None:
    machine.has_packages("python3-venv")
    machine.has("sudo", CALLED)
    assert machine.setup("demo").returncode == 0
    (install,) = [call for call in machine.called() if "apt-get install" in call]
    assert install.endswith(f"DPkg::Lock::Timeout=120 {MISSING}")


def test_a_failure_shows_the_log_and_leaves_no_stamp(machine: Machine) -> None:
    machine.has("python3", PYTHON3 + 'case "$*" in *build.txt*) echo no such hash; exit 1;; esac\n')
    failed = machine.setup("demo")
    assert failed.returncode == 1
    assert "no such hash" in failed.stderr
    assert machine.setup("demo").returncode == 1
