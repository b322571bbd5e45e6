"""The front end through the real nfcpy: deadlines, torn, slow and garbled cards."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge.frontends import Card, CardGone, FrontEndFault, Technology
from edge.frontends.isodep import AGAIN_S, ANSWER_S
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.opening import open_front_end
from edge.schemes.allowlist import SELECT_COMMON_AP
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, Phone, StaffToken, TornAway
from hw.sim.isodep import Reply
from tests.edge.reader_kit import my_number_card

ALL: tuple[Technology, ...] = ("106B", "212F", "106A")


@pytest.fixture
def front_end(antenna: Antenna) -> Iterator[Nfcpy]:
    opened = Nfcpy(antenna.device, "0003")
    yield opened
    opened.close()


Held = Callable[[Any], Card]


@pytest.fixture
def held(antenna: Antenna, front_end: Nfcpy) -> Held:
    def hold(card: Any) -> Card:
        antenna.place(card)
        found = front_end.sense(ALL)
        assert found
        return found

    return hold


def test_an_empty_field_is_no_card(front_end: Nfcpy) -> None:
    assert front_end.sense(ALL) is None
    assert front_end.waited_ns > 0


def test_cards_are_found_by_what_the_sense_call_brought(held: Held) -> None:
    idm = bytes.fromhex("0114D5A2B3C4E5F6")
    for card, technology, sensed in (
        (my_number_card(0x01020304), "106B", (0x01020304).to_bytes(4)),
        (FeliCaCard(idm), "212F", idm),
        (StaffToken(bytes.fromhex("04A1B2C3D4E5F6")), "106A", bytes.fromhex("04A1B2C3D4E5F6")),
    ):
        found = held(card)
        assert (found.technology, found.sensed_id) == (technology, sensed)
        assert found.speaks_apdu == (technology == "106B")
        assert found.times_us["detect"] > 0


def test_a_felica_card_without_the_configured_system_is_no_card(
    antenna: Antenna, front_end: Nfcpy
) -> None:
    antenna.place(FeliCaCard(bytes(8), systems=(0x8008,)))
    assert front_end.sense(ALL) is None


def test_an_answer_comes_with_its_status_word(held: Held) -> None:
    assert held(my_number_card()).transceive(SELECT_COMMON_AP, 1.0) == b"\x90\x00"


@pytest.mark.parametrize("frames", [1, 2])
def test_a_card_that_is_torn_away_is_gone_within_two_answers_time(held: Held, frames: int) -> None:
    found = held(TornAway(my_number_card(), frames=frames))
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.9)
    assert time.monotonic() - started < ANSWER_S + AGAIN_S + 0.1  # nfcpy alone: 1.25 s


def test_no_exchange_outlasts_the_callers_deadline(held: Held) -> None:
    found = held(TornAway(my_number_card(), frames=2))
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.03)
    assert time.monotonic() - started < 0.08
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.0)


def test_a_slow_card_that_asks_for_time_is_waited_for(held: Held) -> None:
    found = held(my_number_card(apdu_ms=280, wtx_ms=90))
    assert found.transceive(SELECT_COMMON_AP, 1.0) == b"\x90\x00"


def test_a_card_that_asks_for_time_for_ever_is_gone_at_the_deadline(held: Held) -> None:
    found = held(my_number_card(apdu_ms=60_000, wtx_ms=5))
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.2)
    assert time.monotonic() - started < 0.3


class Garbled:
    """A Type B card that answers every block with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._card = my_number_card()
        self._answer = answer

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        block = technology == "106B" and frame[0] not in (0x05, 0x1D)
        return Reply(self._answer) if block and reply else reply


@pytest.mark.parametrize("answer", ["F2", "02", "03", "A2", "C2", "FF", "0290", "12", "0A0102"])
def test_what_a_hostile_card_answers_is_its_own_fault(held: Held, answer: str) -> None:
    found = held(Garbled(bytes.fromhex(answer)))
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.5)


def test_a_phone_is_found_by_another_id_each_time(antenna: Antenna, front_end: Nfcpy) -> None:
    antenna.place(Phone(random.Random(1)))
    found = [front_end.sense(ALL) for _ in range(3)]
    assert len({card.sensed_id for card in found if card}) == 3
    assert all(card and card.sensed_id[0] == 0x08 for card in found)


@pytest.mark.parametrize(
    "path",
    [
        "udp:no.such.host.invalid:1",
        "pn532:/dev/nothing",
        "usb:ffff",
        "pcsc:no such reader",
        "tty:S0",
    ],
)
def test_a_device_that_is_not_there_is_a_fault(path: str) -> None:
    with pytest.raises(FrontEndFault):
        open_front_end(path, "0003")
