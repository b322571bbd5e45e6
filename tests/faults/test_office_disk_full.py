"""The office's disk is full: pages are read, what cannot be kept says so, and it goes on after."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa

from fleet.schema import account, desk_wait, member, member_event, person_audit
from fleet.store import is_full
from programmes.texts import say
from tests.faults.small import SmallDisk
from tests.web.conftest import Sites, open_sites, warned_once
from tests.web.town import MINUTE_MS, build_town, town_in
from tests.web.visitor import Visitor, visitor

__all__ = ["warned_once"]
SIZE_KB = 6_000
"""The town takes 4 MB, its log and index of it one more."""
READ = ("/", "/members", "/desk", "/enrol", "/consent", "/import", "/rules", "/reports", "/people")
LOOKED_AT = ("/members/1", f"/members?programme=attendance&search={quote('さとう')}")
"""What is shown only when it is written down that it was looked at."""
FORMS = {
    "/members/1/stop": {"why": "lost"},
    "/people": {"account": "abe", "programme": "attendance", "role": "clerk"},
    "/desk/begin": {
        "desk_reader": "kazasu-shi/desk-1",
        "desk_programme": "attendance",
        "desk_purpose": "find",
    },
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "d", SIZE_KB) as made:
        yield made


@pytest.fixture
def sites(disk: SmallDisk, tmp_path: Path) -> Iterator[Sites]:
    build_town(tmp_path / "built")
    shutil.copytree(tmp_path / "built", disk.root / "state")
    with open_sites(town_in(disk.root / "state")) as opened:
        yield opened


def kept(sites: Sites) -> list[object]:
    """Everything that the forms would change."""
    town = sites.town
    rows = [town.ask(sa.select(table), persons=True) for table in (member, member_event, desk_wait)]
    looks = town.ask(sa.select(person_audit.c.id), persons=True)
    return [rows, looks, town.ask(sa.select(account.c.name))]


@pytest.mark.needs_mounts
def test_pages_are_read_forms_say_why_and_all_goes_on_when_there_is_room(
    sites: Sites, disk: SmallDisk
) -> None:
    boss = visitor(sites.office, sites.town, "boss", "*:clerk", "*:admin")
    guest = Visitor(sites.office)
    token, before = boss.token(), kept(sites)
    disk.fill()
    sites.town.clock.at_ms += 2 * MINUTE_MS  # so that it is due to write down who is there
    for path in READ:
        assert boss.get(path).status == 200, path
    for path in LOOKED_AT:
        assert boss.get(path).status == 503, path
    for path, fields in FORMS.items():
        answer = boss.post_with(token, path, **fields)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60"), path
        assert say("web.error.full.title") in answer.text
        assert say("web.error.full.do") in answer.text
    assert guest.sign_in("hana").status == 503
    assert kept(sites) == before
    disk.make_room()
    for path in (*READ, *LOOKED_AT):
        assert boss.get(path).status == 200, path
    for path, fields in FORMS.items():
        assert boss.post_with(token, path, **fields).status in (200, 303), path
    assert guest.sign_in("hana").status == 303


def test_both_databases_say_that_they_are_full() -> None:
    def failed(why: Exception) -> sa.exc.OperationalError:
        return sa.exc.OperationalError("COMMIT", None, why)

    assert is_full(failed(psycopg.errors.DiskFull()))
    assert not is_full(failed(psycopg.errors.AdminShutdown()))
