"""What waits in the office is told to those who can do it, in counts and never in names."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import accounts, consent, office_tasks, schemes
from fleet.accounts import Account, AccountRole
from fleet.config import Databases
from fleet.consent import NewBasis
from fleet.grants import Role
from fleet.rights import OfficeRole, Right, Rights
from fleet.schema import import_job, rule_proposal, second_factor
from fleet.schemes import NewStatement
from fleet.store import Store, migrate, open_fleet, open_persons
from programmes.calendar import local_day
from wire.credential import Scheme

AT_MS = 1_780_455_600_000
PROGRAMME = "senior-pass"
CLERK = Account("hana", "clerk", Rights({Right(PROGRAMME, OfficeRole.CLERK)}))
APPROVER = Account("sora", "clerk", Rights({Right(PROGRAMME, OfficeRole.APPROVER)}))
ADMIN = Account("riku", "clerk", Rights({Right("*", OfficeRole.ADMIN)}))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Store]:
    migrate(Databases(tmp_path))
    opened = open_fleet(Databases(tmp_path), Role.OWNER)
    yield opened
    opened.close()


@pytest.fixture
def persons(fleet: Store, tmp_path: Path) -> Iterator[Store]:
    opened = open_persons(Databases(tmp_path), Role.OWNER)
    yield opened
    opened.close()


def of_fleet(fleet: Store, account: Account) -> list[tuple[str, dict[str, str | int]]]:
    with fleet.read() as connection:
        return [(one.kind, one.arguments) for one in office_tasks.of_fleet(connection, account)]


def of_persons(persons: Store, account: Account = CLERK) -> list[str]:
    with persons.read() as connection:
        return [one.kind for one in office_tasks.of_persons(connection, account, AT_MS)]


def propose(fleet: Store, who: str, programme: str = PROGRAMME, state: str = "waiting") -> None:
    with fleet.write() as connection:
        connection.execute(
            rule_proposal.insert().values(
                programme=programme,
                version="v",
                valid_from=datetime.date(2027, 4, 1),
                parameters={},
                base="",
                why="w",
                state=state,
                proposed_at_ms=AT_MS,
                proposed_by=who,
            )
        )


def test_an_approver_is_told_of_what_others_propose_in_his_programmes(fleet: Store) -> None:
    for who, programme in (("hana", PROGRAMME), ("sora", PROGRAMME), ("hana", "attendance")):
        propose(fleet, who, programme)
    propose(fleet, "hana", state="withdrawn")
    assert of_fleet(fleet, APPROVER) == [("proposal", {"n": 1})]
    assert of_fleet(fleet, CLERK) == []


def test_an_administrator_is_told_of_approvers_who_cannot_approve_yet(fleet: Store) -> None:
    with fleet.write() as connection:
        accounts.add(
            connection, "sora", AccountRole.CLERK, "a long password", "t", 1, APPROVER.rights
        )
    assert of_fleet(fleet, ADMIN) == [("no-second-factor", {"n": 1})]
    with fleet.write() as connection:
        connection.execute(
            second_factor.insert().values(
                account="sora",
                kind="totp",
                label="",
                secret=b"s",
                added_at_ms=AT_MS,
                confirmed_at_ms=AT_MS,
            )
        )
    assert of_fleet(fleet, ADMIN) == []


def test_a_clerk_is_told_of_a_ground_that_is_missing_once_the_programme_is_used(
    persons: Store,
) -> None:
    assert of_persons(persons) == []
    day = local_day(AT_MS)
    with persons.write() as connection:
        ground = NewStatement("市長", "課", "条例 第3条", day, day, None)
        schemes.state(connection, PROGRAMME, [Scheme.COMMON_AP], ground, "t", AT_MS)
    assert of_persons(persons) == ["no-consent-basis"]
    with persons.write() as connection:
        basis = NewBasis("条例", "第3条", day, "同意します", "課 0123", day)
        consent.add_basis(connection, PROGRAMME, basis, "t", AT_MS)
    assert of_persons(persons) == []


def test_a_clerk_is_told_of_files_that_wait_in_her_programme_alone(persons: Store) -> None:
    with persons.write() as connection:
        for programme, state in (
            (PROGRAMME, "looked"),
            (PROGRAMME, "taken"),
            ("attendance", "looked"),
        ):
            connection.execute(
                import_job.insert().values(
                    programme=programme,
                    file_name="f",
                    state=state,
                    begun_at_ms=1,
                    heard_at_ms=1,
                    who="hana",
                )
            )
    assert of_persons(persons) == ["import"]
    assert of_persons(persons, APPROVER) == []
