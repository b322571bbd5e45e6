"""The facts from which `fleet.proof` judges a ledger, whatever they are read from.

They come in this order: Head, Life…, Month…; then for each reader Reader, Key…, RetiredOf…; and
for each of its journals, oldest first, Journal, Gap…, Run…, Aside…, Joint…, Conflict…, Entry… by
number. Counters stand last, where all is judged. A bundle is the same facts, one JSON line each,
and a Seal: the fleet's signature over the SHA-256 of all lines before it, so one that was cut or
changed does not open.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Meta

from wire.entries import Hash, Hex128
from wire.envelope import UNREADABLE, MessageRefused, Purpose, Signer, open_envelope

LINE_BYTES_MAX: Final = 1024 * 1024
"""One line of a bundle: the longest is a quarantined message, at most 80 kB, in base64."""


class EvidenceRefused(ValueError):
    """This bundle cannot be judged at all; the sentence says why."""


class _Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="fact"):
    pass


class Head(_Fact, frozen=True, tag="head"):
    """What was asked: one reader or all, and which days of receipt (UTC ms, `to_ms` excluded)."""

    v: Literal[1]
    tenant: str
    reader: str | None
    from_ms: int | None
    to_ms: int | None


class Life(_Fact, frozen=True, tag="life"):
    """One life of the ledger; a second one was begun after a restore."""

    epoch: Hex128
    began_at_ms: int
    reason: str


class Month(_Fact, frozen=True, tag="month"):
    """The signed line of a month that was dropped (proof.RetiredMonth in an envelope).

    The other columns stand beside it in the ledger, and say the same.
    """

    month: str
    entries: int
    at_ms: int
    who: str
    line: bytes


class Reader(_Fact, frozen=True, tag="reader"):
    """A reader, and the last journal and number that it said it had written."""

    reader: str
    journal: str | None
    n: int


class Key(_Fact, frozen=True, tag="key"):
    """A public key with which this reader signed, or may have signed."""

    key: str
    public_key: str


class RetiredOf(_Fact, frozen=True, tag="retired"):
    """The signed line of what was dropped of this reader (proof.RetiredReader in an envelope)."""

    month: str
    line: bytes


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the reader signed last of a journal: the batch without its entries."""

    first: int
    lost: int
    last: int
    before: Hash
    key: str
    signature: bytes


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The journal before, as the reader remembered it when it began the next one."""

    journal: str
    n: int
    tip: Hash


class Journal(_Fact, frozen=True, tag="journal"):
    """One journal and the ledger's marks of it.

    `chosen`: its entries follow, since some of it was received in the days asked for; else only
    what joins journals to one line.
    """

    journal: str
    chosen: bool
    former: Former | None
    spans: list[tuple[int, int]]
    claimed: int
    superseded: bool
    seen_hash: Hash | None
    signature: Signature | None


class Gap(_Fact, frozen=True, tag="gap"):
    """Numbers that were called missing, and what became of them."""

    first: int
    last: int
    missing: int
    cause: str
    opened_at_ms: int
    how: str | None
    closed_at_ms: int | None
    closed_by: str | None
    why: str | None


class Run(_Fact, frozen=True, tag="run"):
    """Numbers that were dropped with their month (a row of retired_journal)."""

    month: str
    kind: str
    first: int
    last: int
    before: Hash | None
    after: Hash


class Aside(_Fact, frozen=True, tag="aside"):
    """Numbers that stand in quarantine; `body` of a single one is the reader's bytes, base64.

    Resolved: they were taken in again later, and stand among the entries too.
    """

    first: int
    last: int
    hash: Hash
    reason: str
    received_at_ms: int
    resolved_at_ms: int | None
    body: bytes | None


class Joint(_Fact, frozen=True, tag="joint"):
    """The chain's hash at a number that the ledger has not got."""

    n: int
    hash: Hash


class Conflict(_Fact, frozen=True, tag="conflict"):
    """Other bytes came for a number that stands."""

    n: int
    body_sha256: Hash
    received_at_ms: int


class Entry(_Fact, frozen=True, tag="entry"):
    """One entry: the reader's bytes as text (UTF-8 JSON), and the chain's hash after it.

    `unlike` names the columns that say something else than the bytes do (a database only).
    """

    n: int
    hash: Hash
    body: str
    received_at_ms: int
    unlike: Annotated[str, Meta(max_length=400)] = ""


class Counters(_Fact, frozen=True, tag="counters"):
    """Cards of a programme and period whose usage is not the sum of their entries.

    `more`: for all of them more was counted than entries are here, as where a month was dropped.
    """

    programme: str
    period: str
    differing: int
    more: bool


class Seal(_Fact, frozen=True, tag="seal"):
    """The last line of a bundle: an envelope of Sealed."""

    line: bytes


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of a bundle: SHA-256 of the lines before the seal, and their number."""

    v: Literal[1]
    sha256: Hash
    lines: int
    at_ms: int
    who: str


Fact = (
    Head
    | Life
    | Month
    | Reader
    | Key
    | RetiredOf
    | Journal
    | Gap
    | Run
    | Aside
    | Joint
    | Conflict
    | Entry
    | Counters
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Fact | Seal] = msgspec.json.Decoder(Fact | Seal)


def write_bundle(
    path: Path, facts: Iterable[Fact], tenant: str, by: Signer, at_ms: int, who: str
) -> Sealed:
    """Write a bundle; it appears whole or not at all."""
    beside = path.with_name(path.name + ".part")
    digest, lines = hashlib.sha256(), 0
    with beside.open("wb") as file:
        for fact in facts:
            line = _encoder.encode(fact) + b"\n"
            digest.update(line)
            lines += 1
            file.write(line)
        sealed = Sealed(v=1, sha256=digest.digest(), lines=lines, at_ms=at_ms, who=who)
        seal = Seal(by.seal(Purpose.EVIDENCE, tenant, sealed))
        file.write(_encoder.encode(seal) + b"\n")
    beside.replace(path)
    return sealed


def read_bundle(path: Path, key: ed25519.Ed25519PublicKey) -> Iterator[Fact]:
    """Yield a bundle's facts. Raises EvidenceRefused, at the end for one cut or changed."""
    digest, lines, tenant, sealed = hashlib.sha256(), 0, "", None
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX + 1):
            fact = _read_line(path, line, lines)
            if sealed is not None:
                raise EvidenceRefused(f"{path}: something stands behind the seal")
            if isinstance(fact, Seal):
                sealed = _open_seal(path, fact, tenant, key)
                continue
            if isinstance(fact, Head):
                tenant = fact.tenant
            digest.update(line)
            lines += 1
            yield fact
    if sealed is None:
        raise EvidenceRefused(f"{path}: the seal is missing: this file was cut")
    if sealed.sha256 != digest.digest() or sealed.lines != lines:
        raise EvidenceRefused(f"{path}: the lines are not those that the fleet sealed")


def _read_line(path: Path, line: bytes, before: int) -> Fact | Seal:
    try:
        if len(line) > LINE_BYTES_MAX:
            raise EvidenceRefused(f"{path}, line {before + 1}: longer than {LINE_BYTES_MAX} bytes")
        fact = _decoder.decode(line)
    except UNREADABLE as error:
        raise EvidenceRefused(f"{path}, line {before + 1}: {error}") from error
    if before == 0 and not isinstance(fact, Head):
        raise EvidenceRefused(f"{path}: this is no bundle: it does not begin with a head")
    return fact


def _open_seal(path: Path, seal: Seal, tenant: str, key: ed25519.Ed25519PublicKey) -> Sealed:
    try:
        return open_envelope(seal.line, Purpose.EVIDENCE, tenant, key, Sealed)
    except MessageRefused as error:
        raise EvidenceRefused(f"{path}: not sealed by this fleet's key: {error}") from error
