"""The story of a tap, through the real nfcpy: who is accepted, what is kept, what is shown."""

import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.identify import CARD_MS_MAX
from edge.journal import journals
from edge.panel import (
    Appended,
    Condition,
    Counted,
    Declared,
    Pressed,
    RosterReady,
    Stranger,
    Vehicle,
)
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, Phone, StaffToken, TornAway, foreign_eid
from tests.edge.reader_kit import (
    ATTENDANCE,
    OPEN_ROW,
    PASS,
    Link,
    ReaderKit,
    lift,
    make_reader,
    my_number_card,
    running,
)
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Press, Start
from wire.messages import STAGES

CARD = my_number_card(1)
DAY_MS = 24 * 3_600_000


def test_a_known_card_is_accepted_kept_and_shown(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        link.say(Vehicle(duty="d7", stop="s3", line="1"))
        time.sleep(0.05)
        antenna.place(CARD)
        shown = link.shown()
        appended = link.until(Appended)
    assert (shown.outcome, shown.code, shown.message) == (
        Outcome.ACCEPTED, Code.OK, "senior-pass.accepted",
    )  # fmt: skip
    assert shown.arguments == {"yen": "50"}
    (tap,) = kit.taps()
    last = kit.entries()[-1]
    assert (last.n, last.tip) == (appended.n, appended.tip) == (shown.n, appended.tip)
    assert tap.credential == kit.credential(PASS, Scheme.COMMON_AP, CARD)
    assert (tap.scheme, tap.key_epoch, tap.category) == (Scheme.COMMON_AP, 1, "all")
    assert (tap.rider_pays_yen, tap.duty, tap.stop) == (50, "d7", "s3")
    assert (tap.programme, tap.shown) == (PASS, shown.message)


def test_every_stage_is_timed(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        stages = link.shown().stages_us
    assert set(stages) == set(STAGES)
    parts = sum(stages[name] for name in ("identify", "decide", "journal", "show"))
    assert abs(parts - stages["total"]) < 10
    assert 0 < stages["host"] < stages["total"]


def test_a_decision_carries_rule_roster_and_age(kit: ReaderKit, antenna: Antenna) -> None:
    """C4, for a yes, for a card that no roster knows, and for one that cannot be used."""
    built_ms = time.time_ns() // 1_000_000 - 3 * 3_600_000
    kit.enrol(CARD, version=17, at_ms=built_ms)
    with running(kit) as link:
        link.ready()
        for card in (CARD, my_number_card(2), foreign_eid(random.Random(1))):
            antenna.place(card)
            link.shown()
            lift(antenna)
    taps = kit.taps()
    assert [tap.code for tap in taps] == [Code.OK, Code.UNKNOWN, Code.CARD_NOT_USABLE]
    for tap in taps:
        assert (tap.rule, tap.roster) == ("senior-pass/2026-04", 17)
        assert 3 * 3600 <= tap.roster_age_s < 3 * 3600 + 60


def test_a_second_presentation_books_nothing(kit: ReaderKit, antenna: Antenna) -> None:
    """C3."""
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        codes = []
        for _ in range(3):
            antenna.place(CARD)
            codes.append(link.shown().code)
            lift(antenna)
    assert codes == [Code.OK, Code.REPEAT, Code.REPEAT]
    assert [tap.rider_pays_yen for tap in kit.taps()] == [50, None, None]
    assert [tap.outcome for tap in kit.taps()][1:] == [Outcome.REPEAT] * 2


def test_a_restart_opens_no_repeat_window(kit: ReaderKit, antenna: Antenna) -> None:
    """C3: nobody pays twice for a power cut; other cards of the day are remembered too."""
    other = my_number_card(2)
    kit.enrol(CARD, other, repeat_window_s=60)
    with running(kit) as link:
        link.ready()
        for card in (CARD, other):
            antenna.place(card)
            assert link.shown().code is Code.OK
            lift(antenna)
    with running(kit) as link:
        link.ready()
        for card in (CARD, other):
            antenna.place(card)
            assert link.shown().code is Code.REPEAT
            lift(antenna)
    starts = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Start)]
    assert starts[1].former
    assert starts[1].former.n == 3


def test_a_stranger_leaves_nothing(kit: ReaderKit, antenna: Antenna) -> None:
    """C12."""
    kit.enrol(CARD)
    stranger = my_number_card(99)
    with running(kit) as link:
        link.ready()
        antenna.place(stranger)
        assert link.shown().code is Code.UNKNOWN
        lift(antenna)
        heard = list(link.heard)
    (tap,) = kit.taps()
    assert (tap.credential, tap.older_credential, tap.key_epoch) == (None, None, 0)
    assert not any(isinstance(said, Stranger) for said in heard)
    _nothing_of(stranger, kit)


def _nothing_of(card: object, kit: ReaderKit) -> None:
    """Neither the card's own data nor its credential lies in any file of the reader."""
    credential = kit.credential(PASS, Scheme.COMMON_AP, card)
    for path in kit.state.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert credential.encode() not in data, path
            assert bytes.fromhex(credential) not in data, path
            assert card.data.serial.encode() not in data, path  # type: ignore[attr-defined]


def test_triage_tells_a_clerk_of_a_stranger_and_keeps_nothing(
    kit: ReaderKit, antenna: Antenna
) -> None:
    """C12."""
    kit.enrol(CARD, triage=True)
    stranger = my_number_card(99)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        link.shown()
        lift(antenna)
        antenna.place(stranger)
        shown = link.shown()
        said = link.until(Stranger)
        lift(antenna)
        assert [one for one in link.heard if isinstance(one, Stranger)] == [said]
    assert said.credential == kit.credential(PASS, Scheme.COMMON_AP, stranger)
    assert (said.n, said.journal, said.scheme) == (shown.n, shown.journal, Scheme.COMMON_AP)
    _nothing_of(stranger, kit)


def test_no_identifier_is_written_anywhere(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        link.shown()
    for path in kit.folder.rglob("*"):
        if path.is_file():
            assert CARD.data.serial.encode() not in path.read_bytes(), path


def test_a_card_under_the_older_key_is_kept_with_both_credentials(
    kit: ReaderKit, antenna: Antenna
) -> None:
    for epoch in (1, 2):
        kit.key(PASS, epoch)
    kit.give_keys()
    older = kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch=1)
    kit.give_roster(PASS, [OPEN_ROW._replace(credential=older)], epoch=2)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    (tap,) = kit.taps()
    assert (tap.credential, tap.older_credential, tap.key_epoch) == (
        kit.credential(PASS, Scheme.COMMON_AP, CARD, epoch=2), older, 2,
    )  # fmt: skip


def test_the_first_programme_that_knows_the_card_decides(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="school", programmes=(PASS, ATTENDANCE))
    teacher = my_number_card(3)
    for programme, card in ((PASS, CARD), (ATTENDANCE, teacher)):
        row = OPEN_ROW._replace(credential=kit.credential(programme, Scheme.COMMON_AP, card))
        kit.give_roster(programme, [row])
    kit.give_keys()
    with running(kit) as link:
        link.ready()
        for card in (teacher, CARD, my_number_card(4)):
            antenna.place(card)
            link.shown()
            lift(antenna)
    assert [(tap.programme, tap.code) for tap in kit.taps()] == [
        (ATTENDANCE, Code.OK), (PASS, Code.OK), (PASS, Code.UNKNOWN),
    ]  # fmt: skip


def test_the_next_scheme_is_tried_while_members_remain_under_it(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH))
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        lift(antenna)
    (tap,) = kit.taps()
    assert tap.scheme is Scheme.JPKI_AUTH


def test_a_scheme_that_the_roster_does_not_name_is_not_tried(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(8)
    kit.enrol(card, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP,))
    with running(kit) as link:
        link.ready()
        antenna.place(card)
        assert link.shown().code is Code.UNKNOWN
    assert all(apdu[5:15] != bytes.fromhex("D392F000260100000001") for apdu, _ in card.apdus)


def test_a_card_without_the_common_application_is_read_by_the_next_scheme(
    kit: ReaderKit, antenna: Antenna
) -> None:
    card = my_number_card(9, common_ap=False)
    kit.enrol(card, scheme=Scheme.JPKI_AUTH, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH))
    with running(kit) as link:
        link.ready()
        antenna.place(card)
        assert link.shown().code is Code.OK


def test_three_technologies_in_one_loop(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, technologies=("106B", "212F", "106A"))
    transit, token = FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6")), StaffToken(b"\x04" + bytes(6))
    kit.key(PASS)
    kit.give_keys()
    members = (
        (CARD, Scheme.COMMON_AP), (transit, Scheme.FELICA_IDM), (token, Scheme.STAFF_TOKEN),
    )  # fmt: skip
    rows = [OPEN_ROW._replace(credential=kit.credential(PASS, s, c)) for c, s in members]
    kit.give_roster(PASS, rows, schemes=[scheme for _, scheme in members])
    with running(kit) as link:
        link.ready()
        for card, _ in (*members, *reversed(members)):
            antenna.place(card)
            link.shown()
            lift(antenna)
    assert [tap.scheme for tap in kit.taps()[:3]] == [scheme for _, scheme in members]
    assert [tap.code for tap in kit.taps()] == [Code.OK] * 3 + [Code.REPEAT] * 3


def test_foreign_cards_and_phones_are_not_usable_and_not_kept(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, technologies=("106B", "106A"))
    kit.enrol(CARD, schemes=(Scheme.COMMON_AP, Scheme.JPKI_AUTH, Scheme.STAFF_TOKEN))
    with running(kit) as link:
        link.ready()
        for card in (
            foreign_eid(random.Random(1)),
            Phone(random.Random(2)),
            my_number_card(5, wrong_status={0xA4: 0x6A82}),
            my_number_card(6, wrong_status={0xB0: 0x6982, 0xB2: 0x6F00}),
        ):
            antenna.place(card)
            assert link.shown().code is Code.CARD_NOT_USABLE
            lift(antenna)
    assert all(tap.scheme is None and tap.credential is None for tap in kit.taps())


def test_a_slow_card_is_served(kit: ReaderKit, antenna: Antenna) -> None:
    slow = my_number_card(4, apdu_ms=120)
    kit.enrol(slow)
    with running(kit) as link:
        link.ready()
        antenna.place(slow)
        assert link.shown().code is Code.OK


def test_a_card_torn_away_is_asked_to_be_held_again_within_the_deadline(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(TornAway(my_number_card(1), frames=3))
        shown = link.shown()
        assert (shown.code, shown.message) == (Code.HOLD_AGAIN, "refused.hold-again")
        assert shown.stages_us["total"] < (CARD_MS_MAX + 150) * 1000
        assert shown.stages_us["host"] < 50_000
        lift(antenna)
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.HOLD_AGAIN, Code.OK]


class Flickering:
    """A card that leaves in the middle of its first conversation and is back at once."""

    def __init__(self, card: object) -> None:
        self._card = card
        self._frames = 0

    def reset(self) -> None:
        self._card.reset()  # type: ignore[attr-defined]

    def answer(self, technology: str, frame: bytes) -> object:
        if technology == "106B":
            self._frames += 1
        lost = 3 <= self._frames <= 4
        return None if lost else self._card.answer(technology, frame)  # type: ignore[attr-defined]


def test_a_card_that_is_back_in_time_is_served_at_once(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(Flickering(my_number_card(1)))  # type: ignore[arg-type]
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.OK]


def test_a_drivers_button_counts_a_rider_at_the_fare(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        for button in ("present-only", "device-fault"):
            link.say(Pressed(button=button))
            shown = link.shown()
            assert (shown.outcome, shown.message) == (Outcome.ACCEPTED, f"press.{button}")
            assert shown.stages_us == {}
    presses = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Press)]
    assert [(p.programme, p.button, p.rule, p.rider_pays_yen) for p in presses] == [
        (PASS, "present-only", "senior-pass/2026-04", 50),
        (PASS, "device-fault", "senior-pass/2026-04", 50),
    ]


def test_a_button_works_on_a_reader_that_has_nothing_else(kit: ReaderKit) -> None:
    """C7: 「機器故障」 is for just this."""
    with running(kit) as link:
        assert link.until(Condition).trouble is Code.DEVICE_FAULT
        link.say(Pressed(button="device-fault"))
        assert link.shown().outcome is Outcome.ACCEPTED
    (press,) = [kept.entry for kept in kit.entries() if isinstance(kept.entry, Press)]
    assert (press.rule, press.rider_pays_yen) == ("", None)


def test_attendance_has_no_drivers_button(tmp_path: Path, antenna: Antenna) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="school", programmes=(ATTENDANCE,))
    with running(kit) as link:
        link.say(Pressed(button="present-only"))
        shown = link.shown()
    assert (shown.outcome, shown.code, shown.n) == (Outcome.REFUSED, Code.NOT_ELIGIBLE, 0)
    assert [kept.n for kept in kit.entries()] == [1]


def test_a_declared_direction_holds_for_the_next_tap_alone(
    tmp_path: Path, antenna: Antenna
) -> None:
    kit = make_reader(tmp_path / "r", antenna.device, kind="school", programmes=(ATTENDANCE,))
    row = OPEN_ROW._replace(credential=kit.credential(ATTENDANCE, Scheme.COMMON_AP, CARD))
    kit.give_keys()
    kit.give_roster(ATTENDANCE, [row])
    with running(kit) as link:
        link.ready()
        link.say(Declared(direction="out"))
        time.sleep(0.05)
        # A card that could not be read does not use it up.
        antenna.place(TornAway(my_number_card(1), frames=3))
        assert link.shown().code is Code.HOLD_AGAIN
        lift(antenna)
        for message in ("attendance.out", "attendance.repeat"):
            antenna.place(CARD)
            assert link.shown().message == message
            lift(antenna)
    assert [tap.declared for tap in kit.taps()] == ["out", "out", ""]


def test_without_a_roster_nothing_is_accepted_and_it_says_so(
    kit: ReaderKit, antenna: Antenna
) -> None:
    with running(kit) as link:
        condition = link.until(Condition)
        assert (condition.ready, condition.trouble) == (False, Code.DEVICE_FAULT)
        antenna.place(CARD)
        shown = link.shown()
        assert (shown.outcome, shown.code) == (Outcome.REFUSED, Code.DEVICE_FAULT)
    (tap,) = kit.taps()
    assert (tap.programme, tap.code, tap.roster, tap.rule) == (PASS, Code.DEVICE_FAULT, 0, "")


def test_without_a_front_end_it_is_not_ready_and_still_listens(tmp_path: Path) -> None:
    kit = make_reader(tmp_path / "r", "udp:no.such.host.invalid:1")
    kit.enrol(CARD)
    with running(kit) as link:
        condition = link.until(Condition)
        assert (condition.ready, condition.trouble) == (False, Code.DEVICE_FAULT)
        link.say(Pressed(button="device-fault"))
        assert link.shown().outcome is Outcome.ACCEPTED


def test_a_full_disk_accepts_nothing_says_so_and_recovers(kit: ReaderKit, antenna: Antenna) -> None:
    """C2, and the order of journal and show: a yes that was shown before it was kept would be seen
    here, because it can not be kept.
    """
    kit.enrol(CARD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(kit) as link:
        link.ready()
        (file,) = journals(kit.state / "journal")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 20, hard))
            for _ in range(2):
                antenna.place(CARD)
                shown = link.shown()
                assert (shown.outcome, shown.code, shown.n) == (
                    Outcome.REFUSED, Code.JOURNAL_FULL, 0,
                )  # fmt: skip
                lift(antenna)
            link.say(Pressed(button="present-only"))
            assert link.shown().code is Code.JOURNAL_FULL
            assert any(
                isinstance(said, Condition) and said.trouble is Code.JOURNAL_FULL
                for said in link.heard
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert link.until(Condition).ready  # by itself, nobody taps
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.OK]


def test_what_is_shown_is_already_on_the_disk(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        for _ in range(5):
            antenna.place(CARD)
            shown = link.shown()
            assert shown.n in [kept.n for kept in kit.entries()]
            lift(antenna)


def test_a_damaged_roster_leaves_the_former_one_in_use(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        path = kit.state / "rosters" / f"{PASS}.roster"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.with_suffix(".new").write_bytes(data)
        path.with_suffix(".new").replace(path)
        link.say(RosterReady(programme=PASS))
        assert link.until(Counted).name == "holding.refused"
        antenna.place(CARD)
        assert link.shown().code is Code.OK


def test_it_ends_cleanly_when_told(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with subprocess.Popen(
        [sys.executable, "-m", "edge.tap", str(kit.folder / "edge.toml")], stderr=subprocess.PIPE
    ) as process:
        link = Link(kit.state)
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=10)
        link.close()
    assert (process.returncode, complaints) == (0, b"")
    assert not (kit.state / "tap.sock").exists()


def test_a_second_agent_on_the_same_folder_is_refused(kit: ReaderKit) -> None:
    with running(kit):
        second = subprocess.run(
            [sys.executable, "-m", "edge.tap", str(kit.folder / "edge.toml")],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    assert second.returncode == 2
    assert "in use by another agent" in second.stderr


def test_the_card_half_loads_no_network_and_no_texts() -> None:
    forbidden = ("aiohttp", "paho", "sqlalchemy", "babel", "jinja2", "typer", "asyncio", "ssl")
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, edge.tap; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert [name for name in loaded if name.split(".")[0] in forbidden] == []


def test_a_fresh_reader_holds_its_time_over(kit: ReaderKit) -> None:
    with running(kit) as link:
        assert link.until(Condition).clock is ClockState.HOLDOVER


@pytest.mark.parametrize("bad", ["nothing.toml", "edge.toml"])
def test_a_configuration_that_cannot_be_used_is_refused_with_a_sentence(
    kit: ReaderKit, bad: str
) -> None:
    (kit.folder / "edge.toml").write_text("reader = 5\n")
    run = subprocess.run(
        [sys.executable, "-m", "edge.tap", str(kit.folder / bad)],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    assert run.returncode == 2
    assert bad in run.stderr
    assert "Traceback" not in run.stderr
