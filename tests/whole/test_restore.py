"""A fleet that is put back to an older state while its town goes on: nothing stays lost.

Real halves, broker, fleet and databases. The readers notice the ledger's new life by themselves
and send what it lost; nobody tells them what that is.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import cli
from fleet.restore import VERSIONS_JUMPED
from tests.real_postgres import Postgres
from tests.whole.kit import WholeTown, busses, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code

MEMBERS = range(1, 9)


@pytest.fixture(params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WholeTown]:
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.migrated(tmp_path).url
    with whole_town(MEMBERS, *busses("bus-1", "bus-2"), database=url) as made:
        yield made


def command(town: WholeTown, *argv: str) -> int:
    return cli.run(["--config", str(town.fleet_toml), *argv], SystemClock())


def versions(town: WholeTown) -> int:
    return int(town.ask("select max(version) from roster")[0][0])


def test_readers_bring_back_by_themselves_what_a_restore_lost(
    town: WholeTown, tmp_path: Path
) -> None:
    busy, quiet = town.agents["bus-1"], town.agents["bus-2"]
    with town.fleet():
        for reader in (busy, quiet):
            reader.start()
            town.until_ready(reader)
            assert [tap.code for tap in reader.hold(1, 2)] == [Code.OK] * 2
            town.until_kept(reader)
        assert command(town, "backup", str(tmp_path)) == 0
        used = versions(town)
        busy.hold(3, 4)
        busy.stop("tap")  # a second journal, of which the backup knows nothing
        busy.start("tap")
        busy.hold(5, 6)
        town.until_kept(busy)
        quiet.hold(3)
        town.until_kept(quiet)
    full = {reader.name: town.ledger(reader) for reader in (busy, quiet)}
    town.stop_devices()
    (made,) = tmp_path.glob("kazasu-*")
    assert command(town, "restore", str(made), "--reason", "the disk was exchanged") == 0
    assert len(town.ledger(busy)) < len(full[busy.name])
    assert len(town.ask("select epoch from ledger_epoch")) == 2

    busy.hold(7)  # while the fleet is away
    town.start_devices()
    with town.fleet():
        for reader in (busy, quiet):
            town.until_kept(reader)
        until(lambda: versions(town) > used + VERSIONS_JUMPED, "rosters of versions never used")
        for reader in (busy, quiet):
            town.stop_answered(reader)
    for reader in (busy, quiet):
        assert full[reader.name].items() <= town.ledger(reader).items()
        assert town.ledger(reader) == reader.written()
        assert town.marks(reader) == {one: (n, n, n) for one, n in reader.ends().items()}
        assert town.gaps(reader) == []
    assert town.ask("select count(*) from conflict") == [(0,)]
    assert town.ask("select count(*) from quarantine") == [(0,)]
    assert command(town, "audit", "verify") == 0
