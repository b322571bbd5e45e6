"""A demo as a child process, with folders of its own."""

import os
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
