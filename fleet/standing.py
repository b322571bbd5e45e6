"""What may be said of a certificate's revocation: three answers that are never mixed up.

`valid` and `revoked` are said only on a fresh statement that the certificate's own authority
signed; everything else, whatever went wrong, is `unknown`, with a sentence that says what.
"""

import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

CLOCK_SKEW: Final = timedelta(minutes=5)
"""A statement may come from a machine whose clock runs so far ahead of ours."""

SOUND_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""Under which an authority's signature counts; with SHA-1 two texts can have the same."""

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises, here and there, for bytes that are no certificate, list or answer."""


class Status(enum.StrEnum):
    """Of one certificate at one moment."""

    VALID = "valid"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Standing(NamedTuple):
    """A status and one sentence on where it comes from."""

    status: Status
    why: str


class Unsure(Exception):
    """Nothing can be said; the sentence says why."""


def most_telling(standings: Sequence[Standing]) -> Standing:
    """Return what several sources come to: revoked if one says so, else valid if one says so."""
    for status in (Status.REVOKED, Status.VALID):
        for standing in standings:
            if standing.status is status:
                return standing
    why = " · ".join(standing.why for standing in standings)
    return Standing(Status.UNKNOWN, why or "nobody was asked")


def least_telling(standings: Sequence[Standing]) -> Standing:
    """Return what several sources come to where each must agree: valid if all of them say so."""
    for status in (Status.REVOKED, Status.UNKNOWN):
        for standing in standings:
            if standing.status is status:
                return standing
    return most_telling(standings)
