"""Certificates shaped like those of the JPKI user authentication CA, really signed.

The names, the policy and the extensions follow what public readers print of a real card (OpenSC,
jpki/myna, soltia48/myna-card); keys and numbers are invented. Both keys are derived from their
labels, so a simulated card is the same, byte for byte, in every run, no private key lies in the
repository, and hundreds of cards are signed in a second.
"""

import hashlib
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

_PRIME_BITS = 1024
_POLICY = x509.ObjectIdentifier("1.2.392.200149.8.5.1.3.30")  # JPKI user authentication, class 30
_AGENCY = "Japan Agency for Local Authority Information Systems"

# The first odd number from the label's own starting point on that is prime, found by search.
# cryptography proves both factors prime again whenever it makes the key.
_CA_PRIMES = (("kazasu simulated JPKI CA p", 1022), ("kazasu simulated JPKI CA q", 1136))
_HOLDER_PRIMES = (("kazasu simulated holder p", 254), ("kazasu simulated holder q", 1658))


def authentication_certificate(
    serial: int, common_name: str, not_before: datetime, not_after: datetime
) -> bytes:
    """Sign a user authentication certificate, RSA-2048, and give its DER (1.5 to 1.6 kB).

    Times are UTC, exact to the second. All holders share one key: nobody signs in with a
    simulated card. Raises ValueError for a serial that is not 1 to 159 bits: 20 bytes as a signed
    INTEGER (RFC 5280, 4.1.2.2).
    """
    subject = _name((NameOID.COUNTRY_NAME, "JP"), (NameOID.COMMON_NAME, common_name))
    return _sign(
        x509.CertificateBuilder(extensions=list(_holder_extensions()))
        .subject_name(subject)
        .public_key(_key(_HOLDER_PRIMES).public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


@cache
def ca_certificate() -> bytes:
    """Give the DER of the simulated authority's own certificate, by which the others verify."""
    return _sign(
        x509.CertificateBuilder()
        .subject_name(_issuer())
        .public_key(_key(_CA_PRIMES).public_key())
        .serial_number(0x06D18006)  # four bytes, as the real CA of 2023 has
        .not_valid_before(datetime(2023, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2033, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )


def _sign(builder: x509.CertificateBuilder) -> bytes:
    certificate = builder.issuer_name(_issuer()).sign(_key(_CA_PRIMES), hashes.SHA256())
    return certificate.public_bytes(Encoding.DER)


@cache
def _key(primes: tuple[tuple[str, int], tuple[str, int]]) -> rsa.RSAPrivateKey:
    p, q = (_prime(*prime) for prime in primes)
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(e, p * q),
    ).private_key()


def _prime(label: str, offset: int) -> int:
    digest = hashlib.shake_256(label.encode()).digest(_PRIME_BITS // 8)
    # Odd, and the two top bits set, so that the product has all its 2048 bits.
    return (int.from_bytes(digest, "big") | 3 << (_PRIME_BITS - 2) | 1) + offset


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


@cache
def _issuer() -> x509.Name:
    return _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, "JPKI"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "JPKI for user authentication"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, _AGENCY),
    )


@cache
def _holder_extensions() -> tuple[x509.Extension[x509.ExtensionType], ...]:
    ca_key_id = x509.SubjectKeyIdentifier.from_public_key(_key(_CA_PRIMES).public_key())
    japanese_issuer = _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, "公的個人認証サービス"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "公的個人認証サービス利用者証明用"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "地方公共団体情報システム機構"),
    )
    revocations = _name(
        (NameOID.COUNTRY_NAME, "JP"),
        (NameOID.ORGANIZATION_NAME, "JPKI"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "JPKI for user authentication"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "CRL Distribution Points"),
        (NameOID.COMMON_NAME, "Simulated CRLDP"),
    )
    statement = "http://jpki.example/cps.html"
    responder = x509.UniformResourceIdentifier("http://ocsp.jpki.example")
    return (
        _extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False),
            critical=True,
        ),
        _extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
        _extension(
            x509.CertificatePolicies([x509.PolicyInformation(_POLICY, [statement])]), critical=True
        ),
        _extension(x509.IssuerAlternativeName([x509.DirectoryName(japanese_issuer)])),
        _extension(
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.DirectoryName(revocations)], None, None, None)]
            )
        ),
        _extension(
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, responder)]
            )
        ),
        _extension(
            x509.AuthorityKeyIdentifier(
                ca_key_id.digest, [x509.DirectoryName(_issuer())], 0x06D18006
            )
        ),
        _extension(x509.SubjectKeyIdentifier.from_public_key(_key(_HOLDER_PRIMES).public_key())),
    )


def _extension(
    value: x509.ExtensionType, *, critical: bool = False
) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)
