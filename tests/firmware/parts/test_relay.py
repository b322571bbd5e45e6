"""The relay: one pulse, bounded, refused while one lasts."""

import headlink
from hardware import Pin, refused
from relay import Relay


def made():
    pin = Pin(1)
    return pin, Relay(pin)


def test_it_rests_when_the_head_begins():
    pin, relay = made()
    assert pin.level == 0
    assert not relay.is_closed


def test_a_pulse_is_as_long_as_was_asked_for():
    pin, relay = made()
    assert relay.ops()[headlink.RELAY](1_000, 700) == ()
    closed = []
    for now_ms in range(1_000, 3_000, 10):
        relay.tick(now_ms)
        closed.append(pin.level)
    assert closed.count(1) == 70
    assert pin.levels == [0, 1, 0]


def test_one_that_is_asked_for_while_one_lasts_is_refused_and_lengthens_nothing():
    pin, relay = made()
    relay.pulse(0, 500)
    assert refused(relay.pulse, 490, 500) == headlink.NOT_NOW
    relay.tick(500)
    assert pin.level == 0
    assert refused(relay.pulse, 500, 500) is None


def test_no_length_beyond_the_bound_is_taken():
    pin, relay = made()
    for ms in (0, headlink.RELAY_MS_MAX + 1, 0xFFFF):
        assert refused(relay.pulse, 0, ms) == "damaged"
    assert pin.level == 0
    assert refused(relay.pulse, 0, headlink.RELAY_MS_MAX) is None


def test_a_loop_that_comes_late_opens_at_once():
    pin, relay = made()
    relay.pulse(0, 100)
    relay.tick(60_000)
    assert pin.level == 0
