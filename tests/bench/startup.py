"""From exec to the first look for a card, and what memory that takes, beside a bare Python."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from hw.sim.antenna import Antenna
from tests.bench.figures import Table, quantile, spread
from tests.edge.reader_kit import ReaderKit, make_reader, my_number_card

RUNS: Final = 15
BEYOND_BARE_MS: Final = 250.0
MEMORY_MB: Final = 30.0
WITHIN_S: Final = 20.0
BARE: Final = [sys.executable, "-c", "import sys; sys.stdout.write('1'); sys.stdin.read()"]


class Started(NamedTuple):
    """One start."""

    ms: float
    anonymous_mb: float
    file_mb: float


class _FirstLook:
    """No card, but it notices when it is looked for."""

    def __init__(self) -> None:
        self.at_s: float | None = None

    def reset(self) -> None:
        pass

    def answer(self, technology: str, frame: bytes) -> None:
        self.at_s = self.at_s or time.perf_counter()


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def memory_mb(pid: int) -> tuple[float, float]:
    """Return a process's proportional anonymous and file memory in MB (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kb["Pss_Anon"] / 1024, kb["Pss_File"] / 1024


def bare() -> Started:
    """Start a Python that does nothing."""
    started = time.perf_counter()
    with _running(BARE) as process:
        assert process.stdout
        process.stdout.read(1)
        ms = 1000 * (time.perf_counter() - started)
        return Started(ms, *memory_mb(process.pid))


def card_half(kit: ReaderKit, antenna: Antenna) -> Started:
    """Start the card half as the agent does."""
    look = _FirstLook()
    antenna.place(look)
    command = [sys.executable, "-m", "edge.cli", "tap", str(kit.folder / "edge.toml")]
    started = time.perf_counter()
    with _running(command) as process:
        while look.at_s is None:
            assert time.perf_counter() - started < WITHIN_S, "it never looked for a card"
            time.sleep(0.0005)
        time.sleep(0.2)  # into its ordinary round
        return Started(1000 * (look.at_s - started), *memory_mb(process.pid))


def starts(runs: int = RUNS) -> tuple[list[Started], list[Started]]:
    """Start both in turn, so that both meet the same machine."""
    with tempfile.TemporaryDirectory(prefix="kazasu-bench-") as name, Antenna() as antenna:
        kit = make_reader(Path(name) / "bus-1", antenna.device)
        kit.enrol(my_number_card())
        pairs = [(bare(), card_half(kit, antenna)) for _ in range(runs + 1)][1:]  # files are cached
    return [one for one, _ in pairs], [other for _, other in pairs]


def bench() -> Table:
    """Measure, and compare with what is promised."""
    bares, halves = starts()
    beyond = quantile((one.ms for one in halves), 0.5) - quantile((one.ms for one in bares), 0.5)
    memory = max(one.anonymous_mb + one.file_mb for one in halves)
    rows = [
        [
            name,
            *spread([one.ms for one in found], digits=0),
            f"{quantile((one.anonymous_mb for one in found), 0.5):.1f}",
            f"{quantile((one.file_mb for one in found), 0.5):.1f}",
        ]
        for name, found in (("bare Python", bares), ("card half, to its first look", halves))
    ]
    return Table(
        "Start of the card half",
        f"ms from exec, median and tail of {len(halves)} starts in turn, files cached, a roster of "
        "one card; MB of anonymous and of file memory (proportional). Limited by Python's imports, "
        "of which nfcpy and cryptography are the largest.",
        ["what", "p50", "p95", "p99", "anonymous", "file"],
        rows,
        [
            (
                f"{beyond:.0f} ms beyond bare Python (goal {BEYOND_BARE_MS:.0f})",
                beyond < BEYOND_BARE_MS,
            ),
            (f"{memory:.1f} MB (goal {MEMORY_MB:.0f})", memory < MEMORY_MB),
        ],
    )
