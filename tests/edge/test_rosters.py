"""What a reader holds: only what is signed and whole, in order, with its age across restarts."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge.panel import Condition, RosterCurrent, RosterReady
from edge.roster import EPOCHS_MAX, HoldingRefused, Rosters
from hw.sim.antenna import Antenna
from tests.edge.reader_kit import (
    ATTENDANCE,
    OPEN_ROW,
    PASS,
    ReaderKit,
    identifier,
    lift,
    make_reader,
    my_number_card,
    running,
)
from wire.codes import Code
from wire.credential import Scheme
from wire.envelope import Signer

CARD = my_number_card(1)
NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


@pytest.fixture
def kit(tmp_path: Path) -> ReaderKit:
    return make_reader(tmp_path, "udp:127.0.0.1:1", programmes=(PASS, ATTENDANCE))


def loaded(kit: ReaderKit) -> Rosters:
    rosters = Rosters(kit.config)
    assert rosters.load() == []
    return rosters


def current(version: int, at_ms: int) -> RosterCurrent:
    return RosterCurrent(programme=PASS, version=version, at_ms=at_ms)


def age_s(rosters: Rosters) -> int:
    return rosters.holdings[0].age_s(NOW_MS)


def test_an_empty_reader_holds_nothing(kit: ReaderKit) -> None:
    rosters = loaded(kit)
    assert (rosters.holdings, rosters.versions(), rosters.keys_sha256) == ([], {}, None)
    assert rosters.schemes("106B") == []


def test_a_roster_without_its_key_cannot_decide(kit: ReaderKit) -> None:
    kit.give_roster(PASS, [])
    rosters = loaded(kit)
    assert rosters.holdings == []
    kit.key(PASS)
    kit.give_keys()
    rosters.take_keys()
    assert rosters.versions() == {PASS: 1}


def adopted(rosters: Rosters) -> list[HoldingRefused]:
    """Wait for what is verified beside, as a card half that looks between two cards."""
    deadline = time.monotonic() + 10
    while True:
        before = rosters.versions()
        if (refused := rosters.adopt()) or rosters.versions() != before:
            return refused
        assert time.monotonic() < deadline, "nothing was verified"
        time.sleep(0.001)


def test_a_roster_is_verified_beside_and_used_between_two_cards(kit: ReaderKit) -> None:
    kit.enrol(CARD, version=1)
    rosters = loaded(kit)
    former = rosters.holdings[0].roster
    kit.enrol(CARD, version=2)
    rosters.open_beside(PASS)
    assert former.find(kit.credential(PASS, Scheme.COMMON_AP, CARD))
    assert rosters.versions() == {PASS: 1}  # until somebody looks
    assert adopted(rosters) == []
    assert rosters.versions() == {PASS: 2}
    noise = rosters.path(PASS, "noise")
    noise.write_bytes(b"noise")
    noise.replace(rosters.path(PASS, "roster"))
    rosters.open_beside(PASS)
    (refused,) = adopted(rosters)
    assert "no roster" in str(refused)
    rosters.open_beside("taxi")
    (refused,) = adopted(rosters)
    assert "no programme of this place" in str(refused)
    assert rosters.versions() == {PASS: 2}
    assert rosters.look_up(Scheme.COMMON_AP, bytearray(_digits())).member


_opened: list[tuple[str, str]] = []
"""Files opened or mapped and the thread that did so, while it is listened to."""
_listening = threading.Event()


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _listening.is_set():
        _opened.append((Path(str(arguments[0])).name, threading.current_thread().name))


sys.addaudithook(_hear)


def test_the_thread_that_decides_never_reads_a_roster_while_it_serves(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "bus", antenna.device)
    kit.enrol(CARD, version=1)
    with running(kit) as link:
        link.ready()
        kit.enrol(CARD, version=2)
        _opened.clear()
        _listening.set()
        link.say(RosterReady(programme=PASS))
        link.until(Condition, lambda condition: condition.rosters == {PASS: 2})
        _listening.clear()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert {thread for name, thread in _opened if name == f"{PASS}.roster"} == {"rosters"}
    assert kit.taps()[0].roster == 2


def test_what_a_card_booked_under_its_former_key_is_its_own_after_it_moved(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "bus", antenna.device)
    for epoch in (1, 2):
        kit.key(PASS, epoch)
    kit.give_keys()
    old, new = (kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch) for epoch in (1, 2))
    kit.give_roster(PASS, [OPEN_ROW._replace(credential=old)], version=1, epoch=1)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        lift(antenna)
        kit.give_roster(PASS, [OPEN_ROW._replace(credential=new)], version=2, epoch=2)
        link.say(RosterReady(programme=PASS))
        link.until(Condition, lambda condition: condition.rosters == {PASS: 2})
        antenna.place(CARD)
        assert link.shown().code is Code.REPEAT
    assert [tap.credential for tap in kit.taps()] == [old, new]


def test_a_card_is_known_under_each_epoch_held_also_after_it_moved(kit: ReaderKit) -> None:
    for epoch in (1, 2):
        kit.key(PASS, epoch)
    kit.give_keys()
    old, new = (kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch) for epoch in (1, 2))
    kit.give_roster(PASS, [OPEN_ROW._replace(credential=new)], epoch=2)
    match = loaded(kit).look_up(Scheme.COMMON_AP, bytearray(_digits()))
    assert (match.credential, match.older_credential, match.under) == (new, None, (new, old))


def test_the_age_counts_from_what_the_fleet_said_and_survives_a_restart(kit: ReaderKit) -> None:
    kit.enrol(CARD, version=5, at_ms=NOW_MS - 9 * HOUR_MS)
    rosters = loaded(kit)
    assert age_s(rosters) == 9 * 3600
    rosters.take_current(current(5, NOW_MS - HOUR_MS))
    assert age_s(rosters) == 3600
    assert age_s(loaded(kit)) == 3600


def test_what_the_fleet_says_of_another_version_makes_this_one_no_younger(kit: ReaderKit) -> None:
    kit.enrol(CARD, version=5, at_ms=NOW_MS - 9 * HOUR_MS)
    rosters = loaded(kit)
    rosters.take_current(current(6, NOW_MS))
    assert age_s(rosters) == 9 * 3600
    kit.enrol(CARD, version=6, at_ms=NOW_MS - 2 * HOUR_MS)
    rosters.take_roster(PASS)
    assert age_s(rosters) == 0  # what was said of it before it came


def test_a_torn_note_of_the_age_makes_the_roster_older_never_younger(kit: ReaderKit) -> None:
    kit.enrol(CARD, at_ms=NOW_MS - 9 * HOUR_MS)
    rosters = loaded(kit)
    rosters.take_current(current(1, NOW_MS))
    rosters.path(PASS, "current").write_bytes(b'{"version":1,"at')
    assert age_s(loaded(kit)) == 9 * 3600


def test_an_age_is_never_negative(kit: ReaderKit) -> None:
    kit.enrol(CARD, at_ms=NOW_MS + HOUR_MS)
    assert age_s(loaded(kit)) == 0


def test_a_roster_of_another_signer_place_or_programme_is_refused(kit: ReaderKit) -> None:
    kit.enrol(CARD, version=3)
    rosters = loaded(kit)
    good = rosters.path(PASS, "roster").read_bytes()
    kit.fleet, honest = Signer(ed25519.Ed25519PrivateKey.generate()), kit.fleet
    kit.give_roster(PASS, [], version=4)
    with pytest.raises(HoldingRefused):
        rosters.take_roster(PASS)
    kit.fleet = honest
    rosters.path(ATTENDANCE, "roster").write_bytes(good)
    with pytest.raises(HoldingRefused):
        rosters.take_roster(ATTENDANCE)
    with pytest.raises(HoldingRefused):
        rosters.take_roster("taxi")
    assert rosters.versions() == {PASS: 3}
    assert rosters.look_up(Scheme.COMMON_AP, bytearray(_digits())).member


def _digits() -> bytes:
    return identifier(CARD, Scheme.COMMON_AP)


@pytest.mark.parametrize("damage", [b"", b"KAZASU", os.urandom(2000)])
def test_a_file_that_is_no_roster_is_refused_and_reported(kit: ReaderKit, damage: bytes) -> None:
    kit.enrol(CARD)
    rosters = Rosters(kit.config)
    rosters.path(PASS, "roster").write_bytes(damage)
    assert len(rosters.load()) == 1
    assert rosters.holdings == []


def test_keys_sealed_to_another_reader_are_refused_and_the_former_stay(kit: ReaderKit) -> None:
    kit.enrol(CARD)
    rosters = loaded(kit)
    former = rosters.keys_sha256
    kit.sealing = ec.generate_private_key(ec.SECP256R1())
    kit.give_keys()
    with pytest.raises(HoldingRefused):
        rosters.take_keys()
    assert rosters.keys_sha256 == former
    assert rosters.versions() == {PASS: 1}


def test_a_key_ahead_of_the_roster_is_not_used(kit: ReaderKit) -> None:
    for epoch in (1, 2, 3):
        kit.key(PASS, epoch)
    kit.give_keys()
    row = OPEN_ROW._replace(credential=kit.credential(PASS, Scheme.COMMON_AP, CARD, 2))
    kit.give_roster(PASS, [row], epoch=2)
    match = loaded(kit).look_up(Scheme.COMMON_AP, bytearray(_digits()))
    assert (match.key_epoch, match.credential, match.older_credential) == (2, row.credential, None)


def test_only_the_present_epoch_and_the_one_before_are_tried(kit: ReaderKit) -> None:
    for epoch in range(1, 2 + EPOCHS_MAX):
        kit.key(PASS, epoch)
    kit.give_keys()
    row = OPEN_ROW._replace(credential=kit.credential(PASS, Scheme.COMMON_AP, CARD, 1))
    kit.give_roster(PASS, [row], epoch=1 + EPOCHS_MAX)
    assert loaded(kit).look_up(Scheme.COMMON_AP, bytearray(_digits())).member is None


def test_schemes_are_the_union_in_the_order_of_programmes(kit: ReaderKit) -> None:
    kit.key(PASS)
    kit.key(ATTENDANCE)
    kit.give_keys()
    kit.give_roster(PASS, [], schemes=(Scheme.JPKI_AUTH, Scheme.FELICA_IDM))
    kit.give_roster(ATTENDANCE, [], schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH))
    rosters = loaded(kit)
    assert [s.name for s in rosters.schemes("106B")] == [Scheme.JPKI_AUTH, Scheme.COMMON_AP]
    assert [s.name for s in rosters.schemes("212F")] == [Scheme.FELICA_IDM]
    assert rosters.schemes("106A") == []


def test_the_same_card_has_unrelated_credentials_in_two_programmes(kit: ReaderKit) -> None:
    a, b = (kit.credential(name, Scheme.COMMON_AP, CARD) for name in (PASS, ATTENDANCE))
    assert a != b
