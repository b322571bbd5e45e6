"""Who this reader is to the network, and whom it believes.

Rules: the certificate names the reader of the configuration and belongs to the private key · one
authority is trusted for servers (dates are judged only by a clock that may be right), one Ed25519
key for whatever the fleet says · the sealing key and the programme keys are never read here: they
belong to the card half.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from edge.config import Config
from wire.envelope import Signer
from wire.mqtt import Endpoint, client_tls
from wire.topics import ReaderName

NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h; Python's ssl passes it on without a name."""


class IdentityRefused(ValueError):
    """Certificate and keys cannot be used: provision this reader again; the sentence says why."""


@dataclass(frozen=True)
class Identity:
    """What the network half signs with, shows and trusts."""

    name: ReaderName
    signer: Signer
    fleet_key: ed25519.Ed25519PublicKey
    tls: ssl.SSLContext
    broker: Endpoint

    def check_dates(self, known: bool) -> None:
        """Say whether the machine's date is good enough to judge certificates by.

        A machine that starts in 1970 finds every certificate not yet valid, and without a
        connection it would never hear the time. Then, and only then, a server's certificate is
        verified without its dates: it is still of our authority and for that name, and whatever the
        fleet says is signed by a key of its own. It holds for connections that begin after this.
        """
        flags = self.tls.verify_flags & ~NO_CHECK_TIME
        self.tls.verify_flags = flags if known else flags | NO_CHECK_TIME


def read_identity(config: Config) -> Identity:
    """Return the identity that the configuration names. Raises IdentityRefused."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(config.certificate).read_bytes())
        key = serialization.load_pem_private_key(Path(config.key).read_bytes(), None)
        fleet_key = serialization.load_pem_public_key(Path(config.fleet_key).read_bytes())
        tls = client_tls(config.authority, config.certificate, config.key)
    except (OSError, ValueError) as error:
        raise IdentityRefused(f"{config.reader}: {error}: provision it again") from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [config.reader]:
        raise IdentityRefused(f"{config.certificate} is not the certificate of {config.reader}")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityRefused(f"{config.key} is no P-256 key: provision this reader again")
    if not isinstance(fleet_key, ed25519.Ed25519PublicKey):
        raise IdentityRefused(f"{config.fleet_key} is no Ed25519 key: provision this reader again")
    broker = Endpoint(config.broker_host, config.broker_port, tls)
    return Identity(config.name, Signer(key), fleet_key, tls, broker)
