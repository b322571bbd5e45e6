"""The PN532 on its pty under a stock nfcpy 1.0.4: found, read, unplugged, crashed and come back."""

import random
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nfc
import nfc.clf
import nfc.clf.pn53x
import nfc.tag
import nfc.tag.tt2
import nfc.tag.tt3
import nfc.tag.tt4
import pytest

from hw.sim.air import Exchange, air_us
from hw.sim.cards import Card, FeliCaCard, Phone, StaffToken, TornAway
from hw.sim.field import Frame
from hw.sim.pn532 import COMMAND_MS, PN532, Fault
from tests.conftest import Eventually
from tests.sim.pn532_kit import (
    DEVICE_FAULTS,
    READ_RECORD,
    SELECT_COMMON_AP,
    A,
    B,
    F,
    Host,
    die,
    my_number_card,
    nfcpy,
)
from tests.timing import IN_TIME


@pytest.fixture
def frames() -> list[Frame]:
    return []


@pytest.fixture
def chip(frames: list[Frame]) -> Iterator[PN532]:
    with PN532(transcript=frames.append) as opened:
        yield opened


@pytest.mark.parametrize(("fast", "baud"), [(True, 921600), (False, 115200)])
def test_a_my_number_card_is_found_and_read_at_either_speed(
    chip: PN532, fast: bool, baud: int
) -> None:
    card = my_number_card()
    with nfcpy(chip, fast=fast) as front_end:
        assert chip.baud == baud
        chip.place(card)
        tag = nfc.tag.activate(front_end, front_end.sense(B))
        assert isinstance(tag, nfc.tag.tt4.Type4BTag)
        assert bytes(tag.transceive(SELECT_COMMON_AP)) == b"\x90\x00"
        assert bytes(tag.transceive(READ_RECORD)) == card.data.common_record() + b"\x90\x00"
        assert tag.is_present
        chip.remove()
        assert not tag.is_present
    assert chip.baud == 115200


@pytest.mark.parametrize(
    ("card", "technology", "kind"),
    [
        (StaffToken(b"\x01\x02\x03\x04"), A, nfc.tag.tt2.Type2Tag),
        (StaffToken(b"\x04\x02\x03\x04\x05\x06\x07"), A, nfc.tag.tt2.Type2Tag),
        (Phone(random.Random(1)), A, nfc.tag.tt4.Type4ATag),
        (FeliCaCard(bytes(8)), F, nfc.tag.tt3.Type3Tag),
    ],
)
def test_cards_of_the_other_kinds_are_found_and_asked_whether_they_are_there(
    chip: PN532, card: Card, technology: nfc.clf.RemoteTarget, kind: type[Any]
) -> None:
    with nfcpy(chip) as front_end:
        chip.place(card)
        tag = nfc.tag.activate(front_end, front_end.sense(technology))
        assert isinstance(tag, kind)
        if isinstance(card, StaffToken):
            assert bytes(tag.identifier) == card.uid
        assert tag.is_present
        chip.remove()
        assert not tag.is_present


def test_an_empty_round_finds_nothing(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        assert front_end.sense(B, A, F, iterations=3) is None


def test_cards_of_different_technologies_are_each_found(chip: PN532) -> None:
    chip.place(my_number_card(), FeliCaCard(bytes(8)), StaffToken(b"\x01\x02\x03\x04"))
    with nfcpy(chip) as front_end:
        found = [front_end.sense(technology).brty for technology in (A, B, F)]
    assert found == ["106A", "106B", "212F"]


def test_the_field_goes_off_between_polls_and_the_card_forgets(chip: PN532) -> None:
    chip.place(my_number_card())
    with nfcpy(chip) as front_end:
        tag = nfc.tag.activate(front_end, front_end.sense(B))
        tag.transceive(SELECT_COMMON_AP)
        tag = nfc.tag.activate(front_end, front_end.sense(B))
        assert bytes(tag.transceive(READ_RECORD)) == bytes.fromhex("6A82")


def test_the_firmware_selects_a_type_b_card_and_the_driver_takes_that_back(
    chip: PN532, frames: list[Frame]
) -> None:
    card = my_number_card()
    chip.place(card)
    with nfcpy(chip) as front_end:
        pupi = bytes(front_end.sense(B).sensb_res[1:5])
    sent = [frame.data for frame in frames if frame.to_card]
    assert sent == [
        bytes.fromhex("050000"),
        b"\x1d" + pupi + bytes.fromhex("00050101"),  # frames of 64 bytes, CID 1
        bytes.fromhex("CA01"),
        bytes.fromhex("050008"),
    ]


def test_a_module_may_need_more_modulation_for_type_b_than_nfcpy_sets() -> None:
    with PN532(type_b_mod_gsp_min=0x10) as chip, nfcpy(chip) as front_end:
        chip.place(my_number_card())
        assert front_end.sense(B) is None
        front_end.device.chipset.rf_configuration(0x0C, bytes.fromhex("FF1785"))
        assert front_end.sense(B) is not None


# --- what a phase costs on the line --------------------------------------------------------------

# By command: bytes sent and received, an ACK of 6 bytes among these. -1 is the host's own ACK.
VERSION, LINE, REGISTERS, LISTED = 0x02, 0x00, 0x06, 0x4A
RF, THRU, ANSWERED = 0x32, 0x42, 15
MUTE = (RF, 11, ANSWERED)
OPEN = [
    (VERSION, 19, 19),
    (0x14, 22, 15),
    (0x10, 20, 15),
    (-1, 6, 0),
    (LINE, 275, 281),
    (VERSION, 9, 19),
    (0x12, 10, 15),
    *((RF, 10 + size, ANSWERED) for size in (3, 1, 3, 11, 8, 3, 9, 1)),
]
EMPTY = [
    *[MUTE, (LISTED, 11, 16), (REGISTERS, 11, 16)],
    *[(LISTED, 12, 16), (REGISTERS, 11, 16), (LISTED, 16, 16), MUTE],
]
HIT = [MUTE, (LISTED, 12, 31), (THRU, 11, 18), (THRU, 12, 28)]
BLOCK = [(REGISTERS, 15, 18), (0x08, 18, 15), (RF, 13, 15)]
CLOSE = [(-1, 6, 0), (0x10, 10, 15), (-1, 6, 0), (0x16, 11, 16)]


def test_each_phase_costs_the_bytes_that_it_costs_on_the_real_line(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        commands = front_end.device.chipset.transport.commands
        phases = {"open": len(commands)}
        front_end.sense(A, B, F)
        phases["empty"] = len(commands)
        chip.place(my_number_card())
        target = front_end.sense(B)
        phases["hit"] = len(commands)
        tag = nfc.tag.activate(front_end, target)
        phases["attrib"] = len(commands)
        tag.transceive(SELECT_COMMON_AP)
        phases["select"] = len(commands)
    ends = [0, *phases.values(), len(commands)]
    costs = [commands[begin:end] for begin, end in pairwise(ends)]
    attrib, select = (9 + 9, 16 + 1), (9 + 16, 16 + 3)
    assert costs == [OPEN, EMPTY, HIT, [*BLOCK, (THRU, *attrib)], [*BLOCK, (THRU, *select)], CLOSE]


@IN_TIME
def test_nothing_is_answered_before_line_chip_and_air_have_had_their_time(chip: PN532) -> None:
    for fast in (True, False):
        with nfcpy(chip, fast=fast) as front_end:
            chip.place(my_number_card())
            tag = nfc.tag.activate(front_end, front_end.sense(B))
            line_bytes = sum(sent + received for _, sent, received in [*BLOCK, (THRU, 25, 19)])
            rounds = []
            for _ in range(5):
                started_s = time.monotonic()
                tag.transceive(SELECT_COMMON_AP)
                rounds.append(1000 * (time.monotonic() - started_s))
            least_ms = (
                1e4 * line_bytes / chip.baud
                + 4 * COMMAND_MS
                + air_us([Exchange("106B", 16, 3)]) / 1000
                + 10
            )
            assert least_ms <= min(rounds) < least_ms + 50  # for a busy machine's sake


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_card_that_is_torn_away_is_a_time_out(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        chip.place(TornAway(my_number_card(), frames=6))  # found twice, deselected, ATTRIB, SELECT
        tag = nfc.tag.activate(front_end, front_end.sense(B))
        tag._dep.n_retry_nak, tag._dep.fwt = 0, 0.05
        tag.transceive(SELECT_COMMON_AP)
        with pytest.raises(nfc.tag.TagCommandError):
            tag.transceive(READ_RECORD)
        assert front_end.sense(B) is None


def test_a_reader_that_gives_up_finds_the_thinking_card_again_after_muting(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        chip.place(my_number_card(apdu_ms=1000))
        for _ in range(2):
            tag = nfc.tag.activate(front_end, front_end.sense(B))
            tag._dep.n_retry_nak, tag._dep.fwt = 1, 0.05
            with pytest.raises(nfc.tag.TagCommandError):
                tag.transceive(SELECT_COMMON_AP)


def test_two_type_b_cards_are_not_found_and_two_of_type_a_one_after_the_other(chip: PN532) -> None:
    tokens = [StaffToken(b"\x01\x02\x03\x04"), StaffToken(b"\x04\x02\x03\x04\x05\x06\x07")]
    with nfcpy(chip) as front_end:
        chip.place(my_number_card(1), my_number_card(2))
        assert front_end.sense(B) is None
        chip.place(*tokens)
        assert bytes(front_end.sense(A).sdd_res) in {token.uid for token in tokens}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.HANGS])
def test_one_command_that_goes_wrong_is_an_error_and_the_next_works(
    chip: PN532, fault: Fault
) -> None:
    chip.place(my_number_card())
    with nfcpy(chip) as front_end:
        chip.fail_next(fault)
        with pytest.raises(DEVICE_FAULTS) as caught:
            front_end.sense(B)
        refused = isinstance(caught.value, nfc.clf.pn53x.Chipset.Error)
        assert refused == (fault is Fault.ERROR_FRAME)
        assert front_end.sense(B) is not None


def test_a_chip_that_hangs_hangs_until_it_is_reset(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        chip.fail_next(Fault.HANGS)
        for _ in range(2):
            with pytest.raises(DEVICE_FAULTS):
                front_end.sense(B)
        die(front_end)
    chip.reset()
    chip.place(my_number_card())
    with nfcpy(chip) as front_end:
        assert front_end.sense(B) is not None


def test_an_agent_that_dies_leaves_a_speed_at_which_nfcpy_does_not_open_it(chip: PN532) -> None:
    with nfcpy(chip) as front_end:
        die(front_end)
    assert chip.baud == 921600
    with pytest.raises(DEVICE_FAULTS), nfcpy(chip):
        pass
    chip.reset()
    with nfcpy(chip):
        assert chip.baud == 921600


def test_a_module_that_is_unplugged_is_gone_and_comes_back_under_its_name(tmp_path: Path) -> None:
    link = tmp_path / "nfc0"
    with PN532(link=link) as chip:
        chip.place(my_number_card())
        with nfcpy(chip) as front_end:
            assert front_end.sense(B) is not None
            chip.unplug()
            assert not link.is_symlink()
            with pytest.raises(DEVICE_FAULTS):
                front_end.sense(B)
            front_end.device = None
        chip.plug()
        with nfcpy(chip) as front_end:
            assert front_end.sense(B) is not None
    assert not link.is_symlink()


class _Broken:
    """A card whose simulation itself is faulty."""

    def reset(self) -> None:
        pass

    def answer(self, technology: str, frame: bytes) -> None:
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_death_of_the_chips_thread_does_not_stay_unnoticed(eventually: Eventually) -> None:
    chip = PN532(paced=False)
    chip.place(_Broken())
    with Host(chip.path) as host:
        host.ask(0x4A, b"\x01\x03\x00")
    name = f"PN532 {chip.path}"
    eventually(lambda: all(thread.name != name for thread in threading.enumerate()))
    with pytest.raises(RuntimeError) as caught:
        chip.reset()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(RuntimeError):
        chip.close()
