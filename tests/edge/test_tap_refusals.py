"""C5: every refusal shows one plain sentence in both languages, with a stable code."""

import datetime
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from edge.panel import Condition, FleetTime, Shown
from hw.sim.antenna import Antenna
from hw.sim.cards import TornAway, foreign_eid
from programmes.calendar import local_day
from programmes.texts import LANGUAGES, say
from tests.edge.reader_kit import OPEN_ROW, PASS, ReaderKit, my_number_card, running
from wire.clock import ClockState, SystemClock
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import ClockStep

CARD = my_number_card(1)
TODAY = datetime.datetime.now(datetime.UTC).date()
YEAR = datetime.timedelta(days=365)
Row = dict[str, Any]

BY_RULE: list[tuple[Code, Row, Row]] = [
    (Code.NOT_YET, {"valid_from": TODAY + YEAR}, {}),
    (Code.EXPIRED, {"valid_to": TODAY - YEAR}, {}),
    (Code.STOP_LISTED, {"stopped_from_s": 1}, {}),
    (Code.WRONG_PLACE, {"category": "town"}, {"lines_of_category": {"town": ["8"]}}),
    (Code.NOT_NOW, {}, {"from_time": "00:00:00", "to_time": "00:00:00"}),
    (Code.STALE, {}, {"refuse_when_stale": True, "stale_after_h": 1, "at_ms": 0}),
]


def _is_one_sentence(shown: Shown) -> None:
    assert shown.outcome is Outcome.REFUSED
    assert shown.message == f"refused.{shown.code}"
    for language in LANGUAGES:
        sentence = say(shown.message, language, **shown.arguments)
        assert 4 <= len(sentence) <= 90
        assert not re.search(r"[{}_]|refused", sentence)


@pytest.mark.parametrize(("code", "row", "parameters"), BY_RULE, ids=lambda v: str(v)[:12])
def test_a_refusal_by_the_rules(
    kit: ReaderKit, antenna: Antenna, code: Code, row: Row, parameters: Row
) -> None:
    credential = kit.credential(PASS, Scheme.COMMON_AP, CARD)
    kit.give_keys()
    kit.give_roster(PASS, [OPEN_ROW._replace(credential=credential, **row)], **parameters)
    _refused(kit, antenna, CARD, code)
    (tap,) = kit.taps()
    assert (tap.credential, tap.rule) == (credential, "senior-pass/2026-04")


BY_CARD: list[tuple[Code, Callable[[], Any]]] = [
    (Code.UNKNOWN, lambda: my_number_card(2)),
    (Code.HOLD_AGAIN, lambda: TornAway(my_number_card(1), frames=3)),
    (Code.CARD_NOT_USABLE, lambda: foreign_eid(random.Random(1))),
]


@pytest.mark.parametrize(("code", "make"), BY_CARD, ids=lambda v: str(v)[:12])
def test_a_refusal_by_the_card(
    kit: ReaderKit, antenna: Antenna, code: Code, make: Callable[[], Any]
) -> None:
    kit.enrol(CARD)
    _refused(kit, antenna, make(), code)


def test_a_rule_table_from_the_future_of_this_program_is_a_fault_of_the_device(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD, a_rule_of_next_year=1)
    _refused(kit, antenna, CARD, Code.DEVICE_FAULT)


def _refused(kit: ReaderKit, antenna: Antenna, card: Any, code: Code) -> None:
    with running(kit) as link:
        link.ready()
        antenna.place(card)
        shown = link.shown()
    assert shown.code is code
    _is_one_sentence(shown)
    assert [(tap.code, tap.shown, tap.rider_pays_yen) for tap in kit.taps()] == [
        (code, shown.message, None)
    ]


@pytest.mark.parametrize("code", [Code.JOURNAL_FULL, Code.DEVICE_FAULT])
def test_what_the_reader_itself_cannot_do_has_a_sentence_too(code: Code) -> None:
    for language in LANGUAGES:
        assert say(f"refused.{code}", language)


class WrongClock:
    """A machine whose clock stands in 1970, and whose monotonic clock is right."""

    def __init__(self) -> None:
        self._right = SystemClock()

    def now_ms(self) -> int:
        return 5_000

    def monotonic_ns(self) -> int:
        return self._right.monotonic_ns()


def test_a_reader_that_lost_the_time_follows_the_programmes_policy(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD, accept_with_unknown_clock=False)
    with running(kit, WrongClock()) as link:
        link.ready()
        antenna.place(CARD)
        shown = link.shown()
    assert shown.code is Code.CLOCK_UNKNOWN
    _is_one_sentence(shown)
    (tap,) = kit.taps()
    assert tap.clock is ClockState.UNKNOWN
    assert local_day(tap.at_ms) == datetime.date(2026, 4, 1)  # counted on from the floor


def test_the_fleets_time_is_taken_and_the_jump_written_down(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD, accept_with_unknown_clock=False)
    fleet_ms = 1_795_000_000_000
    with running(kit, WrongClock()) as link:
        link.ready()
        link.say(FleetTime(at_ms=fleet_ms))
        link.until(Condition, lambda condition: condition.clock is ClockState.SYNCHRONISED)
        antenna.place(CARD)
        assert link.shown().code is Code.OK
    (tap,) = kit.taps()
    assert tap.clock is ClockState.SYNCHRONISED
    assert 0 <= tap.at_ms - fleet_ms < 5_000
    start, step = (kept.entry for kept in kit.entries()[:2])
    assert isinstance(step, ClockStep)
    assert abs(start.at_ms + step.step_ms - fleet_ms) < 5_000  # corrects what came before
