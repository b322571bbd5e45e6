"""What becomes of a batch: verified, inserted or recognised, decided again, marked, acknowledged.

Rules: one transaction for a group of batches of many readers; an acknowledgement is made only of
what the transaction commits; what cannot be read goes byte for byte into quarantine in the same
transaction and counts as committed, so nothing behind it waits; what nobody vouches for is kept
within limits and acknowledged never; no batch can stop another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from fleet import gaps, journals, ledger, quarantine, reconcile, store
from fleet.alarms import AlarmKind, settle, sound
from fleet.journals import Journal
from fleet.ledger import NewEntry
from fleet.quarantine import Numbers, Source
from fleet.reconcile import Finding, History, Known, RosterArchive
from fleet.registry import Reader
from fleet.schema import finding, gap
from wire.entries import EntryRefused, Start, Tap, chain, decode
from wire.envelope import MessageRefused, Purpose, open_envelope
from wire.messages import Batch

log: Final = structlog.get_logger("fleet.ingest")


class BatchRefused(Exception):
    """A signed batch that does not hold together: it is quarantined, its numbers are known."""


class Arrived(NamedTuple):
    """One message of the leaf `entries`, from a reader of the registry."""

    reader: Reader
    topic: str
    payload: bytes
    received_at_ms: int


class Taken(NamedTuple):
    """What may be acknowledged after the commit."""

    reader: str
    journal: str
    through: int


class Move(NamedTuple):
    """A card that was found under the key epoch before; re-keyed after the commit."""

    programme: str
    older: str
    newer: str
    key_epoch: int


@dataclass(slots=True)
class Tally:
    """What a group came to; what it names happens only after the commit."""

    taken: list[Taken]
    moves: list[Move]
    created: int = 0
    exists: int = 0
    conflicts: int = 0
    quarantined: int = 0


class Signed(NamedTuple):
    """A batch whose signature is right."""

    arrived: Arrived
    batch: Batch


class Refused(NamedTuple):
    """A message that nobody vouches for."""

    arrived: Arrived
    reason: str
    detail: str


def open_batch(arrived: Arrived) -> Signed | Refused:
    """Verify one message with its reader's registered key."""
    reader = arrived.reader
    try:
        batch = open_envelope(arrived.payload, Purpose.BATCH, reader.name, reader.key, Batch)
    except MessageRefused as error:
        return Refused(arrived, error.reason, str(error))
    return Signed(arrived, batch)


class Ingest:
    """Takes groups of batches in; what the fleet knows about cards is asked once a group."""

    def __init__(self, archive: RosterArchive) -> None:
        self._archive = archive

    def take(
        self, connection: sa.Connection, opened: Sequence[Signed | Refused], known: Known
    ) -> Tally:
        """Take one group in, inside the caller's transaction."""
        tally = Tally([], [])
        for one in opened:
            if isinstance(one, Refused):
                source = _source(one.arrived)
                quarantine.keep(connection, source, one.reason, one.detail, one.arrived.payload)
                tally.quarantined += 1
            else:
                tally.taken.append(self._isolated(connection, one, known, tally))
        return tally

    def _isolated(
        self, connection: sa.Connection, signed: Signed, known: Known, tally: Tally
    ) -> Taken:
        """Take one batch in; whatever is wrong with it stays with it, under a savepoint."""
        try:
            with connection.begin_nested():
                return self._batch(connection, signed, known, tally)
        except BatchRefused as error:
            return _set_aside(connection, signed, "chain", str(error), tally)
        except sa.exc.OperationalError:
            raise  # the database itself: disk full, locked; the whole group is tried again
        except Exception as error:  # one reader's bytes must never stop the others; they are kept
            log.exception("batch not taken in", reader=signed.arrived.reader.name)
            return _set_aside(connection, signed, "fault", repr(error), tally)

    def _batch(
        self, connection: sa.Connection, signed: Signed, known: Known, tally: Tally
    ) -> Taken:
        arrived, batch = signed
        at_ms = arrived.received_at_ms
        state = journals.open_journal(connection, arrived.reader.name, batch.journal, at_ms)
        hashes = check_chain(connection, state, batch)
        was_seen, was_through = state.seen, state.through
        start = batch.first + batch.lost
        stands: Mapping[int, bytes] = {}
        if start <= was_seen:
            stands = ledger.bodies(connection, state, start, batch.last)
        new = _sort_out(connection, state, signed, hashes, stands, tally)
        lost = gaps.missing(state.spans, batch.first, start - 1)
        _mark(state, batch, hashes)
        for one in new:
            if isinstance(one.entry, Start) and one.n == 1:
                journals.begin(connection, state, one.entry, at_ms)
        if journals.goes_on_too_long(connection, state, batch.last) and batch.last > was_seen:
            sound(connection, AlarmKind.OLD_JOURNAL, state.journal, state.reader, "", at_ms)
        behind = not new or new[0].n <= was_seen  # a resend may hold both known and new entries
        in_order = not behind and batch.first <= was_seen + 1 and was_seen == was_through
        findings = self._judge(connection, state, signed, new, known, in_order)
        ledger.append(connection, state, new, at_ms, arrived.reader.place.by_hour)
        _note_findings(connection, state, findings, at_ms)
        journals.save(connection, state, at_ms)
        _note_lost(connection, state, lost, at_ms)
        if batch.first <= was_seen or state.superseded:
            for number in gaps.fill(connection, state.id, state.spans, at_ms):
                settle(connection, AlarmKind.GAP, str(number), at_ms)
        tally.created += len(new)
        tally.moves += [move for one in new if (move := _move(one)) is not None]
        return Taken(state.reader, state.journal, state.through)

    def _judge(
        self,
        connection: sa.Connection,
        state: Journal,
        signed: Signed,
        new: Sequence[NewEntry],
        known: Known,
        in_order: bool,
    ) -> list[Finding]:
        """Replay the new taps; those that came out of order cannot be, and are counted."""
        taps = [one.entry for one in new if isinstance(one.entry, Tap)]
        if not in_order:
            state.unreplayed += len(taps)
            return []
        named = (name for tap in taps for name in (tap.credential, tap.older_credential))
        cards = sorted({name for name in named if name})
        if not cards:
            return []
        since_ms = min(tap.at_ms for tap in taps) - ledger.BOOKED_KEPT_MS
        history = History(
            state.id,
            ledger.last_bookings(connection, state.reader, cards, since_ms),
            lambda: journals.history_is_whole(connection, state),
        )
        found: list[Finding] = []
        for tap in taps:
            judged = reconcile.judge(
                tap, signed.arrived.reader.place, self._archive, known, history
            )
            if judged is None:
                state.unreplayed += 1
            else:
                found += judged
            history.book(tap)
        return found


def _source(arrived: Arrived) -> Source:
    return Source(arrived.reader.name, arrived.topic, arrived.received_at_ms)


def check_chain(connection: sa.Connection, state: Journal, batch: Batch) -> list[bytes]:
    """Return the hash after each entry. Raises BatchRefused when the chain does not hold."""
    digest = batch.before
    hashes = []
    for body in batch.entries:
        digest = chain(digest, bytes(body))
        hashes.append(digest)
    if digest != batch.tip:
        raise BatchRefused("the tip does not follow from the entries")
    place = batch.first + batch.lost - 1
    if hashes or not batch.lost:
        expected = journals.hash_at(connection, state, place)
        if expected is not None and expected != batch.before:
            raise BatchRefused(f"the ledger has another hash at {place}")
    if len(gaps.add(state.spans, batch.first, batch.last)) > gaps.SPANS_MAX:
        raise BatchRefused(f"more than {gaps.SPANS_MAX} holes in one journal")
    return hashes


def _sort_out(
    connection: sa.Connection,
    state: Journal,
    signed: Signed,
    hashes: Sequence[bytes],
    stands: Mapping[int, bytes],
    tally: Tally,
) -> list[NewEntry]:
    """Return the entries that are new; those that contradict or cannot be read are kept aside."""
    arrived, batch = signed
    new: list[NewEntry] = []
    numbered = enumerate(zip(batch.entries, hashes, strict=True), batch.first + batch.lost)
    for n, (raw, digest) in numbered:
        body = bytes(raw)
        known = stands.get(n)
        if known == body:
            tally.exists += 1
            continue
        if known is not None:
            ledger.contradict(connection, state, n, digest, body, arrived.received_at_ms)
            tally.conflicts += 1
            continue
        try:
            decoded = decode(body)
            if decoded.n != n:
                raise EntryRefused(f"it says that its number is {decoded.n}")
        except EntryRefused as error:
            numbers = Numbers(state.id, n, n, digest)
            quarantine.keep(connection, _source(arrived), "entry", str(error), body, numbers)
            tally.quarantined += 1
            continue
        new.append(NewEntry(n, digest, body, decoded))
    return new


def _mark(state: Journal, batch: Batch, hashes: Sequence[bytes]) -> None:
    """Account for the batch's numbers."""
    if batch.last > state.seen:
        state.seen_hash = hashes[-1] if hashes else None
    elif batch.last == state.seen and hashes and state.seen_hash is None:
        state.seen_hash = hashes[-1]
    state.spans = gaps.add(state.spans, batch.first, batch.last)
    state.claimed = max(state.claimed, batch.last)


def _set_aside(
    connection: sa.Connection, signed: Signed, reason: str, detail: str, tally: Tally
) -> Taken:
    """Quarantine a signed batch whole. Its numbers are known, so they count as committed."""
    arrived, batch = signed
    at_ms = arrived.received_at_ms
    state = journals.open_journal(connection, arrived.reader.name, batch.journal, at_ms)
    tally.quarantined += 1
    accounted = gaps.add(state.spans, batch.first, batch.last)
    if len(accounted) > gaps.SPANS_MAX or batch.last < batch.first:
        quarantine.keep(connection, _source(arrived), reason, detail, arrived.payload)
        return Taken(state.reader, state.journal, state.through)
    numbers = Numbers(state.id, batch.first, batch.last, batch.tip)
    quarantine.keep(connection, _source(arrived), reason, detail, arrived.payload, numbers)
    if batch.last > state.seen:
        state.seen_hash = batch.tip
    state.spans = accounted
    journals.save(connection, state, at_ms)
    return Taken(state.reader, state.journal, state.through)


def _note_findings(
    connection: sa.Connection, state: Journal, findings: Sequence[Finding], at_ms: int
) -> None:
    rows = [
        {
            "journal_id": state.id,
            "n": one.n,
            "kind": one.kind,
            "outcome": one.decision.outcome.value,
            "code": one.decision.code.value,
            "rule": one.decision.rule,
            "rider_pays_yen": one.decision.rider_pays_yen,
            "found_at_ms": at_ms,
        }
        for one in findings
    ]
    store.insert_missing(connection, finding, rows)
    faults = [one.n for one in findings if one.kind == "replay"]
    if faults:
        detail = f"{state.journal}/{faults[0]}"
        sound(connection, AlarmKind.REPLAY, state.reader, state.reader, detail, at_ms)


def _note_lost(
    connection: sa.Connection, state: Journal, lost: Sequence[gaps.Span], at_ms: int
) -> None:
    """What the reader says it can never send is a gap at once."""
    for first, last in lost:
        open_gap(connection, state.id, state.reader, (first, last), "declared-lost", at_ms)


def open_gap(
    connection: sa.Connection,
    journal_id: int,
    reader: str,
    hole: gaps.Span,
    cause: str,
    at_ms: int,
) -> None:
    """Open a gap and its alarm; one that is open already stays as it is."""
    first, last = hole
    row = {
        "journal_id": journal_id,
        "first": first,
        "last": last,
        "missing": last - first + 1,
        "cause": cause,
        "opened_at_ms": at_ms,
    }
    store.insert_missing(connection, gap, [row])
    here = (gap.c.journal_id == journal_id, gap.c.first == first, gap.c.last == last)
    number = connection.scalar(sa.select(gap.c.id).where(*here, gap.c.cause == cause))
    detail = f"{cause}: {first}-{last}"
    sound(connection, AlarmKind.GAP, str(number), reader, detail, at_ms)


def sweep(
    connection: sa.Connection, clock: gaps.HoleClock, now_ns: int, at_ms: int
) -> list[tuple[int, gaps.Span]]:
    """Turn holes that have stood long enough into gaps; return those (journal id, hole)."""
    due = clock.due(gaps.open_holes(connection), now_ns)
    for journal_id, hole in due:
        reader = journals.reader_of(connection, journal_id)
        open_gap(connection, journal_id, reader, hole, "not-arrived", at_ms)
    return due


def _move(new: NewEntry) -> Move | None:
    tap = new.entry
    if isinstance(tap, Tap) and tap.credential and tap.older_credential:
        return Move(tap.programme, tap.older_credential, tap.credential, tap.key_epoch)
    return None


def credentials(opened: Sequence[Signed | Refused]) -> set[str]:
    """Return the credentials that these batches name, without keeping the decoded entries."""
    found: set[str] = set()
    for one in opened:
        if isinstance(one, Signed):
            for body in one.batch.entries:
                try:
                    names = msgspec.json.decode(body, type=_Credentials)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue  # it is quarantined where the whole entry is read
                found |= {name for name in (names.credential, names.older_credential) if name}
    return found


class _Credentials(msgspec.Struct):
    credential: str | None = None
    older_credential: str | None = None
