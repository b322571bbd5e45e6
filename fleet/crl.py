"""What a list of revoked certificates says of one certificate (RFC 5280, 5 and 6.3); pure.

A list counts when the certificate's own authority signed it, among several of one name too; when it
is of today; and when it covers this certificate: an authority may divide its certificates among
many lists (distribution points), and that a certificate is not on another one says nothing.
"""

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleet.standing import CLOCK_SKEW, SOUND_HASHES, UNREADABLE, Standing, Status, Unsure

Crl = x509.CertificateRevocationList


def read(data: bytes) -> Crl:
    """Return a list from its DER or PEM. Raises Unsure."""
    pem = data.lstrip().startswith(b"-----BEGIN")
    try:
        return x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except UNREADABLE as error:
        raise Unsure("it is no list of revoked certificates") from error


def judge(
    crl: Crl, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> Standing:
    """Return what a list says of a certificate of this issuer. Raises Unsure."""
    try:
        check(crl, (issuer,), now)
        _check_scope(crl, certificate)
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    except UNREADABLE as error:
        raise Unsure("the list cannot be read") from error
    of = f"the list of {crl.last_update_utc:%Y-%m-%d %H:%M}Z"
    if entry is None:
        return Standing(Status.VALID, f"it is not on {of}")
    since = f"{entry.revocation_date_utc:%Y-%m-%d %H:%M}Z"
    return Standing(Status.REVOKED, f"{of} says revoked since {since}")


def check(crl: Crl, issuers: Iterable[x509.Certificate], now: datetime) -> None:
    """Raise Unsure unless one of these signed the list, and it is of today."""
    if not any(_has_signed(one, crl) for one in issuers):
        raise Unsure("no authority that counts here signed the list")
    if crl.last_update_utc > now + CLOCK_SKEW:
        raise Unsure("the list is of tomorrow")
    if (until := next_update(crl)) < now:
        raise Unsure(f"the list was good until {until:%Y-%m-%d %H:%M:%S}Z")


def next_update(crl: Crl) -> datetime:
    """Return until when a list is good. Raises Unsure for one that does not say."""
    if crl.next_update_utc is None:
        raise Unsure("the list does not say until when it is good")
    return crl.next_update_utc


def _has_signed(issuer: x509.Certificate, crl: Crl) -> bool:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        if not isinstance(crl.signature_hash_algorithm, SOUND_HASHES):
            return False
        return crl.issuer == issuer.subject and crl.is_signature_valid(key)
    except UNREADABLE:
        return False


def _check_scope(crl: Crl, certificate: x509.Certificate) -> None:
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.IssuingDistributionPoint):
            _check_point(value, certificate)
        elif extension.critical:  # such as a list of changes alone
            raise Unsure("the list is of a kind that is not known here")


def _check_point(point: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> None:
    partial = (
        point.only_contains_ca_certs,
        point.only_contains_attribute_certs,
        point.only_some_reasons,
        point.indirect_crl,
        point.relative_name,
    )
    if any(partial):
        raise Unsure("the list is about other certificates or other reasons")
    if point.full_name and not set(point.full_name) & _points_of(certificate):
        raise Unsure("the list is about certificates of another distribution point")


def _points_of(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return set()
    return {name for point in points if not point.reasons for name in point.full_name or ()}
