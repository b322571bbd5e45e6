"""Readers that made their own keys: what they asked for, what they were given, and how it is kept.

    DIR/readers/N/enrolled.json     the reader's two public keys and its certificate

Rules: a request is for one reader's name, signed by a P-256 key, and brings another one for sealing
· what was given is on the disk before it is sent · keys that `local` made for the place are removed
then: nobody but the reader has its private keys.
"""

import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Meta

from provisioning.authority import Authority, fingerprint, is_due, pem
from provisioning.keys import KeyRing
from provisioning.registry import Before
from provisioning.vault import ProvisioningRefused, write_file
from wire.enrol import SEALING_KEY
from wire.registry import Pem, RegisteredReader
from wire.seal import seal_keys
from wire.topics import ReaderName

FILE: Final = "enrolled.json"


class RequestRefused(ValueError):
    """No request that could be granted, whoever asks."""


class Request(NamedTuple):
    """What a reader asks for, verified."""

    key: ec.EllipticCurvePublicKey
    sealing: ec.EllipticCurvePublicKey

    @property
    def keys(self) -> bytes:
        """Both keys: a request made again by the same reader has the same."""
        return b"".join(key.public_bytes(*_DER) for key in self)


_DER: Final = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
_PEM: Final = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Enrolled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reader with keys of its own."""

    v: Literal[1]
    public_key: Pem
    sealing_public_key: Pem
    certificate: Annotated[str, Meta(max_length=4096)]


def read_request(data: bytes, reader: str) -> Request:
    """Return what a PKCS#10 request (DER) asks for. Raises RequestRefused."""
    try:
        request = x509.load_der_x509_csr(data)
        if not request.is_signature_valid:
            raise RequestRefused("the signature is not the key's")
        sealing = request.extensions.get_extension_for_oid(SEALING_KEY).value
        if not isinstance(sealing, x509.UnrecognizedExtension):
            raise RequestRefused("no sealing key")
        keys = Request(
            _p256(request.public_key()), _p256(serialization.load_der_public_key(sealing.value))
        )
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise RequestRefused(str(error)) from error
    if [name.value for name in names] != [reader]:
        raise RequestRefused("another name than the claim's")
    if keys.key == keys.sealing:
        raise RequestRefused("one key for two things")
    return keys


def _p256(key: object) -> ec.EllipticCurvePublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == ec.SECP256R1.name:
        return key
    raise RequestRefused("no P-256 key")


def read_enrolled(home: Path) -> Enrolled | None:
    """Return what a reader's folder has; None when its keys were made here."""
    path = home / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolled)
    except msgspec.MsgspecError as error:
        raise ProvisioningRefused(f"{path}: {error}: enrol this reader again") from error


def enrol(
    home: Path, name: ReaderName, request: Request, root: Authority, now: datetime.datetime
) -> Enrolled:
    """Give a reader its certificate, the one that its keys have while that is good; keep it."""
    public, sealing = (key.public_bytes(*_PEM).decode() for key in request)
    kept = read_enrolled(home)
    if kept and (kept.public_key, kept.sealing_public_key) == (public, sealing):
        certificate = x509.load_pem_x509_certificate(kept.certificate.encode())
        if root.signed(certificate) and not is_due(certificate, now):
            return kept
    certificate = root.issue_reader(name, request.key, now)
    enrolled = Enrolled(1, public, sealing, pem(certificate).decode())
    write_file(home / FILE, msgspec.json.format(msgspec.json.encode(enrolled)) + b"\n")
    for ours in ("reader.key", "sealing.key", "reader.pem"):
        (home / ours).unlink(missing_ok=True)
    return enrolled


def registered(
    enrolled: Enrolled, name: ReaderName, programmes: list[str], ring: KeyRing, before: Before
) -> RegisteredReader:
    """Return the reader as the fleet is told of it, with programme keys sealed to it.

    Bytes that were sealed before stay while they say the same, or every reader would fetch keys
    that it has. They cannot be opened here: they are of the same programmes, epochs and reader.
    """
    former, place = before.readers.get(str(name)), before.places.get(name.reader)
    if (
        former
        and place
        and former.sealing_public_key == enrolled.sealing_public_key
        and place.programmes == programmes
        and all(before.epochs.get(one) == ring.present(one).epoch for one in programmes)
    ):
        sealed = former.keys_sealed
    else:
        pem_ = enrolled.sealing_public_key.encode()
        sealing = _p256(serialization.load_pem_public_key(pem_))
        sealed = seal_keys(ring.for_reader(programmes), str(name), sealing)
    return RegisteredReader(
        reader=str(name),
        place=name.reader,
        fingerprint=fingerprint(x509.load_pem_x509_certificate(enrolled.certificate.encode())),
        public_key=enrolled.public_key,
        sealing_public_key=enrolled.sealing_public_key,
        keys_sealed=sealed,
    )
