"""How programme keys reach a reader: sealed to it, so that nothing in between can open them.

HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the `info` is
`"kazasu-programme-keys-1" 00 reader`. The reader's sealing key is another one than its TLS key:
only the process without a network holds it. The fleet keeps and serves the sealed bytes alone.
"""

from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from wire.entries import Name
from wire.limits import KEYS_BYTES_MAX, PROGRAMMES_PER_PLACE_MAX

LABEL: Final = b"kazasu-programme-keys-1"
_SUITE: Final = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class ProgrammeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One programme's key of one epoch (1, 2, …)."""

    programme: Name
    epoch: Annotated[int, Meta(ge=1, le=65_535)]
    key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class ProgrammeKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys of one reader: of each programme the present epoch and at most the one before."""

    v: Literal[1]
    keys: Annotated[list[ProgrammeKey], Meta(max_length=2 * PROGRAMMES_PER_PLACE_MAX)]


class SealBroken(ValueError):
    """The sealed keys are for another reader, damaged, or of an unknown version: fetch again."""


def _info(reader: str) -> bytes:
    return LABEL + b"\0" + reader.encode()


def seal_keys(keys: ProgrammeKeys, reader: str, to: ec.EllipticCurvePublicKey) -> bytes:
    """Return `keys` sealed to one reader's sealing key; `reader` is `tenant/reader`."""
    return _SUITE.encrypt(msgspec.json.encode(keys), to, info=_info(reader))


def open_keys(sealed: bytes, reader: str, key: ec.EllipticCurvePrivateKey) -> ProgrammeKeys:
    """Return the keys sealed to this reader. Raises SealBroken."""
    if len(sealed) > KEYS_BYTES_MAX:
        raise SealBroken(f"{len(sealed)} bytes of sealed keys; at most {KEYS_BYTES_MAX}")
    try:
        plain = _SUITE.decrypt(sealed, key, info=_info(reader))
        return msgspec.json.decode(plain, type=ProgrammeKeys)
    except (InvalidTag, ValueError, RecursionError) as error:
        raise SealBroken(f"these keys cannot be opened by {reader}: fetch them again") from error
