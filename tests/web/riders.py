"""Two riders of the senior pass in the town: a couple, a limit, and what they have used."""

import datetime
from hashlib import sha256
from typing import Final

import msgspec
import sqlalchemy as sa

from fleet import consent, members, rules, schema
from fleet.consent import NewBasis
from tests.web.conftest import Sites
from tests.web.town import DAY, NOW_MS, credential_of
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import Tap
from wire.roster import RuleTable

BUS: Final = "senior-pass"
BORN: Final = datetime.date(1940, 4, 1)
PEOPLE: Final = (
    ("S-001", "山本 花子", "ヤマモト ハナコ", BORN, 12),
    ("S-002", "山本 太郎", "ヤマモト タロウ", datetime.date(1938, 12, 8), 3),
)
"""Number, name, reading, birth date, rides of the fiscal year."""
LIMIT: Final = 730
HOUR_MS: Final = 3_600_000


def add_riders(sites: Sites) -> tuple[int, int]:
    """Add them and return their rows' numbers."""
    fleet, people = sites.town.fleet(), sites.town.persons()
    with fleet.write() as connection:
        april = datetime.date(2026, 4, 1)
        parameters = {"rider_pays_yen": 50, "rides_per_year": LIMIT}
        table = RuleTable(version="senior-pass/730", valid_from=april, parameters=parameters)
        rules.add(connection, BUS, table, "test", NOW_MS)
        n = 0
        for number, _, _, _, times in PEOPLE:
            connection.execute(
                schema.usage.insert().values(
                    programme=BUS, period="2026", credential=credential_of(number),
                    times=times, yen=50 * times,
                )
            )  # fmt: skip
            for back in range(times):
                n += 1
                _ride(connection, n, number, NOW_MS - (back + 1) * 24 * HOUR_MS)
    with people.write() as connection:
        ground = NewBasis("敬老乗車証条例", "第3条", DAY, "利用に同意します", "高齢福祉課", DAY)
        basis = consent.add_basis(connection, BUS, ground, "test", NOW_MS)
        ids = [_rider(connection, basis, *one) for one in PEOPLE]
    people.close()
    fleet.close()
    return ids[0], ids[1]


def _rider(
    connection: sa.Connection,
    basis: int,
    number: str,
    name: str,
    kana: str,
    born: datetime.date,
    _times: int,
) -> int:
    last = datetime.date(2027, 3, 31)
    new = members.NewMember(number, name, kana, born, "all", valid_from=DAY, valid_to=last)
    members.enrol(connection, BUS, new, "test", NOW_MS - HOUR_MS)
    member_id: int = connection.scalars(
        sa.select(schema.member.c.id).where(schema.member.c.registration_number == number)
    ).one()
    consent.give(connection, BUS, member_id, basis, "desk", "hana", NOW_MS - HOUR_MS)
    connection.execute(
        schema.card.insert().values(
            member_id=member_id, programme=BUS, credential=credential_of(number),
            scheme="common-ap", key_epoch=1, assigned_at_ms=NOW_MS - HOUR_MS, assigned_by="hana",
        )
    )  # fmt: skip
    return member_id


def _ride(connection: sa.Connection, n: int, number: str, at_ms: int) -> None:
    tap = Tap(
        v=1, n=n, at_ms=at_ms, mono_ms=n, clock=ClockState.SYNCHRONISED, programme=BUS,
        outcome=Outcome.ACCEPTED, code=Code.OK, shown="senior-pass.accepted",
        credential=credential_of(number), rider_pays_yen=50,
    )  # fmt: skip
    body = msgspec.json.encode(tap)
    bus = sa.select(schema.journal.c.id).where(schema.journal.c.reader.endswith("bus-1"))
    connection.execute(
        schema.entry.insert().values(
            journal_id=bus.scalar_subquery(), n=n, hash=sha256(body).digest(), body=body,
            received_at_ms=at_ms, kind="tap", at_ms=at_ms, clock="synchronised", programme=BUS,
            outcome="accepted", code="ok", credential=tap.credential, rider_pays_yen=50,
        )
    )  # fmt: skip
