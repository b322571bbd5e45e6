"""A card with its PIN answers the fleet: what is asked, what the card signs, what comes back.

The fleet makes a challenge, the card signs, the fleet judges. The card signs, with the key of its
user authentication certificate (RSASSA-PKCS1-v1_5 with SHA-256: RFC 8017, 8.2),

    "kazasu-card-proof-1" 00 purpose 00 reader 00 programme 00 expires_ms in decimal 00 nonce

No part but the nonce, which has a fixed length and comes last, can hold a 00, so no two challenges
have the same bytes. The reader puts them together itself and the card sees their SHA-256 alone:
nobody can have a card sign, by way of a reader, what another service would take for its own.
"""

import enum
import hashlib
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.entries import AtMs, Name
from wire.limits import CARD_CERTIFICATE_BYTES_MAX

LABEL: Final = b"kazasu-card-proof-1"
NONCE_BYTES: Final = 32
"""Random; as many as a SHA-256 has, so guessing one is no easier than forging the other."""
SIGNATURE_BYTES: Final = 256
"""RSA-2048: the key of every card so far (OpenSC card-jpki.c)."""
DIGEST_INFO: Final = bytes.fromhex("3031300D060960864801650304020105000420")
"""What stands before a SHA-256 in a PKCS#1 v1.5 signature (RFC 8017, 9.2, note 1)."""

Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Reader = Annotated[str, Meta(pattern="^[a-z0-9-]{1,32}/[a-z0-9-]{1,32}$(?!\\n)")]
"""`tenant/reader`, as in `wire.topics`."""


class Purpose(enum.StrEnum):
    """What the proof is for; one for a purpose is none for another."""

    ENROL = "enrol"
    """A clerk takes the card into a programme."""
    LOG_IN = "log-in"
    """Its holder wants in, or to something of more value than a ride."""


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet asks of one card at one reader; good for one answer."""

    v: Literal[1]
    purpose: Purpose
    reader: Reader
    programme: Name
    expires_ms: AtMs
    """By the fleet's clock; a reader leaves the judgement to the fleet."""
    nonce: Nonce


class CardProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card's answer."""

    v: Literal[1]
    nonce: Nonce
    """Of the challenge that it answers."""
    certificate: Annotated[bytes, Meta(min_length=1, max_length=CARD_CERTIFICATE_BYTES_MAX)]
    """DER of the user authentication certificate, without what follows it in its file."""
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


def signed_bytes(challenge: Challenge) -> bytes:
    """Return what the card signs, before it is hashed."""
    return b"\0".join(
        (
            LABEL,
            challenge.purpose.encode(),
            challenge.reader.encode(),
            challenge.programme.encode(),
            str(challenge.expires_ms).encode(),
            challenge.nonce,
        )
    )


def digest_info(challenge: Challenge) -> bytes:
    """Return what the card is handed: the 51 bytes of a DigestInfo with the SHA-256."""
    return DIGEST_INFO + hashlib.sha256(signed_bytes(challenge)).digest()
