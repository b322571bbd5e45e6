"""The reader's disk is full: it stops accepting, says so everywhere, keeps all, and recovers."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.panel import Condition, Shown
from hw.sim.antenna import Antenna
from programmes.texts import say
from tests.edge.reader_kit import lift, make_reader, my_number_card, running
from tests.faults.small import SmallDisk
from tests.whole.kit import Agent, WholeTown, busses, until, whole_town
from wire.codes import Code, Outcome
from wire.entries import Start

pytestmark = pytest.mark.needs_mounts

SIZE_KB = 512
CARDS = range(1, 7)
HELD_S = 0.3
"""As long as a person holds a card."""
LAST_BLOCK_ENTRIES = 20
"""The journal's last block of 4 KiB may still take a dozen entries of 300 bytes."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "d", SIZE_KB) as made:
        yield made


def test_a_full_disk_accepts_nothing_keeps_all_and_goes_on_by_itself(disk: SmallDisk) -> None:
    with Antenna() as antenna:
        kit = make_reader(disk.root / "r", antenna.device)
        kit.enrol(*(my_number_card(serial) for serial in CARDS))
        with running(kit) as link:
            link.ready()
            antenna.place(my_number_card(1))
            assert link.shown().code is Code.OK
            lift(antenna)
            disk.fill()
            refused: list[Shown] = []
            while not refused or refused[-1].n:
                assert len(refused) < LAST_BLOCK_ENTRIES
                antenna.place(my_number_card(2 + len(refused) % 4))
                refused.append(link.shown())
                lift(antenna)
            assert refused[-1].code is Code.JOURNAL_FULL
            assert refused[-1].outcome is Outcome.REFUSED
            assert refused[-1].n == 0
            full = link.until(Condition, lambda said: said.trouble is not None)
            assert (full.trouble, full.ready) == (Code.JOURNAL_FULL, False)
            kept = {shown.n for shown in refused if shown.n}
            disk.make_room()
            link.ready()  # by itself: nobody holds a card
            antenna.place(my_number_card(CARDS[-1]))
            assert link.shown().code is Code.OK
        entries = kit.entries()
    assert [one.n for one in entries] == list(range(1, len(entries) + 1))
    assert not any(one.contradicts for one in entries)
    assert kept <= {one.n for one in entries}
    assert sum(isinstance(one.entry, Start) for one in entries) == 1  # the same journal goes on


def test_a_reader_that_starts_on_a_full_disk_says_so_and_recovers(disk: SmallDisk) -> None:
    with Antenna() as antenna:
        kit = make_reader(disk.root / "r", antenna.device)
        kit.enrol(my_number_card(1))
        disk.fill()
        with running(kit) as link:
            link.until(Condition, lambda condition: condition.trouble is Code.JOURNAL_FULL)
            antenna.place(my_number_card(1))
            assert link.shown().code is Code.JOURNAL_FULL
            lift(antenna)
            disk.make_room()
            link.ready()
            antenna.place(my_number_card(1))
            assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.OK]


@pytest.fixture
def town() -> Iterator[WholeTown]:
    with whole_town(CARDS, *busses("bus-1")) as made:
        yield made


def is_known_full(town: WholeTown, reader: Agent) -> bool:
    """Hold another card; say whether the fleet has heard that no more can be kept."""
    reader.antenna.place(my_number_card(2))
    time.sleep(HELD_S)
    lift(reader.antenna)
    status = "select ready, trouble from reader_state where reader = ?"
    return (0, "journal-full") in town.ask(status, reader.name)


def test_the_page_and_the_fleet_are_told(town: WholeTown) -> None:
    reader = town.agents["bus-1"]
    state = Path(reader.config.state)
    with SmallDisk(state, SIZE_KB) as disk, town.fleet():
        try:
            reader.start()
            town.until_ready(reader)
            reader.hold(1)
            town.until_kept(reader)
            disk.fill()
            until(lambda: is_known_full(town, reader), "the fleet knows that the journal is full")
            port = reader.config.page_port
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
            assert say("idle.not-ready") in page  # as long as nothing can be kept
            disk.make_room()
            town.until_ready(reader)
            reader.hold(CARDS[-1])
            town.until_kept(reader)
        finally:
            reader.stop()
