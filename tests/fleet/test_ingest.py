import datetime
from typing import Any

import msgspec
import pytest

from fleet import quarantine
from fleet.books import Books
from fleet.grants import Role
from fleet.overview import read_minutes
from fleet.store import open_fleet
from tests.fleet.virtual import NOON_MS, VirtualFleet, make_tap
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Answer, Press, Redirect, encode
from wire.envelope import Purpose, Signer


def test_a_batch_is_stored_byte_for_byte_and_acknowledged(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(3)
    assert fleet.through((bus, journal.all())) == [4]
    assert fleet.stored() == {(journal.id, one.n): one.body for one in journal.entries}


def test_a_batch_that_comes_again_is_recognised(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(5)
    assert fleet.through((bus, journal.all())) == [6]
    before = fleet.stored()
    for first, last in ((1, 6), (3, 6), (6, 6), (2, 4)):
        assert fleet.through((bus, journal.batch(first, last))) == [6]
    assert fleet.stored() == before
    assert fleet.rows("select sum(count) from entry_minute") == [(6,)]
    assert fleet.alarms() == set()


def test_a_rider_let_on_because_the_reader_is_broken_is_no_refusal_in_the_minute(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(code=Code.DEVICE_FAULT)
    journal.write(
        Press(
            v=1,
            n=3,
            at_ms=NOON_MS,
            mono_ms=1,
            clock=ClockState.SYNCHRONISED,
            programme="senior-pass",
            button="device-fault",
        )
    )
    fleet.through((bus, journal.all()))
    with fleet.store.write() as connection:
        connection.exec_driver_sql("update place set by_hour = false")  # many are members here
    store = open_fleet(fleet.config.databases, Role.CONSOLE)
    with store.read() as connection:
        minutes = read_minutes(connection, fleet.clock.now_ms())
    store.close()
    assert [(one.accepted, one.refused) for one in minutes if one.total] == [(1, 1)]


def test_what_a_person_says_of_a_tap_is_kept_and_is_no_presentation(fleet: VirtualFleet) -> None:
    school = fleet.reader("bus-1")
    journal = school.journal()
    card: dict[str, Any] = {"scheme": Scheme.FELICA_IDM, "key_epoch": 1, "credential": "ab" * 16}
    journal.write(make_tap(2, code=Code.OK, programme="attendance", declared="away", **card))
    said: dict[str, Any] = {"v": 1, "at_ms": NOON_MS, "mono_ms": 1}
    said |= card | {"programme": "attendance", "clock": ClockState.SYNCHRONISED}
    journal.write(Redirect(**said, n=3, of_journal=journal.id, of_n=2, declared="out"))
    day = datetime.date(2026, 6, 2)
    journal.write(Answer(**said, n=4, missing="back", day=day, claimed_at_ms=NOON_MS - 1))
    journal.write(Answer(**said, n=5, missing="out", day=day))
    assert fleet.through((school, journal.all())) == [5]
    assert fleet.stored() == {(journal.id, one.n): one.body for one in journal.entries}
    told = (
        "select kind, credential, scheme, declared, outcome, code from entry where n > 1 order by n"
    )
    assert fleet.rows(told) == [
        ("tap", "ab" * 16, "felica-idm", "away", "accepted", "ok"),
        ("redirect", "ab" * 16, "felica-idm", "out", None, None),
        ("answer", "ab" * 16, "felica-idm", "back", None, None),
        ("answer", "ab" * 16, "felica-idm", "out", None, None),
    ]
    assert fleet.rows("select kind from finding") == []
    assert fleet.rows("select reason from quarantine") == []
    counted = "select sum(count) from entry_minute where programme = 'attendance' and code <> ''"
    assert fleet.rows(counted) == [(1,)]


def test_a_commit_whose_answer_was_never_sent_is_recognised_by_the_next_process(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(5)
    fleet.take(bus.message(journal.all()))
    fleet.books.close()
    fleet.books = Books(fleet.config, fleet.clock)
    assert fleet.through((bus, journal.all())) == [6]
    assert fleet.rows("select count(*) from entry") == [(6,)]
    assert fleet.rows("select sum(count) from entry_minute") == [(6,)]


def test_several_readers_share_a_group_and_each_is_answered(fleet: VirtualFleet) -> None:
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    first, second = one.journal().taps(2), two.journal().taps(4)
    batches = ((one, first.batch(1, 2)), (two, second.all()), (one, first.batch(3, 3)))
    assert sorted(fleet.through(*batches)) == [3, 5]


def test_other_bytes_for_the_same_number_are_both_kept_and_alarm(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(3)
    fleet.through((bus, journal.all()))
    stored = fleet.stored()
    other = bus.journal()
    other.id = journal.id
    other.entries = journal.entries[:2]
    other.tap(code=Code.TWO_CARDS)
    other.tap(code=Code.TWO_CARDS)
    for _ in range(2):
        assert fleet.through((bus, other.batch(3, 4))) == [4]
        assert fleet.stored() == stored
        kept = fleet.rows("select n, body from conflict order by n")
        assert kept == [(one.n, one.body) for one in other.entries[2:]]
    assert "conflict" in fleet.alarms()


def test_an_entry_that_cannot_be_read_goes_to_quarantine_and_nothing_waits(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(1)
    unreadable = b'{"kind":"later","v":2,"n":3,"at_ms":1}'
    journal.write_bytes(unreadable)
    journal.taps(2)
    assert fleet.through((bus, journal.all())) == [5]
    (row,) = fleet.rows("select reason, payload, first, last from quarantine")
    assert row == ("entry", unreadable, 3, 3)
    assert sorted(n for _, n in fleet.stored()) == [1, 2, 4, 5]
    assert "quarantine" in fleet.alarms()
    journal.taps(1)
    assert fleet.through((bus, journal.batch(6, 6))) == [6]


def test_an_entry_with_another_number_than_its_place_is_set_aside(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    stranger = bus.journal().taps(7).entries[-1].body
    journal.write_bytes(stranger)
    assert fleet.through((bus, journal.all())) == [2]
    assert fleet.rows("select payload from quarantine") == [(stranger,)]


def test_an_oversized_entry_is_set_aside(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.write_bytes(b'"' + b"x" * 2000 + b'"')
    journal.taps(1)
    assert fleet.through((bus, journal.all())) == [3]
    assert fleet.rows("select reason, length(payload) from quarantine") == [("entry", 2002)]


def test_a_text_that_postgresql_cannot_keep_is_set_aside_on_both(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    whole = encode(make_tap(2, category="teacher"))
    journal.write_bytes(whole.replace(b"teacher", rb"\u0000"))
    journal.write_bytes(whole.replace(b'"category"', rb'"\u0000"'))
    journal.taps(1)
    assert fleet.through((bus, journal.all())) == [4]
    kept = fleet.rows("select first, reason, payload from quarantine order by first")
    assert kept == [(n, "entry", journal.entries[n - 1].body) for n in (2, 3)]
    assert fleet.rows("select n from entry order by n") == [(1,), (4,)]


def test_a_signed_batch_whose_chain_does_not_hold_is_set_aside_whole(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(6)
    assert fleet.through((bus, journal.batch(1, 3))) == [3]
    broken = msgspec.structs.replace(journal.batch(4, 5), tip=bytes(32))
    assert fleet.through((bus, broken)) == [5]
    assert fleet.rows("select reason, first, last from quarantine") == [("chain", 4, 5)]
    assert len(fleet.stored()) == 3
    # The true bytes still find their place.
    assert fleet.through((bus, journal.batch(4, 5))) == [5]
    assert {n for _, n in fleet.stored()} == {1, 2, 3, 4, 5}


def test_a_batch_that_contradicts_the_chain_so_far_is_set_aside(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal, other = bus.journal().taps(3), bus.journal().taps(3)
    fleet.through((bus, journal.batch(1, 2)))
    stray = msgspec.structs.replace(other.batch(3, 4), journal=journal.id)
    assert fleet.through((bus, stray)) == [4]
    assert fleet.rows("select reason from quarantine") == [("chain",)]


def test_the_first_entry_must_follow_from_reader_and_journal(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    moved = msgspec.structs.replace(journal.all(), journal="ab" * 16)
    fleet.through((bus, moved))
    assert fleet.stored() == {}
    assert fleet.rows("select reason from quarantine") == [("chain",)]


def test_what_nobody_vouches_for_is_kept_but_never_acknowledged(fleet: VirtualFleet) -> None:
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    journal = bus.journal().taps(1)
    signed = bus.sign(journal.all())
    later = signed.replace(b'"v":1', b'"v":2', 1)
    forged = Signer(other.key).seal(Purpose.BATCH, bus.name, journal.all())
    changed = signed.replace(b'"mono_ms":2', b'"mono_ms":3')
    wrong_purpose = Signer(bus.key).seal(Purpose.STATUS, bus.name, journal.all())
    assert len({signed, later, forged, changed, wrong_purpose}) == 5
    for payload in (b"\xff{", b"x" * 90_000, later, forged, changed, wrong_purpose):
        assert fleet.take(bus.raw(payload)).acks == []
    rows = fleet.rows("select reason, payload from quarantine order by id")
    reasons = ["malformed", "too-large", "future-version", "not-signed", "not-signed", "not-signed"]
    assert [reason for reason, _ in rows] == reasons
    assert rows[1][1] == b"x" * 90_000
    assert fleet.stored() == {}
    assert fleet.through((bus, journal.all())) == [2]


def test_a_batch_said_on_another_readers_topic_is_not_taken(fleet: VirtualFleet) -> None:
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    fleet.take(other.raw(bus.sign(bus.journal().all())))
    assert fleet.stored() == {}
    assert fleet.rows("select reader, reason from quarantine") == [(other.name, "not-signed")]


def test_unverifiable_bytes_cannot_fill_the_disk(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    for number in range(quarantine.UNVERIFIED_PER_HOUR + 15):
        fleet.take(bus.raw(b"nonsense %d" % number))
    fleet.take(bus.raw(b"nonsense 0"))
    kept = quarantine.UNVERIFIED_PER_HOUR
    assert fleet.rows("select count(*) from quarantine") == [(kept,)]
    assert fleet.rows("select kept, dropped from quarantine_hour") == [(kept, 15)]
    assert fleet.rows("select times from quarantine order by id limit 1") == [(2,)]
    fleet.clock.pass_s(3600)
    fleet.take(bus.raw(b"nonsense again"))
    assert fleet.rows("select count(*) from quarantine") == [(kept + 1,)]


def test_a_bad_batch_stops_no_other_in_its_group(fleet: VirtualFleet) -> None:
    one, two = fleet.reader("bus-1"), fleet.reader("bus-2")
    first, second = one.journal().taps(2), two.journal().taps(2)
    bad = msgspec.structs.replace(first.all(), tip=bytes(32))
    done = fleet.take(one.raw(b"?"), one.message(bad), two.message(second.all()))
    assert sorted(ack.through for ack in fleet.acks(done)) == [3, 3]
    assert len(fleet.stored()) == 3


def test_a_reader_that_is_revoked_or_unknown_is_answered_nothing(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(1)
    assert fleet.command("readers", "revoke", bus.name, "stolen") == 0
    stranger = fleet.reader("bus-2")
    stranger.name = "kazasu-shi/bus-9"
    done = fleet.take(bus.message(journal.all()), stranger.message(stranger.journal().all()))
    assert done.acks == []
    assert fleet.stored() == {}
    assert sorted(fleet.rows("select reader, reason, count from bad_message")) == [
        ("?", "not-enrolled", 1),
        (bus.name, "revoked", 1),
    ]


def test_what_was_read_before_a_reader_was_revoked_is_read_again(fleet: VirtualFleet) -> None:
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    messages = [one.message(one.journal().taps(1).all()) for one in (bus, other)]
    received = [fleet.books.read(message) for message in messages]
    assert fleet.command("readers", "revoke", bus.name, "stolen") == 0
    fleet.take(other.message(other.journal().taps(1).all()))  # so the worker knows it already
    assert [reader for reader, _ in fleet.books.take(received).acks] == [other.name]
    assert fleet.rows("select distinct reader from journal") == [(other.name,)]
    assert fleet.rows("select reader, reason from bad_message") == [(bus.name, "revoked")]


def test_a_restored_ledger_says_so_in_a_new_epoch(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(1)
    (former,) = fleet.acks(fleet.take(bus.message(journal.all())))
    assert fleet.command("ledger", "restored", "disk exchanged, backup of Monday") == 0
    fleet.clock.pass_s(1)
    (ack,) = fleet.acks(fleet.take(bus.message(journal.all())))
    assert ack.epoch != former.epoch
    assert ack.at_ms > former.at_ms


def test_an_unknown_cards_credential_never_enters_the_ledger(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal()
    journal.tap(code=Code.CARD_NOT_USABLE, credential="ab" * 16)
    smuggled = journal.entries.pop().body.replace(b'"card-not-usable"', b'"unknown"', 1)
    journal.write_bytes(smuggled)
    fleet.through((bus, journal.all()))
    assert fleet.rows("select count(*) from entry where credential is not null") == [(0,)]
    assert fleet.rows("select reason from quarantine") == [("entry",)]
    with pytest.raises(ValueError, match="no credential stands in the entry"):
        journal.tap(code=Code.UNKNOWN, credential="ab" * 16)


def test_entries_are_never_changed_or_removed_whoever_asks(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    fleet.through((bus, bus.journal().taps(1).all()))
    for statement in ("update entry set code = 'ok'", "delete from entry", "delete from audit"):
        with pytest.raises(Exception, match="append-only"), fleet.store.write() as connection:
            connection.exec_driver_sql(statement)
