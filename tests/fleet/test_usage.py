"""What members use is counted once, decided with, and told to the readers of their places."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import ledger, rosters, schema, usage
from fleet.books import read_signing_key
from fleet.grants import Role
from fleet.roster_files import RosterArchive
from fleet.schema import card, member
from fleet.store import open_fleet, open_persons
from fleet.usage_files import UsageBuilder, wanted
from fleet.usage_rows import FORMER_MS, file_of
from programmes.register import rulebook
from programmes.rulebook import USAGE_EVERY_S, Facts, Place
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import (
    NOON_MS,
    Journal,
    VirtualFleet,
    VirtualReader,
    add_member,
    pinned_key,
)
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import Purpose, Signer
from wire.messages import Status
from wire.topics import Leaf
from wire.usage import UsageFile

PASS, YEAR = "senior-pass", "2026"
A, B = "ab" * 16, "cd" * 16
RIDE_MS = 200_000
"""Between two rides of a card: outside the repeat window."""


def limit(fleet: VirtualFleet, rides: int, folder: Path, **parameters: object) -> None:
    """Let a table with a limit be in force from the year's first day on."""
    lines = [f"{name} = {value!r}" for name, value in parameters.items()]
    table = folder / "limit.toml"
    table.write_text(
        'version = "senior-pass/2026-04.limit"\nvalid_from = 2026-04-01\n[parameters]\n'
        f"rider_pays_yen = 50\nrides_per_year = {rides}\n" + "\n".join(lines).replace("'", '"'),
        "utf-8",
    )
    assert fleet.command("rules", "add", PASS, str(table)) == 0


def ride(journal: Journal, credential: str | None = A, **changes: Any) -> None:
    at_ms = NOON_MS + RIDE_MS * len(journal.entries)
    paid = {"rider_pays_yen": 50} if changes.get("code", Code.OK) is Code.OK else {}
    plain: dict[str, Any] = {"code": Code.OK, "credential": credential, "at_ms": at_ms, **paid}
    journal.tap(**(plain | changes))


def counters(fleet: VirtualFleet) -> dict[tuple[str, str], tuple[int, int]]:
    rows = fleet.rows("select period, credential, times, yen from usage")
    return {(period, credential): (times, yen) for period, credential, times, yen in rows}


def differences(fleet: VirtualFleet) -> list[usage.Difference]:
    with fleet.store.read() as connection:
        return usage.check(connection)


# --- counting -------------------------------------------------------------------------------------


def test_only_what_was_accepted_for_a_known_card_counts(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    ride(journal)
    ride(journal)
    ride(journal, B)
    ride(journal, code=Code.REPEAT, outcome=Outcome.REPEAT)
    ride(journal, code=Code.USED_UP)
    ride(journal, None, code=Code.UNKNOWN)
    ride(journal, None)
    ride(journal, programme="attendance")
    ride(journal, at_ms=1_806_505_200_000)
    fleet.through((bus, journal.all()))
    assert counters(fleet) == {(YEAR, A): (2, 100), (YEAR, B): (1, 50), ("2027", A): (1, 50)}
    assert differences(fleet) == []


def test_an_entry_counts_once_however_often_and_in_whatever_batches_it_comes(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    for _ in range(6):
        ride(journal)
    for first, last in ((1, 3), (1, 3), (2, 5), (1, 7), (5, 7)):
        fleet.through((bus, journal.batch(first, last)))
        assert differences(fleet) == []
    fleet.through((bus, journal.all()), (bus, journal.all()))
    assert counters(fleet) == {(YEAR, A): (6, 300)}


def test_a_batch_that_goes_on_counts_once_beside_one_that_comes_again(fleet: VirtualFleet) -> None:
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    known, new = one.journal(), two.journal()
    ride(known)
    ride(new, B)
    fleet.through((one, known.all()))
    fleet.through((one, known.all()), (two, new.all()))
    assert counters(fleet) == {(YEAR, A): (1, 50), (YEAR, B): (1, 50)}


def test_what_comes_behind_a_hole_counts_and_what_fills_it_counts_once(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    for _ in range(5):
        ride(journal)
    for first, last in ((1, 1), (4, 6), (4, 5), (2, 3), (2, 6)):
        fleet.through((bus, journal.batch(first, last)))
        assert differences(fleet) == []
    assert counters(fleet) == {(YEAR, A): (5, 250)}


def test_other_bytes_for_a_ride_that_stands_count_nothing(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    ride(journal)
    fleet.through((bus, journal.all()))
    other = Journal(journal.reader, journal.id)
    other.start()
    ride(other, B)
    fleet.through((bus, other.all()))
    assert counters(fleet) == {(YEAR, A): (1, 50)}
    assert differences(fleet) == []


def test_a_counter_that_is_not_the_sum_of_its_entries_is_found(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    ride(journal)
    fleet.through((bus, journal.all()))
    with fleet.store.write() as connection:
        connection.execute(sa.text("update usage set times = times + 1"))
    assert differences(fleet) == [usage.Difference(PASS, YEAR, A, Used(2, 50), Used(1, 50))]
    with fleet.store.write() as connection:
        connection.execute(sa.text("delete from usage"))
    assert differences(fleet) == [usage.Difference(PASS, YEAR, A, Used(), Used(1, 50))]


def test_who_has_read_the_whole_ledger_can_still_write(fleet: VirtualFleet) -> None:
    """Rows that are streamed change nothing for the statements that follow on the connection."""
    journal = fleet.reader("bus-1").journal()
    ride(journal)
    fleet.through((fleet.reader("bus-1"), journal.all()))
    with fleet.store.write() as connection:
        assert usage.check(connection) == []
        assert len(list(ledger.export(connection))) == 2
        changed = connection.execute(sa.update(schema.journal).values(claimed=2))
        assert changed.rowcount == 1


def test_the_console_may_not_read_what_anyone_used(fleet: VirtualFleet) -> None:
    console = open_fleet(fleet.config.databases, Role.CONSOLE)
    try:
        for table in ("usage", "usage_file", "usage_rows"):
            with console.read() as connection, pytest.raises(sa.exc.DatabaseError):
                connection.execute(sa.text(f"select * from {table}"))
    finally:
        console.close()


# --- deciding with it -----------------------------------------------------------------------------


def decided(
    fleet: VirtualFleet, at: str, credential: str, before: int, ride_n: int = 0, **changes: Any
) -> dict[str, Any]:
    """Return what an honest reader writes down that counts `before` rides before this one."""
    key = read_signing_key(fleet.config.signing_key).public_key()
    archive = RosterArchive(fleet.store, fleet.config.state_folder, fleet.config.tenant, key)
    roster = archive.get(PASS, at, 1)
    assert roster is not None
    at_ms = NOON_MS + RIDE_MS * ride_n
    facts = Facts(
        at_ms, Place(at, "bus", "1"), roster.find(Credential(credential)), roster.header.rules, 60,
        used={YEAR: Used(before, own=before)},
    )  # fmt: skip
    made = rulebook(PASS).decide(facts)
    archive.close()
    return {
        "at_ms": at_ms, "outcome": made.outcome, "code": made.code, "rule": made.rule,
        "rider_pays_yen": made.rider_pays_yen, "credential": credential, "roster": 1,
        "roster_age_s": 60, "used": dict(facts.used),
    } | changes  # fmt: skip


def findings(fleet: VirtualFleet) -> list[tuple[Any, ...]]:
    return fleet.rows("select n, kind, outcome, code from finding order by found_at_ms, n")


def test_what_two_readers_let_through_apart_is_flagged_and_stands(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    limit(fleet, 3, tmp_path)
    card_ = add_member(fleet, "1")
    build(fleet)
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    first, second = one.journal(), two.journal()
    for n in range(2):
        first.tap(**decided(fleet, "bus-1", card_, n, n))
        second.tap(**decided(fleet, "bus-2", card_, n, 5 + n))
    fleet.through((one, first.all()), (two, second.all()))
    assert findings(fleet) == [(3, "allowance", "refused", "used-up")]
    assert counters(fleet) == {(YEAR, card_): (4, 200)}
    assert fleet.alarms() == set()
    first.tap(**decided(fleet, "bus-1", card_, 4, 9))
    fleet.clock.pass_s(60)
    fleet.through((one, first.batch(4, 4)))
    assert findings(fleet)[1:] == []  # it was refused with what a usage file had said


def test_a_decision_that_does_not_follow_from_what_the_reader_counted_is_a_fault(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    limit(fleet, 3, tmp_path)
    card_ = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, "bus-1", card_, 0) | {"used": {YEAR: Used(3)}})
    fleet.through((bus, journal.all()))
    assert findings(fleet) == [(2, "replay", "refused", "used-up")]


def test_a_refusal_although_rides_were_left_is_flagged(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 3, tmp_path)
    card_ = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, "bus-1", card_, 3))
    fleet.through((bus, journal.all()))
    assert findings(fleet) == [(2, "allowance", "accepted", "ok")]


def second_card(fleet: VirtualFleet, number: str, credential: str) -> None:
    with fleet.people.write() as connection:
        found = connection.execute(
            member.select().where(member.c.registration_number == number)
        ).one()
        row = {
            "member_id": found.id, "programme": PASS, "credential": credential,
            "scheme": "common-ap", "key_epoch": 1, "assigned_at_ms": NOON_MS,
            "assigned_by": "test",
        }  # fmt: skip
        connection.execute(card.insert(), row)


def test_a_members_rides_with_all_cards_are_one_usage(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 3, tmp_path)
    one, other = add_member(fleet, "1"), "ef" * 16
    second_card(fleet, "1", other)
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    for n in range(2):
        journal.tap(**decided(fleet, "bus-1", one, n, n))
    fleet.through((bus, journal.all()))
    for n in range(2):
        journal.tap(**decided(fleet, "bus-1", other, n, 5 + n))
    fleet.through((bus, journal.batch(4, 5)))
    assert findings(fleet) == [(5, "allowance", "refused", "used-up")]


def test_the_office_sees_what_a_member_used_with_all_cards_this_year(fleet: VirtualFleet) -> None:
    one, other = add_member(fleet, "1"), "ef" * 16
    second_card(fleet, "1", other)
    rides(fleet, fleet.reader("bus-1"), one, 2, other)
    office = open_fleet(fleet.config.databases, Role.OFFICE)
    people = open_persons(fleet.config.databases, Role.OFFICE)
    with people.read() as connection:
        found = connection.scalars(sa.select(member.c.id)).one()
        cards = usage.cards_of(connection, found)
    with office.read() as connection:
        assert usage.of_member(connection, PASS, cards, NOON_MS) == {YEAR: Used(3, 150)}
        assert usage.of_member(connection, "attendance", cards, NOON_MS) == {}
    office.close()
    people.close()


# --- telling readers ------------------------------------------------------------------------------


def builder(fleet: VirtualFleet) -> UsageBuilder:
    by = Signer(read_signing_key(fleet.config.signing_key))
    return UsageBuilder(fleet.store, fleet.people, fleet.config.tenant, by, fleet.clock)


def told(fleet: VirtualFleet, at: str, folder: Path) -> UsageFile:
    with fleet.store.read() as connection:
        file = file_of(connection, PASS, at)
    assert file is not None
    path = folder / f"{hashlib.sha256(file).hexdigest()}.usage"
    path.write_bytes(file)
    return UsageFile.open(path, fleet.config.tenant, PASS, at, pinned_key(fleet.town))


def rides(
    fleet: VirtualFleet, bus: VirtualReader, credential: str, count: int, *more: str
) -> Journal:
    journal = bus.journal()
    for _ in range(count):
        ride(journal, credential)
    for other in more:
        ride(journal, other)
    fleet.through((bus, journal.all()))
    return journal


def test_only_members_near_the_limit_are_told_and_with_exactly_what_was_counted(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    limit(fleet, 26, tmp_path)  # known from 26 - 20 = 6 rides on
    near, far = add_member(fleet, "1"), add_member(fleet, "2")
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    first, second = rides(fleet, one, near, 4, *[far] * 5), rides(fleet, two, near, 2)
    assert {fed.place: fed.rows for fed in builder(fleet).build_due()} == {"bus-1": 1, "bus-2": 1}
    file = told(fleet, "bus-1", tmp_path)
    assert file.find(Credential(near)) == {YEAR: Used(6, 300)}
    assert file.find(Credential(far)) is None
    assert file.header.marks[one.name].journals == {first.id: [(1, 10)]}
    assert list(file.header.marks) == [one.name]
    other = told(fleet, "bus-2", tmp_path)
    assert other.header.marks[two.name].journals == {second.id: [(1, 3)]}
    file.close()
    other.close()


def test_each_of_a_members_cards_has_the_sum_of_all(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 25, tmp_path)
    one, other = add_member(fleet, "1"), "ef" * 16
    second_card(fleet, "1", other)
    rides(fleet, fleet.reader("bus-1"), one, 3, other, other, other)
    builder(fleet).build_due()
    file = told(fleet, "bus-1", tmp_path)
    assert [file.find(Credential(name)) for name in (one, other)] == [{YEAR: Used(6, 300)}] * 2
    file.close()


def test_holes_and_old_journals_stand_in_the_marks(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 3, tmp_path)
    bus = fleet.reader("bus-1")
    old = rides(fleet, bus, A, 1)
    fleet.clock.pass_s(41 * 24 * 3600)
    new = bus.journal(old.former)
    for _ in range(5):
        ride(new)
    fleet.through((bus, new.batch(1, 2)), (bus, new.batch(5, 6)))
    builder(fleet).build_due()
    file = told(fleet, "bus-1", tmp_path)
    marks = file.header.marks[bus.name]
    assert (marks.journals, marks.left_out) == ({new.id: [(1, 2), (5, 6)]}, True)
    assert file.find(Credential(A)) == {YEAR: Used(4, 200)}
    file.close()


def test_without_a_limit_nothing_is_told(fleet: VirtualFleet) -> None:
    rides(fleet, fleet.reader("bus-1"), A, 3)
    assert builder(fleet).build_due() == []
    with fleet.store.read() as connection:
        assert wanted(connection) == {}


def test_files_are_made_in_time_and_when_rules_change_and_never_go_back(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    maker = builder(fleet)
    assert maker.build_due() == []
    limit(fleet, 3, tmp_path)
    fleet.clock.pass_s(5)
    assert len(maker.build_due()) == 2
    with fleet.store.read() as connection:
        (first,) = wanted(connection)["bus-1"]
    fleet.clock.pass_s(USAGE_EVERY_S - 1)
    assert maker.build_due() == []
    fleet.clock.at_ms -= 3_600_000  # the machine's clock was set back
    fleet.clock.at_ns += 1_000_000_000 * 10
    assert len(maker.build_due()) == 2
    with fleet.store.read() as connection:
        (second,) = wanted(connection)["bus-1"]
    assert second.at_ms == first.at_ms + 1


def test_a_place_whose_reader_comes_back_gets_a_new_file(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    limit(fleet, 3, tmp_path)
    maker, bus = builder(fleet), fleet.reader("bus-1")
    assert len(maker.build_due()) == 2
    fleet.clock.pass_s(300)
    assert maker.build_due() == []
    status = Status(v=1, online=True, at_ms=NOON_MS, agent="1")
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    fleet.clock.pass_s(5)
    assert [fed.place for fed in maker.build_due()] == ["bus-1"]
    fleet.clock.pass_s(5)
    assert maker.build_due() == []


def test_rosters_do_not_change_when_someone_rides(fleet: VirtualFleet, tmp_path: Path) -> None:
    """Usage is apart from the roster: a ride makes no new version for anyone to fetch."""
    limit(fleet, 3, tmp_path)
    card_ = add_member(fleet, "1")
    before: list[rosters.Built] = build(fleet)
    rides(fleet, fleet.reader("bus-1"), card_, 2)
    assert [one.version for one in build(fleet)] == [one.version for one in before]


# --- what is kept of it ---------------------------------------------------------------------------


def kept(fleet: VirtualFleet) -> list[tuple[Any, ...]]:
    """Return of each snapshot's rows when they were made, how many, and how many files name them.

    The newest come last.
    """
    return fleet.rows(
        "select r.at_ms, r.rows, count(f.place) from usage_rows r left join usage_file f"
        " on f.programme = r.programme and f.rows_sha256 = r.sha256"
        " group by r.programme, r.sha256, r.at_ms, r.rows order by r.at_ms"
    )


def feed(
    fleet: VirtualFleet, maker: UsageBuilder, journal: Journal, credential: str
) -> dict[str, str]:
    """Let someone ride, and the next files be made; return by place why there is none."""
    ride(journal, credential)
    n = len(journal.entries)
    fleet.through((fleet.reader("bus-1"), journal.batch(n, n)))
    fleet.clock.pass_s(USAGE_EVERY_S)
    return {fed.place: fed.trouble for fed in maker.build_due()}


def test_rows_are_kept_once_for_all_places(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 3, tmp_path)
    rides(fleet, fleet.reader("bus-1"), A, 2, B)
    builder(fleet).build_due()
    assert kept(fleet) == [(fleet.clock.at_ms, 2, 2)]
    files = [told(fleet, at, tmp_path) for at in ("bus-1", "bus-2")]
    for file in files:
        assert file.find(Credential(A)) == {YEAR: Used(2, 100)}
        assert file.find(Credential(B)) == {YEAR: Used(1, 50)}
        file.close()


def test_where_nobody_rode_the_same_rows_stay(fleet: VirtualFleet, tmp_path: Path) -> None:
    limit(fleet, 3, tmp_path)
    rides(fleet, fleet.reader("bus-1"), A, 2)
    maker = builder(fleet)
    for _ in range(3):
        assert len(maker.build_due()) == 2
        assert kept(fleet) == [(fleet.clock.at_ms, 1, 2)]
        fleet.clock.pass_s(USAGE_EVERY_S)


def test_former_rows_stay_for_a_reader_that_was_away_for_an_hour_and_no_longer(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    limit(fleet, 30, tmp_path)
    journal = rides(fleet, fleet.reader("bus-1"), A, 12)
    maker = builder(fleet)
    assert len(maker.build_due()) == 2
    began_ms = fleet.clock.at_ms
    for number in range(1, 10):
        assert feed(fleet, maker, journal, A) == {"bus-1": "", "bus-2": ""}
        made = [at_ms for at_ms, _, _ in kept(fleet)]
        now_ms = began_ms + number * USAGE_EVERY_S * 1000
        assert made[-1] == now_ms
        assert now_ms - made[0] == min(number * USAGE_EVERY_S * 1000, FORMER_MS)
        assert len(made) == 1 + min(number, FORMER_MS // (USAGE_EVERY_S * 1000))
    assert FORMER_MS >= 3_600_000 + USAGE_EVERY_S * 1000


def test_rows_that_a_file_names_stay_however_old_they_are(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    """A place whose file cannot be made keeps its former one, rows and all."""
    limit(fleet, 30, tmp_path)
    two = fleet.reader("bus-2")
    rides(fleet, two, B, 12)
    journal = rides(fleet, fleet.reader("bus-1"), A, 12)
    maker = builder(fleet)
    maker.build_due()
    began_ms = fleet.clock.at_ms
    told(fleet, "bus-2", tmp_path).close()
    full_of_holes = [[n, n] for n in range(1, 60_000, 2)]
    with fleet.store.write() as connection:
        of = schema.journal.c.reader == two.name
        connection.execute(sa.update(schema.journal).where(of).values(spans=full_of_holes))
    for _ in range(7):
        troubles = feed(fleet, maker, journal, A)
        assert not troubles["bus-1"]
        assert "too many readers" in troubles["bus-2"]
    (first, *former, newest) = kept(fleet)
    assert (first[0], first[2], newest[2]) == (began_ms, 1, 1)
    assert len(former) == FORMER_MS // (USAGE_EVERY_S * 1000)
    file = told(fleet, "bus-2", tmp_path)
    assert file.header.at_ms == began_ms
    assert file.find(Credential(A)) == {YEAR: Used(12, 600)}
    file.close()
