"""The lamps: Raspberry Pi's program for them, and their colours in the order that they want."""

import ring
import rp2


def test_the_program_is_that_of_the_data_sheet():
    words, options = ring.bits
    assert words == [0x6221, 0x1123, 0x1400, 0xA442]  # pico-examples, pio/ws2812
    assert options["autopull"]
    assert options["pull_thresh"] == 24


def test_a_bit_takes_as_long_as_the_lamps_want():
    cycle_ns = 1_000_000_000 // ring.HERTZ
    assert 10 * cycle_ns == 1_250
    assert 220 <= 2 * cycle_ns <= 380  # high for a 0
    assert 580 <= 7 * cycle_ns <= 1_000  # high for a 1


def test_colours_go_out_green_first_from_the_highest_bit():
    lamps = ring.Ring("pin", 3)
    lamps[1] = (1, 2, 3)
    lamps[2] = (255, 0, 128)
    assert len(lamps) == 3
    lamps.write()
    machine = lamps._machine
    assert isinstance(machine, rp2.StateMachine)
    assert machine.is_active
    assert machine.sent == [[0, 0x02010300, 0x00FF8000]]
