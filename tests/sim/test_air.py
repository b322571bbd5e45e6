"""The timing model against the measured conversations of a stock nfcpy."""

import pytest

from hw.sim.air import Exchange, air_us, exchange_us, type_b_conversation

SELECT_AP, SELECT_FILE = (15, 2), (7, 2)
READ_RECORD, READ_40, READ_250, GET_DATA = (5, 32), (5, 42), (5, 252), (5, 15)


@pytest.mark.parametrize(
    ("apdus", "at_106_ms", "at_212_ms", "at_424_ms"),
    [
        ([SELECT_AP, READ_RECORD], 12.2, 8.7, 6.9),
        ([SELECT_AP, READ_40], 13.2, 9.2, 7.2),
        ([SELECT_AP, SELECT_FILE, READ_40], 15.3, 10.4, 7.9),
        ([SELECT_AP, READ_250], 33.0, 19.1, 12.1),
        ([GET_DATA], 7.7, 6.3, 5.6),
        ([SELECT_AP, SELECT_FILE, (5, 6), *[(5, 258)] * 4, (5, 222)], 144, 76, 42),
    ],
)
def test_a_conversation_takes_what_was_measured(
    apdus: list[tuple[int, int]], at_106_ms: float, at_212_ms: float, at_424_ms: float
) -> None:
    for technology, expected in (("106B", at_106_ms), ("212B", at_212_ms), ("424B", at_424_ms)):
        took_ms = air_us(type_b_conversation(apdus, technology)) / 1000
        assert took_ms == pytest.approx(expected, rel=0.01)


def test_long_apdus_are_chained_over_frames_of_256_bytes() -> None:
    exchanges = type_b_conversation([(300, 600)])[2:]
    assert exchanges == [
        Exchange("106B", 254, 1),
        Exchange("106B", 48, 254),
        Exchange("106B", 1, 254),
        Exchange("106B", 1, 95),
    ]


def test_a_felica_poll_takes_under_two_milliseconds_beside_its_time_slot() -> None:
    assert 1600 < exchange_us("212F", 6, 20) < 1800


def test_an_unknown_technology_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        exchange_us("847B", 1, 1)
