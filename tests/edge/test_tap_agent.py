"""The card half as a process, and what happens between two cards: buttons, rosters, faults."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.clock import Stamp
from edge.journal import journals, read_whole
from edge.journal_writer import Journal
from edge.panel import (
    Acknowledged,
    Appended,
    Condition,
    Counted,
    Declared,
    FleetTime,
    KeysReady,
    Pressed,
    RosterReady,
)
from hw.sim.antenna import Antenna
from hw.sim.cards import Card, TornAway
from hw.sim.isodep import Reply
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
from wire.entries import Press

CARD = my_number_card(1)


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


@pytest.fixture
def school(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    kit = make_reader(tmp_path / "r", antenna.device, kind="school", programmes=(ATTENDANCE,))
    row = OPEN_ROW._replace(credential=kit.credential(ATTENDANCE, Scheme.COMMON_AP, CARD))
    kit.give_keys()
    kit.give_roster(ATTENDANCE, [row])
    return kit


class Pressing:
    """A card whose holder presses a button when the reader has just begun to look for it."""

    def __init__(self, card: Card, press: Callable[[], None]) -> None:
        self._card, self._press = card, press

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        self._press()
        self._press = lambda: None
        return self._card.answer(technology, frame)


def test_a_direction_that_is_pressed_while_the_card_is_found_counts(
    school: ReaderKit, antenna: Antenna
) -> None:
    with running(school) as link:
        link.ready()
        antenna.place(Pressing(CARD, lambda: link.say(Declared(direction="out"))))
        assert link.shown().message == "attendance.out"
    assert [tap.declared for tap in school.taps()] == ["out"]


def test_a_declared_direction_holds_for_the_next_tap_alone(
    school: ReaderKit, antenna: Antenna
) -> None:
    with running(school) as link:
        link.ready()
        link.say(Declared(direction="out"))
        link.settled()
        # A card that could not be read does not use it up.
        antenna.place(TornAway(my_number_card(1), frames=3))
        assert link.shown().code is Code.HOLD_AGAIN
        lift(antenna)
        for message in ("attendance.out", "attendance.repeat"):
            antenna.place(CARD)
            assert link.shown().message == message
            lift(antenna)
    assert [tap.declared for tap in school.taps()] == ["out", "out", ""]


def test_without_a_front_end_it_is_not_ready_and_still_listens(tmp_path: Path) -> None:
    kit = make_reader(tmp_path / "r", "udp:no.such.host.invalid:1")
    kit.enrol(CARD)
    with running(kit) as link:
        condition = link.until(Condition)
        assert (condition.ready, condition.trouble) == (False, Code.DEVICE_FAULT)
        link.say(Pressed(button="device-fault"))
        assert link.shown().outcome is Outcome.ACCEPTED


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


def test_no_tap_that_was_shown_is_lost_when_the_agent_is_killed(
    kit: ReaderKit, antenna: Antenna
) -> None:
    """C2, and C3 across each of the kills."""
    kit.enrol(CARD)
    shown = []
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-m", "edge.tap", str(kit.folder / "edge.toml")]
        ) as process:
            link = Link(kit.state)
            link.ready()
            antenna.place(CARD)
            shown.append(link.shown())
            process.kill()
        link.close()
        antenna.remove()
    assert [one.code for one in shown] == [Code.OK] + [Code.REPEAT] * 3
    kept = {
        (file.journal, one.n)
        for file in journals(kit.state / "journal")
        for one in read_whole(file, kit.config.reader)
    }
    assert {(one.journal, one.n) for one in shown} <= kept


def test_a_second_agent_on_the_same_folder_is_refused(kit: ReaderKit) -> None:
    with running(kit):
        second = subprocess.run(
            [sys.executable, "-m", "edge.tap", str(kit.folder / "edge.toml")],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    assert second.returncode == 2
    assert "in use by another agent" in second.stderr


def test_the_card_half_loads_no_network_and_no_texts() -> None:
    forbidden = ("aiohttp", "sqlalchemy", "babel", "jinja2", "typer", "asyncio", "ssl")
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


def test_a_new_roster_and_new_keys_are_used_at_once(kit: ReaderKit, antenna: Antenna) -> None:
    newcomer = my_number_card(2)
    kit.enrol(CARD, version=1)
    with running(kit) as link:
        link.ready()
        antenna.place(newcomer)
        assert link.shown().code is Code.UNKNOWN
        lift(antenna)
        kit.keys.clear()
        kit.enrol(CARD, newcomer, version=2)
        link.say(KeysReady(), RosterReady(programme=PASS))
        link.until(Condition, lambda condition: condition.rosters == {PASS: 2})
        antenna.place(newcomer)
        assert link.shown().code is Code.OK
    assert [tap.roster for tap in kit.taps()] == [1, 2]


def test_what_was_delivered_a_week_ago_is_removed_once_the_time_is_certain(
    kit: ReaderKit,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    folder, reader = kit.state / "journal", kit.config.reader
    for days in (20, 9, 6):
        stamp = Stamp(now_ms - days * 24 * 3_600_000, 0, ClockState.HOLDOVER)
        journal = Journal(folder, reader, "boot", "0", lambda at=stamp: at)  # type: ignore[misc]
        journal.append(Press(v=1, n=1, programme=PASS, button="present-only", **stamp._asdict()))
        journal.close()
    before = [file.journal for file in journals(folder)]
    with running(kit) as link:
        appended = link.until(Appended)
        delivered = Acknowledged(journal=appended.journal, through=1)
        link.say(delivered)
        link.settled()
        assert [file.journal for file in journals(folder)][:3] == before
        link.say(FleetTime(at_ms=now_ms), delivered)
        link.settled()
        assert [file.journal for file in journals(folder)] == [*before[1:], appended.journal]
