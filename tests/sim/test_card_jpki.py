"""The JPKI application of the simulated My Number Card: certificates, keys, signatures."""

import hashlib
import random
from dataclasses import replace
from datetime import date

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from hw.sim.certificate import ca_certificate
from hw.sim.chipdata import ChipData, Purpose
from hw.sim.mynumber import JPKI_AP, MyNumberCard
from tests.sim.chip_kit import DATA, Send, connected, read, select, verify

CHALLENGE = bytes(range(16))
DIGEST = hashlib.sha256(CHALLENGE).digest()
DIGEST_INFO = bytes.fromhex("3031300D060960864801650304020105000420") + DIGEST
PKCS1 = padding.PKCS1v15()
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@pytest.fixture
def send() -> Send:
    """Send APDUs to one card."""
    return connected(MyNumberCard(DATA))


def test_the_token_record_is_pkcs_11s_and_names_the_plastic_card(send: Send) -> None:
    send(select(JPKI_AP))
    token = read(send, 0x06)
    assert len(token) == 160
    assert token[:32] == b"JPKIAPICCTOKEN2".ljust(32)
    assert token[96:100] == bytes.fromhex("0000040D")
    assert token[116:124] == bytes.fromhex("0000001000000006")
    assert read(send, 0x08) == bytes.fromhex("8F8F00")


def certificates(send: Send) -> dict[Purpose, tuple[x509.Certificate, x509.Certificate]]:
    """For each purpose the holder's certificate and the authority's, as on the card."""
    send(select(JPKI_AP), verify(DATA.secrets.signature, 0x1B))
    pairs = {Purpose.AUTHENTICATION: (0x0A, 0x0B), Purpose.SIGNATURE: (0x01, 0x02)}
    load = x509.load_der_x509_certificate
    return {
        purpose: (load(read(send, own)), load(read(send, authority)))
        for purpose, (own, authority) in pairs.items()
    }


def test_each_certificate_is_its_own_authoritys(send: Send) -> None:
    found = certificates(send)
    for own, authority in found.values():
        own.verify_directly_issued_by(authority)
        authority.verify_directly_issued_by(authority)
    (auth, auth_ca), (sign, sign_ca) = found.values()
    assert "user authentication" in auth.issuer.rfc4514_string()
    assert "digital signature" in sign.issuer.rfc4514_string()
    for own, authority in ((auth, sign_ca), (sign, auth_ca)):
        with pytest.raises(ValueError, match="ssuer"):
            own.verify_directly_issued_by(authority)


def test_a_certificate_says_by_which_key_it_was_issued(send: Send) -> None:
    own, authority = certificates(send)[Purpose.AUTHENTICATION]
    key_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issued_by = own.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issued_by.key_identifier == key_id.digest
    assert issued_by.authority_cert_serial_number == authority.serial_number


def test_only_the_signature_certificate_says_who_the_holder_is(send: Send) -> None:
    found = certificates(send)
    signature, _ = found[Purpose.SIGNATURE]
    names = signature.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    said = {
        int(name.type_id.dotted_string.split(".")[-1]): name.value[2:].decode()
        for name in names.get_values_for_type(x509.OtherName)
    }
    assert {tag: said[tag] for tag in (1, 3, 4, 5)} == {
        1: "黒田　太郎",
        3: "1",
        4: "319800217",  # Showa
        5: "見本県見本市１－２－３",
    }
    authentication = found[Purpose.AUTHENTICATION][0].public_bytes(Encoding.DER)
    assert "黒田".encode() not in authentication


def test_two_generations_share_the_name_and_nothing_else() -> None:
    old, new = (replace(DATA, generation=n) for n in (1, 2))
    authorities = [
        x509.load_der_x509_certificate(ca_certificate(data.authority(Purpose.AUTHENTICATION)))
        for data in (old, new)
    ]
    assert authorities[0].subject == authorities[1].subject
    assert authorities[0].serial_number != authorities[1].serial_number
    own = x509.load_der_x509_certificate(old.certificate())
    own.verify_directly_issued_by(authorities[0])
    with pytest.raises(InvalidSignature):
        own.verify_directly_issued_by(authorities[1])


def test_cards_of_before_2023_are_drawn_with_the_first_generation() -> None:
    cards = [ChipData.drawn(random.Random(n), date(2026, 11, 20)) for n in range(50)]
    assert {card.generation for card in cards} == {1, 2}
    assert all((card.not_before.year < 2023) == (card.generation == 1) for card in cards)


def test_no_two_keys_of_a_card_or_of_two_cards_are_the_same() -> None:
    other = replace(DATA, serial="543210987654321")
    renewed = replace(DATA, certificate_serial=DATA.certificate_serial + 1)
    keys = [data.key(purpose).modulus for data in (DATA, other) for purpose in Purpose]
    assert len(set(keys)) == 2 * len(Purpose)
    assert renewed.key(Purpose.AUTHENTICATION).modulus not in keys
    assert renewed.key(Purpose.COMMON).modulus in keys  # it belongs to the card


def test_each_key_signs_after_its_own_pin_alone(send: Send) -> None:
    found = certificates(send)
    send(select(JPKI_AP))
    for purpose, key, pin, right in (
        (Purpose.AUTHENTICATION, 0x17, 0x18, DATA.secrets.authentication),
        (Purpose.SIGNATURE, 0x1A, 0x1B, DATA.secrets.signature),
    ):
        sign = bytes([0x80, 0x2A, 0x00, 0x80 | key, len(DIGEST_INFO)]) + DIGEST_INFO + b"\0"
        assert send(sign) == b"\x69\x82"
        assert send(verify(right, pin)) == b"\x90\x00"
        signature = send(sign)[:-2]
        public = found[purpose][0].public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature, CHALLENGE, PKCS1, hashes.SHA256())
        assert send(select(JPKI_AP), sign) == b"\x69\x82"


def test_a_key_is_also_selected_as_a_file_as_opensc_does(send: Send) -> None:
    send(select(JPKI_AP), "00A4020C020018", bytes.fromhex("0020008004") + b"4321")
    answer = send("00A4020C020017", bytes.fromhex("802A008033") + DIGEST_INFO + b"\0")
    key = DATA.key(Purpose.AUTHENTICATION).public
    key.verify(answer[:-2], CHALLENGE, PKCS1, hashes.SHA256())


def test_the_card_hashes_and_pads_as_p1_says(send: Send) -> None:
    send(select(JPKI_AP), verify(b"4321", 0x18))
    key = DATA.key(Purpose.AUTHENTICATION).public

    def signed(p1: int, data: bytes) -> bytes:
        answer = send(bytes([0x80, 0x2A, p1, 0x97, len(data)]) + data + b"\0")
        assert answer[-2:] == b"\x90\x00"
        return answer[:-2]

    key.verify(signed(0, DIGEST_INFO), DIGEST, PKCS1, Prehashed(hashes.SHA256()))
    assert key.recover_data_from_signature(signed(1, CHALLENGE), PKCS1, None) == DIGEST
    key.verify(signed(2, DIGEST), CHALLENGE, PKCS1, hashes.SHA256())
    key.verify(signed(3, CHALLENGE), CHALLENGE, PKCS1, hashes.SHA256())
    key.verify(signed(4, DIGEST), CHALLENGE, PSS, hashes.SHA256())
    key.verify(signed(5, CHALLENGE), CHALLENGE, PSS, hashes.SHA256())
    assert send(bytes.fromhex("802A069701AA00")) == b"\x6a\x86"
    assert send(bytes.fromhex("802A029701AA00")) == b"\x69\x85"  # no digest
    assert send(bytes.fromhex("802A0097F6") + bytes(246) + b"\0") == b"\x69\x85"  # too long to pad
    assert send(bytes.fromhex("802A0098 01AA00")) == b"\x6a\x88"  # a PIN is no key
