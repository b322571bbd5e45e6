"""Accounts, rights, sessions and who looked at whom, on both databases."""

import datetime
from collections.abc import Iterator

import pyotp
import pytest

from fleet import accounts, audit, looks, people, rights, second_factor, sessions
from fleet.accounts import AccountRole, Accounts
from fleet.config import Databases
from fleet.grants import Role
from fleet.looks import Asked, Count
from fleet.people import PeopleRefused
from fleet.rights import EVERY, OfficeRole, Right
from fleet.sealing import Sealer, Unsealable
from fleet.second_factor import STEP_S, FactorRefused
from fleet.store import Store, migrate, open_fleet, open_persons
from tests.fleet.virtual import NOON_MS
from wire.clock import SystemClock

PASSWORD = "correct horse battery"
ADMIN = Right(EVERY, OfficeRole.ADMIN)
CLERK = Right("attendance", OfficeRole.CLERK)
DAY = datetime.date(2026, 6, 3)
DAY_MS = 24 * 3600_000


@pytest.fixture
def office(databases: Databases) -> Iterator[Store]:
    """The fleet's database as the office has it, with two administrators and a clerk."""
    migrate(databases)
    owner = open_fleet(databases, Role.OWNER)
    with owner.write() as connection:
        for name, right in (("boss", ADMIN), ("vice", ADMIN), ("hana", CLERK)):
            accounts.add(connection, name, AccountRole.CLERK, PASSWORD, "test", NOON_MS, [right])
    owner.close()
    store = open_fleet(databases, Role.OFFICE)
    yield store
    store.close()


def test_the_office_may_do_all_that_an_administrator_does(office: Store) -> None:
    with office.write() as connection:
        password = people.add(connection, "mori", CLERK, "boss", NOON_MS)
        people.give(connection, "mori", Right("senior-pass", OfficeRole.AUDITOR), "boss", NOON_MS)
        people.take(connection, "mori", CLERK, "boss", NOON_MS)
        people.bind(connection, "mori", "https://login.example", "42", "boss", NOON_MS)
        people.close(connection, "mori", "left", "boss", NOON_MS)
        people.reopen(connection, "mori", "came back", "boss", NOON_MS)
        (mori,) = [
            one
            for one in people.listed(connection, rights.of(connection, "boss"), NOON_MS, 60_000)
            if one.name == "mori"
        ]
    assert (mori.subject, mori.closed_ms, mori.seen) == (
        "42",
        None,
        (Right("senior-pass", OfficeRole.AUDITOR),),
    )
    found = Accounts(office, SystemClock()).sign_in_by("https://login.example 42")
    assert found is not None
    assert found.name == "mori"
    assert password.count("-") == 3


def test_two_administrators_cannot_both_take_the_other_away(office: Store) -> None:
    with office.write() as connection:
        people.take(connection, "vice", ADMIN, "boss", NOON_MS)
    with office.write() as connection:
        with pytest.raises(PeopleRefused) as refused:
            people.take(connection, "boss", ADMIN, "vice", NOON_MS)
        assert refused.value.reason == "reach"
        with pytest.raises(PeopleRefused) as refused:
            people.close(connection, "boss", "x", "vice", NOON_MS)
        assert refused.value.reason == "whole"


def test_one_subject_is_bound_to_one_account(office: Store) -> None:
    with office.write() as connection:
        people.bind(connection, "hana", "https://login.example", "42", "boss", NOON_MS)
        with pytest.raises(PeopleRefused) as refused:
            people.bind(connection, "vice", "https://login.example", "42", "boss", NOON_MS)
        assert refused.value.reason == "subject-known"
        people.bind(connection, "hana", "https://login.example", "", "boss", NOON_MS)
        people.bind(connection, "vice", "https://login.example", "42", "boss", NOON_MS)


def test_a_session_is_found_by_its_token_alone_and_ends_apart_from_others(office: Store) -> None:
    with office.write() as connection:
        one = sessions.begin(connection, "hana", NOON_MS, 3600, "Firefox · Windows")
        two = sessions.begin(connection, "hana", NOON_MS, 3600, "")
        assert sessions.end_all(connection, "hana", but=one) == 1
        assert sessions.find(connection, two, NOON_MS) is None
        (row,) = sessions.open_ones(connection, "hana", NOON_MS, 60_000)
        assert sessions.is_key(one, row.token_sha256)
        assert row.agent == "Firefox · Windows"
        assert sessions.find(connection, one, NOON_MS + 3600_000) is None


def test_a_secret_opens_for_its_own_account_and_key_only() -> None:
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal(b"secret", "totp hana")
    assert sealer.open(sealed, "totp hana") == b"secret"
    for other, about in ((sealer, "totp mori"), (Sealer(b"x" * 32), "totp hana")):
        with pytest.raises(Unsealable):
            other.open(sealed, about)
    with pytest.raises(Unsealable):
        sealer.open(b"", "totp hana")


def test_a_code_is_good_once_and_a_lost_key_file_is_said(office: Store) -> None:
    sealer = Sealer(b"k" * 32)
    with office.write() as connection:
        app = pyotp.TOTP(second_factor.begin_totp(connection, sealer, "hana", NOON_MS))
        code = app.at(NOON_MS // 1000)
        second_factor.confirm_totp(connection, sealer, "hana", "", code, NOON_MS)
        with pytest.raises(FactorRefused, match="code"):
            second_factor.check_totp(connection, sealer, "hana", code, NOON_MS)
        later_ms = NOON_MS + STEP_S * 1000
        second_factor.check_totp(connection, sealer, "hana", app.at(later_ms // 1000), later_ms)
        with pytest.raises(FactorRefused, match="unsealable"):
            second_factor.check_totp(connection, Sealer(b"x" * 32), "hana", "000000", later_ms)
        site = second_factor.Site("localhost", "http://localhost")
        for answer in ("", "{}", '{"id": 4}', "[" * 2_000, '{"id": "AAAA"}'):
            with pytest.raises(FactorRefused, match="key"):
                second_factor.check_key(connection, site, "hana", b"c", answer)


def test_looks_are_counted_by_account_and_day(databases: Databases) -> None:
    migrate(databases)
    persons = open_persons(databases, Role.OFFICE)
    with persons.write() as connection:
        for who, what, subject, days in (
            ("hana", "member.seen", "attendance T-1", 0),
            ("hana", "member.seen", "attendance T-1", 0),
            ("hana", "members.listed", "attendance", 1),
            ("kei", "card.stopped", "attendance T-1", 0),
            ("kei", "member.seen", "attendance-2 T-1", 0),
        ):
            audit.note_person(connection, NOON_MS - days * DAY_MS, who, what, subject, "T-1 T-2")
    asked = Asked("attendance", DAY - datetime.timedelta(2), DAY)
    with persons.read() as connection:
        assert looks.counts(connection, asked) == [
            Count("hana", 3, 0, 2, 2),
            Count("kei", 0, 1, 1, 1),
        ]
        assert looks.lines(connection, asked, 10)[0] == 4
        assert looks.lines(connection, asked._replace(number="T-2"), 10)[0] == 4
        assert looks.lines(connection, asked._replace(kind="changes"), 10)[0] == 1
        assert looks.kinds(connection, asked) == ["card.stopped", "member.seen", "members.listed"]
    persons.close()
