"""A process that has imported the fleet and forks its processes: a start in a tenth of a second.

`python -m tests.faults.fleet_zygote` reads lines: `start LOG ARGUMENT...` (words of a shell) forks
`kazasu-fleet ARGUMENT...` with its output in LOG and answers with its process id; `wait PID`
answers with its exit status once it has ended. When its input ends, it kills what still runs.
"""

import contextlib
import gc
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]


def serve() -> None:
    """Do what the standard input says until that ends."""
    from fleet.cli import main

    gc.collect()
    gc.freeze()
    running: set[int] = set()
    for line in sys.stdin:
        what, *words = shlex.split(line)
        if what == "start":
            running.add(child := _fork(main, words[0], words[1:]))
            print(child, flush=True)
        else:
            _, status = os.waitpid(int(words[0]), 0)
            running.discard(int(words[0]))
            print(os.waitstatus_to_exitcode(status), flush=True)
    for child in running:
        os.kill(child, signal.SIGKILL)


def _fork(main: Callable[[list[str]], int], log: str, argv: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    with open(log, "ab") as output, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os._exit(main(argv))


class FleetZygote:
    """One such process; leaving the `with` block ends it and all that it has started."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fleet_zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def start(self, log: Path, *argv: str) -> int:
        """Fork a process of the fleet; return its id at once."""
        return int(self._ask(shlex.join(["start", str(log), *argv])))

    def end(self, pid: int, how: signal.Signals = signal.SIGKILL) -> int:
        """End a process that this one started and wait until it is gone; return its status."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        return int(self._ask(f"wait {pid}"))

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


if __name__ == "__main__":
    serve()
