"""Databases of every version that was released come forward to this one, with all that is in them.

`released/fleet-1.sql` is the dump of a small fleet at version 1: two journals of a bus, with a
batch of eleven entries, one of which could not be read, a conflict, a hole that became a gap, a
finding, a member with a card, a stranger's card, accounts, rosters, telemetry of nobody.
`released/*-7.sql` is the same fleet at fleet_7 and persons_2, the last version before statements
were kept: one card has moved to a newer key, another is of `jpki-auth`, a stranger's of a
programme that has no members yet.
"""

import contextlib
import datetime
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fleet import members, schema, schemes, terms, usage_files, usage_rows
from fleet.config import Databases
from fleet.grants import Database, Role
from fleet.store import migrate, open_fleet, open_persons
from wire.entries import chain

RELEASED = Path(__file__).with_name("released")
FROM_VERSION = sorted(int(path.stem.partition("-")[2]) for path in RELEASED.glob("fleet-*.sql"))
STAYS: dict[Database, str] = {
    "fleet": "entry conflict journal quarantine gap finding alarm audit account reader place rule "
    "ledger_epoch reader_state entry_minute",
    "persons": "person member card triage",
}
"""Tables of which a migration takes nothing away."""
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=FROM_VERSION)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("fleet", "persons"):
        script = (RELEASED / f"{name}-{request.param}.sql").read_text("utf-8")
        with contextlib.closing(sqlite3.connect(tmp_path / f"{name}.db")) as made:
            made.executescript(script)
    return tmp_path


def rows(state: Path, database: Database) -> Rows:
    with contextlib.closing(sqlite3.connect(state / f"{database}.db")) as opened:
        opened.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in opened.execute(f"select * from {table} order by 1, 2")]
            for table in STAYS[database].split()
        }


@pytest.mark.parametrize("database", ["fleet", "persons"])
def test_nothing_is_lost_on_the_way_to_this_version(state: Path, database: Database) -> None:
    before = rows(state, database)
    assert all(before.values())
    migrate(Databases(state))
    after = rows(state, database)
    for table, held in before.items():
        kept = [
            {name: value for name, value in now.items() if name in was}
            for now, was in zip(after[table], held, strict=True)
        ]
        assert kept == held, table


def test_it_arrives_at_the_very_schema_that_a_new_one_has(state: Path) -> None:
    migrate(Databases(state))
    for open_one, metadata in ((open_fleet, schema.fleet), (open_persons, schema.persons)):
        store = open_one(Databases(state), Role.OWNER)
        with store.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        store.close()


def test_the_second_time_changes_nothing(state: Path) -> None:
    migrate(Databases(state))
    before = [(state / f"{name}.db").read_bytes() for name in ("fleet", "persons")]
    migrate(Databases(state))
    assert [(state / f"{name}.db").read_bytes() for name in ("fleet", "persons")] == before


def test_schemes_in_use_are_taken_over_without_a_signature(state: Path) -> None:
    script = (state / "persons.db").read_bytes()
    migrate(Databases(state))
    store = open_persons(Databases(state), Role.OWNER)
    with store.read() as connection:
        found = schemes.statements(connection, "senior-pass")
        later = schemes.statements(connection, "attendance")
        on = terms.of(connection, "senior-pass").on(datetime.date(2000, 1, 2))
        rows = list(members.roster_rows(connection, "senior-pass", on))
    store.close()
    used = {"common-ap", "jpki-auth"} if b"jpki-auth" in script else {"common-ap"}
    assert {one.scheme for one in found} == used
    assert {(one.kind, one.signed_by, one.valid_to) for one in found} == {("taken-over", "", None)}
    assert [one.scheme for one in later] == ["felica-idm"] * (b"felica-idm" in script)
    assert {scheme.value for scheme, _ in on.ends} == used
    assert len(rows) == (3 if len(used) == 2 else 2)
    assert {row.valid_to for row in rows} <= {None, datetime.date(2027, 3, 31)}


def test_its_chains_still_hold_and_it_is_still_append_only(state: Path) -> None:
    migrate(Databases(state))
    store = open_fleet(Databases(state), Role.OWNER)
    with store.read() as connection:
        wanted = sa.text("select hash, body from entry where journal_id = 1 and n <= 5 order by n")
        first = connection.execute(wanted).all()
    for former, (digest, body) in pairwise(first):
        assert chain(former.hash, body) == digest
    assert len(first) == 5
    for table in ("entry", "conflict", "audit"):
        for statement in (f"delete from {table}", f"update {table} set rowid = rowid"):
            with (
                pytest.raises(sa.exc.IntegrityError, match="append-only"),
                store.write() as connection,
            ):
                connection.exec_driver_sql(statement)
    store.close()


def test_a_usage_file_leaves_its_time_behind_so_that_the_next_is_no_older(tmp_path: Path) -> None:
    for name in ("fleet", "persons"):
        with contextlib.closing(sqlite3.connect(tmp_path / f"{name}.db")) as made:
            made.executescript((RELEASED / f"{name}-7.sql").read_text("utf-8"))
    told = "insert into usage_file values ('senior-pass', 'bus-1', 1234567, 3, x'00')"
    with contextlib.closing(sqlite3.connect(tmp_path / "fleet.db")) as made:
        made.execute(told)
        made.commit()
    migrate(Databases(tmp_path))
    store = open_fleet(Databases(tmp_path), Role.DISPATCH)
    with store.read() as connection:
        found = connection.execute(sa.select(schema.usage_file)).one()
        assert (found.at_ms, found.head, found.rows_sha256) == (1234567, None, None)
        assert usage_files.wanted(connection) == {}
        assert usage_rows.file_of(connection, "senior-pass", "bus-1") is None
    store.close()
