"""The whole card half over a PC/SC reader, with the real pcscd."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.panel import Condition
from hw.sim.cards import FeliCaCard, Phone, StaffToken
from tests.edge.pcsc_kit import Desk, Leaving, desk
from tests.edge.reader_kit import Link, ReaderKit, make_reader, my_number_card, running
from tests.timing import IN_TIME
from wire.codes import Code
from wire.credential import Scheme

CARD = my_number_card(1, apdu_ms=10)
LYING_S = 0.4
"""Some 20 rounds of the loop."""
TOTAL_US_MAX = 250_000
"""C1 allows 120 ms at 10 ms of card time per APDU; twice as much for a busy machine."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "pcscd") as running:
        yield running


@pytest.fixture
def kit(tmp_path: Path, place: Desk) -> ReaderKit:
    return make_reader(tmp_path / "bus-1", "pcsc", technologies=("106B", "212F", "106A"))


def lifted(place: Desk, link: Link) -> None:
    """Take the card away, and be sure that the reader noticed: it looks every 20 ms."""
    place.reader.remove()
    assert link.silent_for(LYING_S)


@IN_TIME
def test_a_member_is_greeted_in_time_and_a_card_left_lying_is_one_presentation(
    kit: ReaderKit, place: Desk
) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        place.reader.place(CARD)
        shown = link.shown()
        assert shown.code is Code.OK
        assert shown.stages_us["total"] < TOTAL_US_MAX
        assert shown.stages_us["host"] < shown.stages_us["total"]
        assert link.silent_for(LYING_S)
        lifted(place, link)
        place.reader.place(CARD)
        assert link.shown().code is Code.REPEAT
    assert len(kit.taps()) == 2


def test_every_kind_of_card_finds_its_scheme(kit: ReaderKit, place: Desk) -> None:
    token = StaffToken(bytes.fromhex("04A1B2C3D4E5F6"))
    felica = FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6"))
    kit.enrol(token, scheme=Scheme.STAFF_TOKEN, schemes=list(Scheme))
    with running(kit) as link:
        link.ready()
        for card, code in (
            (token, Code.OK),
            (felica, Code.UNKNOWN),
            (CARD, Code.UNKNOWN),
            (Phone(random.Random(1)), Code.CARD_NOT_USABLE),
        ):
            place.reader.place(card)
            assert link.shown().code is code
            lifted(place, link)


def test_a_card_that_is_torn_away_is_asked_to_be_held_again(kit: ReaderKit, place: Desk) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        place.reader.place(Leaving(CARD, blocks=1))
        assert link.shown().code is Code.HOLD_AGAIN
        lifted(place, link)
        place.reader.place(CARD)
        assert link.shown().code is Code.OK


def test_when_pcscd_dies_the_reader_says_so_and_serves_again_when_it_is_back(
    kit: ReaderKit, place: Desk
) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        place.pcscd.kill()
        link.until(Condition, lambda said: said.trouble is Code.DEVICE_FAULT)
        place.pcscd.start()
        link.ready()
        place.reader.place(CARD)
        assert link.shown().code is Code.OK


def test_a_reader_that_is_pulled_out_serves_again_when_it_is_plugged_in(
    kit: ReaderKit, place: Desk
) -> None:
    kit.enrol(CARD)
    place.pcscd.stop()
    place.pcscd.start_without_reader()
    with running(kit) as link:
        link.until(Condition, lambda said: said.trouble is Code.DEVICE_FAULT)
        place.pcscd.stop()
        place.pcscd.start()
        link.ready()
        place.reader.place(CARD)
        assert link.shown().code is Code.OK
