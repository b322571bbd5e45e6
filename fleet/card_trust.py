"""Which certificates of cards are believed: whose they are, of what kind, and valid when; pure.

The authority has several generations with one name, so which of them issued a certificate is told
by the key that it names and, where that names none, by trying their signatures (RFC 5280, 4.2.1.1
and 6.1). A card's certificate must be for user authentication: one for signing, which names its
holder and where he lives, is refused by its policy, and never looked at again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from fleet import crl
from fleet.standing import SOUND_HASHES, UNREADABLE

AUTHENTICATION_POLICY: Final = x509.ObjectIdentifier("1.2.392.200149.8.5.1.3.30")
"""JPKI, user authentication, class 30: on every card's certificate that public readers print
(soltia48/myna-card). One for signing has 1.2.392.200149.8.5.1.1.20."""
KEY_BITS: Final = 2048
AUTHORITIES_MAX: Final = 20
"""Generations last five years; the third began in 2023."""
FILE_BYTES_MAX: Final = 16 * 1024
_UNDERSTOOD: Final = frozenset(
    (
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.BASIC_CONSTRAINTS,
    )
)
"""Extensions that are judged here; another one that is critical refuses a certificate (4.2)."""


_E = TypeVar("_E", bound=x509.ExtensionType)


class TrustUnusable(ValueError):
    """The folder of authorities cannot be used; says which file and why."""


class NotTrusted(ValueError):
    """This certificate is not believed; `reason` is a stable word, the sentence says more."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason: Final = reason


class Authorities:
    """The generations of the authority that are believed."""

    def __init__(self, authorities: Sequence[x509.Certificate]) -> None:
        """Raises TrustUnusable."""
        if not 1 <= len(authorities) <= AUTHORITIES_MAX:
            raise TrustUnusable(f"{len(authorities)} authorities; 1 to {AUTHORITIES_MAX} can be")
        for one in authorities:
            if not _is_authority(one):
                raise TrustUnusable(f"{one.subject.rfc4514_string()} is no authority")
        self._all = tuple(authorities)

    @classmethod
    def read(cls, folder: Path) -> "Authorities":
        """Read every `*.pem` (one certificate or several) and `*.der`. Raises TrustUnusable."""
        found: list[x509.Certificate] = []
        try:
            for path in sorted(folder.iterdir()):
                if path.suffix in (".pem", ".der"):
                    found += _read(path)
        except OSError as error:
            raise TrustUnusable(f"{folder}: {error.strerror}") from error
        try:
            return cls(found)
        except TrustUnusable as error:
            raise TrustUnusable(f"{folder}: {error}") from error

    def issuer_of(self, certificate: x509.Certificate, now: datetime) -> x509.Certificate:
        """Return the authority that issued a certificate. Raises NotTrusted (`untrusted`)."""
        for authority in self._candidates(certificate):
            try:
                certificate.verify_directly_issued_by(authority)
            except (InvalidSignature, *UNREADABLE):
                continue
            if not authority.not_valid_before_utc <= now <= authority.not_valid_after_utc:
                raise NotTrusted("untrusted", "the authority that issued it is not valid now")
            return authority
        raise NotTrusted("untrusted", "no authority that is trusted here issued it")

    def read_list(self, data: bytes, now: datetime) -> crl.Crl:
        """Return a list of revoked certificates of one of them, of today. Raises Unsure."""
        read = crl.read(data)
        crl.check(read, self._all, now)
        return read

    def _candidates(self, certificate: x509.Certificate) -> Iterator[x509.Certificate]:
        """Those of the issuer's name, the one whose key is named first."""
        named = _named_key(certificate)
        ours = [one for one in self._all if one.subject == certificate.issuer]
        yield from (one for one in ours if _key_id(one) == named)
        yield from (one for one in ours if _key_id(one) != named)


def read_certificate(der: bytes) -> x509.Certificate:
    """Return a card's certificate, all of it readable. Raises NotTrusted (`unreadable`)."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer, list(certificate.extensions)
        _ = certificate.public_key(), certificate.signature_hash_algorithm
    except UNREADABLE as error:
        raise NotTrusted("unreadable", "it is no certificate that can be read") from error
    return certificate


def check_times(certificate: x509.Certificate, now: datetime) -> None:
    """Raise NotTrusted (`not-yet`, `expired`) unless it is valid at this moment."""
    if now < certificate.not_valid_before_utc:
        raise NotTrusted("not-yet", f"valid from {certificate.not_valid_before_utc:%Y-%m-%d}")
    if now > certificate.not_valid_after_utc:
        raise NotTrusted("expired", f"was valid until {certificate.not_valid_after_utc:%Y-%m-%d}")


def check_kind(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    """Return the key of a certificate for user authentication. Raises NotTrusted (`wrong-kind`)."""
    for what, holds in _demands(certificate):
        if not holds:
            raise NotTrusted("wrong-kind", what)
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
        raise NotTrusted("wrong-kind", f"its key is not RSA of {KEY_BITS} bits")
    return key


def _demands(certificate: x509.Certificate) -> Iterator[tuple[str, bool]]:
    extensions = certificate.extensions
    critical = {one.oid for one in extensions if one.critical}
    yield "it demands what is not known here", critical <= _UNDERSTOOD
    yield (
        "its signature is of an old kind",
        isinstance(certificate.signature_hash_algorithm, SOUND_HASHES),
    )
    usage = _extension(extensions, x509.KeyUsage)
    yield "its key may not sign challenges", bool(usage and usage.digital_signature)
    yield "its key is one for documents", not (usage and usage.content_commitment)
    basic = _extension(extensions, x509.BasicConstraints)
    yield "it is an authority's", not (basic and basic.ca)
    extended = _extension(extensions, x509.ExtendedKeyUsage)
    yield "it is not for logging in", not extended or ExtendedKeyUsageOID.CLIENT_AUTH in extended
    policies = _extension(extensions, x509.CertificatePolicies)
    named = {one.policy_identifier for one in policies or ()}
    yield "its policy is not user authentication by card", AUTHENTICATION_POLICY in named


def _extension(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _read(path: Path) -> list[x509.Certificate]:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise TrustUnusable(f"{path}: more than {FILE_BYTES_MAX} bytes")
    try:
        if path.suffix == ".pem":
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise TrustUnusable(f"{path} is no certificate") from error


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        basic = _extension(certificate.extensions, x509.BasicConstraints)
        usage = _extension(certificate.extensions, x509.KeyUsage)
        key = certificate.public_key()
    except UNREADABLE:
        return False
    strong = isinstance(key, rsa.RSAPublicKey) and key.key_size >= KEY_BITS
    return bool(basic and basic.ca and strong and (usage is None or usage.key_cert_sign))


def _named_key(certificate: x509.Certificate) -> bytes | None:
    named = _extension(certificate.extensions, x509.AuthorityKeyIdentifier)
    return named.key_identifier if named else None


def _key_id(authority: x509.Certificate) -> bytes:
    """What its certificate says of its key, or what it would say (RFC 5280, 4.2.1.2)."""
    stated = _extension(authority.extensions, x509.SubjectKeyIdentifier)
    key_id = stated or x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return key_id.digest
