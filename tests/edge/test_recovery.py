"""How a front end that fails comes back: every rung of the ladder, and each one counted."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from edge.frontends import Card, FrontEnd, FrontEndFault, Technology
from edge.frontends.isodep import Atqb, TypeBCard
from edge.frontends.power import power_cycle
from edge.frontends.recovery import (
    AGAIN,
    BACKOFF_MS_FIRST,
    BACKOFF_MS_MAX,
    FAULT,
    POWER_CYCLE_EVERY,
    POWER_CYCLED,
    REOPEN_AT,
    REOPENED,
    RESTARTED,
    SELF_TEST,
    SELF_TEST_MS,
    Recovering,
)

ALL: tuple[Technology, ...] = ("106B", "212F", "106A")

ATQB = Atqb(bytes(4), bytes(7), True, 256, 0.3)


class Moody:
    """A front end as edge.frontends promises it, whose faults a test decides."""

    def __init__(self) -> None:
        self.waited_ns = 0
        self.faulty = False
        self.mended_by_restart = False
        self.restarts = 0
        self.closed = False

    def sense(self, technologies: Sequence[Technology]) -> Card | None:
        if self.faulty:
            raise FrontEndFault("pulled out")
        return None

    def restart(self) -> None:
        self.restarts += 1
        if self.faulty and not self.mended_by_restart:
            raise FrontEndFault("pulled out")
        self.faulty = False

    def close(self) -> None:
        self.closed = True


class Minute:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ms(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        return self.ns

    def forward(self, ms: int) -> None:
        self.ns += ms * 1_000_000


class Ladder:
    """A recovering front end over devices that are handed out one after the other."""

    def __init__(self, devices: Iterable[Moody | None]) -> None:
        self.clock = Minute()
        self.counted: Counter[str] = Counter()
        self.opened_ms: list[int] = []
        self.power_cycles = 0
        self._devices = iter(devices)
        self.front_end = Recovering(
            self._open, self._power_cycle, self.clock, lambda name: self.counted.update([name])
        )

    def _open(self) -> FrontEnd:
        self.opened_ms.append(self.clock.ns // 1_000_000)
        if (device := next(self._devices)) is None:
            raise FrontEndFault("not there")
        return device

    def _power_cycle(self) -> bool:
        self.power_cycles += 1
        return True

    def sense(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.front_end.sense(ALL) is None


def test_the_first_fault_is_sensed_again() -> None:
    device = Moody()
    ladder = Ladder([device])
    ladder.sense()
    device.faulty = True
    ladder.sense()
    device.faulty = False
    ladder.sense()
    assert ladder.front_end.device is device
    assert ladder.counted == {FAULT: 1, AGAIN: 1}
    assert device.restarts == 0


def test_the_second_restarts_the_device() -> None:
    device = Moody()
    device.mended_by_restart = True
    ladder = Ladder([device])
    ladder.sense()
    device.faulty = True
    ladder.sense(3)
    assert ladder.front_end.device is device
    assert device.restarts == 1
    assert ladder.counted == {FAULT: 2, AGAIN: 1, RESTARTED: 1}


def test_a_restart_that_mends_nothing_closes_the_device_and_opens_it_later() -> None:
    first, second = Moody(), Moody()
    ladder = Ladder([first, second])
    ladder.sense()
    first.faulty = True
    ladder.sense(2)
    assert first.closed
    ladder.sense()
    assert len(ladder.opened_ms) == 1  # not before the back-off is over
    ladder.clock.forward(BACKOFF_MS_FIRST)
    ladder.sense()
    assert ladder.front_end.device is second
    assert ladder.counted == {FAULT: 2, AGAIN: 1, REOPENED: 1}


def test_a_device_that_opens_and_fails_at_once_is_let_go_at_once() -> None:
    first, second = Moody(), Moody()
    second.faulty = True
    ladder = Ladder([first, second])
    ladder.sense()
    first.faulty = True
    ladder.sense(2)
    ladder.clock.forward(BACKOFF_MS_FIRST)
    ladder.sense()
    assert second.closed


def test_a_device_that_stays_away_is_tried_ever_more_slowly_and_power_cycled_in_between() -> None:
    ladder = Ladder(itertools.repeat(None))
    while ladder.clock.ns < 120_000_000_000:
        ladder.sense()
        ladder.clock.forward(100)
    gaps = [b - a for a, b in itertools.pairwise(ladder.opened_ms)]
    assert gaps[:6] == [500, 1000, 2000, 4000, 8000, 16000]
    assert set(gaps[6:]) == {30_000}
    assert ladder.power_cycles == len(ladder.opened_ms) // POWER_CYCLE_EVERY
    assert ladder.counted[POWER_CYCLED] == ladder.power_cycles


def test_a_device_that_opens_but_never_works_is_power_cycled_as_well() -> None:
    devices = [Moody() for _ in range(POWER_CYCLE_EVERY)]
    for device in devices:
        device.faulty = True
    ladder = Ladder(devices)
    for _ in devices:
        ladder.sense()
        ladder.clock.forward(BACKOFF_MS_MAX)
    assert ladder.power_cycles == ladder.counted[POWER_CYCLED] == 1


def test_a_device_that_finds_cards_and_cannot_talk_to_them_climbs_the_ladder() -> None:
    class Deaf(Moody):
        def sense(self, technologies: Sequence[Technology]) -> Card | None:
            return TypeBCard(ATQB, NoAir(), 0) if held else None

    class NoAir:
        def exchange(self, frame: bytes, within_s: float) -> bytes:
            raise FrontEndFault("no answer")

    held = False
    ladder = Ladder([Deaf()])
    ladder.sense()
    held = True
    for _ in range(REOPEN_AT):
        assert ladder.front_end.sense(ALL)
        ladder.front_end.failed(FrontEndFault("no answer"))  # as its caller says of a conversation
    assert ladder.counted == {FAULT: REOPEN_AT, AGAIN: 1, RESTARTED: 1}
    assert ladder.front_end.device is None


def test_a_device_that_nobody_used_is_tested_every_ten_minutes() -> None:
    device = Moody()
    ladder = Ladder([device])
    ladder.sense(5)
    assert device.restarts == 0
    for _ in range(3):
        ladder.clock.forward(SELF_TEST_MS)
        ladder.sense(5)
    assert device.restarts == 3
    assert ladder.counted == {SELF_TEST: 3}


def test_a_self_test_that_fails_is_a_fault() -> None:
    class Silent(Moody):
        def restart(self) -> None:
            raise FrontEndFault("no answer")

    ladder = Ladder([Silent()])
    ladder.sense()
    ladder.clock.forward(SELF_TEST_MS)
    ladder.sense()
    assert ladder.counted == {SELF_TEST: 1, FAULT: 1, AGAIN: 1}


def test_what_is_wrong_is_written_down_once_as_long_as_it_is_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = Moody()
    ladder = Ladder([device, *([None] * 20)])
    ladder.sense()
    device.faulty = True
    for _ in range(40):
        ladder.sense()
        ladder.clock.forward(1000)
    assert [record.message for record in caplog.records] == ["pulled out", "not there"]


def usb(root: Path, name: str, vendor: str, product: str) -> Path:
    """A USB device as sysfs shows it."""
    device = root / "devices" / "usb1" / name
    device.mkdir(parents=True)
    for file, text in (("idVendor", vendor), ("idProduct", product), ("authorized", "1")):
        (device / file).write_text(text + "\n")
    (root / "bus" / "usb" / "devices").mkdir(parents=True, exist_ok=True)
    (root / "bus" / "usb" / "devices" / name).symlink_to(device)
    return device


def test_a_usb_reader_is_taken_off_its_port_and_put_back(tmp_path: Path) -> None:
    device = usb(tmp_path, "1-1.2", "054c", "06c3")
    other = usb(tmp_path, "1-1.3", "054c", "0dc8")
    assert power_cycle("usb:054c:06c3", tmp_path)
    assert (device / "authorized").read_text() == "1"
    assert (other / "authorized").read_text() == "1\n"  # never touched


def test_so_is_the_adapter_of_a_serial_line(tmp_path: Path) -> None:
    device = usb(tmp_path, "1-1.4", "1a86", "7523")
    (device / "1-1.4:1.0" / "ttyUSB0").mkdir(parents=True)
    node = tmp_path / "class" / "tty" / "ttyUSB0"
    node.mkdir(parents=True)
    (node / "device").symlink_to(device / "1-1.4:1.0" / "ttyUSB0")
    assert power_cycle("pn532:/dev/ttyUSB0@921600", tmp_path)
    assert (device / "authorized").read_text() == "1"


def test_so_is_a_reader_head_that_cannot_be_reached(tmp_path: Path) -> None:
    device = usb(tmp_path, "1-1.1", "2e8a", "0005")
    (device / "1-1.1:1.0" / "ttyACM0").mkdir(parents=True)
    node = tmp_path / "class" / "tty" / "ttyACM0"
    node.mkdir(parents=True)
    (node / "device").symlink_to(device / "1-1.1:1.0" / "ttyACM0")
    assert power_cycle("head:/dev/ttyACM0@921600", tmp_path)
    assert (device / "authorized").read_text() == "1"
    assert not power_cycle("head:e66141040123", tmp_path)  # none is plugged in


def test_a_serial_line_may_be_named_by_a_link(tmp_path: Path) -> None:
    device = usb(tmp_path, "1-1.4", "1a86", "7523")
    node = tmp_path / "class" / "tty" / "ttyUSB0"
    node.mkdir(parents=True)
    (device / "1-1.4:1.0" / "ttyUSB0").mkdir(parents=True)
    (node / "device").symlink_to(device / "1-1.4:1.0" / "ttyUSB0")
    (tmp_path / "nfc0").symlink_to("/dev/ttyUSB0")
    assert power_cycle(f"pn532:{tmp_path}/nfc0", tmp_path)
    assert (device / "authorized").read_text() == "1"


def test_what_is_no_usb_device_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "class" / "tty" / "ttyAMA0" / "device").mkdir(parents=True)
    for path in ("pn532:/dev/ttyAMA0", "pcsc", "usb", "usb:054c:ffff", "udp:127.0.0.1:5"):
        assert not power_cycle(path, tmp_path)
