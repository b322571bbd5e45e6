"""What a visitor tries in the demo with taxis: a card at the desk and in a taxi, and a company."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.demo.conftest import Demo
from tests.web.visitor import Visitor

WAIT_S_MAX = 60
DESK = {"desk_programme": "taxi", "desk_purpose": "look-up", "desk_reader": "kazasu-shi/desk-1"}


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


def test_a_card_is_read_for_a_clerk_at_the_desk_while_the_town_runs_fast(folder: Path) -> None:
    with Demo(folder, "--people", "8", "--rate", "60") as demo:
        demo.until_open()
        office = Visitor(re.findall(r"clerks' office +(http://\S+)/", demo.text)[0])
        name, password = re.findall(r"office +http://\S+/ +(\S+) / (\S+)", demo.text)[0]
        assert office.sign_in(name, password).status == 303
        begun = office.post("/desk/begin", **DESK)
        wait = re.findall(r"/desk/([0-9a-f]{32})/live", begun.text)
        assert wait, begun.text
        until(lambda: "画面に案内が出ています" in office.get(f"/desk/{wait[0]}").text, "it asks")
        held = demo.tell("hold", "desk-1", "hanako")
        assert held.returncode == 0, held.stderr
        assert "held hanako at desk-1" in held.stdout
        until(lambda: 'class="answer ok"' in office.get(f"/desk/{wait[0]}").text, "it was read")
        demo.process.send_signal(signal.SIGINT)
        assert demo.finish() == 0, demo.text


def test_taxis_ride_and_their_money_is_that_of_their_rides(folder: Path) -> None:
    with Demo(folder, "--seconds", "20", "--people", "8", "--report") as demo:
        demo.until_open()
        stranger = demo.tell("hold", "taxi-1", "nobody-knows-me")
        assert "held nobody-knows-me at taxi-1" in stranger.stdout
        nowhere = demo.tell("hold", "taxi-9", "hanako")
        assert nowhere.returncode == 1
        assert "taxi-2" in nowhere.stderr
        name, password = re.findall(r"for hokuto-taxi: (\S+) / (\S+)", demo.text)[0]
        office = Visitor(re.findall(r"clerks' office +(http://\S+)/", demo.text)[0])
        assert office.sign_in(name, password).status == 303
        tablet = re.findall(r"call at (http://\S+)/,", demo.text)[0]
        assert Visitor(tablet).get("/tablet").status == 403  # it is not paired
        own_screen = re.findall(r"^taxi-1 +(http://\S+)/$", demo.text, re.MULTILINE)[0]
        assert Visitor(own_screen).get("/tablet").status == 200
        assert demo.finish() == 0, demo.text
    for taxi in ("taxi-1", "taxi-2"):
        sums = rf"{taxi}: (\d+), of which (\d+) taken back; .* pays ([0-9,]+) yen"
        found = re.search(sums, demo.text)
        assert found, demo.text
        assert int(found[1]) > int(found[2])
        assert int(found[3].replace(",", "")) > 0
    assert "is without a network for" in demo.text
    assert demo.left_running() == []
