"""Visitors with a spare card: in until it is taken back, nobody's marks, soon forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig

from fleet import schema, store, work_now, work_retention, work_spares, work_visitors
from fleet.config import Databases
from fleet.grants import Role
from fleet.work_acts import WorkRefused
from fleet.work_now import SchoolNow
from fleet.work_visitors import KEPT_MS, LABEL_MAX
from tests.fleet.test_work_spares import (
    FRONT,
    SPARE,
    UID,
    AtTheGate,
    back,
    held,
    lend,
    marks,
    registered,
    spares,
    state_scheme,
)
from tests.fleet.virtual import VirtualFleet
from tests.fleet.work_kit import NORTH, SOUTH, Schools, at, open_schools
from wire.codes import Code
from wire.credential import Scheme, credential
from wire.individual_number import IndividualNumberRefused

LABEL = "北設備の高橋"
MIGRATIONS = Path(store.__file__).with_name("migrations")
OF_BEFORE = (
    "INSERT INTO person (id, name, updated_at_ms) VALUES (7, '森', 1)",
    "INSERT INTO member (id, person_id, programme, registration_number, updated_at_ms) "
    "VALUES (9, 7, 'attendance', 'T-1', 1)",
    "INSERT INTO work_spare VALUES (3, 'kita-sho', 1, 'c', 'staff-token', 1, 1, 'kyoto')",
    "INSERT INTO work_loan VALUES (5, 3, 1, 9, 10, 20, 'kyoto')",
    "INSERT INTO work_return VALUES (5, 15, 'kyoto')",
)


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        made.now_ms = at(3, "07:00")
        yield made


def visits(town: Schools, spare: int, at_ms: int, label: str = LABEL, school: str = NORTH) -> int:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        until = work_spares.ends(fleet, NORTH, at_ms)
        return work_visitors.lend(people, school, spare, label, until, "kyoto", at_ms)


def now(town: Schools, at_ms: int, school: str = NORTH) -> SchoolNow:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        return work_now.school_now(fleet, people, school, "kyoto", at_ms)


def labels(town: Schools, at_ms: int, school: str = NORTH) -> list[str]:
    return [one.label for one in now(town, at_ms, school).visitors]


def test_a_visitor_is_in_from_being_lent_the_card_until_it_is_taken_back(town: Schools) -> None:
    town.teacher("T-1")
    loan = visits(town, registered(town), at(3, "10:00"))
    assert labels(town, at(3, "09:59")) == []
    assert labels(town, at(3, "10:00")) == [LABEL], "also when no reader was ever held a card"
    assert labels(town, at(3, "10:00"), SOUTH) == []
    back(town, loan, at(3, "11:30"))
    assert labels(town, at(3, "11:30")) == []
    assert [len(now(town, ms).people) for ms in (at(3, "10:00"), at(3, "12:00"))] == [1, 1]


def test_who_did_not_give_it_back_is_in_until_the_day_ends(town: Schools) -> None:
    visits(town, registered(town), at(3, "10:00"))
    assert labels(town, at(4, "03:59")) == [LABEL]
    assert labels(town, at(4, "04:00")) == []
    assert spares(town, at(4, "04:00"))[0].loan_id is None


def test_taps_of_a_visitors_card_are_marks_of_nobody(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    spare, gate = registered(town), town.gates[FRONT]
    first = lend(town, mori, spare, at(3, "07:40"))
    gate.tap(SPARE, at(3, "07:41"))
    back(town, first, at(3, "08:00"))
    visit = visits(town, spare, at(3, "10:00"))
    gate.tap(SPARE, at(3, "10:01"))
    gate.tap(SPARE, at(3, "11:00"))
    back(town, visit, at(3, "11:05"))
    lend(town, kato, spare, at(3, "12:00"))
    gate.tap(SPARE, at(3, "12:01"))
    gate.send()
    assert [ms for ms, _, _ in marks(town, mori)] == [at(3, "07:41")]
    assert [ms for ms, _, _ in marks(town, kato)] == [at(3, "12:01")]


def test_a_reader_takes_a_visitors_card_for_that_day(town: Schools, tmp_path: Path) -> None:
    state_scheme(town)
    gate = AtTheGate(town, tmp_path)
    card = held(town)
    real = credential(gate_key(), Scheme.STAFF_TOKEN, UID)
    with town.people.write() as people:
        rows = schema.triage.update().where(schema.triage.c.id == card)
        people.execute(rows.values(credential=real))
    with town.office.write() as people:
        work_spares.register(people, NORTH, {FRONT}, card, "kyoto", town.now_ms)
    town.teacher("T-1", category="正規")
    loan = visits(town, spares(town)[0].id, at(3, "10:00"))
    gate.fetch()
    assert gate.tap(at(3, "10:01")) is Code.OK
    assert gate.tap(at(4, "04:00")) is Code.STOP_LISTED
    back(town, loan, at(3, "11:00"))
    gate.fetch()
    assert gate.tap(at(3, "11:01")) is Code.STOP_LISTED


def gate_key() -> bytes:
    return bytes(range(32))


def test_one_card_is_of_one_visitor_and_of_no_member_meanwhile(town: Schools) -> None:
    spare = registered(town)
    visits(town, spare, at(3, "10:00"))
    with pytest.raises(WorkRefused) as refused:
        visits(town, spare, at(3, "10:05"), "別の人")
    assert refused.value.reason == "card-lent"
    with pytest.raises(WorkRefused) as refused:
        lend(town, town.teacher("T-1"), spare, at(3, "10:06"))
    assert refused.value.reason == "card-lent"
    with pytest.raises(WorkRefused) as refused:
        visits(town, spare, at(3, "10:07"), school=SOUTH)
    assert refused.value.reason == "no-spare"


@pytest.mark.parametrize("label", ["", "  ", "あ" * (LABEL_MAX + 1), "二\n行"])
def test_a_label_is_one_short_line(town: Schools, label: str) -> None:
    spare = registered(town)
    with pytest.raises(WorkRefused) as refused:
        visits(town, spare, at(3, "10:00"), label)
    assert refused.value.reason == "visitor"
    with pytest.raises(IndividualNumberRefused):
        visits(town, spare, at(3, "10:00"), "123456789018")
    assert town.ask(schema.work_loan.select()) == []


def test_a_label_stands_in_no_audit_and_no_signed_list(town: Schools) -> None:
    town.teacher("T-1")
    loan = visits(town, registered(town), at(3, "10:00"))
    town.gates[FRONT].tap(SPARE, at(3, "10:01"))
    town.gates[FRONT].send()
    back(town, loan, at(3, "11:00"))
    town.maker.make_due(at(5, "09:00"))
    assert town.audited("work.visitor-came") == [("attendance", f"{NORTH} 1")]
    assert town.audited("work.visitor-left") == [("attendance", f"{NORTH} 1")]
    for table in schema.persons.sorted_tables:
        if table.name != "work_visitor":
            assert LABEL not in str(town.ask(table.select())), table.name


def test_a_label_is_removed_a_week_after_the_day(town: Schools) -> None:
    back(town, visits(town, registered(town), at(3, "10:00")), at(3, "11:00"))
    end_ms = at(4, "04:00")
    for ms, kept in ((end_ms + KEPT_MS - 1, [(LABEL,)]), (end_ms + KEPT_MS, [])):
        forget(town, ms)
        assert town.ask(sa.select(schema.work_visitor.c.label)) == kept
        with town.office.read() as people:
            assert len(work_visitors.lately(people, NORTH, ms)) == len(kept)
    assert spares(town, end_ms)[0].loan_id is None
    five_years_ms = (60 + 1) * 31 * 24 * 3_600_000
    visits(town, spares(town, end_ms)[0].id, end_ms)
    with town.people.write() as people:
        work_retention.drop(people, "hana", end_ms + five_years_ms)
    assert town.ask(schema.work_loan.select()) == town.ask(schema.work_visitor.select()) == []


def forget(town: Schools, at_ms: int) -> None:
    opened = store.open_persons(town.databases, Role.DISPATCH)
    with opened.write() as people:
        work_visitors.forget(people, at_ms)
    opened.close()


def test_dispatch_removes_labels_by_itself(fleet: VirtualFleet) -> None:
    until_ms = fleet.clock.now_ms()
    row: dict[str, object] = {"organisation": NORTH, "number": 1, "credential": "c", "at_ms": 1}
    row |= {"scheme": "staff-token", "key_epoch": 1, "who": "kyoto"}
    with fleet.people.write() as people:
        spare = store.new_id(people.execute(schema.work_spare.insert().values(row)))
        free = work_spares.Spare(spare, 1, None, None, None, None)
        to = work_spares.NewLoan(None, until_ms - 1, until_ms, "kyoto")
        loan = work_spares.write_loan(people, free, to)
        people.execute(schema.work_visitor.insert().values(loan_id=loan, label=LABEL))
    for pass_ms, left in ((KEPT_MS - 1, 1), (1, 0)):
        fleet.clock.at_ms += pass_ms
        fleet.dispatch.tidy()
        with fleet.people.read() as people:
            assert len(people.execute(schema.work_visitor.select()).all()) == left


def test_what_was_written_down_of_a_visitor_is_never_changed(town: Schools) -> None:
    visits(town, registered(town), at(3, "10:00"))
    with pytest.raises(sa.exc.DBAPIError), town.people.write() as people:
        people.execute(schema.work_visitor.update().values(label="x"))


def test_loans_of_before_come_through_the_change_of_their_table(tmp_path: Path) -> None:
    store.migrate(Databases(tmp_path))
    (tmp_path / "persons.db").unlink()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'persons.db'}")
    config = AlembicConfig()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(MIGRATIONS / "persons"))
    with engine.begin() as connection:
        config.attributes.update(connection=connection, database="persons")
        command.upgrade(config, "persons_6")
        for statement in OF_BEFORE:
            connection.exec_driver_sql(statement)
    engine.dispose()
    store.migrate(Databases(tmp_path))
    people = store.open_persons(Databases(tmp_path), Role.OWNER)
    with people.read() as connection:
        loans = connection.execute(schema.work_loan.select()).all()
        returns = connection.execute(schema.work_return.select()).all()
    assert [tuple(one) for one in loans] == [(5, 3, 1, 9, 10, 20, "kyoto")]
    assert [tuple(one) for one in returns] == [(5, 15, "kyoto")]
    for table in (schema.work_loan, schema.work_return):
        with pytest.raises(sa.exc.DBAPIError), people.write() as connection:
            connection.execute(table.update().values(who="x"))
    people.close()


def test_nobody_left_last_while_a_visitor_is_in(town: Schools) -> None:
    town.teacher("T-1")
    gate = town.gates[FRONT]
    gate.tap("T-1", at(3, "07:41"))
    gate.tap("T-1", at(3, "16:50"))
    gate.send()
    loan = visits(town, registered(town), at(3, "10:00"))
    assert now(town, at(3, "17:00")).last is None
    back(town, loan, at(3, "17:10"))
    last = now(town, at(3, "17:11")).last
    assert last is not None
    assert last.who.registration_number == "T-1"
