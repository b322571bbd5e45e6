"""A million members at the reader: from credential to outcome, memory, changes, and no delay.

Everything stands beside what anyone would take instead: a dictionary, and SQLite's own index.
"""

import contextlib
import gc
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from edge.clock import Stamp
from edge.decide import Circumstances, decide
from edge.identify import Identified
from edge.roster import Holding, Match, Rosters
from edge.usage import Counted
from programmes.rulebook import Place
from tests.bench.figures import Table, quantile, timed_us
from tests.edge.reader_kit import PASS, ReaderKit, make_reader
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Credential, Scheme
from wire.roster import ROSTER, ROW
from wire.rows import Rows
from wire.rows_delta import Base, apply_delta, difference, encode_delta

MEMBERS: Final = 1_000_000
CHANGED: Final = 10_000
LOOK_UPS: Final = 100_000
TAKEN_IN: Final = 8
"""Times that a new roster is taken in while another thread decides."""
BETWEEN_S: Final = 0.0005
"""Between two decisions: a card half mostly waits for its front end, 10 ms and more."""
SHARED: Final = (0, 9_586, 9_951, 0, 0)
"""Every member's category, 2026-04-01 and 2027-03-31, not stopped."""
PLACE: Final = Place("bus-1", "bus", "1")


def bench() -> Table:
    """Measure, and compare with the goals."""
    with tempfile.TemporaryDirectory(prefix="kz-roster-") as name:
        kit = make_reader(Path(name) / "bus-1", "udp:127.0.0.1:1")
        kit.key(PASS)
        kit.give_keys()
        members = _members(random.Random(1), MEMBERS)
        give(kit, members, version=1)
        rows, goals = _looking_up(kit, members)
        for more, met in (_memory(kit), _changes(kit, members), _taking_in(kit, members)):
            rows += more
            goals += met
    return Table(
        f"{MEMBERS:,} members at one reader",
        "From a credential to the outcome, as the card half does it for each programme; hits, in "
        "random order, with the file in the page cache. A change replaces, removes or adds one "
        "member's row. Looking up is limited by the interpreter, and its p99 by what interrupts a "
        "process: see the row that only counts. A change is limited by hashing and copying the "
        "file. The longest decisions are given as the least and the most "
        f"of {TAKEN_IN} turns.",
        ["what", "p50", "p99", "unit"],
        rows,
        goals,
    )


def _members(draw: random.Random, count: int) -> list[bytes]:
    return sorted(ROW.pack(draw.randbytes(16), *SHARED) for _ in range(count))


def give(kit: ReaderKit, rows: Sequence[bytes], version: int) -> Path:
    """Put a roster of these packed rows where `link` puts it; return where."""
    path = kit.state / "rosters" / f"{PASS}.roster"
    kit.give_packed(PASS, b"".join(rows), version=version)
    return path


def _holding(kit: ReaderKit) -> Holding:
    rosters = Rosters(kit.config)
    if refused := rosters.load():
        raise refused[0]
    return rosters.holdings[0]


def decider(holding: Holding, credentials: Sequence[Credential]) -> Callable[[], object]:
    """Return what decides about the next of these cards."""
    at_ms = 1_795_000_000_000
    now = Circumstances(Stamp(at_ms, 0, ClockState.SYNCHRONISED), PLACE, "", "", "")
    cards, counted = iter(_for_ever(credentials)), Counted()

    def one() -> None:
        card = next(cards)
        row = holding.roster.find(card)
        match = Match(holding, Scheme.COMMON_AP, 1, card, None, row, (card,))
        decision = decide(Identified(Code.OK, match), holding, [], counted, now)
        assert decision.code is Code.OK

    return one


def _for_ever(credentials: Sequence[Credential]) -> Iterator[Credential]:
    while True:
        yield from credentials


def _looking_up(
    kit: ReaderKit, members: Sequence[bytes]
) -> tuple[list[list[str]], list[tuple[str, bool]]]:
    some = random.Random(2).sample(range(len(members)), LOOK_UPS)
    cards = [Credential(members[number][:16].hex()) for number in some]
    holding = _holding(kit)
    find = iter(cards)
    found = timed_us(lambda: holding.roster.find(next(find)), LOOK_UPS)
    decided = timed_us(decider(holding, cards), LOOK_UPS)
    with contextlib.closing(sqlite3.connect(kit.folder / "rows.db")) as database:
        database.execute("create table row (card blob primary key, rest blob) without rowid")
        database.executemany("insert into row values (?, ?)", ((m[:16], m[16:]) for m in members))
        database.commit()
        asked = iter(cards)
        sql = "select rest from row where card = ?"
        plain = timed_us(
            lambda: database.execute(sql, (bytes.fromhex(next(asked)),)).fetchone(), LOOK_UPS
        )
    known = {member[:16]: member[16:] for member in members}
    wanted = iter(cards)
    direct = timed_us(lambda: known[bytes.fromhex(next(wanted))], LOOK_UPS)
    holding.roster.close()
    plain_python = timed_us(_counting_for(quantile(decided, 0.5)), LOOK_UPS)
    p99 = quantile(decided, 0.99)
    return [
        ["a dictionary in memory (150 MB)", *_two(direct), "µs"],
        ["SQLite, by its primary key", *_two(plain), "µs"],
        ["roster: credential → row", *_two(found), "µs"],
        ["roster: credential → outcome", *_two(decided), "µs"],
        ["counting for as long, nothing looked up", *_two(plain_python), "µs"],
    ], [(f"credential → outcome p99 {p99:.1f} µs (goal < 15)", p99 < 15)]


def _counting_for(us: float) -> Callable[[], object]:
    """Return what keeps the interpreter busy for so long: what then is more is the machine's."""

    def count(times: int) -> None:
        for _ in range(times):
            pass

    times = 1_000
    for _ in range(5):
        times = round(times * us / quantile(timed_us(partial(count, times), 500), 0.5))
    return partial(count, times)


def _two(values: Sequence[float], digits: int = 1) -> list[str]:
    return [f"{quantile(values, q):.{digits}f}" for q in (0.5, 0.99)]


_MEASURE: Final = """
import random, sys
from pathlib import Path
from edge.config import read_config
from edge.roster import Rosters
def memory():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
    return kb["Pss"], kb["Pss_Anon"]
config = read_config(Path(sys.argv[1]))
before = memory()
rosters = Rosters(config)
rosters.load()
roster, draw = rosters.holdings[0].roster, random.Random(3)
for _ in range(300_000):
    roster.find(draw.randbytes(16).hex())
after = memory()
print(*(b - a for a, b in zip(before, after)))
"""


def _memory(kit: ReaderKit) -> tuple[list[list[str]], list[tuple[str, bool]]]:
    """What holding the roster adds to a process, after 300,000 look-ups all over it."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(kit.folder / "edge.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    whole, own = (int(kb) / 1024 for kb in done.stdout.split())
    return [
        ["memory added, proportional", f"{whole:.1f}", "", "MiB"],
        ["memory added, anonymous", f"{own:.1f}", "", "MiB"],
    ], [
        (f"{whole:.1f} MiB proportional memory added (goal < 40)", whole < 40),
        (f"{own:.1f} MiB anonymous memory added (goal < 5)", own < 5),
    ]


def _changed(members: Sequence[bytes]) -> list[bytes]:
    """60 % of the changes give another validity, 20 % are new members, 20 % are gone."""
    draw = random.Random(4)
    touched = set(draw.sample(range(len(members)), CHANGED * 8 // 10))
    gone = set(draw.sample(sorted(touched), CHANGED * 2 // 10))
    kept = [
        member[:18] + b"\x00\x01" + member[20:] if number in touched else member
        for number, member in enumerate(members)
        if number not in gone
    ]
    return sorted([*kept, *_members(draw, CHANGED * 2 // 10)])


def _changes(
    kit: ReaderKit, members: Sequence[bytes]
) -> tuple[list[list[str]], list[tuple[str, bool]]]:
    """What 10,000 changes cost: worked out by the fleet, on the wire, merged by the reader."""
    old = kit.folder / "old.roster"
    give(kit, members, version=1).rename(old)
    new = give(kit, _changed(members), version=2)
    made: list[float] = []
    with old.open("rb") as one, new.open("rb") as other:
        old_head, new_head = (ROSTER.read_head(file) for file in (one, other))
        before = Rows.map(one, len(old_head), ROW.size)
        after = Rows.map(other, len(new_head), ROW.size)
    for _ in range(5):
        started = time.perf_counter()
        change = difference(before, after, MEMBERS * ROW.size)
        made.append(time.perf_counter() - started)
    assert change is not None
    held = Base(old, hashlib.sha256(old_head).digest(), ROW.size)
    data = encode_delta(held.name, new_head, change)
    delta, merged = kit.folder / "delta", kit.folder / "merged"
    delta.write_bytes(data)
    took, wanted = [], hashlib.sha256(after.packed(0, after.count)).digest()
    for _ in range(5):
        started = time.perf_counter()
        with merged.open("wb") as into:
            apply_delta(held, delta, into, ROSTER)
            into.flush()
            os.fsync(into.fileno())
        with merged.open("rb") as file:
            head = ROSTER.read_head(file)
            Rows.open(file, len(head), after.count, wanted, ROW.size)
        took.append(time.perf_counter() - started)
    assert merged.read_bytes() == new.read_bytes()
    each = len(data) / CHANGED
    seconds = quantile(took, 0.5)
    return [
        [f"{CHANGED:,} changes: worked out by the fleet", *_two([s * 1e3 for s in made], 0), "ms"],
        [f"{CHANGED:,} changes: merged, synced, verified", *_two([s * 1e3 for s in took], 0), "ms"],
        ["on the wire per change", f"{each:.1f}", "", "bytes"],
        ["the whole roster instead", f"{new.stat().st_size / 1e6:.1f}", "", "MB"],
    ], [
        (f"{CHANGED:,} changes taken in in {seconds:.2f} s (goal < 2)", seconds < 2),
    ]


def _taking_in(
    kit: ReaderKit, members: Sequence[bytes]
) -> tuple[list[list[str]], list[tuple[str, bool]]]:
    """How much longer a decision takes while a new roster is verified beside and taken in."""
    give(kit, members, version=10)
    rosters = Rosters(kit.config)
    rosters.load()
    cards = [Credential(member[:16].hex()) for member in random.Random(5).sample(members, 20_000)]
    gc.collect()
    gc.freeze()
    alone, beside = [], []
    for version in range(11, 11 + TAKEN_IN):
        give(kit, members, version=version)
        started = time.perf_counter()
        rosters.open_beside(PASS)
        beside.append(_longest_us(rosters, cards, partial(_uses, rosters, version)))
        ends = 2 * time.perf_counter() - started
        alone.append(_longest_us(rosters, cards, partial(_is_over, ends)))
    more = (min(beside) - min(alone)) / 1000
    return [
        ["the longest decision while nothing else is done", *_least_and_most(alone), "µs"],
        ["the longest while a roster is taken in", *_least_and_most(beside), "µs"],
    ], [(f"no decision delayed by more than {max(more, 0):.2f} ms (goal ≤ 1)", more <= 1)]


def _uses(rosters: Rosters, version: int) -> bool:
    return rosters.versions()[PASS] == version


def _is_over(ends: float) -> bool:
    return time.perf_counter() > ends


def _least_and_most(longest_us: Sequence[float]) -> list[str]:
    """Of several turns: what else the machine does only adds to the least of them."""
    return [f"{min(longest_us):.0f}", f"{max(longest_us):.0f}"]


def _longest_us(rosters: Rosters, cards: Sequence[Credential], done: Callable[[], bool]) -> float:
    """Decide and look for a new roster, as between two cards, until `done`; return the longest."""
    longest, turn = 0, 0
    while not done():
        act = decider(rosters.holdings[0], cards[turn % len(cards) :])
        started = time.perf_counter_ns()
        act()
        rosters.adopt()
        longest = max(longest, time.perf_counter_ns() - started)
        time.sleep(BETWEEN_S)
        turn += 1
    return longest / 1000
