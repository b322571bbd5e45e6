"""Certificates shaped like those of the JPKI, really signed: two authorities, two generations.

The names, the policies and the extensions follow the published CA certificates and what public
readers print of a real card (jpki/myna src/ta, soltia48/myna-card, OpenSC); keys and numbers are
invented and derived from names (see `keys`), so a certificate is the same, byte for byte, in every
run, and hundreds of cards are signed in a second.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from hw.sim.keys import Key, key
from hw.sim.tlv import tlv

CERTIFICATES_MAX: Final = 1024
"""So many are kept: the people of a town hold their cards again and again."""
_AGENCY: Final = "Japan Agency for Local Authority Information Systems"
_SERVICE: Final = "公的個人認証サービス"
_JPKI: Final = "1.2.392.200149.8.5"
_POLICIES: Final = {
    "user authentication": x509.ObjectIdentifier(f"{_JPKI}.1.3.30"),
    "digital signature": x509.ObjectIdentifier(f"{_JPKI}.1.1.20"),
}
_JAPANESE: Final = {
    "user authentication": "公的個人認証サービス利用者証明用",
    "digital signature": "公的個人認証サービス署名用",
}
_HOLDER_ATTRIBUTES: Final = (1, 3, 4, 5, 2, 6)
"""Below 1.2.392.200149.8.5.5: name, sex, birthday, address; then which characters of name and
address stand for others (J-LIS profile of the signature certificate, 3.2)."""

_UTF8_STRING: Final = 0x0C  # its tag
_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class _Generation(NamedTuple):
    serial: int
    not_before: datetime
    not_after: datetime


_GENERATIONS: Final = {
    1: _Generation(0x01324A01, datetime(2019, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)),
    2: _Generation(0x06D18006, datetime(2023, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)),
}
"""As the real ones, a new authority every four years for ten, serials of four bytes."""


def generation_at(issued: datetime) -> int:
    """The generation that issued certificates then: the latest that had begun, or the first."""
    return max((n for n, g in _GENERATIONS.items() if g.not_before <= issued), default=1)


@dataclass(frozen=True)
class Authority:
    """One generation, 1 or 2, of the authority for user authentication or digital signature.

    All generations of one have the same name, so it takes the key to tell who issued what.
    """

    purpose: str
    generation: int

    @property
    def key(self) -> Key:
        """The authority's key."""
        return key(f"{self.purpose} certificates", f"authority {self.generation}")

    @property
    def name(self) -> x509.Name:
        """The name that all its generations share."""
        return _name(
            (NameOID.COUNTRY_NAME, "JP"),
            (NameOID.ORGANIZATION_NAME, "JPKI"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, f"JPKI for {self.purpose}"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, _AGENCY),
        )


class Subject(NamedTuple):
    """What a certificate says. Times are UTC, exact to the second."""

    issuer: Authority
    serial: int
    common_name: str
    not_before: datetime
    not_after: datetime
    key: Key


@lru_cache(CERTIFICATES_MAX)
def authentication_certificate(subject: Subject) -> bytes:
    """Sign a user authentication certificate, RSA-2048, and give its DER (1.5 to 1.6 kB).

    Raises ValueError for a serial that is not 1 to 159 bits: 20 bytes as a signed INTEGER
    (RFC 5280, 4.1.2.2).
    """
    name = _name((NameOID.COUNTRY_NAME, "JP"), (NameOID.COMMON_NAME, subject.common_name))
    extensions = [
        _usage("digital_signature"),
        _extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
        *_holder_extensions(subject.issuer),
    ]
    return _issue(subject, name, extensions)


@lru_cache(CERTIFICATES_MAX)
def signature_certificate(
    subject: Subject, name: str, sex: str, birthday: str, address: str
) -> bytes:
    """Sign a digital signature certificate; see `authentication_certificate`.

    `birthday` is a digit for the era and YYYYMMDD. No character of name and address is replaced.
    """
    values = (name, sex, birthday, address, "0" * len(name), "0" * len(address))
    says = [
        x509.OtherName(x509.ObjectIdentifier(f"{_JPKI}.5.{attribute}"), _utf8(value))
        for attribute, value in zip(_HOLDER_ATTRIBUTES, values, strict=True)
    ]
    distinguished = _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.LOCALITY_NAME, "Mihon-ken"),
        (NameOID.LOCALITY_NAME, "Mihon-shi"),
        (NameOID.COMMON_NAME, subject.common_name),
    )
    extensions = [
        _usage("digital_signature", "content_commitment"),
        _extension(x509.SubjectAlternativeName(says)),
        *_holder_extensions(subject.issuer),
    ]
    return _issue(subject, distinguished, extensions)


@cache
def ca_certificate(authority: Authority) -> bytes:
    """Give the DER of an authority's own certificate, by which the others verify."""
    own = _GENERATIONS[authority.generation]
    service = _name((NameOID.COUNTRY_NAME, "JP"), (NameOID.ORGANIZATION_NAME, _SERVICE))
    subject = Subject(authority, own.serial, "", own.not_before, own.not_after, authority.key)
    extensions = [
        _usage("key_cert_sign", "crl_sign"),
        _extension(x509.SubjectAlternativeName([x509.DirectoryName(service)])),
        _extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
        _revocations(authority.name),
    ]
    return _issue(subject, authority.name, extensions)


def _issue(
    subject: Subject, name: x509.Name, extensions: list[x509.Extension[x509.ExtensionType]]
) -> bytes:
    public = subject.key.public
    key_id = _extension(x509.SubjectKeyIdentifier.from_public_key(public))
    certificate = (
        x509.CertificateBuilder(extensions=[*extensions, key_id])
        .issuer_name(subject.issuer.name)
        .subject_name(name)
        .public_key(public)
        .serial_number(subject.serial)
        .not_valid_before(subject.not_before)
        .not_valid_after(subject.not_after)
        .sign(subject.issuer.key.private, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


@cache
def _holder_extensions(issuer: Authority) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """What all certificates of one authority say alike."""
    japanese_issuer = _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, _SERVICE),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, _JAPANESE[issuer.purpose]),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "地方公共団体情報システム機構"),
    )
    responder = x509.UniformResourceIdentifier("http://ocsp.jpki.example")
    policy = x509.PolicyInformation(_POLICIES[issuer.purpose], ["http://jpki.example/cps.html"])
    issuer_key_id = x509.SubjectKeyIdentifier.from_public_key(issuer.key.public)
    return (
        _extension(x509.CertificatePolicies([policy]), critical=True),
        _extension(x509.IssuerAlternativeName([x509.DirectoryName(japanese_issuer)])),
        _revocations(
            _name(
                (NameOID.COUNTRY_NAME, "JP"),
                (NameOID.ORGANIZATION_NAME, "JPKI"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, f"JPKI for {issuer.purpose}"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "CRL Distribution Points"),
                (NameOID.COMMON_NAME, "Simulated CRLDP"),
            )
        ),
        _extension(
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, responder)]
            )
        ),
        _extension(
            x509.AuthorityKeyIdentifier(
                issuer_key_id.digest,
                [x509.DirectoryName(issuer.name)],
                _GENERATIONS[issuer.generation].serial,
            )
        ),
    )


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def _utf8(text: str) -> bytes:
    return tlv(_UTF8_STRING, text.encode())


def _usage(*bits: str) -> x509.Extension[x509.ExtensionType]:
    return _extension(x509.KeyUsage(**{bit: bit in bits for bit in _USAGES}), critical=True)


def _revocations(place: x509.Name) -> x509.Extension[x509.ExtensionType]:
    point = x509.DistributionPoint([x509.DirectoryName(place)], None, None, None)
    return _extension(x509.CRLDistributionPoints([point]))


def _extension(
    value: x509.ExtensionType, *, critical: bool = False
) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)
