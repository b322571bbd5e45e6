"""The PN532's protocol by hand: frames, sleep, speed, aborts, time-outs, and whatever comes."""

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.pn532 import PN532
from hw.sim.pn532_frames import ACK, NACK, Decoder, frame
from tests.conftest import Eventually
from tests.sim.pn532_kit import (
    EXCHANGE,
    GET_FIRMWARE_VERSION,
    LIST,
    OK,
    ONE_A,
    ONE_B,
    POLLING,
    POWER_DOWN,
    RF_CONFIGURATION,
    SAM,
    SET_BAUD,
    SYNTAX_ERROR,
    THRU,
    TIMEOUT,
    WAKE_UP,
    WUPB,
    Host,
    my_number_card,
)
from tests.timing import IN_TIME


@pytest.fixture
def chip() -> Iterator[PN532]:
    with PN532(paced=False) as opened:
        yield opened


@pytest.fixture
def host(chip: PN532) -> Iterator[Host]:
    with Host(chip.path) as opened:
        opened.command(RF_CONFIGURATION, bytes.fromhex("05010000"))  # one try
        yield opened


@pytest.fixture
def paced() -> Iterator[PN532]:
    with PN532() as opened:
        yield opened


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 254, 255, 256, 265])
def test_a_packet_of_any_size_comes_out_of_its_frame_however_it_is_cut(size: int) -> None:
    rng = random.Random(size)
    packet = b"\xd4" + rng.randbytes(size - 1)
    stream = (
        b"\x55\x55\x00\x00" + frame(packet) + frame(ACK) + b"\xff\x00" + frame(NACK) + frame(packet)
    )
    decoder = Decoder()
    found = [one for byte in stream for one in decoder.feed(bytes([byte]))]
    assert found == [packet, ACK, NACK, packet]
    assert list(Decoder().feed(stream)) == found


@given(st.binary(max_size=600))
def test_no_noise_keeps_the_decoder_from_the_next_frame_after_a_silence(noise: bytes) -> None:
    decoder = Decoder()
    list(decoder.feed(noise))
    decoder.forget()
    assert list(decoder.feed(frame(b"\xd4\x02"))) == [b"\xd4\x02"]


def test_known_frames_are_made_byte_for_byte() -> None:
    assert frame(b"\xd4\x02") == bytes.fromhex("0000FF02FED4022A00")  # UM0701-02, 7.2.2
    assert frame(ACK) == bytes.fromhex("0000FF00FF00")
    assert frame(NACK) == bytes.fromhex("0000FFFF0000")
    assert frame(SYNTAX_ERROR) == bytes.fromhex("0000FF01FF7F8100")


@pytest.mark.parametrize(
    "garbled",
    [
        "0000FF02FDD4022A00",  # length checksum
        "0000FF02FED4022B00",  # data checksum
        "0000FF02FED5022900",  # not from a host
        "0000FFFFFF012000D402",  # longer than any frame
        "0000FF05FBD402",  # the rest never comes
    ],
)
def test_a_garbled_frame_is_not_even_acknowledged(host: Host, garbled: str) -> None:
    host.send(bytes.fromhex(garbled))
    assert host.packets(1, within_s=0.05) == []  # longer than the silence that ends a frame
    assert host.lives()


@pytest.mark.parametrize(
    "command",
    [
        "38",  # unknown
        "8C0508001234564001FE",  # to be a card
        "0203",
        "0003",
        "0639",
        "08633D",
        "1009",
        "1200" * 2,
        "1405",
        "32",
        "320201",
        "3202000B11",
        "4A0300",
        "4A0105",
        "4A0101",
        "4A0103",
    ],
)
def test_what_makes_no_sense_is_a_syntax_error(host: Host, command: str) -> None:
    code, *data = bytes.fromhex(command)
    assert host.command(code, bytes(data)) == SYNTAX_ERROR
    assert host.lives()


def test_a_nack_brings_the_last_answer_again(host: Host) -> None:
    version = host.command(GET_FIRMWARE_VERSION)
    for _ in range(2):
        assert host.again() == b"\xd5\x03" + version


def test_the_line_test_echoes_the_longest_packet(host: Host) -> None:
    data = b"\x00" + random.Random(1).randbytes(262)
    assert host.command(0, data) == data
    assert [host.command(0, test) for test in (b"\x01", b"\x02")] == [OK, OK]


# --- sleep, speed, aborts ------------------------------------------------------------------------


def test_the_chip_sleeps_at_first_and_the_fifth_edge_on_the_line_wakes_it(chip: PN532) -> None:
    with Host(chip.path) as host:  # it has sent one byte 55, of five edges
        assert host.lives()
        chip.reset()
        host.ask(GET_FIRMWARE_VERSION)  # its own bytes are spent on waking
        assert host.packets(1, within_s=0.05) == []
        assert host.lives()
        assert host.command(POWER_DOWN, b"\x10") == OK
        host.send(bytes(3))  # a byte 00 has one edge; the fifth one is in the start code
        host.ask(GET_FIRMWARE_VERSION)
        assert host.packets(1, within_s=0.05) == []
        assert host.lives()


def test_a_chip_that_the_line_does_not_wake_sleeps_until_it_is_reset(chip: PN532) -> None:
    with Host(chip.path) as host:
        assert host.command(POWER_DOWN, b"\x20") == OK
        host.send(WAKE_UP)
        host.ask(GET_FIRMWARE_VERSION)
        assert host.packets(1, within_s=0.05) == []
        chip.reset()
        host.send(WAKE_UP)
        assert host.lives()


def test_a_new_speed_holds_from_the_hosts_ack_on(chip: PN532, eventually: Eventually) -> None:
    with Host(chip.path) as host:
        assert host.command(SET_BAUD, b"\x07") == b""
        assert chip.baud == 115200
        assert host.lives()  # no ACK: nothing has changed
        assert host.command(SET_BAUD, b"\x07") == b""
        host.cancel()
        eventually(lambda: chip.baud == 921600)
        host.ask(GET_FIRMWARE_VERSION)
        assert host.packets(1, within_s=0.05) == []  # noise at the chip's speed
        host.baud = 921600
        assert host.lives()
        chip.reset()
        assert chip.baud == 115200


def test_a_chip_can_be_found_awake_at_the_speed_of_an_agent_that_died() -> None:
    with PN532(left_at=460800, paced=False) as chip, Host(chip.path, 460800) as host:
        assert host.lives()


@IN_TIME
def test_an_ack_and_a_new_command_each_end_a_command_that_waits(paced: PN532) -> None:
    with Host(paced.path) as host:
        host.command(RF_CONFIGURATION, bytes.fromhex("0101"))
        host.command(RF_CONFIGURATION, bytes.fromhex("02000B00"))  # wait for ever
        for end in (host.cancel, lambda: None):
            host.ask(THRU, WUPB)
            assert host.packets(1) == [ACK]
            assert host.packets(1, within_s=0.05) == []
            end()
            started_s = time.monotonic()
            assert host.lives()
            assert time.monotonic() - started_s < 1
        host.ask(LIST, ONE_B)  # tries for ever unless told otherwise
        assert host.packets(1) == [ACK]
        host.cancel()
        assert host.lives()


def test_a_chip_is_reset_and_closed_in_the_middle_of_a_command(paced: PN532) -> None:
    with Host(paced.path) as host:
        host.ask(LIST, ONE_B)
        host.packets(1)
        paced.reset()
        host.send(WAKE_UP)
        assert host.lives()
        host.ask(LIST, ONE_B)
        host.packets(1)


@IN_TIME
@pytest.mark.parametrize(("index", "least_ms"), [(5, 1.6), (10, 51.2), (11, 102.4)])
def test_a_time_out_really_waits(paced: PN532, index: int, least_ms: float) -> None:
    with Host(paced.path) as host:
        host.command(RF_CONFIGURATION, bytes.fromhex("0101"))
        host.command(RF_CONFIGURATION, bytes([2, 0, 11, index]))
        started_s = time.monotonic()
        assert host.command(THRU, WUPB) == TIMEOUT
        took_ms = 1000 * (time.monotonic() - started_s)
        assert least_ms <= took_ms < least_ms + 100


# --- whatever comes ------------------------------------------------------------------------------

COMMANDS = [0x00, 0x02, 0x06, 0x08, 0x12, SAM, RF_CONFIGURATION, EXCHANGE, THRU, 0x44, LIST, 0x52]
FIELD_ON = (RF_CONFIGURATION, b"\x01\x01")
FOUND = [(LIST, ONE_A), (LIST, ONE_B), (LIST, b"\x01\x01" + POLLING + b"\x00"), FIELD_ON]
noise = st.binary(max_size=300)
command = st.one_of(
    st.tuples(st.integers(0, 255), st.binary(max_size=40)),
    st.tuples(st.sampled_from(COMMANDS), st.binary(max_size=12)),
    st.tuples(st.sampled_from([THRU, EXCHANGE]), st.binary(max_size=12).map(b"\x01".__add__)),
    st.sampled_from(FOUND),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.one_of(noise, command, command), max_size=8))
def test_nothing_that_comes_over_the_line_kills_or_hangs_the_chip(
    chip: PN532, pieces: list[bytes | tuple[int, bytes]]
) -> None:
    chip.place(my_number_card(), StaffToken(b"\x01\x02\x03\x04"), FeliCaCard(bytes(8)))
    with Host(chip.path) as host:
        for piece in pieces:
            if isinstance(piece, bytes):
                host.send(piece)
            else:
                host.ask(*piece)
                host.packets(2, within_s=0.02)  # or a command would end the one before
    chip.reset()
    with Host(chip.path) as host:
        assert host.lives()
