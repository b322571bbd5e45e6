"""Whether a card proved itself: the fleet asks, a card with its PIN signs, the fleet judges.

Upheld: a challenge is random, of this fleet, for one purpose at one reader, good for CHALLENGE_MS
and for one answer, a wrong one too · a proof is believed when all holds at once: an authority that
is trusted issued the certificate, for user authentication, valid now and not revoked, and its key
signed this challenge · where revocation cannot be known the answer is «unknown», never «yes».
Challenges live in the process that made them: after its restart none is good.
"""

import enum
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fleet.card_trust import Authorities, NotTrusted, check_kind, check_times, read_certificate
from fleet.config import CardCertificates
from fleet.revocation import Revocation
from fleet.standing import Status
from wire.card_proof import NONCE_BYTES, CardProof, Challenge, Purpose, signed_bytes

CHALLENGE_MS: Final = 60_000
"""To hold the card, type four digits and hold on for five seconds; then it is asked for again."""
CHALLENGES_MAX: Final = 1_000
"""Open at once; the oldest is forgotten first. A hundred desks make a hundred a minute."""


class Reason(enum.StrEnum):
    """What a judgement rests on; stable words."""

    OK = "ok"
    NOT_ASKED = "not-asked"
    """No open challenge is answered: never made, used before, for another reader, or forgotten."""
    TOO_LATE = "too-late"
    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    WRONG_KIND = "wrong-kind"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    NOT_SIGNED = "not-signed"
    REVOKED = "revoked"
    STATUS_UNKNOWN = "status-unknown"


class Verdict(NamedTuple):
    """A judgement, in one word and one sentence."""

    reason: Reason
    why: str
    certificate: x509.Certificate | None = None
    """Of the card that proved itself; with OK alone."""


_BY_STATUS: Final = {
    Status.VALID: Reason.OK,
    Status.REVOKED: Reason.REVOKED,
    Status.UNKNOWN: Reason.STATUS_UNKNOWN,
}


class Challenges:
    """Those that are open; used by one thread."""

    def __init__(self) -> None:
        self._open: dict[bytes, Challenge] = {}

    def make(self, purpose: Purpose, reader: str, programme: str, now_ms: int) -> Challenge:
        """Return a new challenge for one answer of a card at `reader` (tenant/reader)."""
        challenge = Challenge(
            v=1,
            purpose=purpose,
            reader=reader,
            programme=programme,
            expires_ms=now_ms + CHALLENGE_MS,
            nonce=secrets.token_bytes(NONCE_BYTES),
        )
        self._open[challenge.nonce] = challenge
        while len(self._open) > CHALLENGES_MAX:
            del self._open[next(iter(self._open))]
        return challenge

    def take(self, nonce: bytes, reader: str) -> Challenge | None:
        """Return the open challenge of this reader, which is open no longer; None: there is none.

        A reader that answers another's challenge does not close it.
        """
        challenge = self._open.get(nonce)
        if challenge is None or challenge.reader != reader:
            return None
        return self._open.pop(nonce)


class CardProofs:
    """Asks and judges for one fleet; used by one event loop."""

    def __init__(self, settings: CardCertificates) -> None:
        """Raises TrustUnusable when the folder of authorities cannot be used."""
        self.challenges: Final = Challenges()
        self._authorities = Authorities.read(Path(settings.authorities))
        self._revocation = Revocation(settings, self._authorities)

    async def judge(self, proof: CardProof, reader: str, now_ms: int) -> Verdict:
        """Return what an answer from `reader` is worth; its challenge is used up by this."""
        challenge = self.challenges.take(proof.nonce, reader)
        if challenge is None:
            return Verdict(Reason.NOT_ASKED, "no open challenge has this answer")
        return await self.verify(challenge, proof.certificate, proof.signature, now_ms)

    async def verify(
        self, challenge: Challenge, certificate: bytes, signature: bytes, now_ms: int
    ) -> Verdict:
        """Return whether the key of this certificate (DER) signed this challenge, and may have."""
        if now_ms > challenge.expires_ms:
            return Verdict(Reason.TOO_LATE, "the challenge was good for a minute")

        def check_signature(key: rsa.RSAPublicKey) -> None:
            try:
                key.verify(signature, signed_bytes(challenge), padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                raise NotTrusted("not-signed", "the card did not sign this challenge") from None

        return await self._judged(certificate, now_ms, check_signature)

    async def check(self, certificate: bytes, now_ms: int) -> Verdict:
        """Return what a certificate (DER) is worth by itself, for who wants to try the set-up."""
        return await self._judged(certificate, now_ms, lambda _: None)

    async def _judged(
        self, der: bytes, now_ms: int, check_signature: Callable[[rsa.RSAPublicKey], None]
    ) -> Verdict:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        try:
            card = read_certificate(der)
            issuer = self._authorities.issuer_of(card, now)
            check_times(card, now)
            check_signature(check_kind(card))
        except NotTrusted as error:
            return Verdict(Reason(error.reason), str(error))
        standing = await self._revocation.standing(card, issuer, now)
        reason = _BY_STATUS[standing.status]
        return Verdict(reason, standing.why, card if reason is Reason.OK else None)
