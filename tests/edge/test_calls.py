"""Calls without a time limit: what one of them raises is its caller's alone."""

import pytest

from edge.frontends.calls import Calls


def test_a_call_that_raises_does_not_end_the_calls_behind_it() -> None:
    calls = Calls()
    with pytest.raises(ValueError, match="nonsense"):
        calls.call(5, int, "nonsense")
    assert calls.call(5, int, "7") == 7
    calls.close()
