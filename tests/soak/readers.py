"""A whole reader through thousands of cards, every tenth of which goes wrong.

The card half is a process of its own over a front end's real line. Upheld: each good card is
answered and journalled once, as itself, also right after a bad one · what was told and what is in
the journals are the same · its memory, its threads and its open files do not grow.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from edge.journal import FOLDER, Follower, journals
from edge.panel import Counted, RosterReady, Shown
from hw.sim.antenna import Antenna
from hw.sim.card import Card
from hw.sim.cards import TornAway
from hw.sim.mynumber import MyNumberCard
from hw.sim.pn532 import PN532, Fault
from tests.edge.reader_kit import PASS, Link, ReaderKit, make_reader, my_number_card
from tests.fuzz.weak_cards import Broken, Fading, Noise, Watched
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Entry, Tap

CARDS: Final = 10
"""Members whose cards are held in turn, so that the next card is never the one before."""
BAD_EVERY: Final = 10
ANSWERS_MAX: Final = 6
"""Of a card, from the poll to its record."""
HELD_S_MAX: Final = 0.12
"""How long a card that goes wrong is held: its holder does not wait for an answer."""
AWAY_S_MAX: Final = 0.3
"""How long a front end is away, or hangs, before somebody mends it."""
MENDED_EVERY_S: Final = 3.0
"""A chip that hangs is found again at the latest so long after it was reset: at four speeds."""
ANSWER_S_MAX: Final = 15.0
"""For a good card; after a fault the front end has half a second until it is opened again."""
LOOKS: Final = 4
"""Full rounds without a card: two are enough for the reader, of one it has perhaps begun."""
SAMPLE_EVERY: Final = 50
WARM_UP: Final = 2_500
"""Presentations in which memory may grow; it was seen to stand still after 2,000."""
SAMPLES_MIN: Final = 20
"""Fewer say nothing of growth."""
FILES: Final = 2
"""More than at another time: a line that is being opened, a journal that is being closed."""
KIB_PER_1000_MAX: Final = 64
"""A reader's day is some thousand taps, and it may run for a year: 23 MiB."""


class Place(Protocol):
    """What cards are held over."""

    def place(self, *cards: Card) -> None: ...


class Empty:
    """Nothing in the field, but it counts how often a reader looked."""

    def __init__(self) -> None:
        self.looked = 0

    def reset(self) -> None:
        return

    def answer(self, technology: str, frame: bytes) -> None:
        self.looked += technology == "106B"


@dataclass
class Life:
    """What came of one reader's life."""

    times: int = 0
    bad: int = 0
    told: int = 0
    missed: int = 0
    """Good cards that got no answer."""
    kib: list[tuple[int, int]] = field(default_factory=list)
    """So many presentations, and its memory then."""
    files: set[int] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def growth_kib(self) -> float:
        """Return by how much its memory grows with a thousand presentations, after the warm-up."""
        kept = [(n, kib) for n, kib in self.kib if n > WARM_UP]
        if len(kept) < SAMPLES_MIN:
            return 0.0
        mean_n = sum(n for n, _ in kept) / len(kept)
        mean_kib = sum(kib for _, kib in kept) / len(kept)
        slope = sum((n - mean_n) * (kib - mean_kib) for n, kib in kept)
        return 1000 * slope / sum((n - mean_n) ** 2 for n, _ in kept)


class Reader:
    """One reader while it runs, and those who hold cards over it."""

    def __init__(
        self,
        kit: ReaderKit,
        place: Place,
        life: Life,
        rng: random.Random,
        mend: Callable[[], None] = lambda: None,
    ) -> None:
        """`mend` is what somebody does to the front end when it does not look for cards."""
        self._mend = mend
        self._kit = kit
        self._place = place
        self._life = life
        self._rng = rng
        self._cards = [my_number_card(n * 1_000_003, apdu_ms=0) for n in range(1, CARDS + 1)]
        kit.enrol(*self._cards)
        self._told: dict[tuple[str, int], Shown] = {}
        self._theirs: dict[tuple[str, int], MyNumberCard] = {}
        self.bad: Final = [self._torn, self._two, self._broken, self._fading, self._noise]
        """What may go wrong; each takes a card that is held in its turn."""

    def serve(self, times: int) -> Iterator[Life]:
        """Hold so many cards; yield after each. Compares the journals with all that was told."""
        command = [sys.executable, "-m", "edge.tap", str(self._kit.folder / "edge.toml")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._link = Link(self._kit.state)
            self._link.ready()
            for n in range(1, times + 1):
                self._present(n)
                if n % SAMPLE_EVERY == 0:
                    self._measure(process.pid)
                yield self._life
            self._link.close()
        finally:
            process.terminate()
            process.wait(ANSWER_S_MAX)
        self._judge()

    def _present(self, n: int) -> None:
        self._life.times = n
        card = self._cards[n % CARDS]
        if n % BAD_EVERY:
            self._good(card)
            return
        self._life.bad += 1
        self._rng.choice(self.bad)(card)
        self._lift()
        self._hear()

    def _good(self, card: MyNumberCard) -> None:
        self._place.place(card)
        try:
            said = self._link.shown(ANSWER_S_MAX)
        except TimeoutError:
            self._life.missed += 1
            self._blame("was not answered")
        else:
            self._theirs[said.journal, said.n] = card
            if said.code not in (Code.OK, Code.REPEAT) or not said.n:
                self._blame(f"was answered by {said.code}")
        self._lift()
        if self._hear() > 1:
            self._blame("was answered twice")

    def _blame(self, what: str) -> None:
        self._life.wrong.append(f"presentation {self._life.times} {what}")

    # --- what goes wrong -------------------------------------------------------------------------

    def _held(self, *cards: Card) -> None:
        """Hold cards for a moment; nobody waits for an answer."""
        self._place.place(*cards)
        time.sleep(self._rng.uniform(0, HELD_S_MAX))

    def _of_cards(self) -> random.Random:
        """Cards answer in another thread: what happens to them is drawn apart."""
        return random.Random(self._rng.random())

    def _torn(self, card: MyNumberCard) -> None:
        self._held(TornAway(card, frames=self._rng.randint(0, ANSWERS_MAX)))

    def _two(self, card: MyNumberCard) -> None:
        self._held(card, self._rng.choice(self._cards[1:]))

    def _broken(self, card: MyNumberCard) -> None:
        self._held(Broken(card, self._of_cards(), 0.3))

    def _fading(self, card: MyNumberCard) -> None:
        self._held(Fading(card, self._of_cards(), 0.3))

    def _noise(self, card: MyNumberCard) -> None:
        fading = Fading(card, self._of_cards(), 0.05)
        self._held(fading, Noise(fading, self._of_cards(), 0.3))

    # --- what came of it -------------------------------------------------------------------------

    def _lift(self) -> None:
        """Take everything away until the reader has noticed."""
        empty = Empty()
        self._place.place(empty)
        began_s = mended_s = time.monotonic()
        while empty.looked < LOOKS:
            now_s = time.monotonic()
            assert now_s < began_s + ANSWER_S_MAX, "the reader does not look for cards"
            if now_s > mended_s + MENDED_EVERY_S:
                mended_s = now_s
                self._mend()
            time.sleep(0.001)
        self._place.place()

    def _hear(self) -> int:
        """Take note of what was told meanwhile; return how much that was."""
        self._link.say(RosterReady(programme="no-such-programme"))
        self._link.until(Counted, lambda counted: counted.name == "holding.refused")
        told = [said for said in self._link.heard if isinstance(said, Shown)]
        self._link.heard.clear()
        self._told |= {(said.journal, said.n): said for said in told if said.n}
        return len(told)

    def _measure(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        self._life.kib.append((self._life.times, int(fields["VmRSS"].split()[0])))
        self._life.threads.add(int(fields["Threads"]))
        self._life.files.add(len(os.listdir(f"/proc/{pid}/fd")))

    def _judge(self) -> None:
        """Compare the journals with what was told."""
        life = self._life
        kept: dict[tuple[str, int], Entry] = {}
        for file in journals(self._kit.state / FOLDER):
            with Follower(file, self._kit.config.reader) as follower:
                kept |= {(file.journal, one.n): one.entry for one in follower}
        taps = {at for at, entry in kept.items() if isinstance(entry, Tap)}
        life.told = len(self._told)
        life.wrong += [f"{at} was told and not kept" for at in self._told.keys() - taps]
        life.wrong += [f"{at} was kept and not told" for at in taps - self._told.keys()]
        for at, card in self._theirs.items():
            wanted = self._kit.credential(PASS, Scheme.COMMON_AP, card)
            entry = kept.get(at)
            if not isinstance(entry, Tap) or entry.credential != wanted:
                life.wrong.append(f"{at} is another card's")
        if life.growth_kib() > KIB_PER_1000_MAX:
            life.wrong.append(f"grows by {life.growth_kib():.0f} KiB per 1,000 cards")
        if len(life.threads) > 1 or max(life.files, default=0) - min(life.files, default=0) > FILES:
            life.wrong.append(f"{life.threads} threads, {life.files} files")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder with a short name (Unix sockets), beside the checkout's own."""
    with tempfile.TemporaryDirectory(prefix="kz-", dir=Path(__file__).parents[2]) as name:
        yield Path(name)


def over_udp(times: int, seed: int, life: Life) -> Iterator[Life]:
    """Hold cards over the simulator's antenna, by nfcpy."""
    quick = {"A": 0.2, "B": 0.2, "F": 0.2}
    with _folder() as folder, Antenna(poll_ms=quick, air=lambda *_: 0) as antenna:
        kit = make_reader(folder / "r", antenna.device)
        yield from Reader(kit, antenna, life, random.Random(seed)).serve(times)


def over_pn532(times: int, seed: int, life: Life) -> Iterator[Life]:
    """Hold cards over a PN532 that fails now and then, and is unplugged."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kz-", dir="/dev/shm") as name, _folder() as folder:
        link = Path(name) / "nfc0"  # a reader's serial lines are below /dev
        with PN532(link=link, paced=False) as chip:
            reader = Reader(make_reader(folder / "r", f"pn532:{link}"), chip, life, rng, chip.reset)

            def fails(card: MyNumberCard) -> None:
                faults = rng.choices(list(Fault), k=rng.randint(1, 3))
                chip.place(
                    Watched(card, rng.randint(1, ANSWERS_MAX), lambda: chip.fail_next(*faults))
                )
                time.sleep(rng.uniform(0, AWAY_S_MAX))
                chip.reset()

            def unplugged(card: MyNumberCard) -> None:
                chip.place(card)
                time.sleep(rng.uniform(0, HELD_S_MAX))
                chip.unplug()
                time.sleep(rng.uniform(0, AWAY_S_MAX))
                chip.plug()

            reader.bad.extend((fails, unplugged))
            yield from reader.serve(times)
