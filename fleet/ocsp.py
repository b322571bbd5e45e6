"""The question to an OCSP responder and what its answer is worth (RFC 6960); pure.

An answer counts when the certificate's authority signed it, or a responder that this authority
appointed; when it is about this certificate; when it repeats our random number (RFC 9654), so that
nobody can play an older answer; and when it is of today. Anything else is `Unsure`.
"""

import secrets
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    OCSPExtensionOID,
)

from fleet.standing import CLOCK_SKEW, SOUND_HASHES, UNREADABLE, Standing, Status, Unsure

NONCE_BYTES: Final = 32
"""RFC 9654, 2.1: a client should send 32."""
ANSWER_BYTES_MAX: Final = 32 * 1024
"""One status with a responder's certificate or two has 2 to 4 kB."""
RESPONDERS_MAX: Final = 4
"""Certificates in an answer that are tried."""
AGE_MAX: Final = timedelta(minutes=10)
"""Of an answer without nextUpdate, which means that there is always a newer one (RFC 6960, 2.4)."""
_HASH: Final = hashes.SHA1
"""Names the issuer in a question: what every responder understands (RFC 5019, 2.1.1)."""


class Question(NamedTuple):
    """What was asked, by which an answer is judged."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    nonce: bytes

    @classmethod
    def about(cls, certificate: x509.Certificate, issuer: x509.Certificate) -> "Question":
        """Return a new question about a certificate of this issuer."""
        return cls(certificate, issuer, secrets.token_bytes(NONCE_BYTES))

    @property
    def request(self) -> ocsp.OCSPRequest:
        """The request as it is sent."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.certificate, self.issuer, _HASH())
        return builder.add_extension(x509.OCSPNonce(self.nonce), critical=False).build()

    @property
    def der(self) -> bytes:
        """The request's bytes, the body of a POST (RFC 6960, appendix A)."""
        return self.request.public_bytes(Encoding.DER)


def responder_of(certificate: x509.Certificate) -> str:
    """Return the responder's address that a (verified) certificate names. Raises Unsure."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        raise Unsure("the certificate names no responder") from None
    for one in access.value:
        place = one.access_location
        named = isinstance(place, x509.UniformResourceIdentifier)
        if named and one.access_method == AuthorityInformationAccessOID.OCSP:
            return str(place.value)
    raise Unsure("the certificate names no responder")


def judge(answer: bytes, question: Question, now: datetime) -> Standing:
    """Return what an answer says of the certificate. Raises Unsure when it counts for nothing."""
    try:
        response = ocsp.load_der_ocsp_response(answer)
    except UNREADABLE as error:
        raise Unsure("the responder's answer cannot be read") from error
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unsure(f"the responder refused: {response.response_status.name.lower()}")
    try:
        _check_signature(response, question.issuer, now)
        _check_extensions(response, question.nonce)
        return _standing(_about(response, question), now)
    except UNREADABLE as error:
        raise Unsure("the responder's answer cannot be read") from error


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    appointed = [
        one for one in response.certificates[:RESPONDERS_MAX] if _is_appointed(one, issuer, now)
    ]
    for signer in (issuer, *appointed):
        if _is_named(signer, response) and _has_signed(signer, response):
            return
    raise Unsure("nobody whom the authority appointed signed the responder's answer")


def _is_appointed(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    """RFC 6960, 4.2.2.2: issued by the authority itself for signing such answers."""
    try:
        certificate.verify_directly_issued_by(issuer)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE):
        return False
    fresh = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return fresh and ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _is_named(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    if response.responder_name is not None:
        return response.responder_name == signer.subject
    key_id = x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest
    return response.responder_key_hash == key_id


def _has_signed(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    if not isinstance(algorithm, SOUND_HASHES):
        return False
    signature, signed = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _check_extensions(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    if any(one.critical and one.oid != OCSPExtensionOID.NONCE for one in response.extensions):
        raise Unsure("the responder's answer demands what is not known here")
    try:
        repeated = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        raise Unsure("the responder's answer does not repeat our random number") from None
    if repeated != nonce:
        raise Unsure("the responder's answer is to another question")


def _about(response: ocsp.OCSPResponse, question: Question) -> ocsp.OCSPSingleResponse:
    asked = question.request
    for one in response.responses:
        if (
            one.serial_number == asked.serial_number
            and isinstance(one.hash_algorithm, _HASH)
            and one.issuer_name_hash == asked.issuer_name_hash
            and one.issuer_key_hash == asked.issuer_key_hash
        ):
            return one
    raise Unsure("the responder's answer is about another certificate")


def _standing(one: ocsp.OCSPSingleResponse, now: datetime) -> Standing:
    until = one.next_update_utc or one.this_update_utc + AGE_MAX
    if one.this_update_utc > now + CLOCK_SKEW:
        raise Unsure("the responder's answer is of tomorrow")
    if until < now:
        raise Unsure(f"the responder's answer was good until {until:%Y-%m-%d %H:%M:%S}Z")
    if one.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Standing(Status.VALID, "the responder says good")
    if one.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        return Standing(
            Status.REVOKED, f"the responder says revoked since {one.revocation_time_utc}"
        )
    raise Unsure("the responder does not know the certificate")
