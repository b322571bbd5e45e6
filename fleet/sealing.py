"""Small secrets at rest: sealed under a key that lies in a file of the office, never in a database.

AES-256-GCM with a fresh nonce; what a secret is for is authenticated with it, so that one account's
cannot be put into another's row (NIST SP 800-38D; random nonces are good for 2^32 sealings).
"""

import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12


class Unsealable(ValueError):
    """The bytes were changed, are of another purpose, or the key is another one now."""


class Sealer:
    """Seals, opens and takes fingerprints under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key, self._cipher = key, AESGCM(key)

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Return what may lie in a database or a cookie."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return the secret. Raises Unsealable."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise Unsealable("this secret cannot be opened") from error

    def fingerprint(self, data: bytes, purpose: str) -> bytes:
        """Return 32 bytes, the same for the same data; without the key nobody can try data out.

        HMAC-SHA-256 over `"fingerprint" 00 purpose 00 data`.
        """
        message = b"\0".join((b"fingerprint", purpose.encode(), data))
        return hmac.digest(self._key, message, "sha256")
