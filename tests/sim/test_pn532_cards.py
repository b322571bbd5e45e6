"""Registers and cards of the PN532 by hand: what goes out, who is listed, who is heard."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw.sim.air import FIELD_ON_US, air_us, type_b_conversation
from hw.sim.cards import Card, FeliCaCard, Phone, StaffToken
from hw.sim.crc import crc
from hw.sim.field import Field
from hw.sim.isodep import Reply
from hw.sim.mynumber import JPKI_AP
from hw.sim.pn532 import PN532
from hw.sim.pn532_radio import Radio, RadioError
from tests.sim.pn532_kit import (
    BIT_FRAMING,
    COLLISION,
    COMM_IRQ,
    CRC_ERROR,
    DESELECT,
    ERROR,
    EXCHANGE,
    FIFO,
    FIFO_LEVEL,
    LIST,
    MOD_GSP,
    NO_TARGET,
    OK,
    ONE_A,
    ONE_B,
    POLLING,
    READ_RECORD,
    READ_REGISTER,
    RELEASE,
    RF_CONFIGURATION,
    RX_MODE,
    SELECT,
    SELECT_COMMON_AP,
    THRU,
    TIMEOUT,
    TWO_A,
    TX_CONTROL,
    TX_MODE,
    WRITE_REGISTER,
    WUPB,
    Host,
    my_number_card,
)

NAK = b"\xb2"  # R(NAK), block number 0


@pytest.fixture
def chip() -> Iterator[PN532]:
    with PN532(paced=False) as opened:
        yield opened


@pytest.fixture
def host(chip: PN532) -> Iterator[Host]:
    with Host(chip.path) as opened:
        opened.command(RF_CONFIGURATION, bytes.fromhex("05010000"))  # one try
        yield opened


# --- registers -----------------------------------------------------------------------------------


def test_registers_keep_what_is_written_and_the_fifo_is_first_in_first_out(host: Host) -> None:
    host.command(WRITE_REGISTER, TX_MODE + b"\x83" + MOD_GSP + b"\x42" + b"\x12\x34\x56")
    assert host.command(READ_REGISTER, TX_MODE + MOD_GSP + b"\x12\x34") == b"\x83\x42\x56"
    host.command(WRITE_REGISTER, b"".join(FIFO + bytes([byte]) for byte in range(70)))
    assert host.command(READ_REGISTER, FIFO_LEVEL) == b"\x40"  # full
    assert host.command(READ_REGISTER, 3 * FIFO + FIFO_LEVEL) == b"\x00\x01\x02\x3d"
    host.command(WRITE_REGISTER, FIFO_LEVEL + b"\x80")
    assert host.command(READ_REGISTER, FIFO_LEVEL) == b"\x00"


def test_interrupt_bits_are_set_and_cleared_one_by_one(host: Host) -> None:
    host.command(WRITE_REGISTER, COMM_IRQ + b"\x7f")
    host.command(WRITE_REGISTER, COMM_IRQ + b"\xb0")
    host.command(WRITE_REGISTER, COMM_IRQ + b"\x10")
    assert host.command(READ_REGISTER, COMM_IRQ) == b"\x20"


def test_registers_tell_what_became_of_an_exchange(chip: PN532, host: Host) -> None:
    assert host.command(LIST, ONE_A) == b"\x00"
    assert host.command(READ_REGISTER, FIFO + BIT_FRAMING) == b"\x26\x07"  # REQA, still there
    chip.place(my_number_card(1), my_number_card(2))
    host.command(LIST, ONE_B)
    assert host.command(THRU, WUPB) == CRC_ERROR
    interrupts, error = host.command(READ_REGISTER, COMM_IRQ + ERROR)
    assert (interrupts & 0x22, error) == (0x22, 0x04)


def test_each_technology_has_registers_and_analog_settings_of_its_own(host: Host) -> None:
    host.command(RF_CONFIGURATION, bytes.fromhex("0CFF0485"))
    loaded = {}
    for request in ("0100", "010100FFFF0000", "010200FFFF0000", "010300"):
        host.command(LIST, bytes.fromhex(request))
        loaded[request[:4]] = host.command(READ_REGISTER, TX_MODE + RX_MODE + MOD_GSP + TX_CONTROL)
    on = 0x83
    assert loaded == {
        "0100": bytes([0x00, 0x00, 0x11, on]),  # as the REQA left it
        "0101": bytes([0x92, 0x92, 0x11, on]),
        "0102": bytes([0xA2, 0xA2, 0x11, on]),
        "0103": bytes([0x83, 0x83, 0x04, on]),
    }


# --- cards ---------------------------------------------------------------------------------------


def test_bytes_go_out_as_the_registers_say(chip: PN532, host: Host) -> None:
    token = StaffToken(b"\x01\x02\x03\x04")
    chip.place(token)
    host.command(RF_CONFIGURATION, bytes.fromhex("0101"))
    host.command(WRITE_REGISTER, TX_MODE + b"\x00" + RX_MODE + b"\x00" + BIT_FRAMING + b"\x07")
    assert host.command(THRU, b"\x26") == b"\x00\x04\x00"
    host.command(WRITE_REGISTER, BIT_FRAMING + b"\x00")
    assert host.command(THRU, b"\x26") == TIMEOUT  # eight bits are no REQA
    anticollision = host.command(THRU, b"\x93\x20")
    assert anticollision == b"\x00\x01\x02\x03\x04\x04"
    select = b"\x93\x70" + anticollision[1:]
    assert host.command(THRU, select) == TIMEOUT  # without its CRC
    sak = host.command(THRU, select + crc("106A", select))
    assert sak == b"\x00\x00" + crc("106A", b"\x00")
    host.command(WRITE_REGISTER, TX_MODE + b"\x80" + RX_MODE + b"\x80")
    assert len(host.command(THRU, b"\x30\x00")) == 17
    host.command(WRITE_REGISTER, TX_MODE + b"\x83")
    assert host.command(THRU, WUPB) == TIMEOUT  # sent as Type B, heard as Type A


def test_known_checksums_are_computed() -> None:
    assert crc("106A", bytes.fromhex("1234")) == bytes.fromhex("26CF")  # ISO/IEC 14443-3, annex B
    assert crc("106B", bytes.fromhex("0FAAFF")) == bytes.fromhex("FCD1")
    assert crc("212F", b"123456789") == bytes.fromhex("31C3")  # CRC-16/XMODEM


def test_two_cards_that_answer_at_once_are_heard_as_the_technology_lets_them(
    chip: PN532, host: Host
) -> None:
    chip.place(my_number_card(1), my_number_card(2))
    assert host.command(LIST, ONE_B) == b"\x00"
    assert host.command(THRU, WUPB) == CRC_ERROR
    chip.place(StaffToken(b"\x01\x02\x03\x04"), StaffToken(b"\x01\x02\x03\x05"))
    host.command(WRITE_REGISTER, TX_MODE + b"\x00" + RX_MODE + b"\x00" + BIT_FRAMING + b"\x07")
    assert host.command(THRU, b"\x26") == COLLISION
    chip.place(FeliCaCard(bytes(8)), FeliCaCard(bytes(7) + b"\x01"))
    assert host.command(LIST, b"\x01\x01" + POLLING + b"\x00") == b"\x00"


def test_two_type_a_cards_are_listed_bit_by_bit(chip: PN532, host: Host) -> None:
    tokens = [StaffToken(b"\x01\x02\x03\x04"), StaffToken(b"\x04\x02\x03\x04\x05\x06\x07")]
    chip.place(*tokens)
    assert host.command(LIST, TWO_A) == bytes.fromhex(
        "02"
        "01 0004 00 04 01020304"  # 01 has a 1 where 88 has a 0, in the first bit that goes out
        "02 0044 00 07 04020304050607"
    )
    for token in tokens:
        host.command(RF_CONFIGURATION, b"\x01\x00")  # one of them was told to be silent
        cascaded = token.uid if len(token.uid) == 4 else b"\x88" + token.uid
        assert host.command(LIST, ONE_A + cascaded).endswith(token.uid)
    assert host.command(LIST, ONE_A + b"\x09\x09\x09\x09") == b"\x00"


def test_felica_cards_with_time_slots_are_listed_together(chip: PN532, host: Host) -> None:
    chip.place(FeliCaCard(bytes(8)), FeliCaCard(bytes(7) + b"\x01"))
    listed = [host.command(LIST, b"\x02\x01" + POLLING + b"\x0f")[0] for _ in range(20)]
    assert set(listed) <= {0, 2}  # they may draw the same slot
    assert listed.count(2) > 10


@pytest.mark.parametrize("card", [my_number_card(), Phone(random.Random(1))])
def test_the_firmware_exchanges_whole_apdus_with_a_card_that_speaks_them(
    chip: PN532, host: Host, card: Card
) -> None:
    chip.place(card)
    listed = host.command(LIST, ONE_A if isinstance(card, Phone) else ONE_B)
    assert listed[0] == 1
    expected = b"\x6a\x82" if isinstance(card, Phone) else b"\x90\x00"
    assert host.command(EXCHANGE, b"\x01" + SELECT_COMMON_AP) == OK + expected
    assert host.command(EXCHANGE, b"\x02" + SELECT_COMMON_AP) == NO_TARGET
    assert host.command(SELECT, b"\x01") == OK
    assert host.command(DESELECT, b"\x01") == OK
    assert host.command(EXCHANGE, b"\x01" + SELECT_COMMON_AP) == TIMEOUT
    assert host.command(RELEASE, b"\x00") == OK
    assert host.command(SELECT, b"\x01") == NO_TARGET


def test_the_firmware_exchanges_bytes_with_a_card_that_speaks_no_blocks(
    chip: PN532, host: Host
) -> None:
    chip.place(StaffToken(b"\x01\x02\x03\x04"))
    assert host.command(LIST, ONE_A)[0] == 1
    assert len(host.command(EXCHANGE, b"\x01\x30\x00")) == 17
    chip.place(FeliCaCard(bytes(8)))
    assert host.command(LIST, b"\x01\x01" + POLLING + b"\x00")[0] == 1
    assert host.command(EXCHANGE, b"\x01\x0a\x04" + bytes(8)) == b"\x00\x0b\x05" + bytes(9)


def test_long_data_goes_and_comes_in_pieces(chip: PN532, host: Host) -> None:
    card = my_number_card()
    chip.place(card)
    host.command(LIST, ONE_B)
    select = bytes.fromhex("00A4040C0A") + JPKI_AP
    assert host.command(EXCHANGE, b"\x41" + select[:7]) == OK  # more information follows
    assert host.command(EXCHANGE, b"\x01" + select[7:]) == OK + b"\x90\x00"
    first = host.command(EXCHANGE, b"\x01" + bytes.fromhex("00B08A00000400"))
    rest = []
    while first[0] == 0x40:
        rest.append(first[1:])
        first = host.command(EXCHANGE, b"\x01")
    certificate = b"".join(rest) + first[1:]
    assert certificate == card.certificate[:1024] + b"\x90\x00"


def test_the_field_goes_off_by_command_and_by_register_and_the_card_forgets(
    chip: PN532, host: Host
) -> None:
    chip.place(my_number_card())
    off_by = [(RF_CONFIGURATION, b"\x01\x00"), (WRITE_REGISTER, TX_CONTROL + b"\x80")]
    for code, data in off_by:
        host.command(LIST, ONE_B)
        assert host.command(THRU, WUPB) == TIMEOUT  # it is selected
        host.command(code, data)
        assert host.command(THRU, WUPB) == TIMEOUT
        host.command(RF_CONFIGURATION, b"\x01\x01")
        assert host.command(THRU, WUPB)[:2] == b"\x00\x50"


class _Babbler:
    """Something in the field that answers every frame with anything."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def reset(self) -> None:
        pass

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        return Reply(self._answers.pop()) if self._answers else None


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from([ONE_A, TWO_A, ONE_B, b"\x02\x01" + POLLING + b"\x03"]),
    answers=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"\x04\x00", bytes(5), b"\x20", b"\x00", b"\x50" + bytes(11), b"\x01"]
            ),
        ),
        max_size=12,
    ),
)
def test_no_card_however_it_answers_kills_the_chip(
    chip: PN532, host: Host, kind: bytes, answers: list[bytes]
) -> None:
    chip.place(_Babbler(answers))
    for code, data in ((LIST, kind), (EXCHANGE, b"\x01" + SELECT_COMMON_AP), (DESELECT, b"\x01")):
        host.command(code, data)
    assert host.lives()


# --- time, by a clock of its own -----------------------------------------------------------------


class Clock:
    """What the chip's clock is to its radio."""

    us = 0.0

    def wait_us(self, us: float) -> None:
        self.us += us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def field() -> Field:
    return Field()


@pytest.fixture
def radio(clock: Clock, field: Field) -> Radio:
    opened = Radio(field, clock.wait_us, lambda: clock.us, random.Random(1))
    opened.registers.set_technology("106B")
    return opened


def test_a_card_needs_5_ms_in_the_field_before_it_hears_anything(
    clock: Clock, field: Field, radio: Radio
) -> None:
    field.place(my_number_card())
    radio.switch(True)
    for _ in range(3):  # 4.8 ms
        with pytest.raises(RadioError):
            radio.communicate(WUPB, 1600)
    clock.wait_us(200)
    assert radio.communicate(WUPB, 1600)[0] == 0x50


def test_a_card_at_work_for_a_reader_that_gave_up_hears_nothing(
    clock: Clock, field: Field, radio: Radio
) -> None:
    field.place(my_number_card(apdu_ms=200))
    radio.get_ready()
    pupi = radio.communicate(WUPB, 1600)[1:5]
    radio.communicate(b"\x1d" + pupi + bytes.fromhex("00080100"), 5000)
    for frame in (b"\x02" + SELECT_COMMON_AP, NAK, NAK):
        with pytest.raises(RadioError):
            radio.communicate(frame, 51200)
    clock.wait_us(50000)
    assert radio.communicate(NAK, 51200) == bytes.fromhex("029000")


def test_an_exchange_takes_its_time_on_the_air_and_in_the_card(
    clock: Clock, field: Field, radio: Radio
) -> None:
    field.place(my_number_card(apdu_ms=25))
    radio.get_ready()
    pupi = radio.communicate(WUPB, 1600)[1:5]
    radio.communicate(b"\x1d" + pupi + bytes.fromhex("00080100"), 5000)
    frames = [SELECT_COMMON_AP, READ_RECORD]
    for number, apdu in enumerate(frames):
        radio.communicate(bytes([0x02 | number]) + apdu, 51200)
    air = air_us(type_b_conversation([(15, 2), (5, 32)]))
    assert clock.us == FIELD_ON_US + air + 2 * 25000


def test_a_card_that_leaves_while_it_thinks_never_answers(
    clock: Clock, field: Field, radio: Radio
) -> None:
    card = my_number_card()
    field.place(card)
    radio.get_ready()

    def leave_us(us: float) -> None:
        field.place()
        clock.wait_us(us)

    radio.wait_us = leave_us
    with pytest.raises(RadioError):
        radio.communicate(WUPB, 1600)
