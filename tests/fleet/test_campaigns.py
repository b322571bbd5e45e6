"""Members move from one scheme to another, and keep their history."""

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet import campaigns, desk, members, terms, usage
from fleet.config import Databases
from fleet.members import NewMember
from fleet.roster_files import RosterArchive
from fleet.schema import campaign as campaign_table
from fleet.schema import card, member
from fleet.triage import assign, waiting
from programmes.calendar import local_day
from tests.fleet.moving_kit import DAY_MS, NEW, OLD, PASS, Rider, credential_of, enrol, whose
from tests.fleet.test_members import ENGLISH, write
from tests.fleet.test_reconcile import build, findings
from tests.fleet.virtual import NOON_MS, VirtualFleet, make_fleet, on_rosters, pinned_key, terms_of
from tests.fleet.virtual import bus as bus_place
from tests.fleet.virtual import desk as desk_place
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.envelope import Purpose
from wire.messages import Status, Triage
from wire.roster import Moving, RosterHeader
from wire.topics import Leaf

UNTIL = datetime.date(2026, 6, 30)
AFTER_MS = NOON_MS + 28 * DAY_MS
"""The day after the deadline."""
MOVE = ("campaign", "start", PASS, "--from", OLD.value, "--to", NEW.value)


@pytest.fixture
def moving(fleet: VirtualFleet) -> VirtualFleet:
    """A fleet with two members who are to move."""
    enrol(fleet, 1)
    enrol(fleet, 2)
    assert fleet.command(*MOVE, "--until", str(UNTIL)) == 0
    return fleet


def header(fleet: VirtualFleet, place: str = "bus-1") -> RosterHeader:
    """Return the newest roster's header at a place, built now."""
    versions = {one.place: one.version for one in build(fleet)}
    key = pinned_key(fleet.town)
    archive = RosterArchive(fleet.store, fleet.config.state_folder, fleet.config.tenant, key)
    roster = archive.get(PASS, place, versions[place])
    assert roster is not None
    found = roster.header
    archive.close()
    return found


def names(fleet: VirtualFleet, number: int) -> tuple[str, str]:
    """Return what a card was known as, and is to be."""
    return credential_of(fleet, number, OLD), credential_of(fleet, number, NEW)


def rostered(fleet: VirtualFleet) -> set[str]:
    return {row.credential for row in on_rosters(fleet, fleet.clock.now_ms())}


def progress(fleet: VirtualFleet) -> campaigns.Progress:
    with fleet.people.read() as connection:
        day = local_day(fleet.clock.now_ms())
        return campaigns.progress(connection, terms.latest(connection)[PASS], day)


# --- at readers ----------------------------------------------------------------------------------


def test_rosters_say_so_while_a_campaign_runs_and_only_then(fleet: VirtualFleet) -> None:
    enrol(fleet, 1)
    enrol(fleet, 2, NEW)
    before = header(fleet)
    assert (before.moving, before.schemes) == (None, [NEW, OLD])
    assert fleet.command(*MOVE, "--until", str(UNTIL)) == 0
    during = header(fleet)
    assert (during.moving, during.schemes) == (Moving(OLD, NEW), [OLD, NEW])
    fleet.clock.at_ms = AFTER_MS
    after = header(fleet)
    assert (after.moving, after.schemes) == (None, [NEW])


def test_a_tap_moves_a_member_and_the_history_stays_whole(moving: VirtualFleet) -> None:
    rider = Rider(moving)
    rider.pull()
    old, new = names(moving, 1)
    first = rider.tap(1)
    assert (first.credential, first.older_credential, first.code) == (new, old, Code.OK)
    rider.send()
    assert whose(moving) == {old: "1", new: "1", names(moving, 2)[0]: "2"}
    assert rostered(moving) == {old, new, names(moving, 2)[0]}
    moving.clock.pass_s(3600)
    rider.pull()
    second = rider.tap(1)
    assert (second.credential, second.code) == (new, Code.OK)
    rider.send()
    assert findings(moving) == []
    with moving.people.read() as people, moving.store.read() as connection:
        member_id = people.scalar(sa.select(card.c.member_id).where(card.c.credential == new))
        assert member_id is not None
        cards = usage.cards_of(people, member_id)
        used = usage.of_member(connection, PASS, cards, NOON_MS)
    assert {one.times for one in used.values()} == {2}


def test_the_old_credential_is_good_until_the_deadline_and_not_after(moving: VirtualFleet) -> None:
    rider = Rider(moving)
    rider.pull()
    old, new = names(moving, 1)
    rider.tap(1)
    rider.send()
    moving.clock.at_ms = AFTER_MS - DAY_MS  # the last day
    rider.pull()
    assert rider.tap(1, apdus=2).credential == old
    rider.send()
    moving.clock.at_ms = AFTER_MS
    assert rostered(moving) == {new}
    rider.pull()
    assert rider.tap(1).credential == new
    assert rider.tap(2).code is Code.UNKNOWN
    rider.send()
    assert findings(moving) == []


def test_a_reader_that_hears_of_nothing_closes_on_the_day(moving: VirtualFleet) -> None:
    """It holds the list of before the deadline, which says until when the old card is good."""
    rider = Rider(moving)
    rider.pull()
    moving.clock.at_ms = AFTER_MS
    tap = rider.tap(2)
    assert tap.outcome is Outcome.REFUSED
    rider.send()
    assert names(moving, 2)[1] in rostered(moving)  # but who has held it has moved


def test_a_reader_of_before_the_campaign_lets_them_on_and_the_city_bears_it(
    fleet: VirtualFleet,
) -> None:
    enrol(fleet, 1)
    rider = Rider(fleet)
    rider.pull()
    assert fleet.command(*MOVE, "--until", str(UNTIL)) == 0
    fleet.clock.at_ms = AFTER_MS
    tap = rider.tap(1)
    assert (tap.code, tap.older_credential) == (Code.OK, None)
    rider.send()
    assert [kind for _, kind, *_ in findings(fleet)] == ["roster-lag"]


def test_what_comes_late_takes_nothing_back(moving: VirtualFleet) -> None:
    """An older key epoch's move, which a reader kept for weeks, only adds to the history."""
    rider = Rider(moving)
    rider.pull()
    rider.tap(1)
    rider.send()
    old, new = names(moving, 1)
    late, older = "ab" * 16, old
    journal = moving.reader("bus-2").journal()
    journal.tap(
        code=Code.OK, scheme=OLD, key_epoch=2, credential=late, older_credential=older, roster=1
    )
    moving.through((moving.reader("bus-2"), journal.all()))
    assert whose(moving)[late] == "1"
    with moving.people.read() as connection:
        present = card.select().where(card.c.superseded_at_ms.is_(None))
        found = {row.credential for row in connection.execute(present)}
    assert found == {new, names(moving, 2)[0]}


def test_no_reader_moves_a_card_to_a_scheme_without_a_campaign(fleet: VirtualFleet) -> None:
    enrol(fleet, 1)
    build(fleet)
    old, new = names(fleet, 1)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(
        code=Code.OK, scheme=NEW, key_epoch=1, credential=new, older_credential=old, roster=1
    )
    fleet.through((bus, journal.all()))
    assert rostered(fleet) == {old}
    assert whose(fleet) == {old: "1", new: "1"}  # the tap is the member's all the same


def test_a_campaign_that_goes_back_brings_the_old_credential_back(moving: VirtualFleet) -> None:
    rider = Rider(moving)
    rider.pull()
    rider.tap(1)
    rider.send()
    assert moving.command("campaign", "stop", PASS, "J-LISの回答待ち") == 0
    back = ("campaign", "start", PASS, "--from", NEW.value, "--to", OLD.value)
    assert moving.command(*back, "--until", str(UNTIL)) == 0
    moving.clock.pass_s(3600)
    rider.pull()
    old, new = names(moving, 1)
    tap = rider.tap(1)
    assert (tap.credential, tap.older_credential) == (old, new)
    rider.send()
    moving.clock.at_ms = AFTER_MS
    assert rostered(moving) == {old, names(moving, 2)[0]}
    assert findings(moving) == []


def test_stopping_leaves_all_as_it_is(moving: VirtualFleet) -> None:
    rider = Rider(moving)
    rider.pull()
    rider.tap(1)
    rider.send()
    assert moving.command("campaign", "stop", PASS, "J-LISの回答待ち") == 0
    assert moving.command("campaign", "stop", PASS, "again") == 1
    assert header(moving).moving is None
    old, new = names(moving, 1)
    assert rostered(moving) == {old, new, names(moving, 2)[0]}
    moving.clock.at_ms = AFTER_MS
    assert rostered(moving) == {new, names(moving, 2)[0]}
    rider.pull()
    assert [rider.tap(number).credential for number in (1, 2)] == [new, names(moving, 2)[0]]
    rider.send()
    assert findings(moving) == []


def test_a_place_with_an_older_agent_hears_nothing_that_it_would_refuse(
    moving: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, agent in (("bus-1", "0.1.0"), ("bus-2", "0.2.0")):
        reader = moving.reader(place)
        status = Status(v=1, online=True, at_ms=NOON_MS, agent=agent)
        moving.hear(reader.say(Purpose.STATUS, status, Leaf.STATUS))
    assert header(moving, "bus-1").moving is None
    assert header(moving, "bus-2").moving == Moving(OLD, NEW)
    assert moving.command("campaign", "stop", PASS, "too early") == 0
    capsys.readouterr()
    assert moving.command(*MOVE, "--until", str(UNTIL)) == 0
    assert "1 places take no part until their agents are updated: bus-1" in capsys.readouterr().out


# --- at a desk, and by a list --------------------------------------------------------------------


@pytest.fixture
def office(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path, [bus_place("bus-1"), desk_place()], databases.url)
    enrol(made, 1)
    yield made
    made.close()


def hold_at_desk(office: VirtualFleet, number: int, scheme: Scheme) -> int:
    """Hold a card that no list knows at the desk's reader; return its number in the list."""
    message = Triage(
        v=1,
        at_ms=NOON_MS,
        programme=PASS,
        scheme=scheme,
        key_epoch=1,
        credential=credential_of(office, number, scheme),
        journal="cd" * 16,
        n=2,
    )
    office.take(office.reader("desk-1").say(Purpose.TRIAGE, message, Leaf.TRIAGE))
    with office.people.read() as connection:
        return waiting(connection, office.clock.now_ms())[0].id


def test_a_desk_moves_a_member_and_the_old_card_is_good_until_the_deadline(
    office: VirtualFleet,
) -> None:
    """The certificate was renewed: no reader finds the old serial on this card any more."""
    assert office.command(*MOVE, "--until", str(UNTIL)) == 0
    number = hold_at_desk(office, 7, NEW)
    with office.people.write() as connection:
        stranger = desk.see_stranger(connection, number)
        assert stranger is not None
        assign(connection, number, "1", "hana", NOON_MS)
        _, card_id = desk.assigned_card(connection, PASS, "1")
    old, new = credential_of(office, 1, OLD), credential_of(office, 7, NEW)
    assert rostered(office) == {old, new}
    assert (progress(office).moved, progress(office).missing) == (1, 0)
    office.clock.at_ms = AFTER_MS
    assert rostered(office) == {new}
    office.clock.at_ms = NOON_MS
    with office.people.write() as connection:
        desk.take_back(connection, card_id, stranger, "hana", NOON_MS)
    assert (rostered(office), progress(office).missing) == ({old}, 1)


def test_nobody_is_enrolled_by_the_scheme_that_members_leave(office: VirtualFleet) -> None:
    assert office.command(*MOVE, "--until", str(UNTIL)) == 0
    number = hold_at_desk(office, 8, OLD)
    with office.people.write() as connection:
        members.enrol(connection, PASS, NewMember("A-9", "佐藤一郎"), "hana", NOON_MS)
        with pytest.raises(terms.SchemeRefused, match="enrol by common-ap"):
            assign(connection, number, "A-9", "hana", NOON_MS)


def test_a_list_moves_members_and_lost_cards_stay_stopped(
    moving: VirtualFleet, tmp_path: Path
) -> None:
    with moving.people.write() as connection:
        lost = connection.scalar(
            sa.select(card.c.id).join(member).where(member.c.registration_number == "2")
        )
        assert lost is not None
        connection.execute(
            card.update().where(card.c.id == lost).values(stopped_from_ms=NOON_MS - 1)
        )
    lines = [
        [
            str(number),
            f"山田{number}",
            "",
            "",
            names(moving, number)[1],
            "common-ap",
            "1",
            "",
            "",
            "",
        ]
        for number in (1, 2)
    ]
    path = write(tmp_path / "new.csv", *lines, headings=ENGLISH[: len(lines[0])])
    assert moving.command("members", "import", str(path), "--programme", PASS) == 0
    with moving.people.read() as connection:
        rows = connection.execute(card.select().order_by(card.c.id)).all()
    states = {row.credential: row.superseded_at_ms is None for row in rows}
    assert states == {
        names(moving, 1)[0]: False,
        names(moving, 2)[0]: True,
        names(moving, 1)[1]: True,
        names(moving, 2)[1]: True,
    }
    stops = {str(row.credential): row.stopped_from_s for row in on_rosters(moving)}
    assert stops[names(moving, 2)[0]] is not None
    assert stops[names(moving, 2)[1]] is None


def test_a_card_that_a_list_enrolled_before_the_campaign_is_one_card_when_it_is_read_by_both(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    enrol(fleet, 1)
    old, new = names(fleet, 1)
    line = ["1", "山田1", "", "", new, "common-ap", "1", "", "", ""]
    path = write(tmp_path / "new.csv", line, headings=ENGLISH[: len(line)])
    assert fleet.command("members", "import", str(path), "--programme", PASS) == 0
    assert fleet.command(*MOVE, "--until", str(UNTIL)) == 0
    assert progress(fleet).missing == 1
    rider = Rider(fleet)
    rider.pull()
    rider.tap(1)
    rider.send()
    assert (progress(fleet).moved, progress(fleet).missing) == (1, 0)
    fleet.clock.at_ms = AFTER_MS
    assert rostered(fleet) == {new}
    assert (whose(fleet)[old], findings(fleet)) == ("1", [])


# --- how far it has come -------------------------------------------------------------------------


def test_who_is_missing_is_counted_and_listed(
    moving: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rider = Rider(moving)
    rider.pull()
    rider.tap(1)
    rider.send()
    found = progress(moving)
    assert (found.state, found.moved, found.missing, found.percent) == ("running", 1, 1, 50)
    assert found.days == ((datetime.date(2026, 6, 3), 1),)
    path = tmp_path / "missing.csv"
    capsys.readouterr()
    assert moving.command("campaign", "missing", PASS, "--csv", str(path)) == 0
    assert list(csv.reader(path.read_text("utf-8-sig").splitlines())) == [
        ["registration_number", "name", "kana"],
        ["2", "山田2", ""],
    ]
    assert moving.command("campaign", "missing", PASS, "--csv", str(path)) == 1
    assert moving.command("campaign", "status") == 0
    said = capsys.readouterr().out
    assert f"{PASS}\tjpki-auth\tcommon-ap\t{UNTIL}\trunning\t1\t1\t50\t1" in said
    moving.clock.at_ms = AFTER_MS
    assert (progress(moving).state, progress(moving).missing) == ("over", 1)


def test_who_may_not_ride_any_more_is_not_missing(moving: VirtualFleet) -> None:
    by = ("--programme", PASS)
    assert moving.command("members", "stop", "1", "転出", *by) == 0
    with moving.people.write() as connection:
        connection.execute(
            member.update()
            .where(member.c.registration_number == "2")
            .values(valid_to=datetime.date(2026, 5, 31))
        )
    assert progress(moving).missing == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--from", "common-ap", "--to", "common-ap", "--until", "2026-07-01"), "name two"),
        (("--from", "jpki-auth", "--to", "common-ap", "--until", "2026-06-02"), "deadline"),
        (("--from", "jpki-auth", "--to", "common-ap", "--until", "2031-01-01"), "deadline"),
        (("--from", "felica-idm", "--to", "common-ap", "--until", "2026-07-01"), "no member"),
    ],
)
def test_a_campaign_that_cannot_be_meant_is_refused(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], why: str
) -> None:
    enrol(fleet, 1)
    assert fleet.command("campaign", "start", PASS, *options) == 1
    assert why in capsys.readouterr().err


def test_one_campaign_runs_at_a_time_and_one_that_is_over_may_be_begun_again(
    moving: VirtualFleet,
) -> None:
    assert moving.command(*MOVE, "--until", "2026-07-31") == 1
    moving.clock.at_ms = AFTER_MS
    assert rostered(moving) == set()
    assert moving.command(*MOVE, "--until", "2026-07-31") == 0
    assert rostered(moving) == {names(moving, 1)[0], names(moving, 2)[0]}


def test_campaigns_are_never_changed(moving: VirtualFleet) -> None:
    for statement in (campaign_table.delete(), campaign_table.update().values(until=UNTIL)):
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            moving.people.write() as connection,
        ):
            connection.execute(statement)
    assert terms_of(moving).moving == Moving(OLD, NEW)
