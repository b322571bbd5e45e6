"""Every kind of bad batch, alone and among good ones: kept or counted, and nothing behind it waits.

A reader has entries 1 to 3 in the ledger and 4 to 9 in its journal. The bad message comes where 5
and 6 should, between good batches of the same reader and of another one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from fleet import usage
from tests.fleet.virtual import Journal, VirtualFleet, VirtualReader, bus, make_fleet
from tests.real_postgres import Postgres
from wire.codes import Code
from wire.envelope import Purpose, Signer
from wire.limits import BATCH_ENTRIES_MAX, LOST_MAX, PAYLOAD_BYTES_MAX, SEQUENCE_MAX
from wire.messages import Batch

END: Final = 9
"""The last entry of the journal."""
ALL: Final = set(range(1, END + 1))
DUE: Final = {5, 6}
UP_TO_4: Final = frozenset(range(1, 5))
UP_TO_6: Final = frozenset(range(1, 7))


class World(NamedTuple):
    """Who sends the bad message, and who else there is."""

    reader: VirtualReader
    other: VirtualReader
    journal: Journal

    @property
    def due(self) -> Batch:
        """The good batch in whose place the bad one comes."""
        return self.journal.batch(5, 6)

    def changed(self, **changes: object) -> bytes:
        """The batch that is due, changed before it is signed."""
        return self.reader.sign(msgspec.structs.replace(self.due, **changes))

    def fork(self, first: int, last: int, since: int = 0) -> bytes:
        """Numbers of a journal of the same name that says other things from `since` or first on."""
        forked = Journal(self.reader.name, self.journal.id)
        forked.entries = self.journal.entries[: (since or first) - 1]
        while len(forked.entries) < last:
            forked.tap(code=Code.TWO_CARDS)
        return self.reader.sign(forked.batch(first, last))


class Case(NamedTuple):
    """A bad message and what becomes of it."""

    make: Callable[[World], bytes]
    reasons: tuple[str, ...] = ()
    """Under which something is set aside."""
    through: int = 4
    """The mark behind it all; 4 while 5 and 6 do not count as received."""
    standing: frozenset[int] = frozenset(ALL - DUE)
    """What the ledger has behind it all."""
    conflicts: int = 0
    mended: frozenset[int] = frozenset(ALL)
    """What it has when 5 and 6 have come rightly too."""
    fifth: bytes = b""
    """What the reader has written under number 5, when it is not a tap."""


LATER_ENTRY: Final = b'{"kind":"tap","v":2,"n":5,"at_ms":1,"seat":"3A"}'
CASES: Final = {
    "nothing": Case(lambda _: b"", ("malformed",)),
    "no message": Case(lambda _: b"\xff{", ("malformed",)),
    "a cut message": Case(lambda w: w.changed()[:-9], ("malformed",)),
    "too large": Case(lambda w: w.changed().ljust(PAYLOAD_BYTES_MAX + 1), ("too-large",)),
    "too many entries": Case(
        lambda w: w.changed(entries=[msgspec.Raw(b"1")] * (BATCH_ENTRIES_MAX + 1)), ("malformed",)
    ),
    "signed by another reader": Case(
        lambda w: Signer(w.other.key).seal(Purpose.BATCH, w.reader.name, w.due), ("not-signed",)
    ),
    "another reader's own": Case(lambda w: w.other.sign(w.due), ("not-signed",)),
    "signed as something else": Case(
        lambda w: Signer(w.reader.key).seal(Purpose.STATUS, w.reader.name, w.due), ("not-signed",)
    ),
    "an envelope of a later version": Case(
        lambda w: w.changed().replace(b'"v":1', b'"v":2', 1), ("future-version",)
    ),
    "a batch of a later version": Case(lambda w: w.changed(v=2), ("future-version",)),
    "an entry of a later version": Case(
        World.changed,
        ("entry",),
        END,
        frozenset(ALL - {5}),
        mended=frozenset(ALL - {5}),
        fifth=LATER_ENTRY,
    ),
    # Who signed it is believed as to the tip too: what follows from another is set aside too.
    "another tip": Case(
        lambda w: w.changed(tip=bytes(32)), ("chain",) * 2, END, UP_TO_4, mended=UP_TO_6
    ),
    "another hash before": Case(
        lambda w: w.fork(5, 6, since=4), ("chain",) * 2, END, UP_TO_4, mended=UP_TO_6
    ),
    "other bytes for what stands": Case(lambda w: w.fork(2, 3), conflicts=2),
    "other bytes for what stands, and more": Case(
        lambda w: w.fork(4, 6), ("chain",), END, UP_TO_6, 1, mended=UP_TO_6
    ),
    "beyond everything": Case(lambda w: w.changed(first=SEQUENCE_MAX - 2), ("entry", "entry")),
    "more lost than can be": Case(lambda w: w.changed(lost=LOST_MAX + 1), ("malformed",)),
    "all lost": Case(
        lambda w: w.changed(lost=LOST_MAX, entries=[], tip=w.due.before), through=4 + LOST_MAX
    ),
    "empty": Case(lambda w: w.changed(entries=[], tip=w.due.before)),
    "empty, and another hash": Case(
        lambda w: w.changed(entries=[], before=bytes(32), tip=bytes(32)), ("chain",)
    ),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualFleet]:
    """One fleet on each database, with a pair of readers for each case and way."""
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url(server.empty())
    folder = tmp_path_factory.mktemp(request.param)
    names = [f"bus-{n}" for n in range(4 * len(CASES))]
    made = make_fleet(folder, [bus(name) for name in names], url)
    yield made
    made.close()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "in one group"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_kept_or_counted_and_nothing_waits(
    fleet: VirtualFleet, name: str, together: bool
) -> None:
    case, number = CASES[name], 4 * list(CASES).index(name) + 2 * together
    reader, other = fleet.reader(f"bus-{number}"), fleet.reader(f"bus-{number + 1}")
    journal, others = reader.journal().taps(3), other.journal().taps(5)
    if case.fifth:
        journal.write_bytes(case.fifth)
    journal.taps(END - len(journal.entries))
    world = World(reader, other, journal)
    fleet.through((reader, journal.batch(1, 3)))
    messages = [
        other.message(others.batch(1, 2)),
        reader.message(journal.batch(4, 4)),
        reader.raw(case.make(world)),
        reader.message(journal.batch(7, END)),
        other.message(others.batch(3, 6)),
    ]
    for group in [messages] if together else [[one] for one in messages]:
        acks = fleet.acks(fleet.take(*group))

    here = f"journal_id = (select id from journal where journal = '{journal.id}')"
    kept = fleet.rows(f"select reason from quarantine where reader = '{reader.name}' order by 1")
    assert tuple(reason for (reason,) in kept) == case.reasons
    assert fleet.rows(f"select count(*) from conflict where {here}") == [(case.conflicts,)]
    assert fleet.rows(f"select through from journal where journal = '{journal.id}'") == [
        (case.through,)
    ]
    assert (others.id, 6) in {(ack.journal, ack.through) for ack in acks}
    assert standing(fleet, others) == set(range(1, 7))
    assert standing(fleet, journal) == case.standing

    mended = max(case.through, END)
    assert fleet.through((reader, world.due)) == [mended]
    assert standing(fleet, journal) == case.mended
    with fleet.store.read() as connection:
        assert usage.check(connection) == []


def standing(fleet: VirtualFleet, journal: Journal) -> set[int]:
    """Which numbers of a journal the ledger has."""
    return {n for name, n in fleet.stored() if name == journal.id}


def test_what_the_database_forbids_is_acknowledged_to_nobody(
    server_fleet: VirtualFleet,
) -> None:
    """A grant that is missing is nothing that a batch can be blamed for, nor set aside."""
    fleet = server_fleet
    reader = fleet.reader("bus-1")
    journal = reader.journal().taps(3)
    assert fleet.through((reader, journal.batch(1, 2))) == [2]
    owner = fleet.store
    with owner.write() as connection:
        connection.exec_driver_sql("REVOKE INSERT ON entry FROM kazasu_ingest")
    for first in (1, 3):  # what goes on plainly, and what has to be taken with care
        with pytest.raises((sa.exc.DBAPIError, psycopg.Error), match="permission denied"):
            fleet.through((reader, journal.batch(first, 4)))
    assert fleet.rows("select count(*) from quarantine") == [(0,)]
    with owner.write() as connection:
        connection.exec_driver_sql("GRANT INSERT ON entry TO kazasu_ingest")
    assert fleet.through((reader, journal.batch(1, 4))) == [4]


REFUSE: Final = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' USING ERRCODE = '25006';
END $$
"""
"""What a standby says, since a server that is none has no other way to say it."""


def test_a_server_that_may_only_read_is_one_that_is_away(
    server_fleet: VirtualFleet,
) -> None:
    """As after a failover: workers leave the broker and try again, nothing is set aside."""
    fleet = server_fleet
    reader = fleet.reader("bus-1")
    journal = reader.journal().taps(3)
    with fleet.store.write() as connection:
        connection.exec_driver_sql(REFUSE)
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(sa.exc.OperationalError, match="read-only"):
        fleet.through((reader, journal.all()))
    assert fleet.rows("select count(*) from quarantine") == [(0,)]
    with fleet.store.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse ON entry")
    assert fleet.through((reader, journal.all())) == [4]


@pytest.fixture
def server_fleet(tmp_path: Path, postgres: Postgres) -> Iterator[VirtualFleet]:
    """A fleet of its own on PostgreSQL."""
    made = make_fleet(tmp_path, database=postgres.url(postgres.empty()))
    yield made
    made.close()
