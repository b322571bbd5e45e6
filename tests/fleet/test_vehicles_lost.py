"""A reader that died: what is missing, its end by a person's word, and a card that turns up."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from edge import cli as edge_cli
from edge.journal import FOLDER, frame_of
from fleet import members, rules, store, usage, vehicles_check, vehicles_lost
from fleet.config import Databases
from fleet.gaps import GapRefused
from fleet.grants import Role
from fleet.schema import card, member
from fleet.vehicles_check import Span
from fleet.vehicles_lost import QUIET_MS
from tests.fleet.company_kit import ASAHI, TAXI, enter, slip
from tests.fleet.virtual import NOON_MS, Journal, VirtualFleet, VirtualReader, bus, make_fleet
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Ride, Rider, Used
from wire.envelope import Purpose
from wire.messages import Status
from wire.roster import RuleTable
from wire.topics import Leaf

CARD = "c1" * 16
LATER_MS = NOON_MS + 2 * QUIET_MS


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    """Two taxis of a company and one member with a card."""
    taxis = [
        msgspec.structs.replace(
            bus(name), kind="taxi", line="", programmes=[TAXI], organisation=ASAHI
        )
        for name in ("taxi-1", "taxi-2")
    ]
    made = make_fleet(tmp_path, taxis, databases.url)
    with made.store.write() as connection:
        table = RuleTable(version="taxi/1", valid_from=datetime.date(2026, 4, 1), parameters={})
        rules.add(connection, TAXI, table, "test", NOON_MS)
    with made.people.write() as connection:
        members.enrol(connection, TAXI, members.NewMember("M-001", "x", "ベ"), "test", NOON_MS)
        connection.execute(
            card.insert().from_select(
                ["member_id", "programme", "credential", "scheme", "key_epoch", "assigned_at_ms",
                 "assigned_by"],
                member.select().with_only_columns(
                    member.c.id, *(sa.literal(one) for one in (TAXI, CARD, "common-ap", 1, 1, "t"))
                ),
            )
        )  # fmt: skip
    yield made
    made.close()


@pytest.fixture
def office(fleet: VirtualFleet) -> Iterator[tuple[store.Store, store.Store]]:
    databases = fleet.config.databases
    opened = store.open_fleet(databases, Role.OFFICE), store.open_persons(databases, Role.OFFICE)
    yield opened
    for one in opened:
        one.close()


def ride(n: int, boarded_at_ms: int = NOON_MS) -> Ride:
    return Ride(
        v=1, n=n, at_ms=boarded_at_ms + 600_000, mono_ms=n, clock=ClockState.SYNCHRONISED,
        programme=TAXI, outcome=Outcome.ACCEPTED, code=Code.OK, shown="taxi.settled",
        riders=[Rider(scheme=Scheme.COMMON_AP, key_epoch=1, credential=CARD, subsidy_yen=750)],
        fare_yen=1_500, boarded_at_ms=boarded_at_ms,
    )  # fmt: skip


def dies(fleet: VirtualFleet) -> tuple[VirtualReader, Journal]:
    """A taxi settles three rides, of which the last two never arrive; its status told of them."""
    taxi = fleet.reader("taxi-1")
    journal = taxi.journal()
    for n, hours in ((2, 0), (3, 3), (4, 24)):
        journal.write(ride(n, NOON_MS + hours * 3_600_000))
    assert fleet.through((taxi, journal.batch(1, 2))) == [2]
    status = Status(
        v=1, at_ms=NOON_MS, online=True, agent="1", front_end="udp", ready=True, trouble=None,
        journal=journal.id, n=4, waiting=2, rosters=[],
    )  # fmt: skip
    fleet.hear(taxi.say(Purpose.STATUS, status, Leaf.STATUS))
    bye = msgspec.structs.replace(status, online=False)
    fleet.hear(taxi.say(Purpose.STATUS, bye, Leaf.STATUS))
    return taxi, journal


def lost(office: tuple[store.Store, store.Store]) -> list[tuple[int, int, int]]:
    with office[0].read() as connection:
        found = vehicles_lost.find(connection, "taxi-1")
        assert vehicles_lost.find(connection, "taxi-2") == []
    return [(one.last_n, one.claimed, one.missing) for one in found]


def write_off(
    office: tuple[store.Store, store.Store], at_ms: int = LATER_MS, vehicle: str = "taxi-1"
) -> int:
    with office[0].write() as connection:
        return vehicles_lost.write_off(connection, vehicle, 1, "hana", "水没、日報で確認", at_ms)


def test_what_a_dead_reader_wrote_and_never_sent_is_counted(
    fleet: VirtualFleet, office: tuple[store.Store, store.Store]
) -> None:
    dies(fleet)
    assert lost(office) == [(2, 4, 2)]


def test_its_card_in_a_spare_device_sends_what_is_missing(
    fleet: VirtualFleet, office: tuple[store.Store, store.Store]
) -> None:
    taxi, journal = dies(fleet)
    again = taxi.journal(journal.former)
    fleet.through((taxi, journal.batch(3, 4)), (taxi, again.all()))
    assert lost(office) == []
    assert len(fleet.rows("select id from ride")) == 3


def test_the_tail_is_written_off_by_a_clerk_with_a_reason_once_the_reader_is_quiet(
    fleet: VirtualFleet, office: tuple[store.Store, store.Store]
) -> None:
    dies(fleet)
    for at_ms, vehicle in ((NOON_MS + QUIET_MS - 1, "taxi-1"), (LATER_MS, "taxi-2")):
        with pytest.raises(GapRefused):
            write_off(office, at_ms, vehicle)
    assert write_off(office) == 2
    assert lost(office) == []
    rows = fleet.rows("select first, last, how, closed_by, why from gap")
    assert rows == [(3, 4, "written-off", "hana", "水没、日報で確認")]
    assert fleet.rows("select who, what from audit order by id desc limit 1") == [
        ("hana", "gap.written-off")
    ]
    with pytest.raises(GapRefused):
        write_off(office)


def test_what_the_reader_declared_lost_is_written_off_with_the_rest(
    fleet: VirtualFleet, office: tuple[store.Store, store.Store]
) -> None:
    taxi = fleet.reader("taxi-1")
    journal = taxi.journal()
    for n in range(2, 7):
        journal.write(ride(n, NOON_MS + n * 3_600_000))
    fleet.through((taxi, journal.batch(1, 4, lost=0)), (taxi, journal.batch(5, 6, lost=1)))
    assert lost(office) == [(6, 6, 1)]
    assert write_off(office) == 1
    assert lost(office) == []
    assert "gap" not in fleet.alarms()


def test_a_card_that_turns_up_later_is_taken_in_and_listed_beside_the_ride_by_hand(
    fleet: VirtualFleet, office: tuple[store.Store, store.Store]
) -> None:
    taxi, journal = dies(fleet)
    new = slip("M-001", boarded_at_ms=NOON_MS + 24 * 3_600_000 + 900_000)
    new = new._replace(reason="tablet-broken", riders=(new.riders[0]._replace(ticket=""),))
    by_hand = enter(*office, new)
    with office[0].read() as connection:
        (listed,) = vehicles_lost.by_hand(connection, "taxi-1", 0)
        assert (listed.id, listed.subsidy_yen) == (by_hand, 750)
    assert write_off(office) == 2
    again = taxi.journal(journal.former)
    fleet.through((taxi, journal.batch(3, 4)), (taxi, again.all()))
    fleet.through((taxi, journal.batch(3, 4)))
    span = Span.of(TAXI, ASAHI, 7, LATER_MS)
    with office[0].read() as connection, office[1].read() as people:
        assert len(connection.execute(sa.text("select id from ride")).all()) == 4
        entered = vehicles_check.entered(connection, span)
        cards = usage.cards_of_members(people, list(entered))
        (pair,) = vehicles_check.pairs(connection, span, entered, cards)
        used = usage.of_member(connection, TAXI, next(iter(cards.values())), NOON_MS)
    assert pair.entered.id == by_hand
    assert pair.tapped.boarded_at_ms == NOON_MS + 24 * 3_600_000
    assert used["2026"] == Used(4, 3_000)


# --- read from its card -------------------------------------------------------------------------

READER = "taxi-1"


def disk_of(folder: Path, *journals: Journal, damage: int = 0) -> Path:
    """Write journals as a reader's disk holds them; `damage` breaks the frame of this number."""
    (folder / FOLDER).mkdir(parents=True)
    for at, journal in enumerate(journals, 1):
        frames = [bytearray(frame_of(one.before, one.body)) for one in journal.entries]
        if damage:
            frames[damage - 1][60] ^= 0xFF
        path = folder / FOLDER / f"{at:013}-{journal.id}.kzj"
        path.write_bytes(b"".join(frames))
    return folder


def read_card(
    fleet: VirtualFleet, card: Path, capfdbinary: pytest.CaptureFixture[bytes], key: str = READER
) -> Path:
    name = f"{fleet.town.town.tenant}/{READER}"
    held = fleet.town.folder / "readers" / key / "reader.key"
    capfdbinary.readouterr()
    assert edge_cli.main(["unsent", str(card), "--reader", name, "--key", str(held)]) == 0
    file = card / "unsent.jsonl"
    file.write_bytes(capfdbinary.readouterr().out)
    return file


def recover(fleet: VirtualFleet, file: Path) -> int:
    name = f"{fleet.town.town.tenant}/{READER}"
    return fleet.command("ledger", "recover", str(file), "水没", "--reader", name)


def test_a_card_fills_what_is_missing_and_counts_once(
    fleet: VirtualFleet,
    office: tuple[store.Store, store.Store],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    _, journal = dies(fleet)
    file = read_card(fleet, disk_of(tmp_path / "card", journal), capfdbinary)
    assert lost(office) == [(2, 4, 2)]
    assert recover(fleet, file) == 0
    assert lost(office) == []
    assert len(fleet.rows("select id from ride")) == 3
    assert recover(fleet, file) == 0
    assert len(fleet.rows("select id from ride")) == 3
    assert sorted(fleet.stored().values()) == sorted(one.body for one in journal.entries)
    with fleet.store.read() as connection:
        assert usage.check(connection) == []
    ((what, detail), *_) = fleet.rows("select what, detail from audit order by id desc")
    assert (what, detail) == (
        *("journal.recovered", "created 0, stood already 4, contradicted 0, set aside 0: 水没"),
    )


def test_what_is_damaged_on_the_card_is_declared_lost_and_the_rest_is_taken(
    fleet: VirtualFleet,
    office: tuple[store.Store, store.Store],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    _, journal = dies(fleet)
    card = disk_of(tmp_path / "card", journal, damage=3)
    assert recover(fleet, read_card(fleet, card, capfdbinary)) == 0
    assert lost(office) == [(4, 4, 1)]
    assert len(fleet.rows("select id from ride")) == 2


def test_what_another_key_signed_is_not_taken_in_and_nothing_is_changed(
    fleet: VirtualFleet,
    office: tuple[store.Store, store.Store],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    _, journal = dies(fleet)
    card = disk_of(tmp_path / "card", journal)
    theirs = read_card(fleet, card, capfdbinary, "taxi-2").read_bytes()
    file = read_card(fleet, card, capfdbinary)
    file.write_bytes(file.read_bytes() + theirs)
    assert recover(fleet, file) == 1
    assert lost(office) == [(2, 4, 2)]


def test_a_folder_without_a_journal_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "reader.key"
    asked = ["unsent", str(tmp_path), "--reader", "town/taxi-1", "--key", str(key)]
    assert edge_cli.main(asked) == 2
    assert "reader.key" in capfd.readouterr().err
