"""The vectors of a credential, worked out a second time by other means."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import credential as module
from wire.credential import (
    IDENTIFIER_BYTES_MAX,
    PROGRAMME_KEY_BYTES,
    Scheme,
    credential,
    parse_credential,
)


class Vector(TypedDict):
    note: str
    programme_key: str
    scheme: str
    identifier: str
    credential: str


VECTORS: list[Vector] = json.loads(
    Path(module.__file__).with_name("credential_vectors.json").read_text("utf-8")
)["vectors"]
KEYS = st.binary(min_size=PROGRAMME_KEY_BYTES, max_size=PROGRAMME_KEY_BYTES)
IDENTIFIERS = st.binary(min_size=1, max_size=IDENTIFIER_BYTES_MAX)
EACH = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["note"]))


def message_of(scheme: str, identifier: bytes) -> bytes:
    """The bytes that are hashed, written out from the contract's text."""
    return b"kazasu-credential-1\x00" + scheme.encode("ascii") + b"\x00" + identifier


def by_definition(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 as RFC 2104 defines it, by hashing alone."""
    padded = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()[:32]


@EACH
def test_the_product_makes_the_credential_of_each_vector(vector: Vector) -> None:
    key, identifier = bytes.fromhex(vector["programme_key"]), bytes.fromhex(vector["identifier"])
    assert credential(key, Scheme(vector["scheme"]), identifier) == vector["credential"]


@EACH
def test_openssl_makes_the_credential_of_each_vector(vector: Vector) -> None:
    mac = subprocess.run(
        [
            "openssl",
            "dgst",
            "-sha256",
            "-mac",
            "HMAC",
            "-macopt",
            f"hexkey:{vector['programme_key']}",
        ],
        input=message_of(vector["scheme"], bytes.fromhex(vector["identifier"])),
        capture_output=True,
        check=True,
    )
    assert mac.stdout.decode().split()[-1][:32] == vector["credential"]


@EACH
def test_the_definition_makes_the_credential_of_each_vector(vector: Vector) -> None:
    message = message_of(vector["scheme"], bytes.fromhex(vector["identifier"]))
    assert by_definition(bytes.fromhex(vector["programme_key"]), message) == vector["credential"]


def test_every_scheme_has_two_vectors_and_serials_their_shortest_and_longest() -> None:
    for scheme in Scheme:
        assert sum(vector["scheme"] == scheme for vector in VECTORS) >= 2
    serials = [bytes.fromhex(v["identifier"]) for v in VECTORS if v["scheme"] == Scheme.JPKI_AUTH]
    for length in (1, 20):
        assert any(len(serial) == length + 13 for serial in serials)  # UTCTime
        assert any(len(serial) == length + 15 for serial in serials)  # GeneralizedTime


@given(KEYS, st.sampled_from(Scheme), IDENTIFIERS)
def test_a_credential_is_the_definition_of_its_bytes(
    key: bytes, scheme: Scheme, identifier: bytes
) -> None:
    assert credential(key, scheme, identifier) == by_definition(key, message_of(scheme, identifier))


@given(KEYS, KEYS, IDENTIFIERS)
def test_programmes_schemes_and_cards_share_no_credential(
    one: bytes, other: bytes, identifier: bytes
) -> None:
    made = [credential(one, scheme, identifier) for scheme in Scheme]
    if one != other:
        made += [credential(other, scheme, identifier) for scheme in Scheme]
    made.append(credential(one, Scheme.COMMON_AP, identifier[:-1] + bytes([identifier[-1] ^ 1])))
    assert len(set(made)) == len(made)


def test_an_identifier_that_the_caller_wipes_gives_the_same_credential() -> None:
    key, identifier = bytes(32), bytearray(b"123456789012345")
    assert credential(key, Scheme.COMMON_AP, identifier) == credential(
        key, Scheme.COMMON_AP, bytes(identifier)
    )


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        credential(bytes(length), Scheme.COMMON_AP, b"1")


@pytest.mark.parametrize("length", [0, IDENTIFIER_BYTES_MAX + 1])
def test_an_identifier_that_no_scheme_has_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        credential(bytes(32), Scheme.COMMON_AP, bytes(length))


@pytest.mark.parametrize("text", ["", "ab" * 15, "AB" * 16, "ab" * 17, "ab" * 16 + "\n", "g" * 32])
def test_what_is_not_32_small_hex_digits_is_no_credential(text: str) -> None:
    with pytest.raises(ValueError, match="32 lower-case"):
        parse_credential(text)


def test_a_credential_is_parsed_as_it_is() -> None:
    assert parse_credential("0123456789abcdef" * 2) == "0123456789abcdef" * 2
