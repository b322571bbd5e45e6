"""The power goes at any instant: what anybody saw is on the disk, and a file is old or new."""

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import pytest

from edge.link import MARKS_FILE, read_marks
from edge.roster import FOLDER, KEYS, Rosters
from edge.uplink import Marks
from tests.edge.reader_kit import OPEN_ROW, PASS, ReaderKit, make_reader, my_number_card
from tests.faults.power import Disk
from tests.faults.power_cuts import cut
from tests.faults.writer_kills import Tally
from tests.faults.zygote import ROOT
from wire.credential import Credential
from wire.entries import Hex128

pytestmark = pytest.mark.needs_power_cuts

CUTS: Final = 12
SEED: Final = 20_261_124


def test_every_entry_that_was_said_survives_the_cut() -> None:
    tally = Tally()
    for _ in cut(CUTS, SEED, tally):
        pass
    assert tally.wrong == []
    assert tally.kills == CUTS
    assert tally.shown > 2 * CUTS


@pytest.fixture
def kit(tmp_path: Path) -> ReaderKit:
    return make_reader(tmp_path / "bus-1", "udp:127.0.0.1:1")


def versions(kit: ReaderKit) -> list[bytes]:
    """Rosters of different lengths, each signed."""
    made = []
    for version in range(1, 9):
        rows = [
            OPEN_ROW._replace(credential=Credential(f"{row:032x}")) for row in range(400 * version)
        ]
        kit.give_roster(PASS, rows, version=version)
        made.append((kit.state / FOLDER / f"{PASS}.roster").read_bytes())
    return made


def bundles(kit: ReaderKit) -> list[bytes]:
    """Sealed keys of one epoch after the other."""
    made = []
    for epoch in range(1, 9):
        kit.key(PASS, epoch)
        kit.give_keys(*((PASS, held) for held in range(max(1, epoch - 1), epoch + 1)))
        made.append((kit.state / KEYS).read_bytes())
    return made


def cut_while_replacing(tmp_path: Path, target: Path, contents: list[bytes], seed: int) -> None:
    """Cut again and again; the file is always the last one that was promised, or a later one."""
    sources = [tmp_path / f"{number}.source" for number in range(len(contents))]
    for source, content in zip(sources, contents, strict=True):
        source.write_bytes(content)
    rng = random.Random(seed)
    with Disk(tmp_path) as disk:
        path = disk.root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(CUTS):
            path.unlink(missing_ok=True)
            disk.pull_out()
            disk.plug_in()
            promised, begun = replace_until_cut(disk, path, sources, rng.uniform(0.02, 0.2))
            disk.pull_out()
            disk.plug_in()
            found = path.read_bytes()
            turn = contents.index(found) if found in contents else None
            later = {one % len(contents) for one in range(promised, begun + 1)}
            assert turn in later, f"promised {promised}, begun {begun}, found {turn}"


def replace_until_cut(
    disk: Disk, path: Path, sources: list[Path], after_s: float
) -> tuple[int, int]:
    """Return the last turn that was promised before the cut, and the last that had begun.

    However busy the machine is: turns may end between what was heard last and the cut.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.replacer", str(path), *map(str, sources)],
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd=ROOT,
    )
    assert process.stdout
    said = process.stdout.readline().decode()  # it runs
    end_s = time.monotonic() + after_s
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left_s)[0]:
            said += os.read(process.stdout.fileno(), 65536).decode()
    disk.cut()  # what is said from here on is no promise
    process.kill()
    after = said + process.stdout.read().decode()
    process.stdout.close()
    process.wait(10)
    return _last(said), _last(after) + 1


def _last(said: str) -> int:
    return int(said.rsplit("\n", 2)[-2])


def test_a_roster_is_the_old_or_the_new_one(tmp_path: Path, kit: ReaderKit) -> None:
    cut_while_replacing(tmp_path, Path(FOLDER) / f"{PASS}.roster", versions(kit), SEED)


def test_keys_are_the_old_or_the_new_ones(tmp_path: Path, kit: ReaderKit) -> None:
    cut_while_replacing(tmp_path, Path(KEYS), bundles(kit), SEED + 1)


def test_marks_are_the_old_or_the_new_ones(tmp_path: Path) -> None:
    marks = [
        Marks(epoch=Hex128("a" * 32), through={Hex128(f"{journal:032x}"): n * journal}, at_ms=n)
        for n in range(1, 9)
        for journal in range(1, 3)
    ]
    contents = [msgspec.json.encode(one) for one in marks]
    cut_while_replacing(tmp_path, Path(MARKS_FILE), contents, SEED + 2)


def test_a_file_that_a_cut_tore_elsewhere_is_refused_and_the_reader_starts(
    tmp_path: Path, kit: ReaderKit
) -> None:
    """A disk that lies about its cache: every file is cut short, and nothing is believed."""
    kit.enrol(my_number_card(1))
    for path in (kit.state / KEYS, kit.state / FOLDER / f"{PASS}.roster"):
        path.write_bytes(path.read_bytes()[:-7])
    (kit.state / MARKS_FILE).write_bytes(b'{"v":1,"epo')
    rosters = Rosters(kit.config)
    assert len(rosters.load()) == 2
    assert rosters.holdings == []
    assert read_marks(kit.state / MARKS_FILE) == Marks()
