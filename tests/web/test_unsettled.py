"""An erasure that was cut short is brought to its end, and a full or busy disk only puts it off."""

import shutil
import sqlite3
from pathlib import Path

from fleet import erasure
from fleet.schema import member
from fleet.store import UNSETTLED
from tests.conftest import Eventually
from tests.web.conftest import Sites, open_sites
from tests.web.town import NOW_MS, Town, town_in
from tests.web.visitor import Visitor, visitor

ERASED = "佐藤 はるか"


def in_files(town: Town) -> list[str]:
    """The files of the state folder in which somebody's name stands."""
    files = town.config.state_folder.glob("persons.db*")
    return [path.name for path in files if ERASED.encode() in path.read_bytes()]


def erase(sites: Sites, who: Visitor) -> str:
    """Erase somebody on his page; return the page after."""
    answer = who.post("/members/1/erase", registration_number="T-001")
    assert answer.status == 303, answer.text
    return who.get(answer.location).text


def test_what_a_kill_left_in_the_files_is_removed_by_the_next_office(
    towns: Path, tmp_path: Path, eventually: Eventually
) -> None:
    shutil.copytree(towns / "whole", tmp_path / "state")
    town = town_in(tmp_path / "state")
    killed = town.persons()
    killed.owe()
    with killed.write() as connection:
        erasure.erase(connection, 1, "T-001", "hana", NOW_MS)
    assert in_files(town) != []  # as the office's death right now would leave it
    with open_sites(town):
        eventually(lambda: in_files(town) == [], within_s=60, that="the files are settled")
        eventually(lambda: not killed.owes, that="nothing is owed any more")
    killed.close()


def test_an_erasure_among_others_work_is_settled_later(sites: Sites) -> None:
    mori = visitor(sites.office, sites.town, "mori", "attendance:clerk")
    path = sites.town.config.state_folder / "persons.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM member").fetchone()
    assert "このあと自動で" in erase(sites, mori)
    assert path.with_name(f"persons{UNSETTLED}").exists()
    other.close()
    (row,) = sites.town.ask(member.select().where(member.c.id == 1), persons=True)
    assert row.erased_at_ms == NOW_MS


def test_an_erasure_leaves_nothing_owed(sites: Sites) -> None:
    mori = visitor(sites.office, sites.town, "mori", "attendance:clerk")
    assert "このあと自動で" not in erase(sites, mori)
    assert in_files(sites.town) == []
    assert not (sites.town.config.state_folder / f"persons{UNSETTLED}").exists()
