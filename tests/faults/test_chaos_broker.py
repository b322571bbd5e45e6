"""Between reader and broker messages are lost, doubled and overtaken: the ledger is the journal."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from edge import session, uplink
from edge.journal import FOLDER
from tests.edge.journal_kit import read_all
from tests.edge.link_kit import READER, Reader, fill, running_fleet, running_link, running_tap
from tests.edge.rig import running_broker, until
from tests.faults.chaos_broker import Odds, chaos_broker

ENTRIES: Final = 450
WITHIN_S: Final = 50.0
ALL: Final = Odds(lost=0.1, twice=0.2, held=0.2)


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of the field are seconds; here only their order matters."""
    monkeypatch.setattr(uplink, "ACK_TIMEOUT_S", 0.4)
    monkeypatch.setattr(uplink, "ENCOURAGED_S", 0.2)
    monkeypatch.setattr(uplink, "BATCH_ENTRIES_MAX", 20)
    monkeypatch.setattr(session, "POLL_S", 0.2)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    async with running_broker(tmp_path / "broker") as broker:
        yield Reader(tmp_path / "bus-1", broker)


@pytest.mark.parametrize("odds", [Odds(twice=0.5), Odds(held=0.5), ALL], ids=str)
async def test_nothing_is_lost_and_nothing_counts_twice(reader: Reader, odds: Odds) -> None:
    journal = reader.journal()
    fill(journal, ENTRIES // 3)
    async with (
        chaos_broker(reader.broker, odds, 20_261_124, str(READER)) as chaos,
        running_fleet(reader) as fleet,
        running_tap(reader) as tap,
    ):
        reader.file.write_text(
            reader.file.read_text().replace(
                f"broker_port = {reader.broker.readers_port}", f"broker_port = {chaos.port}"
            )
        )
        async with running_link(reader) as link:
            await tap.connected()
            for _ in range(20):
                fill(journal, ENTRIES // 30)
                tap.appended(journal)
                await asyncio.sleep(0)
            await until(lambda: len(fleet.ledger[journal.id]) == journal.n, "all there", WITHIN_S)
            await until(lambda: link._board.waiting == 0, "all is acknowledged", WITHIN_S)
        assert {fate for fate in chaos.fates if not fate.endswith("passed")}, "chaos did its work"
    ((*_, last),) = read_all(reader.state / FOLDER)
    assert last.n == journal.n
    (kept,) = read_all(reader.state / FOLDER)
    assert fleet.ledger[journal.id] == {one.n: one.body for one in kept}
    assert len(fleet.order) == len(set(fleet.order)) == journal.n
    journal.close()
