"""One table for screen and lamp: every outcome with every code, and every state between cards."""

import itertools
import re
from pathlib import Path

from edge.looks import OF_LOOK, answer, look, standing
from wire import headlink
from wire.codes import Code, Outcome

PAGE = Path("edge/web/static/page.js").read_text("utf-8")
EVERY = list(itertools.product(Outcome, Code))


def test_every_result_has_a_meaning_and_the_lamp_says_what_the_screen_says() -> None:
    for outcome, code in EVERY:
        meaning = answer(outcome, code)
        assert meaning in headlink.MEANINGS
        if meaning != "fault":
            assert meaning == OF_LOOK[look(outcome, code)]


def test_what_is_accepted_is_a_yes_and_only_that() -> None:
    assert answer(Outcome.ACCEPTED, Code.OK) == "yes"
    refused = {code: answer(Outcome.REFUSED, code) for code in Code}
    assert "yes" not in refused.values()
    again = {code for code, meaning in refused.items() if meaning == "hold-again"}
    assert again == {Code.HOLD_AGAIN, Code.TWO_CARDS}
    fault = {code for code, meaning in refused.items() if meaning == "fault"}
    assert fault == {Code.DEVICE_FAULT, Code.JOURNAL_FULL}
    assert answer(Outcome.REPEAT, Code.REPEAT) == answer(Outcome.REPEAT, Code.DESK) == "repeat"


def test_the_page_draws_every_look() -> None:
    shapes = re.findall(r"(\w+):", re.search(r"SHAPES = \{(.*)\}", PAGE)[1])  # type: ignore[index]
    assert {look(outcome, code) for outcome, code in EVERY} <= set(shapes)


def test_between_two_cards_a_reader_that_takes_none_is_a_fault_whatever_the_network() -> None:
    assert {standing(ready=False, online=online) for online in (True, False)} == {"fault"}
    assert standing(ready=True, online=False) == "offline"
    assert standing(ready=True, online=True) == "ready"
