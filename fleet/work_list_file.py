"""The signed list of a school's day, and the receipt by which one person proves his own day alone.

    list     {"v": 1, "key": …, "signature": …, "list": {tenant, organisation, day, number, …}}
    receipt  {"v": 1, "key": …, "signature": …, "list": {…}, "salt": …, "own": {…}}

Rules: the signature is the fleet's, over the list's bytes as they stand in the file, for a purpose
of its own; a list holds the SHA-256 of `"kazasu-work-1" 00 salt own` for each person's own day,
sorted, with a salt of 32 random bytes each, so nobody finds a person in it who has not been given
both; a later list of the day names the former one by the hash of its bytes; a file has one way to
be written, so no byte of it can be another unnoticed. docs/adr/0023-work-lists.md.
"""

import datetime
import hashlib
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Meta

from programmes.texts import say
from programmes.work_hours import Lack, Term
from programmes.work_marks import Correction, Mark
from wire.entries import Hash
from wire.envelope import UNREADABLE, MessageRefused, Proof, Purpose, key_id, verify

LABEL: Final = b"kazasu-work-1\0"
SALT_BYTES: Final = 32
MEMBERS_MAX: Final = 20_000
"""Of one list: all staff of a city of a million."""
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A list of so many hashes of 44 characters each, and a day with all its corrections."""
_OWN: Final = b'"own":'
_Salt = Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
_Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
_KeyId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]


class DayList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of a school's day."""

    v: Literal[1]
    tenant: Annotated[str, Meta(max_length=64)]
    organisation: Annotated[str, Meta(max_length=64)]
    """Empty: those of whom no school is known."""
    day: datetime.date
    number: Annotated[int, Meta(ge=1)]
    """Counts the lists of this day."""
    at_ms: int
    former: Hash | None
    """SHA-256 of the bytes of the list before; None of the first."""
    days: Annotated[list[Hash], Meta(max_length=MEMBERS_MAX)]
    """Sorted."""


class OwnMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mark, and what became of it."""

    mark: Mark
    declared: str
    """As it was corrected."""
    became: str
    doubt: str


class OwnInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One time of presence."""

    from_ms: int
    to_ms: int | None


class OwnSaid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An objection to an entry, or the answer to it."""

    kind: str
    why: str
    at_ms: int
    who: str


class OwnEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry beside the marks."""

    id: int
    kind: str
    from_ms: int
    to_ms: int
    note: str
    at_ms: int
    who: str
    withdrawn_at_ms: int | None
    withdrawn_by: str
    withdrawn_why: str
    said: list[OwnSaid] = []
    """Oldest first; left out when there is none, so that days of before are as they were."""


class OwnDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's day as it was known when the list was made, whole."""

    v: Literal[1]
    member: int
    """The number of the row: the office knows whose it is."""
    day: datetime.date
    marks: list[OwnMark]
    corrections: list[Correction]
    """All that were made of this day, and those of its marks; oldest first."""
    entries: list[OwnEntry]
    presence: list[OwnInterval]
    missing: list[Lack]
    unknowing: bool
    """Asked about what is missing, the person did not know."""
    worked: list[Term]
    outside: list[Term]


class Receipt(NamedTuple):
    """What a receipt or a list says, once it was found to be as the fleet signed it."""

    list: DayList
    own: OwnDay | None
    """None in a list."""
    sha256: bytes
    """Of the list's bytes, by which a later list names it."""


class WorkFileRefused(ValueError):
    """This file is not what the fleet signed; `reason` names the sentence work.verify.<reason>."""

    def __init__(self, reason: str) -> None:
        super().__init__(say(f"work.verify.{reason}", "en"))
        self.reason: Final = reason


class _ListFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    key: _KeyId
    signature: _Signature
    list: msgspec.Raw


class _ReceiptFile(_ListFile, frozen=True):
    salt: _Salt
    own: msgspec.Raw


def own_hash(salt: bytes, own: bytes) -> bytes:
    """Return what stands in a list for a person's own day."""
    return hashlib.sha256(LABEL + salt + own).digest()


def list_hash(body: bytes) -> bytes:
    """Return what a later list names a list by."""
    return hashlib.sha256(body).digest()


def list_file(proof: Proof) -> bytes:
    """Return a signed list as a file."""
    return _written(_ListFile(1, proof.key_id, proof.signature, msgspec.Raw(proof.body)))


def receipt_file(proof: Proof, salt: bytes, own: bytes) -> bytes:
    """Return a person's own receipt as a file."""
    body = msgspec.Raw(proof.body)
    return _written(_ReceiptFile(1, proof.key_id, proof.signature, body, salt, msgspec.Raw(own)))


def _written(file: _ListFile) -> bytes:
    return msgspec.json.encode(file) + b"\n"


def check(file: bytes, key: ed25519.Ed25519PublicKey) -> Receipt:
    """Return what a list or a receipt says, when it is as the fleet signed it.

    Anybody can: it takes the file and the public key alone. Raises WorkFileRefused.
    """
    if len(file) > FILE_BYTES_MAX:
        raise WorkFileRefused("large")
    try:
        found = msgspec.json.decode(file, type=_ReceiptFile if _OWN in file else _ListFile)
    except UNREADABLE as error:
        raise WorkFileRefused("unreadable") from error
    if found.key != key_id(key):
        raise WorkFileRefused("other-key")
    body = bytes(found.list)
    try:
        one = msgspec.json.decode(body, type=DayList)
        verify(Proof(found.key, found.signature, body), Purpose.WORK_LIST, one.tenant, key)
    except (*UNREADABLE, MessageRefused) as error:
        raise WorkFileRefused("altered") from error
    if _written(found) != file:
        raise WorkFileRefused("altered")
    own = _own(found, one) if isinstance(found, _ReceiptFile) else None
    return Receipt(one, own, list_hash(body))


def _own(found: _ReceiptFile, one: DayList) -> OwnDay:
    own = bytes(found.own)
    if own_hash(found.salt, own) not in one.days:
        raise WorkFileRefused("not-in-list")
    try:
        day = msgspec.json.decode(own, type=OwnDay)
    except UNREADABLE as error:
        raise WorkFileRefused("unreadable") from error
    if day.day != one.day:
        raise WorkFileRefused("altered")
    return day
