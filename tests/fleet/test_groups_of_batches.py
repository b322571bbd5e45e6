"""A group is written at once where that can be; it comes to the same as one batch at a time."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import months
from fleet.books import Books
from fleet.config import Config, Databases, read_config
from fleet.grants import Role
from fleet.registry import load_public_key
from fleet.store import Store, open_fleet
from tests.fleet.virtual import (
    NOON_MS,
    HandClock,
    Journal,
    VirtualFleet,
    VirtualReader,
    begin,
    bus,
    make_fleet,
    reader_of,
    take_in,
)
from wire.codes import Code
from wire.entries import new_journal
from wire.envelope import Proof, Purpose, verify
from wire.messages import Batch
from wire.mqtt import Message

STATEMENTS_MAX = 15
READERS = 32


# --- the same as one by one ----------------------------------------------------------------------


@dataclass
class Twins:
    """Two fleets with the same keys and readers: one takes groups, one takes single batches."""

    readers: list[VirtualReader]
    together: Books
    alone: Books
    stores: tuple[Store, Store]
    clock: HandClock

    def same(self) -> None:
        one, two = (snapshot(store) for store in self.stores)
        assert one == two


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("twins")
    town, path = begin(folder, [bus("bus-1"), bus("bus-2")])
    config = read_config(path)
    other = folder / "other"
    shutil.copytree(config.state_folder, other)
    configs = (config, msgspec.structs.replace(config, state=str(other)))
    clock = HandClock()
    together, alone = (Books(one, clock) for one in configs)
    one, two = (open_fleet(one.databases, Role.OWNER) for one in configs)
    readers = [reader_of(town, name) for name in ("bus-1", "bus-2")]
    yield Twins(readers, together, alone, (one, two), clock)
    for opened in (together, alone, one, two):
        opened.close()


TABLES = {
    "journal": "select reader, journal, former_journal, former_n, former_tip, started_at_ms, agent,"
    " received_at_ms, through, seen, seen_hash, claimed, superseded, spans, whole, unreplayed,"
    " signed_first, signed_lost, signed_last, signed_before, signed_key, signature from journal",
    "entry": "select j.journal, e.n, e.hash, e.body, e.received_at_ms, e.kind, e.at_ms, e.clock,"
    " e.programme, e.outcome, e.code, e.credential, e.scheme, e.category, e.declared,"
    " e.rider_pays_yen, e.rule, e.roster_version from entry e join journal j on"
    " j.id = e.journal_id",
    "quarantine": "select q.reader, q.topic, q.reason, q.detail, j.journal, q.first, q.last,"
    " q.hash, q.payload, q.times from quarantine q left join journal j on j.id = q.journal_id",
    "conflict": "select j.journal, c.n, c.hash, c.body from conflict c join journal j on"
    " j.id = c.journal_id",
    "gap": "select j.journal, g.first, g.last, g.missing, g.cause, g.how from gap g join journal j"
    " on j.id = g.journal_id",
    "joint": "select j.journal, t.n, t.hash from joint t join journal j on j.id = t.journal_id",
    "finding": "select j.journal, f.n, f.kind, f.code from finding f join journal j on"
    " j.id = f.journal_id",
    "alarm": "select kind, case kind when 'gap' then '' else subject end, reader, detail, count,"
    " cleared_by from alarm",
    "entry_minute": "select * from entry_minute",
    "usage": "select * from usage",
}


def snapshot(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that ingest wrote, without the numbers that a database gives out."""
    with store.read() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(sa.text(select))), key=repr)
            for name, select in TABLES.items()
        }


def spoilt(draw: st.DrawFn, batch: Batch) -> Batch:
    """Return a signed batch that is wrong in itself."""
    ways: list[dict[str, Any]] = [
        {"tip": bytes(32)},
        {"before": bytes(32)},
        {"first": batch.first + 1},
    ]
    return msgspec.structs.replace(batch, **draw(st.sampled_from(ways)))


def written(draw: st.DrawFn, journal: Journal, length: int) -> None:
    for _ in range(length):
        n = len(journal.entries) + 1
        kind = draw(st.sampled_from(["tap"] * 6 + ["unreadable"]))
        if kind == "unreadable":
            journal.write_bytes(b'{"kind":"later","v":2,"n":%d}' % n)
        else:
            at_ms = NOON_MS + 1000 * n
            journal.tap(at_ms=at_ms, code=Code.OK, credential=f"{n % 3:032x}", roster=7)


def lost(draw: st.DrawFn, journal: Journal, first: int, last: int) -> Batch:
    return journal.batch(first, last, lost=draw(st.integers(1, last - first + 1)))


@st.composite
def sendings(draw: st.DrawFn, readers: list[VirtualReader]) -> list[Message]:
    """Return messages in some order: plain ones mostly, resends, holes, losses, spoilt ones."""
    found: list[Message] = []
    for reader in readers:
        former: Journal | None = None
        some: list[Message] = []
        for _ in range(draw(st.integers(1, 3))):
            journal = Journal(reader.name, new_journal())
            journal.start(former.former if former else None)
            written(draw, journal, draw(st.integers(0, 7)))
            first, end = 1, len(journal.entries)
            while first <= end:
                last = draw(st.integers(first, end))
                back = draw(st.sampled_from([0, 0, 0, 1, 2]))
                batch = journal.batch(max(1, first - back), last)
                way = draw(st.sampled_from(["plain"] * 8 + ["spoilt", "lost", "skipped", "raw"]))
                if way == "spoilt":
                    batch = spoilt(draw, batch)
                elif way == "lost":
                    batch = lost(draw, journal, batch.first, last)
                if way == "raw":
                    some.append(reader.raw(b"nonsense %d" % draw(st.integers(0, 2))))
                elif way != "skipped":
                    some.append(reader.message(batch))
                first = last + 1
            former = journal
        if draw(st.booleans()) and some:
            some += draw(st.lists(st.sampled_from(some), max_size=3))
        found += some
    in_order = draw(st.booleans())
    return found if in_order else draw(st.permutations(found))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_group_comes_to_the_same_as_its_batches_one_by_one(
    twins: Twins, data: st.DataObject
) -> None:
    messages = data.draw(sendings(twins.readers))
    while messages:
        size = data.draw(st.integers(1, 9))
        group, messages = messages[:size], messages[size:]
        take_in(twins.together, group)
        for message in group:
            take_in(twins.alone, [message])
    twins.same()
    twins.clock.pass_s(1)


# --- what a group costs, and what becomes of it when it cannot be written at once ----------------


@pytest.fixture
def many(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    places = [bus(f"bus-{number}") for number in range(READERS)]
    made = make_fleet(tmp_path, places, database=databases.url)
    yield made
    made.close()


def test_a_group_of_lone_entries_costs_a_few_statements(many: VirtualFleet) -> None:
    readers = [many.reader(f"bus-{number}") for number in range(READERS)]
    journals = [reader.journal() for reader in readers]
    pairs = list(zip(readers, journals, strict=True))
    many.through(*((reader, journal.all()) for reader, journal in pairs))
    for journal in journals:
        journal.tap(code=Code.OK, credential="ab" * 16)
    run: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        run.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        done = many.through(*((reader, journal.batch(2, 2)) for reader, journal in pairs))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert done == [2] * READERS
    assert len(run) <= STATEMENTS_MAX, run


def test_several_batches_of_one_journal_in_a_group(fleet: VirtualFleet) -> None:
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal().taps(8)
    following = bus_1.journal(journal.former, NOON_MS + 9_000).taps(3)
    cut = [(bus_1, journal.batch(first, first + 2)) for first in (1, 4, 7)]
    cut += [(bus_1, following.batch(1, 2)), (bus_1, following.batch(3, 4))]
    assert fleet.through(*cut) == [9, 4]
    assert fleet.alarms() == set()
    marks = fleet.rows("select through, seen, superseded, whole, signed_last from journal")
    assert sorted(marks) == [(4, 4, False, True, 4), (9, 9, True, True, 9)]
    assert len(fleet.stored()) == 13


def forbid(fleet: VirtualFleet) -> None:
    """Let the database refuse entries of one category, as it might for a reason we do not know."""
    with fleet.store.write() as connection:
        months.ensure(connection, NOON_MS)
        if fleet.config.database:
            rule = "ALTER TABLE entry ADD CONSTRAINT no_such CHECK (category <> 'forbidden')"
        else:
            rule = (
                "CREATE TRIGGER no_such BEFORE INSERT ON entry WHEN NEW.category = 'forbidden' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        connection.exec_driver_sql(rule)


def test_what_the_database_refuses_of_one_reader_stops_no_other(fleet: VirtualFleet) -> None:
    forbid(fleet)
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    good, bad = one.journal().taps(2), two.journal()
    bad.tap(category="forbidden")
    bad.taps(1)
    batches = [(two, bad.batch(1, 1)), (two, bad.batch(2, 2)), (one, good.all())]
    assert sorted(fleet.through(*batches, (two, bad.batch(3, 3)))) == [3, 3]
    assert fleet.rows("select reason, first, last from quarantine") == [("fault", 2, 2)]
    assert len(fleet.stored()) == 5
    assert fleet.rows("select sum(count) from entry_minute") == [(5,)]


# --- what was signed -----------------------------------------------------------------------------


def test_the_last_signature_of_a_journal_proves_what_the_ledger_keeps(fleet: VirtualFleet) -> None:
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal().taps(6)
    fleet.through((bus_1, journal.batch(1, 2)))
    fleet.through((bus_1, journal.batch(3, 5)))
    fleet.through((bus_1, journal.batch(3, 4)))
    columns = "signed_first, signed_lost, signed_last, signed_before, signed_key, signature"
    ((first, lost_, last, before, key, signature),) = fleet.rows(f"select {columns} from journal")
    assert (first, lost_, last) == (3, 0, 5)
    stored = fleet.rows(
        f"select body, hash from entry where n between {first} and {last} order by n"
    )
    claim = Batch(
        v=1,
        journal=journal.id,
        first=first,
        lost=lost_,
        before=before,
        entries=[msgspec.Raw(body) for body, _ in stored],
        tip=stored[-1][1],
    )
    ((pem,),) = fleet.rows(
        f"select public_key from reader_key where key_id = '{key}' and reader = '{bus_1.name}'"
    )
    proof = Proof(key, signature, msgspec.json.encode(claim))
    verify(proof, Purpose.BATCH, bus_1.name, load_public_key(pem))


def test_a_key_that_was_ever_registered_is_kept(fleet: VirtualFleet) -> None:
    kept = fleet.rows("select r.name from reader r join reader_key k on k.reader = r.name")
    assert len(kept) == 2
    with pytest.raises(Exception, match="append-only"), fleet.store.write() as connection:
        connection.exec_driver_sql("delete from reader_key")


# --- two workers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_two_workers_on_the_same_readers_take_everything_once(fleet: VirtualFleet) -> None:
    readers = [fleet.reader("bus-1"), fleet.reader("bus-2")]
    journals = [reader.journal().taps(60) for reader in readers]
    rounds: list[list[Message]] = []
    for first in range(1, 61, 3):
        pairs = list(zip(readers, journals, strict=True))
        rounds.append([one.message(made.batch(first, min(first + 3, 61))) for one, made in pairs])
    failed: list[BaseException] = []

    def work(config: Config, turn: int) -> None:
        books = Books(config, fleet.clock)
        try:
            for group in rounds:
                take_in(books, group if turn else group[::-1])
        except BaseException as error:  # noqa: BLE001  shown by the test itself
            failed.append(error)
        finally:
            books.close()

    threads = [threading.Thread(target=work, args=(fleet.config, turn)) for turn in (0, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    expected = {(made.id, one.n): one.body for made in journals for one in made.entries}
    assert fleet.stored() == expected
    assert fleet.rows("select count(*) from entry") == [(len(expected),)]
    assert fleet.rows("select sum(count) from entry_minute") == [(len(expected),)]
    assert fleet.rows("select through, seen, whole from journal") == [(61, 61, True)] * 2
    assert fleet.rows("select count(*) from conflict") == [(0,)]
    assert fleet.rows("select count(*) from quarantine") == [(0,)]


# --- taken in again ------------------------------------------------------------------------------


def test_what_is_understood_after_an_upgrade_finds_its_place(fleet: VirtualFleet) -> None:
    forbid(fleet)
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal()
    journal.tap(category="forbidden")
    journal.taps(1)
    for first in (1, 2, 3):
        fleet.through((bus_1, journal.batch(first, first)))
    assert [n for _, n in sorted(fleet.stored())] == [1, 3]
    assert fleet.command("quarantine", "retry", "1") != 0
    with fleet.store.write() as connection:
        drop = "ALTER TABLE entry DROP CONSTRAINT" if fleet.config.database else "DROP TRIGGER"
        connection.exec_driver_sql(f"{drop} no_such")
    assert fleet.command("quarantine", "retry", "1") == 0
    assert [n for _, n in sorted(fleet.stored())] == [1, 2, 3]
    assert fleet.rows("select resolved_how from quarantine") == [
        ("created 1, stood already 0, contradicted 0, set aside 0",)
    ]
    assert fleet.command("quarantine", "retry", "1") != 0
    assert fleet.through((bus_1, journal.all())) == [3]
    assert fleet.rows("select count(*) from conflict") == [(0,)]


def test_an_entry_that_cannot_be_read_stays_until_it_can(fleet: VirtualFleet) -> None:
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal()
    journal.write_bytes(b'{"kind":"later","v":2,"n":2}')
    assert fleet.through((bus_1, journal.all())) == [2]
    assert fleet.command("quarantine", "retry", "1") == 1
    assert fleet.rows("select resolved_at_ms from quarantine") == [(None,)]
    later = bus_1.journal().taps(1).entries[1]
    with fleet.store.write() as connection:
        readable = sa.text("update quarantine set payload = :body")
        connection.execute(readable, {"body": later.body})
    assert fleet.command("quarantine", "retry", "1") == 0
    assert fleet.rows("select resolved_how from quarantine") == [("created 1",)]
    assert [n for _, n in sorted(fleet.stored())] == [1, 2]
