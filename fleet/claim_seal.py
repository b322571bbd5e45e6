"""Signing claims: once per fleet, by dispatch, which alone of those who see claims has the key.

Rules: what is signed is what the ledger says, not what a page says: the rows of the claim are read
and written out again, and only when these are the very bytes that were kept is the claim signed.
"""

import hashlib
from typing import Final

import sqlalchemy as sa
import structlog

from fleet import audit, claim_file, claim_lines, claims
from fleet.claim_file import Seal
from fleet.claims import Claim, State
from fleet.schema import claim
from fleet.store import Store
from wire.envelope import Proof, Purpose, Signer

log: Final = structlog.get_logger("fleet.claims")
WHO: Final = "dispatch"


def proof_of(one: Claim) -> Proof | None:
    """Return the signature of a claim; None while it has none."""
    if one.seal is None or one.signature is None:
        return None
    return Proof(one.key_id, one.signature, one.seal)


class ClaimSigner:
    """Signs what waits for it; for one process."""

    def __init__(self, store: Store, tenant: str, signer: Signer) -> None:
        self._store = store
        self._tenant = tenant
        self._signer = signer
        self._left: set[int] = set()
        """Claims that the ledger contradicts; said once."""

    def sign_waiting(self, at_ms: int) -> list[int]:
        """Sign each claim in a transaction of its own; return the numbers of those signed."""
        with self._store.glance() as connection:
            waiting = sa.select(claim.c.id).where(claim.c.signature.is_(None))
            numbers = connection.scalars(waiting.where(claim.c.state == State.MADE)).all()
        return [one for one in numbers if one not in self._left and self._sign(one, at_ms)]

    def _sign(self, number: int, at_ms: int) -> bool:
        with self._store.write() as connection:
            if _sign(connection, number, self._tenant, self._signer, at_ms):
                return True
        self._left.add(number)
        log.error("claim not signed: the ledger says something else", claim=number)
        return False


def _sign(connection: sa.Connection, number: int, tenant: str, signer: Signer, at_ms: int) -> bool:
    """Sign one claim; False when the ledger does not say what it says."""
    one = claims.load(connection, number)
    if one is None:
        return False
    lines = claim_lines.of_claim(connection, number)
    file = claim_file.contents(lines)
    total = claim_lines.total(lines)
    digest = hashlib.sha256(file).digest()
    if (digest, total.lines, total.subsidy_yen) != (one.sha256, one.lines, one.subsidy_yen):
        return False
    seal = Seal(
        v=1,
        tenant=tenant,
        programme=one.programme,
        organisation=one.organisation,
        month=one.month,
        claim=number,
        lines=one.lines,
        subsidy_yen=one.subsidy_yen,
        at_ms=at_ms,
        utf8=digest,
        sjis=claim_file.sjis_hash(file),
    )
    proof = signer.sign(Purpose.CLAIM, tenant, seal)
    kept = {"seal": proof.body, "signature": proof.signature, "key_id": proof.key_id}
    connection.execute(claim.update().where(claim.c.id == number).values(kept))
    subject = f"{one.programme} {one.organisation} {one.month} {number}"
    audit.note(connection, at_ms, WHO, "claim.signed", subject, digest.hex())
    return True
