"""The antenna: nfcpy's `udp:` driver finds what is held there, in the time that the air takes."""

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from datetime import date

import nfc
import nfc.clf
import nfc.tag
import pytest

from hw.sim.air import FIELD_ON_US, air_us, type_b_conversation
from hw.sim.antenna import POLL_MS, Antenna, Frame, hold
from hw.sim.cards import Card, FeliCaCard, Phone, StaffToken
from hw.sim.mynumber import COMMON_AP, ChipData, MyNumberCard
from tests.timing import IN_TIME

SELECT_COMMON_AP = bytes.fromhex("00A4040C0A") + COMMON_AP
READ_RECORD = bytes.fromhex("00B2010C00")
B = nfc.clf.RemoteTarget("106B")
A = nfc.clf.RemoteTarget("106A")
F = nfc.clf.RemoteTarget("212F", sensf_req=bytes.fromhex("0000030100"))
AT_ONCE_S = 0.1
"""Not after the time-outs that nfcpy waits for silent cards."""


def my_number_card(seed: int = 1, apdu_ms: float = 10) -> MyNumberCard:
    return MyNumberCard(ChipData.drawn(random.Random(seed), date(2026, 11, 20)), apdu_ms=apdu_ms)


@pytest.fixture
def frames() -> list[Frame]:
    return []


@pytest.fixture
def antenna(frames: list[Frame]) -> Iterator[Antenna]:
    with Antenna(transcript=frames.append) as opened:
        yield opened


@pytest.fixture
def front_end(antenna: Antenna) -> Iterator[nfc.clf.ContactlessFrontend]:
    with nfc.ContactlessFrontend(antenna.device) as opened:
        yield opened


@IN_TIME
def test_an_empty_round_of_polls_takes_as_long_as_on_a_real_front_end(
    front_end: nfc.clf.ContactlessFrontend,
) -> None:
    started_s = time.monotonic()
    for _ in range(5):
        assert front_end.sense(B, A, F, iterations=1) is None
    round_ms = 1000 * (time.monotonic() - started_s) / 5
    assert sum(POLL_MS.values()) <= round_ms < sum(POLL_MS.values()) + 15


def identify(front_end: nfc.clf.ContactlessFrontend) -> float:
    """Find the card and read its common record; milliseconds taken."""
    started_s = time.monotonic()
    tag = nfc.tag.activate(front_end, front_end.sense(B))
    for apdu in (SELECT_COMMON_AP, READ_RECORD):
        assert bytes(tag.transceive(apdu))[-2:] == b"\x90\x00"
    return 1000 * (time.monotonic() - started_s)


@IN_TIME
@pytest.mark.parametrize("apdu_ms", [10, 25])
def test_an_identification_takes_its_time_on_the_air_and_in_the_card(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend, apdu_ms: float
) -> None:
    antenna.place(my_number_card(apdu_ms=apdu_ms))
    air_ms = (FIELD_ON_US + air_us(type_b_conversation([(15, 2), (5, 32)]))) / 1000
    took_ms = sorted(identify(front_end) for _ in range(5))
    expected_ms = air_ms + 2 * apdu_ms
    assert expected_ms <= took_ms[0] < expected_ms + 10  # the quickest, for a busy machine's sake


def test_the_transcript_holds_each_frame_that_reached_the_card(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend, frames: list[Frame]
) -> None:
    front_end.sense(B)
    assert frames == []
    card = my_number_card()
    antenna.place(card)
    identify(front_end)
    sent = [frame.data for frame in frames if frame.to_card]
    answered = [frame.data for frame in frames if not frame.to_card]
    assert {frame.technology for frame in frames} == {"106B"}
    assert sent[0] == bytes.fromhex("050010")
    assert sent[2:] == [b"\x02" + SELECT_COMMON_AP, b"\x03" + READ_RECORD]
    assert answered[3] == b"\x03" + card.data.common_record() + b"\x90\x00"
    assert [frame.at_us for frame in frames] == sorted(frame.at_us for frame in frames)
    sizes = list(zip(map(len, sent), map(len, answered), strict=True))
    model = type_b_conversation([(15, 2), (5, 32)])
    assert sizes == [(exchange.to_card, exchange.from_card) for exchange in model]


@IN_TIME
def test_a_removed_card_is_gone_at_the_next_poll(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    card = my_number_card()
    antenna.place(card)
    assert antenna.card is card
    assert front_end.sense(B) is not None
    antenna.remove()
    started_s = time.monotonic()
    assert front_end.sense(B) is None
    assert time.monotonic() - started_s < AT_ONCE_S


def test_a_card_removed_while_it_thinks_never_answers(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend, frames: list[Frame]
) -> None:
    antenna.place(my_number_card(apdu_ms=100))
    tag = nfc.tag.activate(front_end, front_end.sense(B))
    tag._dep.n_retry_nak, tag._dep.fwt = 0, 0.2

    def remove_when_asked() -> None:
        while not frames or frames[-1].data != b"\x02" + SELECT_COMMON_AP:
            time.sleep(0.001)
        antenna.remove()

    remover = asyncio.to_thread(remove_when_asked)

    async def race() -> None:
        removing = asyncio.create_task(remover)
        with pytest.raises(nfc.tag.TagCommandError):
            await asyncio.to_thread(tag.transceive, SELECT_COMMON_AP)
        await removing

    asyncio.run(race())
    assert frames[-1].to_card


@IN_TIME
def test_a_reader_that_gives_up_finds_the_thinking_card_again_at_once(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(my_number_card(apdu_ms=1000))
    for _ in range(2):
        tag = nfc.tag.activate(front_end, front_end.sense(B))
        tag._dep.n_retry_nak, tag._dep.fwt = 0, 0.05
        with pytest.raises(nfc.tag.TagCommandError):
            tag.transceive(SELECT_COMMON_AP)
        started_s = time.monotonic()
        assert front_end.sense(B) is not None
        assert time.monotonic() - started_s < AT_ONCE_S


def test_a_new_reader_is_served_though_the_old_one_died_without_switching_off(
    antenna: Antenna,
) -> None:
    antenna.place(my_number_card())
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dying,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new,
    ):
        for reader in (dying, new):
            reader.sendto(b"106B 050010", ("127.0.0.1", antenna.port))
        new.settimeout(2)
        assert new.recv(100).startswith(b"106B 50")


def test_the_field_goes_off_at_each_sense_and_the_card_forgets(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    card = my_number_card()
    antenna.place(card)
    tag = nfc.tag.activate(front_end, front_end.sense(B))
    tag.transceive(SELECT_COMMON_AP)
    tag = nfc.tag.activate(front_end, front_end.sense(B))
    assert bytes(tag.transceive(READ_RECORD)) == bytes.fromhex("6A82")


def test_cards_of_different_technologies_are_each_found(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(my_number_card(), FeliCaCard(bytes(8)), StaffToken(b"\x01\x02\x03\x04"))
    found = [front_end.sense(technology) for technology in (A, B, F)]
    assert [target.brty for target in found] == ["106A", "106B", "212F"]


@IN_TIME
@pytest.mark.parametrize(
    ("cards", "technology"),
    [
        ((my_number_card(1), my_number_card(2)), B),
        ((FeliCaCard(bytes(8)), FeliCaCard(bytes(7) + b"\x01")), F),
        ((StaffToken(b"\x01\x02\x03\x04"), Phone(random.Random(1))), A),
    ],
)
def test_two_cards_of_one_technology_collide(
    antenna: Antenna,
    front_end: nfc.clf.ContactlessFrontend,
    cards: tuple[Card, ...],
    technology: nfc.clf.RemoteTarget,
) -> None:
    antenna.place(*cards)
    started_s = time.monotonic()
    assert front_end.sense(technology) is None
    assert time.monotonic() - started_s < AT_ONCE_S


def test_what_is_no_frame_is_ignored(antenna: Antenna) -> None:
    antenna.place(my_number_card())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for noise in (b"", b"106B", b"106B xyz", b"847B 050010", b"\xff\xfe", b"106A 050010"):
            stranger.sendto(noise, ("127.0.0.1", antenna.port))
        stranger.sendto(b"106B 050010", ("127.0.0.1", antenna.port))
        stranger.settimeout(2)
        assert stranger.recv(100).startswith(b"106B 50")


def test_ports_have_no_name_that_the_driver_cannot_parse(antenna: Antenna) -> None:
    address = ("127.0.0.1", antenna.port)
    assert socket.getnameinfo(address, socket.NI_NUMERICHOST)[1] == str(antenna.port)


async def test_one_program_drives_many_antennas_with_people_at_each() -> None:
    def taps(antenna: Antenna) -> list[bytes]:
        """A reader that looks until it has read one card; the records that it read."""
        with nfc.ContactlessFrontend(antenna.device) as front_end:
            deadline_s = time.monotonic() + 5
            while time.monotonic() < deadline_s:
                if target := front_end.sense(B):
                    tag = nfc.tag.activate(front_end, target)
                    tag.transceive(SELECT_COMMON_AP)
                    return [bytes(tag.transceive(READ_RECORD))]
        return []

    antennas = [Antenna() for _ in range(4)]
    cards = [my_number_card(seed) for seed in range(4)]
    try:
        readers = [asyncio.create_task(asyncio.to_thread(taps, antenna)) for antenna in antennas]
        await asyncio.gather(*(hold(a, c, 0.5) for a, c in zip(antennas, cards, strict=True)))
        read = [(await reader)[0] for reader in readers]
    finally:
        for antenna in antennas:
            antenna.close()
    assert read == [card.data.common_record() + b"\x90\x00" for card in cards]
    assert [antenna.card for antenna in antennas] == [None] * 4
