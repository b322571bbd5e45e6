"""A claim beside the ledger: what is right is called right, and each wrong line by its name."""

import datetime
import zlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from fleet import claim_check, claim_file, claim_lines, claims, months, store
from fleet.claim_check import Checked, Trouble
from fleet.claims import Asked
from fleet.config import Databases
from fleet.grants import Role
from fleet.schema import claim, claim_line, finding, gap, journal
from programmes.calendar import start_of_day_ms
from tests.fleet.claim_kit import TAXI, add_ride, settle_ride, take_back
from tests.fleet.company_kit import ASAHI, MINATO, NOON_MS, NOW_MS, add_companies, reader_of

MAY = datetime.date(2026, 5, 31)
NINE_MS = start_of_day_ms(datetime.date(2026, 5, 20), 9)
HOUR_MS = 3_600_000


@pytest.fixture
def owner(databases: Databases) -> Iterator[store.Store]:
    store.migrate(databases)
    opened = store.open_fleet(databases, Role.OWNER)
    with opened.write() as connection:
        months.ensure(connection, NINE_MS)
        add_companies(connection)
    yield opened
    opened.close()


@pytest.fixture
def office(databases: Databases, owner: store.Store) -> Iterator[store.Store]:
    opened = store.open_fleet(databases, Role.OFFICE)
    yield opened
    opened.close()


def made(owner: store.Store, organisation: str = ASAHI) -> int:
    with owner.write() as connection:
        return claims.make(connection, Asked(TAXI, organisation, MAY), None, "mika", NOW_MS)


def looked(office: store.Store, number: int) -> list[Checked]:
    with office.read() as connection:
        one = claims.load(connection, number)
        assert one is not None
        return claim_check.check(connection, one)


def troubles(office: store.Store, number: int) -> list[tuple[Trouble, ...]]:
    return [one.troubles for one in looked(office, number)]


def test_what_was_settled_by_the_rules_matches(owner: store.Store, office: store.Store) -> None:
    with owner.write() as connection:
        settle_ride(connection, 2, NINE_MS, 1_500)
        settle_ride(connection, 3, NINE_MS + HOUR_MS, 4_000)
        paper = {"place": "taxi-2", "medium": "paper", "ticket": "A-1", "rule": "taxi/2026"}
        add_ride(connection, ASAHI, datetime.date(2026, 5, 21), 800, **paper)
    found = looked(office, made(owner))
    assert [one.troubles for one in found] == [(), (), ()]
    assert [(one.file_yen, one.line.subsidy_yen, one.settled_yen) for one in found] == [
        (750, 750, 750),
        (1_000, 1_000, 1_000),
        (400, 400, 400),
    ]


def test_a_ride_that_was_taken_back_matches_too(owner: store.Store, office: store.Store) -> None:
    with owner.write() as connection:
        take_back(connection, settle_ride(connection, 2, NINE_MS))
    assert troubles(office, made(owner)) == [(), ()]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"subsidy_yen": 760, "riders_pay_yen": 740}, (Trouble.ENTRY, Trouble.RULE)),
        ({"riders_pay_yen": 740}, (Trouble.ENTRY, Trouble.RULE)),
        ({"fare_yen": 1_600}, (Trouble.ENTRY, Trouble.RULE)),
        ({"driver": "18"}, (Trouble.ENTRY,)),
        ({"rule": "taxi/1999"}, (Trouble.ENTRY, Trouble.NO_RULE)),
        ({"n": 9}, (Trouble.NO_ENTRY,)),
        ({"place": "taxi-9"}, (Trouble.VEHICLE,)),
        ({"place": "taxi-77"}, (Trouble.VEHICLE,)),
    ],
)
def test_a_row_that_says_something_else_is_called_by_its_name(
    owner: store.Store,
    office: store.Store,
    changes: dict[str, object],
    found: tuple[Trouble, ...],
) -> None:
    with owner.write() as connection:
        settle_ride(connection, 2, NINE_MS, changes=changes)
    assert troubles(office, made(owner)) == [found]


def test_an_office_ride_that_the_rules_do_not_give_is_found(
    owner: store.Store, office: store.Store
) -> None:
    day, rule = datetime.date(2026, 5, 21), {"rule": "taxi/2026", "medium": "none"}
    with owner.write() as connection:
        add_ride(connection, ASAHI, day, 1_000, subsidy_yen=600, **rule)
        add_ride(connection, ASAHI, day, 1_100, subsidy_yen=500, **rule)
    assert troubles(office, made(owner)) == [(Trouble.RULE,), (Trouble.RULE,)]


def test_two_lines_of_one_minute_or_one_ticket_are_pointed_out(
    owner: store.Store, office: store.Store
) -> None:
    day, rule = datetime.date(2026, 5, 21), {"rule": "taxi/2026", "medium": "paper"}
    with owner.write() as connection:
        settle_ride(connection, 2, NINE_MS)
        again = {"boarded_at_ms": NINE_MS + 20_000, "at_ms": NINE_MS + 700_000, "medium": "none"}
        add_ride(connection, ASAHI, day, 1_500, subsidy_yen=750, rule="taxi/2026", **again)
        for hour, ticket in ((1, "A-1 A-2"), (2, "A-2"), (3, "A-3")):
            add_ride(connection, ASAHI, day, 800, ticket=ticket, minute=60 * hour, **rule)
    twice = (Trouble.DUPLICATE,)
    assert troubles(office, made(owner)) == [twice, twice, twice, twice, ()]


def test_findings_of_the_ledger_are_marked(owner: store.Store, office: store.Store) -> None:
    with owner.write() as connection:
        for n, kind in ((2, "replay"), (3, "allowance")):
            settle_ride(connection, n, NINE_MS + n * HOUR_MS)
            of = sa.select(journal.c.id).where(journal.c.reader == reader_of("taxi-1"))
            row = {"journal_id": of.scalar_subquery(), "n": n, "kind": kind, "outcome": "refused"}
            row |= {"code": "used-up", "rule": "taxi/2026", "found_at_ms": NOON_MS}
            connection.execute(finding.insert().values(row))
    assert troubles(office, made(owner)) == [(Trouble.REPLAY,), (Trouble.ALLOWANCE,)]


def test_a_file_that_says_more_than_the_ledger_is_found(
    owner: store.Store, office: store.Store
) -> None:
    with owner.write() as connection:
        settle_ride(connection, 2, NINE_MS)
    number = made(owner)
    with owner.write() as connection:
        lines = claim_lines.of_claim(connection, number)
        more = claim_file.contents([lines[0]._replace(subsidy_yen=900)])
        connection.execute(claim.update().values(file=zlib.compress(more)))
    (found,) = looked(office, number)
    assert (found.file_yen, found.line.subsidy_yen) == (900, 750)
    assert found.troubles == (Trouble.FILE,)


def test_another_companys_row_in_a_claim_is_found(owner: store.Store, office: store.Store) -> None:
    with owner.write() as connection:
        theirs = settle_ride(connection, 2, NINE_MS, place="taxi-9", organisation=MINATO)
    number = made(owner)
    with owner.write() as connection:
        connection.execute(claim_line.insert().values(claim_id=number, ride_id=theirs))
    assert troubles(office, number) == [(Trouble.FILE, Trouble.VEHICLE)]


def test_open_gaps_of_the_companys_vehicles_are_told(
    owner: store.Store, office: store.Store
) -> None:
    with owner.write() as connection:
        for name, started_ms in (("taxi-1", NINE_MS), ("taxi-2", NOON_MS), ("taxi-9", NINE_MS)):
            mine = journal.c.reader == reader_of(name)
            connection.execute(journal.update().where(mine).values(started_at_ms=started_ms))
            of = sa.select(journal.c.id).where(mine).scalar_subquery()
            row = {"journal_id": of, "first": 5, "last": 7, "missing": 3, "cause": "not-arrived"}
            connection.execute(gap.insert().values(row | {"opened_at_ms": NOON_MS}))
    with office.read() as connection:
        found = claims.open_gaps(connection, ASAHI, MAY)
    assert [tuple(one) for one in found] == [("taxi-1", 3)]
