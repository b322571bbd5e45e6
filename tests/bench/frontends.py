"""A tap by front end, scheme and card: from the card entering the field to the decision.

The agent runs as a process of its own, over a PN532 at its serial line and over the real pcscd;
beside it, in the same run and over the same chip, the obvious program: nfcpy's `connect()` with its
defaults, reading the whole certificate.
"""

import contextlib
import functools
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import nfc
import nfc.clf.pn532
from nfc.clf.transport import TTY

from edge.frontends.pn532 import Pn532
from edge.frontends.pn532_chip import OnLine
from hw.sim.cards import Card, FeliCaCard, StaffToken
from hw.sim.pn532 import COMMAND_MS, PN532
from tests.bench.cards import by_connect
from tests.bench.figures import Table, quantile, spread, timed_us
from tests.bench.taps import agent
from tests.edge.pcsc_kit import desk
from tests.edge.reader_kit import Link, ReaderKit, make_reader, my_number_card
from wire.codes import Code
from wire.credential import Scheme

RUNS: Final = 30
OBVIOUS_RUNS: Final = 10
CARD_MS: Final = (5, 10, 25)
SPOKEN: Final = (Scheme.COMMON_AP, Scheme.JPKI_AUTH)
FOUND: Final = (Scheme.FELICA_IDM, Scheme.STAFF_TOKEN)
AWAY_S: Final = (0.15, 0.25)
"""Between two cards: two empty rounds are some 100 ms; the rest lets them come at any moment."""
SPEEDS: Final = (115_200, 921_600)
RATES: Final = (106, 424)

P95_MS: Final = {10: 120.0, 25: 200.0}
OBVIOUS_TIMES: Final = 5.0
EMPTY_MS: Final = 8.0
GOAL_FRONT_END: Final = "PN532, 115,200 baud"


class Field(Protocol):
    """Where cards are held."""

    def place(self, card: Card, /) -> None: ...

    def remove(self) -> None: ...


class Place(NamedTuple):
    """A front end's path in edge.toml, and where its cards are held."""

    path: str
    field: Any


@contextlib.contextmanager
def _pn532(baudrate: int) -> Iterator[Place]:
    with PN532() as chip:
        yield Place(f"pn532:{chip.path}@{baudrate}", chip)


@contextlib.contextmanager
def _pcsc(kbit_s: int) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="kazasu-bench-") as name,
        desk(Path(name), kbit_s_max=kbit_s) as opened,
    ):
        yield Place("pcsc", opened.reader)


FRONT_ENDS: Final[dict[str, Callable[[], AbstractContextManager[Place]]]] = {
    **{f"PN532, {speed:,} baud": functools.partial(_pn532, speed) for speed in SPEEDS},
    **{f"PC/SC, {rate} kbit/s": functools.partial(_pcsc, rate) for rate in RATES},
}


def _cards(scheme: Scheme, apdu_ms: int) -> list[Any]:
    rng = random.Random(1)
    if scheme is Scheme.FELICA_IDM:
        return [FeliCaCard(b"\x01" + rng.randbytes(7)) for _ in range(5)]
    if scheme is Scheme.STAFF_TOKEN:
        return [StaffToken(b"\x04" + rng.randbytes(6)) for _ in range(5)]
    return [my_number_card(serial, apdu_ms) for serial in range(1, 6)]


def _present(place: Place, cards: Sequence[Any], link: Link, runs: int) -> list[float]:
    """Hold cards one after the other; return ms from entering the field to the decision."""
    rng, took = random.Random(2), []
    for run in range(runs):
        started = time.perf_counter()
        place.field.place(cards[run % len(cards)])
        shown = link.shown()
        took.append(1000 * (time.perf_counter() - started))
        assert shown.code in (Code.OK, Code.REPEAT), shown
        place.field.remove()
        time.sleep(rng.uniform(*AWAY_S))
    return took


def _reader(folder: Path, path: str, scheme: Scheme, cards: Sequence[Any]) -> ReaderKit:
    kit = make_reader(folder, path, technologies=("106B", "212F", "106A"))
    kit.enrol(*cards, scheme=scheme)
    return kit


def ours(name: str, scheme: Scheme, apdu_ms: int) -> list[float]:
    """Measure the agent over one front end."""
    return present_over(FRONT_ENDS[name], scheme, apdu_ms)


def present_over(
    opened: Callable[[], AbstractContextManager[Place]], scheme: Scheme, apdu_ms: int
) -> list[float]:
    """Measure the agent over a front end: ms from the field to the decision."""
    cards = _cards(scheme, apdu_ms)
    with (
        tempfile.TemporaryDirectory(prefix="kazasu-bench-") as folder,
        opened() as place,
        agent(_reader(Path(folder) / "bus-1", place.path, scheme, cards)) as link,
    ):
        return _present(place, cards, link, RUNS)


class FixedLine(TTY):  # type: ignore[misc]  # nfcpy has no types
    """A line whose speed `stty` cannot change, as nfcpy finds it on a Raspberry Pi's ttyS0."""

    def __init__(self, path: str) -> None:
        self._device = path
        super().__init__(path)

    def open(self, port: str, baudrate: int = SPEEDS[0]) -> None:
        super().open(self._device, baudrate)

    @property
    def port(self) -> str:
        return "no-device"


def obvious(baudrate: int, apdu_ms: int, runs: int = OBVIOUS_RUNS) -> list[float]:
    """Measure `connect()` and the whole certificate, over the same chip."""
    rng, took = random.Random(3), []
    with PN532() as chip:
        line = FixedLine(chip.path) if baudrate == SPEEDS[0] else TTY(chip.path)
        front_end = nfc.ContactlessFrontend()
        front_end.device = nfc.clf.pn532.init(line)
        front_end.device._path = chip.path
        cards = _cards(Scheme.JPKI_AUTH, apdu_ms)
        for run in range(runs):
            held = _HeldSoon(chip, cards[run % len(cards)], rng.uniform(0, 0.6))
            by_connect(front_end)
            took.append(1000 * (time.perf_counter() - held.at_s))
            chip.remove()
        front_end.close()
    return took


class _HeldSoon:
    """A card that enters the field while the obvious program is already looking."""

    def __init__(self, chip: PN532, card: Card, after_s: float) -> None:
        self.at_s = 0.0

        def hold() -> None:
            self.at_s = time.perf_counter()
            chip.place(card)

        threading.Timer(after_s, hold).start()


def empty_poll_ms() -> list[float]:
    """Measure rounds without a card where Type B alone is polled, at the slow speed."""
    with PN532() as chip:
        front_end = Pn532(OnLine(chip.path), "0003")
        front_end.sense(("106B",))
        took = timed_us(lambda: front_end.sense(("106B",)), 200)
        front_end.close()
    return [one / 1000 for one in took]


def bench() -> Table:
    """Measure every combination, and compare with what is promised."""
    rows: list[list[str]] = []
    goals: list[tuple[str, bool]] = []
    measured: dict[tuple[str, int], list[float]] = {}
    for name in FRONT_ENDS:
        for scheme in SPOKEN:
            for apdu_ms in CARD_MS:
                took = ours(name, scheme, apdu_ms)
                rows.append([name, scheme, str(apdu_ms), *spread(took, digits=0)])
                if scheme is Scheme.COMMON_AP:
                    measured[name, apdu_ms] = took
        for scheme in FOUND:
            rows.append([name, scheme, "-", *spread(ours(name, scheme, 0), digits=0)])
    for speed in SPEEDS:
        name = f"PN532, {speed:,} baud"
        for apdu_ms in P95_MS:
            took = obvious(speed, apdu_ms)
            rows.append([f"nfcpy `connect()`, {name}", "certificate", str(apdu_ms)])
            rows[-1] += spread(took, digits=0)
            times = quantile(took, 0.5) / quantile(measured[name, apdu_ms], 0.5)
            said = f"{name}, {apdu_ms} ms: {times:.1f} times the obvious (goal {OBVIOUS_TIMES:g})"
            goals.append((said, times >= OBVIOUS_TIMES))
    for apdu_ms, most in P95_MS.items():
        p95 = quantile(measured[GOAL_FRONT_END, apdu_ms], 0.95)
        said = f"{GOAL_FRONT_END}, {apdu_ms} ms cards: p95 {p95:.0f} ms (goal {most:g})"
        goals.append((said, p95 < most))
    empty = quantile(empty_poll_ms(), 0.5)
    goals.append((f"empty Type B poll {empty:.1f} ms (goal {EMPTY_MS:g})", empty < EMPTY_MS))
    return Table(
        "A tap by front end",
        f"ms from the card entering the field, at any moment of a round, to the decision, over "
        f"{RUNS} presentations each ({OBVIOUS_RUNS} of the obvious program, which is nfcpy's "
        "`connect()` with its defaults and the whole certificate). All three technologies are "
        "polled, Type B first. Timing model: the air as in `hw/sim/air.py`, the card's time per "
        "APDU as given, the serial line 10 bits a byte at its speed, the chip "
        f"{COMMAND_MS:g} ms a command beside that; a PC/SC reader looks every 20 ms and tells "
        "pcscd at once. What is not modelled: USB, and how a real chip's time varies. Limited by "
        "the card, the air, the line (115,200 baud) and the moment of the round.",
        ["front end", "scheme", "card ms", "p50", "p95", "p99"],
        rows,
        goals,
    )
