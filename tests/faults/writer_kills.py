"""Kills of the journal's writer: the real card half, cards and presses, SIGKILL at any instant.

`Bench.kill` ends one life of the reader; `judge` says what is wrong with its journals after that.
Both are used by the tests (200 kills) and by `scripts/soak` (10,000).
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.journal import FOLDER, Follower, Kept, journals
from edge.panel import Appended, Shown
from hw.sim.antenna import Antenna
from programmes.senior_pass import Parameters
from tests.edge.reader_kit import ReaderKit, make_reader, my_number_card
from tests.faults.witness import Witness
from tests.faults.zygote import Zygote
from wire.codes import Code, Outcome
from wire.entries import Start, Tap

LIVES: Final = 12
"""Kills of one reader before a fresh one: each start reads all journals again."""
LIFE_S_MAX: Final = 0.2
"""A start takes some 15 ms, a tap 40 ms, a press 0.3 ms: kills fall into all of them."""
KILLED_AT_START: Final = 0.25
"""Of all kills, those whose time runs from the start of the process."""
HOLD_S: Final = 0.06
CARDS: Final = 30
WINDOW_MS: Final = Parameters(rider_pays_yen=0).repeat_window_s * 1000
"""The default of the rulebook, which the table of `make_reader` leaves as it is."""


@dataclass
class Tally:
    """What was seen so far."""

    kills: int = 0
    entries: int = 0
    shown: int = 0
    taps: int = 0
    torn: int = 0
    """Ends of files that were no whole frame: the kill fell into the write itself."""
    wrong: list[str] = field(default_factory=list)


@dataclass
class Reader:
    """One reader through its lives, and what anybody was ever told by it."""

    kit: ReaderKit
    antenna: Antenna
    promised: dict[tuple[str, int], Shown] = field(default_factory=dict)
    tips: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def live(
        self,
        zygote: Zygote,
        rng: random.Random,
        life_s: float,
        cut: Callable[[], None] | None = None,
        hold_s: float = HOLD_S,
    ) -> None:
        """Start, serve cards and presses, and be killed; `cut` takes the power away just before.

        What a process says in its last µs without a disk nobody would hear: with a cut only what
        was said before it is a promise.
        """
        witness = Witness()
        zygote.start(self.kit.folder / "edge.toml")
        if rng.random() > KILLED_AT_START:
            witness.connect(self.kit.state)  # however busy the machine is: then it lives so long
        end_s = time.monotonic() + life_s
        while (left_s := end_s - time.monotonic()) > 0:
            self.antenna.place(my_number_card(rng.randrange(CARDS)))
            witness.watch(self.kit.state, time.monotonic() + min(left_s, hold_s))
            self.antenna.remove()
            witness.watch(self.kit.state, time.monotonic() + min(left_s, 0.005))
        heard = witness.heard()
        if cut:
            cut()
        zygote.kill()
        ended = witness.ended()
        for said in heard if cut else ended:
            if isinstance(said, Shown) and said.n:
                self.promised[said.journal, said.n] = said
            elif isinstance(said, Appended):
                self.tips[said.journal, said.n] = said.tip


def judge(reader: Reader, tally: Tally) -> None:
    """Compare a reader's journals with what it said; write down what is wrong."""
    seen: dict[tuple[str, int], Kept] = {}
    ends: list[tuple[str, Kept]] = []
    wrong: list[str] = []
    for file in journals(reader.kit.state / FOLDER):
        with Follower(file, reader.kit.config.reader) as follower:
            kept = list(follower)
        size, whole = file.path.stat().st_size, sum(46 - 4 + len(one.body) for one in kept)
        tally.torn += size != whole
        wrong += _chain(file.journal, kept, ends)
        if kept:
            ends.append((file.journal, kept[-1]))
        seen |= {(file.journal, one.n): one for one in kept}
    wrong += _promises(reader, seen)
    tally.entries += len(seen)
    tally.shown += len(reader.promised)
    tally.taps += sum(isinstance(one.entry, Tap) for one in seen.values())
    tally.wrong += wrong


def _chain(journal: str, kept: list[Kept], ends: list[tuple[str, Kept]]) -> Iterator[str]:
    if any(known == journal for known, _ in ends):
        yield f"journal {journal} was begun twice"
    for number, one in enumerate(kept, 1):
        if one.n != number or one.contradicts:
            yield f"{journal} {number}: the chain is broken"
    first = kept[0].entry if kept else None
    if kept and not isinstance(first, Start):
        yield f"{journal} does not begin with a start"
    if isinstance(first, Start):
        former = (first.former.journal, first.former.n, first.former.tip) if first.former else None
        named = (ends[-1][0], ends[-1][1].n, ends[-1][1].tip) if ends else None
        if former != named:
            yield f"{journal} follows {former}, and the one before ended with {named}"


def _promises(reader: Reader, seen: dict[tuple[str, int], Kept]) -> Iterator[str]:
    for at, shown in reader.promised.items():
        entry = seen[at].entry if at in seen else None
        if entry is None:
            yield f"{at} was shown ({shown.message}) and is not in the journal"
        elif entry.at_ms != shown.at_ms or (
            isinstance(entry, Tap) and (entry.code, entry.shown) != (shown.code, shown.message)
        ):
            yield f"{at} was shown as {shown.message} and is {entry}"
    for at, tip in reader.tips.items():
        if at not in seen or seen[at].tip != tip:
            yield f"{at}: its tip was said and is another"
    yield from _paid_twice(seen)


def _paid_twice(seen: dict[tuple[str, int], Kept]) -> Iterator[str]:
    """A kill opens no window: no card is booked twice within its window."""
    booked: dict[str | None, int] = {}
    for kept in seen.values():
        entry = kept.entry
        if isinstance(entry, Tap) and entry.outcome is Outcome.ACCEPTED and entry.code is Code.OK:
            if entry.at_ms < booked.get(entry.credential, 0) + WINDOW_MS:
                yield f"the card of entry {entry.n} at {entry.at_ms} paid twice"
            booked[entry.credential] = entry.at_ms


@contextmanager
def fresh_reader(antenna: Antenna) -> Iterator[Reader]:
    """A reader that was never started, in a folder with a short name (Unix sockets)."""
    with tempfile.TemporaryDirectory(prefix="kz-", dir=Path(__file__).parents[2]) as name:
        kit = make_reader(Path(name) / "r", antenna.device)
        kit.enrol(*(my_number_card(serial) for serial in range(CARDS)))
        yield Reader(kit, antenna)


def kill(kills: int, seed: int, tally: Tally | None = None, *, slower: int = 1) -> Iterator[Tally]:
    """Kill a reader so often; yield the tally after each kill, judged after each life.

    `slower`: so many times as long a life, and a card in the field, as on an idle machine.
    """
    tally, rng = tally or Tally(), random.Random(seed)
    with Zygote() as zygote, Antenna() as antenna:
        while kills > 0:
            with fresh_reader(antenna) as reader:
                for _ in range(min(LIVES, kills)):
                    life_s = slower * rng.uniform(0, LIFE_S_MAX)
                    reader.live(zygote, rng, life_s, hold_s=slower * HOLD_S)
                    tally.kills += 1
                    kills -= 1
                    yield tally
                judge(reader, tally)
    yield tally
