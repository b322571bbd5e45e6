"""What an audit proves, and everything that somebody with the database in hand could try."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from fleet import evidence, evidence_db
from fleet.evidence_db import Scope
from fleet.gaps import GAP_AFTER_S, HoleClock
from fleet.ingest import sweep
from fleet.proof import prove
from fleet.verdict import Proof
from tests.fleet.virtual import Journal, VirtualFleet, VirtualReader, pinned_key
from wire.codes import Code
from wire.envelope import Purpose, Signer, key_id, open_proven
from wire.messages import Batch, Status
from wire.topics import Leaf

DAY_MS = 24 * 3_600_000


def judged(fleet: VirtualFleet, scope: Scope | None = None) -> Proof:
    scope = scope or Scope()
    with fleet.store.read() as connection:
        return prove(evidence_db.facts(connection, "kazasu-shi", scope), pinned_key(fleet.town))


def rides(fleet: VirtualFleet, name: str = "bus-1", taps: int = 8) -> tuple[VirtualReader, Journal]:
    """A reader with one journal in the ledger, sent in three batches."""
    reader = fleet.reader(name)
    journal = reader.journal().taps(taps)
    for first, last in ((1, 3), (4, 5), (6, len(journal.entries))):
        fleet.through((reader, journal.batch(first, last)))
    return reader, journal


def tamper(fleet: VirtualFleet, sql: str, **values: Any) -> None:
    """Change the ledger as somebody who owns the database and its triggers."""
    with fleet.store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("alter table entry disable trigger user")
        else:
            for verb in ("update", "delete"):
                connection.exec_driver_sql(f"drop trigger if exists entry_no_{verb}")
        assert connection.execute(sa.text(sql), values).rowcount > 0


def test_an_untouched_ledger_is_proven_by_its_readers_signatures(fleet: VirtualFleet) -> None:
    _, one = rides(fleet)
    rides(fleet, "bus-2")
    proof = judged(fleet)
    assert (proof.verdict, proof.exceptions, proof.faults) == ("proven", {}, {})
    assert (proof.readers, proof.journals, proof.entries, proof.signatures) == (2, 2, 18, 2)
    first = proof.tips[0]
    assert (first.journal, first.n, first.tip, first.signed_through) == (one.id, 9, one.tip, 9)


def other_body(fleet: VirtualFleet, journal: Journal) -> None:
    body = journal.entries[3].body.replace(b"hold-again", b"unknown")
    tamper(fleet, "update entry set body = :body where n = 4", body=body)


def other_chain(fleet: VirtualFleet, journal: Journal) -> None:
    """The whole rest of the chain worked out anew: only the signature can tell."""
    forged = Journal(journal.reader, journal.id)
    for n, one in enumerate(journal.entries, 1):
        forged.write_bytes(one.body.replace(b'"mono_ms":4', b'"mono_ms":9') if n == 4 else one.body)
    for n, one in enumerate(forged.entries, 1):
        sql = "update entry set body = :body, hash = :hash where n = :n"
        tamper(fleet, sql, body=one.body, hash=one.tip, n=n)
    before, tip = forged.entries[4].tip, forged.tip
    tamper(fleet, "update journal set seen_hash = :t, signed_before = :b", t=tip, b=before)


def other_column(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "update entry set outcome = 'accepted', rider_pays_yen = 0 where n = 4")


def entry_removed(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "delete from entry where n = 5")


def tail_removed(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "delete from entry where n > 7")


def tail_and_marks_removed(fleet: VirtualFleet, journal: Journal) -> None:
    tamper(fleet, "delete from entry where n > 7")
    tip = journal.entries[6].tip
    tamper(
        fleet, "update journal set seen = 7, through = 7, spans = '[[1, 7]]', seen_hash = :h", h=tip
    )


def signature_replaced(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "update journal set signature = :other", other=bytes(70))


def key_replaced(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "update journal set signed_key = '0123456789abcdef'")


def entry_moved(fleet: VirtualFleet, _: Journal) -> None:
    tamper(fleet, "update entry set n = 99 where n = 9")


ATTACKS: list[tuple[Callable[[VirtualFleet, Journal], None], str]] = [
    (other_body, "chain"),
    (other_chain, "signature"),
    (other_column, "unlike"),
    (entry_removed, "entries-missing"),
    (tail_removed, "entries-missing"),
    (tail_and_marks_removed, "signature-incomplete"),
    (signature_replaced, "signature"),
    (key_replaced, "key-unknown"),
    (entry_moved, "number"),
]


@pytest.mark.parametrize(
    ("attack", "found"), ATTACKS, ids=lambda one: getattr(one, "__name__", one)
)
def test_a_ledger_that_was_changed_is_not_proven(
    fleet: VirtualFleet, attack: Callable[[VirtualFleet, Journal], None], found: str
) -> None:
    _, journal = rides(fleet)
    attack(fleet, journal)
    proof = judged(fleet)
    assert proof.verdict == "broken"
    assert found in proof.faults
    assert fleet.command("audit", "verify") == 2
    assert fleet.command("audit", "verify", "--reader", "kazasu-shi/bus-2") == 0


def test_a_journal_that_vanished_is_named_by_the_one_after_it(fleet: VirtualFleet) -> None:
    bus, first = rides(fleet)
    second = bus.journal(first.former).taps(2)
    third = bus.journal(second.former).taps(2)
    fleet.through((bus, second.all()), (bus, third.all()))
    assert judged(fleet).verdict == "proven"
    gone = "journal_id = (select id from journal where journal = :name)"
    tamper(fleet, f"delete from entry where {gone}", name=second.id)
    tamper(fleet, "delete from journal where journal = :name", name=second.id)
    proof = judged(fleet)
    assert proof.faults == {"former-unknown": 1}
    assert proof.faults_listed[0].detail == second.id


def test_a_journal_whose_end_was_exchanged_is_told_by_the_one_after_it(
    fleet: VirtualFleet,
) -> None:
    bus, first = rides(fleet)
    other = first.former
    wrong = msgspec.structs.replace(other, tip=bytes(32))
    second = bus.journal(wrong)
    fleet.through((bus, second.all()))
    assert judged(fleet).faults == {"former-differs": 1}


@pytest.mark.parametrize("whole_reader", [True, False], ids=["only", "newest"])
def test_a_journal_that_its_reader_named_last_cannot_vanish(
    fleet: VirtualFleet, whole_reader: bool
) -> None:
    bus, journal = rides(fleet)
    if not whole_reader:
        journal = bus.journal(journal.former).taps(2)
        fleet.through((bus, journal.all()))
    n = len(journal.entries)
    status = Status(1, True, fleet.clock.at_ms, "1", journal=journal.id, n=n, tip=journal.tip)
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    assert judged(fleet).verdict == "proven"
    gone = "journal_id = (select id from journal where journal = :name)"
    tamper(fleet, f"delete from entry where {gone}", name=journal.id)
    tamper(fleet, "delete from journal where journal = :name", name=journal.id)
    proof = judged(fleet)
    assert (proof.verdict, proof.faults) == ("broken", {"journal-missing": 1})
    (told,) = proof.faults_listed
    assert (told.reader, told.journal, told.last) == (bus.name, journal.id, n)


def test_a_journal_that_only_a_status_named_is_a_tail(fleet: VirtualFleet) -> None:
    bus, journal = rides(fleet)
    fresh = bus.journal(journal.former)
    status = Status(1, True, fleet.clock.at_ms, "1", journal=fresh.id, n=1, tip=fresh.tip)
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    proof = judged(fleet)
    assert (proof.faults, proof.exceptions) == ({}, {"tail": 1})


def test_another_key_under_a_readers_key_id_proves_nothing(
    fleet: VirtualFleet, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Journal, signature and key forged together: the id is what was noted at enrolment."""
    bus, journal = rides(fleet)
    ((noted,),) = fleet.rows("select key_id from reader_key where reader = 'kazasu-shi/bus-1'")
    assert judged(fleet).tips[0].keys == [noted]
    thief = ec.generate_private_key(ec.SECP256R1())
    last = journal.batch(6, 9)
    key = thief.public_key()
    sealed = Signer(thief).seal(Purpose.BATCH, bus.name, last)
    _, proven = open_proven(sealed, Purpose.BATCH, bus.name, key, key_id(key), Batch)
    tamper(fleet, "update journal set signature = :forged", forged=proven.signature)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, spki).decode()
    with fleet.store.write() as connection:
        for verb in ("update", "delete"):
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"drop trigger if exists reader_key_no_{verb}")
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("alter table reader_key disable trigger user")
        connection.execute(
            sa.text("update reader_key set public_key = :pem where reader = :name"),
            {"pem": pem, "name": bus.name},
        )
    proof = judged(fleet)
    assert (proof.verdict, proof.faults) == ("broken", {"key-differs": 1})
    assert proof.tips[0].keys == [key_id(key)]
    assert proof.fleet_key == key_id(pinned_key(fleet.town))
    page = tmp_path / "page.html"
    capfd.readouterr()
    assert fleet.command("audit", "verify", "--json", "--page", str(page)) == 2
    said = json.loads(capfd.readouterr().out)["proof"]
    for name in (proof.fleet_key, *proof.tips[0].keys):
        assert name in page.read_text("utf-8")
    assert (said["fleet_key"], said["tips"][0]["keys"]) == (proof.fleet_key, proof.tips[0].keys)


# --- what is missing and answered for ------------------------------------------------------------


def age(fleet: VirtualFleet) -> None:
    clock = HoleClock()
    for now_ns in (0, GAP_AFTER_S * 1_000_000_000):
        with fleet.store.write() as connection:
            sweep(connection, clock, now_ns, fleet.clock.at_ms)


def test_gaps_are_exceptions_with_who_closed_them_and_why(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(9)
    fleet.through((bus, journal.batch(1, 3)), (bus, journal.batch(6, 7)))
    fleet.through((bus, journal.batch(8, 10, lost=2)))
    assert judged(fleet).exceptions.get("hole") == 1
    age(fleet)
    proof = judged(fleet)
    assert proof.verdict == "exceptions"
    assert (proof.exceptions["gap"], proof.exceptions["lost"]) == (1, 1)
    numbers = {(one.kind, one.first, one.last) for one in proof.listed}
    assert {("gap", 4, 5), ("lost", 8, 9)} <= numbers
    ((number,),) = fleet.rows("select id from gap where cause = 'not-arrived'")
    assert fleet.command("gaps", "write-off", str(number), "運転日報で確認") == 0
    written = [one for one in judged(fleet).listed if one.kind == "written-off"]
    assert [(one.first, one.last, one.why) for one in written] == [(4, 5, "運転日報で確認")]
    assert written[0].who.startswith("cli:")
    assert fleet.command("audit", "verify") == 1


def unvouched(proof: Proof) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in proof.listed if one.kind == "unvouched"]


def test_what_stands_before_a_hole_is_not_vouched_for_by_the_signature_behind_it(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(9)
    fleet.through((bus, journal.batch(1, 3)), (bus, journal.batch(6, 6)))
    fleet.through((bus, journal.batch(7, 9, lost=1)))
    assert unvouched(judged(fleet)) == [(1, 3), (6, 6)]
    fleet.through((bus, journal.batch(4, 5)))
    assert unvouched(judged(fleet)) == [(1, 6)]
    fleet.through((bus, journal.batch(7, 7)), (bus, journal.batch(10, 10)))
    assert unvouched(judged(fleet)) == []
    assert judged(fleet).exceptions == {}


def test_a_loss_at_the_end_leaves_nothing_vouched_for(fleet: VirtualFleet) -> None:
    bus, journal = rides(fleet)
    journal.taps(3)
    fleet.through((bus, journal.batch(10, 12, lost=3)))
    assert unvouched(judged(fleet)) == [(1, 9)]


def test_the_signature_reaches_through_what_is_set_aside_with_its_bytes(
    fleet: VirtualFleet,
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(2)
    journal.write_bytes(b'{"kind":"not yet known"}')
    journal.taps(2)
    fleet.through((bus, journal.batch(1, 5)), (bus, journal.batch(6, 6)))
    assert judged(fleet).exceptions == {"quarantine": 1}


@pytest.mark.parametrize(
    ("reason", "exceptions", "faults"),
    [
        ("entry", {}, {"entries-missing": 1}),
        ("chain", {"hole": 1, "unvouched": 1}, {}),
    ],
)
def test_what_was_taken_in_from_quarantine_stands_among_the_entries(
    fleet: VirtualFleet, reason: str, exceptions: dict[str, int], faults: dict[str, int]
) -> None:
    _, journal = rides(fleet)
    taken_in = """insert into quarantine (received_at_ms, reader, topic, reason, detail, payload,
        sha256, times, journal_id, first, last, hash, resolved_at_ms, resolved_by, resolved_how)
        select 1, reader, '', :reason, '', :body, hash, 1, journal_id, n, n, hash, 1, 'x', 'y'
        from entry join journal on journal.id = journal_id where n = 4"""
    tamper(fleet, taken_in, reason=reason, body=journal.entries[3].body)
    assert judged(fleet).verdict == "proven"
    tamper(fleet, "delete from entry where n = 4")
    proof = judged(fleet)
    assert (proof.exceptions, proof.faults) == (exceptions, faults)


def test_what_the_reader_says_it_wrote_and_has_not_sent_is_named(fleet: VirtualFleet) -> None:
    bus, journal = rides(fleet)
    at_ms = fleet.clock.at_ms
    status = Status(1, True, at_ms, "1", journal=journal.id, n=12, tip=bytes(32))
    fleet.hear(bus.say(Purpose.STATUS, status, Leaf.STATUS))
    proof = judged(fleet)
    assert [(one.kind, one.first, one.last) for one in proof.listed] == [("tail", 10, 12)]


def test_a_copied_disk_and_what_could_not_be_read_are_exceptions(fleet: VirtualFleet) -> None:
    bus, journal = rides(fleet)
    one, two = bus.journal(journal.former), bus.journal(journal.former)
    two.write_bytes(b'{"kind":"not yet known"}')
    fleet.through((bus, one.all()))
    fleet.through((bus, two.all()))
    proof = judged(fleet)
    assert proof.verdict == "exceptions"
    assert (proof.exceptions["fork"], proof.exceptions["quarantine"]) == (1, 1)


# --- scopes, bundles, pages ----------------------------------------------------------------------


def test_a_period_proves_the_journals_of_which_something_came_then(fleet: VirtualFleet) -> None:
    bus, journal = rides(fleet)
    began_ms = fleet.clock.at_ms
    fleet.clock.at_ms += DAY_MS
    for _ in range(3):
        journal.tap(code=Code.OK, rider_pays_yen=50, at_ms=fleet.clock.at_ms)
    fleet.through((bus, journal.batch(10, 12)))
    rides(fleet, "bus-2", 5)
    of_day = judged(fleet, Scope(None, began_ms + 1, None))
    assert (of_day.verdict, of_day.journals, of_day.entries_in_scope) == ("proven", 2, 9)
    assert of_day.entries == 18
    assert of_day.sums["senior-pass"].accepted == 3
    assert of_day.sums["senior-pass"].rider_pays_yen == 150
    before = judged(fleet, Scope(bus.name, None, began_ms + 1))
    assert (before.journals, before.entries_in_scope) == (1, 9)
    none = judged(fleet, Scope(None, began_ms + 9 * DAY_MS, None))
    assert (none.verdict, none.journals, none.entries) == ("proven", 0, 0)


def test_a_bundle_proves_the_same_on_a_machine_without_database(
    fleet: VirtualFleet, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bus, _ = rides(fleet)
    rides(fleet, "bus-2")
    path, key = tmp_path / "bundle.jsonl", fleet.town.folder / "fleet" / "signing.pub"
    assert fleet.command("audit", "export", "--reader", bus.name, str(path)) == 0
    capfd.readouterr()
    assert fleet.command("audit", "verify", "--json", "--reader", bus.name) == 0
    here = json.loads(capfd.readouterr().out)
    code = "import sys; from fleet.cli import main; sys.exit(main())"
    argv = ["--config", "/nowhere", "audit", "verify", "--bundle", str(path)]
    command = [sys.executable, "-c", code, *argv, "--fleet-key", str(key), "--json"]
    there = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(there.stdout)["proof"] == here["proof"]
    assert json.loads(there.stdout)["audit"]["digest"] == here["audit"]["digest"]


def test_a_bundle_that_was_cut_changed_or_sealed_by_another_is_refused(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    rides(fleet)
    path, key = tmp_path / "bundle.jsonl", fleet.town.folder / "fleet" / "signing.pub"
    assert fleet.command("audit", "export", str(path)) == 0
    lines = path.read_bytes().splitlines(keepends=True)
    spoilt = {
        "cut": lines[:-2],
        "without seal": lines[:-1],
        "without an entry": [*lines[:-3], *lines[-2:]],
        "more behind": [*lines, lines[-2]],
        "changed": [line.replace(b"received_at_ms", b"received_at_mS") for line in lines],
        "moved": [line.replace(b'"n":0', b'"n":1') for line in lines],
        "no bundle": [b"{}\n"],
        "empty": [],
    }
    for name, some in spoilt.items():
        path.write_bytes(b"".join(some))
        argv = ("audit", "verify", "--bundle", str(path), "--fleet-key", str(key))
        assert fleet.command(*argv) != 0, name
    path.write_bytes(b"".join(lines))
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(evidence.EvidenceRefused, match="not sealed"):
        list(evidence.read_bundle(path, other))


def test_the_page_stands_alone_and_says_what_was_found(fleet: VirtualFleet, tmp_path: Path) -> None:
    rides(fleet)
    page = tmp_path / "page.html"
    assert fleet.command("audit", "verify", "--page", str(page)) == 0
    text = page.read_text("utf-8")
    digest = judged(fleet).digest().hex()
    assert digest in text
    assert "証明できました。例外はありません。" in text
    assert "Proven, without exception." in text
    assert "http" not in text
    assert "<script" not in text


def test_an_audit_is_kept_signed_for_who_asks_later(fleet: VirtualFleet) -> None:
    rides(fleet)
    assert fleet.command("audit", "verify") == 0
    ((verdict, entries, digest),) = fleet.rows("select verdict, entries, digest from audit_run")
    assert (verdict, entries, bytes(digest)) == ("proven", 9, judged(fleet).digest())
    with pytest.raises(sa.exc.DatabaseError), fleet.store.write() as connection:
        connection.exec_driver_sql("delete from audit_run")


def test_usage_that_is_not_the_sum_of_entries_is_a_fault(fleet: VirtualFleet) -> None:
    rides(fleet)
    row = {"p": "senior-pass", "period": "2026", "c": "ab" * 16}
    with fleet.store.write() as connection:
        connection.execute(
            sa.text(
                "insert into usage (programme, period, credential, times, yen)"
                " values (:p, :period, :c, 3, 150)"
            ),
            row,
        )
    proof = judged(fleet)
    assert proof.faults == {"usage": 1}
    assert row["c"] not in msgspec.json.encode(proof).decode()


@given(cut=st.integers(1, 60), turned=st.integers(0, 255))
def test_no_bytes_make_it_fail_otherwise_than_by_a_sentence(
    cut: int, turned: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    head = evidence.Head(1, "kazasu-shi", None, None, None)
    line = bytearray(msgspec.json.encode(head) + b"\n")
    line[cut % len(line)] = turned
    path = tmp_path_factory.mktemp("bundle") / "b"
    path.write_bytes(bytes(line))
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(evidence.EvidenceRefused):
        prove(evidence.read_bundle(path, key), key)
