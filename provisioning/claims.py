"""One-time claims: what a card carries instead of a key, and what is kept of it here.

    DIR/claims.json     for each reader the SHA-256 of its last claim, until when, and who spent it

Rules: a claim is 256 random bits that stand on one card and nowhere here · a new one of the same
reader makes the former void · it is spent by the first keys that come with it and good for no
others; the same keys may come again, since an answer can be lost · it is written down as spent, on
the disk, before anything is given for it.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from provisioning.vault import PRIVATE_FILE, ProvisioningRefused, write_file
from wire.enrol import CLAIM_BYTES
from wire.registry import PLACES_MAX, Fingerprint

FILE: Final = "claims.json"
DAYS: Final = 14
"""From the desk where a card is written to the vehicle where it is put in."""
DAY_MS: Final = 86_400_000


class ClaimRefused(Exception):
    """Unknown, wrong, expired or spent by others: all say the same to who asks."""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reader's last claim."""

    reader: Annotated[str, Meta(max_length=64)]
    sha256: Fingerprint
    expires_at_ms: int
    spent_by: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", max_length=64)] = ""
    """SHA-256 of the keys that came with it; empty: nobody yet."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    claims: Annotated[list[Claim], Meta(max_length=PLACES_MAX)]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change a town's folder; others wait. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def issue(folder: Path, reader: str, now_ms: int, days: int = DAYS) -> str:
    """Make a claim, which makes the reader's former one void, and return it (64 hex digits).

    Raises ProvisioningRefused and OSError. Call it in `alone`.
    """
    claim = secrets.token_hex(CLAIM_BYTES)
    kept = Claim(reader, _sha256(claim.encode()), now_ms + days * DAY_MS)
    _write(folder, _read(folder) | {reader: kept})
    return claim


def spend(folder: Path, reader: str, claim: str, keys: bytes, now_ms: int) -> None:
    """Let these keys have the claim, durably. Raises ClaimRefused. Call it in `alone`."""
    claims = _read(folder)
    kept = claims.get(reader)
    expected = kept.sha256 if kept else _sha256(b"")  # an unknown reader costs the same time
    right = hmac.compare_digest(_sha256(claim.encode()), expected)
    by = _sha256(keys)
    if kept is None or not right or now_ms >= kept.expires_at_ms:
        raise ClaimRefused
    if kept.spent_by and not hmac.compare_digest(kept.spent_by, by):
        raise ClaimRefused
    if not kept.spent_by:
        _write(folder, claims | {reader: msgspec.structs.replace(kept, spent_by=by)})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(folder: Path) -> dict[str, Claim]:
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.MsgspecError as error:
        raise ProvisioningRefused(f"{path}: {error}: move it away, and make cards anew") from error
    return {claim.reader: claim for claim in file.claims}


def _write(folder: Path, claims: dict[str, Claim]) -> None:
    data = msgspec.json.encode(_File(1, [claims[name] for name in sorted(claims)]))
    write_file(folder / FILE, msgspec.json.format(data) + b"\n", PRIVATE_FILE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)  # the new name, too
    finally:
        os.close(descriptor)
