"""What befalls the fleet's storage while readers send: its server killed, its disk full, its clock.

Invariant of each: whatever was acknowledged is in the ledger, and in the end all is there, once.
"""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from fleet import evidence_db, ledger_months, usage
from fleet.evidence_db import Scope
from fleet.proof import prove
from tests.faults.small import SmallDisk
from tests.fleet.swarm import Site, Swarm, swarming
from tests.fleet.virtual import VirtualFleet, begin, bus, make_fleet, pinned_key
from tests.real import start_mosquitto
from tests.real_postgres import Postgres, start_postgres

READERS: Final = 4
TAPS: Final = 60
HOUR_S: Final = 3600
NIGHT_MS: Final = 1_782_830_400_000
"""2026-06-30 23:40 in Japan: the month ends within the hour."""
SQLITE_KB: Final = 8 * 1024
POSTGRES_KB: Final = 192 * 1024
"""An empty cluster has 40 MB, and its log is kept at 32 MB here."""
BATCHES_MAX: Final = 400
"""After so many a full disk has said so; its last pages may take some."""
PATIENCE: Final = 200
"""Tries, 0.1 s apart, until the server is back."""


def assert_balanced(site: Site, swarm: Swarm) -> None:
    assert site.ledger() == swarm.written
    for table in ("conflict", "quarantine", "gap"):
        assert site.ask(f"select count(*) from {table}") == [(0,)], table
    assert site.ask("select sum(count) from entry_minute") == [(len(swarm.written),)]


# --- the server ----------------------------------------------------------------------------------


async def test_postgresql_killed_under_load_loses_and_doubles_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    """The postmaster alone dies: its children notice, and the next one recovers from the log."""
    url = postgres.url(postgres.empty())
    town, config = begin(tmp_path, [bus(f"bus-{n}") for n in range(1, READERS + 1)], url)
    with start_mosquitto(town.folder / "broker") as broker:
        site = Site(town, config, broker, url)
        with site.running("ingest"), site.running("dispatch"):
            async with swarming(site, 11, TAPS) as swarm:
                await swarm.until_done(0.3)
                assert postgres.process
                postgres.process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(postgres.process.wait, 20)
                promised = swarm.promised
                await restarted(postgres)
                assert promised <= set(await asyncio.to_thread(site.ledger))
            assert_balanced(site, swarm)
            assert "Traceback" not in site.log("ingest")


async def restarted(postgres: Postgres) -> None:
    """Start it again as soon as the last child of the one that was killed has let go."""
    async with asyncio.timeout(20):
        while True:
            try:
                postgres.start()  # it ends with the thread that starts it
            except RuntimeError:
                await asyncio.sleep(0.1)
            else:
                return


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    """A small disk that PostgreSQL's user may enter too."""
    with tempfile.TemporaryDirectory(prefix="kz-") as folder:
        Path(folder).chmod(0o755)
        with SmallDisk(Path(folder) / "d", request.param) as made:
            made.root.chmod(0o755)
            yield made


async def fill_and_empty(fleet: VirtualFleet, disk: SmallDisk) -> None:
    """Send until the full disk is felt; then make room, and send what was not answered again."""
    reader = fleet.reader("bus-1")
    journal = reader.journal().taps(BATCHES_MAX * 50)
    assert fleet.through((reader, journal.batch(1, 50))) == [50]
    disk.fill()
    through = 50
    while True:
        assert through < len(journal.entries) - 200, "a full disk took everything"
        try:
            (through,) = fleet.through((reader, journal.batch(through + 1, through + 50)))
        except sa.exc.OperationalError:
            break
    with pytest.raises(sa.exc.OperationalError):
        fleet.through((reader, journal.batch(through + 1, through + 200)))
    disk.make_room()
    end = through + 200
    for _ in range(PATIENCE):
        try:
            assert fleet.through((reader, journal.batch(through + 1, end))) == [end]
        except sa.exc.OperationalError:
            await asyncio.sleep(0.1)
        else:
            break
    written = {(journal.id, one.n): one.body for one in journal.entries[:end]}
    assert fleet.stored() == written
    assert fleet.rows("select count(*) from quarantine") == [(0,)]
    assert fleet.rows("select sum(count) from entry_minute") == [(end,)]


@pytest.mark.needs_mounts
@pytest.mark.parametrize("disk", [SQLITE_KB], indirect=True)
async def test_a_full_disk_under_sqlite_answers_nobody_and_loses_nothing(disk: SmallDisk) -> None:
    fleet = make_fleet(disk.root)
    await fill_and_empty(fleet, disk)
    fleet.close()


@pytest.mark.needs_mounts
@pytest.mark.parametrize("disk", [POSTGRES_KB], indirect=True)
async def test_a_full_disk_under_postgresql_answers_nobody_and_loses_nothing(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.root))
    small = {"min_wal_size": "32MB", "max_wal_size": "48MB"}
    with start_postgres(fsync=False, settings=small) as server:
        fleet = make_fleet(tmp_path, database=server.url(server.empty()))
        await fill_and_empty(fleet, disk)
        fleet.close()


# --- the clock -----------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VirtualFleet]:
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url(server.empty())
    made = make_fleet(tmp_path, database=url)
    yield made
    made.close()


@pytest.mark.parametrize("steps", [[HOUR_S, -HOUR_S, HOUR_S], [-HOUR_S, HOUR_S, HOUR_S]])
def test_a_clock_that_jumps_by_an_hour_at_the_end_of_a_month_loses_nothing(
    fleet: VirtualFleet, steps: list[int]
) -> None:
    """Entries find the month in which they were received, in the order in which they came."""
    fleet.clock.at_ms = NIGHT_MS
    reader = fleet.reader("bus-1")
    journal = reader.journal().taps(3)
    fleet.dispatch.tidy()
    assert fleet.through((reader, journal.all())) == [4]
    for step in steps:
        fleet.clock.at_ms += step * 1000
        first = len(journal.entries) + 1
        journal.taps(3)
        fleet.dispatch.tidy()
        done = fleet.take(reader.message(journal.batch(first, first + 2)))
        (ack,) = fleet.acks(done)
        assert (ack.through, ack.at_ms) == (first + 2, fleet.clock.at_ms)
    assert fleet.rows("select n from entry order by position") == [(n,) for n in range(1, 14)]
    assert fleet.alarms() == set()
    with fleet.store.write() as connection:
        ledger_months.count(connection)
    ((counted,),) = fleet.rows("select sum(entries) from ledger_month")
    assert counted == 13
    with fleet.store.read() as connection:
        assert usage.check(connection) == []
        facts = evidence_db.facts(connection, fleet.config.tenant, Scope())
        proof = prove(facts, pinned_key(fleet.town))
    assert (proof.verdict, proof.entries) == ("proven", 13)
