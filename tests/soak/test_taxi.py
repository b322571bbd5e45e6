"""Two days of twenty taxis, as `python -m tests.soak.taxi` plays a month of four hundred."""

from pathlib import Path

from tests.fleet.whole_world import folder_in_memory
from tests.real_postgres import Postgres
from tests.soak.month import SMALL
from tests.soak.taxi import run
from wire.codes import Code, Outcome

SEED = 1


def test_drivers_journals_ledger_and_claims_agree_to_the_yen(postgres: Postgres) -> None:
    """With dead zones, rides taken back, a dead tablet's card read, and another's written off."""
    with folder_in_memory() as folder:
        came = run(Path(folder), SMALL, SEED, postgres.url(postgres.empty()))
    count, found = came.counted, came.found
    assert found.companies == SMALL.companies
    assert found.yen > 300_000
    assert len(count.reader_us) > SMALL.rides * 0.7
    happened = (count.offline, count.cancelled, count.taken_off, found.over)
    assert all(happened), happened
    assert found.recovered > 10
    assert found.written_off > 10
    assert count.taps[Outcome.ACCEPTED] > len(count.reader_us)
    assert count.taps[Code.USED_UP]
