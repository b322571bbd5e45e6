"""A real OCSP responder for tests: Debian's `openssl ocsp`, for the simulated authority.

It reads an index of certificates, as `openssl ca` keeps one, and signs as it is told: as the
authority, as a responder that the authority appointed, or as somebody else. It takes any free port
and is stopped by its own process id.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hw.sim.certificate import Authority, ca_certificate
from tests.real_influx import running

NEXT_UPDATE_MINUTES = 5
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Signer:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    def write(self, folder: Path, name: str) -> tuple[str, str]:
        """Write both as PEM; return their paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(certificate), str(key)


def authority(generation: int = 2, purpose: str = "user authentication") -> Signer:
    """Return the simulated authority that issues cards' certificates."""
    simulated = Authority(purpose, generation)
    certificate = x509.load_der_x509_certificate(ca_certificate(simulated))
    return Signer(certificate, simulated.key.private)


def appointed(by: Signer, *, for_ocsp: bool = True) -> Signer:
    """Return a responder with a certificate of an authority; without `for_ocsp` for logging in."""
    key = rsa.generate_private_key(65537, 2048)
    usage = ExtendedKeyUsageOID.OCSP_SIGNING if for_ocsp else ExtendedKeyUsageOID.CLIENT_AUTH
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A responder")]))
        .issuer_name(by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(by.key, hashes.SHA256())
    )
    return Signer(certificate, key)


def _index(valid: Sequence[int], revoked: Sequence[int]) -> str:
    """One line a certificate: state, end, when and why revoked, serial, file, name."""
    lines = [f"V\t301231000000Z\t\t{serial:08X}\tunknown\t/CN=V" for serial in valid]
    since = "260401000000Z,keyCompromise"
    lines += [f"R\t301231000000Z\t{since}\t{serial:08X}\tunknown\t/CN=R" for serial in revoked]
    return "".join(line + "\n" for line in lines)


@contextlib.contextmanager
def start_responder(
    folder: Path,
    issuer: Signer,
    *,
    valid: Sequence[int] = (),
    revoked: Sequence[int] = (),
    signer: Signer | None = None,
    options: Sequence[str] = ("-nmin", str(NEXT_UPDATE_MINUTES)),
) -> Iterator[str]:
    """Yield the address of a responder until left. `signer`: who signs, if not the issuer."""
    folder.mkdir()
    (folder / "index.txt").write_text(_index(valid, revoked))
    ca, _ = issuer.write(folder, "ca")
    certificate, key = (signer or issuer).write(folder, "signer")
    arguments = ["openssl", "ocsp", "-port", "0", "-index", str(folder / "index.txt")]
    arguments += ["-CA", ca, "-rsigner", certificate, "-rkey", key, *options]

    def port() -> str:
        told = re.search(r"ACCEPT \S+:(\d+)", (folder / "log").read_text())
        if told is None:
            raise OSError("it does not listen yet")
        return told[1]

    with running(arguments, port, folder):
        yield f"http://127.0.0.1:{port()}"


def revocation_list(
    by: Signer,
    revoked: Sequence[int] = (),
    *,
    made: datetime | None = None,
    until: datetime | None = None,
    extensions: Sequence[x509.Extension[x509.ExtensionType]] = (),
) -> bytes:
    """Return a list of revoked certificates (DER), by default of today."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder(extensions=list(extensions))
        .issuer_name(by.certificate.subject)
        .last_update(made or now - _DAY)
        .next_update(until or now + _DAY)
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(now - _DAY).build())
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)
