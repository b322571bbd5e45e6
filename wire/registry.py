"""What provisioning tells the fleet: which places there are, which readers, and how each is known.

One JSON file, `registry.json`, taken in by `kazasu-fleet readers import`; taking it in again
changes what has changed. It holds no private key and no programme key that the fleet could open.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.entries import Name, Short
from wire.limits import KEYS_BYTES_MAX, PROGRAMMES_PER_PLACE_MAX

PLACES_MAX: Final = 10_000
"""Places of one tenant: Yokohama has some 2,000 buses, 500 schools and 3,000 taxis."""

ORGANISATIONS_MAX: Final = 1_000
"""Whose places are: Tokyo's taxi companies are some 300."""

Fingerprint = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Pem = Annotated[str, Meta(max_length=1024)]


KeyEpoch = Annotated[int, Meta(ge=1, le=65_535)]


class RegisteredOrganisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose places are, such as a transport company, as people call it."""

    name: Name
    """As `RegisteredPlace.organisation` has it."""
    label_ja: Annotated[str, Meta(min_length=1, max_length=80)]
    label_en: Annotated[str, Meta(max_length=80)] = ""


class RegisteredPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a reader stands, and the programmes it serves there, in the order of looking up."""

    name: Name
    kind: Literal["bus", "taxi", "school", "desk", "kiosk"]
    line: Short
    programmes: Annotated[list[Name], Meta(min_length=1, max_length=PROGRAMMES_PER_PLACE_MAX)]
    triage_programmes: Annotated[list[Name], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)]
    """Of `programmes`: those whose unknown cards a clerk may assign."""
    label_ja: Short
    label_en: Short
    organisation: Annotated[str, Meta(pattern="^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?)?$(?!\\n)")] = (
        ""
    )
    """Whose it is: a transport company, a school. Empty: the city's."""


class RegisteredReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reader, by its certificate and its two public keys (PEM, SubjectPublicKeyInfo)."""

    reader: Annotated[str, Meta(max_length=64)]
    """`tenant/reader`, as in its certificate."""
    place: Name
    fingerprint: Fingerprint
    """SHA-256 over the certificate (DER)."""
    public_key: Pem
    """P-256: TLS and the signature of what the reader says."""
    sealing_public_key: Pem
    """P-256: whoever seals programme keys to this reader."""
    keys_sealed: Annotated[bytes, Meta(max_length=KEYS_BYTES_MAX)]
    """`wire.seal`: the fleet keeps and serves these bytes and cannot open them."""


class Registry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that provisioning knows of one tenant."""

    v: Literal[1]
    tenant: Name
    places: Annotated[list[RegisteredPlace], Meta(max_length=PLACES_MAX)]
    readers: Annotated[list[RegisteredReader], Meta(max_length=PLACES_MAX)]
    key_epochs: dict[Name, KeyEpoch] = {}
    """The present epoch of each programme's key, under which cards are to be moved."""
    organisations: Annotated[list[RegisteredOrganisation], Meta(max_length=ORGANISATIONS_MAX)] = []
    """One that is not named here is shown by its name in `places`."""
