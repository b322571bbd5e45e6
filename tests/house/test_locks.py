"""What is installed is what was locked: each file by its hash, wherever the machine gets it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOYABLES = ("edge", "fleet", "provisioning", "sim")
LOCKS = ("all", "build", "lock", "voice", *DEPLOYABLES)

each_lock = pytest.mark.parametrize("name", LOCKS)


def text_of(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins_of(name: str) -> dict[str, str]:
    """Package to version, as pinned."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text_of(name), re.MULTILINE))


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


@each_lock
def test_every_package_of_a_lock_is_pinned_and_hashed(name: str) -> None:
    logical = text_of(name).replace("\\\n", " ").splitlines()
    requirements = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ ", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement


@each_lock
def test_a_lock_names_no_place_where_packages_come_from(name: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted|@ |\.whl", text_of(name))


@pytest.mark.parametrize("name", DEPLOYABLES)
def test_a_deployable_gets_the_versions_that_were_tested(name: str) -> None:
    assert pins_of(name).items() <= pins_of("all").items()


@pytest.mark.parametrize("name", LOCKS[1:])
def test_a_lock_holds_all_that_its_extra_names(name: str) -> None:
    named = {re.split(r"[\[<>=]", requirement)[0] for requirement in extras()[name]}
    assert named <= pins_of(name).keys()


def test_a_reader_installs_no_backend_and_no_terminal_toolkit() -> None:
    assert not pins_of("edge").keys() & {"sqlalchemy", "alembic", "typer", "rich", "argon2-cffi"}


def test_the_locks_belong_to_the_extras_as_they_stand() -> None:
    checked = subprocess.run(
        [ROOT / "scripts" / "lock", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
