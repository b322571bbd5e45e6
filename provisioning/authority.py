"""The authorities that say who is who, and the certificates they sign (X.509, RFC 5280).

Two roots, because mosquitto lets every certificate that a listener trusts open a session under
any client id it likes: the first signs readers and servers, the second only the fleet's own client.
The fleet's listener trusts the second alone, so a reader cannot even connect there.

All keys are P-256: every TLS stack and every TPM in the field can use it. There is no revocation
list yet: the device listener looks a reader up at each request, and the broker learns of a
revocation only when the certificate ends; that is one reason why readers' certificates are short.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.vault import ProvisioningRefused, p256_key, write_file
from wire.topics import ReaderName

ROOT_DAYS: Final = 3650
"""Ten years: longer than any reader is in service, so that no root must be changed in the field."""
SERVER_DAYS: Final = 365
"""A server stands where it can be given a new certificate by hand once a year."""
CLIENT_DAYS: Final = 90
"""Readers are stolen: one that is not seen for a quarter cannot come back. Renewed at two thirds,
so a school may be closed for a month of summer and still connect in September."""
BACKDATED: Final = datetime.timedelta(minutes=10)
"""A reader without a battery behind its clock starts up to a few minutes early."""
FLEET_CLIENT: Final = "fleet"
"""The one name that the fleet's listener knows."""

_CA_USAGE: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_LEAF_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _draft(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


@dataclass(frozen=True)
class Authority:
    """One root with its key; it signs leaves and nothing below them (path length 0)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def at(cls, folder: Path, stem: str, title: str, now: datetime.datetime) -> Self:
        """Return the authority kept as `stem.pem` and `stem.key`; makes it when there is none.

        Raises ProvisioningRefused when the two files do not belong together.
        """
        key, path = p256_key(folder / f"{stem}.key"), folder / f"{stem}.pem"
        if not path.exists():
            draft = _draft(title, title, key.public_key(), now, ROOT_DAYS)
            draft = draft.add_extension(x509.BasicConstraints(True, path_length=0), critical=True)
            draft = draft.add_extension(_CA_USAGE, critical=True)
            write_file(path, pem(draft.sign(key, hashes.SHA256())))
        certificate = read_certificate(path)
        if certificate.public_key() != key.public_key():
            raise ProvisioningRefused(f"{path} belongs to another key than {stem}.key")
        return cls(certificate, key)

    def issue_server(
        self, key: ec.EllipticCurvePublicKey, names: list[x509.GeneralName], now: datetime.datetime
    ) -> x509.Certificate:
        """Return a certificate for a server that answers under these names and addresses."""
        draft = self._leaf("server", key, now, SERVER_DAYS, ExtendedKeyUsageOID.SERVER_AUTH)
        draft = draft.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return draft.sign(self.key, hashes.SHA256())

    def issue_reader(
        self, name: ReaderName, key: ec.EllipticCurvePublicKey, now: datetime.datetime
    ) -> x509.Certificate:
        """Return a reader's certificate; its name `tenant/reader` is what the broker goes by."""
        return self.issue_client(str(name), key, now)

    def issue_client(
        self, name: str, key: ec.EllipticCurvePublicKey, now: datetime.datetime
    ) -> x509.Certificate:
        """Return a client certificate under any name; callers see to it that the name is right."""
        draft = self._leaf(name, key, now, CLIENT_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH)
        return draft.sign(self.key, hashes.SHA256())

    def signed(self, certificate: x509.Certificate) -> bool:
        """True when this root signed that certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _leaf(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        now: datetime.datetime,
        days: int,
        use: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return (
            _draft(name, str(issuer), key, now, days)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(_LEAF_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a PEM file. Raises ProvisioningRefused."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProvisioningRefused(f"{path} is no certificate: put the right one back") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 over the certificate (DER) as 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_due(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    """True when less than a third of a certificate's life is left: time to renew it."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now > last - (last - first) / 3
