"""How a card's identifier becomes a credential: the only form that leaves the reader's memory.

    credential = first 16 bytes of HMAC-SHA256(programme key,
                 "kazasu-credential-1" 00 scheme 00 identifier), as 32 lower-case hex digits

Every programme has its own random key, so the credentials of two programmes cannot be joined.
`credential_vectors.json` beside this file holds the test vectors for other implementations.
"""

import enum
import hashlib
import hmac
import re
from typing import Final, NewType

Credential = NewType("Credential", str)
"""32 lower-case hex digits."""

LABEL: Final = b"kazasu-credential-1"
CREDENTIAL_BYTES: Final = 16
"""128 bits: among 10^7 members two collide with probability 10^-25."""
PROGRAMME_KEY_BYTES: Final = 32
IDENTIFIER_BYTES_MAX: Final = 64
"""The longest identifier of any scheme: a user id of card-ap (jpki-auth has 20 + 15 bytes)."""

_CREDENTIAL: Final = re.compile(r"[0-9a-f]{32}\Z")


class Scheme(enum.StrEnum):
    """How a card yields an identifier without a PIN, and what its bytes are.

    * `common-ap`: the 15 ASCII digits of record 1 of the common card application.
    * `jpki-auth`: the serial's INTEGER bytes, then notBefore's bytes as in the certificate
      (13 of UTCTime or 15 of GeneralizedTime): three CA generations share one issuer name, so
      neither name nor serial alone tells two cards apart.
    * `felica-idm`: the 8 bytes of IDm for the configured system code.
    * `staff-token`: the fixed UID of a Type A token, 4 or 7 bytes.
    * `card-ap`: the bytes, 1 to 64, of the user id in a card application of the tenant's own.
    """

    COMMON_AP = "common-ap"
    JPKI_AUTH = "jpki-auth"
    FELICA_IDM = "felica-idm"
    STAFF_TOKEN = "staff-token"  # noqa: S105  a kind of card, no secret
    CARD_AP = "card-ap"


def credential(programme_key: bytes, scheme: Scheme, identifier: bytes | bytearray) -> Credential:
    """Return the credential of one card in one programme; a bytearray is the caller's to wipe.

    Raises ValueError when the key is not 32 bytes or the identifier not 1 to 64 bytes.
    """
    if len(programme_key) != PROGRAMME_KEY_BYTES:
        raise ValueError(f"a programme key has {PROGRAMME_KEY_BYTES} bytes")
    if not 1 <= len(identifier) <= IDENTIFIER_BYTES_MAX:
        raise ValueError(f"an identifier has 1 to {IDENTIFIER_BYTES_MAX} bytes")
    message = b"\0".join((LABEL, scheme.encode(), identifier))
    digest = hmac.digest(programme_key, message, hashlib.sha256)
    return Credential(digest[:CREDENTIAL_BYTES].hex())


def parse_credential(text: str) -> Credential:
    """Return `text` as a credential; raises ValueError when it is not 32 lower-case hex digits."""
    if not _CREDENTIAL.match(text):
        raise ValueError("a credential is 32 lower-case hex digits")
    return Credential(text)
