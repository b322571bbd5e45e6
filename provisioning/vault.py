"""Files that provisioning leaves behind.

Rules: a private key is created once, exclusively, readable by its owner alone, and never written
over; everything that can be made again is written beside and renamed, so that a reader of the file
never sees half of it.
"""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
PUBLIC_FILE = 0o644


class ProvisioningRefused(ValueError):
    """Something is not as it should be; the sentence says what, where, and what to do."""


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, or take the one that is there; return it."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    path.chmod(PRIVATE_FOLDER)
    return path


def write_file(path: Path, data: bytes, mode: int = PUBLIC_FILE) -> None:
    """Write a whole file beside, on the disk, and rename it into place, with exactly this mode."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(file, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _keep_private(path: Path, key: PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(file, "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())


def _read_private(path: Path) -> object:
    if path.stat().st_mode & 0o077:
        raise ProvisioningRefused(f"{path} can be read by others: it counts as lost, make it anew")
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ProvisioningRefused(f"{path} is no private key: put the right one back") from error


def p256_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of a file; makes it when there is none. Raises ProvisioningRefused."""
    if not path.exists():
        _keep_private(path, ec.generate_private_key(ec.SECP256R1()))
    key = _read_private(path)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == ec.SECP256R1.name:
        return key
    raise ProvisioningRefused(f"{path} is no P-256 key: put the right one back")


def ed25519_key(path: Path) -> ed25519.Ed25519PrivateKey:
    """Return the Ed25519 key of a file; makes it when there is none. Raises as `p256_key`."""
    if not path.exists():
        _keep_private(path, ed25519.Ed25519PrivateKey.generate())
    key = _read_private(path)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise ProvisioningRefused(f"{path} is no Ed25519 key: put the right one back")


def public_pem(key: PrivateKey) -> bytes:
    """Return the public half as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
