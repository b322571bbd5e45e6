import datetime
from typing import Any

import pytest

from fleet import members, roster_files, rosters
from fleet.books import Books, read_signing_key
from fleet.roster_files import RosterArchive
from programmes.register import rulebook
from programmes.rulebook import Booked, Facts, Place
from tests.fleet.virtual import (
    NOON_MS,
    RULES,
    Journal,
    VirtualFleet,
    add_member,
    on_rosters,
    take_in,
)
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Credential
from wire.entries import ClockStep
from wire.envelope import Signer

SYNCHRONISED = ClockState.SYNCHRONISED


def make_builder(fleet: VirtualFleet) -> rosters.Builder:
    key = read_signing_key(fleet.config.signing_key)
    state = fleet.config.state_folder
    return rosters.Builder(
        fleet.store, fleet.people, state, fleet.config.tenant, Signer(key), fleet.clock
    )


def build(fleet: VirtualFleet) -> list[rosters.Built]:
    builder = make_builder(fleet)
    refused: list[Exception] = []
    built = builder.build_changed(lambda _, error: refused.append(error))
    assert refused == []
    return built


def decided(fleet: VirtualFleet, version: int, credential: str, **known: Any) -> dict[str, Any]:
    """Return what an honest reader of bus-1 would write down."""
    key = read_signing_key(fleet.config.signing_key).public_key()
    archive = RosterArchive(fleet.store, fleet.config.state_folder, fleet.config.tenant, key)
    roster = archive.get("senior-pass", "bus-1", version)
    assert roster is not None
    at_ms = known.get("at_ms", NOON_MS)
    decision = rulebook("senior-pass").decide(
        Facts(
            at_ms,
            Place("bus-1", "bus", "1"),
            roster.find(Credential(credential)),
            roster.header.rules,
            60,
            booked=known.get("booked", ()),
        )
    )
    archive.close()
    return {
        "at_ms": at_ms,
        "outcome": decision.outcome,
        "code": decision.code,
        "rule": decision.rule,
        "rider_pays_yen": decision.rider_pays_yen,
        "credential": credential,
        "roster": version,
        "roster_age_s": 60,
    }


def test_new_entries_behind_a_resend_are_judged_too(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, card))
    fleet.through((bus, journal.all()))
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 30_000))
    fleet.through((bus, journal.all()))
    assert findings(fleet) == [(3, "replay", "repeat", "repeat", None)]
    assert fleet.rows("select unreplayed from journal") == [(0,)]


def findings(fleet: VirtualFleet) -> list[tuple[Any, ...]]:
    return fleet.rows("select n, kind, outcome, code, rider_pays_yen from finding order by n")


def test_an_honest_readers_decisions_are_repeated_without_a_finding(fleet: VirtualFleet) -> None:
    card, expired = (
        add_member(fleet, "1"),
        add_member(fleet, "2", valid_to=datetime.date(2026, 5, 1)),
    )
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, card))
    again = decided(fleet, 1, card, at_ms=NOON_MS + 30_000, booked=(Booked(NOON_MS),))
    assert again["code"] is Code.REPEAT
    journal.tap(**again)
    journal.tap(**decided(fleet, 1, expired))
    fleet.through((bus, journal.all()))
    later = decided(fleet, 1, card, at_ms=NOON_MS + 60_000, booked=(Booked(NOON_MS),))
    journal.tap(**later)
    fleet.through((bus, journal.batch(5, 5)))
    assert findings(fleet) == []
    assert fleet.alarms() == set()
    assert fleet.rows("select unreplayed from journal") == [(0,)]


def test_a_decision_that_does_not_follow_is_a_fault_and_alarms(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, card) | {"rider_pays_yen": 10})
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 30_000))
    fleet.through((bus, journal.all()))
    assert findings(fleet) == [
        (2, "replay", "accepted", "ok", 50),
        (3, "replay", "repeat", "repeat", None),
    ]
    assert fleet.alarms() == {"replay"}


def test_what_an_old_roster_let_through_stands_and_is_flagged(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    with fleet.people.write() as connection:
        members.stop(connection, "senior-pass", "1", "lost", "clerk", NOON_MS - 60_000)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS - 120_000))
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 600_000))
    fleet.through((bus, journal.all()))
    assert findings(fleet) == [(3, "roster-lag", "refused", "stop-listed", None)]
    assert fleet.rows("select outcome from entry where n = 3") == [("accepted",)]
    assert fleet.alarms() == set()


def test_each_tap_of_a_batch_is_decided_again_with_the_roster_that_it_names(
    fleet: VirtualFleet,
) -> None:
    card, other = add_member(fleet, "1"), add_member(fleet, "2")
    build(fleet)
    with fleet.people.write() as connection:
        members.stop(connection, "senior-pass", "1", "lost", "clerk", NOON_MS)
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, other, at_ms=NOON_MS - 60_000))
    journal.tap(**decided(fleet, 2, card, at_ms=NOON_MS + 60_000))
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 120_000))
    fleet.through((bus, journal.all()))
    assert fleet.rows("select n, code from entry where kind = 'tap' order by n") == [
        (2, "ok"),
        (3, "stop-listed"),
        (4, "ok"),
    ]
    assert findings(fleet) == [(4, "roster-lag", "refused", "stop-listed", None)]


def test_a_power_cut_explains_a_longer_window_but_nothing_else_does(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    first = bus.journal()
    first.tap(**decided(fleet, 1, card))

    def five_minutes_later(perhaps_not_shown: bool) -> dict[str, Any]:
        booked = Booked(NOON_MS, perhaps_not_shown=perhaps_not_shown)
        return decided(fleet, 1, card, at_ms=NOON_MS + 300_000, booked=(booked,))

    second = bus.journal(first.former)
    second.tap(**five_minutes_later(True))
    assert second.entries[-1].body.count(b'"repeat"') == 2
    fleet.through((bus, first.all()))
    fleet.through((bus, second.all()))
    assert findings(fleet) == []


def test_a_repeat_window_forgotten_over_a_restart_is_a_fault(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    first = bus.journal()
    first.tap(**decided(fleet, 1, card))
    second = bus.journal(first.former)
    second.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 20_000))
    fleet.through((bus, first.all()))
    fleet.through((bus, second.all()))
    assert findings(fleet) == [(2, "replay", "repeat", "repeat", None)]


@pytest.mark.parametrize("together", [True, False])
def test_a_clock_that_was_set_explains_a_window_that_moved(
    fleet: VirtualFleet, together: bool
) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    an_hour_ms = 3_600_000
    at_ms = NOON_MS - an_hour_ms
    journal.tap(**decided(fleet, 1, card, at_ms=at_ms))
    n = len(journal.entries) + 1
    journal.write(
        ClockStep(v=1, n=n, at_ms=NOON_MS, mono_ms=0, clock=SYNCHRONISED, step_ms=an_hour_ms)
    )
    booked = Booked(at_ms + an_hour_ms)
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 9_000, booked=(booked,)))
    for first, last in [(1, 4)] if together else [(1, 2), (3, 3), (4, 4)]:
        fleet.through((bus, journal.batch(first, last)))
    assert fleet.rows("select outcome from entry where n = 4") == [("repeat",)]
    assert findings(fleet) == []


def with_exchanged_disk(fleet: VirtualFleet, card: str) -> Journal:
    bus = fleet.reader("bus-1")
    first = bus.journal()
    first.tap(**decided(fleet, 1, card))
    fleet.through((bus, first.all()))
    return first


def test_an_exchanged_disk_explains_a_forgotten_window(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    first = with_exchanged_disk(fleet, card)
    bus = fleet.reader("bus-1")
    older = first.former
    reborn = bus.journal(type(older)(older.journal, 1, older.tip), NOON_MS + 1)
    reborn.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 20_000))
    fleet.through((bus, reborn.all()))
    assert findings(fleet) == []


def test_a_roster_that_is_no_longer_kept_is_counted_not_judged(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(**decided(fleet, 1, card) | {"roster": 99})
    fleet.through((bus, journal.all()))
    assert findings(fleet) == []
    assert fleet.rows("select unreplayed from journal") == [(1,)]


def test_a_card_found_under_the_older_key_moves_to_the_newer(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    newer = "ab" * 16
    changes = decided(fleet, 1, card) | {
        "credential": newer,
        "older_credential": card,
        "key_epoch": 2,
    }
    journal.tap(**changes)
    for _ in range(2):
        fleet.through((bus, journal.all()))
    assert findings(fleet) == []
    with fleet.people.read() as connection:
        known = members.known_cards(connection, [card, newer]).rows
        (row,) = members.find(connection, "senior-pass")
    listed = [row.credential for row in on_rosters(fleet)]
    assert set(known) == {("senior-pass", newer), ("senior-pass", card)}
    assert (listed, row.cards) == ([newer], 1)
    assert [one.version for one in build(fleet)] == [2, 2]


# --- rosters -------------------------------------------------------------------------------------


def test_a_version_goes_up_only_when_the_contents_change(fleet: VirtualFleet) -> None:
    add_member(fleet, "1")
    assert [(b.place, b.version, b.changed) for b in build(fleet)] == [
        ("bus-1", 1, True),
        ("bus-2", 1, True),
    ]
    assert [(b.version, b.changed) for b in build(fleet)] == [(1, False), (1, False)]
    add_member(fleet, "2")
    assert [(b.version, b.rows, b.changed) for b in build(fleet)] == [(2, 2, True), (2, 2, True)]


def test_a_changed_rule_table_builds_a_new_version(
    fleet: VirtualFleet, tmp_path_factory: Any
) -> None:
    build(fleet)
    table = tmp_path_factory.mktemp("rules") / "next.toml"
    table.write_text(RULES.replace("2026-04", "2027-04").replace("50", "100"), "utf-8")
    assert fleet.command("rules", "add", "senior-pass", str(table)) == 0
    assert fleet.command("rules", "add", "senior-pass", str(table)) == 0
    assert [b.version for b in build(fleet)] == [2, 2]
    table.write_text(table.read_text("utf-8").replace("100", "150"), "utf-8")
    assert fleet.command("rules", "add", "senior-pass", str(table)) == 1
    table.write_text(RULES.replace("rider_pays_yen", "rider_pays_jpy"), "utf-8")
    assert fleet.command("rules", "add", "senior-pass", str(table)) == 1


def test_the_last_forty_versions_are_kept(fleet: VirtualFleet) -> None:
    for number in range(rosters.VERSIONS_KEPT + 3):
        add_member(fleet, str(number))
        build(fleet)
    versions = fleet.rows("select version from roster where place = 'bus-1' order by version")
    assert [version for (version,) in versions] == list(range(4, rosters.VERSIONS_KEPT + 4))
    folder = fleet.config.state_folder / "rosters" / "senior-pass"
    assert len(list(folder.iterdir())) == rosters.VERSIONS_KEPT


def test_rows_lie_once_for_all_places_and_are_kept_within_their_bytes(
    fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rosters, "ROWS_BYTES_MAX", 200)  # seven rows, all versions together
    for number in range(5):
        add_member(fleet, str(number))
        build(fleet)
        add_member(fleet, f"x{number}", category="x")
    build(fleet)
    kept = fleet.rows("select distinct version, rows, rows_sha256 from roster order by version")
    assert [(version, rows) for version, rows, _ in kept] == [(6, 10)]  # the wanted one stays
    folder = fleet.config.state_folder / "rosters" / "senior-pass"
    assert [path.name for path in folder.iterdir()] == [f"{kept[0][2].hex()}.rows"]


def test_a_roster_of_before_rows_were_shared_is_built_anew(fleet: VirtualFleet) -> None:
    add_member(fleet, "1")
    build(fleet)
    former = fleet.config.state_folder / "rosters" / "senior-pass" / "bus-1"
    former.mkdir()
    (former / "1.roster").write_bytes(b"whole")
    with fleet.store.write() as connection:
        connection.exec_driver_sql("update roster set head = null, rows_sha256 = null")
    assert [(one.version, one.changed) for one in build(fleet)] == [(2, True), (2, True)]
    assert not former.exists()


def test_a_list_that_takes_long_to_build_is_built_rarely(
    fleet: VirtualFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        fleet.clock.pass_s(4)
        return write_rows(*arguments)

    write_rows = roster_files.write_rows
    monkeypatch.setattr(rosters, "write_rows", slow)
    builder = make_builder(fleet)
    builds = []
    for number in range(12):
        add_member(fleet, str(number))
        builds.append(len(builder.build_changed(refuse)))
        fleet.clock.pass_s(5)
    assert builds == [2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]


def refuse(_: str, error: Exception) -> None:
    raise error


def test_what_another_worker_took_in_is_not_overlooked(fleet: VirtualFleet) -> None:
    card, other = add_member(fleet, "1"), add_member(fleet, "2")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    worker = Books(fleet.config, fleet.clock)
    journal.tap(**decided(fleet, 1, other))
    fleet.through((bus, journal.all()))
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 10_000))
    take_in(worker, [bus.message(journal.batch(3, 3))])
    worker.close()
    journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 40_000))
    fleet.through((bus, journal.batch(4, 4)))
    assert findings(fleet) == [(4, "replay", "repeat", "repeat", None)]


def test_what_this_worker_took_in_is_remembered(fleet: VirtualFleet) -> None:
    card = add_member(fleet, "1")
    build(fleet)
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    for n, seconds in enumerate((0, 30, 200, 210), start=2):
        journal.tap(**decided(fleet, 1, card, at_ms=NOON_MS + seconds * 1000))
        fleet.through((bus, journal.batch(1 if n == 2 else n, n)))
    following = bus.journal(journal.former, NOON_MS + 220_000)
    following.tap(**decided(fleet, 1, card, at_ms=NOON_MS + 230_000))
    fleet.through((bus, following.all()))
    assert [n for n, *_ in findings(fleet)] == [2, 3, 5]
