"""Consent: on what ground, given, withdrawn; rows that nobody changes."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import consent
from fleet.consent import ConsentRefused, NewBasis
from fleet.members import NewMember, enrol
from fleet.schema import person_audit
from tests.fleet.virtual import NOON_MS, VirtualFleet
from wire.individual_number import IndividualNumberRefused

PASS = "senior-pass"
D = datetime.date
BASIS = NewBasis(
    ordinance="かざす市敬老乗車証条例",
    article="第5条第1項",
    ordinance_date=D(2026, 3, 20),
    wording="敬老乗車証の利用に必要な範囲で、カードの識別子を市が利用することに同意します。",
    contact="高齢福祉課 0154-00-0000",
    valid_from=D(2026, 4, 1),
)


def member_of(fleet: VirtualFleet, number: str = "A-1", programme: str = PASS) -> int:
    with fleet.people.write() as connection:
        return enrol(connection, programme, NewMember(number, "山田花子"), "hana", NOON_MS)


def test_the_basis_with_the_latest_first_day_that_has_come_holds(fleet: VirtualFleet) -> None:
    later = BASIS._replace(article="第6条", valid_from=D(2027, 4, 1))
    mended = BASIS._replace(article="第5条第2項")
    with fleet.people.write() as connection:
        for new in (later, BASIS, mended):
            consent.add_basis(connection, PASS, new, "hana", NOON_MS)
    with fleet.people.read() as connection:
        held = {
            day: found and found.article
            for day in (D(2026, 3, 31), D(2026, 4, 1), D(2027, 3, 31), D(2027, 4, 1))
            for found in [consent.basis_on(connection, PASS, day)]
        }
        assert consent.basis_on(connection, "attendance", D(2026, 6, 1)) is None
    assert list(held.values()) == [None, "第5条第2項", "第5条第2項", "第6条"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ordinance": " "}, "text"),
        ({"wording": "あ" * (consent.WORDING_MAX + 1)}, "text"),
        ({"contact": ""}, "text"),
        ({"ordinance_date": D(1900, 1, 1)}, "day"),
    ],
)
def test_a_basis_without_a_ground_is_refused(
    fleet: VirtualFleet, changes: dict[str, Any], reason: str
) -> None:
    with fleet.people.write() as connection, pytest.raises(ConsentRefused) as refused:
        consent.add_basis(connection, PASS, BASIS._replace(**changes), "hana", NOON_MS)
    assert refused.value.reason == reason


def test_a_basis_that_is_sent_twice_is_written_once(fleet: VirtualFleet) -> None:
    mended = BASIS._replace(article="第6条")
    with fleet.people.write() as connection:
        ids = [
            consent.add_basis(connection, PASS, new, "hana", NOON_MS)
            for new in (BASIS, BASIS, mended, BASIS)  # the last puts the former words in force
        ]
        other = consent.add_basis(connection, "attendance", BASIS, "hana", NOON_MS)
    assert ids[0] == ids[1]
    assert len({*ids, other}) == 4
    with fleet.people.read() as connection:
        assert len(consent.bases(connection, PASS)) == 3


def test_a_basis_takes_no_individual_number(fleet: VirtualFleet) -> None:
    mixed = BASIS._replace(contact="123456789018")
    with fleet.people.write() as connection, pytest.raises(IndividualNumberRefused):
        consent.add_basis(connection, PASS, mixed, "hana", NOON_MS)


def test_a_consent_says_for_ever_what_it_said_and_its_newest_row_holds(
    fleet: VirtualFleet,
) -> None:
    member = member_of(fleet)
    with fleet.people.write() as connection:
        basis = consent.add_basis(connection, PASS, BASIS, "hana", NOON_MS)
        assert not consent.is_given(connection, member)
        consent.give(connection, PASS, member, basis, "paper", "hana", NOON_MS)
        consent.add_basis(connection, PASS, BASIS._replace(article="第9条"), "hana", NOON_MS)
        assert consent.is_given(connection, member)
        consent.withdraw(connection, PASS, member, "本人の申し出", "hana", NOON_MS + 1)
        with pytest.raises(ConsentRefused, match="no consent"):
            consent.withdraw(connection, PASS, member, "もう一度", "hana", NOON_MS + 2)
    with fleet.people.read() as connection:
        assert not consent.is_given(connection, member)
        withdrawn, given = consent.of_member(connection, member)
        lines = [
            (row.what, row.subject)
            for row in connection.execute(sa.select(person_audit))
            if row.what.startswith("consent.")
        ]
    assert (given.kind, given.medium, given.article) == ("given", "paper", "第5条第1項")
    assert (withdrawn.kind, withdrawn.why, withdrawn.article) == ("withdrawn", "本人の申し出", None)
    assert lines == [("consent.given", f"{PASS} A-1"), ("consent.withdrawn", f"{PASS} A-1")]


def test_one_programmes_consent_is_no_other_programmes(fleet: VirtualFleet) -> None:
    member, other = member_of(fleet), member_of(fleet, programme="attendance")
    with fleet.people.write() as connection:
        basis = consent.add_basis(connection, PASS, BASIS, "hana", NOON_MS)
        theirs = consent.add_basis(connection, "attendance", BASIS, "hana", NOON_MS)
        consent.give(connection, PASS, member, basis, "desk", "hana", NOON_MS)
        consent.give(connection, "attendance", other, theirs, "desk", "hana", NOON_MS)
        with pytest.raises(ConsentRefused) as refused:
            consent.give(connection, PASS, member, theirs, "desk", "hana", NOON_MS)
        assert refused.value.reason == "no-basis"
        with pytest.raises(ConsentRefused) as refused:
            consent.give(connection, PASS, other, basis, "desk", "hana", NOON_MS)
        assert refused.value.reason == "no-member"
        consent.withdraw(connection, PASS, member, "本人の申し出", "hana", NOON_MS)
        assert consent.is_given(connection, other)


@pytest.mark.parametrize("statement", ["UPDATE {} SET who = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["consent", "consent_basis"])
def test_the_database_itself_keeps_what_was_consented_to(
    fleet: VirtualFleet, table: str, statement: str
) -> None:
    member = member_of(fleet)
    with fleet.people.write() as connection:
        basis = consent.add_basis(connection, PASS, BASIS, "hana", NOON_MS)
        consent.give(connection, PASS, member, basis, "desk", "hana", NOON_MS)
    with fleet.people.write() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        connection.execute(sa.text(statement.format(table)))


def test_a_basis_is_written_down_at_the_command_line_too(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ordinance", BASIS.ordinance, "--article", BASIS.article, "--dated", "2026-03-20"]
    words += ["--wording", BASIS.wording, "--contact", BASIS.contact, "--from", "2026-04-01"]
    assert fleet.command("consent", "add", PASS, *words) == 0
    with fleet.people.read() as connection:
        (kept,) = consent.bases(connection, PASS)
    assert (kept.ordinance, kept.wording, kept.valid_from) == (
        BASIS.ordinance,
        BASIS.wording,
        BASIS.valid_from,
    )
    assert fleet.command("consent", "list", PASS) == 0
    assert fleet.command("consent", "add", PASS, *words[:-1], "1900-01-01") == 1
    assert "use a day from" in capsys.readouterr().err
