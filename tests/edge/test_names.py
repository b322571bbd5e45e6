"""Names at a school's gate: where the place shows them, of who just stood there alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.gate import REDIRECT_FOR_S
from edge.journal import FOLDER
from edge.names import NAMES
from edge.panel import AtGate, Condition, NamesReady
from hw.sim.antenna import Antenna
from tests.edge.gate_kit import TEACHERS, Gate, SchoolClock, at, make_gate
from tests.edge.reader_kit import ATTENDANCE, PASS, ReaderKit, my_number_card, running
from wire.credential import Scheme

HANAKO = "山田 花子"


@pytest.fixture
def school(tmp_path: Path, antenna: Antenna) -> ReaderKit:
    made = make_gate(tmp_path / "school", antenna)
    made.give_names(ATTENDANCE, {_credential(made): HANAKO})
    return made


@pytest.fixture
def clock() -> SchoolClock:
    return SchoolClock(at("3 07:42"))


@pytest.fixture
def gate(school: ReaderKit, antenna: Antenna, clock: SchoolClock) -> Iterator[Gate]:
    with running(school, clock) as link:
        yield Gate(link, antenna)


def _credential(school: ReaderKit) -> str:
    return school.credential(ATTENDANCE, Scheme.COMMON_AP, TEACHERS[0])


def test_who_stands_there_is_named_for_as_long_as_the_direction_can_be_corrected(
    gate: Gate, clock: SchoolClock
) -> None:
    gate.hold()
    assert gate.screen.name == HANAKO
    clock.set_on(seconds=REDIRECT_FOR_S)
    gate.link.until(AtGate, lambda told: told.name == "")
    assert gate.screen == AtGate()


def test_nobody_is_named_who_is_not_in_the_file_or_only_took_the_screen(gate: Gate) -> None:
    gate.hold()
    gate.hold(TEACHERS[1])
    assert gate.screen.name == ""
    gate.hold()
    gate.hold(my_number_card(99))
    assert gate.screen == AtGate()


def test_a_name_stands_in_no_entry_and_in_nothing_else_that_is_written(
    school: ReaderKit, gate: Gate
) -> None:
    gate.hold()
    gate.redirect("away")
    written = [path.read_bytes() for path in school.state.rglob("*") if path.is_file()]
    assert any(_credential(school).encode() in one for one in written), "the entries are there"
    assert not any(HANAKO.encode() in one or HANAKO.encode("utf-16") in one for one in written)
    assert (school.state / FOLDER).exists()


@pytest.mark.parametrize("left", [None, b"", b"damaged" * 30])
def test_without_a_file_that_can_be_opened_the_names_of_before_are_forgotten(
    school: ReaderKit, gate: Gate, left: bytes | None
) -> None:
    gate.hold()
    (school.state / NAMES).unlink()
    if left is not None:
        (school.state / NAMES).write_bytes(left)
    gate.link.say(NamesReady())
    assert gate.link.until(Condition).names is None
    assert gate.screen.name == ""


def test_new_names_hold_at_once(school: ReaderKit, gate: Gate) -> None:
    gate.hold()
    school.give_names(ATTENDANCE, {_credential(school): "佐藤 花子"})
    gate.link.say(NamesReady())
    gate.link.until(AtGate, lambda told: told.name == "佐藤 花子")


def test_names_of_another_programme_are_nobodys(
    school: ReaderKit, antenna: Antenna, clock: SchoolClock
) -> None:
    school.give_names(PASS, {_credential(school): HANAKO})
    with running(school, clock) as link:
        gate = Gate(link, antenna)
        gate.hold()
        assert gate.screen.name == ""


def test_a_card_found_under_the_key_epoch_before_is_named_all_the_same(
    school: ReaderKit, antenna: Antenna, clock: SchoolClock
) -> None:
    old = _credential(school)
    school.key(ATTENDANCE, 2)
    school.give_keys()
    school.enrol(*TEACHERS, programme=ATTENDANCE, epoch=2)
    with running(school, clock) as link:
        gate = Gate(link, antenna)
        gate.hold()
        (tap,) = school.taps()
        assert (tap.older_credential, tap.key_epoch) == (old, 2)
        assert gate.screen.name == HANAKO
