"""What an audit proves of the ledger, from facts alone: no database, no network, no clock.

Rules: every stored body follows by its hash from the journal's beginning, or from a retired
month's signed last hash; the reader's last signature over a tip vouches for all before it, back
to the nearest hole; the journals of a reader form one line; every number from 1 to the last one
is there, or somebody answers for it. What is missing and answered for is an exception; what
contradicts itself is a fault, and then nothing is proven. Memory is bounded by the journals of one
reader.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet import evidence, verdict
from fleet.evidence import EvidenceRefused
from fleet.proof_journal import JournalProof
from fleet.verdict import Noted, Notes, Proof, ReaderLine, RetiredMonth, RetiredReader, Sum
from wire.envelope import MessageRefused, Purpose, key_id, open_envelope

_EVER: Final = 1 << 62
T = TypeVar("T")


class _Judged(NamedTuple):
    """What is left of a journal, for joining the journals of its reader."""

    journal: str
    former: evidence.Former | None
    begun: bool
    seen: int
    tip: bytes | None
    signed_through: int


@dataclass
class _Retired:
    """What the fleet signed of a month, and what is found of it."""

    entries_told: int | None = None
    sha256_told: bytes = b""
    entries: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def differs(self) -> bool:
        """True when what is found is not what was signed."""
        told = (self.entries_told, self.sha256_told)
        return self.entries_told is not None and told != (self.entries, self.digest.digest())


class _Reader:
    """One reader while its facts come."""

    def __init__(self, fact: evidence.Reader) -> None:
        self.fact = fact
        self.keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self.key_ids: list[str] = []
        """Worked out from the keys, whatever the ledger calls them."""
        self.retired: dict[str, _Retired] = {}
        self.line: list[_Judged] = []
        self.entries = 0


class Prover:
    """Takes the facts of `fleet.evidence` one by one, and says at the end what they prove."""

    def __init__(self, fleet_key: ed25519.Ed25519PublicKey) -> None:
        self.entries = 0
        self._fleet_key = fleet_key
        self._head: evidence.Head | None = None
        self._notes = Notes()
        self._sums: dict[str, Sum] = {}
        self._tips: list[ReaderLine] = []
        self._epochs: list[str] = []
        self._months: dict[str, _Retired] = {}
        self._readers = self._journals = self._signatures = 0
        self._in_scope = self._retired = 0
        self._reader: _Reader | None = None
        self._journal: JournalProof | None = None
        self._by_kind: dict[type, Callable[[Any], None]] = {
            evidence.Entry: self._entry,
            evidence.Head: self._begin,
            evidence.Life: lambda fact: self._epochs.append(fact.epoch),
            evidence.Month: self._month,
            evidence.Reader: self._next_reader,
            evidence.Key: self._key,
            evidence.RetiredOf: self._retired_of,
            evidence.Journal: self._next_journal,
            evidence.Run: self._run,
            evidence.Gap: lambda fact: self._at().gap(fact),
            evidence.Aside: lambda fact: self._at().aside(fact),
            evidence.Joint: lambda fact: self._at().joint(fact),
            evidence.Conflict: lambda fact: self._at().conflict(fact),
            evidence.Counters: self._counters,
        }

    def take(self, fact: evidence.Fact) -> None:
        """Take one fact in, in the order that `fleet.evidence` says. Raises EvidenceRefused."""
        self._by_kind[type(fact)](fact)

    def result(self) -> Proof:
        """Return what all facts prove. Raises EvidenceRefused when there were none."""
        self._end_reader()
        head = self._head
        if head is None:
            raise EvidenceRefused("there is nothing to judge: no head")
        if head.reader is None:
            for month in [name for name, one in self._months.items() if one.differs()]:
                self._notes.fault(Noted("retired-differs", detail=month))
        return Proof(
            v=1,
            tenant=head.tenant,
            reader=head.reader,
            from_ms=head.from_ms,
            to_ms=head.to_ms,
            verdict=self._notes.verdict(),
            readers=self._readers,
            journals=self._journals,
            entries=self.entries,
            entries_in_scope=self._in_scope,
            signatures=self._signatures,
            entries_retired=self._retired,
            sums=dict(sorted(self._sums.items())),
            exceptions=dict(sorted(self._notes.exceptions.items())),
            faults=dict(sorted(self._notes.faults.items())),
            listed=self._notes.listed,
            faults_listed=self._notes.faults_listed,
            tips=self._tips,
            epochs=self._epochs,
            months=sorted(self._months),
            fleet_key=key_id(self._fleet_key),
        )

    # --- the whole -------------------------------------------------------------------------------

    def _begin(self, fact: evidence.Head) -> None:
        self._head = fact

    def _open(self, line: bytes, purpose: Purpose, kind: type[T]) -> T | None:
        tenant = self._head.tenant if self._head else ""
        try:
            return open_envelope(line, purpose, tenant, self._fleet_key, kind)
        except MessageRefused:
            return None

    def _month(self, fact: evidence.Month) -> None:
        line = self._open(fact.line, Purpose.RETIRED_MONTH, RetiredMonth)
        if line is None or line.month != fact.month:
            self._notes.fault(Noted("retired-signature", detail=fact.month))
            self._months[fact.month] = _Retired()
            return
        self._months[fact.month] = _Retired(line.entries, line.sha256)
        pairs = {"entries": line.entries, "at_ms": line.at_ms, "who": line.who}
        unlike = [name for name, said in pairs.items() if getattr(fact, name) != said]
        if unlike:
            detail = f"{fact.month}: {' '.join(unlike)}"
            self._notes.fault(Noted("retired-unlike", detail=detail))
        if line.forced:
            told = Noted("retired-forced", detail=fact.month, at_ms=line.at_ms, who=line.who)
            self._notes.exception(told)

    def _counters(self, fact: evidence.Counters) -> None:
        """Usage is the sum of entries; where a month was dropped the sum may be the smaller one."""
        self._end_reader()
        told = Noted("usage", detail=f"{fact.programme} {fact.period}: {fact.differing}")
        if fact.more and self._months:
            self._notes.exception(msgspec.structs.replace(told, kind="usage-cut"))
        else:
            self._notes.fault(told)

    # --- a reader --------------------------------------------------------------------------------

    def _of(self) -> _Reader:
        if self._reader is None:
            raise EvidenceRefused("what belongs to a reader stands before any reader")
        return self._reader

    def _next_reader(self, fact: evidence.Reader) -> None:
        self._end_reader()
        self._reader = _Reader(fact)
        self._readers += 1

    def _key(self, fact: evidence.Key) -> None:
        of = self._of()
        try:
            key = load_pem_public_key(fact.public_key.encode())
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            self._notes.fault(Noted("key-unreadable", of.fact.reader, detail=fact.key))
            return
        named = key_id(key)
        if named != fact.key:
            detail = f"{fact.key}: {named}"
            self._notes.fault(Noted("key-differs", of.fact.reader, detail=detail))
        of.keys[fact.key] = key
        of.key_ids.append(named)

    def _retired_of(self, fact: evidence.RetiredOf) -> None:
        of = self._of()
        line = self._open(fact.line, Purpose.RETIRED_READER, RetiredReader)
        month = self._months.get(fact.month)
        told = (fact.month, of.fact.reader)
        if line is None or month is None or (line.month, line.reader) != told:
            self._notes.fault(Noted("retired-signature", of.fact.reader, detail=fact.month))
            return
        of.retired[fact.month] = _Retired(line.entries, line.sha256)
        self._retired += line.entries
        month.entries += line.entries
        month.digest.update(fact.line)

    def _end_reader(self) -> None:
        self._end_journal()
        of = self._reader
        if of is None:
            return
        name = of.fact.reader
        for month in [month for month, one in of.retired.items() if one.differs()]:
            self._notes.fault(Noted("retired-differs", name, detail=month))
        _join(name, of.line, self._notes)
        named = of.fact.journal
        if named and of.fact.n and named not in {one.journal for one in of.line}:
            # a status names a journal in the transaction that gives the journal its row
            self._notes.fault(Noted("journal-missing", name, named, 1, of.fact.n))
        if len(self._tips) < verdict.READERS_LISTED_MAX:
            self._tips.append(_tip(of))
        self._reader = None

    # --- a journal -------------------------------------------------------------------------------

    def _at(self) -> JournalProof:
        if self._journal is None:
            raise EvidenceRefused("what belongs to a journal stands before any journal")
        return self._journal

    def _next_journal(self, fact: evidence.Journal) -> None:
        self._end_journal()
        of = self._of()
        self._journal = JournalProof(of.fact, fact, of.keys, self._notes)
        self._journals += fact.chosen

    def _run(self, fact: evidence.Run) -> None:
        of, at = self._of(), self._at()
        month = of.retired.get(fact.month)
        if month is None:
            told = Noted(
                "retired-signature", of.fact.reader, at.fact.journal, fact.first, fact.last
            )
            self._notes.fault(told)
        else:
            month.digest.update(verdict.run_bytes(at.fact.journal, at.fact.former, fact))
            month.entries += fact.last - fact.first + 1 if fact.kind == "entries" else 0
        at.run(fact)

    def _entry(self, fact: evidence.Entry) -> None:
        entry = self._at().entry(fact)
        self.entries += 1
        head = self._head
        if head and (head.from_ms or 0) <= fact.received_at_ms < (head.to_ms or _EVER):
            self._in_scope += 1
            verdict.count(self._sums, entry)

    def _end_journal(self) -> None:
        at = self._journal
        if at is None:
            return
        at.end()
        self._signatures += at.signatures
        of = self._of()
        of.entries += at.entries
        of.line.append(
            _Judged(at.fact.journal, at.former, at.begun, at.seen, at.tip, at.signed_through)
        )
        self._journal = None


def _tip(of: _Reader) -> ReaderLine:
    last = of.line[-1] if of.line else None
    return ReaderLine(
        of.fact.reader,
        len(of.line),
        of.entries,
        last.journal if last else "",
        last.seen if last else 0,
        last.tip if last else None,
        last.signed_through if last else 0,
        of.key_ids,
    )


def _join(reader: str, line: list[_Judged], notes: Notes) -> None:
    """Judge the line that a reader's journals form, each naming the one before it."""
    known = {one.journal: one for one in line}
    followed: dict[str, str] = {}
    beginnings = [one for one in line if one.begun and one.former is None]
    for one in beginnings[1:]:
        notes.exception(Noted("history-lost", reader, one.journal))
    for one in line:
        former = one.former if one.begun else None
        if former is None:
            continue
        if former.journal in followed:
            detail = followed[former.journal]
            notes.exception(Noted("fork", reader, one.journal, detail=detail))
        followed[former.journal] = one.journal
        before = known.get(former.journal)
        if before is None:
            notes.fault(Noted("former-unknown", reader, one.journal, detail=former.journal))
        elif before.seen > former.n:
            notes.exception(Noted("rolled-back", reader, before.journal, former.n + 1, before.seen))
        elif before.seen == former.n and before.tip not in (None, former.tip):
            notes.fault(Noted("former-differs", reader, before.journal, former.n, former.n))


def prove(facts: Iterable[evidence.Fact], fleet_key: ed25519.Ed25519PublicKey) -> Proof:
    """Judge all facts. Raises EvidenceRefused when they are no evidence at all."""
    prover = Prover(fleet_key)
    for fact in facts:
        prover.take(fact)
    return prover.result()
