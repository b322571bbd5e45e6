"""Bad cards by the million: decoders, whole front ends, whole readers.

`python -m tests.soak.cards` runs these alone and prints their tables of docs/soak.md.
"""

import argparse
import datetime
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.figures import Table, machine
from tests.fuzz import card_front_ends as front_ends
from tests.fuzz.card_cases import Fuzz
from tests.fuzz.card_decoders import Decoders
from tests.fuzz.held import Members, Tally
from tests.soak import readers

MUTATIONS: Final = 1_000_000
HELD: Final = 10_000
"""Over each front end, and over each reader."""
FRONT_ENDS: Final = {
    "PC/SC, the real pcscd": front_ends.over_pcsc,
    "RC-S380": front_ends.over_rcs380,
    "PN532": front_ends.over_pn532,
    "PN532 behind a noisy line": front_ends.over_noisy_line,
    "nfcpy over udp": front_ends.over_udp,
}
READERS: Final = {"PN532": readers.over_pn532, "nfcpy over udp": readers.over_udp}


class Done(NamedTuple):
    """One line of a table, and what was wrong."""

    row: list[str]
    wrong: list[str]


class Found(NamedTuple):
    """What came of all."""

    tables: list[Table]
    wrong: list[str]


def decode(times: int, seed: int) -> Done:
    """Mutate what cards say to every decoder."""

    def run(folder: Path, tally: Tally) -> None:
        decoders = Decoders(folder)
        try:
            for _ in decoders.run(times, seed, tally):
                pass
        finally:
            decoders.close()

    return _fuzzed("decoders, in one process", run)


def hold(name: str, times: int, seed: int) -> Done:
    """Hold bad cards over one front end, and a good one after each."""

    def run(folder: Path, tally: Tally) -> None:
        with FRONT_ENDS[name](folder, random.Random(seed)) as bench:
            members = Members(folder / "members", hasty=bench.alone)
            for _ in Fuzz(bench, members, tally).run(times, seed):
                pass

    return _fuzzed(name, run)


def _fuzzed(name: str, run: Callable[[Path, Tally], None]) -> Done:
    tally, began_s = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kz-") as folder:
        try:
            run(Path(folder), tally)
        except (AssertionError, OSError, RuntimeError) as error:
            tally.wrong.append(f"ended after {tally.times}: {error!r}")
    figures = (tally.times, tally.right, tally.none, tally.faults)
    longest = f"{1000 * tally.longest_s:.0f} ms" if tally.longest_s else "—"
    row = [name, *(f"{figure:,}" for figure in figures), longest]
    return Done([*row, *_ending(tally.wrong, began_s)], [f"{name}: {one}" for one in tally.wrong])


def serve(name: str, times: int, seed: int) -> Done:
    """Let a whole reader serve cards, every tenth a bad one."""
    life, began_s = readers.Life(), time.monotonic()
    try:
        for _ in READERS[name](times, seed, life):
            pass
    except (AssertionError, OSError, RuntimeError) as error:
        life.wrong.append(f"ended after {life.times}: {error!r}")
    figures = (life.times, life.bad, life.told, life.missed)
    memory = f"{life.kib[-1][1] / 1024:.1f} MiB" if life.kib else "—"
    files = "/".join(map(str, sorted(life.files)))
    row = [name, *(f"{figure:,}" for figure in figures), memory, f"{life.growth_kib():.1f} KiB"]
    row += [files, "/".join(map(str, sorted(life.threads)))]
    return Done([*row, *_ending(life.wrong, began_s)], [f"reader, {name}: {w}" for w in life.wrong])


def _ending(wrong: list[str], began_s: float) -> list[str]:
    return [f"{len(wrong):,}", f"{time.monotonic() - began_s:.0f} s"]


def run(share: float, seed: int, advance: Callable[[Done], None]) -> Found:
    """Run a share of all; `advance` is called with each of TASKS when it is done."""
    held = max(1, round(HELD * share))
    tasks: list[Callable[[], Done]] = [partial(hold, name, held, seed) for name in FRONT_ENDS]
    tasks += [partial(serve, name, held, seed) for name in READERS]
    tasks += [partial(decode, max(1, round(MUTATIONS * share)), seed)]
    # All at a time, each in a process of its own: they wait for cards, not for processors.
    with ProcessPoolExecutor(TASKS, get_context("spawn")) as lanes:
        waiting = [lanes.submit(task) for task in tasks]
        for one in waiting:
            one.add_done_callback(lambda one: advance(one.result()))
        done = [one.result() for one in waiting]
    fuzzed = [done[-1], *done[: len(FRONT_ENDS)]]
    served = done[len(FRONT_ENDS) : -1]
    wrong = [line for one in done for line in one.wrong]
    return Found([_bad_cards(fuzzed), _readers(served)], wrong)


TASKS: Final = len(FRONT_ENDS) + len(READERS) + 1


def _bad_cards(done: list[Done]) -> Table:
    return Table(
        "Bad cards and what came of them",
        "Cards that fade, break, are torn away, come in twos or are exchanged at any frame; a "
        "quarter of the times the front end fails too. Over a front end each is followed by a good "
        "card, which must be read. Right: identified as a card that was held. None: not found, not "
        "understood, or without an identifier. Faults: the front end failed and said so. Longest: "
        "from found to decided. Wrong: another identity, another exception, an answer past the "
        "deadline, a good card that was not read.",
        ["over", "times", "right", "none", "faults", "longest", "wrong", "took"],
        [one.row for one in done],
    )


def _readers(done: list[Done]) -> Table:
    return Table(
        "Readers through good and bad cards",
        "A card half of its own, every tenth card a bad one: torn away, two, broken, fading, in "
        "noise; over the PN532 also the chip's faults, resets and unplugging. Each good card must "
        "be answered and journalled once, as itself; what was told and what was kept are the same. "
        f"Grows by: memory per 1,000 cards, after the first {readers.WARM_UP:,}. Files and "
        "threads: as many as were seen.",
        [
            *("over", "cards", "bad", "told", "missed", "memory", "grows by", "files", "threads"),
            *("wrong", "took"),
        ],
        [one.row for one in done],
    )


def main() -> int:
    """Run; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.cards", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all, from 0 to 1")
    parser.add_argument("--seed", type=int, default=None, help="to see the same again")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    found = run(chosen.share, seed, lambda done: print(*done.row, sep=" | ", flush=True))
    today = datetime.datetime.now(datetime.UTC).date()
    print(
        f"{today}: {machine()}. Seed {seed}.", *(one.markdown() for one in found.tables), sep="\n\n"
    )
    print(*found.wrong, sep="\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
