"""Signed messages: for one purpose, to one audience, by one key, bytes as they are."""

import hashlib
import json
import string
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.samples import ENTRIES
from wire.entries import Entry, decode, encode
from wire.envelope import (
    FutureVersion,
    MessageRefused,
    NotSigned,
    PublicKey,
    Purpose,
    Signer,
    TooLarge,
    key_id,
    open_envelope,
)
from wire.limits import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, ENTRY_BYTES_MAX, PAYLOAD_BYTES_MAX
from wire.messages import Ack, Batch

READER = "kazasu-shi/bus-1"
FLEET = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BUS = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
ACK = Ack(v=1, epoch="0" * 32, journal="ab" * 16, through=7, at_ms=1)
SIGNERS = {"fleet": Signer(FLEET), "reader": Signer(BUS)}
KEYS: dict[str, PublicKey] = {"fleet": FLEET.public_key(), "reader": BUS.public_key()}
EITHER = pytest.mark.parametrize("who", ["fleet", "reader"])


def sealed(who: str, body: msgspec.Struct = ACK, purpose: Purpose = Purpose.ACK) -> bytes:
    return SIGNERS[who].seal(purpose, READER, body)


def batch(entries: list[bytes]) -> Batch:
    return Batch(
        v=1,
        journal="ab" * 16,
        first=1,
        lost=0,
        before=bytes(32),
        entries=[msgspec.Raw(entry) for entry in entries],
        tip=bytes(32),
    )


@EITHER
def test_a_message_is_opened_by_whom_it_was_meant_for(who: str) -> None:
    assert open_envelope(sealed(who), Purpose.ACK, READER, KEYS[who], Ack) == ACK


@EITHER
@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.ACK])
def test_a_signature_for_one_purpose_is_none_for_another(who: str, purpose: Purpose) -> None:
    with pytest.raises(NotSigned, match=purpose):
        open_envelope(sealed(who), purpose, READER, KEYS[who], Ack)


@EITHER
@pytest.mark.parametrize("audience", ["kazasu-shi/bus-2", "", READER + "\0", "ack\0" + READER])
def test_a_message_to_one_reader_is_none_to_another(who: str, audience: str) -> None:
    with pytest.raises(NotSigned):
        open_envelope(sealed(who), Purpose.ACK, audience, KEYS[who], Ack)


@EITHER
def test_a_message_of_another_key_is_refused_even_under_the_right_key_id(who: str) -> None:
    forged = json.loads(Signer(OTHER).seal(Purpose.ACK, READER, ACK))
    with pytest.raises(NotSigned, match="expected"):
        open_envelope(json.dumps(forged).encode(), Purpose.ACK, READER, KEYS[who], Ack)
    forged["key"] = key_id(KEYS[who])
    with pytest.raises(NotSigned, match="signature"):
        open_envelope(json.dumps(forged).encode(), Purpose.ACK, READER, KEYS[who], Ack)


ONCE = {who: sealed(who) for who in ("fleet", "reader")}


@given(st.sampled_from(["fleet", "reader"]), st.data())
def test_a_change_of_any_bit_changes_no_message(who: str, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(ONCE[who]) * 8 - 1))
    changed = bytearray(ONCE[who])
    changed[bit // 8] ^= 1 << bit % 8
    try:
        opened = open_envelope(bytes(changed), Purpose.ACK, READER, KEYS[who], Ack)
    except MessageRefused:
        return
    # Base64 has bits at its end that mean nothing: the signature's bytes and the body are the same.
    before, after = json.loads(ONCE[who]), json.loads(changed)
    assert b64decode(before.pop("signature")) == b64decode(after.pop("signature"))
    assert (before, opened) == (after, ACK)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_can_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(MessageRefused) as error:
        open_envelope(data, Purpose.ACK, READER, KEYS["fleet"], Ack)
    assert error.value.reason == "malformed"


@pytest.mark.parametrize("depth", [900, 2_000, 70_000])
def test_brackets_without_end_are_refused_and_nothing_worse(depth: int) -> None:
    opening = '{"v":1,"key":"0123456789abcdef","signature":"","body":'
    with pytest.raises(MessageRefused):
        open_envelope((opening + "[" * depth).encode(), Purpose.ACK, READER, KEYS["fleet"], Ack)
    closed = opening + "[" * depth + "]" * depth + "}"
    if len(closed) <= PAYLOAD_BYTES_MAX:
        with pytest.raises(MessageRefused):
            open_envelope(closed.encode(), Purpose.ACK, READER, KEYS["fleet"], Ack)


# --- versions -------------------------------------------------------------------------------------


class _Later(msgspec.Struct):
    v: int
    news: str = "x"


def test_a_later_version_is_told_apart_from_what_is_wrong() -> None:
    later = sealed("reader", _Later(2))
    with pytest.raises(FutureVersion, match="upgrade") as error:
        open_envelope(later, Purpose.ACK, READER, KEYS["reader"], Ack)
    assert error.value.reason == "future-version"
    wrong = sealed("reader", _Later(1))
    with pytest.raises(MessageRefused) as plain:
        open_envelope(wrong, Purpose.ACK, READER, KEYS["reader"], Ack)
    assert plain.value.reason == "malformed"


@pytest.mark.parametrize("change", [{"v": 2}, {"v": 2, "more": []}, {"v": 99, "body": None}])
def test_a_later_envelope_is_told_apart_before_its_signature(change: dict[str, Any]) -> None:
    plain = json.loads(sealed("fleet")) | change
    with pytest.raises(FutureVersion):
        open_envelope(json.dumps(plain).encode(), Purpose.ACK, READER, KEYS["fleet"], Ack)


def test_a_body_is_looked_at_only_when_its_signature_is_right() -> None:
    later = sealed("reader", _Later(2))
    with pytest.raises(NotSigned):
        open_envelope(later, Purpose.ACK, "kazasu-shi/bus-2", KEYS["reader"], Ack)


@pytest.mark.parametrize("change", [{"v": 0}, {"v": "2"}, {"extra": 1}, {"key": "x"}, {"v": None}])
def test_an_envelope_of_another_form_is_malformed(change: dict[str, Any]) -> None:
    plain = json.loads(sealed("fleet")) | change
    with pytest.raises(MessageRefused) as error:
        open_envelope(json.dumps(plain).encode(), Purpose.ACK, READER, KEYS["fleet"], Ack)
    assert error.value.reason == "malformed"


# --- sizes ----------------------------------------------------------------------------------------


def test_what_is_too_large_is_neither_sent_nor_looked_at() -> None:
    with pytest.raises(TooLarge):
        sealed("reader", batch([b'"' + b"x" * PAYLOAD_BYTES_MAX + b'"']), Purpose.BATCH)
    with pytest.raises(TooLarge) as error:
        open_envelope(bytes(PAYLOAD_BYTES_MAX + 1), Purpose.ACK, READER, KEYS["fleet"], Ack)
    assert error.value.reason == "too-large"


@pytest.mark.parametrize("size", [BATCH_BYTES_MAX // BATCH_ENTRIES_MAX, ENTRY_BYTES_MAX])
def test_the_largest_batch_fits_into_a_payload(size: int) -> None:
    entries = [b'"' + b"x" * (size - 2) + b'"'] * (BATCH_BYTES_MAX // size)
    payload = sealed("reader", batch(entries[:BATCH_ENTRIES_MAX]), Purpose.BATCH)
    assert len(payload) <= PAYLOAD_BYTES_MAX
    assert len(payload) - sum(map(len, entries[:BATCH_ENTRIES_MAX])) < 1024


# --- entries inside a batch -----------------------------------------------------------------------


@given(st.lists(ENTRIES, max_size=5))
def test_entries_travel_in_a_batch_byte_for_byte(entries: list[Entry]) -> None:
    bodies = [encode(entry) for entry in entries]
    payload = sealed("reader", batch(bodies), Purpose.BATCH)
    opened = open_envelope(payload, Purpose.BATCH, READER, KEYS["reader"], Batch)
    assert [bytes(raw) for raw in opened.entries] == bodies
    assert [decode(bytes(raw)) for raw in opened.entries] == entries


@pytest.mark.parametrize(
    "odd",
    [
        b'{ "kind" :\t"x" ,\n "b" : [ 1 , 2.50 , 1e5 ] }',
        rb'{"a":"\u00e9\/\ud83d\ude00","a":"twice"}',
        '{"あ":"い"}'.encode(),
        b"{}",
        b"null",
    ],
)
def test_odd_but_valid_bytes_are_not_tidied_up_on_the_way(odd: bytes) -> None:
    payload = sealed("reader", batch([odd, odd]), Purpose.BATCH)
    opened = open_envelope(payload, Purpose.BATCH, READER, KEYS["reader"], Batch)
    assert [bytes(raw) for raw in opened.entries] == [odd, odd]


def test_a_batch_of_too_many_entries_is_refused() -> None:
    payload = sealed("reader", batch([b"1"] * (BATCH_ENTRIES_MAX + 1)), Purpose.BATCH)
    with pytest.raises(MessageRefused, match="200"):
        open_envelope(payload, Purpose.BATCH, READER, KEYS["reader"], Batch)


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 5))
def test_the_last_number_of_a_batch_counts_what_was_lost(first: int, lost: int, sent: int) -> None:
    made = msgspec.structs.replace(batch([b"1"] * sent), first=first, lost=lost)
    assert made.last - made.first + 1 == lost + sent


# --- key ids --------------------------------------------------------------------------------------


def test_a_key_id_is_the_start_of_the_hash_of_the_key() -> None:
    der = FLEET.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_id(FLEET.public_key()) == hashlib.sha256(der).hexdigest()[:16]
    assert SIGNERS["fleet"].key_id == key_id(FLEET.public_key())


def test_bits_of_a_signature_that_say_nothing_cannot_be_changed() -> None:
    """64 bytes in base64 leave four bits of the last letter unused (RFC 4648, 3.5)."""
    sealed = Signer(FLEET).seal(Purpose.ACK, READER, ACK)
    end = sealed.index(b'=="')
    other = sealed[: end - 1] + bytes([_next_letter(sealed[end - 1])]) + sealed[end:]
    with pytest.raises(NotSigned, match="not written as it is"):
        open_envelope(other, Purpose.ACK, READER, FLEET.public_key(), Ack)


def _next_letter(letter: int) -> int:
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    return ord(letters[letters.index(chr(letter)) ^ 1])
