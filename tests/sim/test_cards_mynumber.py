"""The simulated My Number Card, as a stock nfcpy 1.0.4 meets it over its `udp:` driver."""

import hashlib
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import nfc
import nfc.clf
import nfc.tag.tt4
import pytest
from cryptography import x509

from hw.sim.antenna import Antenna
from hw.sim.cards import Card
from hw.sim.certificate import ca_certificate
from hw.sim.chipdata import Purpose
from hw.sim.mynumber import (
    COMMON_AP,
    FACE_AP,
    INPUT_SUPPORT_AP,
    JPKI_AP,
    NOBODYS_NUMBER,
    ChipData,
    MyNumberCard,
)
from tests.timing import IN_TIME

TODAY = date(2026, 11, 20)
DATA = ChipData(
    serial="012345678901234",
    municipality="13221",
    expires=date(2034, 3, 31),
    certificate_serial=0x1234ABCD,
    not_before=datetime(2025, 4, 1, 3, 0, 0, tzinfo=UTC),
    not_after=datetime(2030, 3, 31, 14, 59, 59, tzinfo=UTC),
)
AUTHORITY = ca_certificate(DATA.authority(Purpose.AUTHENTICATION))
READ_RECORD = bytes.fromhex("00B2010C00")

Hold = Callable[[Card], nfc.tag.tt4.Type4Tag]


def select(aid: bytes) -> bytes:
    return bytes.fromhex("00A4040C") + bytes([len(aid)]) + aid


def select_file(fid: int) -> bytes:
    return bytes.fromhex("00A4020C02") + fid.to_bytes(2, "big")


def send(tag: nfc.tag.tt4.Type4Tag, *commands: bytes) -> str:
    """Send APDUs; the last one's status word, in hex."""
    for command in commands:
        answer = bytes(tag.transceive(command))
    return answer[-2:].hex()


def read(tag: nfc.tag.tt4.Type4Tag, command: bytes) -> bytes:
    answer = bytes(tag.transceive(command))
    assert answer[-2:] == b"\x90\x00"
    return answer[:-2]


def test_the_common_ap_gives_serial_municipality_and_expiry_in_two_apdus(hold_chip: Hold) -> None:
    card = MyNumberCard(DATA)
    tag = hold_chip(card)
    assert send(tag, select(COMMON_AP)) == "9000"
    assert read(tag, READ_RECORD) == b"\x01\x1c" + b"012345678901234" + b"13221" + b"20340331"
    assert [command for command, _ in card.apdus] == [select(COMMON_AP), READ_RECORD]


def test_the_card_announces_itself_as_a_my_number_card_does(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(MyNumberCard(DATA))
    atqb = bytes(front_end.sense(nfc.clf.RemoteTarget("106B")).sensb_res)
    assert atqb[0] == 0x50
    # Application data and protocol info of the ATR 3B 88 80 01 000005E0 B381A1 00 7F.
    assert atqb[5:] == bytes.fromhex("000005E0B381A1")


def certificate_by_short_apdus(tag: nfc.tag.tt4.Type4Tag) -> bytes:
    send(tag, select(JPKI_AP), select_file(0x000A))
    head = read(tag, bytes.fromhex("00B0000004"))
    size = 4 + int.from_bytes(head[2:4], "big")
    chunks = [
        read(tag, b"\x00\xb0" + at.to_bytes(2, "big") + bytes([min(250, size - at)]))
        for at in range(0, size, 250)
    ]
    return b"".join(chunks)


def certificate_by_one_extended_apdu(tag: nfc.tag.tt4.Type4Tag) -> bytes:
    send(tag, select(JPKI_AP), select_file(0x000A))
    return read(tag, bytes.fromhex("00B00000000000"))


def certificate_by_short_file_id(tag: nfc.tag.tt4.Type4Tag) -> bytes:
    send(tag, select(JPKI_AP))
    return read(tag, bytes.fromhex("00B08A00000000"))


@pytest.mark.parametrize(
    "read_certificate",
    [certificate_by_short_apdus, certificate_by_one_extended_apdu, certificate_by_short_file_id],
)
def test_the_certificate_is_read_byte_for_byte_and_is_the_authoritys(
    hold_chip: Hold, read_certificate: Callable[[nfc.tag.tt4.Type4Tag], bytes]
) -> None:
    card = MyNumberCard(DATA)
    der = read_certificate(hold_chip(card))
    assert der == card.certificate
    assert 1200 <= len(der) <= 1600
    certificate = x509.load_der_x509_certificate(der)
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(AUTHORITY))
    assert certificate.serial_number == DATA.certificate_serial
    assert certificate.not_valid_before_utc == DATA.not_before
    assert certificate.not_valid_after_utc == DATA.not_after
    assert "JPKI for user authentication" in certificate.issuer.rfc4514_string()


@pytest.mark.parametrize("length", range(1, 21))
def test_serials_of_1_to_20_bytes_end_within_the_first_35(length: int) -> None:
    serial = (1 << (8 * length - 2)) + 1
    der = replace(DATA, certificate_serial=serial).certificate()
    assert der[:1] + der[13:15] == bytes([0x30, 0x02, length])
    assert int.from_bytes(der[15 : 15 + length], "big") == serial


def test_forty_bytes_by_short_file_id_bring_the_serial_in_two_apdus(hold_chip: Hold) -> None:
    tag = hold_chip(MyNumberCard(DATA))
    assert send(tag, select(JPKI_AP)) == "9000"
    assert read(tag, bytes.fromhex("00B08A0028"))[13:19] == bytes.fromhex("02041234ABCD")


def test_filler_may_follow_the_certificate(hold_chip: Hold) -> None:
    card = MyNumberCard(DATA, filler=100)
    der = certificate_by_short_file_id(hold_chip(card))
    assert der == card.certificate + b"\xff" * 100


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        ([select(bytes.fromhex("D2760000850101"))], "6a82"),
        ([select(JPKI_AP), select_file(0x0003)], "6a82"),
        ([select_file(0x000A)], "6a82"),
        ([select(JPKI_AP), bytes.fromhex("00B00000FF")], "6986"),
        ([select(JPKI_AP), bytes.fromhex("00B08A00")], "6700"),
        ([select(JPKI_AP), bytes.fromhex("00B09F0010")], "6a82"),
        ([select(JPKI_AP), select_file(0x000A), bytes.fromhex("00B07FFF10")], "6b00"),
        ([select(JPKI_AP), bytes.fromhex("00B0980010")], "6981"),
        ([select(JPKI_AP), bytes.fromhex("00B0810010")], "6982"),
        ([select(COMMON_AP), bytes.fromhex("00B0810010")], "6981"),
        ([select(COMMON_AP), bytes.fromhex("00B2020C00")], "6a83"),
        ([select(INPUT_SUPPORT_AP), bytes.fromhex("00B0810011")], "6982"),
        ([select(FACE_AP), bytes.fromhex("00B0850010")], "6982"),
        ([bytes.fromhex("00A40000")], "6a86"),
        ([bytes.fromhex("00A4040C0AD392")], "6700"),
        ([b"\x00\xa4"], "6700"),
        ([select(JPKI_AP), bytes.fromhex("00A40000")], "9000"),
        ([bytes.fromhex("00A40000023F00")], "6a82"),
        ([bytes.fromhex("00CA004600")], "6a88"),
        ([select(JPKI_AP), bytes.fromhex("00CA004500")], "6a88"),
        ([bytes.fromhex("00C0000000")], "6d00"),
        ([bytes.fromhex("002A0080")], "6e00"),
        ([bytes.fromhex("40A4040C")], "6e00"),
        ([bytes.fromhex("01A4040C")], "6881"),
        ([bytes.fromhex("0CB08A0000")], "6882"),
    ],
)
def test_a_refused_command_gets_the_status_word_of_the_real_card(
    hold_chip: Hold, commands: list[bytes], status: str
) -> None:
    assert send(hold_chip(MyNumberCard(DATA)), *commands) == status


def test_the_number_is_read_only_after_the_pin_and_is_nobodys(hold_chip: Hold) -> None:
    tag = hold_chip(MyNumberCard(DATA))
    assert send(tag, select(INPUT_SUPPORT_AP), select_file(0x0011)) == "9000"
    assert send(tag, bytes.fromhex("0020008004") + b"1234") == "9000"
    assert read(tag, bytes.fromhex("00B0810011"))[3:15] == NOBODYS_NUMBER
    digits = [int(digit) for digit in NOBODYS_NUMBER.decode()]
    weights = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]  # the ordinance's, from the left
    rest = sum(d * w for d, w in zip(digits, weights, strict=False)) % 11
    assert digits[11] != (0 if rest <= 1 else 11 - rest)
    assert send(tag, select(INPUT_SUPPORT_AP), bytes.fromhex("00B0810011")) == "6982"


def test_a_pin_is_blocked_after_its_tries_and_stays_so_without_power(hold_chip: Hold) -> None:
    card = MyNumberCard(DATA)
    tag = hold_chip(card)
    wrong, right = bytes.fromhex("0020008004") + b"9999", bytes.fromhex("0020008004") + b"1234"
    ask = bytes.fromhex("00200080")
    assert send(tag, select(JPKI_AP), select_file(0x0018), ask) == "63c3"
    assert [send(tag, wrong) for _ in range(3)] == ["63c2", "63c1", "63c0"]
    tag = hold_chip(card)
    assert send(tag, select(JPKI_AP), select_file(0x0018), ask) == "63c0"
    assert send(tag, right) == "6984"


def test_a_right_pin_gives_all_tries_back(hold_chip: Hold) -> None:
    tag = hold_chip(MyNumberCard(DATA))
    send(tag, select(JPKI_AP), select_file(0x0018), bytes.fromhex("0020008004") + b"9999")
    send(tag, bytes.fromhex("0020008004") + b"1234")
    assert send(tag, bytes.fromhex("00200080")) == "63c3"


def test_a_card_without_the_common_ap_still_has_its_certificate(hold_chip: Hold) -> None:
    card = MyNumberCard(DATA, common_ap=False)
    tag = hold_chip(card)
    assert send(tag, select(COMMON_AP)) == "6a82"
    assert certificate_by_short_file_id(tag) == card.certificate


def test_a_faulty_card_answers_the_chosen_status_word(hold_chip: Hold) -> None:
    tag = hold_chip(MyNumberCard(DATA, wrong_status={0xB2: 0x6F00}))
    assert send(tag, select(COMMON_AP)) == "9000"
    assert send(tag, READ_RECORD) == "6f00"


@IN_TIME
def test_a_slow_card_that_asks_for_time_is_waited_for(hold_chip: Hold) -> None:
    tag = hold_chip(MyNumberCard(DATA, apdu_ms=450, wtx_ms=150))
    started_s = time.monotonic()
    assert send(tag, select(COMMON_AP)) == "9000"
    assert 0.45 <= time.monotonic() - started_s < 0.7


def test_a_slow_card_that_never_asks_is_deaf_meanwhile_and_found_by_retries(
    hold_chip: Hold,
) -> None:
    card = MyNumberCard(
        DATA, apdu_ms=400, wtx_ms=math.inf
    )  # longer than its frame waiting time of 309 ms
    tag = hold_chip(card)
    started_s = time.monotonic()
    assert send(tag, select(COMMON_AP)) == "9000"
    assert read(tag, READ_RECORD) == DATA.common_record()
    assert time.monotonic() - started_s >= 0.8
    assert len(card.apdus) == 2


def pupis(front_end: nfc.clf.ContactlessFrontend, times: int) -> set[bytes]:
    seen = (front_end.sense(nfc.clf.RemoteTarget("106B")) for _ in range(times))
    return {bytes(target.sensb_res[1:5]) for target in seen}


def test_the_pupi_is_the_cards_own_or_new_at_each_activation(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(MyNumberCard(DATA))
    assert len(pupis(front_end, 3)) == 1
    antenna.place(MyNumberCard(DATA, random.Random(7)))
    assert len(pupis(front_end, 3)) == 3


def test_a_seed_draws_the_same_town_of_cards_within_a_second_or_so() -> None:
    def town(seed: int) -> list[MyNumberCard]:
        rng = random.Random(seed)
        return [MyNumberCard(ChipData.drawn(rng, TODAY)) for _ in range(300)]

    started_s = time.process_time()
    cards = town(1)
    assert time.process_time() - started_s < 3
    assert [card.certificate for card in cards] == [card.certificate for card in town(1)]
    assert len({card.data.serial for card in cards}) == 300
    for data in (card.data for card in cards):
        assert data.not_before.date() < TODAY < data.not_after.date() < data.expires


def test_a_certificate_is_the_same_in_every_run() -> None:
    digest = hashlib.sha256(MyNumberCard(DATA).certificate).hexdigest()
    assert digest == "3d51c3872c3ed9cce954deb9c487def325313054609dfc4c9b51875c7cd3bceb"
