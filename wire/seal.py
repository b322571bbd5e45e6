"""What reaches a reader sealed, so that nothing in between can open it: programme keys, and names.

HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the `info` is
`label 00 reader`, with a label for each kind. The reader's sealing key is another one than its TLS
key: only the process without a network holds it. The fleet serves the sealed bytes alone.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from wire.entries import Hex128, Name
from wire.limits import KEYS_BYTES_MAX, NAMES_BYTES_MAX, NAMES_MAX, PROGRAMMES_PER_PLACE_MAX

KEYS_LABEL: Final = b"kazasu-programme-keys-1"
NAMES_LABEL: Final = b"kazasu-gate-names-1"
NAME_CHARACTERS_MAX: Final = 40
"""Of a name on a gate's screen; a longer one is cut."""
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


class GateNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one gate calls the people who stand at it, by their credentials of one programme."""

    v: Literal[1]
    programme: Name
    names: Annotated[
        dict[Hex128, Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)]],
        Meta(max_length=NAMES_MAX),
    ]


class SealBroken(ValueError):
    """What was sealed is for another reader, damaged, or of an unknown version: fetch it again."""


T = TypeVar("T")


def seal_keys(keys: ProgrammeKeys, reader: str, to: ec.EllipticCurvePublicKey) -> bytes:
    """Return `keys` sealed to one reader's sealing key; `reader` is `tenant/reader`."""
    return _seal(keys, KEYS_LABEL, reader, to)


def open_keys(sealed: bytes, reader: str, key: ec.EllipticCurvePrivateKey) -> ProgrammeKeys:
    """Return the keys sealed to this reader. Raises SealBroken."""
    return _open(sealed, KEYS_LABEL, reader, key, ProgrammeKeys, KEYS_BYTES_MAX)


def seal_names(names: GateNames, reader: str, to: ec.EllipticCurvePublicKey) -> bytes:
    """Return `names` sealed to one reader's sealing key; `reader` is `tenant/reader`."""
    return _seal(names, NAMES_LABEL, reader, to)


def open_names(sealed: bytes, reader: str, key: ec.EllipticCurvePrivateKey) -> GateNames:
    """Return the names sealed to this reader. Raises SealBroken."""
    return _open(sealed, NAMES_LABEL, reader, key, GateNames, NAMES_BYTES_MAX)


def _info(label: bytes, reader: str) -> bytes:
    return label + b"\0" + reader.encode()


def _seal(body: msgspec.Struct, label: bytes, reader: str, to: ec.EllipticCurvePublicKey) -> bytes:
    return _SUITE.encrypt(msgspec.json.encode(body), to, info=_info(label, reader))


def _open(
    sealed: bytes,
    label: bytes,
    reader: str,
    key: ec.EllipticCurvePrivateKey,
    kind: type[T],
    bytes_max: int,
) -> T:
    if len(sealed) > bytes_max:
        raise SealBroken(f"{len(sealed)} sealed bytes; at most {bytes_max}")
    try:
        plain = _SUITE.decrypt(sealed, key, info=_info(label, reader))
        return msgspec.json.decode(plain, type=kind)
    except (InvalidTag, ValueError, RecursionError) as error:
        raise SealBroken(f"this cannot be opened by {reader}: fetch it again") from error
