"""A card left lying is one presentation; a swapped card is another one."""

import random
import time
from pathlib import Path

import pytest

from edge.frontends import Technology
from edge.frontends.isodep import FoundCard
from edge.identify import HOLD_AGAIN, NOT_USABLE
from edge.presence import CROWDED_ROUNDS, EMPTY_ROUNDS, Presence
from hw.sim.antenna import Antenna
from hw.sim.cards import Phone, TornAway, foreign_eid
from tests.edge.reader_kit import ReaderKit, lift, make_reader, my_number_card, running
from wire.codes import Code
from wire.credential import Scheme

CARD = my_number_card(1)
LYING_S = 0.4
"""Some 20 rounds of the loop."""


def test_a_card_left_lying_is_one_presentation(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        antenna.place(CARD)
        assert link.shown().code is Code.OK
        assert link.silent_for(LYING_S)
    assert len(kit.taps()) == 1


def test_a_card_with_a_new_pupi_at_each_poll_is_one_presentation(
    kit: ReaderKit, antenna: Antenna
) -> None:
    changing = my_number_card(2, pupi=random.Random(3))
    kit.enrol(changing)
    with running(kit) as link:
        link.ready()
        antenna.place(changing)
        assert link.shown().code is Code.OK
        assert link.silent_for(LYING_S)
    assert len(kit.taps()) == 1


def test_taking_a_card_with_a_changing_pupi_away_is_no_presentation(
    kit: ReaderKit, antenna: Antenna
) -> None:
    changing = my_number_card(2, pupi=random.Random(3))
    kit.enrol(changing)
    with running(kit) as link:
        link.ready()
        for held in range(8):
            antenna.place(changing)
            link.shown()
            time.sleep(0.05 + held * 0.007)  # so that it leaves at another point of the round
            lift(antenna)
    assert [tap.code for tap in kit.taps()] == [Code.OK] + [Code.REPEAT] * 7


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (Phone(random.Random(1)), Code.CARD_NOT_USABLE),
        (foreign_eid(random.Random(2)), Code.CARD_NOT_USABLE),
        (my_number_card(99, pupi=random.Random(3)), Code.UNKNOWN),
    ],
    ids=["phone", "foreign", "stranger"],
)
def test_a_card_that_is_refused_and_left_lying_is_one_presentation(
    card: object, code: Code, antenna: Antenna, tmp_path: Path
) -> None:
    kit = make_reader(tmp_path, antenna.device, technologies=("106B", "106A"))
    kit.enrol(CARD, schemes=(Scheme.COMMON_AP, Scheme.STAFF_TOKEN))
    with running(kit) as link:
        link.ready()
        antenna.place(card)  # type: ignore[arg-type]
        assert link.shown().code is code
        assert link.silent_for(LYING_S)
    assert len(kit.taps()) == 1


class Mumbling:
    """A card at the edge of the field: found each time, understood only when it comes closer."""

    def __init__(self, card: object) -> None:
        self._card = card
        self.close_enough = False

    def reset(self) -> None:
        self._card.reset()  # type: ignore[attr-defined]

    def answer(self, technology: str, frame: bytes) -> object:
        understood = self.close_enough or frame[:1] in (b"\x05", b"\x1d")
        return self._card.answer(technology, frame) if understood else None  # type: ignore[attr-defined]


def test_a_card_that_cannot_be_understood_is_one_presentation_until_it_can(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD)
    card = Mumbling(my_number_card(1))
    with running(kit) as link:
        link.ready()
        antenna.place(card)  # type: ignore[arg-type]
        assert link.shown().code is Code.HOLD_AGAIN
        assert link.silent_for(1.2)  # two more half seconds of trying
        card.close_enough = True
        assert link.shown().code is Code.OK
    assert [tap.code for tap in kit.taps()] == [Code.HOLD_AGAIN, Code.OK]


def test_a_moment_of_noise_now_and_then_is_no_second_card() -> None:
    presence = Presence()
    card = FoundCard("106A", bytes(4), 0)
    for _ in range(2 * CROWDED_ROUNDS):
        assert not presence.crowded()
        presence.still_lies(card)
    assert [presence.crowded() for _ in range(CROWDED_ROUNDS + 2)].count(True) == 1


def test_people_who_swap_cards_without_a_pause_are_all_served(
    kit: ReaderKit, antenna: Antenna
) -> None:
    cards = [my_number_card(number) for number in range(1, 6)]
    kit.enrol(*cards)
    with running(kit) as link:
        link.ready()
        for card in cards:
            antenna.place(card)
            assert link.shown().code is Code.OK
    assert len({tap.credential for tap in kit.taps()}) == len(cards)


def test_a_card_that_is_lifted_and_held_again_is_a_presentation(
    kit: ReaderKit, antenna: Antenna
) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        for code in (Code.OK, Code.REPEAT):
            antenna.place(CARD)
            assert link.shown().code is code
            lift(antenna)


def test_a_card_torn_away_twice_is_two_presentations(kit: ReaderKit, antenna: Antenna) -> None:
    kit.enrol(CARD)
    with running(kit) as link:
        link.ready()
        for _ in range(2):
            antenna.place(TornAway(my_number_card(1), frames=3))
            assert link.shown().code is Code.HOLD_AGAIN
            lift(antenna)


class Found:
    """A card as the front end reports it."""

    about = ""
    speaks_apdu = True

    def __init__(self, sensed_id: bytes, technology: Technology = "106B") -> None:
        self.sensed_id = sensed_id
        self.times_us: dict[str, int] = {}
        self.technology: Technology = technology

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        raise AssertionError("presence asks no card")


def test_one_lost_round_is_no_absence_and_two_are() -> None:
    presence = Presence()
    assert presence.is_new(Found(b"1"), NOT_USABLE)
    for _ in range(EMPTY_ROUNDS - 1):
        presence.nothing_found()
    assert presence.still_lies(Found(b"1"))
    for _ in range(EMPTY_ROUNDS):
        presence.nothing_found()
    assert not presence.still_lies(Found(b"1"))


def test_the_same_id_on_another_technology_is_another_card() -> None:
    presence = Presence()
    presence.is_new(Found(b"1"), NOT_USABLE)
    assert not presence.still_lies(Found(b"1", "106A"))


def test_a_card_that_was_not_understood_is_asked_again() -> None:
    presence = Presence()
    assert presence.is_new(Found(b"1"), HOLD_AGAIN)
    assert not presence.still_lies(Found(b"1"))
    assert not presence.is_new(Found(b"1"), HOLD_AGAIN)


def test_what_is_remembered_holds_no_id_and_is_bounded() -> None:
    presence = Presence()
    started = time.monotonic()
    for number in range(5_000):
        presence.is_new(Found(number.to_bytes(4)), NOT_USABLE)
    assert time.monotonic() - started < 2
    remembered = vars(presence)["_seen"]
    assert len(remembered) <= 130
    assert not any(
        number.to_bytes(4) in name for name in remembered for number in range(4990, 5000)
    )
