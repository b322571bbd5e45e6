"""From the gate to the signed list: signed batches, the ledger, the real process `dispatch`."""

import datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from fleet import members, schema, work_lists, work_records, work_terms
from fleet.config import Databases, read_config
from fleet.grants import Role
from fleet.store import Store, open_persons
from fleet.work_acts import Act
from fleet.work_list_file import check
from fleet.work_records import Span
from fleet.work_terms import NewTerm
from programmes.calendar import local_day, start_of_day_ms
from provisioning.town import Place
from tests.conftest import Eventually
from tests.fleet.test_broker import Site, running
from tests.fleet.virtual import VirtualFleet, begin, bus, make_fleet, pinned_key
from tests.fleet.work_kit import NORTH, at, card_of
from tests.real import start_mosquitto
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Answer, Redirect

APRIL = datetime.date(2026, 4, 1)
JUNE = Span(datetime.date(2026, 6, 1), datetime.date(2026, 6, 30))
CARD: dict[str, Any] = {
    "programme": "attendance",
    "scheme": Scheme.STAFF_TOKEN,
    "key_epoch": 1,
    "credential": card_of("T-1"),
}


def gate() -> Place:
    return msgspec.structs.replace(bus("gate-1"), kind="school", line="", programmes=["attendance"])


def enrol(people: Store, since: datetime.date = APRIL) -> int:
    """Enrol one teacher with a card and terms; return the member's row."""
    with people.write() as connection:
        new = members.NewMember("T-1", "森 はるか", "モリ")
        one = members.enrol(connection, "attendance", new, "hana", 1)
        row = {"member_id": one, "programme": "attendance", "credential": card_of("T-1")}
        row |= {"scheme": "staff-token", "key_epoch": 1, "assigned_at_ms": 1}
        connection.execute(schema.card.insert().values(row | {"assigned_by": "hana"}))
        act = Act(one, "hana", start_of_day_ms(since))
        work_terms.add(connection, act, NewTerm(since, NORTH))
    return one


def test_what_a_gate_sends_is_the_persons_day(databases: Databases, tmp_path: Path) -> None:
    fleet: VirtualFleet = make_fleet(tmp_path, [gate()], databases.url)
    mori = enrol(fleet.people)
    fleet.clock.at_ms = at(4, "09:00")
    reader = fleet.reader("gate-1")
    journal = reader.journal(at_ms=at(3, "07:00"))
    common: dict[str, Any] = {"v": 1, "mono_ms": 1, "clock": "synchronised"}
    for instant, declared in ((at(3, "07:45"), ""), (at(3, "12:00"), ""), (at(3, "13:00"), "back")):
        journal.tap(**CARD, code=Code.OK, at_ms=instant, declared=declared)
    turned = msgspec.convert(
        {**common, "kind": "redirect", "n": 5, "at_ms": at(3, "13:01"), **CARD}
        | {"of_journal": journal.id, "of_n": 3, "declared": "away"},
        Redirect,
    )
    journal.write(turned)
    told = msgspec.convert(
        {**common, "kind": "answer", "n": 6, "at_ms": at(4, "07:45"), **CARD}
        | {"missing": "out", "day": "2026-06-03", "claimed_at_ms": at(3, "17:15")},
        Answer,
    )
    journal.write(told)
    fleet.take(reader.message(journal.all()))
    with fleet.store.read() as ledger, fleet.people.read() as people:
        record = work_records.of_member(ledger, people, mori, JUNE, JUNE.last)
    assert record is not None
    (day,) = record.days
    assert [one.became for one in day.readings] == ["in", "away", "back", "out"]
    assert record.hours[2].worked_min == 8 * 60 + 30
    assert fleet.alarms() == set()
    fleet.close()


def test_dispatch_signs_yesterdays_list_by_itself(tmp_path: Path, eventually: Eventually) -> None:
    town, config = begin(tmp_path, [gate()])
    people = open_persons(read_config(config).databases, Role.OWNER)
    yesterday = local_day(SystemClock().now_ms() - 28 * 3_600_000)
    mori = enrol(people, yesterday - datetime.timedelta(days=10))

    def listed() -> bool:
        with people.read() as connection:
            days = connection.scalars(sa.select(schema.work_list.c.day)).all()
        return yesterday in days

    with (
        start_mosquitto(town.folder / "broker") as broker,
        running(Site(town, config, broker), "dispatch"),
    ):
        eventually(listed)
    with people.read() as connection:
        file = work_lists.receipt(connection, mori, yesterday)
    assert file is not None
    found = check(file, pinned_key(town))
    assert (found.list.organisation, found.list.day) == (NORTH, yesterday)
    people.close()
