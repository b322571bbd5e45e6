"""What a card signs: one challenge has one text, and no other protocol's text begins like it."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.card_proof import (
    DIGEST_INFO,
    LABEL,
    CardProof,
    Challenge,
    Purpose,
    digest_info,
    signed_bytes,
)
from wire.limits import CARD_CERTIFICATE_BYTES_MAX

ASKED = Challenge(
    v=1,
    purpose=Purpose.ENROL,
    reader="kazasu-shi/desk-1",
    programme="senior-pass",
    expires_ms=1_780_455_600_000,
    nonce=bytes(range(32)),
)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
CHALLENGES = st.builds(
    Challenge,
    v=st.just(1),
    purpose=st.sampled_from(Purpose),
    reader=st.builds("{}/{}".format, NAMES, NAMES),
    programme=NAMES,
    expires_ms=st.integers(0, 2**40),
    nonce=st.binary(min_size=32, max_size=32),
)


def test_the_text_is_this_one() -> None:
    assert signed_bytes(ASKED) == (
        b"kazasu-card-proof-1\0enrol\0kazasu-shi/desk-1\0senior-pass\x001780455600000\0"
        + bytes(range(32))
    )
    digest = hashlib.sha256(signed_bytes(ASKED)).digest()
    assert digest_info(ASKED) == DIGEST_INFO + digest
    assert len(digest_info(ASKED)) == 51


@given(CHALLENGES, CHALLENGES)
def test_two_challenges_never_have_the_same_text(one: Challenge, other: Challenge) -> None:
    assert (signed_bytes(one) == signed_bytes(other)) is (one == other)
    assert signed_bytes(one).startswith(LABEL + b"\0")


@given(CHALLENGES)
def test_a_challenge_arrives_as_it_was_made(challenge: Challenge) -> None:
    assert msgspec.json.decode(msgspec.json.encode(challenge), type=Challenge) == challenge


@pytest.mark.parametrize(
    "changed",
    [
        {"reader": "kazasu-shi/desk-1\0"},
        {"reader": "kazasu-shi/desk-1\n"},
        {"reader": "desk-1"},
        {"programme": "senior\0pass"},
        {"purpose": "vote"},
        {"nonce": "AAAA"},
        {"expires_ms": -1},
        {"more": 1},
    ],
)
def test_what_could_blur_a_challenge_is_not_taken(changed: dict[str, object]) -> None:
    wrong = msgspec.json.encode(msgspec.to_builtins(ASKED) | changed)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=Challenge)


def test_a_proof_has_its_limits() -> None:
    longest = CardProof(
        v=1,
        nonce=bytes(32),
        certificate=bytes(CARD_CERTIFICATE_BYTES_MAX),
        signature=bytes(256),
    )
    assert msgspec.json.decode(msgspec.json.encode(longest), type=CardProof) == longest
    for changed in (
        {"certificate": bytes(CARD_CERTIFICATE_BYTES_MAX + 1)},
        {"certificate": b""},
        {"signature": bytes(255)},
        {"nonce": bytes(31)},
    ):
        wrong = msgspec.json.encode(msgspec.structs.replace(longest, **changed))
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=CardProof)
