"""Rides that the office enters: the same rules and counters, once, and taken back with a reason."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from fleet import members, office_rides, rides, schema, store, terms, usage
from fleet.config import Databases
from fleet.grants import Role
from fleet.office_rides import ASKED_MAX, UNDO_MS, Named, OfficeRideRefused
from programmes.calendar import local_day
from tests.fleet.company_kit import (
    NOON_MS,
    NOW_MS,
    TAXI,
    add_card,
    add_companies,
    add_members,
    card_of,
    enter,
    known,
    slip,
)
from wire.codes import Code
from wire.entries import Used

HOUR_MS = 3_600_000


class Office(NamedTuple):
    """Both databases as the office has them."""

    fleet: store.Store
    people: store.Store


@pytest.fixture
def office(databases: Databases) -> Iterator[Office]:
    store.migrate(databases)
    owners = store.open_fleet(databases, Role.OWNER), store.open_persons(databases, Role.OWNER)
    with owners[0].write() as connection:
        add_companies(connection)
    with owners[1].write() as connection:
        add_members(connection, cards=False)
        add_card(connection, "M-002")
    opened = Office(
        store.open_fleet(databases, Role.OFFICE), store.open_persons(databases, Role.OFFICE)
    )
    yield opened
    for one in (*owners, *opened):
        one.close()


def used(office: Office, number: str) -> dict[str, Used]:
    """Return what a member has used by now, over all his cards."""
    with office.people.read() as people, office.fleet.read() as connection:
        mine = sa.select(schema.member.c.id).where(schema.member.c.registration_number == number)
        cards = usage.cards_of(people, people.execute(mine).scalar_one())
        return usage.of_member(connection, TAXI, cards, NOON_MS)


def rows(office: Office) -> list[store.AnyRow]:
    with office.fleet.read() as connection:
        return list(connection.execute(sa.select(schema.ride).order_by(schema.ride.c.id)))


def differences(office: Office) -> list[usage.Difference]:
    with office.fleet.read() as connection:
        return usage.check(connection)


def refused(office: Office, new: office_rides.NewRide) -> str:
    with pytest.raises(OfficeRideRefused) as error:
        enter(office.fleet, office.people, new)
    return error.value.reason


def test_a_paper_ticket_is_settled_by_the_rulebook_and_counted_once(office: Office) -> None:
    enter(office.fleet, office.people, slip("M-001"))
    (row,) = rows(office)
    assert (row.subsidy_yen, row.riders_pay_yen, row.medium, row.ticket) == (
        750,
        750,
        "paper",
        "T1",
    )
    assert (row.journal_id, row.who, row.why, row.rule) == (None, "mika", "paper", "taxi/2026")
    assert used(office, "M-001") == {"2026-06-03": Used(1, 750), "2026": Used(1, 750)}
    assert differences(office) == []


def test_riders_together_share_and_each_is_counted(office: Office) -> None:
    enter(office.fleet, office.people, slip("M-001", "M-002", fare_yen=1_200))
    (row,) = rows(office)
    assert (row.riders, row.subsidy_yen, row.ticket) == (2, 1_000, "T1 T2")
    assert used(office, "M-001")["2026"] == used(office, "M-002")["2026"] == Used(1, 500)
    assert differences(office) == []


def test_a_ride_without_a_card_counts_on_the_allowance_that_his_card_has(office: Office) -> None:
    enter(office.fleet, office.people, slip("M-002"))
    with office.people.read() as people:
        cards = usage.cards_of_members(people, [card_of("M-002")])[TAXI, card_of("M-002")]
    assert len(cards) == 2
    with office.fleet.read() as connection:
        assert usage.of_member(connection, TAXI, cards, NOON_MS)["2026-06-03"] == Used(1, 750)


def test_the_credential_without_a_card_is_on_no_roster_and_is_made_once(office: Office) -> None:
    for hour in (0, 1):
        new = slip("M-001", reason="no-card", boarded_at_ms=NOON_MS + hour * HOUR_MS)
        new = new._replace(riders=(Named("M-001", "ベ"),))
        enter(office.fleet, office.people, new)
    with office.people.read() as people:
        of_paper = people.scalars(
            sa.select(schema.card.c.credential).where(schema.card.c.scheme == office_rides.PAPER)
        ).all()
        of = terms.of(people, TAXI).on(local_day(NOW_MS))
        on_roster = {row.credential for row in members.roster_rows(people, TAXI, of)}
    assert len(of_paper) == 1
    assert on_roster.isdisjoint(of_paper)


def test_a_tickets_number_counts_once_however_it_is_written(office: Office) -> None:
    assert office_rides.plain_ticket(" ａ-12 3") == "A-123"
    first = enter(office.fleet, office.people, slip("M-001", "M-002"))
    again = slip("M-001", boarded_at_ms=NOON_MS + HOUR_MS)._replace(
        riders=(Named("M-001", "べ", "T2"),)
    )
    assert refused(office, again) == "ticket-used"
    with office.fleet.write() as connection:
        office_rides.take_back(connection, first, "mika", "書き間違い", NOW_MS, is_city=False)
    enter(office.fleet, office.people, again)
    assert differences(office) == []


def test_a_ticket_is_not_taken_for_a_part_of_another(office: Office) -> None:
    riders = (Named("M-001", "ベ", "T12"),)
    enter(office.fleet, office.people, slip("M-001")._replace(riders=riders))
    later = slip("M-001", boarded_at_ms=NOON_MS + HOUR_MS)
    enter(office.fleet, office.people, later._replace(riders=(Named("M-001", "ベ", "T1"),)))
    assert len(rows(office)) == 2


def test_paper_needs_a_ticket_and_the_same_ride_is_entered_once(office: Office) -> None:
    bare = slip("M-001")._replace(riders=(Named("M-001", "ベ"),))
    assert refused(office, bare) == "no-ticket"
    enter(office.fleet, office.people, bare._replace(reason="no-card"))
    assert refused(office, bare._replace(reason="no-card", fare_yen=900)) == "there-already"


def test_over_the_allowance_it_is_entered_with_a_reason_and_named_so(office: Office) -> None:
    for hour in (-2, -1):
        riders = (Named("M-001", "ベ", f"A{hour}"),)
        new = slip("M-001", boarded_at_ms=NOON_MS + hour * HOUR_MS)._replace(riders=riders)
        enter(office.fleet, office.people, new)
    third = slip("M-001")
    riders_known = known(office.people, third)
    with office.fleet.read() as connection:
        looked = office_rides.look(connection, third, riders_known)
    assert looked.over
    assert looked.decisions[0].code is Code.USED_UP
    assert refused(office, third) == "over-why"
    enter(office.fleet, office.people, third._replace(why="通院"))
    *_, row = rows(office)
    assert (row.outcome, row.code, row.subsidy_yen, row.why) == (
        *("accepted", "used-up", 750),
        "paper 通院",
    )
    assert used(office, "M-001")["2026-06-03"] == Used(3, 2_250)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stopped_from_ms": NOON_MS - 1, "stopped_why": "x"}, "cannot-stop-listed"),
        ({"valid_from": local_day(NOON_MS + 48 * HOUR_MS)}, "cannot-not-yet"),
        ({"valid_to": local_day(NOON_MS - 48 * HOUR_MS)}, "cannot-expired"),
    ],
)
def test_a_member_who_could_not_tap_then_is_refused_with_why(
    office: Office, change: dict[str, object], reason: str
) -> None:
    with office.people.write() as people:
        people.execute(schema.member.update().values(change))
    assert refused(office, slip("M-001")) == reason
    assert rows(office) == []


def test_nobody_learns_a_name_and_every_question_is_written_down(office: Office) -> None:
    with office.people.write() as people:
        found = office_rides.identify(
            people, TAXI, [Named("M-001", "べ"), Named("M-001", "ア"), Named("M-9", "ア")], "m", 1
        )
        told = people.execute(
            sa.select(schema.person_audit.c.what, schema.person_audit.c.subject)
            .where(schema.person_audit.c.who == "m")
            .order_by(schema.person_audit.c.id)
        ).all()
    assert [one is None for one in found] == [False, True, True]
    assert "ひみつ" not in repr(found)
    assert [tuple(one) for one in told] == [
        ("member.asked", "taxi M-001"),
        ("member.asked-nobody", "taxi M-001"),
        ("member.asked-nobody", "taxi M-9"),
    ]


def test_who_tries_numbers_out_is_stopped_for_the_day(office: Office) -> None:
    guesses = [Named(f"X-{n}", "ア") for n in range(ASKED_MAX)]
    with office.people.write() as people:
        office_rides.identify(people, TAXI, guesses, "mika", NOW_MS)
    with office.people.write() as people, pytest.raises(OfficeRideRefused) as error:
        office_rides.identify(people, TAXI, [Named("M-001", "ベ")], "mika", NOW_MS)
    assert error.value.reason == "asked-too-often"
    with office.people.write() as people:
        office_rides.identify(people, TAXI, [Named("M-001", "ベ")], "mika", NOW_MS + 24 * HOUR_MS)
        office_rides.identify(people, TAXI, [Named("M-001", "ベ")], "sora", NOW_MS)


def test_what_was_entered_is_undone_for_ten_minutes_by_whom_it_was(office: Office) -> None:
    ride_id = enter(office.fleet, office.people, slip("M-001"))
    for who, at_ms in (("sora", NOW_MS), ("mika", NOW_MS + UNDO_MS + 1)):
        with office.fleet.write() as connection, pytest.raises(OfficeRideRefused) as error:
            office_rides.undo(connection, ride_id, who, "x", at_ms)
        assert error.value.reason == "too-late"
    with office.fleet.write() as connection:
        office_rides.undo(connection, ride_id, "mika", "x", NOW_MS + UNDO_MS)
    assert used(office, "M-001")["2026"] == Used(0, 0)
    assert sum(row.subsidy_yen for row in rows(office)) == 0
    assert differences(office) == []


def test_a_ride_is_taken_back_once_and_not_behind_an_approved_claim(office: Office) -> None:
    ride_id = enter(office.fleet, office.people, slip("M-001"))
    with office.fleet.write() as connection:
        claim_it(connection, ride_id, "approved")
    with office.fleet.write() as connection, pytest.raises(OfficeRideRefused) as error:
        office_rides.take_back(connection, ride_id, "mika", "x", NOW_MS, is_city=False)
    assert error.value.reason == "claimed"
    with office.fleet.write() as connection:
        office_rides.take_back(connection, ride_id, "hana", "誤り", NOW_MS, is_city=True)
    with office.fleet.write() as connection, pytest.raises(OfficeRideRefused) as error:
        office_rides.take_back(connection, ride_id, "hana", "誤り", NOW_MS, is_city=True)
    assert error.value.reason == "taken-back"
    assert [(row.kind, row.who, row.why) for row in rows(office)][1:] == [
        ("taken-back", "hana", "誤り")
    ]


def claim_it(connection: sa.Connection, ride_id: int, state: str) -> None:
    """A claim with one line; what else its table asks for is filled in."""
    values: dict[str, object] = {"programme": TAXI, "organisation": "asahi-taxi", "state": state}
    for column in schema.claim.columns:
        if column.name not in values and not column.nullable and not column.primary_key:
            values[column.name] = {int: 1, str: "2026-06", bytes: b"x"}.get(
                column.type.python_type, local_day(NOON_MS)
            )
    added = connection.execute(schema.claim.insert().values(values))
    line = {"claim_id": store.new_id(added), "ride_id": ride_id, "stands": True}
    connection.execute(schema.claim_line.insert().values(line))


def test_shares_of_office_rides_are_among_those_that_are_recounted(office: Office) -> None:
    enter(office.fleet, office.people, slip("M-001"))
    with office.fleet.read() as connection:
        (share,) = rides.shares(connection)
    assert (share.programme, share.times, share.subsidy_yen) == (TAXI, 1, 750)
