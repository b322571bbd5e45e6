"""Several ingest workers, and what befalls them and their database while entries are in flight.

Invariant of each: the ledger is the journals, entry by entry, once; and whatever was acknowledged
at any instant was in the ledger at that instant.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.swarm import Site, Swarm, swarming, until
from tests.fleet.virtual import begin, bus
from tests.real import start_mosquitto
from tests.real_postgres import Postgres

READERS = 12
LAST_WORK = """
    select application_name, max(state_change) from pg_stat_activity
    where application_name like 'kazasu-ingest fleet%' group by application_name
"""
TAPS = 120


@pytest.fixture
def site(tmp_path: Path, postgres: Postgres) -> Iterator[Site]:
    """A town of twelve busses on PostgreSQL."""
    url = postgres.url(postgres.empty())
    town, config = begin(tmp_path, [bus(f"bus-{n}") for n in range(1, READERS + 1)], url)
    with start_mosquitto(town.folder / "broker") as broker:
        yield Site(town, config, broker, url)


def assert_balanced(site: Site, swarm: Swarm) -> None:
    assert site.ledger() == swarm.written
    for table in ("conflict", "quarantine", "alarm", "gap"):
        assert site.ask(f"select count(*) from {table}") == [(0,)], table
    assert site.ask("select sum(count) from entry_minute") == [(len(swarm.written),)]
    marks = site.ask("select journal, through, seen from journal")
    ends = {(one.journal.id, n := len(one.journal.entries), n) for one in swarm.senders}
    assert set(marks) == ends


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_worker_killed_under_load_loses_and_doubles_nothing(site: Site, seed: int) -> None:
    with site.running("ingest", "one") as first, site.running("ingest", "two"):
        async with swarming(site, seed, TAPS) as swarm:
            for share in (0.2, 0.5):
                await swarm.until_done(share)
                first.send_signal(signal.SIGKILL)
                promised = swarm.promised
                first.wait(10)
                assert promised <= set(await asyncio.to_thread(site.ledger))
                first = site.command("ingest", log="one")
        assert_balanced(site, swarm)
        first.terminate()
        first.wait(20)


async def test_workers_share_the_work_and_none_throws_another_off_the_broker(site: Site) -> None:
    with site.running("ingest", "one"), site.running("ingest", "two"):
        async with swarming(site, 3, TAPS) as swarm:
            await swarm.until_done(0.2)
            before = dict(site.ask(LAST_WORK))
            await swarm.until_done(0.8)
            after = dict(site.ask(LAST_WORK))
        assert len(after) == 2
        assert all(after[worker] > before[worker] for worker in after)
        assert_balanced(site, swarm)
    assert "broker" not in site.log("one") + site.log("two")


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_postgresql_restarted_under_load_loses_and_doubles_nothing(
    site: Site, postgres: Postgres, how: str
) -> None:
    with site.running("ingest", "one"), site.running("ingest", "two"), site.running("dispatch"):
        async with swarming(site, 4, TAPS) as swarm:
            await swarm.until_done(0.3)
            await asyncio.to_thread(postgres.stop, how)
            promised = swarm.promised
            postgres.start()  # it ends with the thread that starts it
            assert promised <= set(await asyncio.to_thread(site.ledger))
        assert_balanced(site, swarm)
    for name in ("one", "two"):
        assert site.log(name).count("ingest ready") == 2, site.log(name)
        assert "Traceback" not in site.log(name)


async def test_a_database_that_is_away_keeps_workers_from_the_broker(
    site: Site, postgres: Postgres
) -> None:
    with site.running("ingest") as process:
        async with swarming(site, 5, 20, pause_s=0.2) as swarm:
            await swarm.until_done(0.2)
            await asyncio.to_thread(postgres.stop)
            try:
                await asyncio.to_thread(
                    until,
                    lambda: site.log("ingest").count("left the broker") >= 2,
                    process,
                    site,
                    "ingest",
                )
                assert site.log("ingest").count("ingest ready") == 1
            finally:
                postgres.start()
        assert_balanced(site, swarm)


# --- two fleets started by mistake ---------------------------------------------------------------


def refused(site: Site, what: str, log: str) -> str:
    """Start one more; it ends with 1 and one sentence, which is returned."""
    process = site.command(what, log=log)
    assert process.wait(20) == 1, site.log(log)
    assert "Traceback" not in site.log(log)
    return site.log(log)


def test_a_second_dispatch_says_who_is_the_first(site: Site) -> None:
    with site.running("dispatch") as first:
        said = refused(site, "dispatch", "second")
        assert "another dispatch (kazasu-dispatch only dispatch" in said
        assert f":{first.pid}) already works on" in said
        assert first.poll() is None


def test_a_second_fleet_on_the_same_files_changes_nothing(tmp_path: Path) -> None:
    town, config = begin(tmp_path, [bus("bus-1")])
    with start_mosquitto(town.folder / "broker") as broker:
        site = Site(town, config, broker)
        with site.running("ingest") as ingest, site.running("dispatch") as dispatch:
            for what, first in (("ingest", ingest), ("dispatch", dispatch)):
                said = refused(site, what, f"second-{what}")
                assert f"another {what} (process {first.pid}) already works on" in said
                assert first.poll() is None


def test_one_that_stands_by_takes_over_when_the_first_dies(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(site.running("dispatch", "first"))
        second = site.command("dispatch", "--standby", log="second")
        stack.callback(second.wait, 20)
        stack.callback(second.terminate)
        until(lambda: "standing by" in site.log("second"), second, site, "second")
        assert "dispatch ready" not in site.log("second")
        first.send_signal(signal.SIGKILL)
        until(lambda: "dispatch ready" in site.log("second"), second, site, "second")


async def test_a_dispatch_whose_lock_was_taken_away_stops_what_it_does(
    site: Site, postgres: Postgres
) -> None:
    """Its session is ended by an administrator: it asks for the lock again before anything else."""
    with site.running("dispatch") as process, postgres.administrator() as administrator:
        administrator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'kazasu-dispatch only%'"
        )
        until(lambda: site.log("dispatch").count("dispatch ready") == 2, process, site, "dispatch")
        assert "lock" in site.log("dispatch")
