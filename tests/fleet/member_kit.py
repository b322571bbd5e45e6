"""A database of persons with a few members, as the office's own role may use it."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from fleet import consent, members, schema, store
from fleet.config import Databases
from fleet.consent import NewBasis
from fleet.grants import Role
from fleet.member_events import Step
from fleet.members import NewMember

NOON_MS = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
TODAY = datetime.date(2026, 6, 3)
APRIL = datetime.date(2026, 4, 1)
BUS = "senior-pass"
SCHOOL = "attendance"


def credential_of(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


@dataclass
class Desk:
    """A clerk's hand on both databases, under the office's grants."""

    databases: Databases
    fleet: store.Store
    people: store.Store
    at_ms: int = NOON_MS

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self.people.write() as connection:
            yield connection

    def step(self, member_id: int, why: str = "窓口で申し出", who: str = "hana") -> Step:
        return Step(member_id, why, who, self.at_ms)

    def add(self, number: str, name: str = "", programme: str = BUS, **more: Any) -> int:
        """Enrol somebody with a consent and, unless `cards` says otherwise, one card."""
        cards = more.pop("cards", (number,))
        new = NewMember(number, name or f"山田 {number}", "ヤマダ", valid_from=APRIL, **more)
        with self.people.write() as connection:
            members.enrol(connection, programme, new, "hana", NOON_MS - 1)
            member_id = connection.scalars(
                sa.select(schema.member.c.id).where(
                    schema.member.c.programme == programme,
                    schema.member.c.registration_number == number,
                )
            ).one()
            basis = consent.basis_on(connection, programme, TODAY)
            if basis is not None:
                at_ms = NOON_MS - 1
                consent.give(connection, programme, member_id, basis.id, "desk", "hana", at_ms)
        for held in cards:
            self.give_card(member_id, held, programme)
        return int(member_id)

    def give_card(self, member_id: int, name: str, programme: str = BUS) -> int:
        with self.people.write() as connection:
            added = connection.execute(
                schema.card.insert().values(
                    member_id=member_id,
                    programme=programme,
                    credential=credential_of(name),
                    scheme="common-ap",
                    key_epoch=1,
                    assigned_at_ms=NOON_MS - 1,
                    assigned_by="hana",
                )
            )
        return store.new_id(added)

    def ask(self, statement: sa.Executable) -> list[Any]:
        with self.people.read() as connection:
            return list(connection.execute(statement))

    def member(self, member_id: int) -> Any:
        (row,) = self.ask(schema.member.select().where(schema.member.c.id == member_id))
        return row

    def person(self, member_id: int) -> Any:
        of = schema.member.c.id == member_id
        joined = schema.person.join(schema.member, schema.member.c.person_id == schema.person.c.id)
        (row,) = self.ask(sa.select(schema.person).select_from(joined).where(of))
        return row

    def cards(self, member_id: int) -> list[Any]:
        mine = schema.card.select().where(schema.card.c.member_id == member_id)
        return self.ask(mine.order_by(schema.card.c.id))

    def audited(self, what: str) -> list[tuple[str, str]]:
        lines = schema.person_audit.select().where(schema.person_audit.c.what == what)
        return [(row.subject, row.detail) for row in self.ask(lines)]


@contextmanager
def open_desk(databases: Databases) -> Iterator[Desk]:
    if not databases.url:
        store.migrate(databases)
    owner = store.open_persons(databases, Role.OWNER)
    with owner.write() as connection:
        for programme in (BUS, SCHOOL):
            connection.execute(
                schema.scheme_statement.insert().values(
                    programme=programme, scheme="common-ap", kind="taken-over", at_ms=1, who="t"
                )
            )
            ground = NewBasis("条例第3号", "第5条", APRIL, "利用に同意します", "福祉課", APRIL)
            consent.add_basis(connection, programme, ground, "t", 1)
    owner.close()
    fleet = store.open_fleet(databases, Role.OFFICE)
    people = store.open_persons(databases, Role.OFFICE)
    try:
        yield Desk(databases, fleet, people)
    finally:
        people.close()
        fleet.close()
