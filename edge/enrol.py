"""The reader's first act: it makes its own keys and turns the card's claim into a certificate.

    kazasu-edge enrol /data/kazasu/edge.toml --card /boot/firmware/kazasu

The card's folder has `claim` and `door` (where to ask). Rules: private keys are made here and never
leave · only a server of the town's root is asked · an answer that is lost is asked for again with
the same keys · what comes is used when it is for our key and name and of our root · then, and only
then, the claim is removed from the card. A wrong date stops nothing: a new reader has no clock yet.
"""

import base64
import http.client
import os
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from edge.config import Config
from edge.durable import replace_file, synchronise_folder
from edge.identity import NO_CHECK_TIME
from wire.enrol import BODY_BYTES_MAX, REQUEST_TYPE, SEALING_KEY, SIMPLE_ENROLL

TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
WORD_BYTES_MAX: Final = 512
"""Of a claim or an address on the card."""
CLAIM: Final = "claim"
DOOR: Final = "door"
"""Files on the card."""


class EnrolRefused(Exception):
    """The card or the answer cannot be used: make another card; the sentence says why."""


class NotNow(Exception):
    """There was no answer, or one that may be another one later: ask again."""


def enrol(config: Config, card: Path) -> bool:
    """Become the reader of the configuration; False when it is one already and has no new claim.

    A claim on the card is asked for also by who has a certificate: it may end soon. Keys stay.
    Raises EnrolRefused, NotNow and OSError.
    """
    if Path(config.certificate).exists() and not (card / CLAIM).exists():
        return False
    claim, door = _word(card / CLAIM), _word(card / DOOR)
    key, sealing = _key(Path(config.key)), _key(Path(config.sealing_key))
    answer = _ask(door, config, claim, _request(config.reader, key, sealing))
    certificate = _judge(answer, config, key)
    replace_file(Path(config.certificate), certificate.public_bytes(serialization.Encoding.PEM))
    _forget(card)
    return True


def _word(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(WORD_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EnrolRefused(f"{path}: {error}: make this card anew") from error


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key of a file, a new one when there is none, which is on the disk first."""
    if not path.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        replace_file(path, pem)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolRefused(f"{path} is no key of ours: remove it, and make this card anew")
    return key


def _request(
    reader: str, key: ec.EllipticCurvePrivateKey, sealing: ec.EllipticCurvePrivateKey
) -> bytes:
    public = sealing.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, reader)]))
        .add_extension(x509.UnrecognizedExtension(SEALING_KEY, public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.DER)


def _ask(door: str, config: Config, claim: str, request: bytes) -> bytes:
    """Return what the door gives (PKCS#7, DER)."""
    try:
        at = urlsplit(door)
        host, port = at.hostname, at.port or 443
    except ValueError as error:
        raise EnrolRefused(f"{door} is no address: make this card anew") from error
    if at.scheme != "https" or not host:
        raise EnrolRefused(f"{door} is no address: make this card anew")
    tls = ssl.create_default_context(cafile=config.authority)
    tls.verify_flags |= NO_CHECK_TIME
    basic = base64.b64encode(f"{config.reader}:{claim}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Content-Type": REQUEST_TYPE,
        "Content-Transfer-Encoding": "base64",
    }
    line = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls)
    try:
        line.request("POST", SIMPLE_ENROLL, base64.encodebytes(request), headers)
        answer = line.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise NotNow(f"{door}: {error}") from error
    finally:
        line.close()
    if answer.status != 200:
        raise NotNow(f"{door} says {answer.status}: 401 is a claim that is wrong, spent or too old")
    try:
        return base64.b64decode(body)
    except ValueError as error:
        raise NotNow(f"{door}: {error}") from error


def _judge(answer: bytes, config: Config, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return our certificate. Raises NotNow when it is not ours: no claim is given up for it."""
    try:
        (certificate,) = pkcs7.load_der_pkcs7_certificates(answer)
        root = x509.load_pem_x509_certificate(Path(config.authority).read_bytes())
        certificate.verify_directly_issued_by(root)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise NotNow(f"the answer is no certificate of our root: {error}") from error
    if certificate.public_key() != key.public_key() or [n.value for n in names] != [config.reader]:
        raise NotNow("the certificate is another reader's")
    return certificate


def _forget(card: Path) -> None:
    """Remove the claim from the card, for good: it is spent, and stays a secret all the same."""
    path = card / CLAIM
    with path.open("r+b") as file:
        file.write(b"0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    synchronise_folder(card)
