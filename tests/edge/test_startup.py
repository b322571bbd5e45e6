"""What a started card half has loaded: nothing of the web, of SQL, of telemetry or of the network.

A reader that was just switched on serves its first card soon, and its memory is left to rosters.
`scripts/bench startup` measures both.
"""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from hw.sim.antenna import Antenna
from tests.edge.reader_kit import Link, lift, make_reader, my_number_card
from wire.codes import Code
from wire.release import VERSION

ROOT: Final = Path(__file__).parents[2]
SERVE: Final = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), flush=True))
from edge.cli import main
sys.exit(main(["tap", sys.argv[1]]))
"""
NEVER: Final = {
    "aiohttp", "alembic", "argon2", "asyncio", "babel", "email", "fleet", "influxdb_client",
    "jinja2", "prometheus_client", "psycopg", "rich", "sqlalchemy", "sqlite3", "ssl",
    "structlog", "typer",
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of a card half that has served a card."""
    card = my_number_card()
    with Antenna() as antenna:
        kit = make_reader(tmp_path_factory.mktemp("r") / "bus-1", antenna.device)
        kit.enrol(card)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(kit.folder / "edge.toml")],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            link = Link(kit.state)
            link.ready()
            antenna.place(card)
            assert link.shown().code is Code.OK
            lift(antenna)
            link.close()
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=10)
    return set(json.loads(said))


def test_a_card_half_loads_no_web_sql_or_telemetry_library(loaded: set[str]) -> None:
    assert {name.partition(".")[0] for name in loaded} & NEVER == set()


def test_a_card_half_loads_nothing_of_the_network_half(loaded: set[str]) -> None:
    assert {
        name for name in loaded if name.startswith(("edge.web", "edge.link", "wire.mqtt"))
    } == set()
    assert "edge.tap" in loaded  # so what is looked for is looked for in the right place


def test_the_version_that_readers_say_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION


def test_nfcpy_does_not_look_for_the_machines_openssl() -> None:
    """It would run the linker's tools at every start, for a peer-to-peer mode never used here."""
    tell = "import sys, edge.frontends.nfcpy; print(sys.modules['nfc.llcp.sec'].__file__)"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, check=False, text=True)
    assert "no attribute '__file__'" in done.stderr, done.stdout
