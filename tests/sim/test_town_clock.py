"""The town's clock: one time in every process, also a later one; faster once the town is open."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw.sim.warp import JUMP_NS, TownClock
from wire.clock import patience_ms

START_MS = 1_780_440_000_000


def print_now(arguments: list[str], clock: TownClock) -> int:
    """What a child process runs: says the time twice, and ends with the status it is told."""
    print(clock.now_ms())
    return int(arguments[0])


READ = f"tests.sim.test_town_clock:{print_now.__name__}"


def child(clock: TownClock, status: str = "0") -> int:
    command = [sys.executable, "-m", "hw.sim.warp", str(clock.anchor), READ, status]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return int(done.stdout)


AFTER_A_JUMP_S = JUMP_NS / 1e9 + 0.05


def test_before_the_town_opens_a_second_is_a_second(tmp_path: Path) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1000)
    time.sleep(AFTER_A_JUMP_S)
    assert 0 <= clock.now_ms() - START_MS < 5000


def test_the_open_town_runs_faster_and_never_back_and_the_closed_one_as_real(
    tmp_path: Path,
) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1000)
    before = clock.now_ms()
    clock.open_town()
    assert clock.now_ms() >= before
    time.sleep(AFTER_A_JUMP_S)
    assert clock.now_ms() - before >= 999 * JUMP_NS / 1e6
    clock.close_town()
    closed = clock.now_ms()
    time.sleep(AFTER_A_JUMP_S)
    assert JUMP_NS / 1e6 <= clock.now_ms() - closed < 5000


def test_what_people_s_waiting_is_measured_by_runs_as_a_real_clock(tmp_path: Path) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1000)
    clock.open_town()
    began_ms, began_s = patience_ms(clock), time.monotonic()
    while clock.leapt_ms() == 0:
        assert abs(patience_ms(clock) - began_ms - 1000 * (time.monotonic() - began_s)) < 900
    after_ms, real_ms = patience_ms(clock) - began_ms, 1000 * (time.monotonic() - began_s)
    assert clock.now_ms() - began_ms > 900_000
    assert 0 <= real_ms - after_ms + 5 < 900


def test_between_two_jumps_nothing_is_warped(tmp_path: Path) -> None:
    """A signed time that is 20 ms on its way must not look 20 s old."""
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1000)
    clock.open_town()
    stamps = [(time.monotonic(), clock.now_ms()) for _ in range(2000)]
    apart = [b[1] - a[1] - 1000 * (b[0] - a[0]) for a, b in itertools.pairwise(stamps)]
    assert sum(abs(ms) > 50 for ms in apart) <= 1


def test_every_process_shows_the_same_time_also_one_that_starts_later(tmp_path: Path) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=100)
    clock.open_town()
    for _ in range(2):
        before = clock.now_ms()
        assert before <= child(clock) <= clock.now_ms()


def test_a_program_ends_with_its_own_status(tmp_path: Path) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1)
    with pytest.raises(subprocess.CalledProcessError) as ended:
        child(clock, status="7")
    assert ended.value.returncode == 7


def test_durations_are_real(tmp_path: Path) -> None:
    clock = TownClock.started(tmp_path / "clock", START_MS, rate=1000)
    clock.open_town()
    assert abs(clock.monotonic_ns() - time.monotonic_ns()) < 1e9
    assert clock.real_s_until(clock.now_ms() + 60_000) == pytest.approx(0.06, abs=0.05)
