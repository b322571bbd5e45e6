"""An antenna on which a stock nfcpy 1.0.4 finds simulated cards through its `udp:` driver."""

from collections.abc import Callable, Iterator

import nfc
import nfc.clf
import nfc.tag
import nfc.tag.tt4
import pytest

from hw.sim.antenna import Antenna
from hw.sim.cards import Card


def instant(_technology: str, _to_card: int, _from_card: int) -> int:
    """An air that takes no time, where the test is not about time."""
    return 0


@pytest.fixture
def antenna() -> Iterator[Antenna]:
    with Antenna(air=instant) as opened:
        yield opened


@pytest.fixture
def front_end(antenna: Antenna) -> Iterator[nfc.clf.ContactlessFrontend]:
    with nfc.ContactlessFrontend(antenna.device) as opened:
        yield opened


Hold = Callable[[Card], nfc.tag.tt4.Type4Tag]


@pytest.fixture
def hold_chip(antenna: Antenna, front_end: nfc.clf.ContactlessFrontend) -> Hold:
    """Hold a Type B card over the reader, which finds and activates it."""

    def held(card: Card) -> nfc.tag.tt4.Type4Tag:
        antenna.place(card)
        target = front_end.sense(nfc.clf.RemoteTarget("106B"))
        tag = nfc.tag.activate(front_end, target)
        assert isinstance(tag, nfc.tag.tt4.Type4BTag)
        return tag

    return held
