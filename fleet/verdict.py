"""What an audit says: the result, what is noted in it, and the lines that the fleet signs."""

import hashlib
from typing import Final, Literal

import msgspec

from fleet import evidence
from wire.codes import Outcome
from wire.entries import Cancel, Hash, Press, Ride, Tap

LISTED_MAX: Final = 1_000
"""Exceptions and faults listed one by one; every one is counted."""
READERS_LISTED_MAX: Final = 2_000
"""Readers with their tips in a result; a larger fleet is audited reader by reader."""

Verdict = Literal["proven", "exceptions", "broken"]


class Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exception or fault. `first` to `last` are numbers of the journal, 0 for none."""

    kind: str
    reader: str = ""
    journal: str = ""
    first: int = 0
    last: int = 0
    detail: str = ""
    at_ms: int | None = None
    who: str = ""
    why: str = ""


class Sum(msgspec.Struct, forbid_unknown_fields=True):
    """What the entries of one programme come to: accepted taps, presses, yen that riders pay.

    Rides as they were settled, whether taken back later or not (`cancels`), and what the city pays
    for them.
    """

    accepted: int = 0
    presses: int = 0
    rider_pays_yen: int = 0
    rides: int = 0
    cancels: int = 0
    subsidy_yen: int = 0


class ReaderLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reader in the result: its last journal, the last number there, and the tip."""

    reader: str
    journals: int
    entries: int
    journal: str
    n: int
    tip: Hash | None
    signed_through: int
    keys: list[str]
    """Ids of its public keys, to be compared with what was noted at enrolment."""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result. Its digest is the same wherever the same facts are judged."""

    v: Literal[1]
    tenant: str
    reader: str | None
    from_ms: int | None
    to_ms: int | None
    verdict: Verdict
    readers: int
    journals: int
    entries: int
    entries_in_scope: int
    signatures: int
    entries_retired: int
    sums: dict[str, Sum]
    exceptions: dict[str, int]
    faults: dict[str, int]
    listed: list[Noted]
    faults_listed: list[Noted]
    tips: list[ReaderLine]
    epochs: list[str]
    months: list[str]
    fleet_key: str
    """Id of the key against which the fleet's signatures were checked."""

    def digest(self) -> bytes:
        """SHA-256 over the result as JSON."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()


class AuditLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of an audit."""

    v: Literal[1]
    digest: Hash
    verdict: Verdict
    at_ms: int
    who: str
    version: str


class RetiredReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of one reader's dropped month: SHA-256 over `run_bytes` of its runs."""

    v: Literal[1]
    month: str
    reader: str
    entries: int
    sha256: Hash


class RetiredMonth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of a dropped month: `sha256` is over the readers' lines, by name."""

    v: Literal[1]
    month: str
    entries: int
    first_position: int
    last_position: int
    first_hash: Hash
    last_hash: Hash
    sha256: Hash
    sums: dict[str, Sum]
    conflicts: int
    quarantined: int
    findings: int
    forced: bool
    at_ms: int
    who: str


class RideSum(msgspec.Struct, forbid_unknown_fields=True):
    """What dropped rides of one company come to; a taking back is a row that counts below zero."""

    rows: int = 0
    taken_back: int = 0
    """Of the rows."""
    fare_yen: int = 0
    subsidy_yen: int = 0


class RetiredRides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of rides and claims that were dropped through a month."""

    v: Literal[1]
    month: str
    rides: dict[str, dict[str, RideSum]]
    """By programme, and there by company."""
    claims: int
    claimed_yen: int
    """Of the claims that were not returned."""
    forced: bool
    at_ms: int
    who: str


def run_bytes(journal: str, former: evidence.Former | None, run: evidence.Run) -> bytes:
    """Return what is hashed of one run; a journal's beginning carries what came before it."""
    told = former if run.first == 1 else None
    return msgspec.json.encode(
        (journal, run.kind, run.first, run.last, run.before, run.after, told)
    )


def count(sums: dict[str, Sum], entry: object) -> None:
    """Add one decoded entry to the sums of its programme."""
    if isinstance(entry, Tap) and entry.outcome is Outcome.ACCEPTED:
        programme = sums.setdefault(entry.programme, Sum())
        programme.accepted += 1
        programme.rider_pays_yen += entry.rider_pays_yen or 0
    elif isinstance(entry, Ride):
        programme = sums.setdefault(entry.programme, Sum())
        programme.rides += 1
        programme.subsidy_yen += entry.subsidy_yen
        programme.rider_pays_yen += entry.riders_pay_yen
    elif isinstance(entry, Cancel):
        sums.setdefault(entry.programme, Sum()).cancels += 1
    elif isinstance(entry, Press):
        programme = sums.setdefault(entry.programme, Sum())
        programme.presses += 1
        programme.rider_pays_yen += entry.rider_pays_yen or 0


class Notes:
    """Exceptions and faults while they are found: all counted, the first ones listed."""

    def __init__(self) -> None:
        self.exceptions: dict[str, int] = {}
        self.faults: dict[str, int] = {}
        self.listed: list[Noted] = []
        self.faults_listed: list[Noted] = []

    def exception(self, one: Noted) -> None:
        """Note what is missing, or odd, and answered for."""
        _note(one, self.exceptions, self.listed)

    def fault(self, one: Noted) -> None:
        """Note what contradicts itself."""
        _note(one, self.faults, self.faults_listed)

    def verdict(self) -> Verdict:
        """Return what all that comes to."""
        if self.faults:
            return "broken"
        return "exceptions" if self.exceptions else "proven"


def _note(one: Noted, counts: dict[str, int], listed: list[Noted]) -> None:
    counts[one.kind] = counts.get(one.kind, 0) + 1
    if len(listed) < LISTED_MAX:
        listed.append(one)
