"""A process that has imported the card half and forks one agent per line: a start in milliseconds.

`python -m tests.faults.zygote` reads a configuration's path per line, forks the real agent with it,
says its process id, and, when that has ended, how. So thousands of agents can be killed in minutes.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


def serve() -> None:
    """Fork an agent per line of the standard input until that ends."""
    from edge.tap import main

    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
            os._exit(main([line.strip()]))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Zygote:
    """One such process; leaving the `with` block ends it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # an agent on a full disk says so there; tests ask otherwise
            text=True,
            cwd=ROOT,
        )
        self._pid = 0

    def start(self, config: Path) -> None:
        """Fork an agent; return at once."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{config}\n")
        self._process.stdin.flush()
        self._pid = int(self._process.stdout.readline())

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End the agent and wait until it is gone; return its exit status."""
        assert self._process.stdout
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, how)
        self._pid = 0
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            self.kill()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


if __name__ == "__main__":
    serve()
