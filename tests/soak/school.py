"""A morning and a week of a town's schools.

`python -m tests.soak.school` lets 400 people through three gates while networks come and go, plays
a week of 52 gates and 950 staff faster than real, compares both with what people did, and prints
what docs/soak.md says of it.
"""

import argparse
import datetime
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rich.progress import Progress

from programmes.work_day import State
from tests.bench.figures import Table, machine, quantile
from tests.fleet.whole_world import folder_in_memory
from tests.soak import school_judge, school_people, school_week, school_week_judge
from tests.soak.school_door import Kind, Met, School
from tests.soak.school_morning import morning
from tests.soak.school_world import Counted, World
from tests.soak.taxi import database

PARTS: Final = ("morning", "week")
TOLD: Final = 1 + school_week.DAYS
"""Times that `play` tells how far it is."""


class CameOfMorning(NamedTuple):
    """What a morning came to."""

    schools: list[School]
    found: school_judge.Found
    took_s: float


class CameOfWeek(NamedTuple):
    """What a week came to."""

    counted: Counted
    found: school_week_judge.Found
    took_s: float


def run_morning(size: school_people.Size, seed: int, url: str) -> CameOfMorning:
    """Let a morning pass, and judge. Raises AssertionError where something is not right."""
    with (
        tempfile.TemporaryDirectory(prefix="kz-") as folder,
        morning(Path(folder), size, seed, url) as made,
    ):
        found = school_judge.judge(made)
        return CameOfMorning(made.schools, found, (made.ended_ms - made.began_ms) / 1000)


def run_week(
    size: school_week.Size, seed: int, url: str, tell: Callable[[], None] = lambda: None
) -> CameOfWeek:
    """Play a week, and judge. Raises AssertionError where something is not right."""
    began_s = time.monotonic()
    with folder_in_memory() as folder:
        world = World(Path(folder), size, seed, url)
        try:
            world.play(tell)
            found = school_week_judge.judge(world)
            return CameOfWeek(world.count, found, time.monotonic() - began_s)
        finally:
            world.close()


def morning_table(size: school_people.Size, came: CameOfMorning, kind: str) -> Table:
    """Return the table of docs/soak.md."""
    found, schools = came.found, came.schools
    met = [one for school in schools for one in school.met]
    told = Counter(str(one.said.outcome) for one in met)
    answered = [one for one in met if one.replied and not one.after]
    rows = [
        ("taps", ", ".join(f"{times:,} {what}" for what, times in sorted(told.items()))),
        ("held again when asked to", f"{sum(one.again for one in schools):,}"),
        ("pressed a direction before", f"{sum(bool(one.before) for one in met):,}"),
        ("corrected it after", f"{sum(bool(one.after) for one in met):,}"),
        ("answered what lacked of the day before", f"{len(answered):,}"),
        ("came too late to correct or answer", f"{sum(one.late for one in schools):,}"),
        ("networks cut", f"{sum(one.network.cuts for one in schools):,} times"),
        ("from card to answer, network there", _waits(met, "there")),
        ("network cut all the time", _waits(met, "cut")),
        ("it came back meanwhile", _waits(met, "came back")),
        ("it went meanwhile", _waits(met, "went")),
        ("journals = ledger", f"{found.entries:,} entries, none lost or twice"),
        ("shown = kept", f"{found.shown:,} sentences"),
        ("readers' clocks put right", f"{found.steps:,} times, counted in"),
        ("who is in, as people did", _states(found.states)),
        ("hours, as the rules over what people did", f"{found.minutes:,} minutes"),
        ("told as missing of the day before", f"{found.missing:,} marks"),
        ("took", f"{came.took_s:.0f} s"),
    ]
    about = (
        f"{size.people:,} people through {size.gates} gates in {size.seconds:,.0f} s, real halves "
        "of readers, cards over simulated antennas, mosquitto, ingest and dispatch; every third "
        "leaves the card a second too long; each network is there for "
        f"{size.up_s[0]:g} to {size.up_s[1]:g} s and then cut for {size.cut_s[0]:g} to "
        f"{size.cut_s[1]:g} s, or until somebody was served meanwhile, so that who waited for it "
        f"would wait for ever; ledger on {kind}. `python -m tests.soak.school morning`"
    )
    return Table("A morning at schools", about, ["what", "came to"], rows)


def _waits(met: Iterable[Met], network: Kind) -> str:
    waits = sorted(one.waited_s * 1000 for one in met if one.network == network)
    if not waits:
        return "nobody"
    p50, p95 = (quantile(waits, q) for q in (0.5, 0.95))
    return f"p50 {p50:,.0f} ms, p95 {p95:,.0f} ms, longest {waits[-1]:,.0f} ms of {len(waits):,}"


def _states(states: Counter[State]) -> str:
    return ", ".join(f"{people:,} {state}" for state, people in sorted(states.items()))


def week_table(size: school_week.Size, came: CameOfWeek, kind: str) -> Table:
    """Return the table of docs/soak.md."""
    count, found = came.counted, came.found
    asked = ", ".join(f"{times:,} {what}" for what, times in sorted(count.asked.items()))
    rows = [
        ("marks", f"{count.marks:,}, and {count.repeats:,} cards held twice, which book nothing"),
        ("directions pressed", f"{count.pressed:,} before the tap, {count.turned:,} after it"),
        ("asked what lacks", asked),
        ("readers", f"{count.restarts:,} restarts, {count.steps:,} wrong clocks put right"),
        ("journals = ledger", f"{found.entries:,} entries in {count.groups:,} groups"),
        ("days of people", f"{found.days:,}, each as its person knows it"),
        ("presence", f"{found.minutes:,} minutes, as plain sums say"),
        ("told as missing, never invented", f"{found.missing:,} leavings"),
        ("signed lists", f"{found.lists:,}, each named by the next of its day"),
        ("receipts", f"{found.receipts:,}, each verified with the public key alone"),
        ("of it in the ledger's intake", f"{count.ingest_s:.0f} s"),
        ("of it in making lists", f"{count.lists_s:.0f} s"),
        ("took", f"{came.took_s:.0f} s"),
    ]
    about = (
        f"{school_week.DAYS} days, {size.staff:,} staff, {len(size.gates)} gates of "
        f"{size.schools} schools, one of them without a network until the end; ledger on {kind}. "
        "`python -m tests.soak.school week`"
    )
    return Table("A week of schools", about, ["what", "came to"], rows)


def play(
    kind: str, seed: int, parts: Iterable[str] = PARTS, *, small: bool, tell: Callable[[], None]
) -> Iterator[Table]:
    """Yield what each part came to. Raises AssertionError where something is not right.

    `tell`: called TOLD times, for the morning and for each day.
    """
    if "morning" in parts:
        gates = school_people.SMALL if small else school_people.MORNING
        with database(kind) as url:
            yield morning_table(gates, run_morning(gates, seed, url), kind)
        tell()
    if "week" in parts:
        town = school_week.SMALL if small else school_week.TOWN
        with database(kind) as url:
            yield week_table(town, run_week(town, seed, url, tell), kind)


def main() -> int:
    """Run; AssertionError when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.school", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--seed", type=int, default=None, help="to see the same again")
    parser.add_argument("--on", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--small", action="store_true", help="as the test suite has it")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    with Progress() as progress:
        bar = progress.add_task("morning and days", total=TOLD)
        found = play(
            chosen.on, seed, chosen.parts, small=chosen.small, tell=lambda: progress.advance(bar)
        )
        tables = [one.markdown() for one in found]
    today = datetime.datetime.now(datetime.UTC).date()
    print(f"{today}: {machine()}. Seed {seed}.", *tables, sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
