"""A short demo, as a stranger starts it: real processes, killed and cut, and the books balance."""

import contextlib
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.conftest import Eventually
from tests.demo.conftest import SIM, START_S_MAX, Demo
from tests.web.visitor import Visitor

DESK = {"desk_programme": "taxi", "desk_purpose": "look-up", "desk_reader": "kazasu-shi/desk-1"}

OPEN_A_GAP = """
    INSERT INTO gap (journal_id, first, last, missing, cause, opened_at_ms)
    SELECT id, 1000000, 1000002, 3, 'not-arrived', 0 FROM journal LIMIT 1
"""
"""As if a reader had written more than it shows: its journal ends long before these numbers."""


def test_a_morning_with_kills_and_a_cut_balances_and_leaves_nothing_behind(folder: Path) -> None:
    with Demo(folder, "--seconds", "20", "--people", "60", "--report") as demo:
        it_says_that_it_is_still_starting(demo)
        demo.until_open()
        assert "school-1 all day with a card that no list knows" in demo.text
        assert "今かざされたカード → このカードを登録 → a new member" in demo.text
        a_visitor_looks_at_a_school(demo)
        a_visitor_tries_a_taxi(demo)
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
    taxis_money_is_that_of_their_rides(demo)
    assert re.search(r"marks +school-1: .*morning \d+.*\n +school-2: .*morning \d+", demo.text)
    assert demo.left_running() == []
    none = demo.tell("kill", "bus-2")
    assert none.returncode == 1
    assert "no demo is running" in none.stderr


def it_says_that_it_is_still_starting(demo: Demo) -> None:
    """And it counts as one that runs."""
    sockets = demo.until_orders_are_taken()
    early = demo.tell("kill", "bus-2")
    assert early.returncode == 1
    assert "still starting: try again when the addresses are printed" in early.stderr
    name = sockets / "demo-1.sock"
    with socket.socket(socket.AF_UNIX) as another:
        another.bind(str(name))
        another.listen()
        which = demo.tell("kill", "bus-2")
    name.unlink()
    assert which.returncode == 1
    assert f"--pid (1, {demo.process.pid})" in which.stderr


def a_visitor_tries_a_taxi(demo: Demo) -> None:
    stranger = demo.tell("hold", "taxi-1", "nobody-knows-me")
    assert "held nobody-knows-me at taxi-1" in stranger.stdout
    nowhere = demo.tell("hold", "taxi-9", "hanako")
    assert nowhere.returncode == 1
    assert "taxi-2" in nowhere.stderr
    name, password = re.findall(r"for hokuto-taxi: (\S+) / (\S+)", demo.text)[0]
    assert Visitor(office_of(demo)).sign_in(name, password).status == 303
    tablet = re.findall(r"call at (http://\S+)/,", demo.text)[0]
    assert Visitor(tablet).get("/tablet").status == 403  # it is not paired
    own_screen = re.findall(r"^taxi-1 +(http://\S+)/$", demo.text, re.MULTILINE)[0]
    assert Visitor(own_screen).get("/tablet").status == 200


def a_visitor_looks_at_a_school(demo: Demo) -> None:
    school, teacher = Visitor(office_of(demo)), Visitor(office_of(demo))
    name, password = re.findall(r"for daiichi-sho: (\S+) / (\S+)", demo.text)[0]
    assert school.sign_in(name, password).status == 303
    assert "在校" in school.get("/school").text
    name, password = re.findall(r"own days: (\S+) / (\S+)", demo.text)[0]
    assert teacher.sign_in(name, password).status == 303
    assert "自分の勤務" in teacher.get("/own").text
    assert teacher.get("/school").status == 403


def office_of(demo: Demo) -> str:
    return str(re.findall(r"clerks' office +(http://\S+)/", demo.text)[0])


def taxis_money_is_that_of_their_rides(demo: Demo) -> None:
    for taxi in ("taxi-1", "taxi-2"):
        sums = rf"{taxi}: (\d+), of which (\d+) taken back; .* pays ([0-9,]+) yen"
        found = re.search(sums, demo.text)
        assert found, demo.text
        assert int(found[1]) > int(found[2])
        assert int(found[3].replace(",", "")) > 0
    assert "is without a network for" in demo.text


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


def test_at_reader_heads_a_card_is_read_for_a_clerk_and_a_stop_gives_account(
    folder: Path, eventually: Eventually
) -> None:
    with Demo(folder, "--people", "8", "--rate", "60", "--heads") as demo:
        demo.until_open()
        office = Visitor(office_of(demo))
        name, password = re.findall(r"office +http://\S+/ +(\S+) / (\S+)", demo.text)[0]
        assert office.sign_in(name, password).status == 303
        begun = office.post("/desk/begin", **DESK)
        wait = re.findall(r"/desk/([0-9a-f]{32})/live", begun.text)
        assert wait, begun.text

        def shows(what: str) -> bool:
            return what in office.get(f"/desk/{wait[0]}").text

        eventually(lambda: shows("画面に案内が出ています"), within_s=START_S_MAX, that="it asks")
        held = demo.tell("hold", "desk-1", "hanako")
        assert held.returncode == 0, held.stderr
        assert "held hanako at desk-1" in held.stdout
        eventually(lambda: shows('class="answer ok"'), within_s=START_S_MAX, that="it was read")
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.text
        assert "accepted" in demo.text
        assert demo.left_running() == []


def test_processes_of_a_demo_that_is_killed_end_by_themselves(folder: Path) -> None:
    with Demo(folder, "--people", "8", "--heads") as demo:
        demo.until_open()
        assert len(demo.left_running()) >= 28
        demo.process.kill()
        demo.process.wait()
        deadline_s = time.monotonic() + START_S_MAX
        while demo.left_running() and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert demo.left_running() == []
