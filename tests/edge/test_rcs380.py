"""An RC-S380 behind nfcpy's own USB transport: as it was recorded, with cards, and what it says."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any, Final

import pytest

from edge.frontends import Card, CardGone, FrontEndFault, Technology
from edge.frontends.isodep import AGAIN_S, ANSWER_S, Garbled, Silence
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.rcs380 import NOT_SENT
from edge.schemes.allowlist import SELECT_COMMON_AP
from hw.sim.cards import FeliCaCard, StaffToken, TornAway, foreign_eid
from hw.sim.field import Frame
from hw.sim.isodep import Reply
from hw.sim.rcs380 import RCS380, Command
from hw.sim.rcs380_radio import Status
from tests.edge.reader_kit import identifier, my_number_card
from tests.edge.usb_kit import (
    ALL,
    PATH,
    RECORDINGS,
    Recording,
    found,
    on_bus,
    plugged_in,
    read,
)
from tests.timing import IN_TIME
from wire.credential import Scheme

IDM: Final = bytes.fromhex("0114D5A2B3C4E5F6")
UID: Final = bytes.fromhex("04A1B2C3D4E5F6")
BUSY_S: Final = 0.5
"""How much later than reckoned a busy machine may be; without our blocks it is 1.25 s."""


@pytest.fixture
def device() -> Iterator[RCS380]:
    with plugged_in() as plugged:
        yield plugged


@pytest.fixture
def front_end(device: RCS380) -> Iterator[Nfcpy]:
    opened = Nfcpy(PATH, "0003")
    yield opened
    opened.close()


Held = Callable[[Any], Card]


@pytest.fixture
def held(device: RCS380, front_end: Nfcpy) -> Held:
    def hold(card: Any) -> Card:
        device.place(card)
        return found(front_end)

    return hold


# --- recorded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "technology", "card"), RECORDINGS)
def test_nfcpy_sends_byte_for_byte_what_was_recorded(
    name: str, technology: Technology, card: Any
) -> None:
    nobody = card is None
    rest = ["field-off"] * nobody + ["closing"] * (name != "type-a")  # that one ends too early
    recording = Recording("opening", "field-off", name, *rest)
    with on_bus(recording):
        front_end = Nfcpy(PATH, "FFFF")
        with contextlib.suppress(FrontEndFault):
            assert bool(front_end.sense((technology,))) is not nobody
        front_end.close()
    assert recording.left == []


# --- read ----------------------------------------------------------------------------------------


def test_what_is_on_the_air_is_only_what_is_needed() -> None:
    air: list[Frame] = []
    with plugged_in(transcript=air.append) as device:
        front_end = Nfcpy(PATH, "0003")
        device.place(my_number_card(1))
        air.clear()
        read(found(front_end, ("106B",)), Scheme.COMMON_AP)
        front_end.close()
    sent = [frame.data for frame in air if frame.to_card]
    assert [frame[:1].hex() for frame in sent] == ["05", "1d", "02", "03"]


def test_what_a_round_and_a_block_cost_on_the_bus(device: RCS380, front_end: Nfcpy) -> None:
    device.commands.clear()
    assert front_end.sense(ALL) is None
    off, setting = [Command.SWITCH_RF], [Command.IN_SET_RF, *[Command.IN_SET_PROTOCOL] * 2]
    asked = [command[0] for command in device.commands]
    assert asked == 3 * [*off, *setting, Command.IN_COMM_RF, *off]
    device.place(my_number_card(1))
    card = found(front_end)
    card.transceive(SELECT_COMMON_AP, 0.4)  # and ATTRIB
    device.commands.clear()
    card.transceive(SELECT_COMMON_AP, 0.4)
    assert [command[0] for command in device.commands] == [*setting, Command.IN_COMM_RF]


def test_commands_and_answers_of_any_length_pass(held: Held) -> None:
    card = held(my_number_card(1))
    for length in (*range(5, 70), 127, 128, 250, 253, 254, 261):  # packets that are full among them
        assert len(card.transceive(bytes(length), 0.4)) == 2
    assert card.transceive(bytes.fromhex("00A4040C0AD392F000260100000001"), 0.4) == b"\x90\x00"
    assert len(card.transceive(bytes.fromhex("00B08A0000"), 1.0)) == 256 + 2


def test_a_card_loses_its_power_before_each_search(device: RCS380, front_end: Nfcpy) -> None:
    device.place(foreign_eid(random.Random(1)))
    ids = {found(front_end).sensed_id for _ in range(4)}
    assert len(ids) == 4  # its PUPI is drawn anew each time that it gets power
    device.place(my_number_card(1))
    for _ in range(3):
        assert found(front_end).transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"


def test_our_waits_reach_the_device_in_tenths_of_a_millisecond(held: Held, device: RCS380) -> None:
    card = held(TornAway(my_number_card(1), frames=2))
    device.commands.clear()
    with pytest.raises(CardGone):
        card.transceive(SELECT_COMMON_AP, 0.4)
    asked = [command[1:3] for command in device.commands if command[0] == Command.IN_COMM_RF]
    # ATTRIB, the block and R(NAK), each in nfcpy's whole milliseconds and one more.
    assert [int.from_bytes(time, "little") for time in asked] == [1010, 1010, 130]


# --- torn, slow, crowded -------------------------------------------------------------------------


@IN_TIME
def test_a_card_torn_away_frees_the_reader_in_two_answers_time(
    device: RCS380, front_end: Nfcpy
) -> None:
    """The best of three: the machine that tests is busy."""
    took_s = []
    for _ in range(3):
        device.place(TornAway(my_number_card(1), frames=2))
        card = found(front_end, ("106B",))
        started_s = time.monotonic()
        with pytest.raises(CardGone):
            card.transceive(SELECT_COMMON_AP, 0.9)
        took_s.append(time.monotonic() - started_s)
        device.remove()
    assert min(took_s) < ANSWER_S + AGAIN_S + BUSY_S


@pytest.mark.parametrize("frames", range(1, 4))
def test_the_next_card_is_served_after_one_was_torn_away_at_any_frame(
    held: Held, frames: int
) -> None:
    with pytest.raises(CardGone):
        read(held(TornAway(my_number_card(1), frames=frames)), Scheme.COMMON_AP)
    mine = my_number_card(2)
    assert read(held(mine), Scheme.COMMON_AP) == identifier(mine, Scheme.COMMON_AP)


def test_a_card_taken_away_while_it_thinks_is_gone(held: Held, device: RCS380) -> None:
    card = held(my_number_card(1, apdu_ms=90))
    taken = Timer(0.03, device.remove)
    taken.start()
    with pytest.raises(CardGone):
        card.transceive(SELECT_COMMON_AP, 0.4)
    taken.join()


def test_a_slow_legal_card_is_given_up_once_and_then_its_whole_time(held: Held) -> None:
    card = my_number_card(1, 250)  # its FWT is 309 ms; it asks for more after 232
    with pytest.raises(CardGone):
        held(card).transceive(SELECT_COMMON_AP, 0.9)
    assert held(card).transceive(SELECT_COMMON_AP, 0.9) == b"\x90\x00"


def test_two_cards_of_one_technology_are_none_and_of_two_the_order_decides(
    device: RCS380, front_end: Nfcpy
) -> None:
    device.place(my_number_card(1), my_number_card(2))
    assert front_end.sense(ALL) is None
    device.place(StaffToken(UID), StaffToken(UID[:4]))
    assert front_end.sense(ALL) is None
    device.place(FeliCaCard(IDM), my_number_card(1))
    assert found(front_end).technology == "106B"
    assert found(front_end, ("212F", "106B")).technology == "212F"


# --- what the device says of an exchange ---------------------------------------------------------


@pytest.mark.parametrize("status", list(Status)[1:])
def test_each_status_is_the_cards_fault_or_the_devices(
    held: Held, device: RCS380, status: Status
) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.end_next(status, status)
    if status in NOT_SENT:
        with pytest.raises(FrontEndFault, match="cannot send"):
            card.transceive(SELECT_COMMON_AP, 0.4)
        return
    with pytest.raises(CardGone) as gone:
        card.transceive(SELECT_COMMON_AP, 0.4)
    assert type(gone.value.__cause__) is (Silence if status is Status.RECEIVE_TIMEOUT else Garbled)


class Endless:
    """Answers with more than a frame may hold, once it was selected."""

    def __init__(self) -> None:
        self._card = my_number_card(1)

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: Technology, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        block = frame[0] & 0xEE in (0x02, 0xA2)
        return reply._replace(data=bytes(300)) if reply and block else reply


def test_a_frame_longer_than_any_may_be_is_the_cards_fault(held: Held) -> None:
    with pytest.raises(CardGone) as gone:
        held(Endless()).transceive(SELECT_COMMON_AP, 0.4)
    assert type(gone.value.__cause__) is Garbled


@pytest.mark.parametrize("status", [Status.CRC, Status.PARITY, Status.RECEIVE_TIMEOUT])
def test_one_lost_block_is_asked_for_again(held: Held, device: RCS380, status: Status) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.end_next(status)
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"


@pytest.mark.parametrize("technology", ALL)
@pytest.mark.parametrize("status", list(Status)[1:])
def test_a_search_that_was_not_sent_is_no_empty_field(
    device: RCS380, front_end: Nfcpy, technology: Technology, status: Status
) -> None:
    device.end_next(status)
    if status in NOT_SENT:
        with pytest.raises(FrontEndFault, match="cannot send"):
            front_end.sense((technology,))
    else:
        assert front_end.sense((technology,)) is None
