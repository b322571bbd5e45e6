"""What the other applications of the simulated My Number Card hold and do, APDU by APDU."""

import hashlib
from datetime import date

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hw.sim.chipdata import Purpose, era
from hw.sim.mynumber import (
    CARD_MANAGER,
    COMMON_AP,
    FACE_AP,
    INPUT_SUPPORT_AP,
    JPKI_AP,
    NOBODYS_NUMBER,
    REGISTER_AP,
    MyNumberCard,
)
from tests.sim.chip_kit import BIRTH_CODE, CODE_B, DATA, Send, connected, read, select, verify

CHALLENGE = bytes(range(16))
DIGEST = hashlib.sha256(CHALLENGE).digest()
DIGEST_INFO = bytes.fromhex("3031300D060960864801650304020105000420") + DIGEST
PKCS1 = padding.PKCS1v15()


@pytest.fixture
def send() -> Send:
    """Send APDUs to one card."""
    return connected(MyNumberCard(DATA))


def objects(data: bytes) -> dict[int, bytes]:
    """Take BER-TLV objects apart: tag and value, in their order, up to the filler."""
    found = {}
    while data and data[:2] != b"\xff\xff":
        width = 2 if data[0] & 0x1F == 0x1F else 1
        tag, rest = int.from_bytes(data[:width], "big"), data[width:]
        sizes = {0x81: 1, 0x82: 2}.get(rest[0], 0)
        length = int.from_bytes(rest[1 : 1 + sizes], "big") if sizes else rest[0]
        found[tag] = rest[1 + sizes :][:length]
        data = rest[1 + sizes + length :]
    return found


def public_key(value: bytes) -> rsa.RSAPublicKey:
    parts = objects(value)
    numbers = (int.from_bytes(parts[tag], "big") for tag in (0x90, 0x91))
    return rsa.RSAPublicNumbers(*numbers).public_key()


def test_the_card_manager_answers_get_data_until_another_application_is_selected(
    send: Send,
) -> None:
    assert send("00CA00F000") == b"13221\x90\x00"
    assert send("00CA00F200") == b"20340331\x90\x00"
    assert send("00CA004500") == b"012345678901234A\x90\x00"
    assert send("00CA5F5100") == bytes.fromhex("E000FF8131FE45149000")
    assert send(select(JPKI_AP), "00CA00F000") == b"\x6a\x88"
    assert send(select(CARD_MANAGER), "00CA00F000") == b"13221\x90\x00"


def test_the_four_attributes_stand_where_the_table_says(send: Send) -> None:
    send(select(INPUT_SUPPORT_AP), verify(b"2468", 0x11))
    file = read(send, 0x02)
    found = objects(objects(file)[0xFF20])
    assert found[0xDF22].decode() == "黒田　太郎"
    assert found[0xDF23].decode() == "見本県見本市１－２－３"
    assert (found[0xDF24], found[0xDF25]) == (b"19800217", b"1")
    for place, tag in enumerate((0xDF22, 0xDF23, 0xDF24, 0xDF25)):
        at = int.from_bytes(found[0xDF21][2 * place : 2 * place + 2], "big")
        assert file[at : at + 2] == tag.to_bytes(2, "big")


def test_the_municipality_vouches_for_number_and_attributes(send: Send) -> None:
    send(select(INPUT_SUPPORT_AP), verify(b"2468", 0x11))
    issuer = certified_key(read(send, 0x04))
    number, attributes, record = (read(send, fid) for fid in (0x01, 0x02, 0x03))
    assert number == bytes.fromhex("FF100C") + NOBODYS_NUMBER + b"\xff\xff"
    found = objects(objects(record)[0xFF30])
    assert found[0xDF31] == hashlib.sha256(number).digest()
    table_end = len(attributes) - len(objects(attributes)[0xFF20]) + 3 + 8
    assert found[0xDF32] == hashlib.sha256(attributes[table_end:]).digest()
    issuer.verify(found[0xDF33], record[5 : 5 + 70], PKCS1, hashes.SHA256())


def certified_key(certificate: bytes) -> rsa.RSAPublicKey:
    body = objects(objects(certificate)[0x7F21])[0x5F4E]
    assert len(body) == 297
    return public_key(body[32:])


@pytest.mark.parametrize(
    ("aid", "pin", "value", "record", "file_tag", "key_tag"),
    [
        (INPUT_SUPPORT_AP, 0x11, b"2468", 0x07, 0xFF50, 0xDF51),
        (FACE_AP, 0x13, NOBODYS_NUMBER, 0x05, 0xFF40, 0xDF42),
        (FACE_AP, 0x12, CODE_B, 0x02, 0xFF20, 0xDF24),
        (FACE_AP, 0x11, BIRTH_CODE, 0x01, 0xFF10, 0xDF12),
    ],
)
def test_a_challenge_is_signed_without_a_pin_by_the_key_in_the_record(
    send: Send, aid: bytes, pin: int, value: bytes, record: int, file_tag: int, key_tag: int
) -> None:
    signature = send(select(aid), bytes.fromhex("802A000033") + DIGEST_INFO + b"\0")[:-2]
    assert send(verify(value, pin)) == b"\x90\x00"
    own = public_key(objects(objects(read(send, record))[file_tag])[key_tag])
    own.verify(signature, CHALLENGE, PKCS1, hashes.SHA256())


def test_the_face_shows_pictures_and_is_signed_in_three_groups(send: Send) -> None:
    send(select(FACE_AP), verify(DATA.code_b, 0x12))
    file = read(send, 0x02)
    found = objects(objects(file)[0xFF20])
    assert all(found[tag].startswith(b"\x89PNG\r\n\x1a\n") for tag in (0xDF25, 0xDF26, 0xDF2A))
    assert found[0xDF27][4:8] == b"jP  "
    starts = [int.from_bytes(found[0xDF21][at : at + 2], "big") for at in range(0, 18, 2)]
    tags = [int.from_bytes(file[at : at + 2], "big") for at in starts]
    assert tags == list(range(0xDF22, 0xDF2B))
    groups = (file[starts[0] : starts[3]], file[starts[3] : starts[5]], file[starts[5] : starts[6]])
    digests = b"".join(hashlib.sha256(group).digest() for group in groups)
    info = bytes.fromhex("3071300D060960864801650304020105000460") + digests
    issuer = certified_key(read(send, 0x04))
    assert issuer.recover_data_from_signature(found[0xDF28], PKCS1, None) == info
    assert send(bytes.fromhex("00B0850010")) == b"\x69\x82"  # the number takes code A


def test_the_common_ap_authenticates_itself_by_a_key_of_its_own(send: Send) -> None:
    send(select(COMMON_AP))
    signature = send(bytes.fromhex("0088009910") + CHALLENGE + b"\0")[:-2]
    DATA.key(Purpose.COMMON).public.verify(signature, CHALLENGE, PKCS1, hashes.SHA256())
    assert send(bytes.fromhex("802A009910") + CHALLENGE + b"\0") == b"\x69\x85"
    assert send(select(JPKI_AP), bytes.fromhex("0088009710") + CHALLENGE + b"\0") == b"\x69\x82"
    assert send(select(FACE_AP), bytes.fromhex("0088009410") + CHALLENGE + b"\0") == b"\x69\x85"


def test_both_register_applications_have_the_same_key_reference_and_pins_of_their_own(
    send: Send,
) -> None:
    references = []
    for aid in (COMMON_AP, REGISTER_AP):
        references.append(send(select(aid), "00B2011400"))
        assert send(verify(b"9999", 0x1C)) == b"\x63\xc2"
        assert send(verify(b"1357", 0x1C)) == b"\x90\x00"
    assert references[0] == references[1]
    assert len(references[0]) == 18


def test_records_are_read_one_by_one_or_from_one_on(send: Send) -> None:
    record = DATA.common_record() + b"\x90\x00"
    assert send(select(COMMON_AP), "00A4020C020001", "00B2010400") == record
    assert send("00B2010D00") == record
    assert send("00B2010C05") == record[:5] + b"\x90\x00"
    assert send("00B2010C") == b"\x67\x00"
    assert send("00B2000C00") == b"\x6a\x83"
    assert send("00B2010E00") == b"\x6a\x86"


def test_a_command_may_come_in_parts(send: Send) -> None:
    aid = INPUT_SUPPORT_AP
    parts = [b"\x10\xa4\x04\x0c\x04" + aid[:4], b"\x00\xa4\x04\x0c\x06" + aid[4:]]
    assert [send(part) for part in parts] == [b"\x90\x00"] * 2
    assert send(verify(b"2468", 0x11)) == b"\x90\x00"
    assert send(parts[0], "00B0810000") == b"\x68\x83"
    assert send(parts[1]) == b"\x6a\x82"  # what had come before is forgotten


def test_a_chain_does_not_grow_without_end(send: Send) -> None:
    part = bytes.fromhex("10A4040CFF") + bytes(255)
    answers = [send(part) for _ in range(17)]
    assert answers[:16] == [b"\x90\x00"] * 16
    assert answers[16] == b"\x67\x00"


def test_birthdays_are_told_by_era_as_the_card_wants_them() -> None:
    days = {
        date(1926, 12, 24): (2, 15),
        date(1926, 12, 25): (3, 1),
        date(1989, 1, 7): (3, 64),
        date(1989, 1, 8): (4, 1),
        date(2019, 4, 30): (4, 31),
        date(2019, 5, 1): (5, 1),
    }
    assert {day: era(day) for day in days} == days
    assert DATA.code_b == b"55021720342285"
