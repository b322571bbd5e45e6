"""Power cuts of a whole card half: its state folder lies on a disk that forgets.

Used by the tests and by `scripts/soak`. See `writer_kills.py`, whose judge judges here too.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hw.sim.antenna import Antenna
from tests.edge.reader_kit import make_reader, my_number_card
from tests.faults.power import Disk
from tests.faults.writer_kills import CARDS, Reader, Tally, judge
from tests.faults.zygote import Zygote

CUT_AFTER_S: Final = (0.02, 0.25)
"""From the start of the agent: into its first entry, or into the middle of its work."""


def cut(cuts: int, seed: int, tally: Tally | None = None) -> Iterator[Tally]:
    """Cut the power of one reader so often, judging its journals after each cut."""
    tally, rng = tally or Tally(), random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="kz-") as name,
        Zygote() as zygote,
        Antenna() as antenna,
        Disk(Path(name)) as disk,
    ):
        kit = make_reader(disk.root / "r", antenna.device)
        kit.enrol(*(my_number_card(serial) for serial in range(CARDS)))
        reader = Reader(kit, antenna)
        disk.pull_out()  # what a start finds was there before
        disk.plug_in()
        for _ in range(cuts):
            reader.live(zygote, rng, rng.uniform(*CUT_AFTER_S), disk.cut)
            disk.pull_out()
            disk.plug_in()
            tally.kills += 1
            tally.entries = tally.shown = tally.taps = 0  # the same journals again, and more
            judge(reader, tally)
            yield tally
