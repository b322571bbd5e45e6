"""A limit of rides over two real buses: what is ridden on one is known on the other.

What both let through while neither hears of the other stands, and is listed.
"""

import time
from pathlib import Path

from edge.roster import FOLDER
from fleet import usage
from fleet.cli import run
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import open_fleet
from tests.whole.kit import Agent, WholeTown, busses, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code
from wire.entries import Tap

KNOWN, APART = 1, 2
"""Two members' cards: one rides while all is connected, one while nothing is."""
WINDOW_S = 5
"""The shortest repeat window that a table may have."""
TABLE = f"""
version = "senior-pass/2026-04.three"
valid_from = 2026-04-01
[parameters]
rider_pays_yen = 50
rides_per_year = 3
repeat_window_s = {WINDOW_S}
"""


def limit(town: WholeTown) -> None:
    table = town.town.folder / "three.toml"
    table.write_text(TABLE, "utf-8")
    command = ["--config", str(town.fleet_toml), "rules", "add", "senior-pass", str(table)]
    assert run(command, SystemClock()) == 0


def until_decides_with(agent: Agent, made_after_ms: int) -> None:
    """Wait until the card half has the newest usage file open, made after this instant."""
    path = Path(agent.config.state) / FOLDER / "senior-pass.usage"
    maps = Path(f"/proc/{agent.halves['tap'].pid}/maps")

    def is_open() -> bool:
        if not path.exists() or path.stat().st_mtime_ns < made_after_ms * 1_000_000:
            return False
        return f" {path.stat().st_ino} " in maps.read_text("utf-8")

    until(is_open, f"{agent.name} decides with a new usage file")


def ride(agent: Agent, card: int) -> Tap:
    """Ride when the repeat window of the ride before on this bus is over."""
    before = [one.at_ms for one in agent.taps() if one.code is Code.OK]
    if before:
        over_s = before[-1] / 1000 + WINDOW_S + 0.1 - SystemClock().now_ms() / 1000
        time.sleep(max(0, over_s))  # a window that a rider waits out, too
    (tap,) = agent.hold(card)
    return tap


def counted(tap: Tap) -> int:
    """Return how many rides the reader counted before this one."""
    (used,) = tap.used.values()
    return used.times


def test_a_limit_holds_over_two_buses_and_what_they_let_through_apart_is_listed() -> None:
    with whole_town([KNOWN, APART], *busses("bus-1", "bus-2")) as town:
        limit(town)
        one, two = town.agents["bus-1"], town.agents["bus-2"]
        with town.fleet():
            for bus in (one, two):
                bus.start()
            for bus in (one, two):
                town.until_ready(bus)
            rides = [ride(one, KNOWN), ride(one, KNOWN)]
            assert [(tap.code, counted(tap)) for tap in rides] == [(Code.OK, 0), (Code.OK, 1)]
            town.until_kept(one)
        began_ms = SystemClock().now_ms()
        with town.fleet():  # it makes new files when it begins, as it does every 15 minutes
            for bus in (one, two):
                until_decides_with(bus, began_ms)
            third, fourth = ride(two, KNOWN), ride(two, KNOWN)
            assert (third.code, counted(third)) == (Code.OK, 2)
            assert third.shown == "senior-pass.accepted-last"
            assert (fourth.code, counted(fourth)) == (Code.USED_UP, 3)
            again = ride(one, KNOWN)  # the first bus has not heard of the third ride
            assert (again.code, counted(again)) == (Code.OK, 2)
            for bus in (one, two):
                town.until_kept(bus)
                bus.stop("link")
            apart = [ride(bus, APART) for _ in range(2) for bus in (one, two)]
            assert {tap.code for tap in apart} == {Code.OK}
            for bus in (one, two):
                bus.start("link")
                town.until_kept(bus)
        findings = town.ask("select kind, outcome, code from finding")
        assert findings == [("allowance", "refused", "used-up")] * 2
        sums = town.ask("select credential, times, yen from usage order by credential")
        assert sums == sorted((town.credential(card), 4, 200) for card in (KNOWN, APART))
        store = open_fleet(Databases(town.state), Role.OWNER)
        with store.read() as connection:
            assert usage.check(connection) == []
        store.close()
