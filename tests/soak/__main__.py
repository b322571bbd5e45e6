"""`python -m tests.soak`: kills, bad cards, taxis, schools, by the thousand; for docs/soak.md."""

import argparse
import datetime
import functools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.bench.figures import Table, machine
from tests.faults import fleet_kills, power, power_cuts, town_kills, writer_kills
from tests.faults.writer_kills import Tally
from tests.soak import cards, month, school, taxi

PAGE: Final = Path(__file__).parents[2] / "docs" / "soak.md"
KILLS: Final = 10_000
LANES: Final = 2
"""Readers that are killed at the same time; more would only wait for the processors."""
TOWN_SHARE: Final = 1 / 100
"""Of all kills: a town's processes take two seconds to be back."""
CUT_SHARE: Final = 1 / 20
FLEET_SHARE: Final = 1 / 20
"""Half a second each, on SQLite and PostgreSQL in turn."""
BROKER_SHARE: Final = 1 / 50


@dataclass
class Part:
    """One kind of kill: how many, and what came of them."""

    name: str
    kills: int
    act: Callable[[int, int, Tally], Iterator[Tally]]
    lanes: int = 1
    tally: Tally = field(default_factory=Tally)
    took_s: float = 0.0

    def run(self, seed: int, advance: Callable[[], None]) -> None:
        """Kill, in as many lanes as this kind has."""
        started_s = time.monotonic()
        each, more = divmod(self.kills, self.lanes)
        shares = [each + (lane < more) for lane in range(self.lanes)]
        tallies = [Tally() for _ in shares]

        def run_lane(lane: int) -> None:
            done = 0
            try:
                for tally in self.act(shares[lane], seed + lane, tallies[lane]):
                    for _ in range(tally.kills - done):
                        advance()
                    done = tally.kills
            except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
                # what never came back
                tallies[lane].wrong.append(f"ended after {done} kills: {error}")

        with ThreadPoolExecutor(self.lanes) as lanes:
            list(lanes.map(run_lane, range(self.lanes)))
        self.took_s = time.monotonic() - started_s
        for one in tallies:
            for name in ("kills", "entries", "shown", "taps", "wrong"):
                setattr(self.tally, name, getattr(self.tally, name) + getattr(one, name))

    def row(self) -> list[str]:
        """Return its line of the page."""
        tally = self.tally
        figures = [tally.kills, tally.entries, tally.taps, tally.shown, len(tally.wrong)]
        return [self.name, *(f"{figure:,}" for figure in figures), f"{self.took_s:.0f} s"]


def parts(kills: int) -> tuple[list[Part], str]:
    """Return what is to be killed, and why something cannot be."""
    with tempfile.TemporaryDirectory(prefix="kz-") as folder:
        why_not = power.why_not(Path(folder)) or ""
    town, cuts = round(kills * TOWN_SHARE), 0 if why_not else round(kills * CUT_SHARE)
    fleet, broker = round(kills * FLEET_SHARE), round(kills * BROKER_SHARE)
    rest = kills - town - cuts - fleet - broker
    return [
        Part("the journal's writer", rest, writer_kills.kill, LANES),
        Part("the power of its disk", cuts, power_cuts.cut),
        Part("ingest and dispatch", fleet, fleet_kills.kill),
        Part("the broker", broker, functools.partial(fleet_kills.kill, broker=True)),
        Part("processes of a town", town, town_kills.kill),
    ], why_not


def month_of_taxis(size: month.Size, seed: int, advance: Callable[[], None]) -> cards.Found:
    """Play taxis on PostgreSQL; what does not agree is what was wrong."""
    try:
        return cards.Found([taxi.play(size, seed, "postgresql", lambda _: advance())], [])
    except AssertionError as error:
        return cards.Found([], [f"taxis: {error}"])


def mornings_of_schools(seed: int, advance: Callable[[], None], *, small: bool) -> cards.Found:
    """Play schools on PostgreSQL; what does not agree is what was wrong."""
    came = cards.Found([], [])
    try:
        for table in school.play("postgresql", seed, small=small, tell=advance):
            came.tables.append(table)
    except AssertionError as error:
        came.wrong.append(f"schools: {error}")
    return came


def page(found: list[Part], others: cards.Found, seed: int, why_not: str) -> str:
    """Return docs/soak.md."""
    table = Table(
        "Kills and what came of them",
        "Entries are those in the journals (after power cuts: of the last look), taps those of "
        "cards, shown what somebody was told. Wrong: a told entry that is missing or different, a "
        "broken chain, a number used twice, a card that paid twice in its window, a ledger that "
        "differs from the journals.",
        ["killed", "times", "entries", "taps", "shown", "wrong", "took"],
        [part.row() for part in found if part.kills],
    )
    today = datetime.datetime.now(datetime.UTC).date()
    wrong = [line for part in found for line in part.tally.wrong] + others.wrong
    lines = [
        "# Soak",
        "",
        "Made by `scripts/soak`, which writes this page anew at each run: real processes are",
        "killed with SIGKILL at random instants while cards are held and buttons are pressed, and",
        "bad cards are held over every kind of front end; then a month of taxis is played, and a",
        "morning and a week of schools.",
        "",
        f"{today}: {machine()}. Seed {seed}.",
        *(["", f"No power was cut on this machine: {why_not}."] if why_not else []),
        "",
        table.markdown(),
        *(line for one in others.tables for line in ("", one.markdown())),
        *(["", "## What was wrong", "", *(f"- {line}" for line in wrong[:100])] if wrong else []),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="how many; cards in proportion")
    parser.add_argument("--seed", type=int, default=None, help="to see the same again")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    found, why_not = parts(chosen.kills)
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        bars = [progress.add_task(part.name, total=part.kills) for part in found]
        for part, bar in zip(found, bars, strict=True):
            if part.kills:
                part.run(seed, lambda bar=bar: progress.advance(bar))  # type: ignore[misc]
        bar = progress.add_task("bad cards", total=cards.TASKS)
        of_cards = cards.run(chosen.kills / KILLS, seed, lambda _: progress.advance(bar))
        small = chosen.kills < KILLS
        size = month.SMALL if small else month.MAEBASHI
        bar = progress.add_task("days of taxis", total=size.days)
        of_taxis = month_of_taxis(size, seed, lambda: progress.advance(bar))
        bar = progress.add_task("schools", total=school.TOLD)
        of_schools = mornings_of_schools(seed, lambda: progress.advance(bar), small=small)
    all_found = (of_cards, of_taxis, of_schools)
    others = cards.Found(
        [table for one in all_found for table in one.tables],
        [line for one in all_found for line in one.wrong],
    )
    text = page(found, others, seed, why_not)
    PAGE.write_text(text, "utf-8")
    print(text)
    return 1 if others.wrong or any(part.tally.wrong for part in found) else 0


if __name__ == "__main__":
    sys.exit(main())
