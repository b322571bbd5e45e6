"""A short demo, as a stranger starts it: real processes, killed and cut, and the books balance."""

import os
import re
import signal
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


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the paths of Unix sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="kz-") as name:
        yield Path(name)


class Demo:
    """One demo as a child process, with a runtime folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.town = folder / "town"
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        self._environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
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
    accepted = re.search(r"accepted +(\d+)", demo.text)
    assert accepted
    assert int(accepted[1]) > 30
    assert demo.left_running() == []
    none = demo.tell("kill", "bus-2")
    assert none.returncode == 1
    assert "no demo is running" in none.stderr


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
