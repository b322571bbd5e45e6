"""Nobody approves alone what he proposed by way of an account that he administers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
import pytest
import sqlalchemy as sa

from fleet import accounts, people, proposals, rights, second_factor
from fleet.accounts import AccountRole
from fleet.config import Databases
from fleet.grants import Role
from fleet.proposals import ProposalRefused
from fleet.rights import OfficeRole, Right
from fleet.sealing import Sealer
from fleet.second_person import WAIT_MS
from fleet.store import Store, migrate, open_fleet
from tests.fleet.virtual import NOON_MS

PASS = "senior-pass"
RIGHT = Right(PASS, OfficeRole.APPROVER)
EARLIER_MS = NOON_MS - 30 * WAIT_MS
SEALER = Sealer(bytes(32))
Change = Callable[[sa.Connection], object]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Store]:
    """An administrator, and sora who has approved for a month."""
    migrate(Databases(tmp_path))
    opened = open_fleet(Databases(tmp_path), Role.OWNER)
    with opened.write() as connection:
        for name, right in (("boss", Right(PASS, OfficeRole.ADMIN)), ("sora", RIGHT)):
            long = "a long password"
            accounts.add(connection, name, AccountRole.CLERK, long, "root", EARLIER_MS, [right])
        add_factor(connection, "sora", EARLIER_MS)
    yield opened
    opened.close()


def add_factor(connection: sa.Connection, name: str, at_ms: int) -> None:
    secret = second_factor.begin_totp(connection, SEALER, name, at_ms)
    code = pyotp.TOTP(secret).at(at_ms // 1000)
    second_factor.confirm_totp(connection, SEALER, name, "phone", code, at_ms)


def do(fleet: Store, change: Change) -> None:
    with fleet.write() as connection:
        change(connection)


def may_approve(fleet: Store, at_ms: int, name: str = "sora") -> bool:
    with fleet.read() as connection:
        try:
            proposals.check_approver(connection, PASS, name, at_ms)
        except ProposalRefused:
            return False
    return True


def give_again(connection: sa.Connection) -> None:
    rights.give(connection, "sora", [], "boss", EARLIER_MS)
    rights.give(connection, "sora", [RIGHT], "boss", NOON_MS)


BY_ANOTHER: dict[str, Change] = {
    "a password given": lambda to: people.give_password(to, "sora", "boss", NOON_MS),
    "factors taken away": lambda to: people.reset_second(to, "sora", "boss", NOON_MS),
    "a right given": give_again,
    "somebody else at the provider": lambda to: people.bind(
        to, "sora", "https://sign-in.example", "boss", "boss", NOON_MS
    ),
}


@pytest.mark.parametrize("change", BY_ANOTHER.values(), ids=BY_ANOTHER)
def test_what_another_person_did_to_an_approver_holds_approvals_back_for_a_day(
    fleet: Store, change: Change
) -> None:
    assert may_approve(fleet, NOON_MS)
    do(fleet, change)
    assert not may_approve(fleet, NOON_MS + WAIT_MS - 1)
    assert may_approve(fleet, NOON_MS + WAIT_MS)


def test_a_second_account_approves_nothing_on_its_first_day(fleet: Store) -> None:
    do(fleet, lambda to: people.add(to, "mori", RIGHT, "boss", NOON_MS))
    assert not may_approve(fleet, NOON_MS + WAIT_MS - 1, "mori")
    assert may_approve(fleet, NOON_MS + WAIT_MS, "mori")


def test_a_factor_that_follows_a_reset_counts_a_day_later(fleet: Store) -> None:
    do(fleet, lambda to: people.reset_second(to, "sora", "boss", NOON_MS))
    added_ms = NOON_MS + 2 * WAIT_MS
    do(fleet, lambda to: add_factor(to, "sora", added_ms))
    assert not may_approve(fleet, added_ms + WAIT_MS - 1)
    assert may_approve(fleet, added_ms + WAIT_MS)


def test_who_exchanges_a_factor_of_his_own_goes_on_approving(fleet: Store) -> None:
    do(fleet, lambda to: people.reset_second(to, "sora", "boss", EARLIER_MS))
    do(fleet, lambda to: add_factor(to, "sora", EARLIER_MS + 1))

    def exchange(connection: sa.Connection) -> None:
        add_factor(connection, "sora", NOON_MS)
        first = second_factor.listed(connection, "sora")[0].id
        second_factor.remove(connection, "sora", first, NOON_MS)

    do(fleet, exchange)
    assert may_approve(fleet, NOON_MS)


def test_the_refusal_names_a_minute_from_which_on_it_is_possible(fleet: Store) -> None:
    do(fleet, lambda to: people.give_password(to, "sora", "boss", NOON_MS + 1))
    with fleet.read() as connection, pytest.raises(ProposalRefused) as caught:
        proposals.check_approver(connection, PASS, "sora", NOON_MS + 1)
    assert caught.value.arguments == {"when": "2026-06-04 12:01"}
