from typing import Any

import msgspec

from tests.fleet.virtual import NOON_MS, VirtualFleet
from wire.codes import Code
from wire.envelope import Purpose, open_envelope
from wire.messages import (
    HISTOGRAM_EDGES_US,
    Histogram,
    RosterHeld,
    Status,
    Telemetry,
    TwinDesired,
    TwinReported,
)
from wire.topics import Leaf

JOURNAL = "ab" * 16


def status(**changes: Any) -> Status:
    values: dict[str, Any] = {
        "v": 1,
        "online": True,
        "at_ms": NOON_MS,
        "agent": "agent-1",
        "front_end": "PN532",
        "ready": True,
        "journal": JOURNAL,
        "n": 7,
        "waiting": 3,
        "rosters": [RosterHeld("senior-pass", 4, 60)],
    }
    return Status(**(values | changes))


def say(fleet: VirtualFleet, body: msgspec.Struct, purpose: Purpose, leaf: Leaf) -> Any:
    message = fleet.reader("bus-1").say(purpose, body, leaf)
    shared = leaf in (Leaf.TELEMETRY, Leaf.TRIAGE)
    return fleet.take(message) if shared else fleet.hear(message)


def minute(**changes: Any) -> Telemetry:
    counts = [0] * (len(HISTOGRAM_EDGES_US) + 1)
    counts[3] = 5
    values: dict[str, Any] = {
        "v": 1,
        "from_ms": NOON_MS,
        "to_ms": NOON_MS + 60_000,
        "stages": {"host": Histogram(counts, 1_200)},
        "counters": {"tap.ok": 5},
    }
    return Telemetry(**(values | changes))


def test_a_status_is_kept_and_names_who_came_online(fleet: VirtualFleet) -> None:
    assert say(fleet, status(), Purpose.STATUS, Leaf.STATUS) == {"kazasu-shi/bus-1"}
    say(fleet, status(ready=False, trouble=Code.DEVICE_FAULT), Purpose.STATUS, Leaf.STATUS)
    (row,) = fleet.rows(
        "select online, ready, trouble, journal, n, waiting, connections from reader_state"
    )
    assert row == (1, 0, "device-fault", JOURNAL, 7, 3, 1)
    assert fleet.rows("select claimed from journal") == [(7,)]


def test_a_last_will_says_only_that_the_reader_is_gone(fleet: VirtualFleet) -> None:
    say(fleet, status(), Purpose.STATUS, Leaf.STATUS)
    fleet.clock.pass_s(1)
    will = status(online=False, n=0, waiting=0, ready=False)
    assert say(fleet, will, Purpose.STATUS, Leaf.STATUS) == set()
    (row,) = fleet.rows("select online, ready, n, waiting from reader_state")
    assert row == (0, 1, 7, 3)
    fleet.clock.pass_s(1)
    say(fleet, status(), Purpose.STATUS, Leaf.STATUS)
    assert fleet.rows("select connections from reader_state") == [(2,)]
    online = fleet.rows("select online from online_change order by at_ms")
    assert online == [(True,), (False,), (True,)]


def test_a_farewell_tells_of_entries_that_have_not_come(fleet: VirtualFleet) -> None:
    say(fleet, status(), Purpose.STATUS, Leaf.STATUS)
    say(fleet, status(online=False, n=9), Purpose.STATUS, Leaf.STATUS)
    assert fleet.rows("select claimed from journal") == [(9,)]


def test_a_text_that_postgresql_cannot_keep_is_a_bad_message_on_both(fleet: VirtualFleet) -> None:
    say(fleet, status(agent="a\0b"), Purpose.STATUS, Leaf.STATUS)
    counted = msgspec.structs.replace(minute(), counters={"tap.\0": 5})
    say(fleet, counted, Purpose.TELEMETRY, Leaf.TELEMETRY)
    assert fleet.rows("select leaf from bad_message order by leaf") == [("status",), ("telemetry",)]
    say(fleet, status(), Purpose.STATUS, Leaf.STATUS)
    assert fleet.rows("select agent from reader_state") == [("agent-1",)]


def test_what_the_twin_reports_is_kept_beside_the_status(fleet: VirtualFleet) -> None:
    reported = TwinReported(
        v=1,
        at_ms=NOON_MS,
        agent="agent-1",
        rosters=[RosterHeld("senior-pass", 4, 60)],
        keys=bytes(32),
        trouble="no roster yet",
    )
    say(fleet, reported, Purpose.TWIN_REPORTED, Leaf.TWIN_REPORTED)
    say(fleet, status(), Purpose.STATUS, Leaf.STATUS)
    ((kept, online),) = fleet.rows("select cast(reported as text), online from reader_state")
    assert online == 1
    assert msgspec.json.decode(kept)["trouble"] == "no roster yet"


def test_what_is_not_taken_in_is_counted_by_reader_and_reason(fleet: VirtualFleet) -> None:
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    say(fleet, minute(stages={"lunch": minute().stages["host"]}), Purpose.TELEMETRY, Leaf.TELEMETRY)
    forged = other.say(Purpose.STATUS, status(), Leaf.STATUS)
    fleet.take(bus.raw(forged.payload, Leaf.STATUS), bus.raw(b"{", Leaf.TWIN_REPORTED))
    assert sorted(fleet.rows("select reader, leaf, reason, count from bad_message")) == [
        (bus.name, "status", "not-signed", 1),
        (bus.name, "telemetry", "telemetry", 1),
        (bus.name, "twin/reported", "malformed", 1),
    ]
    assert fleet.rows("select * from reader_state") == []
    assert fleet.rows("select * from stage_minute") == []


def test_readers_are_told_the_time_and_nothing_of_other_places(fleet: VirtualFleet) -> None:
    from tests.fleet.test_reconcile import build
    from tests.fleet.virtual import pinned_key

    build(fleet)
    fleet.command("readers", "revoke", "kazasu-shi/bus-2", "stolen")
    (letter,) = fleet.dispatch.twins(fleet.dispatch.in_service())
    assert (letter.topic, letter.retain) == ("kazasu/1/kazasu-shi/bus-1/twin/desired", True)
    key = pinned_key(fleet.town)
    name = "kazasu-shi/bus-1"
    wish = open_envelope(letter.payload, Purpose.TWIN_DESIRED, name, key, TwinDesired)
    assert wish.at_ms == fleet.clock.now_ms()
    assert [one.programme for one in wish.rosters] == ["senior-pass"]


def test_an_opened_lid_stands_before_operators_until_somebody_clears_it(
    fleet: VirtualFleet,
) -> None:
    say(fleet, minute(counters={"head.was-cut": 1}), Purpose.TELEMETRY, Leaf.TELEMETRY)
    assert fleet.alarms() == set()
    for times in (1, 2):
        opened = minute(counters={"head.opened": times})
        say(fleet, opened, Purpose.TELEMETRY, Leaf.TELEMETRY)
        assert fleet.alarms() == {"opened"}
