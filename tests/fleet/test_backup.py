"""Backups that are whole or not there, and restores that lose nothing that was kept."""

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import backup, restore
from fleet.backup import BackupRefused
from fleet.grants import Role
from fleet.restore import VERSIONS_JUMPED
from fleet.store import RESTORING, StoreUnusable, open_fleet
from fleet.workers import sole_worker
from tests.fleet.virtual import VirtualFleet, add_member, make_fleet

KILLS = 5
"""Seeded instants at which a copying process is killed; each costs a process's start."""


@pytest.fixture
def files(tmp_path: Path) -> Iterator[VirtualFleet]:
    """A fleet on SQLite: what is promised of files alone."""
    made = make_fleet(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def filled(fleet: VirtualFleet, taps: int = 20) -> None:
    bus = fleet.reader("bus-1")
    fleet.through((bus, bus.journal().taps(taps).all()))
    fleet.clock.pass_s(60)


def saved(fleet: VirtualFleet, shelf: Path) -> Path:
    assert fleet.command("backup", str(shelf)) == 0
    (made,) = shelf.glob("kazasu-*")
    return made


def put_back(fleet: VirtualFleet, folder: Path) -> int:
    """Restore with everything of the fleet closed, as its keeper is told to."""
    fleet.close()
    return fleet.command("restore", str(folder), "--reason", "disk exchanged")


def test_a_backup_names_what_is_in_it(fleet: VirtualFleet, shelf: Path) -> None:
    filled(fleet)
    add_member(fleet, "A-1")
    made = saved(fleet, shelf)
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["counts"]["entry"] == 21
    assert manifest["counts"]["member"] == 1
    assert manifest["epoch"] == fleet.rows("select epoch from ledger_epoch order by id")[0][0]
    assert made.stat().st_mode & 0o077 == 0


def test_a_restore_brings_the_old_state_in_a_new_epoch_and_keeps_the_present_one(
    fleet: VirtualFleet, shelf: Path
) -> None:
    filled(fleet)
    before, epoch = fleet.stored(), fleet.rows("select epoch from ledger_epoch order by id")
    made = saved(fleet, shelf)
    filled(fleet, 7)
    later = fleet.stored()
    assert put_back(fleet, made) == 0
    again = open_fleet(fleet.config.databases, Role.OWNER)
    fleet.store = again
    assert fleet.stored() == before
    assert fleet.rows("select epoch from ledger_epoch order by id")[0] == epoch[0]
    assert len(fleet.rows("select epoch from ledger_epoch order by id")) == 2
    assert entries_aside(fleet) == len(later)
    again.close()


def entries_aside(fleet: VirtualFleet) -> int:
    """How many entries the state has that a restore kept aside."""
    if fleet.config.database:
        sql = "select nspname from pg_namespace where nspname like 'fleet_before_%'"
        ((schema,),) = fleet.rows(sql)
        return int(fleet.rows(f"select count(*) from {schema}.entry")[0][0])
    (aside,) = fleet.config.state_folder.glob("before-restore-*")
    with contextlib.closing(sqlite3.connect(aside / "fleet.db")) as old:
        return int(old.execute("select count(*) from entry").fetchone()[0])


def test_no_roster_version_is_used_twice_after_a_restore(fleet: VirtualFleet, shelf: Path) -> None:
    add_member(fleet, "A-1")
    assert fleet.command("rosters", "build") == 0
    made = saved(fleet, shelf)
    for number in range(2, 5):
        add_member(fleet, f"A-{number}")
        assert fleet.command("rosters", "build") == 0
    used = {row[0] for row in fleet.rows("select version from roster where rows > 0")}
    assert put_back(fleet, made) == 0
    assert fleet.command("rosters", "build") == 0
    fleet.store = open_fleet(fleet.config.databases, Role.OWNER)
    newest = {
        row[0] for row in fleet.rows("select max(version) from roster group by programme, place")
    }
    assert newest == {max(used) + VERSIONS_JUMPED + 1}
    fleet.store.close()


@pytest.mark.parametrize("what", ["ingest", "dispatch"])
def test_nothing_is_restored_while_the_fleet_works(
    fleet: VirtualFleet, shelf: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = saved(fleet, shelf)
    before = fleet.rows("select * from ledger_epoch")
    with sole_worker(fleet.config.databases, Role.OWNER, what):
        assert fleet.command("restore", str(made), "--reason", "x") == 1
    assert f"another {what}" in capsys.readouterr().err
    assert fleet.rows("select * from ledger_epoch") == before


def test_no_file_is_exchanged_under_a_process_that_has_it_open(
    files: VirtualFleet, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The books and stores of this test are open, as a console's would be."""
    filled(files)
    made = saved(files, shelf)
    assert files.command("restore", str(made), "--reason", "x") == 1
    assert "is in use" in capsys.readouterr().err
    assert len(files.rows("select * from ledger_epoch")) == 1


def largest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def spoil_bytes(folder: Path) -> None:
    data = bytearray(largest(folder).read_bytes())
    data[len(data) // 2] ^= 1
    largest(folder).write_bytes(data)


def spoil_file(folder: Path) -> None:
    largest(folder).unlink()


def spoil_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def other_tenant(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("kazasu-shi", "other-shi"))


def newer(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["schema"]["fleet"] = "fleet_9999"
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "spoil",
    [spoil_bytes, spoil_file, spoil_manifest, other_tenant, newer],
    ids=lambda f: f.__name__,
)
def test_a_backup_that_is_not_as_it_was_written_is_refused(
    fleet: VirtualFleet, shelf: Path, spoil: object
) -> None:
    filled(fleet)
    made = saved(fleet, shelf)
    assert callable(spoil)
    spoil(made)
    before = fleet.stored()
    assert put_back(fleet, made) == 1
    fleet.store = open_fleet(fleet.config.databases, Role.OWNER)
    assert fleet.stored() == before
    fleet.store.close()


def test_a_restore_is_refused_by_a_machine_whose_clock_is_behind(
    fleet: VirtualFleet, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(fleet)
    made = saved(fleet, shelf)
    fleet.clock.at_ms -= 24 * 3_600_000
    assert put_back(fleet, made) == 1
    assert "clock" in capsys.readouterr().err


def test_only_the_newest_backups_stay(fleet: VirtualFleet, shelf: Path) -> None:
    (shelf / "kazasu-20200101T000000Z.part").mkdir(parents=True)
    (shelf / "letters").mkdir()
    names = []
    for _ in range(4):
        assert fleet.command("backup", str(shelf), "--keep", "2") == 0
        fleet.clock.pass_s(3600)
        names = sorted(one.name for one in shelf.glob("kazasu-*"))
    assert len(names) == 2
    assert (shelf / "letters").exists()
    for name in names:
        backup.check(shelf / name, "kazasu-shi")


def test_a_damaged_database_goes_aside_and_the_backup_comes_back(
    files: VirtualFleet, shelf: Path
) -> None:
    filled(files)
    before = files.stored()
    made = saved(files, shelf)
    files.close()
    path = files.config.state_folder / "fleet.db"
    path.write_bytes(b"no database at all" * 1000)
    assert files.command("restore", str(made), "--reason", "disk broken") == 0
    files.store = open_fleet(files.config.databases, Role.OWNER)
    assert files.stored() == before
    files.store.close()


# --- killed on the way ---------------------------------------------------------------------------

RUN = "import sys; from fleet.cli import main; sys.exit(main())"


def killed(fleet: VirtualFleet, after_s: float, *argv: str) -> int:
    """Run a command in a process of its own and kill it after a while; return how it ended."""
    command = [sys.executable, "-c", RUN, "--config", str(fleet.config_path), *argv]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.send_signal(signal.SIGKILL)
    return process.returncode


def test_a_backup_that_is_killed_is_not_there(fleet: VirtualFleet, shelf: Path) -> None:
    filled(fleet, 190)
    began = time.monotonic()
    assert fleet.command("backup", str(shelf)) == 0
    fleet.clock.pass_s(60)
    whole_s = max(1.5, 4 * (time.monotonic() - began))
    for step in range(KILLS):
        killed(fleet, 0.3 + whole_s * step / KILLS, "backup", str(shelf))
    made = [one for one in shelf.glob("kazasu-*") if not one.name.endswith(".part")]
    assert made
    for one in made:
        backup.check(one, "kazasu-shi")


def test_a_restore_that_is_killed_leaves_the_old_state_or_ends_at_the_next_try(
    files: VirtualFleet, shelf: Path, tmp_path: Path
) -> None:
    """At each rename of the last stretch: every state in which a kill can leave the folder."""
    filled(files)
    before = files.stored()
    made = saved(files, shelf)
    filled(files, 3)
    later = files.stored()
    assert put_back(files, made) == 0
    state = files.config.state_folder
    (aside,) = state.glob("before-restore-*")
    done = {name: (state / name).read_bytes() for name in backup.FILES}
    former = {name: (aside / name).read_bytes() for name in backup.FILES}
    for moved in range(5):
        half = tmp_path / f"half-{moved}"
        ready = half / RESTORING
        (half / aside.name).mkdir(parents=True)
        ready.mkdir()
        (ready / aside.name).touch()
        for number, name in enumerate(backup.FILES):
            gone_aside, in_place = moved > 2 * number, moved > 2 * number + 1
            (half / aside.name / name if gone_aside else half / name).write_bytes(former[name])
            (half / name if in_place else ready / name).write_bytes(done[name])
        config = files.config.databases
        databases = type(config)(half)
        with pytest.raises(StoreUnusable, match="cut short"):
            open_fleet(databases, Role.INGEST)
        assert restore.finish(half) == str(half / aside.name)
        assert not ready.exists()
        files.store = open_fleet(databases, Role.OWNER)
        assert files.stored() == before
        files.store.close()
        with contextlib.closing(sqlite3.connect(half / aside.name / "fleet.db")) as old:
            assert old.execute("select count(*) from entry").fetchone() == (len(later),)
    assert restore.finish(half) == ""


def test_a_restore_killed_at_any_moment_is_whole_after_the_next_try(
    fleet: VirtualFleet, shelf: Path
) -> None:
    filled(fleet)
    before = fleet.stored()
    made = saved(fleet, shelf)
    filled(fleet, 3)
    later = fleet.stored()
    fleet.close()
    state = fleet.config.state_folder
    pristine = state.with_name("pristine")
    shutil.copytree(state, pristine)
    for step in range(KILLS):
        killed(fleet, 0.5 + 0.3 * step, "restore", str(made), "--reason", "x")
        restore.finish(state)
        fleet.store = open_fleet(fleet.config.databases, Role.OWNER)
        stored, epochs = (
            fleet.stored(),
            len(fleet.rows("select epoch from ledger_epoch order by id")),
        )
        fleet.store.close()
        assert (stored, epochs) in ((later, 1), (before, 2))
        shutil.rmtree(state)
        shutil.copytree(pristine, state)


def test_a_backup_that_cannot_be_read_again_does_not_count(
    files: VirtualFleet, shelf: Path
) -> None:
    bus = files.reader("bus-1")
    files.through((bus, bus.journal().taps(150).all()))
    path = files.config.state_folder / "fleet.db"
    files.close()
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.execute("pragma journal_mode = delete")
        (page,) = plain.execute(
            "select rootpage from sqlite_master where name = 'uq_entry_journal_id_n'"
            " or name = 'sqlite_autoindex_entry_1'"
        ).fetchone()
        (size,) = plain.execute("pragma page_size").fetchone()
    data = bytearray(path.read_bytes())
    start = (page - 1) * size
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(BackupRefused, match=r"damaged|cannot be copied"):
        backup.back_up(files.config, shelf, files.clock.now_ms())
    assert [one for one in shelf.glob("kazasu-*") if not one.name.endswith(".part")] == []
