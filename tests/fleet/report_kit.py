"""Rides and refusals of a senior pass, written into the ledger as rows, for what is counted."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from fleet import months, schema, store
from fleet.config import Databases
from fleet.grants import Role
from fleet.report_counts import Counts
from fleet.reports import Period, Report, build
from programmes.calendar import start_of_day_ms

PASS = "senior-pass"
HOUR_MS = 3_600_000
RULE = "senior-pass/2024-04"


@dataclass(frozen=True)
class Use:
    """One entry: an accepted card unless `code` says why not, a button without a card."""

    day: datetime.date
    place: str = "bus-1"
    card: str = "a"
    """Whose; empty: no card."""
    hour: int = 10
    code: str = "ok"
    category: str = ""
    rule: str = RULE
    late_ms: int = 0
    clock: str = "synchronised"
    programme: str = PASS

    @property
    def at_ms(self) -> int:
        return start_of_day_ms(self.day) + self.hour * HOUR_MS


def credential(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


def add_rules(connection: sa.Connection, city_pays_yen: int | None = 150) -> None:
    """The table of all rides here: a rider pays 50 yen, and the city so much."""
    city = {} if city_pays_yen is None else {"city_pays_yen": city_pays_yen}
    row = {"programme": PASS, "version": RULE, "valid_from": datetime.date(2024, 4, 1)}
    row |= {"parameters": {"rider_pays_yen": 50, **city}, "added_at_ms": 0, "added_by": "test"}
    connection.execute(schema.rule.insert().values(row))


def write(connection: sa.Connection, uses: Iterable[Use]) -> None:
    """Append uses in the order of their receipt, each under the newest journal of its place."""
    journals: dict[str, Any] = {}
    wanted = sa.select(schema.reader.c.place, schema.journal.c.id).join(
        schema.journal, schema.journal.c.reader == schema.reader.c.name
    )
    journals.update(dict(connection.execute(wanted.order_by(schema.journal.c.id)).all()))
    last = connection.scalar(sa.select(sa.func.max(schema.entry.c.n))) or 0
    ordered = sorted(uses, key=lambda use: use.at_ms + use.late_ms)
    for received_ms in {use.at_ms + use.late_ms for use in ordered}:
        months.ensure(connection, received_ms)
    rows = [_row(n, journals[use.place], use) for n, use in enumerate(ordered, last + 1)]
    if rows:
        connection.execute(schema.entry.insert(), rows)


def _row(n: int, journal_id: int, use: Use) -> dict[str, Any]:
    pressed = use.code in ("present-only", "device-fault") and not use.card
    outcome = None if pressed else "accepted" if use.code == "ok" else "refused"
    used = pressed or outcome == "accepted"
    paid = used and use.programme == PASS
    lost = use.clock == "unknown"
    return {
        "journal_id": journal_id,
        "n": n,
        "hash": bytes(32),
        "body": b"{}",
        "received_at_ms": use.at_ms + use.late_ms,
        "kind": "press" if pressed else "tap",
        "at_ms": 0 if lost else use.at_ms,
        "clock": use.clock,
        "programme": use.programme,
        "outcome": outcome,
        "code": use.code,
        "credential": credential(use.card) if use.card else None,
        "category": use.category,
        "rider_pays_yen": 50 if paid else None,
        "rule": use.rule if paid else None,
    }


def add_member(
    connection: sa.Connection, number: str, cards: Sequence[str], name: str = "会員"
) -> int:
    """Enrol somebody with cards, for the whole time; return the row of the member."""
    person = connection.execute(
        schema.person.insert().values(name=f"{name} {number}", kana="カイイン", updated_at_ms=0)
    ).inserted_primary_key
    assert person is not None
    member = connection.execute(
        schema.member.insert().values(
            person_id=person[0], programme=PASS, registration_number=number, updated_at_ms=0
        )
    ).inserted_primary_key
    assert member is not None
    for one in cards:
        connection.execute(
            schema.card.insert().values(
                member_id=member[0],
                programme=PASS,
                credential=credential(one),
                scheme="common-ap",
                key_epoch=1,
                assigned_at_ms=0,
                assigned_by="test",
            )
        )
    return int(member[0])


@dataclass(frozen=True)
class World:
    """An office's two stores over a small town, and the owner's."""

    fleet: store.Store
    people: store.Store
    office: store.Store
    office_people: store.Store

    @property
    def counts(self) -> Counts:
        """Counts of a process that has just begun; they look again each time they are asked."""
        return Counts(self.office, self.office_people, kept_s=0.0)

    def write(self, *uses: Use) -> None:
        with self.fleet.write() as connection:
            write(connection, uses)

    def close(self) -> None:
        for one in (self.fleet, self.people, self.office, self.office_people):
            one.close()


def make_world(databases: Databases, city_pays_yen: int | None = 150) -> World:
    """Three buses and a desk, each with a journal; a rule table, and nobody yet."""
    store.migrate(databases)
    world = World(
        store.open_fleet(databases, Role.OWNER),
        store.open_persons(databases, Role.OWNER),
        store.open_fleet(databases, Role.OFFICE),
        store.open_persons(databases, Role.OFFICE),
    )
    with world.fleet.write() as connection:
        add_rules(connection, city_pays_yen)
        for name in ("bus-1", "bus-2", "bus-3", "desk-1"):
            add_place(connection, name)
    return world


def add_place(connection: sa.Connection, name: str) -> None:
    programmes = {"programmes": [PASS], "triage_programmes": []}
    connection.execute(schema.place.insert().values(name=name, kind="bus", **programmes))
    keys = {"fingerprint": name, "public_key": "", "sealing_public_key": "", "enrolled_at_ms": 0}
    connection.execute(schema.reader.insert().values(name=f"t/{name}", place=name, **keys))
    journal = {"reader": f"t/{name}", "journal": credential(name), "received_at_ms": 0, "spans": []}
    connection.execute(schema.journal.insert().values(journal))


def report(counts: Counts, period: Period, today: datetime.date, programme: str = PASS) -> Report:
    """The report as the page asks for it, at noon of a day."""
    now_ms = start_of_day_ms(today) + 12 * HOUR_MS
    with counts.held:
        now, before = counts.pair(period.year, now_ms)
        return build(now, before, programme, period, today)
