"""A short demo, as a stranger starts it: real processes, killed and cut, and the books balance."""

import contextlib
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.demo.conftest import SIM, START_S_MAX, Demo

OPEN_A_GAP = """
    INSERT INTO gap (journal_id, first, last, missing, cause, opened_at_ms)
    SELECT id, 1000000, 1000002, 3, 'not-arrived', 0 FROM journal LIMIT 1
"""
"""As if a reader had written more than it shows: its journal ends long before these numbers."""


def test_a_morning_with_kills_and_a_cut_balances_and_leaves_nothing_behind(folder: Path) -> None:
    with Demo(folder, "--seconds", "15", "--people", "60", "--report") as demo:
        demo.until_open()
        for order in (
            ("kill", "bus-2"),
            ("cut", "school-1", "--for", "4s"),
            ("kill", "fleet"),
            ("kill", "broker"),
        ):
            assert demo.tell(*order).returncode == 0
            time.sleep(1)  # so that they fall on different moments of the morning
        unknown = demo.tell("kill", "bus-9")
        assert unknown.returncode == 1
        assert "bus-2" in unknown.stderr
        status = demo.finish()
    assert status == 0, demo.text
    assert "Nothing lost, nothing counted twice" in demo.text
    assert re.search(r"people +60,", demo.text)
    assert re.search(r"killed bus-2/tap, bus-2/link", demo.text)
    assert re.search(r"C1 at 10 ms .* p95 < 120 ms (not )?met", demo.text)
    assert "0 gaps open at the fleet" in demo.text
    accepted = re.search(r"accepted +(\d+)", demo.text)
    assert accepted
    assert int(accepted[1]) > 30
    assert demo.left_running() == []
    none = demo.tell("kill", "bus-2")
    assert none.returncode == 1
    assert "no demo is running" in none.stderr


def test_a_demo_that_is_still_starting_says_so_and_counts_as_one_that_runs(folder: Path) -> None:
    with Demo(folder, "--people", "20") as demo:
        sockets = demo.until_orders_are_taken()
        early = demo.tell("kill", "bus-2")
        assert early.returncode == 1
        assert "still starting: try again when the addresses are printed" in early.stderr
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(str(sockets / "demo-1.sock"))
            another.listen()
            which = demo.tell("kill", "bus-2")
        assert which.returncode == 1
        assert f"--pid (1, {demo.process.pid})" in which.stderr
        demo.until_open()
        assert "school-1 all day with a card that no list knows" in demo.text
        assert "今かざされたカード → このカードを登録 → a new member" in demo.text
        assert demo.tell("kill", "bus-2").returncode == 0


def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_said_to_be_in_it() -> None:
    command = [str(SIM), "demo", "--folder", "/proc/x"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert "The demo cannot start" in ended.stdout
    assert "written" not in ended.stdout


def test_a_gap_that_the_fleet_has_open_is_named_at_the_end(folder: Path) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        with contextlib.closing(sqlite3.connect(next(demo.town.glob("**/fleet.db")))) as fleet:
            deadline_s = time.monotonic() + START_S_MAX
            while fleet.execute(OPEN_A_GAP).rowcount < 1:
                assert time.monotonic() < deadline_s, "no journal has arrived"
                fleet.rollback()
                time.sleep(0.1)
            fleet.commit()
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 1, demo.text
    assert "0 numbers missing in the ledger, 1 gaps open at the fleet" in demo.text
    assert "1 of these are not explained by the journals and the ledger" in demo.text


def test_a_demo_that_is_stopped_gives_account_and_leaves_nothing_running(
    folder: Path,
) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.text
        assert "accepted" in demo.text
        assert demo.left_running() == []


def test_processes_of_a_demo_that_is_killed_end_by_themselves(folder: Path) -> None:
    with Demo(folder, "--people", "8") as demo:
        demo.until_open()
        assert len(demo.left_running()) >= 21
        demo.process.kill()
        demo.process.wait()
        deadline_s = time.monotonic() + START_S_MAX
        while demo.left_running() and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert demo.left_running() == []
