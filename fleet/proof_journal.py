"""What an audit proves of one journal: its chain, the signature over its tip, its numbers."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from fleet import evidence, gaps
from fleet.gaps import Span
from fleet.verdict import Noted, Notes
from wire.entries import Entry as Decoded
from wire.entries import EntryRefused, JournalId, Start, chain, decode, genesis
from wire.envelope import MessageRefused, Proof, Purpose, verify
from wire.messages import Batch


class JournalProof:
    """Takes the facts of one journal in their order; `end` says how far it is proven."""

    def __init__(
        self,
        reader: evidence.Reader,
        fact: evidence.Journal,
        keys: Mapping[str, ec.EllipticCurvePublicKey],
        notes: Notes,
    ) -> None:
        self.fact = fact
        self.former = fact.former
        self.begun = False
        """Its first entry is here, or was retired: so what came before it is known."""
        self.spans: list[Span] = []
        self.entries = 0
        self.signed_through = 0
        self.signatures = 0
        self._reader = reader
        self._keys = keys
        self._notes = notes
        self._start, self._n = 1, 0
        self._hash: bytes = genesis(reader.reader, JournalId(fact.journal))
        self._known: dict[int, bytes] = {0: self._hash}
        """The chain's hash at numbers that are no entries here: retired, set aside, joints."""
        self._answered: list[Span] = []
        self._aside: dict[int, bytes] = {}
        """Bytes in quarantine by number: the chain goes on through them."""
        self._taken_in: list[Span] = []
        """Single numbers that were in quarantine, and stand among the entries now."""
        self._batches_taken_in: list[Span] = []
        self._dropped: dict[int, evidence.Run] = {}
        """By first number."""
        self._stretches: list[Span] = []
        """Entries that follow each other by the chain, without a hole."""
        self._last_unsigned: tuple[int, bytes] | None = None
        """The last entry before the batch that was signed last, and the hash after it."""
        self._bodies: dict[int, bytes] = {}
        """Of the batch that was signed last."""

    def _noted(self, kind: str, first: int, last: int = 0, detail: str = "") -> Noted:
        return Noted(kind, self._reader.reader, self.fact.journal, first, last or first, detail)

    def _except(self, kind: str, first: int, last: int = 0, detail: str = "") -> None:
        self._notes.exception(self._noted(kind, first, last, detail))

    def _fault(self, kind: str, first: int, last: int = 0, detail: str = "") -> None:
        self._notes.fault(self._noted(kind, first, last, detail))

    # --- facts -----------------------------------------------------------------------------------

    def gap(self, fact: evidence.Gap) -> None:
        """Numbers that somebody answers for; those that came after all need nobody."""
        if fact.how in {"filled", "declared-lost"}:
            return
        self._answered = gaps.add(self._answered, fact.first, fact.last)
        if not self.fact.chosen:
            return
        noted = self._noted("gap", fact.first, fact.last, fact.cause)
        change: dict[str, object] = {"at_ms": fact.opened_at_ms}
        if fact.how == "written-off":
            who, why = fact.closed_by or "", fact.why or ""
            change = {"kind": "written-off", "at_ms": fact.closed_at_ms, "who": who, "why": why}
        elif fact.cause == "declared-lost":
            change |= {"kind": "lost"}
        self._notes.exception(msgspec.structs.replace(noted, **change))

    def run(self, fact: evidence.Run) -> None:
        """Numbers that were dropped with their month, which the fleet signed for."""
        told = self._known.get(fact.first - 1)
        if fact.before and told and told != fact.before:
            self._fault("chain", fact.first)
        self.begun = self.begun or fact.first == 1
        self._known[fact.last] = fact.after
        self._dropped[fact.first] = fact
        self.spans = gaps.add(self.spans, fact.first, fact.last)

    def aside(self, fact: evidence.Aside) -> None:
        """Numbers that are in quarantine, whose hash the reader's batch told."""
        self._known[fact.last] = fact.hash
        if fact.resolved_at_ms is None:
            self.spans = gaps.add(self.spans, fact.first, fact.last)
        elif fact.body is None:
            self._batches_taken_in.append((fact.first, fact.last))
        else:
            self._taken_in.append((fact.first, fact.last))
        if fact.body is not None and fact.first == fact.last:
            self._keep_signed(fact.first, fact.body)
            self._aside[fact.first] = fact.body
        if self.fact.chosen and fact.resolved_at_ms is None:
            noted = self._noted("quarantine", fact.first, fact.last, fact.reason)
            self._notes.exception(msgspec.structs.replace(noted, at_ms=fact.received_at_ms))

    def joint(self, fact: evidence.Joint) -> None:
        """The chain's hash at the end of a hole."""
        self._known.setdefault(fact.n, fact.hash)

    def conflict(self, fact: evidence.Conflict) -> None:
        """Other bytes for a number that stands: both are kept."""
        noted = self._noted("conflict", fact.n)
        self._notes.exception(msgspec.structs.replace(noted, at_ms=fact.received_at_ms))

    def entry(self, fact: evidence.Entry) -> Decoded | None:
        """Judge one entry and return it decoded; None for bytes that are no entry."""
        n, body = fact.n, fact.body.encode()
        before = self._hash if n == self._n + 1 and self.entries else self._known.get(n - 1)
        if before is None:
            self._except("unjoined", n)
        elif chain(before, body) != fact.hash:
            self._fault("chain", n)
        self._stretch(n, before)
        if fact.unlike:
            self._fault("unlike", n, detail=fact.unlike)
        self._add(n, fact.hash)
        self._keep_signed(n, body)
        self._keep_ends(n, fact.hash)
        try:
            decoded = decode(body)
        except EntryRefused as error:
            self._fault("unreadable", n, detail=str(error)[:200])
            return None
        if decoded.n != n:
            self._fault("number", n, detail=str(decoded.n))
        if n == 1 and isinstance(decoded, Start):
            self._begin(decoded)
        return decoded

    def _add(self, n: int, digest: bytes) -> None:
        if n != self._n + 1:
            self._close()
            self._start = n
        self._n, self._hash = n, digest
        self.entries += 1

    def _close(self) -> None:
        """Account for the entries since `_start`."""
        if self.entries and self._n >= self._start:
            self.spans = gaps.add(self.spans, self._start, self._n)
            self._known[self._n] = self._hash

    def _keep_signed(self, n: int, body: bytes) -> None:
        batch = self.fact.signature
        if batch and batch.first + batch.lost <= n <= batch.last:
            self._bodies[n] = body

    def _keep_ends(self, n: int, digest: bytes) -> None:
        """Of the batch that was signed last: the chain's hash before and after its entries."""
        batch = self.fact.signature
        if batch and n in (batch.first + batch.lost - 1, batch.last):
            self._known[n] = digest
        if batch and n < batch.first + batch.lost:
            self._last_unsigned = n, digest

    def _stretch(self, n: int, before: bytes | None) -> None:
        """Note whether entry n belongs to those before it."""
        first = n
        if self._stretches and self._goes_on(self._n, self._hash, n, before):
            first = self._stretches.pop()[0]
        self._stretches.append((first, n))

    def _goes_on(self, n: int, digest: bytes, to: int, before: bytes | None) -> bool:
        """True when the chain leads from after number n to before number `to`.

        Through what is in quarantine with its bytes, or was dropped with a signed line: not over
        a hole, whose hash anybody could have written down.
        """
        n += 1
        while n < to:
            run = self._dropped.get(n)
            if n in self._aside:
                n, digest = n + 1, chain(digest, self._aside[n])
            elif run and run.before == digest:
                n, digest = run.last + 1, run.after
            else:
                return False
        return n == to and digest == before

    def _begin(self, start: Start) -> None:
        former = start.former
        told = evidence.Former(former.journal, former.n, former.tip) if former else None
        if told != self.fact.former:
            self._fault("unlike", 1, detail="former")
        self.former, self.begun = told, True

    # --- what it comes to ------------------------------------------------------------------------

    @property
    def seen(self) -> int:
        """The greatest number that is there."""
        return gaps.seen(self.spans if self.fact.chosen else self.fact.spans)

    @property
    def tip(self) -> bytes | None:
        """The chain's hash at `seen`; None when that number is only written off."""
        return self._known.get(self.seen) if self.fact.chosen else self.fact.seen_hash

    def end(self) -> None:
        """Judge the whole: all its facts were taken."""
        if not self.fact.chosen:
            self.begun = gaps.through(self.fact.spans) > 0
            return
        self._close()
        self._check_signature()
        self._check_taken_in()
        self._check_numbers()

    def _check_taken_in(self) -> None:
        """What is said to be taken in from quarantine stands where every other entry does.

        Of a whole batch not all has to: what its reader lost, it lost for good.
        """
        here = _union(self.spans, self._answered)
        for first, last in self._batches_taken_in:
            for hole in gaps.missing(here, first, last):
                self._except("hole", *hole)
                here = gaps.add(here, *hole)
        self.spans = _union(self.spans, self._batches_taken_in)

    def _check_numbers(self) -> None:
        """Every number is there or answered for, just as the ledger's marks say."""
        told = [(first, last) for first, last in self.fact.spans]
        here = _union(self.spans, self._answered)
        for first, last in _union(told, self._taken_in):
            for hole in gaps.missing(here, first, last):
                self._fault("entries-missing", *hole)
        for first, last in self.spans:
            for hole in gaps.missing(told, first, last):
                self._fault("not-marked", *hole)
        end = max(gaps.seen(self.spans), gaps.seen(told))
        for hole in gaps.missing(_union(here, told), 1, end):
            self._except("hole", *hole)
        claimed = self.fact.claimed
        if self._reader.journal == self.fact.journal:
            claimed = max(claimed, self._reader.n)
        for hole in gaps.missing(here, end + 1, claimed):
            self._except("tail", *hole)

    def _check_signature(self) -> None:
        batch = self.fact.signature
        if batch is None:
            if self.entries:
                self._except("unsigned", 1, self._n)
            return
        numbers = range(batch.first + batch.lost, batch.last + 1)
        bodies = [self._bodies[n] for n in numbers if n in self._bodies]
        if len(bodies) == len(numbers):
            self._verify(batch, bodies)
        else:
            self._miss_signed(numbers)
        if self.entries and self._n > batch.last:
            self._except("after-signature", batch.last + 1, self._n)

    def _miss_signed(self, numbers: Sequence[int]) -> None:
        """Of the batch that was signed last not all is here: retired, or taken away."""
        retired = not gaps.missing(self.spans, numbers[0], numbers[-1])
        if retired and not self._bodies:
            self.signed_through = numbers[-1]
            return  # the whole batch was dropped with its month, whose line vouches for it
        told = self._except if retired else self._fault
        told("signature-incomplete", numbers[0], numbers[-1])

    def _check_stretches(self, start: int, batch: evidence.Signature) -> None:
        """A hole cuts the chain: the signature behind it says nothing of what stands before."""
        stretches = [span for span in self._stretches if span[0] <= batch.last]
        if stretches and stretches[-1][0] >= start:
            stretches.pop()
        elif self._last_unsigned:
            n, digest = self._last_unsigned
            if self._goes_on(n, digest, start, batch.before):
                stretches.pop()
        for first, last in stretches:
            self._except("unvouched", first, last)

    def _verify(self, batch: evidence.Signature, bodies: list[bytes]) -> None:
        start = batch.first + batch.lost
        key = self._keys.get(batch.key)
        if key is None:
            self._fault("key-unknown", batch.first, batch.last, batch.key)
            return
        tip = batch.before
        for body in bodies:
            tip = chain(tip, body)
        before, after = self._known.get(start - 1), self._known.get(batch.last)
        if bodies and (before not in (None, batch.before) or after not in (None, tip)):
            self._fault("chain", start, batch.last)
            return
        claim = Batch(
            v=1,
            journal=self.fact.journal,
            first=batch.first,
            lost=batch.lost,
            before=batch.before,
            entries=[msgspec.Raw(body) for body in bodies],
            tip=tip,
        )
        if _is_signed(claim, self._reader.reader, key, batch):
            self.signatures += 1
            self.signed_through = batch.last
            self._check_stretches(start, batch)
        else:
            self._fault("signature", batch.first, batch.last, batch.key)


def _union(one: Sequence[Span], other: Iterable[Span]) -> list[Span]:
    both = list(one)
    for first, last in other:
        both = gaps.add(both, first, last)
    return both


def _is_signed(
    claim: Batch, reader: str, key: ec.EllipticCurvePublicKey, batch: evidence.Signature
) -> bool:
    """True when the reader signed just this batch, put together again from its entries."""
    proof = Proof(batch.key, batch.signature, msgspec.json.encode(claim))
    try:
        verify(proof, Purpose.BATCH, reader, key)
    except MessageRefused:
        return False
    return True
