"""The broker is gone for three days: 10,000 entries wait, and drain while cards are still held."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from edge import session
from edge.clock import Stamp
from edge.journal import FOLDER, journals, read_whole
from edge.journal_writer import Journal
from edge.shelf import Shelf
from tests.edge.link_kit import READER, Reader, fill, running_fleet, running_link, running_tap
from tests.edge.rig import Authority, Broker, until
from wire.clock import ClockState, SystemClock
from wire.limits import BATCH_ENTRIES_MAX

ENTRIES: Final = 10_000
OUTAGE_MS: Final = 72 * 3_600_000
WITHIN_S: Final = 60.0


class Outage:
    """Three days that pass while the entries are written: each is a moment later."""

    def __init__(self) -> None:
        self.passed_ms = 0
        self._began_ms = SystemClock().now_ms() - OUTAGE_MS

    def stamp(self) -> Stamp:
        self.passed_ms += OUTAGE_MS // ENTRIES  # asked once for each entry
        return Stamp(self._began_ms + self.passed_ms, self.passed_ms, ClockState.HOLDOVER)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: 10,000 synchronous writes are not what is tested."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


async def test_three_days_without_a_broker_drain_while_taps_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_S", 0.2)
    (folder / "broker").mkdir()
    broker = Broker(folder / "broker", Authority(folder / "broker"))
    reader = Reader(folder / "bus-1", broker)
    outage = Outage()
    journal = Journal(reader.state / FOLDER, str(READER), "boot", "test", outage.stamp)
    fill(journal, ENTRIES)
    files = journals(reader.state / FOLDER)
    assert len(files) >= 3  # a journal ends after a day
    async with running_tap(reader) as tap, running_link(reader) as link:
        await tap.connected()
        await until(lambda: link._desk.meter._counters["broker.lost"], "the broker is gone")
        assert link._board.waiting == ENTRIES + len(files)
        await broker.start()
        try:
            async with running_fleet(reader) as fleet:
                while link._board.waiting or not fleet.order:
                    fill(journal, 1)
                    tap.appended(journal)
                    assert _ahead(link._shelf) <= 2 * BATCH_ENTRIES_MAX
                    await asyncio.sleep(0.02)
                    if len(fleet.order) > ENTRIES:
                        break
                await until(lambda: link._board.waiting == 0, "all is acknowledged", WITHIN_S)
                written = {
                    (file.journal, one.n): one.body
                    for file in journals(reader.state / FOLDER)
                    for one in read_whole(file, str(READER))
                }
                ledger = {
                    (name, n): body
                    for name, rows in fleet.ledger.items()
                    for n, body in rows.items()
                }
                place = {(str(name), n): at for at, (name, n) in enumerate(written)}
                assert ledger == written
                assert len(fleet.order) == len(set(fleet.order)) > ENTRIES
                assert fleet.order == sorted(fleet.order, key=place.__getitem__)
        finally:
            broker.stop()
    journal.close()


def _ahead(shelf: Shelf) -> int:
    """How many entries are kept in memory for the next batches."""
    return len(shelf._reading.ahead) if shelf._reading else 0
