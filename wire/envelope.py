"""Who said it: every message is signed, for one purpose and one audience.

    {"v": 1, "key": key id, "signature": base64, "body": {...}}

The signature covers `"kazasu-envelope-1" 00 purpose 00 audience 00 body bytes`; the body's bytes
are taken from the message as they are, never encoded again. The audience is the reader's full
name, or for a roster `tenant/programme/place`, so no message can be replayed to another one.
Fleet → reader: one Ed25519 key, pinned at enrolment. Reader → fleet: the reader's P-256 key.
A key id is the first 8 bytes of SHA-256 over the key's SubjectPublicKeyInfo, in hex.
"""

import base64
import enum
import hashlib
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from msgspec import Meta

from wire.limits import PAYLOAD_BYTES_MAX

LABEL: Final = b"kazasu-envelope-1"
_ECDSA: Final = ec.ECDSA(hashes.SHA256())

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no message; RecursionError for brackets without end."""

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
T = TypeVar("T")


class Purpose(enum.StrEnum):
    """What a signature is for; a signature for one purpose is none for another."""

    BATCH = "batch"
    STATUS = "status"
    TELEMETRY = "telemetry"
    TRIAGE = "triage"
    TWIN_REPORTED = "twin-reported"
    ACK = "ack"
    TWIN_DESIRED = "twin-desired"
    ROSTER = "roster"
    RETIRED_READER = "retired-reader"
    RETIRED_MONTH = "retired-month"
    AUDIT = "audit"
    EVIDENCE = "evidence"
    USAGE = "usage"
    DESK_REQUEST = "desk-request"
    DESK_ANSWER = "desk-answer"
    CLAIM = "claim"
    WORK_LIST = "work-list"
    RETIRED_RIDES = "retired-rides"


_IN_FILES: Final = frozenset({Purpose.ROSTER, Purpose.USAGE})
"""Signed headers of files, which have limits of their own."""


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    key: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    signature: Annotated[bytes, Meta(max_length=128)]
    body: msgspec.Raw


class _Version(msgspec.Struct):
    v: int


class MessageRefused(ValueError):
    """A message that is not taken in; `reason` is a stable word for counters and quarantine."""

    reason = "malformed"


class TooLarge(MessageRefused):
    """Longer than the contract allows."""

    reason = "too-large"


class FutureVersion(MessageRefused):
    """Of a version that this program does not know yet: upgrade the fleet first."""

    reason = "future-version"


class NotSigned(MessageRefused):
    """Signed by another key, for another purpose or audience, or changed on the way."""

    reason = "not-signed"


def key_id(key: PublicKey) -> str:
    """Return the 16 hex digits that name a public key."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:16]


def _signed_bytes(purpose: Purpose, audience: str, body: bytes) -> bytes:
    return b"\0".join((LABEL, purpose.encode(), audience.encode(), body))


class Signer:
    """Signs bodies with one private key; the key id is worked out once."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.key_id: Final = key_id(key.public_key())

    def sign(self, purpose: Purpose, audience: str, body: msgspec.Struct) -> "Proof":
        """Return what proves who said `body`, for what carries the proof in a form of its own."""
        raw = msgspec.json.encode(body)
        message = _signed_bytes(purpose, audience, raw)
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return Proof(self.key_id, self._key.sign(message), raw)
        return Proof(self.key_id, self._key.sign(message, _ECDSA), raw)

    def seal(self, purpose: Purpose, audience: str, body: msgspec.Struct) -> bytes:
        """Return the signed message that carries `body`. Raises TooLarge."""
        key, signature, raw = self.sign(purpose, audience, body)
        envelope = _Envelope(v=1, key=key, signature=signature, body=msgspec.Raw(raw))
        payload = msgspec.json.encode(envelope)
        if purpose not in _IN_FILES and len(payload) > PAYLOAD_BYTES_MAX:
            raise TooLarge(f"{purpose} of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX}")
        return payload


class Proof(NamedTuple):
    """What proves who said a body: its exact bytes, the signature over them, the key's id."""

    key_id: str
    signature: bytes
    body: bytes


def open_envelope(
    payload: bytes,
    purpose: Purpose,
    audience: str,
    key: PublicKey,
    body_type: type[T],
    limit: int = PAYLOAD_BYTES_MAX,
) -> T:
    """Return the verified body of a message.

    The signature is verified before the body is looked at. Raises TooLarge, FutureVersion,
    NotSigned or MessageRefused, each with a sentence that says what is wrong.
    """
    return open_proven(payload, purpose, audience, key, key_id(key), body_type, limit)[0]


def open_proven(
    payload: bytes,
    purpose: Purpose,
    audience: str,
    key: PublicKey,
    name: str,
    body_type: type[T],
    limit: int = PAYLOAD_BYTES_MAX,
) -> tuple[T, Proof]:
    """Return a message's verified body and its proof, as `open_envelope` does.

    `name` is the key's id: a caller with many messages of one key works it out once.
    """
    if len(payload) > limit:
        raise TooLarge(f"{len(payload)} bytes; at most {limit}")
    try:
        envelope = msgspec.json.decode(payload, type=_Envelope)
    except UNREADABLE as error:
        raise _refusal(payload, error) from error
    if envelope.key != name:
        raise NotSigned(f"signed by key {envelope.key}, expected {name}")
    if base64.b64encode(envelope.signature) not in payload:  # base64 has bits that say nothing
        raise NotSigned("its signature is not written as it is")
    proof = Proof(name, envelope.signature, bytes(envelope.body))
    verify(proof, purpose, audience, key)
    try:
        return msgspec.json.decode(envelope.body, type=body_type), proof
    except UNREADABLE as error:
        raise _refusal(proof.body, error) from error


def verify(proof: Proof, purpose: Purpose, audience: str, key: PublicKey) -> None:
    """Raise NotSigned when this key did not sign the body for this purpose and audience."""
    message = _signed_bytes(purpose, audience, proof.body)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(proof.signature, message)
        else:
            key.verify(proof.signature, message, _ECDSA)
    except InvalidSignature as error:
        raise NotSigned(f"the signature is no {purpose} for {audience}") from error


def _refusal(raw: bytes, error: Exception) -> MessageRefused:
    """Tell a message of a later version from one that is simply wrong."""
    try:
        version = msgspec.json.decode(raw, type=_Version).v
    except UNREADABLE:
        return MessageRefused(str(error))
    if version > 1:
        return FutureVersion(f"version {version}; this program knows 1: upgrade it first")
    return MessageRefused(str(error))
