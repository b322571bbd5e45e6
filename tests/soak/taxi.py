"""A month of Maebashi's taxis, faster than real.

`python -m tests.soak.taxi` plays 26,880 members, 400 taxis and 25,000 rides through real readers'
journals and a real ledger, compares every yen, and prints what docs/soak.md says of it.
"""

import argparse
import contextlib
import datetime
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rich.progress import Progress

from tests.bench.figures import Table, machine, quantile
from tests.fleet.whole_world import folder_in_memory
from tests.real_postgres import start_postgres
from tests.soak.month import MAEBASHI, SMALL, Size
from tests.soak.taxi_judge import Found, judge
from tests.soak.taxi_world import Counted, World

FILES_EACH: Final = 8
"""Files that one taxi's reader has open: journal, locks, list, usage, what it sends."""


class Came(NamedTuple):
    """What a month came to."""

    counted: Counted
    found: Found
    took_s: float


def run(
    folder: Path, size: Size, seed: int, database: str, tell: Callable[[int], None] = lambda _: None
) -> Came:
    """Play and judge. Raises AssertionError where something is not right."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(hard, 1024 + FILES_EACH * size.taxis))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    world = World(folder, size, seed, database)
    began_s = time.monotonic()
    try:
        world.play(tell)
        return Came(world.count, judge(world), time.monotonic() - began_s)
    finally:
        world.close()


def play(size: Size, seed: int, kind: str, tell: Callable[[int], None]) -> Table:
    """Run on a real database of its own; return the table. Raises AssertionError as `run` does."""
    with folder_in_memory() as folder, database(kind) as url:
        return table(size, run(Path(folder), size, seed, url, tell), kind)


@contextlib.contextmanager
def database(kind: str) -> Iterator[str]:
    """Run a real PostgreSQL of its own, and give an empty database; nothing for SQLite."""
    if kind == "sqlite":
        yield ""
        return
    with start_postgres() as server:
        yield server.url(server.empty())


def table(size: Size, came: Came, kind: str) -> Table:
    """Return the table of docs/soak.md."""
    count, found = came.counted, came.found
    whole = [count.reader_us[ride] + took for ride, took in count.ingest_us.items()]
    settled, took = len(count.reader_us), count.ingest_us.values()
    rows = [
        ("taps", ", ".join(f"{times:,} {what}" for what, times in sorted(count.taps.items()))),
        ("rides settled", f"{settled:,}, of which {count.offline:,} without a network"),
        ("taken back", f"{count.cancelled:,} rides, {count.taken_off:,} riders before their ride"),
        ("nobody was let on", f"{count.not_ridden:,} rides"),
        (
            "entries in the ledger",
            f"{found.entries:,} in {count.groups:,} groups, none lost or twice",
        ),
        (
            "of two dead tablets",
            f"{found.recovered:,} entries recovered from one's card, "
            f"{found.written_off:,} of the other's written off",
        ),
        (
            "drivers = journals = ledger = claims",
            f"{found.yen:,} yen of {found.companies} companies",
        ),
        ("rides over an allowance", f"{found.over:,}, each listed by the ledger, and no other"),
        ("reader: decided and on the disk", _spread(count.reader_us)),
        ("ledger: taken in and acknowledged", _spread(took)),
        ("both", _spread(whole)),
        ("usage file of one taxi", f"{count.usage_bytes / 1024:,.0f} KiB at the end"),
        ("took", f"{came.took_s:.0f} s, {settled / came.took_s:,.0f} rides a second"),
    ]
    about = (
        f"{size.days} days, {size.members:,} members, {size.taxis:,} taxis of {size.companies} "
        f"companies, {size.rides:,} rides planned; ledger on {kind}. `python -m tests.soak.taxi`"
    )
    return Table("A month of taxis", about, ["what", "came to"], rows)


def _spread(took_us: Iterable[float]) -> str:
    """Return how long a ride took: its taps, its fare, its settling."""
    ordered = sorted(took_us)
    p50, p95 = (quantile(ordered, q) / 1000 for q in (0.5, 0.95))
    return f"p50 {p50:,.1f} ms, p95 {p95:,.1f} ms a ride"


def main() -> int:
    """Run; AssertionError when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.taxi", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="to see the same again")
    parser.add_argument("--on", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--small", action="store_true", help="two days of twenty taxis")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    size = SMALL if chosen.small else MAEBASHI
    with Progress() as progress:
        bar = progress.add_task("days", total=size.days)
        came = play(size, seed, chosen.on, lambda _: progress.advance(bar))
    today = datetime.datetime.now(datetime.UTC).date()
    print(f"{today}: {machine()}. Seed {seed}.", came.markdown(), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
