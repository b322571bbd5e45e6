"""A scheme is used on a stated ground, and no longer than that holds."""

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge.schemes import REGISTER
from fleet import members, schemes, terms
from fleet.config import Databases
from fleet.members import NewMember
from fleet.schema import scheme_statement
from fleet.scheme_facts import CHANGES, FACTS, GROUND, SIGN, text_id
from fleet.triage import assign, waiting
from programmes.calendar import local_day, start_of_day_ms
from programmes.texts import LANGUAGES, catalogue
from tests.fleet.moving_kit import DAY_MS, PASS, Rider, enrol
from tests.fleet.test_campaigns import header, hold_at_desk
from tests.fleet.test_members import GOOD, change, imported, listed, write
from tests.fleet.test_reconcile import findings
from tests.fleet.virtual import NOON_MS, SIGNED, VirtualFleet, bus, desk, make_fleet, on_rosters
from wire.codes import Code
from wire.credential import Scheme
from wire.envelope import Purpose
from wire.messages import Triage
from wire.topics import Leaf

COMMON = Scheme.COMMON_AP
LAST = datetime.date(2026, 6, 30)
LAST_MS = NOON_MS + 27 * DAY_MS


@pytest.fixture
def office(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path, [bus("bus-1"), desk()], databases.url)
    yield made
    made.close()


def end(fleet: VirtualFleet, scheme: Scheme = COMMON, last: datetime.date = LAST) -> int:
    return fleet.command("schemes", "end", PASS, scheme, "契約満了", "--on", str(last))


def row(fleet: VirtualFleet, scheme: Scheme = COMMON) -> schemes.Row:
    with fleet.people.read() as connection:
        found = schemes.overview(connection, PASS, local_day(fleet.clock.now_ms()))
    return next(one for one in found if one.scheme is scheme)


# --- enrolment -----------------------------------------------------------------------------------


def test_a_list_with_a_scheme_that_is_not_switched_on_is_refused_and_says_what_to_do(
    fleet: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["members", "import", str(write(tmp_path / "a.csv", GOOD)), "--programme"]
    assert fleet.command(*command, "attendance") == 1
    said = capsys.readouterr().err
    assert "common-ap is not switched on for attendance" in said
    assert "kazasu-fleet schemes state" in said
    assert fleet.command("schemes", "state", "attendance", "common-ap", *SIGNED) == 0
    assert fleet.command(*command, "attendance") == 0


def test_a_card_at_a_desk_is_not_assigned_by_a_scheme_that_has_ended(
    office: VirtualFleet,
) -> None:
    number = hold_at_desk(office, 1, COMMON)
    assert end(office, last=local_day(NOON_MS) - datetime.timedelta(1)) == 0
    with office.people.write() as connection:
        members.enrol(connection, PASS, NewMember("A-1", "佐藤一郎"), "hana", NOON_MS)
        with pytest.raises(terms.SchemeRefused) as refused:
            assign(connection, number, "A-1", "hana", NOON_MS)
    assert refused.value.reason == "ended"


def test_a_strangers_card_is_not_listed_by_a_scheme_that_has_ended(office: VirtualFleet) -> None:
    assert end(office, last=local_day(NOON_MS) - datetime.timedelta(1)) == 0
    message = Triage(
        v=1, at_ms=NOON_MS, programme=PASS, scheme=COMMON, key_epoch=1,
        credential="ab" * 16, journal="cd" * 16, n=2,
    )  # fmt: skip
    office.take(office.reader("desk-1").say(Purpose.TRIAGE, message, Leaf.TRIAGE))
    with office.people.read() as connection:
        assert waiting(connection, NOON_MS) == []


def test_what_is_enrolled_already_may_be_listed_again_when_its_scheme_has_ended(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    assert imported(fleet, path) == 0
    assert end(fleet, last=local_day(NOON_MS) - datetime.timedelta(1)) == 0
    assert imported(fleet, write(path, change(name="佐藤花子"))) == 0
    assert [one.name for one in listed(fleet)] == ["佐藤花子"]
    new = change(registration_number="A-2", credential="ab" * 16)
    assert imported(fleet, write(path, new)) == 1


# --- rosters and readers -------------------------------------------------------------------------


def test_a_roster_names_only_what_is_stated(fleet: VirtualFleet) -> None:
    enrol(fleet, 1)
    enrol(fleet, 2, COMMON)
    assert header(fleet).schemes == [COMMON, Scheme.JPKI_AUTH]
    assert end(fleet, Scheme.JPKI_AUTH, local_day(NOON_MS) - datetime.timedelta(1)) == 0
    assert header(fleet).schemes == [COMMON]
    assert len(on_rosters(fleet)) == 1


def test_members_go_on_until_the_last_day_and_no_reader_lets_them_on_after_it(
    fleet: VirtualFleet,
) -> None:
    enrol(fleet, 1, COMMON)
    assert end(fleet) == 0
    offline, online = Rider(fleet), Rider(fleet, "bus-2")
    offline.pull()
    fleet.clock.at_ms = LAST_MS
    online.pull()
    assert [one.tap(1).code for one in (offline, online)] == [Code.OK, Code.OK]
    fleet.clock.at_ms = start_of_day_ms(LAST + datetime.timedelta(1))
    online.pull()
    assert [one.tap(1).code for one in (offline, online)] == [Code.EXPIRED, Code.CARD_NOT_USABLE]
    for one in (offline, online):
        one.send()
    assert findings(fleet) == []


def test_a_reader_that_has_not_heard_of_an_end_is_borne_by_the_city(fleet: VirtualFleet) -> None:
    enrol(fleet, 1, COMMON)
    rider = Rider(fleet)
    rider.pull()
    assert end(fleet) == 0
    fleet.clock.at_ms = LAST_MS + DAY_MS
    assert rider.tap(1).code is Code.OK
    rider.send()
    assert [kind for _, kind, *_ in findings(fleet)] == ["roster-lag"]


def test_a_desks_reader_tries_what_a_clerk_may_enrol_by(office: VirtualFleet) -> None:
    every = [COMMON, Scheme.JPKI_AUTH, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN, Scheme.CARD_AP]
    assert header(office, "desk-1").schemes == every
    assert header(office, "bus-1").schemes == []
    for scheme in (Scheme.JPKI_AUTH, Scheme.CARD_AP):
        assert end(office, scheme, local_day(NOON_MS) - datetime.timedelta(1)) == 0
    assert header(office, "desk-1").schemes == [COMMON, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN]


def test_a_stop_still_counts_before_the_end_of_a_scheme(fleet: VirtualFleet) -> None:
    enrol(fleet, 1, COMMON)
    assert end(fleet) == 0
    assert fleet.command("members", "stop", "1", "lost", "--programme", PASS) == 0
    (one,) = on_rosters(fleet)
    assert (one.stopped_from_s, one.valid_to) == (NOON_MS // 1000, LAST)


# --- statements ----------------------------------------------------------------------------------


def test_a_statement_says_who_signs_and_on_what_ground(fleet: VirtualFleet) -> None:
    told = row(fleet).newest
    assert told is not None
    assert (told.signed_by, told.office) == ("福祉部長 高橋", "高齢福祉課")
    assert (told.kind, told.ground_date) == ("stated", datetime.date(2026, 3, 1))
    assert told.who.startswith("cli:")


def test_next_years_statement_takes_nothing_away_from_this_years(fleet: VirtualFleet) -> None:
    enrol(fleet, 1, COMMON)
    assert end(fleet) == 0
    following = [*SIGNED[:-1], "2026-07-01", "--to", "2027-06-30"]
    assert fleet.command("schemes", "state", PASS, COMMON, *following) == 0
    assert (row(fleet).state, row(fleet).last) == ("on", datetime.date(2027, 6, 30))
    assert len(on_rosters(fleet, LAST_MS)) == len(on_rosters(fleet, LAST_MS + DAY_MS)) == 1


def test_a_statement_for_later_is_not_in_force_yet(fleet: VirtualFleet, tmp_path: Path) -> None:
    later = [*SIGNED[:-1], "2026-07-01"]
    assert fleet.command("schemes", "state", "attendance", COMMON, *later) == 0
    path = str(write(tmp_path / "a.csv", GOOD))
    assert fleet.command("members", "import", path, "--programme", "attendance") == 1
    fleet.clock.at_ms = LAST_MS + DAY_MS
    assert fleet.command("members", "import", path, "--programme", "attendance") == 0


@pytest.mark.parametrize(
    ("days", "state"), [(61, "on"), (59, "ends-soon"), (0, "ends-soon"), (-1, "ended")]
)
def test_an_end_is_warned_of_two_months_before(
    fleet: VirtualFleet, days: int, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(fleet, 1, COMMON)
    last = local_day(NOON_MS) + datetime.timedelta(days)
    assert end(fleet, last=last) == 0
    assert (row(fleet).state, row(fleet).days_left, row(fleet).cards) == (state, days, 1)
    with fleet.people.read() as connection:
        warned = schemes.warnings(connection, local_day(NOON_MS), PASS)
    assert [one.scheme for one in warned] == [COMMON] * (state != "on")
    capsys.readouterr()
    assert fleet.command("schemes", "list", "--programme", PASS) == 0
    lines = list(csv.reader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    assert lines[1][:2] == [PASS, "common-ap"]
    assert lines[1][2].startswith(state)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--signed-by", " "),
        ("--office", ""),
        ("--ground", "x" * 201),
        ("--dated", "1999-12-31"),
        ("--from", "2200-01-01"),
        ("--to", "2026-02-28"),
    ],
)
def test_a_statement_that_says_nothing_is_refused(
    fleet: VirtualFleet, option: str, value: str
) -> None:
    words = [*SIGNED, "--to", "2027-03-31"]
    words[words.index(option) + 1] = value
    assert fleet.command("schemes", "state", "attendance", COMMON, *words) == 1
    with fleet.people.read() as connection:
        assert schemes.statements(connection, "attendance") == []


def test_an_end_is_said_once_and_with_a_reason(fleet: VirtualFleet) -> None:
    assert end(fleet) == 0
    assert end(fleet) == 1
    assert end(fleet, last=LAST - datetime.timedelta(1)) == 0
    assert fleet.command("schemes", "end", PASS, COMMON, " ") == 1
    assert fleet.command("schemes", "end", "attendance", COMMON, "never stated") == 1


def test_statements_are_never_changed(fleet: VirtualFleet) -> None:
    changes = (scheme_statement.delete(), scheme_statement.update().values(ground="another"))
    for statement in changes:
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            fleet.people.write() as connection,
        ):
            connection.execute(statement)


# --- facts ---------------------------------------------------------------------------------------


def test_every_scheme_has_its_facts_in_both_languages() -> None:
    assert set(FACTS) == set(Scheme)
    for language in LANGUAGES:
        for scheme in Scheme:
            for part in (GROUND, SIGN, CHANGES):
                assert catalogue(language)[text_id(scheme, part)]


def test_fleet_and_readers_agree_on_which_cards_a_scheme_is_for() -> None:
    for scheme, read in REGISTER.items():
        assert FACTS[scheme].technology == read.technology
