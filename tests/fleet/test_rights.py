"""Rights: nobody has one that is not written down, and each ends when it is taken away."""

from pathlib import Path

import pytest

from fleet import accounts, rights
from fleet.accounts import AccountRole, Accounts
from fleet.config import Databases
from fleet.grants import Role
from fleet.rights import EVERY, EVERYWHERE, OfficeRole, Right, RightRefused, Rights
from fleet.store import Store, migrate, open_fleet
from wire.clock import SystemClock

PASSWORD = "correct horse battery"
BUS = Right("senior-pass", OfficeRole.CLERK)


@pytest.fixture
def fleet(tmp_path: Path) -> Store:
    migrate(Databases(tmp_path))
    return open_fleet(Databases(tmp_path), Role.OWNER)


def add(fleet: Store, *may: Right) -> None:
    with fleet.write() as connection:
        accounts.add(connection, "hana", AccountRole.CLERK, PASSWORD, "test", 1, may)


def test_a_clerk_of_one_programme_is_none_of_another(fleet: Store) -> None:
    add(fleet, BUS)
    with fleet.read() as connection:
        may = rights.of(connection, "hana")
    assert may.may("senior-pass", OfficeRole.CLERK)
    assert not may.may("senior-pass", OfficeRole.APPROVER)
    assert not may.may("attendance", OfficeRole.CLERK)
    assert may.programmes(OfficeRole.CLERK, OfficeRole.AUDITOR) == ("senior-pass",)
    fleet.close()


def test_a_right_that_is_taken_away_ends_in_an_open_session(fleet: Store) -> None:
    add(fleet, BUS)
    people = Accounts(fleet, SystemClock())
    token = people.begin(accounts.Account("hana", "clerk"), 60)
    found = people.account(token)
    assert found
    assert found.rights == Rights({BUS})
    with fleet.write() as connection:
        rights.give(connection, "hana", [], "test", 2)
    found = people.account(token)
    assert found
    assert not found.rights
    fleet.close()


def test_every_change_of_rights_is_in_the_audit_once(fleet: Store) -> None:
    add(fleet, EVERYWHERE)
    with fleet.write() as connection:
        for _ in range(2):
            rights.give(connection, "hana", [EVERYWHERE, BUS], "boss", 2)
        rights.give(connection, "hana", [BUS], "boss", 3)
        noted = connection.exec_driver_sql(
            "select who, what, detail from audit where what like 'right.%' order by id"
        ).all()
    assert [tuple(row) for row in noted] == [
        ("test", "right.given", "*:clerk"),
        ("boss", "right.given", "senior-pass:clerk"),
        ("boss", "right.taken", "*:clerk"),
    ]
    fleet.close()


def test_who_becomes_an_operator_keeps_no_right_of_the_office(fleet: Store) -> None:
    add(fleet, EVERYWHERE)
    with fleet.write() as connection:
        accounts.add(connection, "hana", AccountRole.OPERATOR, PASSWORD, "test", 2)
        assert not rights.of(connection, "hana")
        with pytest.raises(RightRefused, match="office"):
            rights.give(connection, "hana", [BUS], "test", 3)
    fleet.close()


@pytest.mark.parametrize(
    "text",
    [
        "senior-pass",
        "senior-pass:boss",
        "lottery:clerk",
        "senior-pass:company",
        "senior-pass:clerk:city-bus",
        "senior-pass:company:City Bus",
    ],
)
def test_a_right_that_nobody_can_have_is_refused(text: str) -> None:
    with pytest.raises(RightRefused):
        rights.parse(text)


def test_a_right_reads_as_it_is_written() -> None:
    for right in (BUS, EVERYWHERE, Right(EVERY, OfficeRole.COMPANY, "city-bus")):
        assert rights.parse(rights.written(right)) == right
