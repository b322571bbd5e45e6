"""What the head senses: what is counted, what ends a journey, and what does not."""

from collections import Counter

import pytest

from edge.senses import LEAVE_MS, Senses
from programmes.texts import say
from wire.headlink import FAULTS

FULL_MV = 13_800
HOT = 1 << FAULTS.index("too-hot")
COUNTERS = ("head.opened", "head.restarted", "head.supply-low", *(f"head.{one}" for one in FAULTS))


class Vehicle:
    """Senses, a look a second."""

    def __init__(self, kind: str = "bus") -> None:
        self.senses = Senses(kind)
        self.now_ms = 0

    def look(
        self, *, ignition: int = 1, opened: int = 0, mv: int = FULL_MV, faults: int = 0, ms: int = 0
    ) -> bool:
        self.now_ms += ms
        self.senses.take(self.now_ms * 1_000_000, ignition, opened, 250, mv, faults)
        return self.senses.leaves(self.now_ms * 1_000_000)

    def counted(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        self.senses.tell(lambda name: counted.update([name]))
        return counted


def test_a_journey_ends_when_the_ignition_stays_off() -> None:
    bus = Vehicle()
    assert not bus.look()
    assert not bus.look(ignition=0)
    assert not bus.look(ignition=0, ms=LEAVE_MS - 1)
    assert bus.look(ignition=0, ms=1)


def test_who_turns_the_key_again_goes_on() -> None:
    bus = Vehicle()
    for _ in range(5):
        assert not bus.look(ignition=0, ms=LEAVE_MS - 1)
        assert not bus.look(ms=1)
    assert not bus.look(ignition=0)


def test_a_reader_that_stands_in_a_house_has_no_ignition() -> None:
    desk = Vehicle("desk")
    for _ in range(3):
        assert not desk.look(ignition=0, mv=5_000, ms=LEAVE_MS)
    assert desk.counted() == {}


def test_a_school_without_mains_ends_in_order_and_has_no_battery() -> None:
    school = Vehicle("school")
    assert not school.look(ignition=0, mv=5_000)
    assert school.look(ignition=0, mv=5_000, ms=LEAVE_MS)
    assert school.counted() == {}


def test_what_begins_is_counted_once_and_again_when_it_begins_again() -> None:
    bus = Vehicle()
    for opened in (0, 1, 1, 0, 1, 0):
        bus.look(opened=opened)
    assert bus.counted() == {"head.opened": 1}  # nobody had listened before
    bus.look(opened=1, faults=HOT)
    assert bus.counted() == {"head.opened": 1, "head.too-hot": 1}
    assert bus.counted() == {}


@pytest.mark.parametrize(
    ("mv", "low"),
    [(0, False), (10_900, True), (11_100, False), (16_000, False), (21_500, True), (27_600, False)],
)
def test_a_battery_is_low_by_its_kind(mv: int, low: bool) -> None:
    bus = Vehicle()
    bus.look(mv=mv)
    assert bus.counted() == ({"head.supply-low": 1} if low else {})


@pytest.mark.parametrize("name", COUNTERS)
def test_every_counter_has_its_words(name: str) -> None:
    for language in ("ja", "en"):
        assert say(f"web.counter.{name}", language)
        assert len(name) <= 40
