"""A short demo, as a stranger starts it: real processes, killed and cut, and the books balance."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SIM = Path(sys.executable).with_name("kazasu-sim")
STARTED = "Ctrl-C ends it"
START_S_MAX = 90
END_S_MAX = 120
OPEN_A_GAP = """
    INSERT INTO gap (journal_id, first, last, missing, cause, opened_at_ms)
    SELECT id, 1000000, 1000002, 3, 'not-arrived', 0 FROM journal LIMIT 1
"""
"""As if a reader had written more than it shows: its journal ends long before these numbers."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the paths of Unix sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="kz-") as name:
        yield Path(name)


class Demo:
    """One demo as a child process, with a runtime folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.town = folder / "town"
        self._runtime = folder / "runtime"
        self._runtime.mkdir(mode=0o700)
        self._environment = {**os.environ, "XDG_RUNTIME_DIR": str(self._runtime)}
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [SIM, "demo", "--folder", str(self.town), *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(END_S_MAX)
        if self.process.stdout:
            self.process.stdout.close()

    def until_orders_are_taken(self) -> Path:
        """Return the folder of the sockets."""
        deadline_s = time.monotonic() + START_S_MAX
        while not (found := list(self._runtime.glob("*/demo-*.sock"))):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        return found[0].parent

    def until_open(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if STARTED in line:
                return
        raise AssertionError(f"the demo did not start:\n{''.join(self.said)}")

    def finish(self) -> int:
        rest, _ = self.process.communicate(timeout=END_S_MAX)
        self.said.append(rest)
        return self.process.returncode

    @property
    def text(self) -> str:
        return "".join(self.said)

    def tell(self, *order: str) -> "subprocess.CompletedProcess[str]":
        command = [str(SIM), *order]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=30
        )

    def left_running(self) -> list[str]:
        """Command lines of all processes that know this demo's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.town) in line and path.parent.name != str(self.process.pid):
                found.append(line)
        return found


def test_a_morning_with_kills_and_a_cut_balances_and_leaves_nothing_behind(folder: Path) -> None:
    with Demo(folder, "--seconds", "15", "--people", "60", "--report") as demo:
        demo.until_open()
        for order in (
            ("kill", "bus-2"),
            ("cut", "school-1", "--for", "4s"),
            ("kill", "fleet"),
            ("kill", "broker"),
        ):
            assert demo.tell(*order).returncode == 0
            time.sleep(1)  # so that they fall on different moments of the morning
        unknown = demo.tell("kill", "bus-9")
        assert unknown.returncode == 1
        assert "bus-2" in unknown.stderr
        status = demo.finish()
    assert status == 0, demo.text
    assert "Nothing lost, nothing counted twice" in demo.text
    assert re.search(r"people +60,", demo.text)
    assert re.search(r"killed bus-2/tap, bus-2/link", demo.text)
    assert re.search(r"C1 at 10 ms .* p95 < 120 ms (not )?met", demo.text)
    assert "0 gaps open at the fleet" in demo.text
    accepted = re.search(r"accepted +(\d+)", demo.text)
    assert accepted
    assert int(accepted[1]) > 30
    assert demo.left_running() == []
    none = demo.tell("kill", "bus-2")
    assert none.returncode == 1
    assert "no demo is running" in none.stderr


def test_a_demo_that_is_still_starting_says_so_and_counts_as_one_that_runs(folder: Path) -> None:
    with Demo(folder, "--people", "20") as demo:
        sockets = demo.until_orders_are_taken()
        early = demo.tell("kill", "bus-2")
        assert early.returncode == 1
        assert "still starting: try again when the addresses are printed" in early.stderr
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(str(sockets / "demo-1.sock"))
            another.listen()
            which = demo.tell("kill", "bus-2")
        assert which.returncode == 1
        assert f"--pid (1, {demo.process.pid})" in which.stderr
        demo.until_open()
        assert "school-1 all day with a card that no list knows" in demo.text
        assert "今かざされたカード → このカードを登録 → a new member" in demo.text
        assert demo.tell("kill", "bus-2").returncode == 0


def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_said_to_be_in_it() -> None:
    command = [str(SIM), "demo", "--folder", "/proc/x"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert "The demo cannot start" in ended.stdout
    assert "written" not in ended.stdout


def test_a_gap_that_the_fleet_has_open_is_named_at_the_end(folder: Path) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        with contextlib.closing(sqlite3.connect(next(demo.town.glob("**/fleet.db")))) as fleet:
            deadline_s = time.monotonic() + START_S_MAX
            while fleet.execute(OPEN_A_GAP).rowcount < 1:
                assert time.monotonic() < deadline_s, "no journal has arrived"
                fleet.rollback()
                time.sleep(0.1)
            fleet.commit()
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 1, demo.text
    assert "0 numbers missing in the ledger, 1 gaps open at the fleet" in demo.text
    assert "1 of these are not explained by the journals and the ledger" in demo.text


def test_a_demo_that_is_stopped_gives_account_and_leaves_nothing_running(
    folder: Path,
) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.text
        assert "accepted" in demo.text
        assert demo.left_running() == []


def test_processes_of_a_demo_that_is_killed_end_by_themselves(folder: Path) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        assert len(demo.left_running()) >= 13
        demo.process.kill()
        demo.process.wait()
        deadline_s = time.monotonic() + START_S_MAX
        while demo.left_running() and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert demo.left_running() == []
