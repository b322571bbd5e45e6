"""The reader head beside stock nfcpy and beside our own driver on the same simulated chip.

What a SELECT and a read of 240 bytes take, and a tap from the card in the field to its decision.
The head is the firmware itself under MicroPython; see hw/sim/head.py for what its USB takes.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nfc
import nfc.clf.pn532
import nfc.tag

from edge.frontends.pn532 import Pn532
from edge.frontends.pn532_chip import BehindHead, OnLine
from edge.head import Head
from edge.schemes.allowlist import SELECT_JPKI_AP
from hw.sim import head as sim
from hw.sim.pn532 import COMMAND_MS, PN532
from tests.bench.cards import SELECT_CERTIFICATE
from tests.bench.figures import Table, quantile, spread, timed_us
from tests.bench.frontends import FixedLine, Place, present_over
from tests.edge.reader_kit import my_number_card
from wire.credential import Scheme

SPEED: Final = 115_200
TIMES: Final = 60
READ_240: Final = bytes.fromhex("00B00000F0")
"""READ BINARY of 240 bytes from the beginning (ISO/IEC 7816-4, 11.3.3)."""
GOAL: Final = 0.5
CARD_MS: Final = 10

Ask = Callable[[bytes], bytes]


@contextlib.contextmanager
def stock() -> Iterator[Ask]:
    """Stock nfcpy on the chip's own line."""
    with PN532() as chip:
        chip.place(my_number_card(1, 0))
        front_end = nfc.ContactlessFrontend()
        front_end.device = nfc.clf.pn532.init(FixedLine(chip.path))
        front_end.device._path = chip.path
        tag: Any = nfc.tag.activate(front_end, front_end.sense(nfc.clf.RemoteTarget("106B")))
        yield lambda apdu: bytes(tag.transceive(apdu))
        front_end.close()


@contextlib.contextmanager
def on_line() -> Iterator[Ask]:
    """The agent's driver on the chip's own line."""
    with PN532() as chip:
        yield from _asked(chip, Pn532(OnLine(chip.path, SPEED), "0003"))


@contextlib.contextmanager
def behind_head(speed: int = SPEED) -> Iterator[Ask]:
    """The agent's driver, and the head between."""
    with (
        tempfile.TemporaryDirectory(prefix="kazasu-bench-") as folder,
        PN532() as chip,
        sim.Head(chip, Path(folder)) as board,
    ):
        yield from _asked(chip, Pn532(BehindHead(Head(board.path), speed), "0003"))


def _asked(chip: PN532, front_end: Pn532) -> Iterator[Ask]:
    chip.place(my_number_card(1, 0))
    card = front_end.sense(("106B",))
    assert card
    yield lambda apdu: card.transceive(apdu, 1.0)
    front_end.close()


PATHS: Final[dict[str, Callable[[], contextlib.AbstractContextManager[Ask]]]] = {
    "stock nfcpy, chip at 115,200": stock,
    "our driver, chip at 115,200": on_line,
    "through the head, chip at 115,200": behind_head,
    "through the head, chip at 921,600": functools.partial(behind_head, 921_600),
}


@contextlib.contextmanager
def _place(speed: int) -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="kazasu-bench-") as folder,
        PN532() as chip,
        sim.Head(chip, Path(folder)) as board,
    ):
        yield Place(f"head:{board.path}@{speed}", chip)


def exchange(path: contextlib.AbstractContextManager[Ask]) -> tuple[list[float], list[float]]:
    """Return what SELECTs and reads of 240 bytes take, in ms."""
    with path as ask:
        assert ask(SELECT_JPKI_AP) == b"\x90\x00"
        selects = timed_us(lambda: ask(SELECT_JPKI_AP), TIMES)
        assert ask(SELECT_CERTIFICATE) == b"\x90\x00"
        assert len(ask(READ_240)) == 242
        reads = timed_us(lambda: ask(READ_240), TIMES)
    return [one / 1000 for one in selects], [one / 1000 for one in reads]


def bench() -> Table:
    """Measure all, and compare the head with stock nfcpy."""
    rows: list[list[str]] = []
    select: dict[str, float] = {}
    for name, path in PATHS.items():
        selects, reads = exchange(path())
        select[name] = quantile(selects, 0.5)
        rows += [["SELECT", name, *spread(selects)], ["240 bytes", name, *spread(reads)]]
    for speed in (SPEED, 921_600):
        took = present_over(functools.partial(_place, speed), Scheme.COMMON_AP, CARD_MS)
        rows.append(["field → decision", f"through the head, chip at {speed:,}", *spread(took)])
    base, _, ours, _ = select.values()
    said = f"SELECT through the head: {ours / base:.2f} of stock nfcpy's (goal ≤ {GOAL:g})"
    return Table(
        "The reader head",
        f"ms, over {TIMES} exchanges each with a card that thinks for no time; the last rows from "
        f"the card entering the field to the decision, with a card that thinks {CARD_MS} ms per "
        "APDU (compare «A tap by front end»). Timing model: the air as in `hw/sim/air.py`, the "
        f"chip's line 10 bits a byte, the chip {COMMAND_MS:g} ms a command beside that, USB "
        f"{1000 * sim.USB_S:g} ms each way and {1e6 * sim.USB_S_PER_BYTE:.1f} µs a byte. What the "
        "firmware takes is this machine's MicroPython, not an RP2040's.",
        ["what", "by", "p50", "p95", "p99"],
        rows,
        [(said, ours / base <= GOAL)],
    )
