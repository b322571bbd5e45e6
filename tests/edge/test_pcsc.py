"""PC/SC readers through the real pcscd: what the front end promises, and what people do to it."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.frontends import CardGone, FrontEndFault
from edge.frontends.atr import technology_of
from edge.frontends.pcsc import CALL_S_MAX, GET_ID, LATE_S_MAX, Pcsc, chosen
from edge.schemes import REGISTER
from edge.schemes.allowlist import READ_COMMON_RECORD, SELECT_COMMON_AP
from hw.sim.cards import FeliCaCard, Phone, StaffToken
from hw.sim.vicc import VirtualReader
from tests.conftest import Eventually
from tests.edge.pcsc_kit import ALL, NAME, Desk, Leaving, desk, opened
from tests.edge.reader_kit import my_number_card
from tests.real_pcsc import Pcscd
from tests.timing import IN_TIME

IDM = bytes.fromhex("0114D5A2B3C4E5F6")
UID = bytes.fromhex("04A1B2C3D4E5F6")
LATER_S = 0.4
"""How much later than the deadline a caller may come back on a busy machine."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One pcscd for the tests that do it no harm."""
    with desk(tmp_path_factory.mktemp("pcscd")) as running:
        yield running


@pytest.fixture
def front_end(place: Desk) -> Iterator[Pcsc]:
    with opened() as front_end:
        place.lifted(front_end)
        yield front_end
        place.reader.remove()  # ends what the reader still waits for


# --- what is found -------------------------------------------------------------------------------


def test_an_empty_reader_is_no_card_and_looking_waits(front_end: Pcsc) -> None:
    started = time.thread_time()
    for _ in range(20):
        assert front_end.sense(ALL) is None
    assert front_end.waited_ns > 20 * 15_000_000
    assert time.thread_time() - started < 0.2  # of 0.4 s


def test_a_card_of_another_technology_is_not_looked_for(place: Desk, front_end: Pcsc) -> None:
    place.held(front_end, FeliCaCard(IDM))
    assert front_end.sense(("106B", "106A")) is None
    assert front_end.sense(("212F",)) is not None


def test_a_card_that_comes_is_found_at_once(place: Desk, front_end: Pcsc) -> None:
    card = place.held(front_end, my_number_card())
    assert card.times_us["activate"] > 0
    assert set(card.times_us) == {"detect", "activate"}


def test_a_felica_card_is_none_where_another_system_is_configured(place: Desk) -> None:
    with opened(felica_system="8008") as front_end:
        place.held(front_end, StaffToken(UID))
        place.lifted(front_end)
        place.reader.place(FeliCaCard(IDM, systems=(0x8008,)))
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            assert front_end.sense(ALL) is None


def test_a_phone_has_another_id_each_time_it_is_held(place: Desk, front_end: Pcsc) -> None:
    phone = Phone(random.Random(1))
    ids = set()
    for _ in range(3):
        found = place.held(front_end, phone)
        assert (found.technology, found.speaks_apdu) == ("106A", True)
        ids.add(found.sensed_id)
        place.lifted(front_end)
    assert len(ids) == 3


def test_a_card_left_lying_stays_the_same_and_is_not_powered_up_again(
    place: Desk, front_end: Pcsc
) -> None:
    card = my_number_card(pupi=random.Random(1))  # a new one at each activation
    first = place.held(front_end, card)
    for _ in range(10):
        again = front_end.sense(ALL)
        assert again is not None
        assert again.sensed_id == first.sensed_id
    assert place.found(front_end).transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"


def test_what_was_selected_is_forgotten_by_the_next_look(place: Desk, front_end: Pcsc) -> None:
    found = place.held(front_end, my_number_card())
    assert found.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"
    assert found.transceive(READ_COMMON_RECORD, 2.0)[-2:] == b"\x90\x00"
    again = place.found(front_end)
    assert again.transceive(READ_COMMON_RECORD, 2.0)[-2:] != b"\x90\x00"


def test_a_card_that_thinks_long_without_asking_is_waited_for(place: Desk, front_end: Pcsc) -> None:
    found = place.held(front_end, my_number_card(apdu_ms=700))
    assert found.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"


def test_a_long_answer_comes_whole(place: Desk, front_end: Pcsc) -> None:
    card = my_number_card()
    found = place.held(front_end, card)
    found.transceive(bytes.fromhex("00A4040C0AD392F000260100000001"), 2.0)
    answer = found.transceive(bytes.fromhex("00B08A00000000"), 2.0)
    assert answer == card.certificate + b"\x90\x00"


def test_the_front_end_itself_asks_for_the_id_alone(place: Desk, front_end: Pcsc) -> None:
    card = my_number_card()
    found = place.held(front_end, card)
    found.transceive(SELECT_COMMON_AP, 2.0)
    assert [apdu for apdu, _ in card.apdus] == [SELECT_COMMON_AP]


# --- cards that leave, and that are slow ----------------------------------------------------------


def test_a_card_that_is_taken_away_between_two_commands_is_gone(
    place: Desk, front_end: Pcsc
) -> None:
    found = place.held(front_end, my_number_card())
    found.transceive(SELECT_COMMON_AP, 2.0)
    place.reader.remove()
    with pytest.raises(CardGone):
        found.transceive(READ_COMMON_RECORD, 2.0)
    place.lifted(front_end)


@IN_TIME
def test_a_card_that_is_taken_away_in_the_middle_of_a_command_is_gone_at_once(
    place: Desk, front_end: Pcsc
) -> None:
    found = place.held(front_end, my_number_card(apdu_ms=5000))
    threading.Timer(0.1, place.reader.remove).start()
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 4.0)
    assert time.monotonic() - started < 0.1 + LATER_S


@IN_TIME
def test_a_card_that_falls_silent_is_gone_at_the_callers_deadline(
    place: Desk, front_end: Pcsc
) -> None:
    # It answers one command; then comes silence, for which the reader waits its FWT of 309 ms.
    found = place.held(front_end, Leaving(my_number_card(), blocks=1))
    assert found.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(READ_COMMON_RECORD, 0.1)
    assert time.monotonic() - started < 0.1 + LATER_S


@IN_TIME
def test_no_command_outlasts_the_callers_deadline(place: Desk, front_end: Pcsc) -> None:
    found = place.held(front_end, my_number_card(apdu_ms=3000, wtx_ms=200))
    started = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.05)
    assert time.monotonic() - started < 0.05 + LATER_S
    started = time.monotonic()
    assert front_end.sense(ALL) is None  # the reader is still busy with that card
    assert time.monotonic() - started < LATER_S
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.0)


def test_a_late_answer_is_thrown_away(place: Desk, front_end: Pcsc) -> None:
    found = place.held(front_end, my_number_card(apdu_ms=150))
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.05)
    again = place.found(front_end)
    assert again.transceive(READ_COMMON_RECORD, 2.0)[-2:] != b"\x90\x00"


# --- readers and pcscd that leave -----------------------------------------------------------------


def test_without_pcscd_opening_is_a_fault_that_says_so(tmp_path: Path) -> None:
    with desk(tmp_path) as place:
        place.pcscd.kill()
        with pytest.raises(FrontEndFault, match="see whether pcscd runs"):
            Pcsc("pcsc", "0003")


def test_without_a_reader_opening_is_a_fault_that_says_so(tmp_path: Path) -> None:
    with Pcscd(tmp_path, NAME) as pcscd:
        pcscd.start_without_reader()
        with pytest.raises(FrontEndFault, match="plug the reader in"):
            Pcsc("pcsc", "0003")


def test_a_reader_is_opened_by_a_part_of_its_name(place: Desk) -> None:
    with (
        opened("pcsc:contactless 00 01") as front_end,
        VirtualReader(place.pcscd.port + 1, interrupt=place.pcscd.look) as second,
    ):
        second.place(StaffToken(UID))
        assert place.found(front_end).sensed_id == UID
    with pytest.raises(FrontEndFault, match=NAME):
        Pcsc("pcsc:RC-S300", "0003")


@pytest.mark.parametrize(
    ("names", "wanted", "name"),
    [
        (["Reader SAM 00", "Smart Card Reader 00", "Reader PICC 01"], "", "Reader PICC 01"),
        (["Reader SAM 00", "Smart Card Reader 00"], "", "Smart Card Reader 00"),
        (["Reader SAM 00"], "", "Reader SAM 00"),
        (["One 00", "SONY FeliCa RC-S300/S 00", "SONY FeliCa RC-S300/P 00"], "s300/p", "P 00"),
    ],
)
def test_of_several_readers_it_is_that_for_held_cards(
    names: list[str], wanted: str, name: str
) -> None:
    assert chosen(names, wanted).endswith(name)


def test_killed_and_started_again_pcscd_is_a_fault_until_the_restart(tmp_path: Path) -> None:
    with desk(tmp_path) as place, opened() as front_end:
        found = place.held(front_end, my_number_card(5))
        found.transceive(SELECT_COMMON_AP, 2.0)
        place.pcscd.kill()
        with pytest.raises(FrontEndFault, match="pcscd"):
            found.transceive(READ_COMMON_RECORD, 2.0)
        with pytest.raises(FrontEndFault):
            front_end.sense(ALL)
        with pytest.raises(FrontEndFault):
            front_end.restart()
        place.pcscd.start()
        front_end.restart()
        again = place.found(front_end)  # it lay there all the time
        assert again.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"


def test_a_reader_that_is_pulled_out_and_plugged_in_again(tmp_path: Path) -> None:
    with desk(tmp_path) as place, opened() as front_end:
        place.held(front_end, my_number_card(5))
        place.pcscd.kill()
        place.pcscd.start_without_reader()
        with pytest.raises(FrontEndFault):
            front_end.sense(ALL)
        with pytest.raises(FrontEndFault, match="plug the reader in"):
            front_end.restart()
        place.pcscd.kill()
        place.pcscd.start()
        front_end.restart()
        assert place.found(front_end).sensed_id == (5).to_bytes(4)


def sense_for(front_end: Pcsc, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert front_end.sense(ALL) is None


@IN_TIME
def test_a_pcscd_that_stands_still_is_a_fault_that_says_so(tmp_path: Path) -> None:
    with desk(tmp_path) as place, opened() as front_end:
        place.held(front_end, my_number_card())
        place.pcscd.freeze()
        started = time.monotonic()
        with pytest.raises(FrontEndFault, match="restart pcscd"):
            front_end.sense(ALL)
        assert time.monotonic() - started < CALL_S_MAX + LATER_S
        started = time.monotonic()
        front_end.close()
        assert time.monotonic() - started < 1.0


def test_a_reader_that_is_held_up_finds_nothing_and_then_is_a_fault(tmp_path: Path) -> None:
    with desk(tmp_path) as place, opened() as front_end:
        found = place.held(front_end, my_number_card())
        place.pcscd.freeze()
        with pytest.raises(CardGone):
            found.transceive(SELECT_COMMON_AP, 0.1)
        sense_for(front_end, LATE_S_MAX - 1)
        with pytest.raises(FrontEndFault, match="unplug it"):
            sense_for(front_end, 3.0)


def test_another_program_that_holds_the_card_is_a_fault_that_says_so(place: Desk) -> None:
    with opened() as first, opened() as second:
        place.held(first, my_number_card()).transceive(SELECT_COMMON_AP, 2.0)
        with pytest.raises(FrontEndFault, match="stop the other program"):
            place.found(second)
    place.reader.remove()


def test_closing_ends_the_thread_and_lets_others_have_the_card(
    place: Desk, eventually: Eventually
) -> None:
    before = threading.active_count()
    with opened() as front_end:
        place.held(front_end, my_number_card()).transceive(SELECT_COMMON_AP, 2.0)
    eventually(lambda: threading.active_count() == before, that="the thread has ended")
    with opened() as front_end:
        assert place.found(front_end).transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"
    place.reader.remove()


# --- what an ATR says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atr", "sensed_id", "technology", "speaks_apdu"),
    [
        ("3B888001000005E0B381A1007F", "01020304", "106B", True),  # My Number Card
        ("3B888001000041E0B381A1003B", "01020304", "106B", True),  # a government id
        ("3BE000FF8131FE4514", "", "106B", True),  # My Number Card in a contact reader
        ("3B80800101", "08A1B2C3", "106A", True),  # a phone
        ("3B8180018080", "04A1B2C3D4E5F6", "106A", True),  # DESFire
        ("3B8F8001804F0CA00000030611003B0000000042", "0114D5A2B3C4E5F6", "212F", False),
        ("3B8F8001804F0CA000000306030003000000006A", "04A1B2C3D4E5F6", "106A", False),
        ("3B8F8001804F0CA00000030603F011000000008A", "0114D5A2B3C4E5F6", "212F", False),  # ACR122
        ("3B8F8001804F0CA0000003060B00140000000077", "E004010012345678", None, False),  # ISO 15693
        ("", "", "106B", True),
    ],
)
def test_an_atr_tells_the_technology(
    atr: str, sensed_id: str, technology: str | None, speaks_apdu: bool
) -> None:
    said = technology_of(bytes.fromhex(atr), bytes.fromhex(sensed_id))
    assert said == (technology, speaks_apdu)


def test_the_readers_own_command_never_comes_from_a_scheme() -> None:
    assert all(GET_ID[:1] != command[:1] for s in REGISTER.values() for command in s.commands)
