"""A rule table waits for a second person, and goes to the readers when that one has approved it."""

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import accounts, proposals, rules, schema
from fleet.accounts import AccountRole
from fleet.books import read_signing_key
from fleet.grants import Role
from fleet.proposals import MOVES, Proposal, ProposalRefused, State
from fleet.rights import OfficeRole, Right
from fleet.roster_files import RosterArchive
from fleet.second_person import WAIT_MS
from fleet.store import Store, open_fleet
from programmes.calendar import start_of_day_ms
from programmes.register import RULEBOOKS, rulebook
from programmes.rulebook import Facts, Place
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.roster import Roster, RuleTable

PASS = "senior-pass"
NEXT_YEAR = datetime.date(2027, 4, 1)
TODAY = datetime.date(2026, 6, 3)


def table(
    version: str = "senior-pass/2027-04", day: datetime.date = NEXT_YEAR, **more: Any
) -> RuleTable:
    return RuleTable(version, day, {"rider_pays_yen": 100} | more)


def drafted(fleet: VirtualFleet, new: RuleTable, who: str = "hana") -> int:
    with fleet.store.write() as connection:
        return proposals.draft(connection, PASS, new, "運賃の改定", who, NOON_MS)


def do(fleet: VirtualFleet, step: Callable[..., None], number: int, *said: object) -> None:
    with fleet.store.write() as connection:
        step(connection, number, *said, fleet.clock.now_ms())


def proposed(fleet: VirtualFleet, new: RuleTable, who: str = "hana") -> int:
    number = drafted(fleet, new, who)
    do(fleet, proposals.propose, number, who)
    return number


def at(fleet: VirtualFleet, number: int) -> Proposal:
    with fleet.store.read() as connection:
        found = proposals.load(connection, number)
    assert found is not None
    return found


def versions(fleet: VirtualFleet) -> list[str]:
    with fleet.store.read() as connection:
        return [one.version for one in rules.load(connection, PASS)]


def roster_of(fleet: VirtualFleet) -> Roster:
    """Return what a reader of bus-1 gets now, opened as a reader opens it."""
    version = max(one.version for one in build(fleet) if one.place == "bus-1")
    key = read_signing_key(fleet.config.signing_key).public_key()
    archive = RosterArchive(fleet.store, fleet.config.state_folder, fleet.config.tenant, key)
    found = archive.get(PASS, "bus-1", version)
    assert found is not None
    return found


def refused(wanted: str, step: Callable[[], object]) -> ProposalRefused:
    with pytest.raises(ProposalRefused) as caught:
        step()
    assert caught.value.reason == wanted
    return caught.value


def test_an_approved_table_stands_with_who_and_why(fleet: VirtualFleet) -> None:
    number = proposed(fleet, table())
    assert versions(fleet) == ["senior-pass/2026-04"]
    do(fleet, proposals.approve, number, "確認した", "sora")
    with fleet.store.read() as connection:
        added = rules.history(connection, PASS)[0]
    assert added.table == table()
    assert (added.by, added.approved_by, added.why) == ("hana", "sora", "運賃の改定")
    assert at(fleet, number).state is State.APPROVED
    lines = fleet.rows("select who, what, subject, detail from audit where what like 'rules.%'")
    assert [line[:2] for line in lines][1:] == [
        ("hana", "rules.proposed"),
        ("hana", "rules.added"),
        ("sora", "rules.approved"),
    ]


def test_a_table_of_the_command_line_has_no_second_person(fleet: VirtualFleet) -> None:
    with fleet.store.read() as connection:
        assert rules.history(connection, PASS)[0].approved_by == ""


def test_the_roster_carries_an_approved_table_and_readers_decide_by_it_from_its_day_on(
    fleet: VirtualFleet,
) -> None:
    card = add_member(fleet, "M-1")
    first = roster_of(fleet)
    number = proposed(fleet, table())
    assert len(roster_of(fleet).header.rules) == 1
    do(fleet, proposals.approve, number, "", "sora")
    roster = roster_of(fleet)
    assert roster.header.version > first.header.version
    assert table() in roster.header.rules
    paid = []
    for days in (-1, 0):
        day = NEXT_YEAR + datetime.timedelta(days)
        facts = Facts(
            start_of_day_ms(day, 12),
            Place("bus-1", "bus", "1"),
            roster.find(Credential(card)),
            roster.header.rules,
            60,
        )
        made = rulebook(PASS).decide(facts)
        assert (made.outcome, made.code) == (Outcome.ACCEPTED, Code.OK)
        paid.append((made.rule, made.rider_pays_yen))
    assert paid == [("senior-pass/2026-04", 50), ("senior-pass/2027-04", 100)]


def test_who_proposed_does_not_decide_and_nobody_else_takes_it_back(fleet: VirtualFleet) -> None:
    number = proposed(fleet, table())
    refused("own", lambda: do(fleet, proposals.approve, number, "", "hana"))
    refused("own", lambda: do(fleet, proposals.reject, number, "x", "hana"))
    refused("not-yours", lambda: do(fleet, proposals.withdraw, number, "sora"))
    draft = drafted(fleet, table("senior-pass/2027-04-02"))
    refused("not-yours", lambda: do(fleet, proposals.propose, draft, "sora"))
    assert versions(fleet) == ["senior-pass/2026-04"]


def test_the_database_itself_refuses_an_approval_by_the_proposer(fleet: VirtualFleet) -> None:
    number = proposed(fleet, table())
    approved = schema.rule_proposal.update().where(schema.rule_proposal.c.id == number)
    with pytest.raises(sa.exc.IntegrityError), fleet.store.write() as connection:
        connection.execute(approved.values(state="approved", decided_by="hana"))


def test_what_was_proposed_cannot_be_changed_by_the_office(fleet: VirtualFleet) -> None:
    number = proposed(fleet, table())
    office: Store = open_fleet(fleet.config.databases, Role.OFFICE)
    changed = schema.rule_proposal.update().where(schema.rule_proposal.c.id == number)
    try:
        with pytest.raises(sa.exc.DBAPIError), office.write() as connection:
            connection.execute(changed.values(parameters={"rider_pays_yen": 0}))
    finally:
        office.close()
    assert at(fleet, number).table == table()


@pytest.mark.parametrize("state", State)
def test_only_the_moves_of_the_table_are_made(fleet: VirtualFleet, state: State) -> None:
    number = drafted(fleet, table())
    ways: dict[State, list[tuple[Any, ...]]] = {
        State.DRAFT: [],
        State.WAITING: [(proposals.propose, "hana")],
        State.WITHDRAWN: [(proposals.withdraw, "hana")],
        State.APPROVED: [(proposals.propose, "hana"), (proposals.approve, "", "sora")],
        State.REJECTED: [(proposals.propose, "hana"), (proposals.reject, "x", "sora")],
    }
    for step, *said in ways[state]:
        do(fleet, step, number, *said)
    steps = {
        State.WAITING: lambda: do(fleet, proposals.propose, number, "hana"),
        State.WITHDRAWN: lambda: do(fleet, proposals.withdraw, number, "hana"),
        State.APPROVED: lambda: do(fleet, proposals.approve, number, "", "sora"),
        State.REJECTED: lambda: do(fleet, proposals.reject, number, "x", "sora"),
    }
    assert at(fleet, number).state is state
    for to, step in steps.items():
        if to not in MOVES[state]:
            refused("decided", step)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (table(day=TODAY), "past"),
        (table(day=TODAY - datetime.timedelta(30)), "past"),
        (table(day=datetime.date(2072, 4, 1)), "far"),
        (table("senior-pass/2026-04"), "version"),
        (table(rider_pays_yen=50), "same"),
        (table(rider_pays_yen=50, from_time="00:00:00"), "same"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    fleet: VirtualFleet, new: RuleTable, reason: str
) -> None:
    refused(reason, lambda: drafted(fleet, new))


def test_a_table_that_another_one_of_its_day_would_hide_is_refused(fleet: VirtualFleet) -> None:
    do(fleet, proposals.approve, proposed(fleet, table()), "", "sora")
    wrong = table("senior-pass/2027-03", rider_pays_yen=120)
    assert refused("order", lambda: drafted(fleet, wrong)).arguments == {
        "version": "senior-pass/2027-04"
    }
    with fleet.store.read() as connection:
        tables = rules.load(connection, PASS)
    named = proposals.propose_version(PASS, tables, NEXT_YEAR)
    assert named == "senior-pass/2027-04-02"
    number = proposed(fleet, table(named, rider_pays_yen=120))
    do(fleet, proposals.approve, number, "", "sora")
    with fleet.store.read() as connection:
        now = proposals.base_of(rules.load(connection, PASS), NEXT_YEAR)
    assert now is not None
    assert now.version == named


def test_of_two_proposals_for_one_time_only_one_is_approved(fleet: VirtualFleet) -> None:
    one = proposed(fleet, table())
    other = proposed(fleet, table("senior-pass/2027-05", datetime.date(2027, 5, 1)), "yuki")
    do(fleet, proposals.approve, one, "", "sora")
    told = refused("stale", lambda: do(fleet, proposals.approve, other, "", "sora"))
    assert told.arguments == {"base": "senior-pass/2026-04", "now": "senior-pass/2027-04"}
    assert at(fleet, other).state is State.WAITING
    do(fleet, proposals.reject, other, "作り直し", "sora")


def test_an_account_that_was_made_today_approves_nothing(fleet: VirtualFleet) -> None:
    number, right = proposed(fleet, table()), Right(PASS, OfficeRole.APPROVER)
    with fleet.store.write() as connection:
        made_ms = fleet.clock.now_ms()
        accounts.add(
            connection, "sora", AccountRole.CLERK, "a long password", "t", made_ms, [right]
        )
    refused("new", lambda: do(fleet, proposals.approve, number, "", "sora"))
    assert at(fleet, number).state is State.WAITING
    fleet.clock.pass_s(WAIT_MS // 1000)
    do(fleet, proposals.approve, number, "", "sora")


def test_a_proposal_whose_day_has_come_is_not_approved(fleet: VirtualFleet) -> None:
    number = proposed(fleet, table(day=TODAY + datetime.timedelta(1)))
    fleet.clock.pass_s(86_400)
    refused("past", lambda: do(fleet, proposals.approve, number, "", "sora"))


def test_drafts_have_a_limit(fleet: VirtualFleet) -> None:
    for number in range(proposals.OPEN_MAX):
        drafted(fleet, table(f"v{number:02}"))
    refused("many", lambda: drafted(fleet, table("v99")))


def test_a_table_is_not_proposed_while_an_example_is_answered_otherwise_than_it_says(
    fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = drafted(fleet, table())
    book = RULEBOOKS[PASS]
    wrong = dataclasses.replace(book.examples[0], code=Code.EXPIRED)
    monkeypatch.setitem(RULEBOOKS, PASS, dataclasses.replace(book, examples=(wrong,)))
    refused("broken", lambda: do(fleet, proposals.propose, number, "hana"))
