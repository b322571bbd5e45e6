"""RSA-2048 keys of simulated cards and authorities, derived from names: the same in every run.

No private key lies in the repository, and a card's key takes milliseconds: its modulus is one
prime of 256 bits of its own times one of 1792 bits that all share. Whoever knows two of them can
take both apart, so these keys prove something to software under test and nothing to anybody else.
"""

import hashlib
import math
from functools import cache, cached_property, lru_cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

EXPONENT: Final = 65537
OWN_BITS: Final = 256
SHARED_BITS: Final = 1792
SHARED_OFFSET: Final = 556  # from the shared prime's starting point to the prime, found by search
KEYS_MAX: Final = 4096  # so many are kept: the people of a town hold their cards again and again

# Divides out nine of ten candidates before the slow test.
_SMALL_PRIMES: Final = math.prod(
    n for n in range(3, 1000, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))
)


class Key:
    """A key, to be had from `key`; its private half is made when first used."""

    def __init__(self, purpose: str, owner: str) -> None:
        self._own_prime = _prime(f"kazasu simulated {purpose} of {owner}", OWN_BITS)

    @cached_property
    def public(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._numbers.public_key()

    @cached_property
    def private(self) -> rsa.RSAPrivateKey:
        """The private half."""
        p, q = _shared_prime(), self._own_prime
        d = pow(EXPONENT, -1, (p - 1) * (q - 1))
        crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        numbers = rsa.RSAPrivateNumbers(p, q, d, *crt, self._numbers)
        # Validating would prove both factors prime again, at a hundred times the cost.
        return numbers.private_key(unsafe_skip_rsa_key_validation=True)

    @property
    def modulus(self) -> bytes:
        """The modulus, 256 bytes, the highest bit set."""
        return self._numbers.n.to_bytes(256, "big")

    @property
    def _numbers(self) -> rsa.RSAPublicNumbers:
        return rsa.RSAPublicNumbers(EXPONENT, _shared_prime() * self._own_prime)

    def sign(self, message: bytes) -> bytes:
        """Sign a message by PKCS #1 v1.5 with SHA-256 (256 bytes)."""
        return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def sign_verbatim(self, block: bytes) -> bytes:
        """Sign what a reader sends, by PKCS #1 v1.5 and unchanged: commonly a DigestInfo.

        Raises ValueError for a block longer than 245 bytes, the modulus less 11 (RFC 8017, 9.2).
        """
        return self.private.sign(block, padding.PKCS1v15(), NoDigestInfo())

    def sign_pss(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest by RSASSA-PSS; the salt has the length of the digest."""
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return self.private.sign(digest, pss, Prehashed(hashes.SHA256()))


@lru_cache(KEYS_MAX)
def key(purpose: str, owner: str) -> Key:
    """Give the key of one owner for one purpose."""
    return Key(purpose, owner)


@cache
def _shared_prime() -> int:
    return _prime("kazasu simulated cards", SHARED_BITS, SHARED_OFFSET)


def _prime(label: str, bits: int, offset: int = 0) -> int:
    """Give the first fitting prime from the label's own starting point on."""
    start = int.from_bytes(hashlib.shake_256(label.encode()).digest(bits // 8), "big")
    # Odd, and the two top bits set, so that the product has all its 2048 bits.
    candidate = (start | 3 << (bits - 2) | 1) + offset
    while not _fits(candidate):
        candidate += 2
    return candidate


def _fits(candidate: int) -> bool:
    """A prime by Fermat's test; its predecessor must be invertible modulo the exponent.

    Composites that pass are rare beyond notice: below 2^64 there are 3 for 10^10 primes (Feitsma
    2013), and ever fewer above.
    """
    return (
        math.gcd(candidate, _SMALL_PRIMES) == 1
        and pow(2, candidate - 1, candidate) == 1
        and candidate % EXPONENT != 1
    )
