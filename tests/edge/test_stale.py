"""C4: a reader whose roster is stale follows its programme's policy, with the time or without it.

For every programme the whole way: a real card at the antenna, the card half, the journal.
"""

from pathlib import Path
from typing import Any

import pytest

from hw.sim.antenna import Antenna
from programmes.register import RULEBOOKS
from tests.edge.reader_kit import (
    ATTENDANCE,
    OPEN_ROW,
    PASS,
    TAXI,
    make_reader,
    my_number_card,
    running,
)
from tests.edge.test_tap_refusals import WrongClock
from wire.clock import ClockState, SystemClock
from wire.codes import Code
from wire.credential import Scheme

CARD = my_number_card(1)
REFUSE = {"refuse_when_stale": True, "stale_after_h": 1}
ACCEPT = {"refuse_when_stale": False, "stale_after_h": 1}
KINDS = {ATTENDANCE: "school", TAXI: "taxi"}
WAIT = {"accept_with_unknown_clock": False}

POLICIES: list[tuple[str, dict[str, Any], Code, Code]] = [
    (PASS, REFUSE, Code.STALE, Code.OK),
    (PASS, ACCEPT, Code.OK, Code.OK),
    (PASS, REFUSE | WAIT, Code.STALE, Code.CLOCK_UNKNOWN),
    (PASS, ACCEPT | WAIT, Code.OK, Code.CLOCK_UNKNOWN),
    (ATTENDANCE, {}, Code.OK, Code.OK),
    (TAXI, REFUSE, Code.STALE, Code.OK),
    (TAXI, ACCEPT, Code.OK, Code.OK),
    (TAXI, ACCEPT | WAIT, Code.OK, Code.CLOCK_UNKNOWN),
]
"""Programme, parameters, answer of a reader that has the time, and of one that has lost it."""


@pytest.mark.parametrize(("programme", "parameters", "with_time", "without"), POLICIES)
@pytest.mark.parametrize("knows_the_time", [True, False])
def test_a_stale_roster_follows_the_programmes_policy(
    tmp_path: Path,
    antenna: Antenna,
    programme: str,
    parameters: dict[str, Any],
    with_time: Code,
    without: Code,
    knows_the_time: bool,
) -> None:
    kind = KINDS.get(programme, "bus")
    kit = make_reader(tmp_path / "reader", antenna.device, kind=kind, programmes=(programme,))
    row = OPEN_ROW._replace(credential=kit.credential(programme, Scheme.COMMON_AP, CARD))
    kit.give_keys()
    kit.give_roster(programme, [row], at_ms=0, **parameters)
    with running(kit, SystemClock() if knows_the_time else WrongClock()) as link:
        link.ready()
        antenna.place(CARD)
        shown = link.shown()
    expected = with_time if knows_the_time else without
    (tap,) = kit.taps()
    assert (shown.code, tap.code) == (expected, expected)
    assert (tap.roster, tap.rule) == (1, f"{programme}/2026-04")
    assert tap.roster_age_s > 50 * 365 * 86_400  # the entry says how old the list was
    assert (tap.clock is ClockState.UNKNOWN) is not knows_the_time


def test_every_programme_has_its_policy_shown_here() -> None:
    assert {programme for programme, *_ in POLICIES} == set(RULEBOOKS)
