"""SIGKILL at any instant while the journal is written: what anybody saw is there, once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.faults.writer_kills import Tally, kill

KILLS: Final = 200
LANES: Final = 2
SEED: Final = 20_261_124


def run_lane(lane: int) -> Tally:
    tally = Tally()
    for _ in kill(KILLS // LANES, SEED + lane, tally):
        pass
    return tally


def test_200_kills_lose_nothing_that_was_shown_and_use_no_number_twice() -> None:
    with ThreadPoolExecutor(LANES) as lanes:
        tallies = list(lanes.map(run_lane, range(LANES)))
    assert [wrong for tally in tallies for wrong in tally.wrong] == []
    assert sum(tally.kills for tally in tallies) == KILLS
    # The kills fell into work: presses and cards were served in these lives, and many.
    assert sum(tally.shown for tally in tallies) > 2 * KILLS
    assert sum(tally.taps for tally in tallies) > KILLS // 20
