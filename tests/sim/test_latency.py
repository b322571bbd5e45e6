"""Waiting times: who is asked to hold again counts apart; the goal is named, met or not."""

from hw.sim.latency import AGAIN, ANSWERED, goal_lines, latencies, quantile
from hw.sim.report import Identity, Sighting
from wire.codes import Code, Outcome


def seen(waited_ms: float | None, code: Code = Code.OK, host_us: int = 2000) -> Sighting:
    outcome = Outcome.ACCEPTED if code is Code.OK else Outcome.REFUSED
    stages_us = {} if waited_ms is None else {"host": host_us}
    return Sighting(Identity("kazasu-shi/bus-1", "ab" * 16, 1), outcome, code, waited_ms, stages_us)


def test_quantiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, q) for q in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert quantile([7.0], 0.99) == 7
    assert quantile([], 0.5) == 0


def test_who_is_asked_to_hold_again_does_not_slow_those_who_are_answered() -> None:
    torn = [seen(600.0, Code.HOLD_AGAIN, host_us=9000)] * 50
    found = latencies([seen(80.0), *torn, seen(100.0, Code.EXPIRED), seen(None)])
    assert [(row.stage, row.times, row.p95) for row in found] == [
        (ANSWERED, 2, 100.0),
        (AGAIN, 50, 600.0),
        ("host", 2, 2.0),
    ]


def test_the_goal_is_named_as_met_or_not_met_by_those_who_are_answered() -> None:
    found = latencies([seen(150.0)] * 98 + [seen(510.0)] * 2 + [seen(900.0, Code.HOLD_AGAIN)] * 9)
    fast, slow = goal_lines(found, 10), goal_lines(found, 25)
    assert [line.partition("included): ")[2] for line in fast] == [
        "p95 < 120 ms not met (150.0 ms)",
        "p99 < 500 ms not met (510.0 ms)",
    ]
    assert "p95 < 200 ms met (150.0 ms)" in slow[0]


def test_a_goal_is_missed_by_its_own_number_and_slower_cards_have_none() -> None:
    assert "p95 < 120 ms not met" in goal_lines(latencies([seen(120.0)]), 10)[0]
    assert "no goal" in goal_lines(latencies([seen(80.0)]), 60)[0]
    assert goal_lines([], 10) == []
