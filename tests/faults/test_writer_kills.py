"""SIGKILL at any instant while the journal is written: what anybody saw is there, once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.faults.writer_kills import LIVES, Tally, kill

KILLS: Final = 200
PARTS: Final = 4
"""Tests of their own: on a machine whose cores are taken all 200 last longer than a test may."""
LANES: Final = 2
SEED: Final = 20_261_124
MORE_MAX: Final = 10
"""Readers more of a lane on so busy a machine that lives were over before a card was served; the
lives of each are longer."""


def run_lane(lane: int) -> Tally:
    tally = Tally()
    kills = [KILLS // PARTS // LANES, *[LIVES] * MORE_MAX]
    for n, lives in enumerate(kills):
        for _ in kill(lives, SEED + lane + n * LANES * PARTS, tally, slower=1 + n):
            pass
        if tally.shown > 2 * kills[0] and tally.taps > kills[0] // 20:
            break
    return tally


@pytest.mark.parametrize("part", range(PARTS))
def test_200_kills_lose_nothing_that_was_shown_and_use_no_number_twice(part: int) -> None:
    with ThreadPoolExecutor(LANES) as lanes:
        tallies = list(lanes.map(run_lane, range(part * LANES, (part + 1) * LANES)))
    assert [wrong for tally in tallies for wrong in tally.wrong] == []
    assert sum(tally.kills for tally in tallies) >= KILLS // PARTS
    # The kills fell into work: presses and cards were served in these lives, and many.
    assert sum(tally.shown for tally in tallies) > 2 * KILLS // PARTS
    assert sum(tally.taps for tally in tallies) > KILLS // PARTS // 20
