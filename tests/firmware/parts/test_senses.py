"""Senses: contacts that settle, what is kept until it was told, events that matter and no more."""

import headlink
import senses
from hardware import Adc, Pin, Said

AT_27_C = round(0.706 / 3.3 * 65535)
AT_12_V = round(12_000 / 36_300 * 65535)


class Box:
    def __init__(self, ignition=1):
        self.ignition, self.lid = Pin(ignition), Pin(0)
        self.thermometer, self.supply = Adc(AT_27_C), Adc(AT_12_V)
        self.said = Said()
        self.now_ms = 0
        self.senses = senses.Senses(
            self.ignition, self.lid, self.thermometer, self.supply, 36_300, self.said
        )

    def run(self, ms):
        for _ in range(0, ms, 10):
            self.now_ms += 10
            self.senses.tick(self.now_ms)

    def sense(self):
        return self.senses.ops()[headlink.SENSE](self.now_ms)

    def heat(self, celsius):
        self.thermometer.value = round((0.706 - (celsius - 27) * 0.001721) / 3.3 * 65535)


def test_the_temperature_is_the_data_sheets():
    for celsius in (-40, 0, 27, 85):
        raw = round((0.706 - (celsius - 27) * 0.001721) / 3.3 * 65535)
        assert abs(senses.tenths_of_celsius(raw) - celsius * 10) <= 1
    for raw in (0, 65535):  # what no chip says still fits into the answer
        headlink.SENSE.answer(1, 0, senses.tenths_of_celsius(raw), 0, 0)


def test_what_is_sensed_is_answered():
    box = Box()
    box.run(100)
    ignition, tamper, tenths, mv, faults = box.sense()
    assert (ignition, tamper, faults) == (1, 0, 0)
    assert abs(tenths - 270) <= 3
    assert abs(mv - 12_000) <= 2
    assert headlink.SENSE.read_answered(headlink.SENSE.answer(*box.sense())) == box.sense()


def test_the_first_state_is_said_by_itself():
    box = Box(ignition=0)
    box.run(10)
    assert [(op, values[0]) for op, values in box.said.events] == [(headlink.STATE, 0)]


def test_ignition_counts_once_it_has_settled():
    box = Box(ignition=1)
    box.run(100)
    box.ignition.level = 0
    box.run(senses.IGNITION_OFF_MS - 100)  # the starter turns
    box.ignition.level = 1
    box.run(5_000)
    assert box.senses.ignition
    assert len(box.said.events) == 1
    box.ignition.level = 0
    box.run(senses.IGNITION_OFF_MS + 20)
    assert not box.senses.ignition
    for _ in range(50):  # a key that bounces
        box.ignition.level ^= 1
        box.run(10)
    assert not box.senses.ignition
    box.ignition.level = 1
    box.run(senses.IGNITION_ON_MS + 20)
    assert box.senses.ignition


def test_an_opening_is_kept_until_it_was_told_though_the_lid_is_closed_and_the_event_lost():
    box = Box()
    box.run(2_000)
    box.lid.level = 1
    box.run(200)
    box.lid.level = 0
    box.run(60_000)
    assert box.said.events[-1][1][1] == 1
    assert box.sense()[1] == 1
    assert box.sense()[1] == 0


def test_a_lid_that_stays_open_is_told_each_time():
    box = Box()
    box.lid.level = 1
    box.run(1_000)
    assert [box.sense()[1], box.sense()[1]] == [1, 1]


def test_a_lid_that_trembles_is_not_opened():
    box = Box()
    for _ in range(100):
        box.lid.level = 1
        box.run(senses.TAMPER_MS - 20)
        box.lid.level = 0
        box.run(10)
    assert box.sense()[1] == 0


def test_a_fault_is_kept_until_it_was_told():
    box = Box()
    box.senses.note("fell-back")
    box.senses.note("was-cut")
    box.run(10)
    assert box.said.events[-1][1][4] == 0b110
    assert box.sense()[4] == 0b110
    assert box.sense()[4] == 0


def test_too_hot_begins_at_85_degrees_and_ends_below_80():
    box = Box()
    told = []
    for celsius in (84, 86, 82, 84, 79, 84):
        box.heat(celsius)
        box.run(6_000)
        box.sense()
        told.append(box.sense()[4])
    assert told == [0, 1, 1, 1, 0, 0]


def test_small_changes_are_not_said_and_large_ones_at_most_once_a_second():
    box = Box()
    box.run(2_000)
    for degrees in range(100):  # noise
        box.heat(27 + degrees % 2)
        box.supply.value = AT_12_V + (degrees % 3) * 100
        box.run(100)
    assert len(box.said.events) == 1
    box.supply.value = AT_12_V * 2
    box.run(10_000)
    assert 1 < len(box.said.events) <= 11
    assert abs(box.said.events[-1][1][3] - 24_000) < senses.CHANGE_MV


def test_a_contact_that_changes_without_end_says_one_event_a_second():
    box = Box()
    for _ in range(100):
        box.lid.level ^= 1
        box.run(100)
        box.sense()
    assert len(box.said.events) <= 11
