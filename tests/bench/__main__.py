"""`python -m tests.bench`: measures, prints, and writes docs/benchmarks.md."""

import argparse
import sys
from collections.abc import Callable
from typing import Final

from tests.bench import (
    cards,
    desk_work,
    disk,
    frontends,
    growth,
    head,
    intake,
    pipeline,
    rides,
    roster,
    startup,
    taps,
    usage,
)
from tests.bench.figures import PAGE, Table, write_page

PARTS: Final[dict[str, Callable[[], Table]]] = {
    "taps": taps.bench,
    "startup": startup.bench,
    "cards": cards.bench,
    "frontends": frontends.bench,
    "head": head.bench,
    "roster": roster.bench,
    "disk": lambda: disk.bench(PAGE.parents[1]),
    "intake": lambda: intake.bench(PAGE.parents[1]),
    "rides": lambda: rides.bench(PAGE.parents[1]),
    "usage": usage.bench,
    "pipeline": lambda: pipeline.bench(PAGE.parents[1]),
    "desk": desk_work.bench,
    "growth": lambda: growth.bench(PAGE.parents[1]),
}


def main() -> int:
    """Run all parts, or those named; return 1 when a goal is not met."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "part", nargs="*", choices=[*PARTS, []], help="only these; the rest of the page stays"
    )
    wanted = parser.parse_args().part or list(PARTS)
    tables = []
    for name in wanted:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        tables.append(PARTS[name]())
        print(f"{tables[-1].markdown()}\n", flush=True)
        write_page(tables[-1:])
    print(f"bench: written to {PAGE}", file=sys.stderr)
    return 0 if all(met for table in tables for _, met in table.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
