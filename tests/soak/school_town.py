"""What a soak of schools begins with: gates, and staff with a card and terms each."""

import csv
import datetime
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from fleet import work_terms
from fleet.schema import member
from fleet.store import Store
from fleet.work_acts import Act
from fleet.work_terms import NewTerm
from programmes import attendance
from programmes.calendar import start_of_day_ms
from provisioning.keys import KeyRing
from provisioning.town import Place
from tests.fleet.virtual import SIGNED
from tests.real import RealTown
from wire.credential import Scheme, credential

SCHOOL: Final = attendance.NAME
SINCE: Final = datetime.date(2026, 4, 1)
RULES: Final = """
version = "attendance/2026-04"
valid_from = 2026-04-01
[parameters]
"""


def serial_of(person: int) -> str:
    """Return the serial of a person's My Number Card."""
    return f"{person + 1:015}"


def gate_place(name: str, organisation: str) -> Place:
    """Return the place of one gate."""
    return Place(
        name=name,
        kind="school",
        programmes=[SCHOOL],
        label_ja=f"{name} 昇降口",
        label_en=f"Entrance {name}",
        front_end="udp:127.0.0.1:54321",
        technologies=["106B"],
        page_port=8001,
        organisation=organisation,
    )


def employ(
    command: Callable[..., int], town: RealTown, people: Store, school_of: Sequence[str]
) -> list[int]:
    """Enrol somebody at each of these schools, by the fleet's own commands; return the members."""
    table, listed = town.folder / "attendance.toml", town.folder / "staff.csv"
    table.write_text(RULES, "utf-8")
    key = KeyRing.read(town.folder / "keys" / "programme-keys.json").present(SCHOOL)
    with listed.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("credential", "scheme", "key_epoch", "registration_number", "name"))
        for person in range(len(school_of)):
            made = credential(key.key, Scheme.COMMON_AP, bytearray(serial_of(person).encode()))
            rows.writerow((made, Scheme.COMMON_AP, key.epoch, f"T{person:06}", f"教員{person}"))
    for argv in (
        ("rules", "add", SCHOOL, str(table)),
        ("schemes", "state", SCHOOL, Scheme.COMMON_AP, *SIGNED),
        ("members", "import", str(listed), "--programme", SCHOOL),
    ):
        assert command(*argv) == 0, argv
    return _agree(people, school_of)


def _agree(people: Store, school_of: Sequence[str]) -> list[int]:
    found = []
    with people.write() as connection:
        wanted = sa.select(member.c.id).where(member.c.programme == SCHOOL)
        numbers = connection.scalars(wanted.order_by(member.c.registration_number)).all()
        for one, organisation in zip(numbers, school_of, strict=True):
            act = Act(one, "soak", start_of_day_ms(SINCE))
            work_terms.add(connection, act, NewTerm(SINCE, organisation))
            found.append(one)
    return found
